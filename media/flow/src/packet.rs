//! What flows: the [`Packet`] trait, and [`MediaPacket`] for whom it suffices.

use std::num::NonZeroU32;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;

/// A track's number in its graph, given by who makes the packets, from 0.
///
/// A byte, so that a queue's memory of tracks that lost a packet is a bit set of 32 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct TrackId(pub u8);

/// What a graph must know of a packet, whatever it is: RTP, encoded media, decoded frames.
///
/// A packet owns its payload by count: [`Packet::share`] is cheap and copies no payload. What a
/// borrowing stage sees is the [`Packet::View`], from which no packet can be made again: that a
/// stage lets go of a packet before it returns is checked by the compiler.
pub trait Packet: Sized {
    /// What is lent of a packet, for the time of a call.
    type View<'a>: Copy
    where
        Self: 'a;

    /// Lends the packet.
    fn view(&self) -> Self::View<'_>;

    /// A second owner of the same payload. Payload is never copied here.
    fn share(&self) -> Self;

    /// The track that it belongs to.
    fn track(&self) -> TrackId;

    /// Whether a decoder may start here: no packet of the track before this one is needed for
    /// this or any later one. True for every packet of most audio.
    fn is_keyframe(&self) -> bool;

    /// What it counts for against the byte bound of a queue.
    fn size_bytes(&self) -> usize;
}

/// What kind of media a packet carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Sound.
    Audio,
    /// Pictures.
    Video,
    /// Anything else, such as subtitles or events.
    Data,
}

/// Seconds for each tick of a timestamp, as a fraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimeBase {
    /// Seconds.
    pub numerator: NonZeroU32,
    /// Ticks in which these pass.
    pub denominator: NonZeroU32,
}

impl TimeBase {
    /// So many ticks a second, such as 48,000 or 90,000.
    pub const fn per_second(ticks: NonZeroU32) -> TimeBase {
        TimeBase { numerator: NonZeroU32::MIN, denominator: ticks }
    }

    /// How long so many ticks last. Less than none is none; beyond `u64` nanoseconds is the most.
    pub fn duration(self, ticks: i64) -> Duration {
        let seconds = i128::from(ticks.max(0)) * i128::from(self.numerator.get());
        let nanoseconds = seconds * 1_000_000_000 / i128::from(self.denominator.get());
        Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
    }
}

/// A decoded frame as it travels in a [`MediaPacket`]: what only its owner understands.
///
/// Cloning one must be cheap: a counted reference, such as an `Arc`, not a copy of samples.
pub trait Frame: Clone {
    /// What it counts for against the byte bound of a queue.
    fn size_bytes(&self) -> usize;
}

/// The frame of a packet that carries none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoFrame {}

impl Frame for NoFrame {
    fn size_bytes(&self) -> usize {
        match *self {}
    }
}

/// A packet of media: encoded bytes, a decoded frame, or both.
///
/// It is not `Clone`, on purpose; [`Packet::share`] is how a second owner comes to be.
#[derive(Debug)]
pub struct MediaPacket<F = NoFrame> {
    /// Its track.
    pub track: TrackId,
    /// What it carries.
    pub kind: Kind,
    /// The unit of its three times.
    pub time_base: TimeBase,
    /// When it is shown, in ticks.
    pub presentation: i64,
    /// When it is decoded, in ticks: another order than `presentation` where pictures are coded
    /// out of their order.
    pub decode: i64,
    /// How long it lasts, in ticks; 0 where unknown.
    pub duration: u32,
    /// Whether a decoder may start here.
    pub is_keyframe: bool,
    /// The encoded bytes; empty where there is only a frame.
    pub payload: Bytes,
    /// The decoded frame.
    pub frame: Option<F>,
}

/// A [`MediaPacket`] as a borrowing stage sees it.
#[derive(Debug)]
pub struct MediaView<'a, F = NoFrame> {
    /// Its track.
    pub track: TrackId,
    /// What it carries.
    pub kind: Kind,
    /// The unit of its three times.
    pub time_base: TimeBase,
    /// When it is shown, in ticks.
    pub presentation: i64,
    /// When it is decoded, in ticks.
    pub decode: i64,
    /// How long it lasts, in ticks; 0 where unknown.
    pub duration: u32,
    /// Whether a decoder may start here.
    pub is_keyframe: bool,
    /// The encoded bytes.
    pub payload: &'a [u8],
    /// The decoded frame.
    pub frame: Option<&'a F>,
}

// By hand: a view is `Copy` whether or not the frame is.
impl<F> Clone for MediaView<'_, F> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<F> Copy for MediaView<'_, F> {}

impl<F: Frame> Packet for MediaPacket<F> {
    type View<'a>
        = MediaView<'a, F>
    where
        F: 'a;

    fn view(&self) -> MediaView<'_, F> {
        MediaView {
            track: self.track,
            kind: self.kind,
            time_base: self.time_base,
            presentation: self.presentation,
            decode: self.decode,
            duration: self.duration,
            is_keyframe: self.is_keyframe,
            payload: &self.payload,
            frame: self.frame.as_ref(),
        }
    }

    fn share(&self) -> MediaPacket<F> {
        MediaPacket { payload: self.payload.clone(), frame: self.frame.clone(), ..*self }
    }

    fn track(&self) -> TrackId {
        self.track
    }

    fn is_keyframe(&self) -> bool {
        self.is_keyframe
    }

    fn size_bytes(&self) -> usize {
        self.payload.len() + self.frame.as_ref().map_or(0, Frame::size_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_last_as_long_as_their_base_says() {
        let base = TimeBase::per_second(NonZeroU32::new(90_000).expect("not zero"));
        assert_eq!(base.duration(45_000), Duration::from_millis(500));
        assert_eq!(base.duration(-1), Duration::ZERO);
        let long = TimeBase { numerator: NonZeroU32::MAX, denominator: NonZeroU32::MIN };
        assert_eq!(long.duration(i64::MAX), Duration::from_nanos(u64::MAX));
    }
}
