//! A packet of RTP as it is passed on: read once, shared by all who get it.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use crate::codec::CodecParameters;
use crate::{keyframe, red};

/// A layer's name within a track that is sent in several sizes (RFC 8851): at most eight letters
/// and digits; others become `_`, what is longer is cut.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Rid([u8; 8]);

impl Rid {
    /// The name.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default().trim_end_matches(' ')
    }

    pub(crate) fn inner(self) -> str0m::media::Rid {
        str0m::media::Rid::from_array(self.0)
    }
}

impl From<&str> for Rid {
    fn from(name: &str) -> Self {
        let mut bytes = [b' '; 8];
        for (slot, letter) in bytes.iter_mut().zip(name.chars()) {
            *slot = if letter.is_ascii_alphanumeric() { letter as u8 } else { b'_' };
        }
        Self(bytes)
    }
}

impl From<str0m::media::Rid> for Rid {
    fn from(rid: str0m::media::Rid) -> Self {
        Self::from(&*rid)
    }
}

impl fmt::Display for Rid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Rid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rid({self})")
    }
}

/// One packet. Made once by the publisher's [`Session`](crate::Session) and shared from there on:
/// the payload is never copied until it is encrypted for a viewer.
#[derive(Clone, PartialEq, Eq)]
pub struct RtpPacket {
    /// What the payload is.
    pub parameters: CodecParameters,
    /// Whether the payload is wrapped in RED (RFC 2198).
    pub is_red: bool,
    /// The layer, where the track has several.
    pub rid: Option<Rid>,
    /// Which run of numbers `sequence` and `timestamp` belong to: the sender's SSRC. Another source
    /// starts both anew.
    pub source: u32,
    /// The sequence number, extended: it does not wrap.
    pub sequence: u64,
    /// The timestamp, extended, in ticks of the codec's clock.
    pub timestamp: u64,
    /// The last packet of a picture; of sound, the first after silence.
    pub is_marked: bool,
    /// Whether a decoder can start here: the first packet of a keyframe. Of sound, always.
    pub is_keyframe_start: bool,
    /// Loudness in dB below full scale (RFC 6464), 0 loudest, 127 silence.
    pub audio_level: Option<u8>,
    /// Whether the sender says that this is speech.
    pub has_voice: Option<bool>,
    /// How the picture is to be turned: the low two bits of 3GPP's header extension.
    pub orientation: Option<u8>,
    /// When it was received, or made.
    pub received_at: Instant,
    /// When its sound was heard or its picture seen, as far as the sender's reports tell: for sound
    /// and pictures on one clock. Never after `received_at`.
    pub captured_at: Instant,
    /// The payload.
    pub payload: Arc<[u8]>,
}

impl RtpPacket {
    /// A packet of a payload that was made here, from a `source` of the caller's choice.
    pub fn new(
        parameters: impl Into<CodecParameters>,
        source: u32,
        (sequence, timestamp): (u64, u64),
        payload: impl Into<Arc<[u8]>>,
        received_at: Instant,
    ) -> Self {
        let (parameters, payload) = (parameters.into(), payload.into());
        Self {
            parameters,
            is_red: false,
            rid: None,
            source,
            sequence,
            timestamp,
            is_marked: false,
            is_keyframe_start: keyframe::starts_at(parameters.codec(), &payload),
            audio_level: None,
            has_voice: None,
            orientation: None,
            received_at,
            captured_at: received_at,
            payload,
        }
    }
}

impl RtpPacket {
    /// The payload for a reader who knows no RED: its newest block, where it is wrapped. `None`
    /// where that is malformed.
    pub fn unwrapped(&self) -> Option<&[u8]> {
        if self.is_red { red::newest(&self.payload) } else { Some(&self.payload) }
    }
}

impl fmt::Debug for RtpPacket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RtpPacket")
            .field("codec", &self.parameters.codec())
            .field("rid", &self.rid)
            .field("source", &self.source)
            .field("sequence", &self.sequence)
            .field("timestamp", &self.timestamp)
            .field("is_marked", &self.is_marked)
            .field("is_keyframe_start", &self.is_keyframe_start)
            .field("payload_bytes", &self.payload.len())
            .finish_non_exhaustive()
    }
}
