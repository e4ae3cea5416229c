//! The queue of an edge: bounded in packets and bytes, with a policy for when it is full.
//!
//! Invariants: it never holds more than its bound; what entered has left, was dropped, or is held;
//! under [`Policy::ToKeyframe`] nothing leaves that needs a packet that was dropped here.

use std::collections::VecDeque;

use serde::Serialize;

use crate::{Packet, TrackId};

/// Queues get their memory when the graph is built, up to so many packets.
const RESERVED_PACKETS_MAX: usize = 1024;

/// How much a queue holds. Both bounds are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Bound {
    /// Packets, at least 1.
    pub packets_max: usize,
    /// Bytes of payload, at least 1.
    pub bytes_max: usize,
}

/// What a full queue does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// Takes no more until there is room: what feeds it waits, in the end the source.
    ///
    /// A packet larger than the whole byte bound ends the graph.
    Wait,
    /// Drops its oldest packets until there is room: for frames that need no others.
    ///
    /// A packet larger than the whole byte bound is dropped itself.
    DropOldest,
    /// Drops its oldest packets until there is room, and with each of them what cannot be decoded
    /// without it: the track goes on at its next keyframe, held or yet to come.
    ///
    /// A packet larger than the whole byte bound is dropped itself, with the same consequence.
    ToKeyframe,
}

/// What an edge has carried and lost, in packets since the graph was built.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct EdgeCounters {
    /// Packets offered to it.
    pub entered: u64,
    /// Their bytes.
    pub entered_bytes: u64,
    /// Packets that reached the stage behind it.
    pub left: u64,
    /// Their bytes.
    pub left_bytes: u64,
    /// Dropped because the queue was full.
    pub dropped_full: u64,
    /// Dropped because a packet that they need was dropped.
    pub dropped_undecodable: u64,
    /// Dropped because they are larger than the whole queue.
    pub dropped_oversized: u64,
    /// Bytes of all three kinds of drop.
    pub dropped_bytes: u64,
    /// In the queue when the graph was stopped or failed.
    pub discarded: u64,
    /// In the queue now.
    pub held: u64,
    /// Their bytes.
    pub held_bytes: u64,
    /// The most that were ever held.
    pub held_peak: u64,
    /// The most bytes that were ever held.
    pub held_bytes_peak: u64,
}

impl EdgeCounters {
    /// All packets that the policy dropped.
    pub fn dropped(&self) -> u64 {
        self.dropped_full + self.dropped_undecodable + self.dropped_oversized
    }
}

/// A packet larger than a queue that waits.
pub(crate) struct Oversized;

/// Tracks that wait for a keyframe: a bit for each.
#[derive(Debug, Default)]
struct Tracks([u64; 4]);

impl Tracks {
    fn set(&mut self, track: TrackId, is_in: bool) {
        let bit = 1 << (track.0 % 64);
        let word = &mut self.0[usize::from(track.0 / 64)];
        *word = if is_in { *word | bit } else { *word & !bit };
    }

    fn has(&self, track: TrackId) -> bool {
        self.0[usize::from(track.0 / 64)] >> (track.0 % 64) & 1 == 1
    }
}

#[derive(Debug)]
pub(crate) struct Queue<P> {
    pub(crate) bound: Bound,
    pub(crate) policy: Policy,
    pub(crate) counters: EdgeCounters,
    packets: VecDeque<P>,
    bytes: usize,
    skipping: Tracks,
}

impl<P: Packet> Queue<P> {
    pub(crate) fn new(bound: Bound, policy: Policy) -> Queue<P> {
        let reserved = bound.packets_max.min(RESERVED_PACKETS_MAX);
        Queue {
            bound,
            policy,
            counters: EdgeCounters::default(),
            packets: VecDeque::with_capacity(reserved),
            bytes: 0,
            skipping: Tracks::default(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    pub(crate) fn waits(&self) -> bool {
        self.policy == Policy::Wait
    }

    /// Packets and bytes that still fit.
    pub(crate) fn room(&self) -> (usize, usize) {
        (self.bound.packets_max - self.packets.len(), self.bound.bytes_max - self.bytes)
    }

    fn fits(&self, size: usize) -> bool {
        let (packets, bytes) = self.room();
        packets > 0 && size <= bytes
    }

    /// Whether [`Queue::push`] may be called. One that can never enter is let in to be refused.
    pub(crate) fn accepts(&self, size: usize) -> bool {
        !self.waits() || size > self.bound.bytes_max || self.fits(size)
    }

    pub(crate) fn push(&mut self, packet: P) -> Result<(), Oversized> {
        let size = packet.size_bytes();
        self.counters.entered += 1;
        self.counters.entered_bytes += size as u64;
        if size > self.bound.bytes_max {
            if self.policy == Policy::Wait {
                self.counters.discarded += 1;
                return Err(Oversized);
            }
            self.counters.dropped_oversized += 1;
            self.counters.dropped_bytes += size as u64;
            if self.policy == Policy::ToKeyframe {
                self.skipping.set(packet.track(), true);
            }
            return Ok(());
        }
        // Asked twice: room is not made for a packet that goes, and making it may doom the packet.
        while !self.is_doomed(&packet) && !self.fits(size) {
            assert!(!self.waits(), "a queue that waits was asked first");
            self.drop_oldest();
        }
        if self.is_doomed(&packet) {
            self.counters.dropped_undecodable += 1;
            self.counters.dropped_bytes += size as u64;
            return Ok(());
        }
        if packet.is_keyframe() {
            self.skipping.set(packet.track(), false);
        }
        self.bytes += size;
        self.packets.push_back(packet);
        self.note_held();
        let counters = &mut self.counters;
        counters.held_peak = counters.held_peak.max(counters.held);
        counters.held_bytes_peak = counters.held_bytes_peak.max(counters.held_bytes);
        Ok(())
    }

    pub(crate) fn pop(&mut self) -> Option<P> {
        let packet = self.packets.pop_front()?;
        let size = packet.size_bytes();
        self.bytes -= size;
        self.counters.left += 1;
        self.counters.left_bytes += size as u64;
        self.note_held();
        Some(packet)
    }

    /// Forgets all that it holds, at the end of the graph.
    pub(crate) fn discard(&mut self) {
        self.counters.discarded += self.packets.len() as u64;
        self.packets.clear();
        self.bytes = 0;
        self.note_held();
    }

    /// Whether it needs a packet that was dropped here. Only [`Policy::ToKeyframe`] marks tracks.
    fn is_doomed(&self, packet: &P) -> bool {
        !packet.is_keyframe() && self.skipping.has(packet.track())
    }

    fn drop_oldest(&mut self) {
        let oldest = self.packets.pop_front().expect("a packet that fits an empty queue");
        self.bytes -= oldest.size_bytes();
        self.counters.dropped_full += 1;
        self.counters.dropped_bytes += oldest.size_bytes() as u64;
        if self.policy == Policy::ToKeyframe {
            self.drop_dependents(oldest.track());
        }
        self.note_held();
    }

    /// Drops what is held of a track before its next keyframe.
    fn drop_dependents(&mut self, track: TrackId) {
        let mut is_decodable = false;
        let (mut count, mut bytes) = (0, 0);
        self.packets.retain(|packet| {
            let is_of_track = packet.track() == track;
            is_decodable |= is_of_track && packet.is_keyframe();
            let is_kept = is_decodable || !is_of_track;
            if !is_kept {
                count += 1;
                bytes += packet.size_bytes();
            }
            is_kept
        });
        self.bytes -= bytes;
        self.counters.dropped_undecodable += count;
        self.counters.dropped_bytes += bytes as u64;
        // One that skips already goes on skipping: what it lost came after what is held.
        if !is_decodable {
            self.skipping.set(track, true);
        }
    }

    fn note_held(&mut self) {
        self.counters.held = self.packets.len() as u64;
        self.counters.held_bytes = self.bytes as u64;
    }
}
