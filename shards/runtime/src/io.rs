//! The machine under one shard, in io_uring's shape: submit an operation with a token, find its
//! completion later, in any order. `UringIo` (crate `shards-ring`) is real, `SimIo` (crate
//! `shards-sim`) is seeded; a service cannot tell which one it runs on.
//!
//! # The contract, held by `tests/io_contract.rs` on both machines
//!
//! 1. Nothing happens before [`Io::wait`]; `wait` submits all that was asked and collects what is
//!    done, at most [`COMPLETIONS_PER_WAIT_MAX`] of it. What is left comes with the next `wait`.
//! 2. [`Op::Accept`] and [`Op::Recv`] go on until they say otherwise. A machine that runs out of
//!    receive buffers, or whose multishot ends, goes on by itself; services never see either.
//! 3. [`Op::Send`] is all or error: a short send is continued by the machine. At most one send is
//!    in flight for a socket (a second one before the first's [`Completion::Sent`] is a bug).
//! 4. [`Completion::Ended`] is the last word on receiving: after it no [`Completion::Received`]
//!    comes until [`Op::Recv`] is submitted again.
//! 5. [`Op::Close`] ends everything on the socket: what is in flight completes (or is forgotten),
//!    and [`Completion::Closed`] is the last completion with that socket's token. Until then the
//!    slot of the token must not be given to anybody else. [`Op::Finish`] is a close that sends
//!    something first, without a `Sent`; an [`Op::Close`] may cut it short.
//! 6. Memory in a [`Gather`] is kept alive by the machine until the send's completion, whatever
//!    happens to the service.
//! 7. [`Io::forward`] takes a received buffer and has no completion; the buffer is the machine's
//!    again when the datagram has left. Forwards of one socket to one place keep their order; to
//!    other operations they have none. A forward on a socket that is being closed is dropped.
//! 8. A datagram's buffer has [`crate::HEADROOM_BYTES`] before its data and
//!    [`crate::TAILROOM_BYTES`] behind, and they are the holder's.
//! 9. A socket bound with [`BindOptions::reports_icmp`] learns what the network says of its
//!    datagrams, as [`Completion::Icmp`]; receiving goes on.
//! 10. A connected stream that [`Io::adopt`] took is a connection like any other, until its close;
//!     a machine without processes beside it says that it takes none.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use smallvec::SmallVec;

use crate::SendBuffer;
use crate::datagram::{Forward, Icmp, ReceiveBuffer};

/// The most completions that one [`Io::wait`] hands out, so that a tick stays bounded.
pub const COMPLETIONS_PER_WAIT_MAX: usize = 256;

/// A shard's number, from 0; as a mesh participant the control plane is the last number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ShardId(pub u16);

impl ShardId {
    /// The number as an index into tables with one row for each participant.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// What ties a completion to whoever asked. Having one says that its slot was live when the
/// operation was submitted, not that it still is: compare the generation (see `Slab`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Token {
    /// Index of the slot.
    pub slot: u32,
    /// Which tenant of the slot; a late completion carries an older one.
    pub generation: u32,
}

/// A socket owned by this shard: an index into the machine's own descriptor table, not a
/// process-wide file descriptor. It is meaningless on another shard and after its `Closed`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Socket(pub u32);

/// Bytes on their way out, without a copy: a range of memory that somebody keeps alive.
#[derive(Clone, Debug)]
pub enum Piece {
    /// A range of a shared block. The `Rc` pins the block for a send without an atomic: only the
    /// shard's own window holds the `Bytes`.
    Shared {
        /// The block.
        block: Rc<Bytes>,
        /// First byte sent, as an index into the block.
        start: u32,
        /// One past the last byte sent.
        end: u32,
    },
    /// Memory that belongs to this send alone: a response head, a small body.
    Owned(Bytes),
    /// Memory that belongs to this send alone and comes back to its shard's pool.
    Buffer(SendBuffer),
    /// Text of the program.
    Static(&'static [u8]),
}

impl Piece {
    /// The bytes of this piece.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Piece::Shared { block, start, end } => &block[*start as usize..*end as usize],
            Piece::Owned(bytes) => bytes,
            Piece::Buffer(buffer) => buffer.as_slice(),
            Piece::Static(bytes) => bytes,
        }
    }
}

/// The pieces of one send, in order.
pub type Gather = SmallVec<[Piece; 2]>;

/// The most pieces of one [`Gather`]; more is a bug of the service.
pub const PIECES_PER_SEND_MAX: usize = 64;

/// What a shard can ask its machine for.
#[derive(Debug)]
pub enum Op {
    /// Accept connections on a listening socket until it is closed. Each is an
    /// [`Completion::Accepted`] with this operation's token.
    Accept(Socket),
    /// Receive from a stream until its end, [`Op::Pause`] or [`Op::Close`].
    Recv(Socket),
    /// Receive datagrams until [`Op::Close`].
    RecvFrom(Socket),
    /// Stop receiving, so that TCP itself holds the sender back. Answered by
    /// [`Completion::Ended`] with [`End::Paused`]; bytes that had already arrived still come first.
    /// Asked again, or when receiving has ended already, it does nothing.
    Pause(Socket),
    /// Send all of it.
    Send(Socket, Gather),
    /// Send one datagram, or fail at once where the socket has no room for it; with a segment
    /// size, several of that size in one go (`UDP_SEGMENT`).
    SendTo {
        /// From which bound socket.
        socket: Socket,
        /// To whom.
        to: SocketAddr,
        /// The payload.
        payload: Gather,
        /// Size of each datagram when the payload holds several, bytes.
        segment_size: Option<u16>,
    },
    /// Send all of it and then close, as [`Op::Close`] does: the end of the connection leaves with
    /// the last bytes. Answered by [`Completion::Closed`] alone, whatever becomes of the bytes;
    /// [`Op::Close`] meanwhile gives up those that have not left. No send may be in flight.
    Finish(Socket, Gather),
    /// Open a TCP connection. Answered by [`Completion::Connected`].
    Connect(SocketAddr),
    /// As [`Op::Connect`], from a given address and port, which sockets of ours that were bound or
    /// listen there with [`BindOptions::shared`] may have too (RFC 6062).
    ConnectFrom {
        /// Where the connection comes from.
        from: SocketAddr,
        /// Where it goes to.
        to: SocketAddr,
    },
    /// End both directions and give the descriptor back. Answered by [`Completion::Closed`].
    Close(Socket),
    /// Give up a connect in flight with this operation's token: its `Connected` comes
    /// with an error.
    CancelConnect,
}

/// Why receiving stopped.
#[derive(Debug)]
pub enum End {
    /// The far end closed its direction.
    Eof,
    /// [`Op::Pause`] asked for it.
    Paused,
    /// The connection failed.
    Failed(io::Error),
}

/// What became of an operation. `B` is a received buffer, returned to the machine on drop.
#[derive(Debug)]
pub enum Completion<B> {
    /// A connection came in. Its socket belongs to whoever takes this.
    Accepted {
        /// The acceptor's token.
        token: Token,
        /// The new connection.
        socket: Socket,
        /// Who connected.
        peer: SocketAddr,
    },
    /// Accepting failed once (for example the table is full); the acceptor goes on.
    AcceptFailed {
        /// The acceptor's token.
        token: Token,
        /// Why.
        error: io::Error,
    },
    /// Bytes of a stream; never empty.
    Received {
        /// The receiver's token.
        token: Token,
        /// The bytes.
        buffer: B,
    },
    /// One datagram, or several of `segment_size` each when the kernel joined them (`UDP_GRO`).
    ReceivedFrom {
        /// The receiver's token.
        token: Token,
        /// Who sent it.
        peer: SocketAddr,
        /// The payload.
        buffer: B,
        /// Size of each datagram in the buffer when there are several, bytes.
        segment_size: Option<u16>,
    },
    /// The network says that a datagram did not arrive.
    Icmp {
        /// The receiver's token.
        token: Token,
        /// Where the datagram was sent to.
        peer: SocketAddr,
        /// What is said.
        icmp: Icmp,
    },
    /// Receiving stopped.
    Ended {
        /// The receiver's token.
        token: Token,
        /// Why.
        end: End,
    },
    /// A send is done: all of it, or it failed.
    Sent {
        /// The sender's token.
        token: Token,
        /// Bytes sent (all that were asked), or why not.
        result: io::Result<usize>,
    },
    /// A connection was made, or not.
    Connected {
        /// The connector's token.
        token: Token,
        /// The new connection.
        result: io::Result<Socket>,
    },
    /// The socket is gone; nothing with this token follows.
    Closed {
        /// The token that [`Op::Close`] was submitted with.
        token: Token,
    },
}

impl<B> Completion<B> {
    /// Whose it is.
    #[must_use]
    pub fn token(&self) -> Token {
        match self {
            Completion::Accepted { token, .. }
            | Completion::AcceptFailed { token, .. }
            | Completion::Received { token, .. }
            | Completion::ReceivedFrom { token, .. }
            | Completion::Icmp { token, .. }
            | Completion::Ended { token, .. }
            | Completion::Sent { token, .. }
            | Completion::Connected { token, .. }
            | Completion::Closed { token } => *token,
        }
    }
}

/// How an acceptor or a datagram socket is bound.
#[derive(Clone, Copy, Debug, Default)]
pub struct BindOptions {
    /// Let other shards bind the same address (`SO_REUSEPORT`); the kernel spreads connections.
    pub shared: bool,
    /// Of so many that share the address, this one gets what comes from its part of the senders,
    /// chosen by their address (v6: its upper half) without the port, so that all of a sender's
    /// datagrams and connections come to one shard. 0: by address and port, as the kernel does.
    pub spread_by_address: u16,
    /// For v6 sockets: refuse v4-mapped peers (`IPV6_V6ONLY`).
    pub v6_only: bool,
    /// Connections that may wait to be accepted; 0 means 4,096.
    pub backlog: u32,
    /// Bytes of datagrams that may wait to be received (`SO_RCVBUF`, with the kernel's own share);
    /// the system may allow less. 0 is what the system gives.
    pub receive_queue_bytes: u32,
    /// Bytes of datagrams that may wait to leave (`SO_SNDBUF`), likewise.
    pub send_queue_bytes: u32,
    /// Datagrams may be cut on their way: they leave without the don't-fragment bit, which the
    /// system would otherwise set as it sees fit.
    pub fragmentable: bool,
    /// Tell what the network says of datagrams sent ([`Completion::Icmp`]).
    pub reports_icmp: bool,
}

/// Counters of a machine, all since its start.
#[derive(Clone, Copy, Debug, Default)]
pub struct IoCounters {
    /// System calls into the ring.
    pub enters: u64,
    /// Times that receiving waited because no buffer was free.
    pub buffers_exhausted: u64,
    /// Sends that the kernel took only in part and that were continued.
    pub sends_continued: u64,
    /// Datagrams that were sent on from their buffers.
    pub forwards: u64,
    /// Sends that they took; fewer where the kernel was given several at once.
    pub forward_sends: u64,
    /// Datagrams of them that the kernel did not take: a full socket, no route, too long.
    pub forwards_failed: u64,
    /// Datagrams that were longer than a receive buffer, and dropped.
    pub datagrams_too_long: u64,
    /// Datagrams that the kernel dropped because a socket's receive queue was full, as far as
    /// later ones have told.
    pub datagrams_overflowed: u64,
    /// Operations in flight now.
    pub operations_in_flight: u64,
}

/// The machine under one shard.
pub trait Io {
    /// A received buffer.
    type Buffer: ReceiveBuffer;

    /// The monotonic clock, fixed within a tick; the only clock a service may read.
    fn now(&self) -> Instant;

    /// Wall-clock time since the Unix epoch, fixed within a tick; for dates shown to people.
    fn wall_clock(&self) -> Duration;

    /// Asks for an operation; it reaches the kernel at the next [`Io::wait`] at the latest.
    fn submit(&mut self, token: Token, op: Op);

    /// Sends a datagram from the buffer that it was received in, without an answer.
    fn forward(&mut self, datagram: Forward<Self::Buffer>);

    /// Hands what was asked to the kernel, sleeps until something is done or `until` is reached
    /// (`None`: until something is done), and appends completions. Does not sleep when
    /// completions are already there, or when `until` has passed.
    fn wait(&mut self, until: Option<Instant>, completions: &mut Vec<Completion<Self::Buffer>>);

    /// Hands what was asked to the kernel without sleeping. A tick calls it before [`Io::wait`] so
    /// that the time spent inside sends is counted as work and not as sleep.
    fn flush(&mut self);

    /// Wakes a sibling that sleeps in its own [`Io::wait`]; with the next submission.
    fn doorbell(&mut self, sibling: ShardId);

    /// Opens a listening TCP socket; a set-up call, the only one besides [`Io::bind`] that works at
    /// once. Port 0 picks a free one; the answer carries the address in use.
    ///
    /// # Errors
    /// What the system said: address in use, not available, no permission.
    fn listen(
        &mut self,
        address: SocketAddr,
        options: BindOptions,
    ) -> io::Result<(Socket, SocketAddr)>;

    /// Opens a bound UDP socket.
    ///
    /// # Errors
    /// As [`Io::listen`].
    fn bind(
        &mut self,
        address: SocketAddr,
        options: BindOptions,
    ) -> io::Result<(Socket, SocketAddr)>;

    /// Takes a connected stream that was made elsewhere, such as one end of a socket pair whose
    /// other end a child process has; a set-up call.
    ///
    /// # Errors
    /// The table is full, or the machine takes none: [`io::ErrorKind::Unsupported`]. The descriptor
    /// is closed then.
    fn adopt(&mut self, stream: OwnedFd) -> io::Result<Socket>;

    /// Real time since the last [`Io::wait`] returned: for measuring ticks, never for decisions
    /// (a simulated machine answers zero, so that equal seeds stay equal).
    fn since_wait(&self) -> Duration {
        Duration::ZERO
    }

    /// What the machine counted.
    fn counters(&self) -> IoCounters;
}
