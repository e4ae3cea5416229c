//! A track: what its packets are, and what a decoder or a multiplexer must know beforehand.

use std::num::NonZeroU32;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Tracks of one link; their numbers are below it.
pub const TRACKS_MAX: usize = 16;

/// How a track is coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    /// H.264 as access units with start codes (Annex B), parameter sets before each keyframe.
    H264,
    /// VP8 frames.
    Vp8,
    /// VP9 superframes.
    Vp9,
    /// AV1 temporal units whose OBUs carry their sizes.
    Av1,
    /// Opus packets.
    Opus,
}

impl Codec {
    /// Whether it is sound.
    pub fn is_audio(self) -> bool {
        self == Codec::Opus
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Codec::H264 => "h264",
            Codec::Vp8 => "vp8",
            Codec::Vp9 => "vp9",
            Codec::Av1 => "av1",
            Codec::Opus => "opus",
        }
    }
}

/// Seconds for each tick of a track's timestamps, as a fraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeBase {
    /// Seconds.
    pub numerator: NonZeroU32,
    /// Ticks in which these pass.
    pub denominator: NonZeroU32,
}

impl TimeBase {
    /// So many ticks a second.
    pub const fn per_second(ticks: NonZeroU32) -> TimeBase {
        TimeBase { numerator: NonZeroU32::MIN, denominator: ticks }
    }

    /// The ticks of another clock for so many of this one's, rounded down.
    pub fn rescale(self, ticks: i64, to_per_second: u32) -> i64 {
        let scaled =
            i128::from(ticks) * i128::from(self.numerator.get()) * i128::from(to_per_second);
        let scaled = scaled.div_euclid(i128::from(self.denominator.get()));
        i64::try_from(scaled).unwrap_or(if scaled < 0 { i64::MIN } else { i64::MAX })
    }
}

/// A track as it is announced, before its first packet. Announced again it has changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Track {
    /// Its number on this link, below [`TRACKS_MAX`].
    pub id: u8,
    /// How it is coded.
    pub codec: Codec,
    /// The unit of its packets' times.
    pub time_base: TimeBase,
    /// Pixels across; 0 where unknown or sound.
    #[serde(default)]
    pub width: u32,
    /// Pixels down.
    #[serde(default)]
    pub height: u32,
    /// Samples a second; 0 for pictures.
    #[serde(default)]
    pub sample_rate: u32,
    /// Channels; 0 for pictures.
    #[serde(default)]
    pub channels: u8,
    /// What the codec needs beside its packets, in FFmpeg's form; mostly empty, as Annex B and VP8
    /// carry all that they need.
    #[serde(skip)]
    pub extradata: Bytes,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_of_one_clock_are_ticks_of_another() {
        let milliseconds = TimeBase::per_second(NonZeroU32::new(1000).expect("not zero"));
        assert_eq!(milliseconds.rescale(40, 90_000), 3_600);
        assert_eq!(milliseconds.rescale(-1, 500), -1);
        assert_eq!(milliseconds.rescale(i64::MAX, u32::MAX), i64::MAX);
    }
}
