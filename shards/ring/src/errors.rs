//! What the network says of datagrams sent, for sockets that asked to be told (`IP_RECVERR`).
//!
//! The kernel ends a receive, or fails a send, with the error's number alone; who was meant and
//! what was said lies in the socket's error queue. That is read by one operation at a time, beside
//! receiving, until it is empty.
//!
//! ```text
//! control message   0 length  8 level  12 type  16 errno  20 origin  21 type  22 code  24 MTU …
//! ```

use std::net::SocketAddr;

use io_uring::opcode;
use io_uring::types::Fixed;
use shards_runtime::{Completion, Icmp};

use crate::address;
use crate::buffers::Buffer;
use crate::kernel::Event;
use crate::machine::UringIo;
use crate::operations::{Operation, Pinned, Ticket};
use crate::sockets::Receiving;

const FLAGS: i32 = libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT;

impl UringIo {
    /// Reads the error queue of a socket, if nobody does yet.
    pub(crate) fn read_errors(&mut self, socket: u32) {
        let state = &mut self.sockets[socket as usize];
        if !state.is_open() || std::mem::replace(&mut state.reads_errors, true) {
            return;
        }
        let message = self.operations.message();
        let ticket = self.operations.insert(Operation::Errors { socket, message });
        self.sockets[socket as usize].in_flight_count += 1;
        self.read_one_error(ticket);
    }

    fn read_one_error(&mut self, ticket: Ticket) {
        let Some(Operation::Errors { socket, message }) = self.operations.get_mut(ticket) else {
            return;
        };
        let (name, control) = (message.address(), message.control());
        let header = &mut message.header;
        *header = crate::operations::empty_header();
        header.msg_name = name.cast();
        header.msg_namelen = address::ADDRESS_BYTES_MAX as libc::socklen_t;
        header.msg_control = control;
        header.msg_controllen = size_of::<crate::operations::Control>();
        let header = message.header().cast_mut();
        let socket = *socket;
        let entry = opcode::RecvMsg::new(Fixed(socket), header).flags(FLAGS as u32).build();
        let entry = self.aim(socket, entry).user_data(ticket.user_data());
        // SAFETY: the operation owns the message until its last event.
        unsafe { self.kernel.push(entry) };
    }

    pub(crate) fn on_error_read(
        &mut self,
        ticket: Ticket,
        event: Event,
        completions: &mut Vec<Completion<Buffer>>,
    ) {
        let Some(Operation::Errors { socket, message }) = self.operations.get_mut(ticket) else {
            return;
        };
        let socket = *socket;
        let state = &mut self.sockets[socket as usize];
        if event.result >= 0 && state.is_open() {
            let token = match state.receiving {
                Receiving::Armed(receive) => match self.operations.get_mut(receive) {
                    Some(&mut Operation::Receive { token, .. }) => Some(token),
                    _ => None,
                },
                Receiving::Starved(token) | Receiving::Held(token) => Some(token),
                Receiving::Idle | Receiving::Pausing { .. } => None,
            };
            if let Some(Operation::Errors { message, .. }) = self.operations.get_mut(ticket)
                && let (Some(token), Some((peer, icmp))) = (token, read(message))
                && let Some(peer) = self.whole(socket, peer)
            {
                completions.push(Completion::Icmp { token, peer, icmp });
            }
            self.read_one_error(ticket);
            return;
        }
        let _ = message;
        state.reads_errors = false;
        if let Some(Operation::Errors { message, .. }) = self.finish(socket, ticket) {
            self.operations.recycle(message);
        }
        if !self.sockets[socket as usize].is_open() {
            self.close_when_quiet(socket);
        }
    }
}

impl UringIo {
    /// An address of the queue with its port, which this host's own entries lack.
    fn whole(&self, socket: u32, peer: SocketAddr) -> Option<SocketAddr> {
        if peer.port() != 0 {
            return Some(peer);
        }
        let (_, to) = self.forwards.too_long.filter(|(its, _)| *its == socket)?;
        (to.ip().to_canonical() == peer.ip().to_canonical()).then_some(to)
    }
}

/// What an entry of the queue says, if it is the network that says it, or this host that knows a
/// datagram to be too big for its way.
fn read(message: &Pinned) -> Option<(SocketAddr, Icmp)> {
    const SAID_HERE: u8 = 1;
    const SAID_BY_ICMP: u8 = 2;
    const SAID_BY_ICMP6: u8 = 3;
    let control = &message.control.0;
    if message.header.msg_controllen < 32 {
        return None;
    }
    let int = |at: usize| {
        i32::from_ne_bytes([control[at], control[at + 1], control[at + 2], control[at + 3]])
    };
    let (level, name) = (int(8), int(12));
    let is_error = (level, name) == (libc::SOL_IP, libc::IP_RECVERR)
        || (level, name) == (libc::SOL_IPV6, libc::IPV6_RECVERR);
    if !is_error {
        return None;
    }
    let peer = address::read(&message.address.bytes)?;
    if control[20] == SAID_HERE && int(16) == libc::EMSGSIZE {
        // This host knows already what a router said before: it is told in the router's words.
        let (kind, code) =
            if name == libc::IP_RECVERR && level == libc::SOL_IP { (3, 4) } else { (2, 0) };
        return Some((peer, Icmp { kind, code, data: int(24) as u32 }));
    }
    if !matches!(control[20], SAID_BY_ICMP | SAID_BY_ICMP6) {
        return None;
    }
    Some((peer, Icmp { kind: control[21], code: control[22], data: int(24) as u32 }))
}
