//! A feed: one rendition of one session as this shard holds it.
//!
//! The plain rendition comes from the source, or chunk by chunk from the shard that has it. The
//! titled one is derived from it on each shard that has titled listeners: it shares the chunks, so
//! that only titles and never title blocks cross cores.
//!
//! The window holds references to the chunks; listeners are cursors into it, spread over *phases*
//! so that each tick serves a slice of them. At the owner, other shards that have listeners are
//! cursors too: whoever is behind the window has lost its place, and nobody waits for him.
//!
//! * A listener is in exactly one phase of one feed; `Listener::position` is its place there.
//! * A feed without listeners and subscribers goes away, unless its source is on this shard.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use media_mount::{Chunk, Gap, Titled, Window, WindowLimits};
use shards_runtime::{ShardId, Token};

use crate::message::Message;
use crate::mutant::mutant;
use crate::snapshot::{Session, SessionId};

/// Width of a flush slot: listeners of one phase are served together. Milliseconds.
pub(crate) const PHASE_MS: u64 = 10;

/// Which of a session's two byte streams: the source's own, or the one with title blocks inside.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub(crate) enum Rendition {
    /// As the source sent it, framed.
    Plain,
    /// With a title block every `metaint` bytes.
    Titled,
}

/// Names a window: one rendition of one session.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub(crate) struct FeedKey {
    pub(crate) session: SessionId,
    pub(crate) rendition: Rendition,
}

/// A listener is sent to at least once for this many bytes, however long `flush_ms` is: a fast
/// stream must not use up a player's burst between two sends. Where the burst is small, half of it.
const FLUSH_BYTES_MAX: u64 = 24 * 1024;
/// Below this a send costs what it costs.
const FLUSH_BYTES_MIN: u64 = 2 * 1024;
/// How long the rate of a feed is averaged over.
const RATE_WINDOW: Duration = Duration::from_secs(3);
/// Sends in each `flush_ms` while the rate of a feed is not known yet.
const SENDS_AT_FIRST: usize = 4;

/// Where a feed's chunks come from.
pub(crate) enum Role {
    /// The source is here; these shards want its chunks.
    Owner(Vec<Subscriber>),
    /// Another shard sends them.
    Subscriber,
    /// They are made from the plain feed's.
    Derived,
}

/// A shard that hears a feed of ours.
pub(crate) struct Subscriber {
    shard: ShardId,
    /// Next offset to send.
    cursor: u64,
    /// Preludes before this count of all preludes ever set have been sent.
    preludes_sent: u64,
    end_sent: bool,
}

/// A numbered history of something that is in force from an offset on.
#[derive(Default)]
struct History {
    /// Number of the first entry kept.
    first: u64,
    entries: VecDeque<(u64, Bytes)>,
}

/// One rendition of one session on this shard.
pub(crate) struct Feed {
    pub(crate) key: FeedKey,
    pub(crate) session: Session,
    pub(crate) window: Window,
    pub(crate) role: Role,
    /// Nothing more will come.
    pub(crate) ended_at: Option<Instant>,
    /// Where the session stood when this shard subscribed; until the window has come so far it
    /// holds a part of the past, and is no place for who wants the present.
    pub(crate) live_from: u64,
    /// Some listener's home is routed elsewhere: look at each when it is served.
    pub(crate) rerouted: bool,
    /// Since when nobody has heard it.
    pub(crate) idle_since: Option<Instant>,
    /// Sent to listeners here.
    pub(crate) bytes_sent: u64,
    pub(crate) slow_listeners: u64,
    pub(crate) burst_bytes: u64,
    /// The titled feed made from this plain one, and its maker.
    pub(crate) titled: Option<(Token, Box<Titled>)>,
    /// The session's current title block; kept by the plain feed.
    pub(crate) title_block: Bytes,
    phases: Vec<Vec<Token>>,
    next_phase: usize,
    /// How often each listener is sent to in the time that all phases take.
    sends_per_round: usize,
    /// The window's head when the rate was last measured, and when that was.
    measured: (u64, Instant),
    listeners_count: usize,
    preludes: History,
}

impl Feed {
    pub(crate) fn new(
        key: FeedKey,
        session: Session,
        role: Role,
        limits: WindowLimits,
        timing: (u64, u64),
        now: Instant,
    ) -> Self {
        let (flush_ms, burst_bytes) = timing;
        let phases_count = (flush_ms / PHASE_MS).max(1) as usize;
        let live_from = if matches!(role, Role::Subscriber) { u64::MAX } else { 0 };
        Feed {
            key,
            session,
            window: Window::new(limits),
            role,
            ended_at: None,
            live_from,
            rerouted: false,
            idle_since: Some(now),
            bytes_sent: 0,
            slow_listeners: 0,
            burst_bytes,
            titled: None,
            title_block: Bytes::new(),
            phases: (0..phases_count).map(|_| Vec::new()).collect(),
            next_phase: 0,
            sends_per_round: SENDS_AT_FIRST.min(phases_count),
            measured: (0, now),
            listeners_count: 0,
            preludes: History::default(),
        }
    }

    /// Takes a listener in; the answer is its phase and its place there.
    pub(crate) fn add(&mut self, token: Token) -> (u16, u32) {
        let phase = self.next_phase;
        self.next_phase = (phase + 1) % self.phases.len();
        self.phases[phase].push(token);
        self.listeners_count += 1;
        self.idle_since = None;
        (phase as u16, (self.phases[phase].len() - 1) as u32)
    }

    /// Lets a listener go. Whoever took its place is returned, to be told of it.
    pub(crate) fn remove(&mut self, phase: u16, position: u32, now: Instant) -> Option<Token> {
        let phase = &mut self.phases[usize::from(phase)];
        phase.swap_remove(position as usize);
        self.listeners_count -= 1;
        if self.listeners_count == 0 {
            self.idle_since = Some(now);
        }
        phase.get(position as usize).copied()
    }

    pub(crate) fn listeners_count(&self) -> usize {
        self.listeners_count
    }

    pub(crate) fn phases_count(&self) -> usize {
        self.phases.len()
    }

    /// The phases that are due in a slot: one, or several evenly apart where the stream is fast.
    pub(crate) fn due_phases(&self, slot: u64) -> impl Iterator<Item = usize> + use<> {
        let (count, sends) = (self.phases.len(), self.sends_per_round);
        let first = (slot % count as u64) as usize;
        (0..sends).map(move |send| (first + send * count / sends) % count)
    }

    /// Takes over the rate of the feed that this one is made from, its backlog not counted.
    pub(crate) fn adopt_rate(&mut self, sends_per_round: usize, now: Instant) {
        self.sends_per_round = sends_per_round;
        self.measured = (self.window.head(), now);
    }

    /// How often each listener is sent to in the time that all phases take.
    pub(crate) fn sends_per_round(&self) -> usize {
        self.sends_per_round
    }

    /// Measures the feed's rate every [`RATE_WINDOW`], and sets how often its listeners are sent
    /// to.
    pub(crate) fn measure(&mut self, now: Instant) {
        let (head_before, at) = self.measured;
        if now < at + RATE_WINDOW {
            return;
        }
        self.measured = (self.window.head(), now);
        if head_before == 0 {
            // What came first was a backlog, and says nothing of the rate.
            return;
        }
        let bytes = self.window.head().saturating_sub(head_before);
        let round_ms = self.phases.len() as u64 * PHASE_MS;
        let bytes_per_round = bytes * round_ms / (now - at).as_millis() as u64;
        // To the nearest, so that a rate that is just above does not double the cost.
        let flush_bytes = (self.burst_bytes / 2).clamp(FLUSH_BYTES_MIN, FLUSH_BYTES_MAX);
        let sends = (bytes_per_round + flush_bytes / 2) / flush_bytes;
        self.sends_per_round = (sends as usize).clamp(1, self.phases.len());
    }

    /// The listeners of a phase.
    pub(crate) fn phase(&self, phase: usize) -> &[Token] {
        &self.phases[phase]
    }

    /// All listeners.
    pub(crate) fn listeners(&self) -> impl Iterator<Item = Token> + '_ {
        self.phases.iter().flatten().copied()
    }

    /// Whether there is nowhere to join yet.
    pub(crate) fn is_silent(&self) -> bool {
        self.window.join_live().is_none()
    }

    /// Takes the next chunk. After a gap the window begins anew; what comes again is refused.
    pub(crate) fn push(&mut self, chunk: Chunk) -> Result<(), Gap> {
        let pushed = self.window.push(chunk);
        let oldest = self.window.oldest();
        self.preludes.forget(oldest);
        pushed
    }

    /// Whether its newest chunk is of the present.
    pub(crate) fn is_live(&self) -> bool {
        self.ended_at.is_some() || self.window.head() >= self.live_from
    }

    pub(crate) fn set_prelude(&mut self, from_offset: u64, prelude: Bytes) {
        self.window.set_prelude(from_offset, prelude.clone());
        self.preludes.entries.push_back((from_offset, prelude));
    }

    /// A shard wants this feed: it starts where a listener with a burst would.
    pub(crate) fn subscribe(&mut self, shard: ShardId) {
        let join = self.window.join(self.burst_bytes);
        let cursor = join.map_or(self.window.head(), |join| join.cursor.offset());
        let preludes_sent = self.preludes.first;
        let Role::Owner(subscribers) = &mut self.role else { return };
        subscribers.retain(|subscriber| subscriber.shard != shard);
        if mutant!(SubscriberForgotten) && !subscribers.is_empty() {
            return;
        }
        subscribers.push(Subscriber { shard, cursor, preludes_sent, end_sent: false });
    }

    /// The shards that hear it.
    pub(crate) fn subscribers(&self) -> Vec<ShardId> {
        match &self.role {
            Role::Owner(subscribers) => subscribers.iter().map(|s| s.shard).collect(),
            Role::Subscriber | Role::Derived => Vec::new(),
        }
    }

    /// The shards that do not know yet that it is over.
    pub(crate) fn untold(&self) -> Vec<ShardId> {
        let Role::Owner(subscribers) = &self.role else { return Vec::new() };
        subscribers.iter().filter(|s| !s.end_sent).map(|s| s.shard).collect()
    }

    pub(crate) fn unsubscribe(&mut self, shard: ShardId) {
        if let Role::Owner(subscribers) = &mut self.role {
            subscribers.retain(|subscriber| subscriber.shard != shard);
        }
    }

    /// Sends subscribers what they have not had, as far as their queues take it. Returns chunks
    /// sent and whether somebody still waits.
    pub(crate) fn publish(
        &mut self,
        mut send: impl FnMut(ShardId, Message) -> Result<(), Message>,
    ) -> Published {
        let mut published = Published::default();
        let Role::Owner(subscribers) = &mut self.role else { return published };
        let ended = self.ended_at.is_some();
        let session = self.key.session;
        for subscriber in subscribers.iter_mut().filter(|subscriber| !subscriber.end_sent) {
            let shard = subscriber.shard;
            let mut refused = false;
            for (number, (from_offset, prelude)) in self.preludes.since(subscriber.preludes_sent) {
                let (from_offset, prelude) = (*from_offset, prelude.clone());
                if send(shard, Message::Prelude { session, from_offset, prelude }).is_err() {
                    refused = true;
                    break;
                }
                subscriber.preludes_sent = number + 1;
            }
            if !refused {
                for chunk in self.window.chunks(subscriber.cursor) {
                    let next = chunk.end();
                    if send(shard, Message::Publish { session, chunk }).is_err() {
                        refused = true;
                        if mutant!(ChunkLostOnFullQueue) {
                            subscriber.cursor = next;
                        }
                        break;
                    }
                    subscriber.cursor = next;
                    published.chunks_count += 1;
                }
            }
            if !refused && ended && !mutant!(EndNeverTold) {
                refused = send(shard, Message::FeedEnd(session)).is_err();
                subscriber.end_sent = !refused;
            }
            published.waiting |= refused;
            published.refusals_count += u64::from(refused);
        }
        published
    }

    /// Whether nobody needs it: no source here, no listener, no subscriber.
    pub(crate) fn is_forsaken(&self, now: Instant, linger: Duration) -> bool {
        let subscribed = match &self.role {
            Role::Owner(subscribers) => {
                if self.ended_at.is_none() {
                    return false;
                }
                subscribers.iter().any(|subscriber| !subscriber.end_sent)
            }
            Role::Subscriber | Role::Derived => false,
        };
        if self.titled.is_some() {
            return false;
        }
        let idle = self.idle_since.is_some_and(|since| now >= since + linger);
        let long_over = self.ended_at.is_some_and(|at| now >= at + ENDED_LINGER);
        self.listeners_count == 0 && idle && (!subscribed || long_over)
    }
}

/// How long an ended feed waits for subscribers that are behind.
const ENDED_LINGER: Duration = Duration::from_secs(5);

/// What [`Feed::publish`] did.
#[derive(Default)]
pub(crate) struct Published {
    pub(crate) chunks_count: u64,
    pub(crate) refusals_count: u64,
    pub(crate) waiting: bool,
}

impl History {
    /// Entries from a number on, with their numbers.
    fn since(&self, number: u64) -> impl Iterator<Item = (u64, &(u64, Bytes))> {
        let skip = number.saturating_sub(self.first) as usize;
        (self.first + skip as u64..).zip(self.entries.iter().skip(skip))
    }

    /// Drops entries that a later one replaces for every offset still in the window.
    fn forget(&mut self, oldest: u64) {
        while self.entries.len() > 1 && self.entries[1].0 <= oldest {
            self.entries.pop_front();
            self.first += 1;
        }
    }
}
