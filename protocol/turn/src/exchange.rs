//! What goes into a server and what comes out.

use crate::client::Client;
use crate::counters::Usage;
use protocol_stun::{Family, Icmp};
use std::net::SocketAddr;
use std::ops::Range;

/// An allocation's name; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AllocationId {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

impl AllocationId {
    /// As one number, for a driver that tags its sockets with it.
    pub const fn number(self) -> u64 {
        (self.generation as u64) << 32 | self.index as u64
    }

    /// Back from [`AllocationId::number`]. A wrong number is nobody's name.
    pub const fn from_number(number: u64) -> AllocationId {
        AllocationId { index: number as u32, generation: (number >> 32) as u32 }
    }
}

/// The name of a port that the driver keeps open for a second allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReservationId(pub u64);

/// The name of a TCP connection with a peer (RFC 6062's CONNECTION-ID).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u32);

/// How many bytes before a peer's data the driver leaves free, so that nothing is ever copied:
/// four are enough for ChannelData, all of them for a Data indication. With three bytes behind the
/// data a padding has room as well.
pub const HEADROOM_BYTES: usize = 48;

/// What happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// A datagram of a client, or one frame of its stream (`protocol_stun::Frame`).
    FromClient {
        /// Who sent it.
        client: Client,
        /// All of it.
        bytes: &'a [u8],
    },
    /// A datagram came to a relayed address.
    FromPeer {
        /// Whose relayed address; of the family of `peer`.
        allocation: AllocationId,
        /// Who sent it.
        peer: SocketAddr,
        /// The buffer in which it lies: what is before and behind it is overwritten.
        buffer: &'a mut [u8],
        /// Where in the buffer it lies; see [`HEADROOM_BYTES`].
        data: Range<usize>,
    },
    /// The network says that a datagram from a relayed address did not arrive.
    Icmp {
        /// Whose relayed address.
        allocation: AllocationId,
        /// Where the datagram was sent to.
        peer: SocketAddr,
        /// What the network says.
        icmp: Icmp,
    },
    /// The answer to [`Output::Bind`].
    Bound {
        /// For whom.
        allocation: AllocationId,
        /// Of which family.
        family: Family,
        /// The address as the world sees it, or none if there is none to be had.
        address: Option<SocketAddr>,
    },
    /// The answer to [`Output::Connect`].
    Connected {
        /// Which.
        connection: ConnectionId,
        /// Whether the peer took it.
        is_connected: bool,
    },
    /// A peer connected to a relayed address of TCP: answered with [`Output::Keep`] or
    /// [`Output::Refuse`].
    PeerConnected {
        /// Whose relayed address.
        allocation: AllocationId,
        /// Who connected.
        peer: SocketAddr,
        /// The driver's name for the connection.
        handle: u64,
    },
    /// A connection with a peer is closed, whoever closed it.
    PeerClosed {
        /// Which.
        connection: ConnectionId,
    },
    /// A stream ended, or its connection is to be closed.
    Closed {
        /// Whose.
        client: Client,
    },
    /// The operator ends an allocation.
    Kill {
        /// Which.
        allocation: AllocationId,
    },
    /// What the wall clock shows: at the start, and whenever it was set. Timed credentials are
    /// judged by it and nothing else.
    WallClock {
        /// Seconds of the Unix epoch.
        unix_s: u64,
    },
    /// Time has passed: [`crate::Server::deadline`] is reached.
    Tick,
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub enum Output {
    /// Send a datagram, or write to a stream.
    Transmit(Transmit),
    /// Open a relayed address, then answer with [`Input::Bound`].
    Bind(Bind),
    /// Close an allocation's relayed addresses, also those that are still being opened. Its name
    /// means nothing any more.
    Release(Box<Release>),
    /// Close one of two relayed addresses of an allocation that goes on.
    ReleaseFamily(AllocationId, Family),
    /// Close a port that was kept and that nobody came for.
    Forget(ReservationId),
    /// Connect to a peer from an allocation's relayed address, then answer with
    /// [`Input::Connected`] (RFC 6062 §5.2).
    Connect {
        /// From whose relayed address, of the family of `peer`.
        allocation: AllocationId,
        /// The connection's name from now on.
        connection: ConnectionId,
        /// To whom.
        peer: SocketAddr,
    },
    /// A peer's connection may stay; its bytes wait for [`Output::Join`].
    Keep {
        /// The driver's name.
        handle: u64,
        /// Its name from now on.
        connection: ConnectionId,
    },
    /// Close a peer's connection that has no permission, or is one too many.
    Refuse {
        /// The driver's name.
        handle: u64,
    },
    /// From here on what this client's stream says goes to the peer as it is, and the other way
    /// round; the answer that was sent last comes first (RFC 6062 §5.4).
    Join {
        /// The peer's end.
        connection: ConnectionId,
        /// The client's end.
        client: Client,
    },
    /// Close a connection with a peer, also one that is still being made, and the client's stream
    /// that is joined to it.
    Disconnect(ConnectionId),
}

/// Bytes and where to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// Where to.
    pub to: To,
    /// Which bytes.
    pub payload: Payload,
}

/// Where to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    /// To a client, by its own socket.
    Client(Client),
    /// To a peer, from the relayed address of its family.
    Peer {
        /// Whose relayed address.
        allocation: AllocationId,
        /// To whom.
        peer: SocketAddr,
        /// Whether routers may not cut it (DONT-FRAGMENT).
        dont_fragment: bool,
    },
}

/// Which bytes to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// These of the buffer that was the last input: nothing was copied.
    Input(Range<usize>),
    /// These of ours: [`crate::Server::written`].
    Written(Range<usize>),
}

/// Which port a relayed address wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// Any: by chance, from the range that the operator gave.
    Any,
    /// An even one.
    Even,
    /// An even one, and keep the next one for this reservation.
    EvenAndNext(ReservationId),
    /// The one that is kept for this reservation.
    Reserved(ReservationId),
}

/// What a relayed address speaks with peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelayTransport {
    /// Datagrams (RFC 8656).
    Udp,
    /// Connections (RFC 6062): the address listens, and is connected from.
    Tcp,
}

/// A relayed address to open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bind {
    /// For whom.
    pub allocation: AllocationId,
    /// Of which family.
    pub family: Family,
    /// On which port.
    pub port: Port,
    /// For what.
    pub transport: RelayTransport,
}

/// Why an allocation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Its lifetime passed.
    Expired,
    /// Its client gave it back.
    Returned,
    /// Its client's stream ended.
    Closed,
    /// The operator ended it.
    Killed,
    /// No relayed address was to be had: it never began.
    Unbound,
}

/// An allocation that ended: what an access log wants to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// Its name, of which the driver closes the relayed addresses.
    pub allocation: AllocationId,
    /// Whose it was.
    pub client: Client,
    /// The name shown; UTF-8 without control characters.
    pub user: String,
    /// What it relayed.
    pub usage: Usage,
    /// Why it ended.
    pub end: End,
}
