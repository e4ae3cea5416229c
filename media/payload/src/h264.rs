//! H.264 (RFC 6184) in packetization mode 1: single NAL units, STAP-A and FU-A.

use bytes::{BufMut, Bytes, BytesMut};

use crate::assemble::Damaged;

const IDR: u8 = 5;
const SPS: u8 = 7;
const PPS: u8 = 8;
const DELIMITER: u8 = 9;
const FILLER: u8 = 12;
const STAP_A: u8 = 24;
const FU_A: u8 = 28;

const START: u8 = 0x80;
const END: u8 = 0x40;
const START_CODE: [u8; 4] = [0, 0, 0, 1];
/// Parameter sets of one kind that are kept: a stream has one, rarely more.
const KEPT_MAX: usize = 4;
/// A parameter set that is longer is none.
const SET_BYTES_MAX: usize = 4096;

fn kind_of(nal: &[u8]) -> u8 {
    nal.first().map_or(0, |byte| byte & 0x1f)
}

/// The NAL units of an access unit with start codes, without them.
pub(crate) fn nal_units(unit: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = after_start_code(unit);
    std::iter::from_fn(move || {
        let from = rest?;
        let end = (0..from.len().saturating_sub(2)).find(|at| from[*at..].starts_with(&[0, 0, 1]));
        let nal = &from[..end.unwrap_or(from.len())];
        rest = end.map(|end| &from[end + 3..]);
        // The zero before a long start code, and zeros that trail, are no part of it.
        let length = nal.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        Some(&nal[..length])
    })
    .filter(|nal| !nal.is_empty())
}

fn after_start_code(unit: &[u8]) -> Option<&[u8]> {
    let at = unit.windows(3).position(|three| three == [0, 0, 1])?;
    Some(&unit[at + 3..])
}

/// Cuts an access unit.
pub(crate) fn packetize(unit: &Bytes, payload_bytes_max: usize, payloads: &mut Vec<Bytes>) {
    let mut group: Vec<&[u8]> = Vec::new();
    for nal in nal_units(unit) {
        if matches!(kind_of(nal), DELIMITER | FILLER) {
            continue;
        }
        let grouped: usize = group.iter().map(|nal| nal.len() + 2).sum();
        if 1 + grouped + 2 + nal.len() > payload_bytes_max {
            send_group(&mut group, payloads);
        }
        if nal.len() > payload_bytes_max {
            fragment(nal, payload_bytes_max, payloads);
        } else {
            group.push(nal);
        }
    }
    send_group(&mut group, payloads);
}

fn send_group(group: &mut Vec<&[u8]>, payloads: &mut Vec<Bytes>) {
    match group[..] {
        [] => {}
        [nal] => payloads.push(Bytes::copy_from_slice(nal)),
        _ => {
            let mut payload = BytesMut::new();
            // The highest importance of those inside (RFC 6184 §5.7).
            let importance = group.iter().map(|nal| nal[0] & 0x60).max().unwrap_or(0);
            payload.put_u8(importance | STAP_A);
            for nal in group.iter() {
                payload.put_u16(u16::try_from(nal.len()).expect("a payload is below 64 KiB"));
                payload.put_slice(nal);
            }
            payloads.push(payload.freeze());
        }
    }
    group.clear();
}

fn fragment(nal: &[u8], payload_bytes_max: usize, payloads: &mut Vec<Bytes>) {
    let (head, body) = (nal[0], &nal[1..]);
    let count = body.len().div_ceil(payload_bytes_max - 2);
    // Equal parts: a short last one costs as much as a long one.
    let size = body.len().div_ceil(count);
    for (index, part) in body.chunks(size).enumerate() {
        let start = if index == 0 { START } else { 0 };
        let end = if (index + 1) * size >= body.len() { END } else { 0 };
        let mut payload = BytesMut::with_capacity(part.len() + 2);
        payload.put_u8(head & 0xe0 | FU_A);
        payload.put_u8(start | end | head & 0x1f);
        payload.put_slice(part);
        payloads.push(payload.freeze());
    }
}

/// Whether an access unit begins here, as far as that is written: with a delimiter, or with the
/// parameter sets of a keyframe.
pub(crate) fn begins(payload: &[u8]) -> bool {
    let first = if kind_of(payload) == STAP_A { payload.get(3..) } else { Some(payload) };
    matches!(kind_of(first.unwrap_or_default()), SPS | DELIMITER)
}

/// An access unit that grows.
#[derive(Default)]
pub(crate) struct H264 {
    unit: Vec<u8>,
    /// A fragmented NAL unit is open.
    is_open: bool,
    has_idr: bool,
    has_sps: bool,
    has_pps: bool,
    /// Parameter sets that came before, for keyframes that come without.
    sps: Vec<Vec<u8>>,
    pps: Vec<Vec<u8>>,
    /// Where the NAL unit that was added last begins.
    at: usize,
}

impl H264 {
    pub(crate) fn add(&mut self, payload: &[u8]) -> Result<(), Damaged> {
        let kind = kind_of(payload);
        if self.is_open != (kind == FU_A && payload.get(1).is_some_and(|head| head & START == 0)) {
            return Err(Damaged);
        }
        match kind {
            1..=23 => {
                self.begin(payload[0]);
                self.unit.extend_from_slice(&payload[1..]);
                self.end();
                Ok(())
            }
            STAP_A => self.add_group(&payload[1..]),
            FU_A => self.add_fragment(payload),
            _ => Err(Damaged),
        }
    }

    fn add_group(&mut self, mut rest: &[u8]) -> Result<(), Damaged> {
        while !rest.is_empty() {
            let (length, after) = rest.split_first_chunk::<2>().ok_or(Damaged)?;
            let length = usize::from(u16::from_be_bytes(*length));
            let nal = after.get(..length).filter(|nal| !nal.is_empty()).ok_or(Damaged)?;
            self.begin(nal[0]);
            self.unit.extend_from_slice(&nal[1..]);
            self.end();
            rest = &after[length..];
        }
        Ok(())
    }

    fn add_fragment(&mut self, payload: &[u8]) -> Result<(), Damaged> {
        let [indicator, head, body @ ..] = payload else { return Err(Damaged) };
        if head & START != 0 {
            self.begin(indicator & 0xe0 | head & 0x1f);
        }
        self.unit.extend_from_slice(body);
        self.is_open = head & END == 0;
        if !self.is_open {
            self.end();
        }
        Ok(())
    }

    fn begin(&mut self, head: u8) {
        self.unit.extend_from_slice(&START_CODE);
        self.at = self.unit.len();
        self.unit.push(head);
    }

    fn end(&mut self) {
        let nal = &self.unit[self.at..];
        match kind_of(nal) {
            IDR => self.has_idr = true,
            SPS => {
                self.has_sps = true;
                keep(&mut self.sps, nal);
            }
            PPS => {
                self.has_pps = true;
                keep(&mut self.pps, nal);
            }
            _ => {}
        }
    }

    pub(crate) fn finish(&mut self) -> Result<(Vec<u8>, bool), Damaged> {
        if self.is_open {
            return Err(Damaged);
        }
        let unit = std::mem::take(&mut self.unit);
        if !self.has_idr {
            return Ok((unit, false));
        }
        let mut whole = Vec::with_capacity(unit.len());
        for (is_missing, sets) in [(!self.has_sps, &self.sps), (!self.has_pps, &self.pps)] {
            if is_missing && sets.is_empty() {
                // Nobody could decode it.
                return Err(Damaged);
            }
            for set in sets.iter().filter(|_| is_missing) {
                whole.extend_from_slice(&START_CODE);
                whole.extend_from_slice(set);
            }
        }
        if whole.is_empty() {
            return Ok((unit, true));
        }
        whole.extend_from_slice(&unit);
        Ok((whole, true))
    }

    pub(crate) fn clear(&mut self) {
        self.unit.clear();
        (self.is_open, self.has_idr, self.has_sps, self.has_pps) = (false, false, false, false);
    }

    pub(crate) fn size_bytes(&self) -> usize {
        self.unit.len()
    }
}

/// Keeps a parameter set as the newest. A stream that changes often forgets the oldest.
fn keep(sets: &mut Vec<Vec<u8>>, set: &[u8]) {
    if set.len() > SET_BYTES_MAX {
        return;
    }
    sets.retain(|other| other != set);
    if sets.len() >= KEPT_MAX {
        sets.remove(0);
    }
    sets.push(set.to_vec());
}
