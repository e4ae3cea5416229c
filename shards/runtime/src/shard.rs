//! The tick: one bounded round of a shard.
//!
//! collect → completions → messages of each sibling → expired timers → end of tick → submit, sleep.
//!
//! Between two ticks a shard is asleep: its siblings ring when they send something. It sleeps
//! inside the next tick's [`Io::wait`], so that whoever drives ticks by hand sees the same as a
//! sibling.
//!
//! *Invariant:* every step has a bound, so the longest tick has one; [`Load::tick_us`] shows it.

use std::time::Instant;

use hdrhistogram::Histogram;
use shards_mesh::MeshPort;

use crate::context::Outbox;
use crate::wheel::Wheel;
use crate::{COMPLETIONS_PER_WAIT_MAX, Completion, Context, Io, ShardId, Token};

/// The most messages taken from one sibling in one tick.
pub const MESSAGES_PER_TICK_MAX: usize = 64;
/// The most timers fired in one tick.
pub const TIMERS_PER_TICK_MAX: usize = 256;

/// What a shard runs. One thread calls it; it never blocks and reads no clock but the context's.
pub trait Service<I: Io> {
    /// What crosses cores; at most 64 bytes, asserted at compile time.
    type Message: Send;

    /// Called once on the shard's thread before the first tick.
    fn on_start(&mut self, cx: &mut Context<'_, I, Self::Message>);
    /// An operation is done, or a step of a lasting one.
    fn on_completion(
        &mut self,
        cx: &mut Context<'_, I, Self::Message>,
        completion: Completion<I::Buffer>,
    );
    /// A sibling, or the control plane, says something.
    fn on_message(
        &mut self,
        cx: &mut Context<'_, I, Self::Message>,
        from: ShardId,
        message: Self::Message,
    );
    /// A timer that was armed with [`Context::arm`] fired; it may be out of date.
    fn on_timer(&mut self, cx: &mut Context<'_, I, Self::Message>, token: Token);
    /// The tick ends: the place for work that is gathered over a tick.
    fn on_tick_end(&mut self, cx: &mut Context<'_, I, Self::Message>);
    /// When [`Service::on_tick_end`] wants to run again at the latest.
    fn deadline(&self) -> Option<Instant>;
}

/// How busy a shard has been since its counters were last taken.
#[derive(Debug)]
pub struct Load {
    /// Length of ticks without sleep, microseconds.
    pub tick_us: Histogram<u32>,
    /// Ticks since the start.
    pub ticks_count: u64,
    /// Time not slept since the start, microseconds.
    pub busy_us: u64,
}

/// Service, machine, mesh port and timers of one core.
pub struct Shard<I: Io, S: Service<I>> {
    io: I,
    service: S,
    port: MeshPort<S::Message>,
    outbox: Outbox<S::Message>,
    wheel: Wheel,
    load: Load,
    completions: Vec<Completion<I::Buffer>>,
    messages: Vec<S::Message>,
    expired: Vec<Token>,
    more_due: bool,
    /// Until when it sleeps.
    until: Option<Instant>,
    stop: bool,
}

macro_rules! context {
    ($shard:ident) => {
        Context {
            io: &mut $shard.io,
            port: &mut $shard.port,
            outbox: &mut $shard.outbox,
            wheel: &mut $shard.wheel,
            load: &mut $shard.load,
            stop: &mut $shard.stop,
        }
    };
}

impl<I: Io, S: Service<I>> Shard<I, S> {
    /// Puts a shard together and lets its service set itself up.
    #[must_use]
    pub fn new(io: I, port: MeshPort<S::Message>, service: S) -> Self {
        const { assert!(size_of::<S::Message>() <= 64, "a message is one cache line") };
        let mut shard = Shard {
            wheel: Wheel::new(io.now()),
            outbox: Outbox::new(port.participants()),
            load: Load {
                tick_us: Histogram::new_with_bounds(1, 10_000_000, 2).expect("valid bounds"),
                ticks_count: 0,
                busy_us: 0,
            },
            completions: Vec::with_capacity(COMPLETIONS_PER_WAIT_MAX),
            messages: Vec::with_capacity(MESSAGES_PER_TICK_MAX),
            expired: Vec::with_capacity(TIMERS_PER_TICK_MAX),
            more_due: false,
            until: Some(io.now()),
            stop: false,
            io,
            port,
            service,
        };
        shard.service.on_start(&mut context!(shard));
        shard.publish();
        shard
    }

    /// Runs ticks until the service stops the shard, then returns the service.
    pub fn run(mut self) -> S {
        while self.tick() {}
        self.service
    }

    /// One round. Returns false once the service has asked to stop and nothing that it said still
    /// waits to be sent.
    pub fn tick(&mut self) -> bool {
        self.collect();
        let mut completions = std::mem::take(&mut self.completions);
        for completion in completions.drain(..) {
            self.service.on_completion(&mut context!(self), completion);
        }
        self.completions = completions;
        self.take_messages();
        self.fire_timers();
        self.service.on_tick_end(&mut context!(self));
        self.publish();
        if self.stop && self.outbox.is_empty() {
            // Doorbells leave with a submission, and there will be no other.
            self.io.flush();
            return false;
        }
        self.fall_asleep();
        true
    }

    /// Until when it sleeps if nothing arrives; `None`: for ever. For whoever drives ticks by hand.
    #[must_use]
    pub fn sleeps_until(&self) -> Option<Instant> {
        self.until
    }

    fn wake_at(&self) -> Option<Instant> {
        if self.more_due || !self.outbox.is_empty() {
            return Some(self.io.now());
        }
        [self.service.deadline(), self.wheel.deadline()].into_iter().flatten().min()
    }

    /// Messages that found their queue full and wait for room.
    #[must_use]
    pub fn messages_waiting(&self) -> usize {
        self.outbox.len()
    }

    /// Entries of the timer that have not fired.
    #[must_use]
    pub fn timers_count(&self) -> usize {
        self.wheel.len()
    }

    /// The service, to look at.
    #[must_use]
    pub fn service(&self) -> &S {
        &self.service
    }

    /// The service, for a test that plants something in it.
    pub fn service_mut(&mut self) -> &mut S {
        &mut self.service
    }

    /// Makes the tick's messages visible and wakes who sleeps.
    fn publish(&mut self) {
        self.outbox.retry(&mut self.port);
        let io = &mut self.io;
        self.port.publish(|sibling| io.doorbell(ShardId(sibling as u16)));
    }

    fn collect(&mut self) {
        self.io.wait(self.until, &mut self.completions);
        self.port.awake();
        assert!(self.completions.len() <= COMPLETIONS_PER_WAIT_MAX, "a wait is bounded");
    }

    fn fall_asleep(&mut self) {
        // Work of the last tick that happens inside the kernel (the sends themselves) belongs to
        // that tick: hand it over before the clock is read.
        self.io.flush();
        let busy_us = self.io.since_wait().as_micros() as u64;
        self.load.ticks_count += 1;
        self.load.busy_us += busy_us;
        self.load.tick_us.saturating_record(busy_us.max(1));
        self.until = if self.port.sleep() { self.wake_at() } else { Some(self.io.now()) };
    }

    fn take_messages(&mut self) {
        self.more_due = false;
        for from in 0..self.port.participants() {
            if from == self.port.me() {
                continue;
            }
            let mut messages = std::mem::take(&mut self.messages);
            let count = self.port.receive(from, MESSAGES_PER_TICK_MAX, |m| messages.push(m));
            self.more_due |= count == MESSAGES_PER_TICK_MAX;
            for message in messages.drain(..) {
                self.service.on_message(&mut context!(self), ShardId(from as u16), message);
            }
            self.messages = messages;
        }
    }

    fn fire_timers(&mut self) {
        let mut expired = std::mem::take(&mut self.expired);
        let now = self.io.now();
        self.more_due |= self.wheel.expire(now, TIMERS_PER_TICK_MAX, |token| expired.push(token));
        for token in expired.drain(..) {
            self.service.on_timer(&mut context!(self), token);
        }
        self.expired = expired;
    }
}
