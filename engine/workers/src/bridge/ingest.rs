//! A worker's packets as a stream's: access units into RTP.

use std::sync::Arc;
use std::time::Instant;

use engine_rtc::{Letter, Rtc, SessionId, Taker};
use media_link::{Codec, MediaPacket, Track};
use media_payload::Packetizer;
use media_rtc::{CodecParameters, MediaKind, RtpPacket, TrackId, TrackInfo};
use shards_runtime::{Context, Io};

/// Room for what stands before and behind on the way to a browser.
const PAYLOAD_BYTES_MAX: usize = 1_150;

/// What viewers of H.264 are told: the constrained baseline profile, which all browsers take.
const H264_FMTP: &str = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f";

/// Timestamps begin here: a worker's may be a little below nothing.
const FIRST_TIMESTAMP: i64 = 1 << 32;

#[derive(Debug)]
struct Lane {
    track: Track,
    parameters: CodecParameters,
    packetizer: Packetizer,
    source: u32,
    sequence: u64,
}

/// One source's stream.
#[derive(Debug)]
pub(crate) struct Ingest {
    pub(crate) name: Arc<str>,
    session: Option<SessionId>,
    /// It was refused, and waits to be tried again.
    is_refused: bool,
    lanes: Vec<Lane>,
    payloads: Vec<bytes::Bytes>,
}

impl Ingest {
    pub(crate) fn new(name: &str) -> Ingest {
        Ingest {
            name: name.into(),
            session: None,
            is_refused: false,
            lanes: Vec::new(),
            payloads: Vec::new(),
        }
    }

    /// The worker announces a track.
    pub(crate) fn track(&mut self, track: Track, number: u64) {
        let (codec, fmtp) = match track.codec {
            Codec::H264 => (media_rtc::Codec::H264, H264_FMTP),
            Codec::Vp8 => (media_rtc::Codec::Vp8, ""),
            Codec::Vp9 => (media_rtc::Codec::Vp9, "profile-id=0"),
            Codec::Opus => (media_rtc::Codec::Opus, "minptime=10;useinbandfec=1"),
            Codec::Av1 => return,
        };
        let Some(packetizer) = Packetizer::new(payload(track.codec), PAYLOAD_BYTES_MAX) else {
            return;
        };
        self.lanes.retain(|lane| lane.track.id != track.id);
        self.lanes.push(Lane {
            track,
            parameters: CodecParameters::new(codec, fmtp),
            packetizer,
            source: number as u32,
            sequence: 1 << 16,
        });
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
        let track = |lane: &Lane| TrackInfo {
            id: TrackId(u16::from(lane.track.id)),
            mid: lane.track.id.to_string(),
            kind: if lane.track.codec.is_audio() { MediaKind::Audio } else { MediaKind::Video },
            is_incoming: true,
            is_outgoing: false,
            codecs: vec![lane.parameters],
            rids: Vec::new(),
        };
        let tracks = self.lanes.iter().map(track).collect();
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
        let Some(lane) = self.lanes.iter_mut().find(|lane| lane.track.id == packet.track) else {
            return;
        };
        lane.packetizer.packetize(&packet.payload, &mut self.payloads);
        let rate = payload(lane.track.codec).clock_rate();
        let ticks = lane.track.time_base.rescale(packet.presentation, rate);
        let timestamp = u64::try_from(ticks.saturating_add(FIRST_TIMESTAMP)).unwrap_or(0);
        let count = self.payloads.len();
        for (index, payload) in self.payloads.drain(..).enumerate() {
            let numbers = (lane.sequence, timestamp);
            lane.sequence += 1;
            let mut made = RtpPacket::new(lane.parameters, lane.source, numbers, &payload[..], now);
            // Of sound the marker is for the first after a silence, which nobody here knows.
            made.is_marked = index + 1 == count && !lane.track.codec.is_audio();
            rtc.feed(session, TrackId(u16::from(packet.track)), Arc::new(made));
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

/// The same codec, as the payload formats name it.
fn payload(codec: Codec) -> media_payload::Codec {
    match codec {
        Codec::H264 => media_payload::Codec::H264,
        Codec::Vp8 => media_payload::Codec::Vp8,
        Codec::Vp9 => media_payload::Codec::Vp9,
        Codec::Av1 => media_payload::Codec::Av1,
        Codec::Opus => media_payload::Codec::Opus,
    }
}
