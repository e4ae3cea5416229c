//! What a service is handed with every event: its machine, its end of the mesh, its timers.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use shards_mesh::MeshPort;

use crate::wheel::Wheel;
use crate::{Io, Load, Op, ShardId, Token};

/// The most control messages that may wait for one sibling. Their number is bounded by what a
/// shard may have outstanding, so that reaching this is a bug and not a condition.
pub const OUTBOX_MAX: usize = 1 << 21;

/// Messages that found their queue full and must not be lost, by receiver, in order.
#[derive(Debug)]
pub(crate) struct Outbox<M> {
    waiting: Vec<VecDeque<M>>,
    count: usize,
}

impl<M: Send> Outbox<M> {
    pub(crate) fn new(participants: usize) -> Self {
        Outbox { waiting: (0..participants).map(|_| VecDeque::new()).collect(), count: 0 }
    }

    /// Tries again, in order, what found its queue full.
    pub(crate) fn retry(&mut self, port: &mut MeshPort<M>) {
        if self.count == 0 {
            return;
        }
        for (to, waiting) in self.waiting.iter_mut().enumerate() {
            while let Some(message) = waiting.pop_front() {
                if let Err(message) = port.send(to, message) {
                    waiting.push_front(message);
                    break;
                }
                self.count -= 1;
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }
}

/// Everything a service may do to the world, for the length of one event.
pub struct Context<'a, I: Io, M> {
    pub(crate) io: &'a mut I,
    pub(crate) port: &'a mut MeshPort<M>,
    pub(crate) outbox: &'a mut Outbox<M>,
    pub(crate) wheel: &'a mut Wheel,
    pub(crate) load: &'a mut Load,
    pub(crate) stop: &'a mut bool,
}

impl<I: Io, M: Send> Context<'_, I, M> {
    /// The monotonic clock, fixed within a tick.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.io.now()
    }

    /// Time since the Unix epoch, fixed within a tick.
    #[must_use]
    pub fn wall_clock(&self) -> Duration {
        self.io.wall_clock()
    }

    /// This shard's number.
    #[must_use]
    pub fn me(&self) -> ShardId {
        ShardId(self.port.me() as u16)
    }

    /// How many participants the mesh has; the last one is the control plane.
    #[must_use]
    pub fn participants(&self) -> usize {
        self.port.participants()
    }

    /// The control plane's number.
    #[must_use]
    pub fn control(&self) -> ShardId {
        ShardId((self.port.participants() - 1) as u16)
    }

    /// Asks the machine for an operation.
    pub fn submit(&mut self, token: Token, op: Op) {
        self.io.submit(token, op);
    }

    /// The machine, for set-up calls and counters.
    pub fn io(&mut self) -> &mut I {
        self.io
    }

    /// How busy this shard has been; what is read may also be reset.
    pub fn load(&mut self) -> &mut Load {
        self.load
    }

    /// Fires [`crate::Service::on_timer`] with `token` at `at` or a little later. Entries cannot be
    /// moved: hold one at a time and compare with the real deadline when it fires.
    pub fn arm(&mut self, at: Instant, token: Token) {
        self.wheel.arm(at, token);
    }

    /// Sends a message that may be refused: its sender has another way to catch up.
    ///
    /// # Errors
    /// Gives the message back when the queue is full, or when control messages to the same
    /// receiver still wait (order is kept).
    pub fn send(&mut self, to: ShardId, message: M) -> Result<(), M> {
        if !self.outbox.waiting[to.index()].is_empty() {
            return Err(message);
        }
        self.port.send(to.index(), message)
    }

    /// Sends a message that must arrive: if the queue is full it waits in the outbox, in order.
    pub fn send_surely(&mut self, to: ShardId, message: M) {
        if let Err(message) = self.send(to, message) {
            let waiting = &mut self.outbox.waiting[to.index()];
            assert!(waiting.len() < OUTBOX_MAX, "more control messages than can be outstanding");
            waiting.push_back(message);
            self.outbox.count += 1;
        }
    }

    /// How many messages wait in the outbox, for all siblings together: a service that sends surely
    /// what clients make it send has to stop listening to them before [`OUTBOX_MAX`].
    pub fn waiting_count(&self) -> usize {
        self.outbox.len()
    }

    /// Ends the shard after this tick.
    pub fn stop(&mut self) {
        *self.stop = true;
    }
}
