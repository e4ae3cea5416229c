//! What one send will carry: the answers to all requests that were there.
//!
//! Heads and small bodies are written one behind the other into one buffer; what is not to be
//! copied (a range of a file, a block in memory) stands between them as a piece of the driver's own
//! kind.

use std::mem;

/// Gathered answers.
#[derive(Debug)]
pub struct Output<P> {
    text: Vec<u8>,
    /// Each with the length of the text before it.
    pieces: Vec<(usize, P)>,
    pieces_bytes: u64,
    bytes_max: usize,
    pieces_max: usize,
}

/// One part of a send, in order.
#[derive(Debug, PartialEq, Eq)]
pub enum Part<P> {
    /// Bytes `start..end` of the text.
    Text(std::ops::Range<usize>),
    /// A piece.
    Piece(P),
}

impl<P> Output<P> {
    pub(super) fn new(bytes_max: usize, pieces_max: usize) -> Output<P> {
        let (text, pieces) = (Vec::new(), Vec::new());
        Output { text, pieces, pieces_bytes: 0, bytes_max, pieces_max }
    }

    pub(super) fn set_bounds(&mut self, bytes_max: usize, pieces_max: usize) {
        (self.bytes_max, self.pieces_max) = (bytes_max, pieces_max);
    }

    /// Where text is appended. Another protocol on the same connection writes its frames here.
    pub fn text(&mut self) -> &mut Vec<u8> {
        &mut self.text
    }

    /// Appends a piece of `piece_bytes`. Outside a body, for another protocol than HTTP.
    pub fn piece(&mut self, piece: P, piece_bytes: u64) {
        self.pieces.push((self.text.len(), piece));
        self.pieces_bytes += piece_bytes;
    }

    /// Whether there is nothing to send.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.text.is_empty() && self.pieces.is_empty()
    }

    /// Bytes gathered so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.text.len() as u64 + self.pieces_bytes
    }

    /// Whether another answer has to wait for the next send.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.pieces.len() >= self.pieces_max || self.bytes() >= self.bytes_max as u64
    }

    /// Whether there is text alone, which is the usual case.
    #[must_use]
    pub fn is_text(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Takes the text out, where there is nothing else; the next is written into a new buffer.
    ///
    /// # Panics
    /// When there are pieces: they would be lost.
    pub fn take_text(&mut self) -> Vec<u8> {
        self.swap_text(Vec::new())
    }

    /// The same, and the next is written into this buffer.
    ///
    /// # Panics
    /// As [`Output::take_text`].
    pub fn swap_text(&mut self, empty: Vec<u8>) -> Vec<u8> {
        assert!(self.is_text(), "a send with pieces is taken by its parts");
        debug_assert!(empty.is_empty());
        mem::replace(&mut self.text, empty)
    }

    /// Whether all text stands before all pieces, as where a file is answered.
    #[must_use]
    pub fn is_text_first(&self) -> bool {
        self.pieces.first().is_none_or(|(before, _)| *before == self.text.len())
    }

    /// Takes the text out, and the pieces behind it; the next is written into this buffer.
    ///
    /// # Panics
    /// Where text stands behind a piece.
    pub fn swap_text_and_pieces(
        &mut self,
        empty: Vec<u8>,
    ) -> (Vec<u8>, impl ExactSizeIterator<Item = P> + '_) {
        assert!(self.is_text_first(), "a send of any other order is taken by its parts");
        debug_assert!(empty.is_empty());
        self.pieces_bytes = 0;
        let text = mem::replace(&mut self.text, empty);
        (text, self.pieces.drain(..).map(|(_, piece)| piece))
    }

    /// Takes everything out: the text, and the parts in order.
    pub fn take_parts(&mut self) -> (Vec<u8>, Vec<Part<P>>) {
        let text = mem::take(&mut self.text);
        let mut parts = Vec::with_capacity(2 * self.pieces.len() + 1);
        let mut start = 0;
        for (end, piece) in self.pieces.drain(..) {
            if start < end {
                parts.push(Part::Text(start..end));
            }
            start = end;
            parts.push(Part::Piece(piece));
        }
        if start < text.len() {
            parts.push(Part::Text(start..text.len()));
        }
        self.pieces_bytes = 0;
        (text, parts)
    }
}
