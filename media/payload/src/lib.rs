//! RTP payload formats: access units into payloads, and payloads back into access units, without
//! any I/O.
//!
//! | codec | standard | units |
//! |---|---|---|
//! | H.264 | RFC 6184, packetization mode 1 | access units with start codes (Annex B) |
//! | VP8 | RFC 7741 | frames |
//! | VP9 | RFC 9628 | superframes |
//! | AV1 | AV1 RTP 1.0 | temporal units whose OBUs carry sizes; only from RTP |
//! | Opus | RFC 7587 | packets |
//!
//! [`Packetizer`] cuts a unit into payloads; sequence numbers, timestamps and the marker of the
//! last one are its user's. [`Depacketizer`] takes packets as they arrive: late, twice, out of
//! order or not at all.
//!
//! # What it promises
//!
//! * **A unit is whole or not there.** What misses a packet is dropped; after a loss in pictures
//!   nothing comes before the next keyframe, which is asked for ([`Output::KeyframeWanted`]), again
//!   and again while it does not come. Sound goes on with its next packet.
//! * **A keyframe can be decoded alone**: H.264's has the parameter sets in force before it.
//! * **Bounded**: packets that wait by [`Limits`], a unit by its bytes; no time passes without
//!   [`Depacketizer::deadline`] saying so.
//! * **Any bytes are allowed**: what is no payload of its codec is a loss, and counted.
//!
//! The crates that do parts of this were read first. `str0m` keeps its own private; `rtc-rtp` 0.21
//! panics on a STAP-A cut short, joins fragments without looking for gaps, and holds no bound.

mod assemble;
mod av1;
mod depacketize;
mod h264;
mod opus;
mod pacer;
mod packetize;
mod reorder;
mod vp8;
mod vp9;

pub use depacketize::{Counters, Depacketizer, Limits, Output, RtpPacket, Unit};
pub use pacer::{Paced, Pacer};
pub use packetize::Packetizer;

/// How a track is coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    /// H.264.
    H264,
    /// VP8.
    Vp8,
    /// VP9.
    Vp9,
    /// AV1.
    Av1,
    /// Opus.
    Opus,
}

impl Codec {
    /// Whether a unit can be decoded whatever became of those before it.
    pub fn stands_alone(self) -> bool {
        self == Codec::Opus
    }

    /// The rate of its RTP timestamps.
    pub fn clock_rate(self) -> u32 {
        if self == Codec::Opus { 48_000 } else { 90_000 }
    }
}
