//! The last send of a stream, with the close behind it.
//!
//! `MSG_MORE` keeps the last segment in the socket until the close follows, which puts the end of
//! the connection into it: the far end gets one segment instead of two, and is woken once. Where
//! nothing else is in flight the close is linked to the send (`IO_LINK`): both leave with one call,
//! and a send that was short breaks the link, goes on, and closes when it is through.
//!
//! *Invariant:* a socket that ends is closed only when all was sent, when that failed, or when
//! somebody asked for its close meanwhile.

use io_uring::types::Fixed;
use io_uring::{opcode, squeue};
use shards_runtime::{Gather, PIECES_PER_SEND_MAX, Socket, Token};

use crate::machine::UringIo;
use crate::operations::{Operation, Sending};
use crate::prompt::PROMPT_BYTES_MAX;
use crate::send::{PROMPT_FLAGS, STREAM_FLAGS};
use crate::sockets::{Kind, Phase, Receiving, SendState};

impl UringIo {
    pub(crate) fn finish_stream(&mut self, token: Token, socket: Socket, gather: Gather) {
        let Some(slot) = self.slot(socket) else { return };
        let state = &mut self.sockets[slot as usize];
        assert!(state.sending == SendState::Idle, "one send at a time for each stream");
        debug_assert_eq!(state.kind, Kind::Stream);
        assert!(gather.len() <= PIECES_PER_SEND_MAX, "a send has a bounded number of pieces");
        let total = gather.iter().map(|piece| piece.as_slice().len()).sum();
        if total == 0 {
            return self.close(token, socket);
        }
        state.phase = Phase::Ending(token);
        match state.receiving {
            Receiving::Armed(ticket) => self.cancel(ticket),
            Receiving::Starved(_) | Receiving::Held(_) => state.receiving = Receiving::Idle,
            Receiving::Idle | Receiving::Pausing { .. } => {}
        }
        if total > PROMPT_BYTES_MAX {
            let entry = self.stream_entry(slot, &gather, (0, STREAM_FLAGS | libc::MSG_MORE));
            let sending = Sending { socket: slot, token, gather, sent: 0, total, message: None };
            let ticket = self.operations.insert_send(sending);
            self.sockets[slot as usize].sending = SendState::Operation(ticket);
            // SAFETY: as in `send`.
            return unsafe { self.start(slot, ticket, entry) };
        }
        let entry = self.stream_entry(slot, &gather, (0, PROMPT_FLAGS | libc::MSG_MORE));
        let state = &self.sockets[slot as usize];
        if state.in_flight_count > 0 || !self.kernel.has_room_for(2) {
            // The close follows when the send is known to be through.
            return self.push_prompt(token, slot, (gather, total), entry);
        }
        let tenant = state.tenant;
        self.push_prompt(token, slot, (gather, total), entry.flags(squeue::Flags::IO_LINK));
        let ticket = self.operations.insert(Operation::Close { socket: slot, tenant });
        let entry = opcode::Close::new(Fixed(slot)).build();
        // SAFETY: the entry names no memory.
        unsafe { self.start(slot, ticket, entry) };
    }
}
