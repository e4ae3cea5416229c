//! EBML elements (RFC 8794) and what the headers of Matroska say about the tracks.

use crate::output::AudioInfo;

pub(super) const EBML: u32 = 0x1a45_dfa3;
pub(super) const SEGMENT: u32 = 0x1853_8067;
pub(super) const INFO: u32 = 0x1549_a966;
pub(super) const TRACKS: u32 = 0x1654_ae6b;
pub(super) const TAGS: u32 = 0x1254_c367;
pub(super) const CLUSTER: u32 = 0x1f43_b675;
pub(super) const SIMPLE_BLOCK: u32 = 0xa3;
pub(super) const BLOCK_GROUP: u32 = 0xa0;
const BLOCK: u32 = 0xa1;
const REFERENCE_BLOCK: u32 = 0xfb;
const TRACK_ENTRY: u32 = 0xae;
const TRACK_NUMBER: u32 = 0xd7;
const TRACK_TYPE: u32 = 0x83;
const CODEC: u32 = 0x86;
const AUDIO: u32 = 0xe1;
const SAMPLE_RATE: u32 = 0xb5;
const CHANNELS: u32 = 0x9f;

/// The head of an element.
#[derive(Clone, Copy, Debug)]
pub(super) struct Element {
    pub id: u32,
    /// The body's length; `None` where it is not known.
    pub size: Option<u64>,
    /// The head's own length, and that of the identifier in it.
    pub head_bytes: usize,
    pub id_bytes: usize,
}

/// What some bytes begin with.
pub(super) enum Read<T> {
    Wait,
    Malformed,
    Is(T),
}

impl Element {
    /// The element that `bytes` begin with.
    pub fn read(bytes: &[u8]) -> Read<Element> {
        let Some(first) = bytes.first() else { return Read::Wait };
        let id_bytes = first.leading_zeros() as usize + 1;
        if id_bytes > 4 {
            return Read::Malformed;
        }
        let Some(id) = bytes.get(..id_bytes) else { return Read::Wait };
        let id = id.iter().fold(0, |id, byte| id << 8 | u32::from(*byte));
        match number(&bytes[id_bytes..]) {
            Read::Wait => Read::Wait,
            Read::Malformed => Read::Malformed,
            Read::Is((size, size_bytes)) => {
                Read::Is(Element { id, size, head_bytes: id_bytes + size_bytes, id_bytes })
            }
        }
    }

    /// Its length with its head; `None` where it is not known.
    pub fn whole_bytes(&self) -> Option<u64> {
        self.size?.checked_add(self.head_bytes as u64)
    }
}

/// Whether an element stands beside clusters, not in them: it ends a cluster of unknown size.
pub(super) fn is_top(id: u32) -> bool {
    id >= 0x1000_0000
}

/// The track of a block, and whether it is a keyframe.
pub(super) fn block(element: &Element, whole: &[u8]) -> Read<(u64, bool)> {
    let body = &whole[element.head_bytes.min(whole.len())..];
    if element.id == SIMPLE_BLOCK {
        return match number(body) {
            Read::Is((Some(track), bytes)) => match body.get(bytes + 2) {
                Some(flags) => Read::Is((track, flags & 0x80 != 0)),
                None => Read::Wait,
            },
            Read::Is(_) | Read::Malformed => Read::Malformed,
            Read::Wait => Read::Wait,
        };
    }
    if element.size.is_none_or(|size| size > body.len() as u64) {
        return Read::Wait;
    }
    let (mut track, mut keyframe) = (None, true);
    for (child, body) in Children(body) {
        match child.id {
            BLOCK => track = unknown_is_none(number(body)),
            REFERENCE_BLOCK => keyframe = false,
            _ => {}
        }
    }
    track.map_or(Read::Malformed, |track| Read::Is((track, keyframe)))
}

/// What the `Tracks` element says: the first video track, and the audio.
pub(super) fn tracks(body: &[u8]) -> (Option<u64>, Option<AudioInfo>) {
    let (mut video, mut audio) = (None, None);
    for (entry, body) in Children(body) {
        if entry.id != TRACK_ENTRY {
            continue;
        }
        let (mut number, mut kind, mut codec) = (0, 0, &[][..]);
        let mut info =
            AudioInfo { sample_rate_hz: 8000, channels_count: 1, bitrate_kbps: 0, codec: "other" };
        for (child, body) in Children(body) {
            match child.id {
                TRACK_NUMBER => number = unsigned(body),
                TRACK_TYPE => kind = unsigned(body),
                CODEC => codec = body,
                AUDIO => audio_settings(body, &mut info),
                _ => {}
            }
        }
        match kind {
            1 => video = video.or(Some(number)),
            2 => audio = audio.or(Some(AudioInfo { codec: codec_name(codec), ..info })),
            _ => {}
        }
    }
    (video, audio)
}

/// The elements of a body, as far as they are whole.
struct Children<'a>(&'a [u8]);

impl<'a> Iterator for Children<'a> {
    type Item = (Element, &'a [u8]);

    fn next(&mut self) -> Option<(Element, &'a [u8])> {
        let Read::Is(element) = Element::read(self.0) else { return None };
        let whole = usize::try_from(element.whole_bytes()?).ok()?;
        let body = self.0.get(element.head_bytes..whole)?;
        self.0 = &self.0[whole..];
        Some((element, body))
    }
}

/// A number of variable length, with that length; `None` is the reserved value, "unknown".
fn number(bytes: &[u8]) -> Read<(Option<u64>, usize)> {
    let Some(first) = bytes.first() else { return Read::Wait };
    let count = first.leading_zeros() as usize + 1;
    if count > 8 {
        return Read::Malformed;
    }
    let Some(bytes) = bytes.get(..count) else { return Read::Wait };
    let all = (1_u64 << (7 * count)) - 1;
    let value = unsigned(bytes) & all;
    Read::Is(((value != all).then_some(value), count))
}

fn unknown_is_none(number: Read<(Option<u64>, usize)>) -> Option<u64> {
    match number {
        Read::Is((value, _)) => value,
        Read::Wait | Read::Malformed => None,
    }
}

fn unsigned(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

fn audio_settings(body: &[u8], info: &mut AudioInfo) {
    for (child, body) in Children(body) {
        match (child.id, body.len()) {
            (SAMPLE_RATE, 4) => info.sample_rate_hz = f32::from_bits(unsigned(body) as u32) as u32,
            (SAMPLE_RATE, 8) => info.sample_rate_hz = f64::from_bits(unsigned(body)) as u32,
            (CHANNELS, _) => {
                info.channels_count = u8::try_from(unsigned(body)).unwrap_or(u8::MAX);
            }
            _ => {}
        }
    }
}

fn codec_name(codec: &[u8]) -> &'static str {
    match codec {
        b"A_OPUS" => "opus",
        b"A_VORBIS" => "vorbis",
        b"A_FLAC" => "flac",
        b"A_MPEG/L3" => "mp3",
        _ if codec.starts_with(b"A_AAC") => "aac",
        _ if codec.starts_with(b"A_PCM") => "pcm",
        _ => "other",
    }
}
