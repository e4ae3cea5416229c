//! What waits to be sent to one connection, within a bound of bytes and of messages.
//!
//! Messages wait as they are, uncompressed and without a head: so the oldest can be dropped even
//! where the next compressed one would refer to it. Control frames do not wait here.
//!
//! Invariant: `bytes` is the sum of the payloads that wait, and neither bound is ever exceeded.

use std::collections::VecDeque;

use crate::close::CloseCode;
use crate::decoder::Kind;

/// What one connection may owe its reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueLimits {
    /// Payload bytes that may wait.
    pub bytes_max: usize,
    /// Messages that may wait; empty ones count too.
    pub messages_max: usize,
    /// What happens to a message that finds no room.
    pub when_full: WhenFull,
}

impl Default for QueueLimits {
    /// 256 KiB, 1,024 messages; who does not read is closed with 1008.
    fn default() -> QueueLimits {
        let when_full = WhenFull::Close(CloseCode::POLICY);
        QueueLimits { bytes_max: 256 * 1024, messages_max: 1024, when_full }
    }
}

/// What is done about a reader that is too slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenFull {
    /// The connection ends with this code: usually [`CloseCode::POLICY`] or
    /// [`CloseCode::TRY_AGAIN_LATER`].
    Close(CloseCode),
    /// The oldest messages go, for what matters is the newest.
    DropOldest,
    /// The message that comes goes, for what matters is the order.
    DropNewest,
}

/// What became of a message that was pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// It waits.
    Queued,
    /// It waits, and so many older ones do not any more.
    Replaced(usize),
    /// It was dropped.
    Dropped,
    /// It was dropped and so was all that waited: the connection ends with this code.
    Full(CloseCode),
}

/// What was dropped, since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueueCounters {
    /// Messages dropped to make room for newer ones.
    pub oldest_dropped: u64,
    /// Messages dropped when they came.
    pub newest_dropped: u64,
    /// Messages dropped because the connection ended before they were sent.
    pub unsent_dropped: u64,
}

/// What waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item<B> {
    /// A message.
    Message(Kind, B),
    /// Ws frames of a whole message, made once for many connections.
    Frames(B),
}

impl<B: AsRef<[u8]>> Item<B> {
    fn bytes(&self) -> usize {
        match self {
            Item::Message(_, bytes) | Item::Frames(bytes) => bytes.as_ref().len(),
        }
    }
}

/// The queue of one connection.
#[derive(Debug)]
pub struct SendQueue<B> {
    limits: QueueLimits,
    waiting: VecDeque<Item<B>>,
    bytes: usize,
    counters: QueueCounters,
}

impl<B: AsRef<[u8]>> SendQueue<B> {
    /// An empty one.
    pub fn new(limits: QueueLimits) -> SendQueue<B> {
        SendQueue { limits, waiting: VecDeque::new(), bytes: 0, counters: QueueCounters::default() }
    }

    /// Adds a message, or does what the limits say.
    pub fn push(&mut self, item: Item<B>) -> Pushed {
        let bytes = item.bytes();
        let can_ever_fit = bytes <= self.limits.bytes_max && self.limits.messages_max > 0;
        let mut dropped_count = 0;
        while !can_ever_fit || !self.has_room(bytes) {
            match self.limits.when_full {
                WhenFull::Close(code) => {
                    self.counters.unsent_dropped += 1;
                    self.clear();
                    return Pushed::Full(code);
                }
                WhenFull::DropOldest if can_ever_fit => {
                    let oldest = self.pop().expect("a queue without room is not empty");
                    drop(oldest);
                    dropped_count += 1;
                }
                WhenFull::DropOldest | WhenFull::DropNewest => {
                    self.counters.newest_dropped += 1;
                    return Pushed::Dropped;
                }
            }
        }
        self.counters.oldest_dropped += dropped_count as u64;
        self.bytes += bytes;
        self.waiting.push_back(item);
        if dropped_count > 0 { Pushed::Replaced(dropped_count) } else { Pushed::Queued }
    }

    /// Takes the oldest.
    pub fn pop(&mut self) -> Option<Item<B>> {
        let item = self.waiting.pop_front()?;
        self.bytes -= item.bytes();
        if self.waiting.is_empty() {
            // A connection that waits for nothing holds no memory for it.
            self.waiting = VecDeque::new();
        }
        Some(item)
    }

    /// Drops all that waits: the connection ends.
    pub fn clear(&mut self) {
        self.counters.unsent_dropped += self.waiting.len() as u64;
        self.waiting = VecDeque::new();
        self.bytes = 0;
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Messages that wait.
    pub fn messages_count(&self) -> usize {
        self.waiting.len()
    }

    /// Their payload bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// What was dropped.
    pub fn counters(&self) -> QueueCounters {
        self.counters
    }

    fn has_room(&self, bytes: usize) -> bool {
        self.waiting.len() < self.limits.messages_max && self.bytes + bytes <= self.limits.bytes_max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(when_full: WhenFull) -> SendQueue<Vec<u8>> {
        SendQueue::new(QueueLimits { bytes_max: 10, messages_max: 3, when_full })
    }

    fn message(length: usize) -> Item<Vec<u8>> {
        Item::Message(Kind::Binary, vec![length as u8; length])
    }

    #[test]
    fn the_oldest_make_room() {
        let mut queue = queue(WhenFull::DropOldest);
        for length in [4, 3, 2] {
            assert_eq!(queue.push(message(length)), Pushed::Queued);
        }
        assert_eq!(queue.push(message(1)), Pushed::Replaced(1), "three at most");
        assert_eq!(queue.push(message(9)), Pushed::Replaced(2), "ten bytes at most");
        assert_eq!(queue.push(message(11)), Pushed::Dropped, "no dropping makes room for it");
        assert_eq!((queue.messages_count(), queue.bytes()), (2, 10));
        assert_eq!(
            [queue.pop(), queue.pop(), queue.pop()],
            [Some(message(1)), Some(message(9)), None]
        );
        let counters = queue.counters();
        assert_eq!((counters.oldest_dropped, counters.newest_dropped), (3, 1));
    }

    #[test]
    fn the_newest_goes_or_the_connection() {
        let mut keeps = queue(WhenFull::DropNewest);
        assert_eq!(keeps.push(message(10)), Pushed::Queued);
        assert_eq!(keeps.push(message(1)), Pushed::Dropped);
        assert_eq!(keeps.push(message(0)), Pushed::Queued);
        assert_eq!(keeps.pop(), Some(message(10)));

        let mut closes = queue(WhenFull::Close(CloseCode::TRY_AGAIN_LATER));
        for _ in 0..3 {
            assert_eq!(closes.push(message(0)), Pushed::Queued);
        }
        assert_eq!(closes.push(message(0)), Pushed::Full(CloseCode::TRY_AGAIN_LATER));
        assert!(closes.is_empty());
        assert_eq!(closes.counters().unsent_dropped, 4);
    }
}
