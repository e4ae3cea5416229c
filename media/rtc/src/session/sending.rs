//! Packets to the peer: the payload type that it knows the codec by, and a bound on what waits.

use std::time::{Duration, Instant};

use str0m::media::Pt;
use str0m::rtp::{ExtensionValues, RtpWrite, VideoOrientation, Vp8Descriptor, Vp8Patch};

use super::{Session, TrackId};
use crate::codec::{CodecParameters, MediaKind};
use crate::packet::RtpPacket;
use crate::rate::Rate;
use crate::red;

/// A packet's numbers as this viewer is to see them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Projected {
    /// The sequence number, extended. The first of a track is below 65,536.
    pub sequence: u64,
    /// The timestamp.
    pub timestamp: u32,
    /// VP8's own numbers, where they are to be others than the payload's.
    pub vp8: Option<Vp8Numbers>,
}

/// Numbers within VP8's payload descriptor (RFC 7741 §4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vp8Numbers {
    /// The picture's, of fifteen bits.
    pub picture_id: u16,
    /// Of the lowest temporal layer's pictures.
    pub tl0_picture_index: u8,
}

impl Projected {
    /// These.
    pub fn new(sequence: u64, timestamp: u32) -> Self {
        Self { sequence, timestamp, vp8: None }
    }

    /// As the publisher numbered them; the sequence number without what is beyond sixteen bits at
    /// its start is the caller's business.
    pub fn unchanged(packet: &RtpPacket) -> Self {
        Self::new(packet.sequence, packet.timestamp as u32)
    }
}

/// Why a packet was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// The session is over, or not connected yet.
    NotConnected,
    /// There is no such track, or we do not send it.
    NoTrack,
    /// The viewer did not agree to this codec.
    NoCodec,
    /// Too much waits for the pacer already. Go on with the next keyframe.
    Full,
}

/// What is remembered of a track that we send.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    /// The last choices, at most [`CHOICES_MAX`].
    choices: Vec<Choice>,
    rate: Rate,
    /// Packets since the pacer was last seen empty.
    burst_count: u32,
    /// Since when the way takes less than what flows.
    tight_since: Option<Instant>,
    /// What is sent again has its bounds.
    has_bounds: bool,
}

/// How a packet goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pace {
    /// With all that waits: its publisher has spread it over time already.
    AtOnce,
    /// Behind what waits, as fast as the estimate says.
    Spread,
    /// Not at all: more waits than would be of use.
    Refused,
}

/// By which payload type the viewer knows something; none where it does not.
#[derive(Debug, Clone, Copy)]
struct Choice {
    parameters: CodecParameters,
    is_red: bool,
    number: Option<Pt>,
}

const CHOICES_MAX: usize = 4;

/// A run of packets that is longer is spread over time: a keyframe, or what is kept since one.
const BURST_MAX: u32 = 64;

/// But not over more than this, or what follows would be late as well.
const SPREAD_MAX: Duration = Duration::from_millis(250);

/// Where the way takes less than so many hundredths of what flows it is tight.
const TIGHT_PARTS: u64 = 75;

/// Only what stays tight while all of it flows is so in truth. An estimate that was low for a
/// moment rises again with what arrives, and would not if less were sent; and a second is what the
/// flow is measured over, with the burst that a viewer begins with.
const TIGHT_AFTER: Duration = Duration::from_millis(1_500);

/// What is older is not sent again: nobody would wait for it.
const RESEND_AGE_MAX: Duration = Duration::from_secs(3);

/// What is sent again is at most so much of all that is sent, over a second. It has to take loss
/// that comes in runs, and a way that loses a fifth.
const RESEND_SHARE_MAX: f32 = 0.4;

/// On a tight way so much may wait; beyond it is better to go on with the next keyframe.
const WAIT_MAX: Duration = Duration::from_millis(500);

impl Outgoing {
    /// A packet is to go out. Others may wait, the first of them since then.
    fn pace(
        &mut self,
        now: Instant,
        packet_bytes: usize,
        (is_empty, waits_since): (bool, Option<Instant>),
        estimate_bps: Option<u64>,
    ) -> Pace {
        self.rate.add(now, packet_bytes);
        self.burst_count = if is_empty { 1 } else { self.burst_count.saturating_add(1) };
        let flow_bps = self.rate.bits_per_second();
        let is_tight = estimate_bps.is_some_and(|estimate| estimate < flow_bps / 100 * TIGHT_PARTS);
        self.tight_since = is_tight.then(|| self.tight_since.unwrap_or(now));
        let time = |since: Option<Instant>| {
            since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
        };
        let (is_tight, waited) = (time(self.tight_since) >= TIGHT_AFTER, time(waits_since));
        match is_tight {
            true if waited >= WAIT_MAX => Pace::Refused,
            true => Pace::Spread,
            false if self.burst_count > BURST_MAX && waited < SPREAD_MAX => Pace::Spread,
            false => Pace::AtOnce,
        }
    }

    /// The agreement has changed.
    pub fn forget_choices(&mut self) {
        self.choices.clear();
    }

    fn keep(&mut self, choice: Choice) {
        if self.choices.len() >= CHOICES_MAX {
            self.choices.remove(0);
        }
        self.choices.push(choice);
    }
}

impl Session {
    /// Hands a packet to the pacer of an outgoing track. The payload is shared, not copied.
    ///
    /// Several may be sent before [`poll`](Self::poll): what they make str0m do is done once.
    ///
    /// # Errors
    ///
    /// Says why it was dropped.
    pub fn send(
        &mut self,
        now: Instant,
        track: TrackId,
        packet: &RtpPacket,
        projected: &Projected,
    ) -> Result<(), SendError> {
        let outcome = self.write(now, track, packet, projected);
        match outcome {
            Ok(()) => {
                self.counters.packets_out += 1;
                self.counters.payload_bytes_out += packet.payload.len() as u64;
            }
            Err(SendError::Full) => self.counters.packets_full += 1,
            Err(_) => self.counters.packets_unsent += 1,
        }
        outcome
    }

    fn write(
        &mut self,
        now: Instant,
        track: TrackId,
        packet: &RtpPacket,
        projected: &Projected,
    ) -> Result<(), SendError> {
        if !self.is_connected() {
            return Err(SendError::NotConnected);
        }
        if self.is_dirty && !self.has_written {
            self.drain();
        }
        self.now = self.now.max(now);
        let section = self.section(track).filter(|section| section.info.is_outgoing);
        let section = section.ok_or(SendError::NoTrack)?;
        let (mid, kind) = (section.mid, section.info.kind);
        let (number, payload) = match self.payload_type(track, packet, packet.is_red) {
            Some(number) => (number, packet.payload.clone()),
            None if packet.is_red => {
                let number = self.payload_type(track, packet, false).ok_or(SendError::NoCodec)?;
                let newest = red::newest(&packet.payload).ok_or(SendError::NoCodec)?;
                (number, newest.into())
            }
            None => return Err(SendError::NoCodec),
        };
        let extensions = ExtensionValues {
            audio_level: packet.audio_level.map(|level| -(level.min(127) as i8)),
            voice_activity: packet.has_voice,
            video_orientation: packet.orientation.map(orientation),
            ..ExtensionValues::default()
        };
        let write = RtpWrite::new(
            number,
            projected.sequence.into(),
            projected.timestamp,
            packet.captured_at,
            payload,
        )
        .marker(packet.is_marked)
        .nackable(kind == MediaKind::Video)
        .ext_vals(extensions);
        let patch = projected.vp8.and_then(|numbers| patch(&packet.payload, numbers));
        let write = match patch {
            Some(patch) => write.vp8_patch(patch),
            None => write,
        };
        let limits = &self.config.limits;
        let (queued_max, resend_max) = (limits.queued_packets_max, limits.resend_packets_max);
        let (estimate_bps, is_first) = (self.estimate_bps, !self.has_written);
        let section = self.tracks.iter_mut().find(|section| section.info.id == track);
        let mut outgoing = std::mem::take(&mut section.ok_or(SendError::NoTrack)?.outgoing);
        let written = self.guarded(|rtc| {
            let mut direct = rtc.direct_api();
            let stream = direct.stream_tx_by_mid(mid, None).ok_or(SendError::NoTrack)?;
            let info = stream.queue_info();
            let (queued, waits_since) =
                info.map_or((0, None), |info| (info.packet_count(), info.first_unsent()));
            if queued >= queued_max {
                return Err(SendError::Full);
            }
            if kind == MediaKind::Video {
                if !std::mem::replace(&mut outgoing.has_bounds, true) {
                    stream.set_rtx_cache(resend_max, RESEND_AGE_MAX, Some(RESEND_SHARE_MAX));
                }
                let waiting = (queued == 0 && is_first, waits_since);
                let pace = outgoing.pace(now, packet.payload.len(), waiting, estimate_bps);
                if pace == Pace::Refused {
                    return Err(SendError::Full);
                }
                stream.set_unpaced(pace == Pace::AtOnce);
            }
            stream.write_rtp(write);
            Ok(())
        });
        if let Some(section) = self.tracks.iter_mut().find(|section| section.info.id == track) {
            section.outgoing = outgoing;
        }
        written.unwrap_or(Err(SendError::NotConnected))?;
        (self.has_written, self.is_dirty) = (true, true);
        Ok(())
    }

    /// The payload type by which the viewer knows this; the choice is kept until the codec changes.
    fn payload_type(&mut self, track: TrackId, packet: &RtpPacket, is_red: bool) -> Option<Pt> {
        let wanted = (packet.parameters, is_red);
        let types = &self.sources.payload_types;
        let section = self.tracks.iter_mut().find(|section| section.info.id == track)?;
        let known = |choice: &&Choice| choice.parameters == wanted.0 && choice.is_red == wanted.1;
        if let Some(choice) = section.outgoing.choices.iter().find(known) {
            return choice.number;
        }
        let agreed = |parameters: &CodecParameters| section.info.codecs.contains(parameters);
        let near = types
            .iter()
            .filter(|known| known.is_red == is_red && agreed(&known.parameters))
            .filter_map(|known| {
                Some((packet.parameters.distance(&known.parameters)?, known.number))
            });
        let number = near.min().map(|(_, number)| Pt::from(number));
        section.outgoing.keep(Choice { parameters: wanted.0, is_red, number });
        number
    }
}

/// The bytes in which VP8's descriptor differs for this viewer; they are written while the payload
/// is copied for encryption. A payload without these numbers stays as it is.
fn patch(payload: &[u8], numbers: Vp8Numbers) -> Option<Vp8Patch> {
    let descriptor = Vp8Descriptor::parse(payload).ok()?;
    let with_picture = descriptor.patch().picture_id(numbers.picture_id);
    let both = with_picture.tl0_pic_idx(numbers.tl0_picture_index).build();
    both.or_else(|_| with_picture.build()).ok()
}

/// The two bits of the header extension, as str0m names them.
fn orientation(bits: u8) -> VideoOrientation {
    use VideoOrientation::{Deg0, Deg90, Deg180, Deg270};
    [Deg0, Deg270, Deg180, Deg90][usize::from(bits & 3)]
}
