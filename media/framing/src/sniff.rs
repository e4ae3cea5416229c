//! What a stream is, by its first bytes. Encoders often send the wrong type, or none: ffmpeg says
//! `audio/mpeg` for everything until it is told otherwise.

use crate::Format;
use crate::frames::{self, Proof};

/// What the first bytes are.
pub(crate) enum Sniffed {
    /// They do not say yet.
    Wait,
    /// An ID3v2 tag of this length, to be dropped; look again behind it.
    Tag(u64),
    Is(Format),
}

/// A tag between frames or before them.
pub(crate) enum Tag {
    Wait,
    None,
    /// Its length with its header.
    Bytes(u64),
}

/// A tag beyond this is taken for garbage.
const TAG_BYTES_MAX: u64 = 16 * 1024 * 1024;

const MAGICS: [(&[u8], Format); 5] = [
    (b"OggS", Format::Ogg),
    (b"fLaC", Format::Flac),
    (b"RIFF", Format::Wav),
    (b"RF64", Format::Wav),
    (&[0x1a, 0x45, 0xdf, 0xa3], Format::Matroska),
];

/// What `pending`, the stream's first bytes, make of a stream that is said to be `declared`. A
/// container's magic is believed over what was said; so are MP3 and AAC frames in what should be a
/// container. Where nothing fits, the parser of what was said finds its way into the stream.
pub(crate) fn look(pending: &[u8], declared: Format, at_end: bool) -> Sniffed {
    for (magic, format) in MAGICS {
        if pending.starts_with(magic) {
            return Sniffed::Is(format);
        }
        if !at_end && magic.starts_with(pending) {
            return Sniffed::Wait;
        }
    }
    if declared == Format::Plain {
        return Sniffed::Is(Format::Plain);
    }
    if pending.starts_with(b"I") {
        match tag_bytes(pending) {
            Tag::Bytes(tag_bytes) => return Sniffed::Tag(tag_bytes),
            Tag::Wait if !at_end => return Sniffed::Wait,
            _ => return Sniffed::Is(declared),
        }
    }
    match (declared, frames::prove(pending, at_end)) {
        // The frame parser hunts for both kinds by itself.
        (Format::Mpeg | Format::Adts, _) | (_, Proof::No) => Sniffed::Is(declared),
        (_, Proof::Wait) => Sniffed::Wait,
        (_, Proof::Yes(lock)) => Sniffed::Is(lock.format),
    }
}

/// The length of the ID3v2, ID3v1 or APE tag that `pending` begins with.
pub(crate) fn tag_bytes(pending: &[u8]) -> Tag {
    const KINDS: [(&[u8], usize); 3] = [(b"ID3", 10), (b"APETAGEX", 32), (b"TAG", 3)];
    for (magic, header_bytes) in KINDS {
        let count = pending.len().min(magic.len());
        if pending[..count] != magic[..count] {
            continue;
        }
        if pending.len() < header_bytes {
            return Tag::Wait;
        }
        let tag_bytes = match magic[0] {
            b'I' => id3v2_bytes(pending),
            b'A' => ape_bytes(pending),
            _ => 128,
        };
        return if tag_bytes <= TAG_BYTES_MAX { Tag::Bytes(tag_bytes) } else { Tag::None };
    }
    Tag::None
}

/// The length is four groups of seven bits, without the header and a footer.
fn id3v2_bytes(pending: &[u8]) -> u64 {
    let body = pending[6..10].iter().fold(0, |sum, byte| sum << 7 | u64::from(*byte & 0x7f));
    let footer = if pending[5] & 0x10 != 0 { 10 } else { 0 };
    10 + body + footer
}

/// The length counts the items and the footer. Flag bit 29: this is the header, which it does not
/// count; without it, this is a footer that stands alone.
fn ape_bytes(pending: &[u8]) -> u64 {
    let is_header = crate::bits::le32(pending, 20) >> 29 & 1 == 1;
    let counted = u64::from(crate::bits::le32(pending, 12));
    32 + if is_header { counted } else { 0 }
}
