//! Accepting: one multishot operation for each acceptor, and one question for each connection,
//! because a socket that goes straight into the table comes without its peer's address.

use std::io;
use std::time::{Duration, Instant};

use io_uring::types::Fixed;
use io_uring::{cqueue, opcode};
use shards_runtime::{Completion, Socket, Token};

use crate::buffers::Buffer;
use crate::kernel::Event;
use crate::machine::UringIo;
use crate::operations::{Operation, Ticket};
use crate::sockets::{Kind, Phase, Receiving};
use crate::{address, clock, entries};

/// How long an acceptor rests when the machine has no room, instead of failing in a circle.
const REST: Duration = Duration::from_millis(10);

/// An acceptor that rests.
pub(crate) struct AcceptLater {
    pub(crate) at: Instant,
    acceptor: u32,
    tenant: u32,
    token: Token,
}

impl UringIo {
    pub(crate) fn accept(&mut self, token: Token, acceptor: Socket) {
        if let Some(slot) = self.slot(acceptor) {
            self.arm_accept(token, slot);
        }
    }

    fn arm_accept(&mut self, token: Token, acceptor: u32) {
        let state = &self.sockets[acceptor as usize];
        assert_eq!(state.kind, Kind::Acceptor, "only a listening socket accepts");
        if state.receiving != Receiving::Idle {
            return;
        }
        let ticket = self.operations.insert(Operation::Accept { acceptor, token });
        self.sockets[acceptor as usize].receiving = Receiving::Armed(ticket);
        let entry = opcode::AcceptMulti::new(Fixed(acceptor)).allocate_file_index(true).build();
        // SAFETY: the entry names no memory.
        unsafe { self.start(acceptor, ticket, entry) };
    }

    /// Lets acceptors that have rested go on.
    pub(crate) fn accept_again(&mut self) {
        while let Some(later) = self.accept_later.front() {
            if later.at > clock::now() {
                return;
            }
            let AcceptLater { acceptor, tenant, token, .. } = *later;
            self.accept_later.pop_front();
            let state = &self.sockets[acceptor as usize];
            if state.tenant == tenant && state.is_open() {
                self.arm_accept(token, acceptor);
            }
        }
    }

    pub(crate) fn on_accept(
        &mut self,
        ticket: Ticket,
        (acceptor, token): (u32, Token),
        event: Event,
        completions: &mut Vec<Completion<Buffer>>,
    ) {
        let closing = !self.sockets[acceptor as usize].is_open();
        if event.result >= 0 {
            self.on_accepted(event.result as u32, (acceptor, token), completions);
        } else if !closing && event.result != -libc::ECANCELED {
            let error = io::Error::from_raw_os_error(-event.result);
            completions.push(Completion::AcceptFailed { token, error });
        }
        if cqueue::more(event.flags) {
            return;
        }
        self.finish(acceptor, ticket);
        let state = &mut self.sockets[acceptor as usize];
        state.receiving = Receiving::Idle;
        if closing {
            self.close_when_quiet(acceptor);
        } else if matches!(
            -event.result,
            libc::ENFILE | libc::EMFILE | libc::ENOMEM | libc::ENOBUFS
        ) {
            let (at, tenant) = (clock::now() + REST, state.tenant);
            self.accept_later.push_back(AcceptLater { at, acceptor, tenant, token });
        } else {
            self.arm_accept(token, acceptor);
        }
    }

    fn on_accepted(
        &mut self,
        socket: u32,
        (acceptor, token): (u32, Token),
        completions: &mut Vec<Completion<Buffer>>,
    ) {
        let acceptor_state = &self.sockets[acceptor as usize];
        let (family, acceptor_tenant) = (acceptor_state.family, acceptor_state.tenant);
        let acceptor_open = acceptor_state.is_open();
        self.occupy(socket, (Kind::Stream, family), completions);
        if !acceptor_open {
            self.close_silently(socket);
            return;
        }
        let message = self.operations.message();
        let entry = entries::peer_name(socket, message.address(), family.address_bytes());
        let ticket = self.operations.insert(Operation::PeerName {
            socket,
            acceptor,
            acceptor_tenant,
            token,
            message,
        });
        // SAFETY: the address is written into the message that the operation owns.
        unsafe { self.start(socket, ticket, entry) };
    }

    pub(crate) fn on_peer_name(
        &mut self,
        ticket: Ticket,
        event: Event,
        completions: &mut Vec<Completion<Buffer>>,
    ) {
        let Some(Operation::PeerName { socket, acceptor, acceptor_tenant, token, message }) =
            self.operations.remove(ticket)
        else {
            return;
        };
        self.sockets[socket as usize].in_flight_count -= 1;
        let family = self.sockets[socket as usize].family;
        let peer = (event.result >= 0)
            .then(|| address::read(&message.address.bytes[..family.address_bytes()]))
            .flatten();
        self.operations.recycle(message);
        let asked_by = &self.sockets[acceptor as usize];
        let wanted = asked_by.tenant == acceptor_tenant && asked_by.phase == Phase::Open;
        match peer {
            Some(peer) if wanted => {
                let socket = self.name(socket);
                completions.push(Completion::Accepted { token, socket, peer });
            }
            // The peer has gone already, or the acceptor.
            _ => self.close_silently(socket),
        }
    }
}
