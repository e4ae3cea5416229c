//! One logical stream of an Ogg link: which codec, where its headers end, what they say, and on
//! which of its pages a decoder may start.

use super::page::{Page, Segment};
use super::timeline::{Pace, Timeline};
use crate::bits::{be32, le32};
use crate::comment;
use crate::output::AudioInfo;

/// A logical stream in the current link.
#[derive(Debug)]
pub(super) struct Stream {
    pub serial_in: u32,
    serial_out: u32,
    sequence_in_next: u32,
    sequence_out_next: u32,
    codec: Codec,
    headers: Headers,
    /// The header packet being collected, up to the limit on comments.
    packet: Vec<u8>,
    comment_bytes_max: usize,
    pub audio: Option<AudioInfo>,
    /// The title in its comments; `Some(None)` where they have none.
    pub title: Option<Option<String>>,
    granule: Option<u64>,
    timeline: Timeline,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Codec {
    Opus,
    Vorbis,
    Flac,
    Speex,
    Theora,
    /// Describes other streams and has no media of its own.
    Skeleton,
    Other,
}

/// Where a stream's headers end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Headers {
    /// So many packets are still to come.
    Packets(u32),
    /// With the first frame of FLAC, whose first byte is no metadata block's.
    UntilFlacFrame,
    /// With the first page whose granule is not 0.
    UntilGranule,
    /// Never: there is nothing else.
    Endless,
    Done,
}

/// What a page is to its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Header,
    /// A header behind a gap: the stream can never be decoded.
    BrokenHeader,
    Media {
        sync: bool,
    },
}

impl Stream {
    /// The stream that `page` begins. Its pages go out under `serial_out`.
    pub fn new(page: &Page<'_>, serial_out: u32, comment_bytes_max: usize) -> Stream {
        let head = page.segments().next().map_or(&[][..], |segment| segment.bytes);
        let (codec, headers) = identify(head);
        Stream {
            serial_in: page.serial(),
            serial_out,
            sequence_in_next: page.sequence(),
            sequence_out_next: 0,
            codec,
            headers,
            packet: Vec::new(),
            comment_bytes_max,
            audio: audio(codec, head),
            title: None,
            granule: None,
            timeline: Timeline::new(pace(codec, head)),
        }
    }

    /// Whether a decoder can start at its keyframes only.
    pub fn is_video(&self) -> bool {
        self.codec == Codec::Theora
    }

    /// Takes the stream's next page: appends it, renumbered, to `out` and says what it is. `alone`
    /// says that its link has no other stream.
    pub fn take(&mut self, page: &Page<'_>, alone: bool, out: &mut Vec<u8>) -> Role {
        let gap = page.sequence() != self.sequence_in_next;
        self.sequence_in_next = page.sequence().wrapping_add(1);
        // A gap stays a gap, or a decoder would join halves of different packets.
        self.sequence_out_next = self.sequence_out_next.wrapping_add(u32::from(gap));
        let sequence = self.sequence_out_next;
        self.sequence_out_next = sequence.wrapping_add(1);
        if !self.is_header(page) {
            page.rewrite(self.serial_out, sequence, self.timeline.granule(page, alone), out);
            return Role::Media { sync: self.may_start(page) };
        }
        page.rewrite(self.serial_out, sequence, None, out);
        for segment in page.segments() {
            self.collect(&segment);
        }
        if gap { Role::BrokenHeader } else { Role::Header }
    }

    /// How many samples a media page adds, where that is known.
    pub fn samples(&mut self, page: &Page<'_>) -> Option<u32> {
        let audio = self.audio.as_ref()?;
        let granule = page.granule()?;
        let before = self.granule.replace(granule)?;
        let samples = u32::try_from(granule.checked_sub(before)?).ok()?;
        (samples / 10 < audio.sample_rate_hz).then_some(samples)
    }

    fn is_header(&mut self, page: &Page<'_>) -> bool {
        let ended = match self.headers {
            Headers::Done => true,
            Headers::Packets(_) | Headers::Endless => false,
            Headers::UntilGranule => page.granule().is_some_and(|granule| granule != 0),
            Headers::UntilFlacFrame => {
                let first = page.segments().next();
                !page.continued() && first.is_some_and(|first| first.bytes.first() == Some(&0xff))
            }
        };
        if ended {
            self.headers = Headers::Done;
            self.packet = Vec::new();
        }
        !ended
    }

    fn may_start(&self, page: &Page<'_>) -> bool {
        let Some(first) = page.segments().next() else { return false };
        // Of a Theora packet's first byte, bit 7 means header and bit 6 means no keyframe.
        let keyframe = || first.bytes.first().is_some_and(|byte| byte & 0xc0 == 0);
        !page.continued() && (!self.is_video() || keyframe())
    }

    fn collect(&mut self, segment: &Segment<'_>) {
        let room = self.comment_bytes_max.saturating_sub(self.packet.len());
        self.packet.extend_from_slice(&segment.bytes[..segment.bytes.len().min(room)]);
        if !segment.ends {
            return;
        }
        if let Some(block) = comment_block(self.codec, &self.packet) {
            self.title = Some(comment::title(block));
        }
        self.packet.clear();
        if let Headers::Packets(left) = self.headers {
            self.headers = match left {
                0 | 1 => Headers::Done,
                _ => Headers::Packets(left - 1),
            };
        }
    }
}

/// Codec and header count by a stream's first packet.
fn identify(head: &[u8]) -> (Codec, Headers) {
    if head.starts_with(b"OpusHead") && head.len() >= 19 {
        (Codec::Opus, Headers::Packets(2))
    } else if head.starts_with(b"\x01vorbis") && head.len() >= 30 {
        (Codec::Vorbis, Headers::Packets(3))
    } else if head.starts_with(b"\x7fFLAC") && head.len() >= 51 {
        let others = u32::from(head[7]) << 8 | u32::from(head[8]);
        let headers =
            if others == 0 { Headers::UntilFlacFrame } else { Headers::Packets(others + 1) };
        (Codec::Flac, headers)
    } else if head.starts_with(b"Speex   ") && head.len() >= 80 {
        (Codec::Speex, Headers::Packets(le32(head, 68).saturating_add(2)))
    } else if head.starts_with(b"\x80theora") && head.len() >= 42 {
        (Codec::Theora, Headers::Packets(3))
    } else if head.starts_with(b"fishead\0") {
        (Codec::Skeleton, Headers::Endless)
    } else {
        (Codec::Other, Headers::UntilGranule)
    }
}

fn audio(codec: Codec, head: &[u8]) -> Option<AudioInfo> {
    let (name, sample_rate_hz, channels_count, bitrate) = match codec {
        // Opus always decodes at 48 kHz, and its granules count so.
        Codec::Opus => ("opus", 48_000, head[9], 0),
        Codec::Vorbis => ("vorbis", le32(head, 12), head[11], le32(head, 20)),
        Codec::Flac => ("flac", be32(head, 27) >> 12, (head[29] >> 1 & 7) + 1, 0),
        Codec::Speex => {
            let channels = u8::try_from(le32(head, 48)).unwrap_or(u8::MAX);
            ("speex", le32(head, 36), channels, le32(head, 52))
        }
        Codec::Theora | Codec::Skeleton | Codec::Other => return None,
    };
    // Vorbis and Speex give bits per second; what is not known is 0 or negative.
    let bitrate_kbps = if bitrate > i32::MAX as u32 { 0 } else { bitrate / 1000 };
    Some(AudioInfo { sample_rate_hz, channels_count, bitrate_kbps, codec: name })
}

fn pace(codec: Codec, head: &[u8]) -> Pace {
    match codec {
        Codec::Opus => Pace::Opus,
        Codec::Vorbis => Pace::vorbis(head),
        // Its headers' limit on a block (RFC 9639 §8.2).
        Codec::Flac => Pace::AtMost(u32::from(u16::MAX)),
        Codec::Speex => Pace::speex(head),
        Codec::Theora | Codec::Skeleton | Codec::Other => Pace::Unknown,
    }
}

fn comment_block(codec: Codec, packet: &[u8]) -> Option<&[u8]> {
    match codec {
        Codec::Opus => packet.strip_prefix(b"OpusTags"),
        Codec::Vorbis => packet.strip_prefix(b"\x03vorbis"),
        Codec::Theora => packet.strip_prefix(b"\x81theora"),
        Codec::Flac if packet.first()? & 0x7f == 4 => packet.get(4..),
        Codec::Speex if !packet.starts_with(b"Speex   ") => Some(packet),
        Codec::Flac | Codec::Speex | Codec::Skeleton | Codec::Other => None,
    }
}
