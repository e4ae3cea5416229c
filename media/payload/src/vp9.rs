//! VP9 (RFC 9628): a descriptor before each part of a frame; the frames of a picture's layers are
//! joined into a superframe.

use bytes::{BufMut, Bytes, BytesMut};

use crate::assemble::Damaged;

const PICTURE_ID: u8 = 0x80;
const PREDICTED: u8 = 0x40;
const LAYERS: u8 = 0x20;
const FLEXIBLE: u8 = 0x10;
const BEGIN: u8 = 0x08;
const END: u8 = 0x04;
const SCALABILITY: u8 = 0x02;
const DESCRIPTOR_BYTES: usize = 3;
/// A superframe's index counts so many frames.
const FRAMES_MAX: usize = 8;

/// Cuts a superframe that has one layer.
pub(crate) fn packetize(
    unit: &Bytes,
    picture: u16,
    payload_bytes_max: usize,
    payloads: &mut Vec<Bytes>,
) {
    let predicted = if is_keyframe(unit) { 0 } else { PREDICTED };
    let size = payload_bytes_max - DESCRIPTOR_BYTES;
    for (index, part) in unit.chunks(size).enumerate() {
        let begin = if index == 0 { BEGIN } else { 0 };
        let end = if (index + 1) * size >= unit.len() { END } else { 0 };
        let mut payload = BytesMut::with_capacity(part.len() + DESCRIPTOR_BYTES);
        payload.put_u8(PICTURE_ID | predicted | begin | end);
        payload.put_u16(0x8000 | picture & 0x7fff);
        payload.put_slice(part);
        payloads.push(payload.freeze());
    }
}

/// Whether a frame's header says keyframe (VP9 specification §6.2).
pub(crate) fn is_keyframe(frame: &[u8]) -> bool {
    let Some(first) = frame.first() else { return false };
    let is_profile_3 = first & 0x30 == 0x30;
    let (exists, inter) = if is_profile_3 { (0x04, 0x02) } else { (0x08, 0x04) };
    first & 0xc0 == 0x80 && first & exists == 0 && first & inter == 0
}

/// A superframe that grows.
#[derive(Default)]
pub(crate) struct Vp9 {
    unit: Vec<u8>,
    /// Where each whole frame ends.
    ends: Vec<usize>,
    /// A frame has begun and has not ended.
    is_open: bool,
}

impl Vp9 {
    pub(crate) fn add(&mut self, payload: &[u8]) -> Result<(), Damaged> {
        let (first, body) = split(payload).ok_or(Damaged)?;
        let begins = first & BEGIN != 0;
        if begins == self.is_open || body.is_empty() || self.ends.len() >= FRAMES_MAX {
            return Err(Damaged);
        }
        self.unit.extend_from_slice(body);
        self.is_open = first & END == 0;
        if !self.is_open {
            self.ends.push(self.unit.len());
        }
        Ok(())
    }

    pub(crate) fn finish(&mut self) -> Result<(Vec<u8>, bool), Damaged> {
        if self.is_open {
            return Err(Damaged);
        }
        let mut unit = std::mem::take(&mut self.unit);
        let ends = std::mem::take(&mut self.ends);
        let is_key = is_keyframe(&unit);
        if ends.len() > 1 {
            add_index(&mut unit, &ends);
        }
        Ok((unit, is_key))
    }

    pub(crate) fn clear(&mut self) {
        self.unit.clear();
        self.ends.clear();
        self.is_open = false;
    }

    pub(crate) fn size_bytes(&self) -> usize {
        self.unit.len()
    }
}

/// Annex B of the VP9 specification: sizes of the frames, between two equal marks.
fn add_index(unit: &mut Vec<u8>, ends: &[usize]) {
    // Four bytes for each size.
    let mark = 0xc0 | 3 << 3 | (ends.len() as u8 - 1);
    unit.push(mark);
    let mut start = 0;
    for end in ends {
        let size = u32::try_from(end - start).unwrap_or(u32::MAX);
        unit.extend_from_slice(&size.to_le_bytes());
        start = *end;
    }
    unit.push(mark);
}

/// Whether a frame begins here; of which layer the frame itself says.
pub(crate) fn begins(payload: &[u8]) -> bool {
    split(payload).is_some_and(|(first, _)| first & BEGIN != 0)
}

/// The first byte of the descriptor, and what is behind it (RFC 9628 §4.2).
fn split(payload: &[u8]) -> Option<(u8, &[u8])> {
    let (first, mut rest) = payload.split_first()?;
    if first & PICTURE_ID != 0 {
        let is_long = rest.first()? & 0x80 != 0;
        rest = rest.get(if is_long { 2 } else { 1 }..)?;
    }
    if first & LAYERS != 0 {
        rest = rest.get(if first & FLEXIBLE != 0 { 1 } else { 2 }..)?;
    }
    if first & FLEXIBLE != 0 && first & PREDICTED != 0 {
        for index in 0.. {
            let (reference, after) = rest.split_first()?;
            rest = after;
            if reference & 1 == 0 {
                break;
            }
            if index == 2 {
                return None;
            }
        }
    }
    if first & SCALABILITY != 0 {
        rest = skip_scalability(rest)?;
    }
    Some((*first, rest))
}

fn skip_scalability(rest: &[u8]) -> Option<&[u8]> {
    let (head, mut rest) = rest.split_first()?;
    let layers = usize::from(head >> 5) + 1;
    if head & 0x10 != 0 {
        rest = rest.get(layers * 4..)?;
    }
    if head & 0x08 != 0 {
        let (count, after) = rest.split_first()?;
        rest = after;
        for _ in 0..*count {
            let references = usize::from(rest.first()? >> 2 & 3);
            rest = rest.get(1 + references..)?;
        }
    }
    Some(rest)
}
