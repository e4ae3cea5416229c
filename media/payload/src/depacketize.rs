//! Packets into units: order first, then one unit after the other.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::Codec;
use crate::assemble::Assembler;
use crate::reorder::{InOrder, Reorder, is_filler};

/// Bounds of one depacketizer.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long a missing packet is waited for.
    pub wait_max: Duration,
    /// Packets that may wait for one before them.
    pub packets_max: usize,
    /// Their bytes.
    pub bytes_max: usize,
    /// Bytes of one unit.
    pub unit_bytes_max: usize,
    /// The least time between two requests for a keyframe.
    pub keyframe_interval_min: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            wait_max: Duration::from_millis(300),
            packets_max: 512,
            bytes_max: 2 << 20,
            unit_bytes_max: 4 << 20,
            keyframe_interval_min: Duration::from_millis(500),
        }
    }
}

/// What of an RTP packet matters here.
#[derive(Clone, Debug)]
pub struct RtpPacket {
    /// Its sequence number.
    pub sequence: u16,
    /// Its timestamp.
    pub timestamp: u32,
    /// Whether it is the last of its unit.
    pub marker: bool,
    /// Its payload, without padding. Empty where it had only padding.
    pub payload: Bytes,
}

/// A whole unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// The timestamp of its packets.
    pub timestamp: u32,
    /// Whether a decoder may start here.
    pub is_keyframe: bool,
    /// Something before it is missing.
    pub is_after_loss: bool,
    /// Its bytes.
    pub payload: Bytes,
}

/// What comes of packets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// A unit.
    Unit(Unit),
    /// Nothing can be decoded before a keyframe comes.
    KeyframeWanted,
}

/// What was seen and lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets that came.
    pub packets: u64,
    /// Packets that came twice, or too late.
    pub late: u64,
    /// Packets that never came.
    pub missed: u64,
    /// Packets that are no payload of the codec.
    pub damaged: u64,
    /// Whole units.
    pub units: u64,
    /// Units that were dropped: incomplete, too long, or in need of one that was dropped.
    pub units_dropped: u64,
    /// Requests for a keyframe.
    pub keyframes_wanted: u64,
}

/// Makes units of packets of one track.
pub struct Depacketizer {
    codec: Codec,
    limits: Limits,
    reorder: Reorder,
    assembler: Assembler,
    /// The timestamp of the unit that grows.
    growing: Option<u32>,
    /// The unit that grows misses something.
    is_torn: bool,
    /// No picture may come before a keyframe.
    needs_keyframe: bool,
    is_after_loss: bool,
    /// Nothing has come yet: the first packet may be out of the middle of a unit.
    is_fresh: bool,
    asked_at: Option<Instant>,
    outputs: VecDeque<Output>,
    counters: Counters,
}

impl std::fmt::Debug for Depacketizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Depacketizer")
            .field("codec", &self.codec)
            .field("counters", &self.counters())
            .finish_non_exhaustive()
    }
}

impl Depacketizer {
    /// One that has seen nothing: pictures begin with a keyframe.
    pub fn new(codec: Codec, limits: Limits) -> Depacketizer {
        Depacketizer {
            codec,
            limits,
            reorder: Reorder::new(limits),
            assembler: Assembler::new(codec),
            growing: None,
            is_torn: false,
            needs_keyframe: !codec.stands_alone(),
            is_after_loss: false,
            is_fresh: true,
            asked_at: None,
            outputs: VecDeque::new(),
            counters: Counters::default(),
        }
    }

    /// Takes a packet as it came.
    pub fn handle(&mut self, now: Instant, packet: RtpPacket) {
        self.counters.packets += 1;
        self.reorder.push(now, packet);
        self.advance(now);
    }

    /// Time has passed: what is missing may be given up.
    pub fn on_deadline(&mut self, now: Instant) {
        self.advance(now);
    }

    /// When [`Depacketizer::on_deadline`] is wanted.
    pub fn deadline(&self) -> Option<Instant> {
        self.reorder.deadline()
    }

    /// The next output, if there is one. Poll until there is none.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// What was seen and lost.
    pub fn counters(&self) -> Counters {
        Counters { late: self.reorder.late, missed: self.reorder.missed, ..self.counters }
    }

    fn advance(&mut self, now: Instant) {
        while let Some(in_order) = self.reorder.pop(now) {
            self.take(in_order);
        }
        if self.needs_keyframe && self.counters.packets > 0 {
            self.ask(now);
        }
    }

    fn take(&mut self, InOrder { is_after_gap, packet }: InOrder) {
        let is_new = self.growing != Some(packet.timestamp);
        if is_after_gap {
            // What is missing may have been the end of the one, or the middle of this.
            self.is_torn |= self.growing.is_some();
            self.is_after_loss = true;
            self.needs_keyframe |= !self.codec.stands_alone();
        }
        if is_filler(&packet.payload) {
            return;
        }
        if is_new {
            // Its marker did not come, or its sender sets none.
            self.end_unit();
            self.is_torn = (is_after_gap || self.is_fresh) && !self.assembler.begins(&packet);
            self.is_fresh = false;
        }
        self.growing = Some(packet.timestamp);
        if !self.is_torn {
            let is_long =
                self.assembler.size_bytes() + packet.payload.len() > self.limits.unit_bytes_max;
            if is_long || self.assembler.add(&packet.payload).is_err() {
                self.counters.damaged += 1;
                self.is_torn = true;
            }
        }
        if packet.marker {
            self.end_unit();
        }
    }

    fn end_unit(&mut self) {
        let Some(timestamp) = self.growing.take() else { return };
        let is_torn = std::mem::take(&mut self.is_torn);
        let unit = if is_torn { None } else { self.assembler.finish().ok() };
        self.assembler.clear();
        let Some((bytes, is_keyframe)) = unit else {
            self.counters.units_dropped += 1;
            self.is_after_loss = true;
            self.needs_keyframe |= !self.codec.stands_alone();
            return;
        };
        if self.needs_keyframe && !is_keyframe {
            self.counters.units_dropped += 1;
            return;
        }
        self.needs_keyframe = false;
        self.counters.units += 1;
        self.outputs.push_back(Output::Unit(Unit {
            timestamp,
            is_keyframe,
            is_after_loss: std::mem::take(&mut self.is_after_loss),
            payload: Bytes::from(bytes),
        }));
    }

    fn ask(&mut self, now: Instant) {
        let is_soon =
            |at: Instant| now.saturating_duration_since(at) < self.limits.keyframe_interval_min;
        if !self.asked_at.is_some_and(is_soon) {
            self.asked_at = Some(now);
            self.counters.keyframes_wanted += 1;
            self.outputs.push_back(Output::KeyframeWanted);
        }
    }
}
