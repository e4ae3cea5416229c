//! What one send will carry: the answers to all requests that were there, in one gathered piece of
//! work for the kernel.
//!
//! Heads and small bodies are written one behind the other into a buffer that the shard keeps; a
//! file's bytes are referred to and not copied. What one send does not carry of a file is the
//! [`Rest`], with which the connection's next send begins.
//!
//! Invariant: a send has at most `OUTPUT_BYTES_MAX` bytes of files, and at most that and one more
//! answer of everything.

use std::ops::Range;
use std::rc::Rc;

use bytes::Bytes;
use shards_runtime::{Gather, PIECES_PER_SEND_MAX, Piece};

use super::limits::OUTPUT_BYTES_MAX;

/// Gathered answers.
#[derive(Default)]
pub struct Output {
    text: Vec<u8>,
    pieces: Gather,
    pieces_bytes: usize,
    rest: Option<Rest>,
}

/// What is still to be sent of a file.
pub struct Rest {
    block: Rc<Bytes>,
    range: Range<u64>,
}

impl Output {
    /// Where heads and small bodies are appended.
    pub fn text(&mut self) -> &mut Vec<u8> {
        &mut self.text
    }

    /// Appends a range of a file, or as much of it as there is room for.
    pub fn file(&mut self, block: &Rc<Bytes>, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        self.seal();
        let room_bytes = OUTPUT_BYTES_MAX.saturating_sub(self.pieces_bytes) as u64;
        let end = range.end.min(range.start + room_bytes);
        if end < range.end {
            self.rest = Some(Rest { block: Rc::clone(block), range: end..range.end });
        }
        if range.start < end {
            self.pieces_bytes += (end - range.start) as usize;
            // Files of more than 4 GiB are not loaded.
            let (start, end) = (range.start as u32, end as u32);
            self.pieces.push(Piece::Shared { block: Rc::clone(block), start, end });
        }
    }

    /// Goes on with a file.
    pub fn go_on(&mut self, rest: Rest) {
        self.file(&rest.block, rest.range);
    }

    /// What the next send has to begin with.
    pub fn take_rest(&mut self) -> Option<Rest> {
        self.rest.take()
    }

    /// Whether another answer has to wait for the next send.
    pub fn is_full(&self) -> bool {
        // One answer is at most two pieces.
        self.rest.is_some()
            || self.pieces.len() + 3 > PIECES_PER_SEND_MAX
            || self.text.len() + self.pieces_bytes >= OUTPUT_BYTES_MAX
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty() && self.pieces.is_empty()
    }

    /// Takes all of it out.
    pub fn take(&mut self) -> Gather {
        self.seal();
        self.pieces_bytes = 0;
        std::mem::take(&mut self.pieces)
    }

    /// Makes a piece of the text so far.
    fn seal(&mut self) {
        if !self.text.is_empty() {
            self.pieces_bytes += self.text.len();
            self.pieces.push(Piece::Owned(Bytes::copy_from_slice(&self.text)));
            self.text.clear();
        }
    }
}
