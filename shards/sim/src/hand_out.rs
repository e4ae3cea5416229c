//! The moment a service learns of a completion: what it may do changes with it, and the trace keeps
//! it.

use std::io;

use shards_runtime::{COMPLETIONS_PER_WAIT_MAX, Completion, End, Socket};

use crate::buffer::SimBuffer;
use crate::machine::Machine;
use crate::trace::Trace;
use crate::world::State;

impl State {
    /// Hands out what is done, at most as much as one wait may.
    pub(crate) fn hand_out(
        &mut self,
        machine: usize,
        completions: &mut Vec<Completion<SimBuffer>>,
    ) {
        let now_ns = self.now_ns;
        let mut count_max = COMPLETIONS_PER_WAIT_MAX;
        let partial = self.faults.wait_partial;
        if self.prng.chance(partial) {
            count_max = 1 + self.prng.index(8);
        }
        for _ in 0..count_max {
            let it = &mut self.machines[machine];
            let Some((&(due_ns, sequence), _)) = it.done.first_key_value() else { break };
            if due_ns > now_ns {
                break;
            }
            let done = it.done.remove(&(due_ns, sequence)).expect("it was just seen");
            it.note_handed_out(&done.completion, done.socket);
            self.trace.word(now_ns);
            self.trace.word(machine as u64);
            note(&mut self.trace, &done.completion);
            completions.push(done.completion);
        }
    }
}

impl Machine {
    /// The service learns of it now.
    fn note_handed_out(&mut self, completion: &Completion<SimBuffer>, socket: Option<u32>) {
        match completion {
            Completion::Connected { token, result } => {
                self.tenants.end_connect(*token, result.as_ref().ok().copied());
            }
            Completion::Sent { .. } => {
                if let Some(descriptor) = socket.and_then(|socket| self.descriptor(socket)) {
                    descriptor.send_asked = false;
                }
            }
            Completion::Closed { .. } => {
                let socket = socket.expect("a close is of a socket");
                self.sockets[socket as usize] = None;
                self.tenants.close(Socket(socket));
            }
            _ => {}
        }
    }
}

/// Adds to the trace what a service is told.
fn note(trace: &mut Trace, completion: &Completion<SimBuffer>) {
    let number = |error: &io::Error| error.raw_os_error().unwrap_or(0) as u64;
    let (kind, token, value) = match completion {
        Completion::Accepted { token, socket, peer } => {
            (1, token, u64::from(socket.0) << 16 | u64::from(peer.port()))
        }
        Completion::AcceptFailed { token, error } => (2, token, number(error)),
        Completion::Received { token, buffer } => {
            trace.bytes(buffer);
            (3, token, 0)
        }
        Completion::ReceivedFrom { token, peer, buffer, segment_size } => {
            trace.bytes(buffer);
            (4, token, u64::from(segment_size.unwrap_or(0)) << 16 | u64::from(peer.port()))
        }
        Completion::Ended { token, end: End::Eof } => (5, token, 0),
        Completion::Ended { token, end: End::Paused } => (6, token, 0),
        Completion::Ended { token, end: End::Failed(error) } => (7, token, number(error)),
        Completion::Sent { token, result: Ok(count) } => (8, token, *count as u64),
        Completion::Sent { token, result: Err(error) } => (9, token, number(error)),
        Completion::Connected { token, result: Ok(socket) } => (10, token, u64::from(socket.0)),
        Completion::Connected { token, result: Err(error) } => (11, token, number(error)),
        Completion::Closed { token } => (12, token, 0),
        Completion::Icmp { token, peer, icmp } => {
            let said = u64::from(icmp.kind) << 24 | u64::from(icmp.code) << 16;
            (13, token, said | u64::from(peer.port()))
        }
    };
    trace.word(kind << 56 | u64::from(token.slot));
    trace.word(u64::from(token.generation));
    trace.word(value);
}
