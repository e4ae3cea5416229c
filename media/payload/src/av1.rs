//! AV1 (RTP Payload Format for AV1, version 1.0): OBUs in pieces, and back with their sizes.

use crate::assemble::Damaged;

const CONTINUES: u8 = 0x80;
const GOES_ON: u8 = 0x40;
const NEW_SEQUENCE: u8 = 0x08;
const HAS_EXTENSION: u8 = 0x04;
const HAS_SIZE: u8 = 0x02;
const SEQUENCE_HEADER: u8 = 1;
const TEMPORAL_DELIMITER: u8 = 2;
const TILE_LIST: u8 = 8;
/// A temporal delimiter with its size: the beginning of a unit in a file.
const DELIMITER: [u8; 2] = [0x12, 0];

/// A temporal unit that grows.
#[derive(Default)]
pub(crate) struct Av1 {
    unit: Vec<u8>,
    /// An OBU whose rest comes with the next payload.
    open: Option<Vec<u8>>,
    has_sequence: bool,
}

impl Av1 {
    pub(crate) fn add(&mut self, payload: &[u8]) -> Result<(), Damaged> {
        let (head, mut rest) = payload.split_first().ok_or(Damaged)?;
        let continues = head & CONTINUES != 0;
        if continues != self.open.is_some() || rest.is_empty() {
            return Err(Damaged);
        }
        let count = usize::from(head >> 4 & 3);
        let mut index = 0;
        while !rest.is_empty() {
            index += 1;
            // The last of a known count has no length.
            let element = if count != 0 && index == count {
                std::mem::take(&mut rest)
            } else {
                let (length, after) = leb128(rest).ok_or(Damaged)?;
                let element = after.get(..length).ok_or(Damaged)?;
                rest = &after[length..];
                element
            };
            let mut obu = if index == 1 { self.open.take() } else { None }.unwrap_or_default();
            obu.extend_from_slice(element);
            if rest.is_empty() && head & GOES_ON != 0 {
                self.open = Some(obu);
            } else {
                self.end_obu(&obu)?;
            }
        }
        if count != 0 && index != count {
            return Err(Damaged);
        }
        Ok(())
    }

    fn end_obu(&mut self, obu: &[u8]) -> Result<(), Damaged> {
        let Some((head, rest)) = obu.split_first() else { return Ok(()) };
        if head & 0x80 != 0 {
            return Err(Damaged);
        }
        let kind = head >> 3 & 0x0f;
        let (extension, mut body) =
            rest.split_at_checked(usize::from(head & HAS_EXTENSION != 0)).ok_or(Damaged)?;
        if head & HAS_SIZE != 0 {
            let (size, after) = leb128(body).ok_or(Damaged)?;
            body = after.get(..size).ok_or(Damaged)?;
        }
        match kind {
            TEMPORAL_DELIMITER | TILE_LIST => return Ok(()),
            SEQUENCE_HEADER => self.has_sequence = true,
            _ => {}
        }
        if self.unit.is_empty() {
            self.unit.extend_from_slice(&DELIMITER);
        }
        self.unit.push(head | HAS_SIZE);
        self.unit.extend_from_slice(extension);
        put_leb128(&mut self.unit, body.len());
        self.unit.extend_from_slice(body);
        Ok(())
    }

    pub(crate) fn finish(&mut self) -> Result<(Vec<u8>, bool), Damaged> {
        if self.open.is_some() {
            return Err(Damaged);
        }
        // A sequence header stands before each keyframe, and only there.
        Ok((std::mem::take(&mut self.unit), self.has_sequence))
    }

    pub(crate) fn clear(&mut self) {
        self.unit.clear();
        self.open = None;
        self.has_sequence = false;
    }

    pub(crate) fn size_bytes(&self) -> usize {
        self.unit.len() + self.open.as_ref().map_or(0, Vec::len)
    }
}

/// Whether a coded sequence begins here: nothing says so of other units.
pub(crate) fn begins(payload: &[u8]) -> bool {
    payload.first().is_some_and(|head| head & (NEW_SEQUENCE | CONTINUES) == NEW_SEQUENCE)
}

/// A number of at most 32 bits and what is behind it.
fn leb128(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0_u64;
    for (index, byte) in bytes.iter().take(5).enumerate() {
        value |= u64::from(byte & 0x7f) << (index * 7);
        if byte & 0x80 == 0 {
            return Some((usize::try_from(value).ok()?, &bytes[index + 1..]));
        }
    }
    None
}

fn put_leb128(bytes: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        bytes.push(value as u8 & 0x7f | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}
