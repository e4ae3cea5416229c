//! A publisher's track as a shard holds it: its layers, and of each what a newcomer needs.
//!
//! Of each layer the packets since the last keyframe are kept, as far as the limits allow, so that
//! a viewer who joins sees a picture at once; payloads are shared with the packets on their way.
//! Where the limits are exceeded the newcomer waits for a keyframe instead, which is asked for:
//! through a gate that makes one request of however many are wanted within an interval.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::codec::MediaKind;
use crate::packet::{Rid, RtpPacket};
use crate::rate::Rate;

/// How much is kept of a track, and how often its publisher is asked.
#[derive(Debug, Clone, Copy)]
pub struct TrackLimits {
    /// Packets of a layer that are kept since its keyframe.
    pub cache_packets_max: usize,
    /// Bytes of their payloads.
    pub cache_bytes_max: usize,
    /// How long ago the keyframe may be.
    pub cache_duration_max: Duration,
    /// Layers. What comes of more is not taken, and counted.
    pub layers_max: usize,
    /// The publisher is asked for a keyframe of a layer at most once in this.
    pub keyframe_interval: Duration,
    /// A layer of which nothing came for this long is not chosen for anybody.
    pub idle: Duration,
}

impl Default for TrackLimits {
    fn default() -> Self {
        Self {
            cache_packets_max: 2_000,
            cache_bytes_max: 2 * 1024 * 1024,
            cache_duration_max: Duration::from_secs(4),
            layers_max: 4,
            keyframe_interval: Duration::from_millis(500),
            idle: Duration::from_secs(1),
        }
    }
}

/// What has been counted of a track.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct TrackCounters {
    /// Packets taken.
    pub packets: u64,
    /// Bytes of their payloads.
    pub payload_bytes: u64,
    /// Keyframes that began.
    pub keyframes: u64,
    /// Packets that had come already, or of a layer too many.
    pub packets_refused: u64,
    /// Times that the cache was given up for a limit, until the next keyframe.
    pub cache_overflows: u64,
    /// Keyframes that viewers wanted.
    pub keyframes_wanted: u64,
    /// Of them, those that became a request to the publisher.
    pub keyframes_requested: u64,
}

/// One track.
#[derive(Debug)]
pub struct Track {
    kind: MediaKind,
    limits: TrackLimits,
    layers: Vec<Layer>,
    counters: TrackCounters,
}

/// One layer, or all there is of a track that has none.
#[derive(Debug)]
pub(crate) struct Layer {
    pub rid: Option<Rid>,
    pub rate: Rate,
    cache: VecDeque<Arc<RtpPacket>>,
    cache_bytes: usize,
    /// Of the newest source and the one before: while they change, packets of both come.
    seen: [Seen; 2],
    /// Whether the cache begins with a keyframe and lacks nothing that came since.
    is_whole: bool,
    gate: Gate,
}

/// Packets that are kept while there is no keyframe: what overtook the start of the next one.
const OVERTAKING_MAX: usize = 32;

impl Track {
    /// A track of which nothing came yet.
    pub fn new(kind: MediaKind, limits: TrackLimits) -> Self {
        Self { kind, limits, layers: Vec::new(), counters: TrackCounters::default() }
    }

    /// Sound or pictures.
    pub fn kind(&self) -> MediaKind {
        self.kind
    }

    /// Takes a packet of the publisher's. `false`: it had come already, or is of a layer too many;
    /// do not pass it on.
    pub fn push(&mut self, now: Instant, packet: &Arc<RtpPacket>) -> bool {
        let known = self.layers.iter().position(|layer| layer.rid == packet.rid);
        if known.is_none() && self.layers.len() >= self.limits.layers_max {
            self.counters.packets_refused += 1;
            return false;
        }
        let place = known.unwrap_or_else(|| {
            self.layers.push(Layer::new(packet.rid));
            self.layers.len() - 1
        });
        let layer = &mut self.layers[place];
        if !layer.is_new(packet) {
            self.counters.packets_refused += 1;
            return false;
        }
        layer.rate.add(now, packet.payload.len());
        if self.kind == MediaKind::Video {
            layer.keep(packet, &self.limits, &mut self.counters);
        }
        self.counters.packets += 1;
        self.counters.payload_bytes += packet.payload.len() as u64;
        true
    }

    /// Lets go of what is kept since keyframes, up to the next ones; false where nothing is.
    pub fn give_up_cache(&mut self) -> bool {
        let mut has_given_up = false;
        for layer in self.layers.iter_mut().filter(|layer| layer.is_whole) {
            has_given_up = true;
            self.counters.cache_overflows += 1;
            layer.clear();
        }
        has_given_up
    }

    /// A viewer wants a keyframe of this layer. Comes out of [`poll`](Self::poll) as soon as the
    /// gate is open.
    pub fn want_keyframe(&mut self, rid: Option<Rid>) {
        self.counters.keyframes_wanted += 1;
        if let Some(layer) = self.layers.iter_mut().find(|layer| layer.rid == rid) {
            layer.gate.is_wanted = true;
        } else if self.layers.len() < self.limits.layers_max && self.kind == MediaKind::Video {
            let mut layer = Layer::new(rid);
            layer.gate.is_wanted = true;
            self.layers.push(layer);
        }
    }

    /// A layer of which the publisher is to be asked for a keyframe now.
    pub fn poll(&mut self, now: Instant) -> Option<Option<Rid>> {
        let interval = self.limits.keyframe_interval;
        let layer = self.layers.iter_mut().find(|layer| layer.gate.opens(now, interval))?;
        layer.gate = Gate { is_wanted: false, asked_at: Some(now) };
        self.counters.keyframes_requested += 1;
        Some(layer.rid)
    }

    /// When [`poll`](Self::poll) has the next request, if one waits.
    pub fn deadline(&self) -> Option<Instant> {
        let waiting = self.layers.iter().filter(|layer| layer.gate.is_wanted);
        waiting.filter_map(|layer| Some(layer.gate.asked_at? + self.limits.keyframe_interval)).min()
    }

    /// The packets since the last keyframe of a layer: what a viewer who joins gets at once. Empty
    /// where there is none, or where it was too much.
    pub fn since_keyframe(
        &self,
        rid: Option<Rid>,
    ) -> impl ExactSizeIterator<Item = &Arc<RtpPacket>> + Clone {
        let layer = self.layers.iter().find(|layer| layer.rid == rid && layer.is_whole);
        let count = layer.map_or(0, |layer| layer.cache.len());
        static NONE: VecDeque<Arc<RtpPacket>> = VecDeque::new();
        layer.map_or(&NONE, |layer| &layer.cache).iter().take(count)
    }

    /// The packets since the last keyframe of each layer, for another that is to hold this track as
    /// well: [`push`](Self::push) them there with the times when they were received.
    pub fn since_keyframes(&self) -> impl Iterator<Item = &Arc<RtpPacket>> {
        self.layers.iter().filter(|layer| layer.is_whole).flat_map(|layer| &layer.cache)
    }

    /// The layers and how fast they flow, in bits per second.
    pub fn rates(&self) -> impl Iterator<Item = (Option<Rid>, u64)> {
        self.layers.iter().map(|layer| (layer.rid, layer.rate.bits_per_second()))
    }

    /// The layers of which something came lately, and how fast they flow, in bits per second.
    pub fn flowing(&self, now: Instant) -> impl Iterator<Item = (Option<Rid>, u64)> {
        self.alive(now).map(|layer| (layer.rid, layer.rate.bits_per_second()))
    }

    /// Bytes of the payloads that are kept.
    pub fn cache_bytes(&self) -> usize {
        self.layers.iter().map(|layer| layer.cache_bytes).sum()
    }

    /// What has been counted.
    pub fn counters(&self) -> &TrackCounters {
        &self.counters
    }

    /// Layers of which something came lately.
    pub(crate) fn alive(&self, now: Instant) -> impl Iterator<Item = &Layer> {
        self.layers.iter().filter(move |layer| layer.rate.is_alive(now, self.limits.idle))
    }
}

impl Layer {
    fn new(rid: Option<Rid>) -> Self {
        Self {
            rid,
            rate: Rate::default(),
            seen: [Seen::default(); 2],
            cache: VecDeque::new(),
            cache_bytes: 0,
            is_whole: false,
            gate: Gate::default(),
        }
    }

    /// Whether a newcomer could start with what is kept.
    pub fn can_start(&self) -> bool {
        self.is_whole
    }

    /// Whether a packet comes for the first time.
    fn is_new(&mut self, packet: &RtpPacket) -> bool {
        if self.seen[0].source != Some(packet.source) {
            self.seen.swap(0, 1);
        }
        self.seen[0].insert(packet)
    }

    /// Keeps a packet, as far as the limits allow.
    fn keep(
        &mut self,
        packet: &Arc<RtpPacket>,
        limits: &TrackLimits,
        counters: &mut TrackCounters,
    ) {
        if self.cache.back().is_some_and(|last| last.source != packet.source) {
            self.clear();
        }
        let place = self.cache.partition_point(|kept| kept.sequence < packet.sequence);
        let is_older = place == 0 && self.is_whole;
        // Parameter sets may stand in several packets of one picture: the first is the start.
        let is_begun = self.is_whole
            && self.cache.front().is_some_and(|first| first.timestamp == packet.timestamp);
        if packet.is_keyframe_start && !is_older && !is_begun {
            counters.keyframes += 1;
            // What has overtaken it belongs to it or comes after it.
            self.cache.drain(..place);
            self.cache.push_front(packet.clone());
            self.is_whole = true;
            self.cache_bytes = self.cache.iter().map(|kept| kept.payload.len()).sum();
        } else if !is_older {
            self.cache.insert(place, packet.clone());
            self.cache_bytes += packet.payload.len();
        }
        let is_too_much = self.cache.len() > limits.cache_packets_max
            || self.cache_bytes > limits.cache_bytes_max
            || self.span() > limits.cache_duration_max;
        if self.is_whole && is_too_much {
            counters.cache_overflows += 1;
            self.is_whole = false;
        }
        while !self.is_whole && self.cache.len() > OVERTAKING_MAX {
            let gone = self.cache.pop_front();
            self.cache_bytes -= gone.map_or(0, |gone| gone.payload.len());
        }
    }

    fn span(&self) -> Duration {
        let (Some(first), Some(last)) = (self.cache.front(), self.cache.back()) else {
            return Duration::ZERO;
        };
        last.received_at.saturating_duration_since(first.received_at)
    }

    fn clear(&mut self) {
        self.cache.clear();
        (self.cache_bytes, self.is_whole) = (0, false);
    }
}

/// Which of the last sequence numbers of a source have come.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    source: Option<u32>,
    highest: u64,
    /// Bit n: the number n before the highest.
    bits: u128,
}

impl Seen {
    /// `false` where it came already, or is too far behind to tell.
    fn insert(&mut self, packet: &RtpPacket) -> bool {
        let sequence = packet.sequence;
        if self.source != Some(packet.source) {
            *self = Self { source: Some(packet.source), highest: sequence, bits: 1 };
            return true;
        }
        let shifted = |bits: u128, by: u64| match u32::try_from(by) {
            Ok(by) => bits.checked_shl(by).unwrap_or(0),
            Err(_) => 0,
        };
        if sequence > self.highest {
            self.bits = shifted(self.bits, sequence - self.highest) | 1;
            self.highest = sequence;
            return true;
        }
        let bit = shifted(1, self.highest - sequence);
        let is_new = bit != 0 && self.bits & bit == 0;
        self.bits |= bit;
        is_new
    }
}

/// Many wishes, one request.
#[derive(Debug, Clone, Copy, Default)]
struct Gate {
    is_wanted: bool,
    asked_at: Option<Instant>,
}

impl Gate {
    fn opens(&self, now: Instant, interval: Duration) -> bool {
        let is_open = self.asked_at.is_none_or(|asked_at| now >= asked_at + interval);
        self.is_wanted && is_open
    }
}

#[cfg(test)]
mod tests;
