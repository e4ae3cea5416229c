//! The numbers of a view: a constant apart from the publisher's between two seams.

use std::sync::Arc;
use std::time::Instant;

use str0m::rtp::Vp8Descriptor;

use crate::codec::Codec;
use crate::packet::RtpPacket;
use crate::session::{Projected, Vp8Numbers};

/// What was given, and how the next is made.
#[derive(Debug)]
pub(super) struct Numbers {
    start: u64,
    start_timestamp: u64,
    base: Option<Base>,
    /// What lies before the last seam: late packets of it still have their place.
    before: Option<Base>,
    highest: Option<Highest>,
}

/// A run between two seams.
#[derive(Debug)]
struct Base {
    source: u32,
    /// The first and the highest of the publisher's sequence numbers.
    first: u64,
    highest: u64,
    /// Added to the publisher's, wrapping.
    sequence: u64,
    timestamp: u64,
    picture_id: u16,
    tl0_picture_index: u8,
    is_vp8_shifted: bool,
    /// Where the run began with a replay, its timestamps, ascending: the publisher's and the
    /// viewer's. Bounded by the cache.
    replayed: Vec<(u64, u64)>,
}

/// The newest that was given.
#[derive(Debug, Clone, Copy)]
struct Highest {
    sequence: u64,
    timestamp: u64,
    captured_at: Instant,
    given_at: Instant,
    vp8: Option<Vp8Numbers>,
}

/// Pictures of a replay follow each other by a thousandth of a second: the viewer shall not wait as
/// long as it took to make them.
const REPLAY_STEPS_PER_SECOND: u64 = 1_000;

impl Numbers {
    pub fn new(random: u64) -> Self {
        Self {
            // Below half of what wraps, so that the receiver's first guess is right.
            start: 1 + random % 0x7fff,
            start_timestamp: random >> 32,
            base: None,
            before: None,
            highest: None,
        }
    }

    /// A seam at this packet.
    pub fn seam(&mut self, now: Instant, first: &RtpPacket) {
        let clock = u64::from(first.parameters.codec().clock_rate_hz());
        let (sequence, timestamp) = match self.highest {
            None => (self.start, self.start_timestamp),
            Some(highest) => {
                let captured = first.captured_at.checked_duration_since(highest.captured_at);
                let passed = captured.unwrap_or(now.saturating_duration_since(highest.given_at));
                let ticks = passed.as_micros() as u64 * clock / 1_000_000;
                (highest.sequence + 1, highest.timestamp + ticks.max(1))
            }
        };
        self.begin(first, sequence, timestamp);
    }

    /// A seam at the first of what is kept, with the time between pictures shortened.
    pub fn replay<'a>(
        &mut self,
        now: Instant,
        packets: impl ExactSizeIterator<Item = &'a Arc<RtpPacket>> + Clone,
    ) {
        let Some(first) = packets.clone().next() else { return };
        self.seam(now, first);
        let Some(base) = &mut self.base else { return };
        let step = u64::from(first.parameters.codec().clock_rate_hz()) / REPLAY_STEPS_PER_SECOND;
        let begin = first.timestamp.wrapping_add(base.timestamp);
        // Packets of one picture may be apart; pictures are in the order of their timestamps but
        // for what is sent out of order, which a table by timestamp takes as well.
        base.replayed.extend(packets.map(|packet| (packet.timestamp, 0)));
        base.replayed.sort_unstable();
        base.replayed.dedup();
        for (place, (_, given)) in base.replayed.iter_mut().enumerate() {
            *given = begin + step * place as u64;
        }
        if let Some((last, given)) = base.replayed.last() {
            base.timestamp = given.wrapping_sub(*last);
        }
    }

    /// The numbers of a packet; `None`: it comes too late to have any.
    pub fn project(&self, packet: &RtpPacket) -> Option<Projected> {
        let base = self.base_of(packet)?;
        let sequence = packet.sequence.wrapping_add(base.sequence);
        let replayed = base.replayed(packet.timestamp);
        let timestamp = replayed.unwrap_or(packet.timestamp.wrapping_add(base.timestamp));
        let mut projected = Projected::new(sequence, timestamp as u32);
        if base.is_vp8_shifted {
            projected.vp8 = vp8_of(packet).map(|own| Vp8Numbers {
                picture_id: own.picture_id.wrapping_add(base.picture_id) & 0x7fff,
                tl0_picture_index: own.tl0_picture_index.wrapping_add(base.tl0_picture_index),
            });
        }
        Some(projected)
    }

    /// It was sent.
    pub fn given(&mut self, now: Instant, packet: &RtpPacket, projected: &Projected) {
        let is_newest = self.highest.is_none_or(|highest| projected.sequence > highest.sequence);
        if !is_newest {
            return;
        }
        if let Some(base) = &mut self.base {
            base.highest = base.highest.max(packet.sequence);
        }
        let timestamp = self.extended(projected.timestamp);
        let newest = self.highest.map_or(timestamp, |highest| highest.timestamp.max(timestamp));
        let own = if packet.parameters.codec() == Codec::Vp8 { vp8_of(packet) } else { None };
        self.highest = Some(Highest {
            sequence: projected.sequence,
            timestamp: newest,
            captured_at: packet.captured_at,
            given_at: now,
            vp8: projected.vp8.or(own),
        });
        if let Some(base) = &mut self.base
            && base.replayed.last().is_some_and(|(last, _)| packet.timestamp > *last + 900_000)
        {
            base.replayed = Vec::new();
        }
    }

    fn begin(&mut self, first: &RtpPacket, sequence: u64, timestamp: u64) {
        self.before = self.base.take();
        let last = self.highest.and_then(|highest| highest.vp8);
        let own = if first.parameters.codec() == Codec::Vp8 { vp8_of(first) } else { None };
        let (picture_id, tl0_picture_index, is_vp8_shifted) = match (last, own) {
            (Some(last), Some(own)) => (
                last.picture_id.wrapping_add(1).wrapping_sub(own.picture_id) & 0x7fff,
                last.tl0_picture_index.wrapping_add(1).wrapping_sub(own.tl0_picture_index),
                true,
            ),
            _ => (0, 0, false),
        };
        self.base = Some(Base {
            source: first.source,
            first: first.sequence,
            highest: first.sequence,
            sequence: sequence.wrapping_sub(first.sequence),
            timestamp: timestamp.wrapping_sub(first.timestamp),
            picture_id,
            tl0_picture_index,
            is_vp8_shifted,
            replayed: Vec::new(),
        });
    }

    /// The run that a packet belongs to.
    fn base_of(&self, packet: &RtpPacket) -> Option<&Base> {
        let base = self.base.as_ref()?;
        if base.source == packet.source && packet.sequence >= base.first {
            return Some(base);
        }
        let before = self.before.as_ref()?;
        let is_within = (before.first..=before.highest).contains(&packet.sequence);
        (before.source == packet.source && is_within).then_some(before)
    }

    /// The timestamp without wrapping, near the highest.
    fn extended(&self, timestamp: u32) -> u64 {
        let Some(highest) = self.highest else { return u64::from(timestamp) };
        let ahead = timestamp.wrapping_sub(highest.timestamp as u32) as i32;
        highest.timestamp.saturating_add_signed(i64::from(ahead))
    }
}

impl Base {
    /// The timestamp of a picture of the replay; one that was missing there goes right behind the
    /// one before it.
    fn replayed(&self, timestamp: u64) -> Option<u64> {
        match self.replayed.binary_search_by_key(&timestamp, |(known, _)| *known) {
            Ok(place) => Some(self.replayed[place].1),
            Err(place) if place == self.replayed.len() => None,
            Err(place) => Some(self.replayed[place.checked_sub(1)?].1 + 1),
        }
    }
}

fn vp8_of(packet: &RtpPacket) -> Option<Vp8Numbers> {
    let descriptor = Vp8Descriptor::parse(&packet.payload).ok()?;
    let picture_id = descriptor.picture_id()?;
    Some(Vp8Numbers { picture_id, tl0_picture_index: descriptor.tl0_pic_idx().unwrap_or(0) })
}
