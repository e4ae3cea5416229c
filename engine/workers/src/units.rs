//! Between a worker's units and RTP: what the bridge does for streams, alone and as stages of
//! `media-flow`.
//!
//! ```text
//! worker ── unit ──► Payloads ──► RTP ──► viewers
//! browser ── RTP ──► Units ──► unit ──► worker
//! ```

use std::cell::Cell;
use std::num::NonZeroU32;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use media_flow::{Convert, Finish, Out, Port, StageError};
use media_link::{Codec, MediaPacket, TimeBase, Track};
use media_payload::{Depacketizer, Limits, Output, Packetizer};
use media_rtc::{CodecParameters, MediaKind, RtpPacket, TrackId, TrackInfo};

/// Room for what stands before and behind on the way to a browser.
const PAYLOAD_BYTES_MAX: usize = 1_150;

/// What viewers of H.264 are told: the constrained baseline profile, which all browsers take.
const H264_FMTP: &str = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f";

/// Timestamps begin here: a worker's may be a little below nothing.
const FIRST_TIMESTAMP: i64 = 1 << 32;

/// More payloads than the longest unit of a link makes.
const PAYLOADS_MAX: usize = 8_192;

/// Units that one packet completes: its own, and those that waited for it.
const UNITS_MAX: usize = 1_024;

/// Makes RTP of one track of a worker's.
#[derive(Debug)]
pub struct Payloads {
    track: Track,
    parameters: CodecParameters,
    packetizer: Packetizer,
    source: u32,
    sequence: u64,
    payloads: Vec<Bytes>,
}

impl Payloads {
    /// For this track; `source` is the SSRC. None where the codec cannot be cut: AV1.
    pub fn new(track: Track, source: u32) -> Option<Payloads> {
        let (codec, fmtp) = match track.codec {
            Codec::H264 => (media_rtc::Codec::H264, H264_FMTP),
            Codec::Vp8 => (media_rtc::Codec::Vp8, ""),
            Codec::Vp9 => (media_rtc::Codec::Vp9, "profile-id=0"),
            Codec::Opus => (media_rtc::Codec::Opus, "minptime=10;useinbandfec=1"),
            Codec::Av1 => return None,
        };
        Some(Payloads {
            packetizer: Packetizer::new(payload_of(track.codec), PAYLOAD_BYTES_MAX)?,
            parameters: CodecParameters::new(codec, fmtp),
            track,
            source,
            sequence: 1 << 16,
            payloads: Vec::new(),
        })
    }

    /// The worker's track.
    pub fn track(&self) -> &Track {
        &self.track
    }

    /// The same as a publisher's.
    pub fn info(&self) -> TrackInfo {
        TrackInfo {
            id: TrackId(u16::from(self.track.id)),
            mid: self.track.id.to_string(),
            kind: if self.track.codec.is_audio() { MediaKind::Audio } else { MediaKind::Video },
            is_incoming: true,
            is_outgoing: false,
            codecs: vec![self.parameters],
            rids: Vec::new(),
        }
    }

    /// The packets of a unit.
    pub fn packets(
        &mut self,
        now: Instant,
        packet: &MediaPacket,
    ) -> impl Iterator<Item = Arc<RtpPacket>> {
        let Payloads { track, parameters, packetizer, source, sequence, payloads } = self;
        packetizer.packetize(&packet.payload, payloads);
        let rate = payload_of(track.codec).clock_rate();
        let ticks = track.time_base.rescale(packet.presentation, rate);
        let timestamp = u64::try_from(ticks.saturating_add(FIRST_TIMESTAMP)).unwrap_or(0);
        let (count, is_audio) = (payloads.len(), track.codec.is_audio());
        payloads.drain(..).enumerate().map(move |(index, payload)| {
            let numbers = (*sequence, timestamp);
            *sequence += 1;
            let mut made = RtpPacket::new(*parameters, *source, numbers, &payload[..], now);
            // Of sound the marker is for the first after a silence, which nobody here knows.
            made.is_marked = index + 1 == count && !is_audio;
            Arc::new(made)
        })
    }
}

/// Makes units for a worker of one track of RTP.
#[derive(Debug)]
pub struct Units {
    from: TrackId,
    track: Track,
    rate: u32,
    depacketizer: Depacketizer,
    clock: Option<Clock>,
}

/// The last timestamp, counted on, and the link's time that belongs to the first.
#[derive(Clone, Copy, Debug)]
struct Clock {
    /// The sender's numbering: another begins anew.
    source: u32,
    first: u64,
    last: u64,
    begins_at: i64,
}

/// What comes of packets.
#[derive(Debug, PartialEq)]
pub enum Made {
    /// A unit.
    Unit(MediaPacket),
    /// Nothing can be decoded before a keyframe comes.
    KeyframeWanted,
}

impl Units {
    /// For a track of a publisher's, which is `id` to the worker. None where it sends a codec that
    /// workers do not know.
    pub fn new(info: &TrackInfo, id: u8) -> Option<Units> {
        let (codec, payload) = codec_of(info.codecs.first()?.codec())?;
        let rate = payload.clock_rate();
        Some(Units {
            from: info.id,
            track: Track {
                id,
                codec,
                time_base: TimeBase::per_second(NonZeroU32::new(rate)?),
                width: 0,
                height: 0,
                sample_rate: if codec.is_audio() { 48_000 } else { 0 },
                channels: if codec.is_audio() { 2 } else { 0 },
                extradata: Bytes::new(),
            },
            rate,
            depacketizer: Depacketizer::new(payload, Limits::default()),
            clock: None,
        })
    }

    /// The publisher's track.
    pub fn origin(&self) -> TrackId {
        self.from
    }

    /// The same as a worker is told of it.
    pub fn track(&self) -> &Track {
        &self.track
    }

    /// Takes a packet of a stream whose first of any track was captured at `began_at`.
    pub fn take(&mut self, began_at: Instant, packet: &RtpPacket) {
        // One layer of several is taken: the first that came.
        if self.clock.is_none_or(|clock| clock.source != packet.source && packet.rid.is_none()) {
            let since = packet.captured_at.saturating_duration_since(began_at);
            let begins_at = i64::try_from(since.as_micros()).unwrap_or(i64::MAX);
            let begins_at = begins_at.saturating_mul(i64::from(self.rate)) / 1_000_000;
            let (first, last) = (packet.timestamp, packet.timestamp);
            self.clock = Some(Clock { source: packet.source, first, last, begins_at });
        }
        if self.clock.is_none_or(|clock| clock.source != packet.source) {
            return;
        }
        let codec = codec_of(packet.parameters.codec()).map(|(codec, _)| codec);
        let rtp = payload_of_packet(packet).filter(|_| codec == Some(self.track.codec));
        if let Some(rtp) = rtp {
            self.depacketizer.handle(packet.received_at, rtp);
        }
    }

    /// What is whole, until there is nothing.
    pub fn poll(&mut self, now: Instant) -> Option<Made> {
        if self.depacketizer.deadline().is_some_and(|deadline| deadline <= now) {
            self.depacketizer.on_deadline(now);
        }
        let unit = match self.depacketizer.poll()? {
            Output::KeyframeWanted => return Some(Made::KeyframeWanted),
            Output::Unit(unit) => unit,
        };
        let presentation = self.clock.as_mut()?.at(unit.timestamp);
        Some(Made::Unit(MediaPacket {
            track: self.track.id,
            is_keyframe: unit.is_keyframe,
            is_after_loss: unit.is_after_loss,
            presentation,
            decode: presentation,
            duration: 0,
            payload: unit.payload,
        }))
    }

    /// When [`Units::poll`] has something to give up.
    pub fn deadline(&self) -> Option<Instant> {
        self.depacketizer.deadline()
    }
}

impl Clock {
    /// The link's time of a timestamp of 32 bits.
    fn at(&mut self, timestamp: u32) -> i64 {
        let step = timestamp.wrapping_sub(self.last as u32) as i32;
        self.last = self.last.wrapping_add_signed(i64::from(step));
        self.begins_at.saturating_add(self.last.wrapping_sub(self.first) as i64)
    }
}

/// A packet as depacketisers take it; of RED its newest block, and none where that is malformed.
pub fn payload_of_packet(packet: &RtpPacket) -> Option<media_payload::RtpPacket> {
    let payload = packet.unwrapped()?;
    Some(media_payload::RtpPacket {
        sequence: packet.sequence as u16,
        timestamp: packet.timestamp as u32,
        // Of sound each packet is a unit.
        marker: packet.is_marked || packet.parameters.codec().kind() == MediaKind::Audio,
        payload: match packet.is_red {
            true => Bytes::copy_from_slice(payload),
            false => Bytes::from_owner(packet.payload.clone()),
        },
    })
}

/// What flows between workers and browsers.
#[derive(Debug)]
pub enum Media {
    /// A unit as a worker gives and takes it.
    Unit(MediaPacket),
    /// A packet of RTP, of this track.
    Rtp(TrackId, Arc<RtpPacket>),
}

impl media_flow::Packet for Media {
    type View<'a> = &'a Media;

    fn view(&self) -> &Media {
        self
    }

    fn share(&self) -> Media {
        match self {
            Media::Unit(packet) => Media::Unit(packet.clone()),
            Media::Rtp(track, packet) => Media::Rtp(*track, packet.clone()),
        }
    }

    fn track(&self) -> media_flow::TrackId {
        match self {
            Media::Unit(packet) => media_flow::TrackId(packet.track),
            Media::Rtp(track, _) => media_flow::TrackId(track.0 as u8),
        }
    }

    fn is_keyframe(&self) -> bool {
        match self {
            Media::Unit(packet) => packet.is_keyframe,
            Media::Rtp(_, packet) => packet.is_keyframe_start,
        }
    }

    fn size_bytes(&self) -> usize {
        match self {
            Media::Unit(packet) => packet.payload.len(),
            Media::Rtp(_, packet) => packet.payload.len(),
        }
    }
}

/// A stage that makes RTP of units; what is RTP already passes.
#[derive(Debug)]
pub struct ToRtp(pub Vec<Payloads>);

impl Convert<Media> for ToRtp {
    fn burst_max(&self) -> usize {
        PAYLOADS_MAX
    }

    fn handle(
        &mut self,
        now: Instant,
        _: Port,
        media: &Media,
        out: &mut Out<'_, Media>,
    ) -> Result<(), StageError> {
        let Media::Unit(unit) = media else {
            out.emit(media_flow::Packet::share(media));
            return Ok(());
        };
        let of_track = self.0.iter_mut().find(|payloads| payloads.track.id == unit.track);
        let Some(payloads) = of_track else { return Ok(()) };
        let track = TrackId(u16::from(unit.track));
        payloads.packets(now, unit).for_each(|packet| out.emit(Media::Rtp(track, packet)));
        Ok(())
    }
}

/// A stage that makes units of RTP; what is a unit already passes.
#[derive(Debug)]
pub struct ToUnits {
    tracks: Vec<Units>,
    began_at: Option<Instant>,
    wants_keyframe: Rc<Cell<bool>>,
}

impl ToUnits {
    /// Of these tracks.
    pub fn new(tracks: Vec<Units>) -> ToUnits {
        ToUnits { tracks, began_at: None, wants_keyframe: Rc::default() }
    }

    /// Where it says that the publisher is to be asked for a keyframe: set it back when that is
    /// done.
    pub fn wants_keyframe(&self) -> Rc<Cell<bool>> {
        self.wants_keyframe.clone()
    }

    fn emit(&mut self, now: Instant, out: &mut Out<'_, Media>) {
        for units in &mut self.tracks {
            while let Some(made) = units.poll(now) {
                match made {
                    Made::Unit(unit) => out.emit(Media::Unit(unit)),
                    Made::KeyframeWanted => self.wants_keyframe.set(true),
                }
            }
        }
    }
}

impl Convert<Media> for ToUnits {
    fn burst_max(&self) -> usize {
        UNITS_MAX
    }

    fn handle(
        &mut self,
        now: Instant,
        _: Port,
        media: &Media,
        out: &mut Out<'_, Media>,
    ) -> Result<(), StageError> {
        let Media::Rtp(track, packet) = media else {
            out.emit(media_flow::Packet::share(media));
            return Ok(());
        };
        let began_at = *self.began_at.get_or_insert(packet.captured_at);
        if let Some(units) = self.tracks.iter_mut().find(|units| units.from == *track) {
            units.take(began_at, packet);
        }
        self.emit(now, out);
        Ok(())
    }

    fn deadline(&self) -> Option<Instant> {
        self.tracks.iter().filter_map(Units::deadline).min()
    }

    fn on_deadline(&mut self, now: Instant, out: &mut Out<'_, Media>) -> Result<(), StageError> {
        self.emit(now, out);
        Ok(())
    }

    fn finish(&mut self, now: Instant, out: &mut Out<'_, Media>) -> Result<Finish, StageError> {
        self.emit(now, out);
        Ok(Finish::Done)
    }
}

/// The same codec, as the payload formats name it.
fn payload_of(codec: Codec) -> media_payload::Codec {
    match codec {
        Codec::H264 => media_payload::Codec::H264,
        Codec::Vp8 => media_payload::Codec::Vp8,
        Codec::Vp9 => media_payload::Codec::Vp9,
        Codec::Av1 => media_payload::Codec::Av1,
        Codec::Opus => media_payload::Codec::Opus,
    }
}

fn codec_of(codec: media_rtc::Codec) -> Option<(Codec, media_payload::Codec)> {
    let codec = match codec {
        media_rtc::Codec::H264 => Codec::H264,
        media_rtc::Codec::Vp8 => Codec::Vp8,
        media_rtc::Codec::Vp9 => Codec::Vp9,
        media_rtc::Codec::Av1 => Codec::Av1,
        media_rtc::Codec::Opus => Codec::Opus,
        _ => return None,
    };
    Some((codec, payload_of(codec)))
}
