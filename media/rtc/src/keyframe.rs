//! Where a decoder may start: the first packet of a keyframe, told from its payload alone.
//!
//! Only as many bytes are looked at as the answer needs, and every loop advances. What is cut short
//! or malformed is no start: a viewer who waits for the next keyframe loses less than one who is
//! started on rubbish.

use crate::codec::Codec;

/// Whether the payload is the first packet from which this codec can be decoded.
///
/// Of sound, every packet that is not empty.
pub fn starts_at(codec: Codec, payload: &[u8]) -> bool {
    match codec {
        Codec::Opus | Codec::Pcmu | Codec::Pcma | Codec::G722 => !payload.is_empty(),
        Codec::H264 => h264(payload),
        Codec::Vp8 => vp8(payload).unwrap_or(false),
        Codec::Vp9 => vp9(payload).unwrap_or(false),
        Codec::Av1 => av1(payload),
    }
}

/// RFC 6184: a sequence parameter set, alone or as part of an aggregate. Encoders of browsers put
/// it before each IDR picture; an IDR slice without one cannot start a decoder that has seen
/// nothing.
fn h264(payload: &[u8]) -> bool {
    const SPS: u8 = 7;
    const STAP_A: u8 = 24;
    const STAP_B: u8 = 25;
    const FU_A: u8 = 28;
    const FU_B: u8 = 29;
    let Some(first) = payload.first() else { return false };
    match first & 0x1f {
        SPS => true,
        STAP_A => units(&payload[1..]).any(|unit| unit & 0x1f == SPS),
        STAP_B => units(payload.get(3..).unwrap_or_default()).any(|unit| unit & 0x1f == SPS),
        // The start of a fragmented parameter set: nobody does it, and it is allowed.
        FU_A | FU_B => payload.get(1).is_some_and(|fu| fu & 0x80 != 0 && fu & 0x1f == SPS),
        _ => false,
    }
}

/// The headers of the units of an aggregate: each is its length in two bytes, then itself.
fn units(mut rest: &[u8]) -> impl Iterator<Item = u8> {
    std::iter::from_fn(move || {
        let (length, after) = rest.split_first_chunk::<2>()?;
        let unit = after.get(..usize::from(u16::from_be_bytes(*length)))?;
        rest = &after[unit.len()..];
        unit.first().copied()
    })
}

/// RFC 7741 §4.2: the payload descriptor, then VP8's own header, whose lowest bit is clear in a key
/// frame. The start of the first partition only.
fn vp8(payload: &[u8]) -> Option<bool> {
    let first = *payload.first()?;
    let is_partition_start = first & 0x10 != 0 && first & 0x07 == 0;
    let mut at = 1;
    if first & 0x80 != 0 {
        let extension = *payload.get(at)?;
        at += 1;
        if extension & 0x80 != 0 {
            // A picture's number of fifteen bits says so by its first.
            at += if payload.get(at)? & 0x80 != 0 { 2 } else { 1 };
        }
        at += usize::from(extension & 0x40 != 0);
        at += usize::from(extension & 0x30 != 0);
    }
    Some(is_partition_start && payload.get(at)? & 0x01 == 0)
}

/// RFC 9628 §4.2: not predicted from an earlier picture, the start of a frame, and of the lowest
/// spatial layer.
fn vp9(payload: &[u8]) -> Option<bool> {
    let first = *payload.first()?;
    let (has_picture_id, is_inter) = (first & 0x80 != 0, first & 0x40 != 0);
    let (has_layers, is_frame_start) = (first & 0x20 != 0, first & 0x08 != 0);
    let mut at = 1;
    if has_picture_id {
        at += if payload.get(at)? & 0x80 != 0 { 2 } else { 1 };
    }
    let spatial = if has_layers { payload.get(at)? >> 1 & 0x07 } else { 0 };
    // A payload of nothing but descriptor starts nothing.
    payload.get(at)?;
    Some(!is_inter && is_frame_start && spatial == 0)
}

/// The aggregation header's N bit says that a new coded video sequence begins (AV1 RTP §4.4). Not
/// all senders set it, so a sequence header as first unit counts, too.
fn av1(payload: &[u8]) -> bool {
    const SEQUENCE_HEADER: u8 = 1;
    let Some((header, rest)) = payload.split_first() else { return false };
    let continues = header & 0x80 != 0;
    if continues || rest.is_empty() {
        return false;
    }
    if header & 0x08 != 0 {
        return true;
    }
    // With W = 1 the only element has no length before it.
    let count = header >> 4 & 0x03;
    let unit = if count == 1 { Some(rest) } else { leb128(rest) };
    unit.and_then(|unit| unit.first()).is_some_and(|unit| unit >> 3 & 0x0f == SEQUENCE_HEADER)
}

/// What follows a length of up to eight bytes of seven bits each, if it is there.
fn leb128(bytes: &[u8]) -> Option<&[u8]> {
    let last = bytes.iter().take(8).position(|byte| byte & 0x80 == 0)?;
    let length_is_zero = bytes[..=last].iter().all(|byte| byte & 0x7f == 0);
    (!length_is_zero).then(|| &bytes[last + 1..])
}

#[cfg(test)]
mod tests;
