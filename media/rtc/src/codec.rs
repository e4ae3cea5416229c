//! What a packet's payload is: codec, clock and the parameters that both ends agreed on.

use str0m::format::{Codec as StrCodec, CodecSpec, FormatParams};

/// What is heard or seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MediaKind {
    /// Sound.
    Audio,
    /// Pictures.
    Video,
}

/// A codec that is passed on. Nothing here encodes or decodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Codec {
    /// Opus (RFC 7587), with RED (RFC 2198) where both ends have it.
    Opus,
    /// G.711 µ-law.
    Pcmu,
    /// G.711 A-law.
    Pcma,
    /// G.722.
    G722,
    /// H.264 (RFC 6184).
    H264,
    /// VP8 (RFC 7741).
    Vp8,
    /// VP9 (RFC 9628).
    Vp9,
    /// AV1 (the Alliance's RTP format).
    Av1,
}

impl Codec {
    /// All of them, in the order in which they are preferred where the peer leaves it to us.
    pub const ALL: [Self; 8] = [
        Self::Opus,
        Self::G722,
        Self::Pcmu,
        Self::Pcma,
        Self::H264,
        Self::Vp8,
        Self::Vp9,
        Self::Av1,
    ];

    /// Sound or pictures.
    pub fn kind(self) -> MediaKind {
        match self {
            Self::Opus | Self::Pcmu | Self::Pcma | Self::G722 => MediaKind::Audio,
            Self::H264 | Self::Vp8 | Self::Vp9 | Self::Av1 => MediaKind::Video,
        }
    }

    /// The name in an `a=rtpmap`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Opus => "opus",
            Self::Pcmu => "PCMU",
            Self::Pcma => "PCMA",
            Self::G722 => "G722",
            Self::H264 => "H264",
            Self::Vp8 => "VP8",
            Self::Vp9 => "VP9",
            Self::Av1 => "AV1",
        }
    }

    /// The codec of this name, in either case.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| codec.name().eq_ignore_ascii_case(name))
    }

    /// Ticks of an RTP timestamp in a second (G.722's is 8,000 by RFC 3551 §4.5.2).
    pub fn clock_rate_hz(self) -> u32 {
        match self {
            Self::Opus => 48_000,
            Self::Pcmu | Self::Pcma | Self::G722 => 8_000,
            Self::H264 | Self::Vp8 | Self::Vp9 | Self::Av1 => 90_000,
        }
    }

    pub(crate) fn from_inner(codec: StrCodec) -> Option<Self> {
        Some(match codec {
            StrCodec::Opus => Self::Opus,
            StrCodec::PCMU => Self::Pcmu,
            StrCodec::PCMA => Self::Pcma,
            StrCodec::G722 => Self::G722,
            StrCodec::H264 => Self::H264,
            StrCodec::Vp8 => Self::Vp8,
            StrCodec::Vp9 => Self::Vp9,
            StrCodec::Av1 => Self::Av1,
            _ => return None,
        })
    }
}

/// A codec with its parameters (`a=fmtp`), as negotiated. Cheap to copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodecParameters {
    codec: Codec,
    format: FormatParams,
}

impl CodecParameters {
    /// Of this codec, with the parameters of an `a=fmtp` value (`"profile-level-id=42e01f;…"`).
    /// Parameters that are not known are left out.
    pub fn new(codec: Codec, fmtp: &str) -> Self {
        Self { codec, format: FormatParams::parse_line(fmtp) }
    }

    /// The codec.
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// H.264's `profile-level-id`.
    pub fn profile_level_id(&self) -> Option<u32> {
        self.format.profile_level_id
    }

    /// H.264's `packetization-mode`; 0 where none is said.
    pub fn packetization_mode(&self) -> u8 {
        self.format.packetization_mode.unwrap_or(0)
    }

    /// The `a=fmtp` value; empty where there is none.
    pub fn fmtp(&self) -> String {
        self.format.to_string()
    }

    /// How well a receiver that agreed to `offered` can take what is described here. `None`: not at
    /// all. Lower is better.
    ///
    /// Decoders take other profiles of H.264 than the agreed one more often than not, so another
    /// profile is the last choice rather than none; another packetization mode is refused, for a
    /// receiver of single units need not know fragments. VP9's and AV1's profiles are other
    /// formats.
    pub fn distance(&self, offered: &Self) -> Option<u32> {
        if self.codec != offered.codec {
            return None;
        }
        let (own, theirs) = (&self.format, &offered.format);
        match self.codec {
            Codec::H264 if self.packetization_mode() > offered.packetization_mode() => None,
            Codec::H264 => {
                let profile = |format: &FormatParams| format.profile_level_id.unwrap_or(0x42_001f);
                let (own, theirs) = (profile(own), profile(theirs));
                let is_same_profile = own >> 16 == theirs >> 16;
                let is_same_constraint = (own ^ theirs) & 0x00_c000 == 0;
                Some(match (own == theirs, is_same_profile, is_same_constraint) {
                    (true, _, _) => 0,
                    (_, true, true) => 1,
                    (_, true, false) => 2,
                    _ => 3,
                })
            }
            Codec::Vp9 => {
                (own.profile_id.unwrap_or(0) == theirs.profile_id.unwrap_or(0)).then_some(0)
            }
            Codec::Av1 => (own.profile.unwrap_or(0) == theirs.profile.unwrap_or(0)).then_some(0),
            _ => Some(0),
        }
    }

    pub(crate) fn from_spec(spec: &CodecSpec) -> Option<Self> {
        Some(Self { codec: Codec::from_inner(spec.codec)?, format: spec.format })
    }
}

impl From<Codec> for CodecParameters {
    fn from(codec: Codec) -> Self {
        Self { codec, format: FormatParams::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_either_case() {
        for codec in Codec::ALL {
            assert_eq!(Codec::from_name(&codec.name().to_lowercase()), Some(codec));
        }
        assert_eq!(Codec::from_name("H265"), None);
    }

    #[test]
    fn a_closer_profile_of_h264_is_preferred_and_another_mode_is_refused() {
        let at = |fmtp| CodecParameters::new(Codec::H264, fmtp);
        let sent = at("packetization-mode=1;profile-level-id=42e01f");
        let same = at("profile-level-id=42e01f;packetization-mode=1");
        let other_level = at("packetization-mode=1;profile-level-id=42e034");
        let baseline = at("packetization-mode=1;profile-level-id=42001f");
        let high = at("packetization-mode=1;profile-level-id=640c1f");
        let distances = [same, other_level, baseline, high].map(|other| sent.distance(&other));
        assert_eq!(distances, [Some(0), Some(1), Some(2), Some(3)]);
        assert_eq!(sent.distance(&at("profile-level-id=42e01f")), None, "single units only");
        assert_eq!(sent.distance(&Codec::Vp8.into()), None);
    }

    #[test]
    fn profiles_of_vp9_are_other_formats() {
        let at = |fmtp| CodecParameters::new(Codec::Vp9, fmtp);
        assert_eq!(at("profile-id=0").distance(&Codec::Vp9.into()), Some(0));
        assert_eq!(at("profile-id=2").distance(&at("profile-id=0")), None);
    }
}
