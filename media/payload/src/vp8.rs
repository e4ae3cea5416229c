//! VP8 (RFC 7741): a descriptor before each part of a frame.

use bytes::{BufMut, Bytes, BytesMut};

use crate::assemble::Damaged;

const EXTENDED: u8 = 0x80;
const START: u8 = 0x10;
const PICTURE_ID: u8 = 0x80;
const TL0: u8 = 0x40;
const TEMPORAL: u8 = 0x20;
const KEY_INDEX: u8 = 0x10;
const DESCRIPTOR_BYTES: usize = 4;

/// Cuts a frame. The picture's number has 15 bits.
pub(crate) fn packetize(
    unit: &Bytes,
    picture: u16,
    payload_bytes_max: usize,
    payloads: &mut Vec<Bytes>,
) {
    for (index, part) in unit.chunks(payload_bytes_max - DESCRIPTOR_BYTES).enumerate() {
        let mut payload = BytesMut::with_capacity(part.len() + DESCRIPTOR_BYTES);
        payload.put_u8(if index == 0 { EXTENDED | START } else { EXTENDED });
        payload.put_u8(PICTURE_ID);
        payload.put_u16(0x8000 | picture & 0x7fff);
        payload.put_slice(part);
        payloads.push(payload.freeze());
    }
}

/// A frame that grows.
#[derive(Default)]
pub(crate) struct Vp8 {
    unit: Vec<u8>,
}

impl Vp8 {
    pub(crate) fn add(&mut self, payload: &[u8]) -> Result<(), Damaged> {
        let (is_start, body) = split(payload).ok_or(Damaged)?;
        if is_start != self.unit.is_empty() || body.is_empty() {
            return Err(Damaged);
        }
        self.unit.extend_from_slice(body);
        Ok(())
    }

    pub(crate) fn finish(&mut self) -> Result<(Vec<u8>, bool), Damaged> {
        let unit = std::mem::take(&mut self.unit);
        // RFC 6386 §9.1: the lowest bit of the first byte is 0 in a keyframe.
        let is_keyframe = unit.first().is_some_and(|byte| byte & 1 == 0);
        Ok((unit, is_keyframe))
    }

    pub(crate) fn clear(&mut self) {
        self.unit.clear();
    }

    pub(crate) fn size_bytes(&self) -> usize {
        self.unit.len()
    }
}

/// Whether a frame begins here.
pub(crate) fn begins(payload: &[u8]) -> bool {
    split(payload).is_some_and(|(is_start, _)| is_start)
}

/// Whether a frame begins here, and what is behind the descriptor (RFC 7741 §4.2).
fn split(payload: &[u8]) -> Option<(bool, &[u8])> {
    let (first, mut rest) = payload.split_first()?;
    // The first partition's first packet; others may begin with the same bit.
    let is_start = first & START != 0 && first & 0x07 == 0;
    if first & EXTENDED != 0 {
        let (flags, after) = rest.split_first()?;
        rest = after;
        if flags & PICTURE_ID != 0 {
            let is_long = rest.first()? & 0x80 != 0;
            rest = rest.get(if is_long { 2 } else { 1 }..)?;
        }
        if flags & TL0 != 0 {
            rest = rest.get(1..)?;
        }
        if flags & (TEMPORAL | KEY_INDEX) != 0 {
            rest = rest.get(1..)?;
        }
    }
    Some((is_start, rest))
}
