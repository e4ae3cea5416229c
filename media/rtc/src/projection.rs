//! What one viewer is sent of a track: one layer at a time, in numbers of the viewer's own.
//!
//! ```text
//! publisher   … 812 813 │ K40 41 42 … 57 58 │ K9 10 11        K: a keyframe starts
//!               layer q │ layer h   (dropped)│ another source
//! viewer      …  12  13 │  14 15 16         │  17 18 19       no gap that is not a loss
//! ```
//!
//! Between two *seams* numbers differ from the publisher's by a constant, so that loss and order
//! are the viewer's to see and to repair. At a seam (the start, another layer or source, or after
//! packets were left out) the next number follows the highest given, and the clock goes on by the
//! time that passed. A seam of pictures is always at a keyframe.
//!
//! A viewer who cannot take what comes is sent nothing until a keyframe; nobody else notices.

mod choice;
mod numbers;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::codec::MediaKind;
use crate::packet::{Rid, RtpPacket};
use crate::session::{Projected, SendError};
use crate::track::Track;
use choice::Choice;
use numbers::Numbers;

/// What has been counted of a viewer's track.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ProjectionCounters {
    /// Packets sent.
    pub packets: u64,
    /// Packets left out while a keyframe was waited for.
    pub packets_waiting: u64,
    /// Packets left out because the viewer could not take them.
    pub packets_full: u64,
    /// Packets that came too late for a seam behind them.
    pub packets_late: u64,
    /// Times that the viewer was sent what was kept since a keyframe.
    pub replays: u64,
    /// Times that the layer changed.
    pub switches: u64,
    /// Times that the viewer fell behind.
    pub falls: u64,
}

/// One viewer's view of one track.
#[derive(Debug)]
pub struct Projection {
    kind: MediaKind,
    numbers: Numbers,
    choice: Choice,
    /// The layer that is sent, once something is.
    current: Option<Sent>,
    /// Nothing is sent until a keyframe, and none is asked for before this.
    waits_until: Option<Instant>,
    /// When the viewer fell behind last, and how long it was left alone then.
    fell: Option<(Instant, Duration)>,
    counters: ProjectionCounters,
}

/// What is being sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sent {
    source: u32,
    rid: Option<Rid>,
}

/// How long a viewer who fell behind is left alone before a keyframe is asked for on its behalf.
/// Twice as long each time that it falls soon after, for each keyframe is a burden on all viewers.
const REST: Duration = Duration::from_millis(500);
const REST_MAX: Duration = Duration::from_secs(8);
const SOON: Duration = Duration::from_secs(10);

impl Projection {
    /// A view of which nothing was sent yet. Numbers begin at what `random` says, as RFC 3550 §5.1
    /// wants them unforeseeable.
    pub fn new(kind: MediaKind, random: u64) -> Self {
        Self {
            kind,
            numbers: Numbers::new(random),
            choice: Choice::default(),
            current: None,
            waits_until: None,
            fell: None,
            counters: ProjectionCounters::default(),
        }
    }

    /// The viewer asks for a layer; `None` leaves the choice to the estimate. A layer that does not
    /// come is not waited for.
    pub fn prefer(&mut self, rid: Option<Rid>) {
        self.choice.preferred = rid;
    }

    /// How many bits per second this track may take, of what the way to the viewer takes.
    pub fn set_budget(&mut self, bits_per_second: u64) {
        self.choice.budget = Some(bits_per_second);
    }

    /// The viewer joins a track, or goes over to another: what is kept since the keyframe goes to
    /// `send` at once. Where nothing is, it starts with the next keyframe.
    pub fn join(
        &mut self,
        now: Instant,
        track: &Track,
        mut send: impl FnMut(&RtpPacket, &Projected) -> Result<(), SendError>,
    ) {
        self.current = None;
        self.waits_until = None;
        self.choice.choose(now, track, None);
        if self.kind == MediaKind::Audio {
            return;
        }
        let target = self.choice.target();
        let packets = track.since_keyframe(target);
        if let Some(first) = packets.clone().next() {
            self.counters.replays += 1;
            self.numbers.replay(now, packets.clone());
            self.current = Some(Sent { source: first.source, rid: first.rid });
            for packet in packets {
                if !self.pass(now, packet, &mut send) {
                    break;
                }
            }
        }
    }

    /// A packet of the track came, and was taken by [`Track::push`]: passes it on to `send`, or
    /// not.
    pub fn take(
        &mut self,
        now: Instant,
        track: &Track,
        packet: &Arc<RtpPacket>,
        mut send: impl FnMut(&RtpPacket, &Projected) -> Result<(), SendError>,
    ) {
        self.choice.choose(now, track, self.current.map(|current| current.rid));
        let of_packet = Sent { source: packet.source, rid: packet.rid };
        if self.current == Some(of_packet) && self.waits_until.is_none() {
            if self.kind == MediaKind::Video && self.is_switching() {
                self.choice.count_waiting(now);
            }
            self.pass(now, packet, &mut send);
            return;
        }
        if packet.rid != self.choice.target() {
            return;
        }
        if !self.starts_at(track, packet) {
            self.counters.packets_waiting += 1;
            return;
        }
        let is_other = self.current.is_some_and(|current| current.rid != packet.rid);
        self.counters.switches += u64::from(is_other);
        self.current = Some(of_packet);
        self.waits_until = None;
        self.numbers.seam(now, packet);
        if self.kind == MediaKind::Audio {
            self.pass(now, packet, &mut send);
            return;
        }
        // The start, and what had overtaken it.
        for kept in track.since_keyframe(packet.rid) {
            let has_waited = kept.sequence != packet.sequence;
            let waiting = self.counters.packets_waiting.saturating_sub(u64::from(has_waited));
            self.counters.packets_waiting = waiting;
            if !self.pass(now, kept, &mut send) {
                break;
            }
        }
    }

    /// A layer of which the viewer needs a keyframe, if it does: give it to
    /// [`Track::want_keyframe`]. Wishes may be told as often as is convenient; the track's gate
    /// makes one of them.
    pub fn keyframe_needed(&self, now: Instant) -> Option<Option<Rid>> {
        let waits = match (self.current, self.waits_until) {
            _ if self.kind == MediaKind::Audio => false,
            (_, Some(until)) => now >= until,
            (None, None) => true,
            (Some(_), None) => self.is_switching(),
        };
        waits.then(|| self.choice.target())
    }

    /// The viewer fell behind by what the driver sees (its own queue is full): as if `send` had
    /// said so.
    pub fn fall_behind(&mut self, now: Instant) {
        if self.waits_until.is_some_and(|until| now < until) {
            return;
        }
        let soon = self.fell.filter(|(at, _)| now.saturating_duration_since(*at) < SOON);
        let rest = soon.map_or(REST, |(_, rest)| (rest * 2).min(REST_MAX));
        self.fell = Some((now, rest));
        self.waits_until = Some(now + rest);
        self.counters.falls += 1;
    }

    /// The layer that is sent.
    pub fn layer(&self) -> Option<Rid> {
        self.current.and_then(|current| current.rid)
    }

    /// Whether something is sent, and a keyframe is not waited for.
    pub fn is_flowing(&self) -> bool {
        self.current.is_some() && self.waits_until.is_none()
    }

    /// What has been counted.
    pub fn counters(&self) -> &ProjectionCounters {
        &self.counters
    }

    fn is_switching(&self) -> bool {
        self.current.is_some_and(|current| current.rid != self.choice.target())
    }

    /// Whether a seam may be here: of pictures where the newest keyframe starts with this packet.
    fn starts_at(&self, track: &Track, packet: &RtpPacket) -> bool {
        let first = || track.since_keyframe(packet.rid).next();
        self.kind == MediaKind::Audio
            || packet.is_keyframe_start
                && first().is_some_and(|first| first.sequence == packet.sequence)
    }

    /// `false`: the viewer cannot take more.
    fn pass(
        &mut self,
        now: Instant,
        packet: &RtpPacket,
        send: &mut impl FnMut(&RtpPacket, &Projected) -> Result<(), SendError>,
    ) -> bool {
        let Some(projected) = self.numbers.project(packet) else {
            self.counters.packets_late += 1;
            return true;
        };
        match send(packet, &projected) {
            Ok(()) => {
                self.numbers.given(now, packet, &projected);
                self.counters.packets += 1;
                true
            }
            Err(SendError::Full) => {
                self.counters.packets_full += 1;
                self.fall_behind(now);
                false
            }
            // Not connected yet, or no such codec: it starts where it can.
            Err(_) => {
                self.current = None;
                false
            }
        }
    }
}

#[cfg(test)]
mod tests;
