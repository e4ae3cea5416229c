//! The receiving half: pieces of messages and control frames out of a connection's bytes.
//!
//! Payload of a message is handed out as it arrives, so nothing is collected here. A control frame,
//! which has 125 bytes at most, is handed out whole.
//!
//! Invariant: bytes are unmasked in the step that uses them up, and in no other; whatever stays
//! unread is as it was received.

use std::ops::Range;

use crate::close::{CloseCode, parse_close};
use crate::frame::{FrameHead, Opcode};
use crate::limits::Limits;
use crate::malformed::Malformed;
use crate::mask::apply_mask;
use crate::utf8::Utf8;

/// Which end this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It receives masked ws frames and sends plain ones.
    Server,
    /// The other way round.
    Client,
}

/// What a message holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// UTF-8.
    Text,
    /// Bytes.
    Binary,
}

/// What one call of the decoder found. `used` bytes of those shown are done with: the caller drops
/// them from the front before the next call. A `range` lies inside them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing was consumed and nothing more can be said. Show the same bytes again with more
    /// behind them. After a close it is said for ever.
    Need,
    /// A piece of a message. It is empty only where a ws frame was.
    Payload {
        /// What the message holds. A piece of text may end inside a character.
        kind: Kind,
        /// The payload, unmasked.
        range: Range<usize>,
        /// Bytes to drop.
        used: usize,
        /// Whether the message begins with it.
        is_first: bool,
        /// Whether the message ends with it. Only then is text known to be UTF-8 to its end.
        is_last: bool,
    },
    /// A ping: answer with a pong of the same payload, before anything else if possible.
    Ping {
        /// The payload, unmasked, at most 125 bytes.
        range: Range<usize>,
        /// Bytes to drop.
        used: usize,
    },
    /// A pong, asked for or not.
    Pong {
        /// The payload, unmasked, at most 125 bytes.
        range: Range<usize>,
        /// Bytes to drop.
        used: usize,
    },
    /// The other end closes: answer with a close of the same code unless one was sent, and when
    /// that is sent close the connection.
    Close {
        /// Why; `None` when it did not say.
        code: Option<CloseCode>,
        /// The reason, UTF-8, for people.
        range: Range<usize>,
        /// Bytes to drop.
        used: usize,
    },
}

/// Reads what the other end sends after the handshake.
#[derive(Debug, Clone)]
pub struct Decoder {
    role: Role,
    limits: Limits,
    /// Whether messages may be compressed (RFC 7692).
    may_compress: bool,
    state: State,
    message: Option<Message>,
    /// Of the message whose piece was handed out last.
    is_compressed: bool,
}

#[derive(Debug, Clone)]
enum State {
    Head,
    Payload(Frame),
    Closed,
    Failed(Malformed),
}

/// A data frame whose head has been read.
#[derive(Debug, Clone, Copy)]
struct Frame {
    mask: Option<[u8; 4]>,
    is_final: bool,
    payload_bytes: u64,
    seen_bytes: u64,
}

/// A message that has begun and not ended.
#[derive(Debug, Clone)]
struct Message {
    kind: Kind,
    is_compressed: bool,
    utf8: Utf8,
    /// Of all its ws frames whose heads have been read.
    payload_bytes: u64,
    frames_count: u32,
    /// Whether a piece of it has been handed out.
    has_begun: bool,
}

impl Decoder {
    /// A decoder for a connection whose handshake is done.
    pub fn new(role: Role, limits: Limits) -> Decoder {
        Decoder {
            role,
            limits,
            may_compress: false,
            state: State::Head,
            message: None,
            is_compressed: false,
        }
    }

    /// The same for a connection on which permessage-deflate was agreed on: RSV1 is understood.
    /// Pieces of a compressed message are handed out as they are, and text in them is not checked:
    /// that is for whoever inflates them.
    #[must_use]
    pub fn with_compression(self) -> Decoder {
        Decoder { may_compress: true, ..self }
    }

    /// Looks at the unread bytes. The caller drops `used` of them and calls again until `Need`.
    ///
    /// # Errors
    ///
    /// [`Malformed`] is final: every later call repeats it.
    pub fn decode(&mut self, bytes: &mut [u8]) -> Result<Step, Malformed> {
        let step = match self.state {
            State::Head => self.decode_frame(bytes),
            State::Payload(frame) => self.decode_payload(frame, bytes, 0),
            State::Closed => Ok(Step::Need),
            State::Failed(malformed) => return Err(malformed),
        };
        if let Err(malformed) = &step {
            self.state = State::Failed(*malformed);
        }
        step
    }

    /// Reads no further: whoever takes the pieces found what is wrong with them.
    pub(crate) fn fail(&mut self, malformed: Malformed) {
        self.state = State::Failed(malformed);
    }

    /// Whether the other end has closed, or did what cannot be read further.
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed | State::Failed(_))
    }

    /// Whether the message of the piece that was handed out last is compressed.
    pub fn is_compressed(&self) -> bool {
        self.is_compressed
    }

    /// Whether a message has begun and not ended.
    pub fn is_inside_message(&self) -> bool {
        self.message.is_some()
    }

    fn decode_frame(&mut self, bytes: &mut [u8]) -> Result<Step, Malformed> {
        let Some((head, head_bytes)) = FrameHead::decode(bytes)? else {
            return Ok(Step::Need);
        };
        match (self.role, head.mask) {
            (Role::Server, None) => return Err(Malformed::NotMasked),
            (Role::Client, Some(_)) => return Err(Malformed::Masked),
            _ => {}
        }
        if head.opcode.is_control() {
            return self.decode_control(&head, bytes, head_bytes);
        }
        if head.is_compressed && !self.may_compress {
            return Err(Malformed::ReservedBits);
        }
        let message = self.continued(&head)?;
        if bytes.len() == head_bytes && head.payload_bytes > 0 {
            return Ok(Step::Need);
        }
        self.message = Some(message);
        let FrameHead { mask, is_final, payload_bytes, .. } = head;
        let frame = Frame { mask, is_final, payload_bytes, seen_bytes: 0 };
        self.decode_payload(frame, bytes, head_bytes)
    }

    /// The message as it is with this ws frame.
    fn continued(&self, head: &FrameHead) -> Result<Message, Malformed> {
        let fresh = |kind| Message {
            kind,
            is_compressed: head.is_compressed,
            utf8: Utf8::default(),
            payload_bytes: 0,
            frames_count: 0,
            has_begun: false,
        };
        let mut message = match (head.opcode, &self.message) {
            (Opcode::Continuation, Some(message)) => message.clone(),
            (Opcode::Continuation, None) => return Err(Malformed::NothingToContinue),
            (_, Some(_)) => return Err(Malformed::MessageInsideMessage),
            (Opcode::Text, None) => fresh(Kind::Text),
            (_, None) => fresh(Kind::Binary),
        };
        message.frames_count += 1;
        message.payload_bytes = message.payload_bytes.saturating_add(head.payload_bytes);
        // What does not compress grows a little by being compressed.
        let beside = |bytes_max: u64| match message.is_compressed {
            true => bytes_max.saturating_add(bytes_max >> 4).saturating_add(64),
            false => bytes_max,
        };
        if head.payload_bytes > beside(self.limits.frame_bytes_max) {
            return Err(Malformed::FrameTooLong);
        }
        if message.payload_bytes > beside(self.limits.message_bytes_max) {
            return Err(Malformed::MessageTooLong);
        }
        if message.frames_count > self.limits.fragments_count_max {
            return Err(Malformed::TooManyFragments);
        }
        Ok(message)
    }

    /// Hands out what is there of a data frame's payload, which begins at `start`.
    fn decode_payload(
        &mut self,
        mut frame: Frame,
        bytes: &mut [u8],
        start: usize,
    ) -> Result<Step, Malformed> {
        let left_bytes = frame.payload_bytes - frame.seen_bytes;
        let there_bytes = (bytes.len() - start) as u64;
        let piece_bytes = left_bytes.min(there_bytes);
        if piece_bytes == 0 && left_bytes > 0 {
            return Ok(Step::Need);
        }
        let range = start..start + piece_bytes as usize;
        let piece = &mut bytes[range.clone()];
        if let Some(key) = frame.mask {
            apply_mask(piece, key, frame.seen_bytes);
        }
        frame.seen_bytes += piece_bytes;
        let frame_ends = frame.seen_bytes == frame.payload_bytes;
        let is_last = frame_ends && frame.is_final;
        self.state = if frame_ends { State::Head } else { State::Payload(frame) };

        let message = self.message.as_mut().expect("a payload belongs to a message");
        let kind = message.kind;
        let is_first = !std::mem::replace(&mut message.has_begun, true);
        self.is_compressed = message.is_compressed;
        if kind == Kind::Text && !message.is_compressed {
            message.utf8.piece(piece)?;
        }
        if is_last {
            message.utf8.end()?;
            self.message = None;
        }
        Ok(Step::Payload { kind, used: range.end, range, is_first, is_last })
    }

    fn decode_control(
        &mut self,
        head: &FrameHead,
        bytes: &mut [u8],
        head_bytes: usize,
    ) -> Result<Step, Malformed> {
        let used = head_bytes + head.payload_bytes as usize;
        let range = head_bytes..used;
        let Some(payload) = bytes.get_mut(range.clone()) else { return Ok(Step::Need) };
        if let Some(key) = head.mask {
            apply_mask(payload, key, 0);
        }
        match head.opcode {
            Opcode::Ping => Ok(Step::Ping { range, used }),
            Opcode::Pong => Ok(Step::Pong { range, used }),
            _ => {
                let code = parse_close(payload)?;
                self.state = State::Closed;
                Ok(Step::Close { code, range: (range.start + 2).min(used)..used, used })
            }
        }
    }
}
