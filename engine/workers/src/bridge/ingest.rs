//! A worker's packets as a stream's: access units into RTP.

use std::sync::Arc;
use std::time::Instant;

use engine_rtc::{Letter, Rtc, SessionId, Taker};
use media_link::{MediaPacket, Message, Track};
use media_rtc::TrackId;
use shards_runtime::{Context, Io};

use crate::units::Payloads;

/// One source's stream.
#[derive(Debug)]
pub(crate) struct Ingest {
    pub(crate) name: Arc<str>,
    session: Option<SessionId>,
    /// It was refused, and waits to be tried again.
    is_refused: bool,
    lanes: Vec<Payloads>,
    pace: Pace,
}

/// Sound's part of what a viewer's way takes, bits each second.
const SOUND_BPS: u64 = 100_000;
/// Hundredths of what the way takes that are asked for: a way that is full to the brim is late.
const FILLED_PARTS: u64 = 85;
/// A wish that differs by less than so many hundredths is not told.
const CHANGE_MIN_PARTS: u64 = 10;

/// What the encoder was asked for.
#[derive(Debug, Default)]
struct Pace {
    told_bps: Option<u32>,
}

impl Pace {
    /// What to ask the encoder of pictures for, where the way of the viewers takes so much; none
    /// where that is about what it was asked for. The encoder has its own bounds.
    fn wish(&mut self, estimate_bps: u64) -> Option<u32> {
        let wanted = (estimate_bps / 100 * FILLED_PARTS).saturating_sub(SOUND_BPS).max(1);
        let wanted = u32::try_from(wanted).unwrap_or(u32::MAX);
        let is_same =
            |told: u32| u64::from(told.abs_diff(wanted)) * 100 < u64::from(told) * CHANGE_MIN_PARTS;
        if self.told_bps.is_some_and(is_same) {
            return None;
        }
        self.told_bps = Some(wanted);
        Some(wanted)
    }
}

impl Ingest {
    pub(crate) fn new(name: &str) -> Ingest {
        Ingest {
            name: name.into(),
            session: None,
            is_refused: false,
            lanes: Vec::new(),
            pace: Pace::default(),
        }
    }

    /// The worker announces a track.
    pub(crate) fn track(&mut self, track: Track, number: u64) {
        let id = track.id;
        if let Some(lane) = Payloads::new(track, number as u32) {
            self.lanes.retain(|lane| lane.track().id != id);
            self.lanes.push(lane);
        }
    }

    /// Publishes the stream with its first packet, unless that was refused; the new session.
    pub(crate) fn publish<I: Io, M: Send + From<Letter>>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        rtc: &mut Rtc,
    ) -> Option<SessionId> {
        if self.session.is_some() || self.is_refused || self.lanes.is_empty() {
            return None;
        }
        let tracks = self.lanes.iter().map(Payloads::info).collect();
        self.session = Some(rtc.publish(cx, (Taker::Workers, false), self.name.clone(), tracks));
        self.session
    }

    /// Tries again what was refused: whoever had the stream may be gone.
    pub(crate) fn publish_again<I: Io, M: Send + From<Letter>>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        rtc: &mut Rtc,
    ) -> Option<SessionId> {
        if !std::mem::take(&mut self.is_refused) {
            return None;
        }
        self.publish(cx, rtc)
    }

    /// A packet of the worker goes on.
    pub(crate) fn feed(&mut self, now: Instant, rtc: &mut Rtc, packet: &MediaPacket) {
        let Some(session) = self.session else { return };
        let lane = self.lanes.iter_mut().find(|lane| lane.track().id == packet.track);
        let Some(lane) = lane else { return };
        for made in lane.packets(now, packet) {
            rtc.feed(session, TrackId(u16::from(packet.track)), made);
        }
    }

    /// What its worker is to be told of the bitrate of its pictures, if it is: as much as the way
    /// of the viewer in the middle takes.
    pub(crate) fn bitrate_wish<I: Io, M: Send + From<Letter>>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        rtc: &mut Rtc,
    ) -> Option<Message> {
        let mut lanes = self.lanes.iter().map(Payloads::track);
        let track = lanes.find(|track| !track.codec.is_audio())?.id;
        let estimate_bps = rtc.viewers_estimate(cx, self.session?)?;
        let bits_per_second = self.pace.wish(estimate_bps)?;
        Some(Message::BitrateWanted { track, bits_per_second })
    }

    /// Its worker is gone; what it published is over.
    pub(crate) fn end(&mut self) -> Option<SessionId> {
        self.lanes.clear();
        self.pace = Pace::default();
        self.is_refused = false;
        self.session.take()
    }

    /// Somebody else has the stream.
    pub(crate) fn refused(&mut self) {
        self.session = None;
        self.is_refused = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_encoder_is_asked_for_what_the_way_takes_and_only_where_that_has_changed() {
        let mut pace = Pace::default();
        assert_eq!(pace.wish(2_000_000), Some(1_600_000));
        for about in [2_000_000, 1_900_000, 2_150_000] {
            assert_eq!(pace.wish(about), None, "{about}");
        }
        assert_eq!(pace.wish(1_000_000), Some(750_000));
        assert_eq!(pace.wish(50_000), Some(1), "the encoder's own bound holds");
        assert_eq!(pace.wish(u64::MAX), Some(u32::MAX));
    }
}
