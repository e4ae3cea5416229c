//! Closing: end what is in flight, wait until all of it has ended, give the descriptor back.
//!
//! Operations are cancelled one by one, by their user data: cancelling "all of this file" makes
//! the kernel look through every armed poll of the ring, which is a scan over all listeners.

use io_uring::opcode;
use io_uring::types::{Fd, Fixed};
use shards_runtime::{Completion, Socket, Token};

use crate::buffers::Buffer;
use crate::kernel::Event;
use crate::machine::UringIo;
use crate::operations::{Operation, Ticket};
use crate::sockets::{Phase, Receiving, SendState, slot_of};

impl UringIo {
    pub(crate) fn close(&mut self, token: Token, socket: Socket) {
        let slot = slot_of(socket);
        let Some(state) = self.sockets.get(slot as usize) else { return };
        if state.name(slot) == socket && state.takes_bytes() {
            self.begin_close(slot, Some(token));
        }
    }

    /// Closes a socket that nobody above was told of.
    pub(crate) fn close_silently(&mut self, socket: u32) {
        self.begin_close(socket, None);
    }

    fn begin_close(&mut self, socket: u32, token: Option<Token>) {
        // What was asked before the close goes before it.
        self.emit_forwards();
        let state = &mut self.sockets[socket as usize];
        state.phase = Phase::Closing(token);
        if state.sending == SendState::Prompt {
            // The kernel takes it before the close.
            state.sending = SendState::Idle;
        }
        match state.receiving {
            Receiving::Armed(ticket) => self.cancel(ticket),
            Receiving::Starved(_) | Receiving::Held(_) => state.receiving = Receiving::Idle,
            Receiving::Idle | Receiving::Pausing { .. } => {}
        }
        // Sends of datagrams do not wait, nor do prompt ones, and so need no end.
        if let SendState::Operation(ticket) = self.sockets[socket as usize].sending {
            self.cancel(ticket);
        }
        self.close_when_quiet(socket);
    }

    /// Gives the descriptor back once nothing else is in flight on a socket that is being closed.
    pub(crate) fn close_when_quiet(&mut self, socket: u32) {
        let state = &self.sockets[socket as usize];
        let is_quiet = match state.phase {
            Phase::Closing(_) => state.in_flight_count == 0,
            Phase::Ending(_) => state.in_flight_count == 0 && state.sending == SendState::Idle,
            Phase::Free | Phase::Open => false,
        };
        if !is_quiet {
            return;
        }
        let tenant = state.tenant;
        let ticket = self.operations.insert(Operation::Close { socket, tenant });
        let entry = match self.overflow.give_away(socket) {
            None => opcode::Close::new(Fixed(socket)).build(),
            Some(descriptor) => opcode::Close::new(Fd(descriptor)).build(),
        };
        // SAFETY: the entry names no memory.
        unsafe { self.start(socket, ticket, entry) };
    }

    pub(crate) fn on_close(
        &mut self,
        ticket: Ticket,
        (socket, tenant): (u32, u32),
        event: Event,
        completions: &mut Vec<Completion<Buffer>>,
    ) {
        if event.result == -libc::ECANCELED {
            // It was linked to a send that did not go as a whole.
            self.finish(socket, ticket);
            return self.close_when_quiet(socket);
        }
        debug_assert!(event.result >= 0, "closing slot {socket}: {}", event.result);
        self.operations.remove(ticket);
        let state = &mut self.sockets[socket as usize];
        if state.tenant != tenant {
            return;
        }
        if let Phase::Closing(Some(token)) | Phase::Ending(token) = state.phase {
            completions.push(Completion::Closed { token });
        }
        state.release();
        self.overflow.release(socket);
    }

    /// A cancellation found nothing, or something that is running just now. Usually the operation
    /// has just ended; if it has not, a shutdown ends it from the other side.
    pub(crate) fn on_cancel_failed(&mut self, ticket: Ticket) {
        let socket = match self.operations.get_mut(ticket) {
            Some(Operation::Send(sending)) => sending.socket,
            Some(Operation::Receive { socket, .. } | Operation::Connect { socket, .. }) => *socket,
            Some(Operation::Accept { acceptor, .. }) => *acceptor,
            Some(Operation::Errors { socket, .. }) => *socket,
            _ => return,
        };
        if !matches!(self.sockets[socket as usize].phase, Phase::Closing(_)) {
            return;
        }
        let ticket = self.operations.insert(Operation::Shutdown { socket });
        let entry = opcode::Shutdown::new(Fixed(socket), libc::SHUT_RDWR).build();
        // SAFETY: the entry names no memory.
        unsafe { self.start(socket, ticket, entry) };
    }
}
