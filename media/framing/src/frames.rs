//! MP3 and ADTS AAC: frames that say their length, one after another. Each is a sync unit.
//!
//! ```text
//!  garbage │ frame │ frame │ header…        three headers that agree: locked, garbage dropped
//!          locked: each frame goes out when complete; a header that disagrees: hunting again
//! ```
//!
//! The two kinds never look alike (ADTS uses the layer that MPEG reserves), so both are hunted
//! whatever the source says, and the first lock decides. ID3 tags between frames are dropped. A
//! first frame of MP3 may need bits of the frames before it; every decoder copes with that.

use crate::output::{AudioInfo, Output};
use crate::sniff::Tag;
use crate::{Format, adts, mpeg, sniff};

/// What one frame header says.
pub(crate) struct Header {
    pub format: Format,
    /// What does not change from one frame to the next.
    pub key: u32,
    /// The frame's length with its header, or 0 where the header does not say (free format).
    pub frame_bytes: usize,
    pub padding_bytes: usize,
    pub samples: u32,
    pub audio: AudioInfo,
}

/// Bytes that decide what a header is.
const HEADER_BYTES: usize = 7;
/// The longest frame in the free format that is looked for, and the shortest.
const FREE_BYTES_MAX: usize = 6 * 1024;
const FREE_BYTES_MIN: usize = 24;

/// Finds MPEG and ADTS frames.
#[derive(Debug)]
pub(crate) struct Frames {
    format: Format,
    lock: Option<Lock>,
    /// Bytes of a tag still to be dropped.
    skip_bytes: u64,
}

/// What the frames have in common while we know where they begin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lock {
    pub format: Format,
    key: u32,
    /// The frame length without padding, in the free format.
    free_bytes: usize,
}

/// Whether frames begin at a place.
pub(crate) enum Proof {
    Wait,
    No,
    Yes(Lock),
}

impl Frames {
    pub fn new(declared: Format) -> Frames {
        Frames { format: declared, lock: None, skip_bytes: 0 }
    }

    /// The kind of the last lock, or what the source said.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Uses up a frame or some garbage. Returns the bytes used; 0 to wait for more.
    pub fn step(&mut self, pending: &[u8], at_end: bool, output: &mut Output<'_>) -> usize {
        if self.skip_bytes > 0 {
            let used = pending.len().min(usize::try_from(self.skip_bytes).unwrap_or(usize::MAX));
            self.skip_bytes -= used as u64;
            output.dropped(used);
            return used;
        }
        let Some(lock) = self.lock else { return self.hunt(pending, at_end, output) };
        if pending.len() < HEADER_BYTES {
            return 0;
        }
        let Some(header) = header(pending).filter(|header| header.key == lock.key) else {
            return self.leave_lock(pending, at_end, output);
        };
        let frame_bytes = lock.frame_bytes(&header);
        if pending.len() < frame_bytes {
            return 0;
        }
        output.measure(frame_bytes, header.samples);
        output.unit(&pending[..frame_bytes], true);
        frame_bytes
    }

    /// No frame begins where one should: a tag, another encoder setting, or garbage.
    fn leave_lock(&mut self, pending: &[u8], at_end: bool, output: &mut Output<'_>) -> usize {
        match sniff::tag_bytes(pending) {
            Tag::Bytes(tag_bytes) => {
                self.skip_bytes = tag_bytes;
                self.step(pending, at_end, output)
            }
            Tag::Wait if !at_end => 0,
            _ => {
                self.lock = None;
                output.lost();
                self.hunt(pending, at_end, output)
            }
        }
    }

    fn hunt(&mut self, pending: &[u8], at_end: bool, output: &mut Output<'_>) -> usize {
        match prove(pending, at_end) {
            Proof::Wait => 0,
            Proof::Yes(lock) => {
                self.lock = Some(lock);
                self.format = lock.format;
                output.shared.counters.links += 1;
                if let Some(header) = header(pending) {
                    output.audio(header.audio);
                }
                self.step(pending, at_end, output)
            }
            Proof::No => {
                let next = pending[1..].iter().position(|byte| *byte == 0xff);
                let used = next.map_or(pending.len(), |next| next + 1);
                output.dropped(used);
                used
            }
        }
    }
}

impl Lock {
    fn frame_bytes(&self, header: &Header) -> usize {
        match header.frame_bytes {
            0 => self.free_bytes + header.padding_bytes,
            said => said,
        }
    }
}

/// Whether frames begin with the first byte: three headers that agree (or, at the end of the
/// stream, frames that fill it exactly).
pub(crate) fn prove(pending: &[u8], at_end: bool) -> Proof {
    if pending.first().is_some_and(|byte| *byte != 0xff) {
        return Proof::No;
    }
    if pending.len() < HEADER_BYTES {
        return if at_end { Proof::No } else { Proof::Wait };
    }
    let Some(first) = header(pending) else { return Proof::No };
    let lock = Lock { format: first.format, key: first.key, free_bytes: 0 };
    if first.frame_bytes > 0 {
        return prove_from(pending, lock, at_end);
    }
    let last = pending.len().saturating_sub(HEADER_BYTES).min(FREE_BYTES_MAX);
    for distance in FREE_BYTES_MIN..=last {
        let agrees = header(&pending[distance..]).is_some_and(|header| header.key == first.key);
        if !agrees || distance < first.padding_bytes {
            continue;
        }
        let lock = Lock { free_bytes: distance - first.padding_bytes, ..lock };
        match prove_from(pending, lock, at_end) {
            Proof::No => {}
            proof => return proof,
        }
    }
    if at_end || last == FREE_BYTES_MAX { Proof::No } else { Proof::Wait }
}

fn prove_from(pending: &[u8], lock: Lock, at_end: bool) -> Proof {
    let mut at = 0;
    for agreed in 0..3 {
        if at + HEADER_BYTES > pending.len() {
            let filled = at == pending.len() && agreed > 0;
            return match (at_end, filled) {
                (false, _) => Proof::Wait,
                (true, true) => Proof::Yes(lock),
                (true, false) => Proof::No,
            };
        }
        let Some(header) = header(&pending[at..]).filter(|header| header.key == lock.key) else {
            return Proof::No;
        };
        at += lock.frame_bytes(&header);
    }
    Proof::Yes(lock)
}

fn header(bytes: &[u8]) -> Option<Header> {
    mpeg::header(bytes).or_else(|| adts::header(bytes))
}
