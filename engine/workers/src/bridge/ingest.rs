//! A worker's packets as a stream's: access units into RTP.

use std::sync::Arc;
use std::time::Instant;

use engine_rtc::{Letter, Rtc, SessionId, Taker};
use media_link::{MediaPacket, Track};
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
}

impl Ingest {
    pub(crate) fn new(name: &str) -> Ingest {
        Ingest { name: name.into(), session: None, is_refused: false, lanes: Vec::new() }
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

    /// Its worker is gone; what it published is over.
    pub(crate) fn end(&mut self) -> Option<SessionId> {
        self.lanes.clear();
        self.is_refused = false;
        self.session.take()
    }

    /// Somebody else has the stream.
    pub(crate) fn refused(&mut self) {
        self.session = None;
        self.is_refused = true;
    }
}
