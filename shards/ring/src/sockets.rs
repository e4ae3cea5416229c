//! What the machine knows about each slot of its socket table, and how listening and datagram
//! sockets are opened.
//!
//! *Invariant:* a slot is free exactly when the kernel's table has nothing in it that we were told
//! of; it becomes free with the event of its close, which is asked for only when nothing else is in
//! flight on it.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use shards_runtime::{BindOptions, Socket, Token};

use crate::address::Family;
use crate::entries;
use crate::operations::Ticket;
use crate::spread;

/// Bits of a [`Socket`] that name the slot; the rest are the low bits of the tenant's number.
const SLOT_BITS: u32 = 20;
/// The most slots of one table.
pub(crate) const SOCKETS_MAX: u32 = 1 << SLOT_BITS;

const BACKLOG_DEFAULT: u32 = 4_096;

/// The slot that a name speaks of; whether it is still the same tenant's is another question.
pub(crate) fn slot_of(socket: Socket) -> u32 {
    socket.0 & (SOCKETS_MAX - 1)
}

/// What a slot holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    Free,
    Open,
    /// Its last bytes are being sent, and then it is closed.
    Ending(Token),
    /// Being closed; the token is missing when the machine closes a socket that nobody was told of.
    Closing(Option<Token>),
}

/// Streams and datagrams receive into different pools.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Stream,
    Acceptor,
    Datagram,
}

/// Where receiving (or accepting) stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Receiving {
    /// Nobody asked, or it ended.
    Idle,
    /// In flight.
    Armed(Ticket),
    /// In flight and being cancelled, because of `Op::Pause`; then armed again if somebody asked
    /// meanwhile.
    Pausing { ticket: Ticket, again: Option<Token> },
    /// Wanted, but no buffer was free.
    Starved(Token),
    /// Has brought a stream's first bytes, and is armed again within a turn.
    Held(Token),
}

/// Where a stream's send stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SendState {
    /// There is none.
    Idle,
    /// The kernel takes it with its entry.
    Prompt,
    /// In flight, for as long as the far end needs.
    Operation(Ticket),
}

/// One slot.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) phase: Phase,
    /// Counts the tenants of the slot.
    pub(crate) tenant: u32,
    pub(crate) kind: Kind,
    pub(crate) family: Family,
    pub(crate) receiving: Receiving,
    /// Receiving was never armed.
    pub(crate) is_fresh: bool,
    pub(crate) sending: SendState,
    /// Operations of this socket that the kernel has.
    pub(crate) in_flight_count: u32,
    /// Forwarded datagrams may be handed over several at once.
    pub(crate) joins: bool,
    /// [`BindOptions::fragmentable`].
    pub(crate) fragmentable: bool,
    /// [`BindOptions::reports_icmp`].
    pub(crate) reports_icmp: bool,
    /// Its error queue is being read.
    pub(crate) reads_errors: bool,
    /// Datagrams that its full queue has dropped, as the kernel counts them.
    pub(crate) overflowed: u32,
}

impl State {
    pub(crate) fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// Whether what was asked to be sent is still to be sent.
    pub(crate) fn takes_bytes(&self) -> bool {
        matches!(self.phase, Phase::Open | Phase::Ending(_))
    }

    /// What the world above calls this tenant of `slot`: an operation on a socket that is gone
    /// must not hit the next one in the same slot.
    pub(crate) fn name(&self, slot: u32) -> Socket {
        Socket(self.tenant << SLOT_BITS | slot)
    }

    /// Makes a free slot a socket.
    pub(crate) fn open(&mut self, kind: Kind, family: Family) {
        assert_eq!(self.phase, Phase::Free, "the kernel gives out free slots only");
        debug_assert_eq!(self.in_flight_count, 0);
        let tenant = self.tenant;
        *self = State { phase: Phase::Open, kind, family, tenant, ..State::free() };
    }

    /// Makes it free again.
    pub(crate) fn release(&mut self) {
        let tenant = self.tenant.wrapping_add(1);
        *self = State { tenant, ..State::free() };
    }

    pub(crate) fn free() -> Self {
        State {
            phase: Phase::Free,
            tenant: 0,
            kind: Kind::Stream,
            family: Family::V4,
            receiving: Receiving::Idle,
            is_fresh: true,
            sending: SendState::Idle,
            in_flight_count: 0,
            joins: true,
            fragmentable: false,
            reports_icmp: false,
            reads_errors: false,
            overflowed: 0,
        }
    }
}

/// A listening TCP socket and the address it got.
pub(crate) fn listening(
    address: SocketAddr,
    options: BindOptions,
) -> io::Result<(OwnedFd, SocketAddr)> {
    let socket = open(address, options, SocketType::STREAM)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    // What is accepted inherits it.
    sockopt::set_tcp_nodelay(&socket, true)?;
    rustix::net::bind(&socket, &address)?;
    let backlog = if options.backlog == 0 { BACKLOG_DEFAULT } else { options.backlog };
    rustix::net::listen(&socket, backlog.min(i32::MAX as u32) as i32)?;
    spread_among_siblings(&socket, options)?;
    let bound = bound_address(&socket)?;
    Ok((socket, bound))
}

/// A TCP socket bound to where a connection is to come from. Others of ours may have that address.
pub(crate) fn connecting(from: SocketAddr) -> io::Result<OwnedFd> {
    let options = BindOptions { shared: true, v6_only: true, ..BindOptions::default() };
    let socket = open(from, options, SocketType::STREAM)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    rustix::net::bind(&socket, &from)?;
    Ok(socket)
}

/// A bound UDP socket and the address it got.
pub(crate) fn datagram(
    address: SocketAddr,
    options: BindOptions,
    join_datagrams: bool,
) -> io::Result<(OwnedFd, SocketAddr)> {
    let socket = open(address, options, SocketType::DGRAM)?;
    set_datagram_options(&socket, Family::of(&address), options)?;
    if join_datagrams {
        set(&socket, (libc::SOL_UDP, libc::UDP_GRO), 1)?;
    }
    rustix::net::bind(&socket, &address)?;
    spread_among_siblings(&socket, options)?;
    let bound = bound_address(&socket)?;
    Ok((socket, bound))
}

/// Bound already: before that it would found a group of its own, and not join its siblings'.
fn spread_among_siblings(socket: &OwnedFd, options: BindOptions) -> io::Result<()> {
    match options.spread_by_address {
        0 => Ok(()),
        count => spread::attach(socket, count),
    }
}

fn open(address: SocketAddr, options: BindOptions, kind: SocketType) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, None)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, options.v6_only)?;
    }
    if options.shared {
        sockopt::set_socket_reuseport(&socket, true)?;
    }
    Ok(socket)
}

fn bound_address(socket: &impl AsFd) -> io::Result<SocketAddr> {
    Ok(SocketAddr::try_from(rustix::net::getsockname(socket)?)?)
}

fn set_datagram_options(socket: &OwnedFd, family: Family, options: BindOptions) -> io::Result<()> {
    // What a full queue drops is told with the next datagram.
    set(socket, (libc::SOL_SOCKET, libc::SO_RXQ_OVFL), 1)?;
    let queues = [
        (options.receive_queue_bytes, libc::SO_RCVBUFFORCE, libc::SO_RCVBUF),
        (options.send_queue_bytes, libc::SO_SNDBUFFORCE, libc::SO_SNDBUF),
    ];
    for (bytes, forced, allowed) in queues {
        // The kernel doubles what it is asked for.
        let bytes = (bytes / 2).min(i32::MAX as u32) as i32;
        if bytes > 0 && set(socket, (libc::SOL_SOCKET, forced), bytes).is_err() {
            // Without the privilege there is the system's limit, which shortens it silently.
            set(socket, (libc::SOL_SOCKET, allowed), bytes)?;
        }
    }
    if options.fragmentable {
        set(socket, entries::mtu_discover(family), *entries::cutting_allowed(family))?;
    }
    if options.reports_icmp {
        let option = match family {
            Family::V4 => (libc::SOL_IP, libc::IP_RECVERR),
            Family::V6 => (libc::SOL_IPV6, libc::IPV6_RECVERR),
        };
        set(socket, option, 1)?;
    }
    Ok(())
}

fn set(socket: &OwnedFd, (level, name): (i32, i32), value: i32) -> io::Result<()> {
    // SAFETY: the value is an `i32` that outlives the call, and its length is given.
    let code = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            size_of::<i32>() as libc::socklen_t,
        )
    };
    if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
