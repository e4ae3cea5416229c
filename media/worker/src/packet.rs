//! What flows through a worker's graphs: encoded media, and decoded frames between its stages.

use std::rc::Rc;

use bytes::Bytes;
use ffmpeg_next as ffmpeg;
use ffmpeg_next::frame;
use media_flow::{Frame, MediaPacket, MediaView, TimeBase};

/// A packet of a worker's graph.
pub type Packet = MediaPacket<Decoded>;
/// One that is lent.
pub type View<'a> = MediaView<'a, Decoded>;

/// A decoded frame.
#[derive(Clone)]
pub enum Decoded {
    /// A picture.
    Picture(Rc<frame::Video>),
    /// Sound.
    Sound(Rc<frame::Audio>),
}

impl Frame for Decoded {
    fn size_bytes(&self) -> usize {
        match self {
            Decoded::Picture(picture) => {
                (0..picture.planes()).map(|plane| picture.data(plane).len()).sum()
            }
            Decoded::Sound(sound) => {
                sound.samples() * usize::from(sound.channels()) * sound.format().bytes()
            }
        }
    }
}

/// FFmpeg's packet as shared bytes, without a copy.
pub fn bytes_of(packet: ffmpeg::Packet) -> Bytes {
    struct Owner(ffmpeg::Packet);
    impl AsRef<[u8]> for Owner {
        fn as_ref(&self) -> &[u8] {
            self.0.data().unwrap_or_default()
        }
    }
    Bytes::from_owner(Owner(packet))
}

/// A lent packet as FFmpeg's, with its times.
pub fn ffmpeg_packet(view: View<'_>) -> ffmpeg::Packet {
    let mut packet = ffmpeg::Packet::copy(view.payload);
    packet.set_pts(Some(view.presentation));
    packet.set_dts(Some(view.decode));
    packet.set_duration(i64::from(view.duration));
    if view.is_keyframe {
        packet.set_flags(ffmpeg::packet::Flags::KEY);
    }
    packet
}

/// A time base as FFmpeg's.
pub fn rational(base: TimeBase) -> ffmpeg::Rational {
    let word = |value: u32| i32::try_from(value).unwrap_or(i32::MAX);
    ffmpeg::Rational::new(word(base.numerator.get()), word(base.denominator.get()))
}

/// FFmpeg's time base; one of zero becomes microseconds.
pub fn time_base(rational: ffmpeg::Rational) -> TimeBase {
    let part = |value: i32| u32::try_from(value).ok().and_then(std::num::NonZeroU32::new);
    match (part(rational.numerator()), part(rational.denominator())) {
        (Some(numerator), Some(denominator)) => TimeBase { numerator, denominator },
        _ => per_second(1_000_000),
    }
}

/// So many ticks a second.
///
/// # Panics
/// For none.
pub const fn per_second(ticks: u32) -> TimeBase {
    TimeBase::per_second(std::num::NonZeroU32::new(ticks).expect("a clock that ticks"))
}

/// Ticks of one clock as those of another.
pub fn rescale(ticks: i64, from: TimeBase, to_per_second: u32) -> i64 {
    media_link::TimeBase { numerator: from.numerator, denominator: from.denominator }
        .rescale(ticks, to_per_second)
}
