//! Cuts a byte stream into messages and ChannelData (RFC 8656 §12.5): the first two bits tell
//! which of the two comes, the length in the third and fourth byte how long it is.

use crate::channel::{CHANNEL_HEADER_BYTES, CHANNEL_MAX, CHANNEL_MIN};
use crate::header::{HEADER_BYTES, MAGIC_COOKIE};
use crate::message::Malformed;
use std::ops::Range;

/// What lies first in a stream's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A STUN message of so many bytes.
    Message {
        /// Its bytes, header included; all of them are used.
        bytes: usize,
    },
    /// ChannelData of so many bytes.
    ChannelData {
        /// Its bytes, header included, without padding.
        bytes: usize,
        /// The bytes that it uses of the stream: with padding.
        padded_bytes: usize,
    },
}

/// What [`Frame::decode`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing yet: at least so many bytes from the same place are needed.
    Need(usize),
    /// This, whole.
    Frame(Frame),
}

impl Frame {
    /// Looks at the bytes that a stream has from here on.
    ///
    /// # Errors
    ///
    /// [`Malformed`]: the stream is lost and must be closed. Also where a frame would be longer
    /// than `frame_bytes_max`.
    pub fn decode(bytes: &[u8], frame_bytes_max: usize) -> Result<Step, Malformed> {
        let Some((&[a, b, c, d], rest)) = bytes.split_first_chunk() else {
            return Ok(Step::Need(CHANNEL_HEADER_BYTES));
        };
        let first = u16::from_be_bytes([a, b]);
        let length = usize::from(u16::from_be_bytes([c, d]));
        let frame = if first < CHANNEL_MIN {
            let cookie = MAGIC_COOKIE.to_be_bytes();
            if rest.iter().zip(cookie).any(|(byte, wanted)| *byte != wanted) {
                return Err(Malformed::Cookie);
            }
            if !length.is_multiple_of(4) {
                return Err(Malformed::Length);
            }
            Frame::Message { bytes: HEADER_BYTES + length }
        } else if first <= CHANNEL_MAX {
            let bytes = CHANNEL_HEADER_BYTES + length;
            Frame::ChannelData { bytes, padded_bytes: bytes.next_multiple_of(4) }
        } else {
            return Err(Malformed::Type);
        };
        match frame.used() {
            used if used > frame_bytes_max => Err(Malformed::Length),
            used if used > bytes.len() => Ok(Step::Need(used)),
            _ => Ok(Step::Frame(frame)),
        }
    }

    /// Where in the bytes given to [`Frame::decode`] it lies, header included.
    pub fn range(self) -> Range<usize> {
        match self {
            Frame::Message { bytes } | Frame::ChannelData { bytes, .. } => 0..bytes,
        }
    }

    /// How many bytes of the stream it uses; never none.
    pub fn used(self) -> usize {
        match self {
            Frame::Message { bytes } => bytes,
            Frame::ChannelData { padded_bytes, .. } => padded_bytes,
        }
    }
}

/// The bytes of a stream between two reads, at most one frame and what came behind it.
#[derive(Debug)]
pub struct Reassembly {
    pending: Vec<u8>,
    start: usize,
    frame_bytes_max: usize,
}

impl Reassembly {
    /// Nothing yet; no frame may be longer than this.
    pub fn new(frame_bytes_max: usize) -> Reassembly {
        Reassembly { pending: Vec::new(), start: 0, frame_bytes_max }
    }

    /// Takes what was read. Follow it with [`Reassembly::next`] to none: then less than one frame
    /// remains.
    pub fn push(&mut self, bytes: &[u8]) {
        self.pending.drain(..self.start);
        self.start = 0;
        self.pending.extend_from_slice(bytes);
    }

    /// The next frame, header included and padding not; none until there is more. It may be
    /// changed in place.
    ///
    /// # Errors
    ///
    /// [`Malformed`], as [`Frame::decode`]; from then on always.
    #[expect(clippy::should_implement_trait, reason = "it lends from itself, an iterator cannot")]
    pub fn next(&mut self) -> Result<Option<&mut [u8]>, Malformed> {
        match Frame::decode(&self.pending[self.start..], self.frame_bytes_max)? {
            Step::Need(_) => Ok(None),
            Step::Frame(frame) => {
                let at = self.start;
                self.start += frame.used();
                Ok(Some(&mut self.pending[at..][frame.range()]))
            }
        }
    }

    /// Bytes that wait for the rest of their frame.
    pub fn pending_bytes(&self) -> usize {
        self.pending.len() - self.start
    }
}
