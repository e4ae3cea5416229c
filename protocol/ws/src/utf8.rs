//! Whether text that comes in pieces is UTF-8, with what a piece cut off kept for the next.
//!
//! `simdutf8` looks at 32 bytes at a time where the machine can, ASCII or not.
//!
//! Invariant: between two pieces `cut` holds the beginning of at most one character, which is valid
//! so far; so a wrong byte is found in the piece that brings it.

use std::str::from_utf8;

use simdutf8::compat;

use crate::malformed::Malformed;

/// The check of one message.
#[derive(Debug, Clone, Default)]
pub(crate) struct Utf8 {
    cut: [u8; 4],
    cut_bytes: u8,
}

impl Utf8 {
    /// Checks the next piece.
    pub(crate) fn piece(&mut self, mut bytes: &[u8]) -> Result<(), Malformed> {
        while self.cut_bytes > 0 {
            let [next, rest @ ..] = bytes else { return Ok(()) };
            self.cut[usize::from(self.cut_bytes)] = *next;
            self.cut_bytes += 1;
            bytes = rest;
            match from_utf8(&self.cut[..usize::from(self.cut_bytes)]) {
                Ok(_) => self.cut_bytes = 0,
                Err(error) if error.error_len().is_none() => {}
                Err(_) => return Err(Malformed::NotUtf8),
            }
        }
        match compat::from_utf8(bytes) {
            Ok(_) => Ok(()),
            Err(error) if error.error_len().is_none() => {
                let cut = &bytes[error.valid_up_to()..];
                self.cut[..cut.len()].copy_from_slice(cut);
                self.cut_bytes = cut.len() as u8;
                Ok(())
            }
            Err(_) => Err(Malformed::NotUtf8),
        }
    }

    /// The message has ended: between two characters?
    pub(crate) fn end(&mut self) -> Result<(), Malformed> {
        match std::mem::take(&mut self.cut_bytes) {
            0 => Ok(()),
            _ => Err(Malformed::NotUtf8),
        }
    }

    /// Both at once.
    pub(crate) fn whole(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        self.piece(bytes)?;
        self.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cut_of_every_length_of_character() {
        let text = "a é 水 𝄞 z".as_bytes();
        for first in 0..=text.len() {
            for second in first..=text.len() {
                let mut utf8 = Utf8::default();
                for piece in [&text[..first], &text[first..second], &text[second..]] {
                    utf8.piece(piece).unwrap();
                }
                utf8.end().unwrap();
            }
        }
    }

    #[test]
    fn wrong_bytes_are_found_in_the_piece_that_brings_them() {
        // Beyond U+10FFFF: the second byte is already wrong.
        let mut utf8 = Utf8::default();
        assert_eq!(utf8.piece(b"\xf4"), Ok(()));
        assert_eq!(utf8.piece(b"\x90"), Err(Malformed::NotUtf8));
        // A surrogate, an overlong slash, a byte that begins nothing.
        for wrong in [&b"\xed\xa0"[..], b"\xc0\xaf", b"ok\xff"] {
            assert_eq!(Utf8::default().piece(wrong), Err(Malformed::NotUtf8));
        }
        let mut utf8 = Utf8::default();
        assert_eq!(utf8.piece("水".as_bytes().split_at(2).0), Ok(()));
        assert_eq!(utf8.end(), Err(Malformed::NotUtf8));
    }
}
