//! Who talks to us: a five-tuple, in the driver's terms.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// What carries a client's messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Transport {
    /// One message in each datagram.
    Udp,
    /// TCP or TLS: ChannelData is padded, and the connection's end is the allocation's.
    Stream,
}

/// A client: where its messages come from and by which of the driver's sockets. An allocation
/// belongs to exactly one (RFC 8656 §3.2's five-tuple).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Client {
    /// Its address; as with peers, an IPv4 address in its own form and not mapped into IPv6.
    pub address: SocketAddr,
    /// The driver's name for the socket: the acceptor's for datagrams, the connection's for
    /// streams.
    pub socket: u64,
    /// What carries its messages.
    pub transport: Transport,
}

/// An address as quotas count it: an IPv6 host has its whole /64.
pub(crate) fn counted(address: &SocketAddr) -> IpAddr {
    match address.ip().to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)).into(),
        ip => ip,
    }
}
