//! Server-sent events: what is published is encoded once, and everybody who listens on the shard is
//! sent that.
//!
//! ```text
//! publish ──► window: the last few frames ──► cursor of a subscriber ──► its answer
//! ```
//!
//! What waits for a subscriber is what stands between its cursor and the newest frame. So the
//! window is the queue of each, and its bounds are theirs; who is behind it has missed something
//! ([`AtLimit`]).
//!
//! *Invariant:* a frame exists once on a shard, however many it is sent to.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use protocol_http::{
    EVENT_STREAM_KEEP_ALIVE, EVENT_STREAM_TYPE, ServerEvent, Status, last_event_id,
};

use crate::body::{Body, More, Streamed, Waker};
use crate::program::{Answer, Block, Request};

/// What bounds a topic, and what happens there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicLimits {
    /// Subscribers at once; one beyond is answered 503.
    pub subscribers_max: usize,
    /// Events that wait for a subscriber, at most.
    pub events_max: usize,
    /// The same in bytes. The newest event is kept however long it is.
    pub bytes_max: usize,
    /// What happens to a subscriber that is slower than that.
    pub at_limit: AtLimit,
    /// After so much silence a subscriber is sent a comment, by which both sides find out when the
    /// other is gone. Has to be shorter than the site's bound for answers.
    pub keep_alive: Duration,
    /// How soon a client that was cut off is to come back.
    pub retry: Duration,
}

/// What happens to a subscriber that does not take events as fast as they come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtLimit {
    /// It misses the oldest, and a comment tells how many.
    Skip,
    /// Its answer ends. A browser comes back and says what it heard last.
    End,
}

/// What happened to a topic since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TopicCounters {
    /// Events published.
    pub published: u64,
    /// Times that an event was taken to be sent.
    pub sent: u64,
    /// Events that slow subscribers have missed, all together.
    pub missed: u64,
    /// Subscribers that were cut off because they were slow.
    pub ended: u64,
    /// Subscribers that were one too many.
    pub refused: u64,
}

/// Something that clients of a shard listen to. A clone is the same topic.
///
/// Shards have a topic each; [`crate::Everyone`] publishes on all.
#[derive(Clone, Debug)]
pub struct Topic(Rc<RefCell<Inner>>);

#[derive(Debug)]
struct Inner {
    limits: TopicLimits,
    counters: TopicCounters,
    window: VecDeque<Frame>,
    window_bytes: usize,
    /// The number of the window's first frame.
    tail: u64,
    /// By the number of their subscription.
    subscribers: BTreeMap<u64, Option<Waker>>,
    subscriptions_count: u64,
    keep_alive: Block,
}

#[derive(Debug)]
struct Frame {
    id: Option<Box<str>>,
    block: Block,
}

/// Somebody who listens.
#[derive(Debug)]
struct Subscriber {
    topic: Topic,
    number: u64,
    /// The number of the frame that it hears next.
    cursor: u64,
    /// When it was last sent something; nothing yet.
    heard: Option<Instant>,
}

impl Default for TopicLimits {
    fn default() -> TopicLimits {
        TopicLimits {
            subscribers_max: 4_096,
            events_max: 256,
            bytes_max: 256 * 1024,
            at_limit: AtLimit::Skip,
            keep_alive: Duration::from_secs(15),
            retry: Duration::from_secs(2),
        }
    }
}

impl Topic {
    /// A topic that nobody listens to yet.
    #[must_use]
    pub fn new(limits: TopicLimits) -> Topic {
        Topic(Rc::new(RefCell::new(Inner {
            limits,
            counters: TopicCounters::default(),
            window: VecDeque::new(),
            window_bytes: 0,
            tail: 0,
            subscribers: BTreeMap::new(),
            subscriptions_count: 0,
            keep_alive: Block::from(Bytes::from_static(EVENT_STREAM_KEEP_ALIVE)),
        })))
    }

    /// Tells everybody who listens on this shard. One that has an id is found again by clients that
    /// were cut off, as long as it is among the last ones.
    pub fn publish(&self, event: &ServerEvent<'_>) {
        let mut frame = Vec::new();
        event.encode(&mut frame);
        let mut inner = self.0.borrow_mut();
        inner.push(Frame { id: event.id.map(Box::from), block: Block::from(Bytes::from(frame)) });
        inner.counters.published += 1;
        inner.subscribers.values().flatten().for_each(Waker::wake);
    }

    /// Answers a request with what is published from now on, or since what the client says that it
    /// heard last. `None`: it is answered already, to `HEAD` or because there are too many.
    pub fn subscribe<S>(&self, request: &Request<'_>, answer: Answer<'_>) -> Streamed<S> {
        let mut inner = self.0.borrow_mut();
        if inner.subscribers.len() >= inner.limits.subscribers_max {
            inner.counters.refused += 1;
            answer.text(Status::SERVICE_UNAVAILABLE, "too many listen already");
            return None;
        }
        let response = answer.with(Status::OK).header("Content-Type", EVENT_STREAM_TYPE);
        // A proxy that gathers would keep events for itself.
        let lines = b"Cache-Control: no-store\r\nX-Accel-Buffering: no\r\n";
        if !response.raw_lines(lines).stream() {
            return None;
        }
        let number = inner.subscriptions_count;
        inner.subscriptions_count += 1;
        inner.subscribers.insert(number, None);
        let cursor = inner.resume(last_event_id(&request.headers));
        Some(Box::new(Subscriber { topic: self.clone(), number, cursor, heard: None }))
    }

    /// How many listen.
    #[must_use]
    pub fn subscribers_count(&self) -> usize {
        self.0.borrow().subscribers.len()
    }

    /// What happened so far.
    #[must_use]
    pub fn counters(&self) -> TopicCounters {
        self.0.borrow().counters
    }
}

impl Inner {
    fn head(&self) -> u64 {
        self.tail + self.window.len() as u64
    }

    fn push(&mut self, frame: Frame) {
        self.window_bytes += frame.block.len_bytes() as usize;
        self.window.push_back(frame);
        let TopicLimits { events_max, bytes_max, .. } = self.limits;
        while self.window.len() > events_max.max(1)
            || self.window_bytes > bytes_max && self.window.len() > 1
        {
            let Some(oldest) = self.window.pop_front() else { return };
            self.window_bytes -= oldest.block.len_bytes() as usize;
            self.tail += 1;
        }
    }

    /// Where a client goes on that has heard this.
    fn resume(&self, last_id: Option<&str>) -> u64 {
        let is_last = |frame: &Frame| frame.id.is_some() && frame.id.as_deref() == last_id;
        match self.window.iter().rposition(is_last) {
            Some(index) => self.tail + index as u64 + 1,
            None => self.head(),
        }
    }
}

impl<S> Body<S> for Subscriber {
    fn begin(&mut self, waker: Waker) {
        self.topic.0.borrow_mut().subscribers.insert(self.number, Some(waker));
    }

    fn next(&mut self, _: &mut S, now: Instant) -> More {
        let mut inner = self.topic.0.borrow_mut();
        let Some(heard) = self.heard.replace(now) else {
            let retry = format!("retry: {}\n\n", inner.limits.retry.as_millis());
            return More::Block(Block::from(Bytes::from(retry)));
        };
        let missed = inner.tail.saturating_sub(self.cursor);
        if missed > 0 && inner.limits.at_limit == AtLimit::End {
            inner.counters.ended += 1;
            return More::End;
        }
        if missed > 0 {
            inner.counters.missed += missed;
            self.cursor = inner.tail;
            let comment = format!(": {missed} events were missed\n\n");
            return More::Block(Block::from(Bytes::from(comment)));
        }
        if let Some(frame) = inner.window.get((self.cursor - inner.tail) as usize) {
            let block = frame.block.clone();
            inner.counters.sent += 1;
            self.cursor += 1;
            return More::Block(block);
        }
        if now >= heard + inner.limits.keep_alive {
            return More::Block(inner.keep_alive.clone());
        }
        self.heard = Some(heard);
        More::Later
    }

    fn deadline(&self) -> Option<Instant> {
        self.heard.map(|heard| heard + self.topic.0.borrow().limits.keep_alive)
    }

    fn is_lasting(&self) -> bool {
        true
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.topic.0.borrow_mut().subscribers.remove(&self.number);
    }
}

#[cfg(test)]
mod tests;
