//! Who lives where: node *n* is host 10.0.0.(*n*+1) and fd00::(*n*+1); every other address belongs
//! to the outside. A loopback address means the caller's own node, and node 0 to callers outside.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

pub(crate) fn node_v4(node: usize) -> IpAddr {
    let node = u8::try_from(node + 1).expect("fewer than 255 nodes");
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, node))
}

fn node_v6(node: usize) -> IpAddr {
    let node = u16::try_from(node + 1).expect("fewer than 255 nodes");
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, node))
}

/// The host that an address reaches, from a node or from outside; `None` is outside.
pub(crate) fn reaches(ip: IpAddr, from: Option<usize>) -> Option<usize> {
    match ip.to_canonical() {
        ip if ip.is_loopback() => Some(from.unwrap_or(0)),
        IpAddr::V4(ip) => match ip.octets() {
            [10, 0, 0, node] => usize::from(node).checked_sub(1),
            _ => None,
        },
        IpAddr::V6(ip) => match ip.segments() {
            [0xfd00, 0, 0, 0, 0, 0, 0, node] => usize::from(node).checked_sub(1),
            _ => None,
        },
    }
}

/// Whether a node may bind there.
pub(crate) fn is_local(ip: IpAddr, node: usize) -> bool {
    ip.is_unspecified() || ip.is_loopback() || ip == node_v4(node) || ip == node_v6(node)
}

/// The address that a node's packets to `to` come from.
pub(crate) fn source(node: usize, to: IpAddr) -> IpAddr {
    match to {
        to if to.is_loopback() => to,
        IpAddr::V4(_) => node_v4(node),
        IpAddr::V6(to) if to.to_ipv4_mapped().is_some() => node_v4(node),
        IpAddr::V6(_) => node_v6(node),
    }
}

/// How well a bound address fits a wanted one: 2 exactly, 1 as a wildcard, 0 not at all.
pub(crate) fn fit(bound: SocketAddr, v6_only: bool, to: SocketAddr) -> u8 {
    let ip = to.ip().to_canonical();
    if bound.port() != to.port() {
        0
    } else if bound.ip().to_canonical() == ip {
        2
    } else if bound.ip().is_unspecified()
        && (bound.is_ipv4() == ip.is_ipv4() || accepts_v4(bound, v6_only))
    {
        1
    } else {
        0
    }
}

/// A peer's address as a socket bound there shows it: a v6 socket sees v4 peers mapped.
pub(crate) fn as_seen_by(bound: SocketAddr, peer: SocketAddr) -> SocketAddr {
    match (bound, peer.ip()) {
        (SocketAddr::V6(_), IpAddr::V4(ip)) => {
            SocketAddr::new(IpAddr::V6(ip.to_ipv6_mapped()), peer.port())
        }
        _ => peer,
    }
}

fn accepts_v4(bound: SocketAddr, v6_only: bool) -> bool {
    bound.is_ipv6() && !v6_only
}
