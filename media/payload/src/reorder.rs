//! Packets in the order of their sequence numbers, with as little waiting as possible.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::depacketize::{Limits, RtpPacket};

/// A packet whose turn it is.
pub(crate) struct InOrder {
    /// Something between the one before and this one never came.
    pub(crate) is_after_gap: bool,
    pub(crate) packet: RtpPacket,
}

/// What is known of a packet that waits for one before it.
struct Held {
    packet: RtpPacket,
    came_at: Instant,
}

/// The window.
pub(crate) struct Reorder {
    limits: Limits,
    /// By number, counted on beyond 16 bits.
    held: BTreeMap<i64, Held>,
    held_bytes: usize,
    next: Option<i64>,
    pub(crate) late: u64,
    pub(crate) missed: u64,
}

impl Reorder {
    pub(crate) fn new(limits: Limits) -> Reorder {
        Reorder { limits, held: BTreeMap::new(), held_bytes: 0, next: None, late: 0, missed: 0 }
    }

    /// Takes a packet. One that is here already, or whose turn is over, is counted and forgotten.
    pub(crate) fn push(&mut self, now: Instant, packet: RtpPacket) {
        let number = self.number(packet.sequence);
        if self.next.is_some_and(|next| number < next) || self.held.contains_key(&number) {
            self.late += 1;
            return;
        }
        self.next.get_or_insert(number);
        self.held_bytes += packet.payload.len();
        self.held.insert(number, Held { packet, came_at: now });
    }

    /// The next packet, if it is here, or if the missing ones are given up.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<InOrder> {
        let next = self.next?;
        let number = *self.held.first_key_value()?.0;
        let is_after_gap = number != next;
        if is_after_gap && !self.gives_up(now) {
            return None;
        }
        let held = self.held.remove(&number)?;
        self.held_bytes -= held.packet.payload.len();
        self.missed += u64::try_from(number - next).unwrap_or(0);
        self.next = Some(number + 1);
        Some(InOrder { is_after_gap, packet: held.packet })
    }

    /// When the missing ones are given up.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.oldest().map(|oldest| oldest + self.limits.wait_max)
    }

    fn oldest(&self) -> Option<Instant> {
        self.held.values().map(|held| held.came_at).min()
    }

    fn gives_up(&self, now: Instant) -> bool {
        let waited = self.oldest().map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        waited >= self.limits.wait_max
            || self.held.len() > self.limits.packets_max
            || self.held_bytes > self.limits.bytes_max
    }

    /// The sequence number, counted on: the one nearest to what is expected.
    fn number(&mut self, sequence: u16) -> i64 {
        let Some(next) = self.next else { return i64::from(sequence) };
        let step = sequence.wrapping_sub(next as u16) as i16;
        next + i64::from(step)
    }
}

/// Bytes of a packet that nobody reads: padding alone, which keeps the numbers going.
pub(crate) fn is_filler(payload: &Bytes) -> bool {
    payload.is_empty()
}
