//! Small sends of streams, which the kernel answers by silence.
//!
//! Nearly every answer fits into its socket's buffer, and the kernel takes it while it takes the
//! entry. `MSG_DONTWAIT` makes that the only way: a send is over when its entry was taken, and its
//! memory is free. `CQE_SKIP_SUCCESS` spares the event of one that went as a whole; only one that
//! did not makes itself heard (`MSG_WAITALL` makes a short one a failure), by an event that is
//! there when the call returns. So when everything was handed over and the events of that call have
//! been looked at, silence means sent.
//!
//! ```text
//! send_promptly ──► submission queue ──handed over──► silence: Sent
//!                                         └── event ──► goes on as an operation, or failed
//! ```
//!
//! *Invariants:* nothing is taken out of the list before the kernel has taken every entry and every
//! event until then was looked at; the machine does not sleep before that.

use std::io;

use io_uring::squeue;
use shards_runtime::{Completion, Gather, Token};

use crate::buffers::Buffer;
use crate::kernel::Event;
use crate::machine::UringIo;
use crate::operations::{Sending, user_data};
use crate::send::{PROMPT_FLAGS, STREAM_FLAGS, is_passing};
use crate::sockets::{Kind, SendState};

/// A longer send may well find no room for all of it at once, and then would cost two.
pub(crate) const PROMPT_BYTES_MAX: usize = 16 * 1024;

/// Sends that were neither told of nor found failed.
#[derive(Default)]
pub(crate) struct Prompts {
    list: Vec<Prompt>,
}

struct Prompt {
    socket: u32,
    tenant: u32,
    token: Token,
    /// The kernel has said what became of it, or nobody wants to know.
    is_settled: bool,
    gather: Gather,
    total: usize,
}

impl Prompts {
    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

impl UringIo {
    /// Sends what the kernel will most likely take at once.
    pub(crate) fn send_promptly(
        &mut self,
        token: Token,
        slot: u32,
        (gather, total): (Gather, usize),
    ) {
        let entry = self.stream_entry(slot, &gather, (0, PROMPT_FLAGS));
        self.push_prompt(token, slot, (gather, total), entry);
    }

    /// Queues such a send, and remembers it.
    pub(crate) fn push_prompt(
        &mut self,
        token: Token,
        slot: u32,
        (gather, total): (Gather, usize),
        entry: squeue::Entry,
    ) {
        let state = &mut self.sockets[slot as usize];
        state.sending = SendState::Prompt;
        let tenant = state.tenant;
        let index = self.prompts.list.len() as u64;
        let entry = entry.flags(squeue::Flags::SKIP_SUCCESS).user_data(user_data::PROMPT | index);
        self.prompts.list.push(Prompt {
            socket: slot,
            tenant,
            token,
            is_settled: false,
            gather,
            total,
        });
        // SAFETY: the list keeps the gather until the kernel has taken the entry, and with
        // MSG_DONTWAIT it is done with it then; its bytes lie on the heap or are static and so do
        // not move with it. The list of parts stays staged for as long.
        unsafe { self.kernel.push(entry) };
    }

    /// Looks at new events for sends that did not go as a whole: those go on, or have failed.
    pub(crate) fn look_for_failed(
        &mut self,
        from: usize,
        completions: &mut Vec<Completion<Buffer>>,
    ) {
        for at in from..self.events.len() {
            let event = self.events[at];
            if event.user_data >> 56 == user_data::PROMPT >> 56 {
                self.on_prompt_failed(event, completions);
            }
        }
    }

    /// One of them made itself heard.
    pub(crate) fn on_prompt_failed(
        &mut self,
        event: Event,
        completions: &mut Vec<Completion<Buffer>>,
    ) {
        let index = event.user_data as u32 as usize;
        let prompt = &mut self.prompts.list[index];
        prompt.is_settled = true;
        let Prompt { socket, tenant, token, total, .. } = *prompt;
        let gather = std::mem::take(&mut prompt.gather);
        let state = &mut self.sockets[socket as usize];
        if state.tenant != tenant || !state.takes_bytes() {
            return;
        }
        let sent = match event.result {
            code if code >= 0 => code as usize,
            code if is_passing(Kind::Stream, -code) => 0,
            code => {
                state.sending = SendState::Idle;
                if state.is_open() {
                    let result = Err(io::Error::from_raw_os_error(-code));
                    completions.push(Completion::Sent { token, result });
                }
                return self.close_when_quiet(socket);
            }
        };
        self.counters.sends_continued += 1;
        let more = if state.is_open() { 0 } else { libc::MSG_MORE };
        let entry = self.stream_entry(socket, &gather, (sent, STREAM_FLAGS | more));
        let sending = Sending { socket, token, gather, sent, total, message: None };
        let ticket = self.operations.insert_send(sending);
        self.sockets[socket as usize].sending = SendState::Operation(ticket);
        // SAFETY: as in `send`.
        unsafe { self.start(socket, ticket, entry) };
    }

    /// All were handed over, and those that failed are known: the others are sent.
    pub(crate) fn confirm_prompts(&mut self, completions: &mut Vec<Completion<Buffer>>) {
        let mut list = std::mem::take(&mut self.prompts.list);
        for prompt in list.drain(..) {
            let state = &mut self.sockets[prompt.socket as usize];
            if prompt.is_settled || state.tenant != prompt.tenant {
                continue;
            }
            state.sending = SendState::Idle;
            if state.is_open() {
                let (token, result) = (prompt.token, Ok(prompt.total));
                completions.push(Completion::Sent { token, result });
            } else {
                self.close_when_quiet(prompt.socket);
            }
        }
        // Nothing was sent meanwhile: its memory is used again.
        self.prompts.list = list;
    }
}
