//! Why a connection is given up.

use std::fmt;

use crate::close::CloseCode;

/// What the other end did wrong. Answer with [`close_code`](Malformed::close_code), then close.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Malformed {
    /// A reserved bit is set that no extension which was agreed on gives a meaning to (§5.2); RSV1
    /// also where a message does not begin (RFC 7692 §6.1).
    ReservedBits,
    /// The opcode is one that nothing defines (§5.2).
    ReservedOpcode,
    /// A client's ws frame is not masked (§5.1).
    NotMasked,
    /// A server's ws frame is masked (§5.1).
    Masked,
    /// A length is written in more bytes than it needs, or has its top bit set (§5.2).
    LengthForm,
    /// A control frame is fragmented (§5.5).
    ControlFragmented,
    /// A control frame has more than 125 bytes of payload (§5.5).
    ControlTooLong,
    /// A continuation without a message to continue (§5.4).
    NothingToContinue,
    /// A new message begins inside another one (§5.4).
    MessageInsideMessage,
    /// A close has a payload of one byte (§5.5.1).
    CloseTooShort,
    /// A close has a code that may not be sent (§7.4).
    CloseCode,
    /// Text, or the reason of a close, is not UTF-8 (§8.1).
    NotUtf8,
    /// A ws frame is longer than the limit.
    FrameTooLong,
    /// A message is longer than the limit.
    MessageTooLong,
    /// A message has more ws frames than the limit.
    TooManyFragments,
    /// A compressed message is not DEFLATE, or refers to what is outside the agreed window.
    NotDeflate,
    /// A compressed message begins, and all contexts for inflating are in use. The other end did
    /// nothing wrong: it may come again later.
    NoContext,
}

impl Malformed {
    /// The code to close with.
    pub fn close_code(self) -> CloseCode {
        match self {
            Malformed::NotUtf8 | Malformed::NotDeflate => CloseCode::NOT_CONSISTENT,
            Malformed::NoContext => CloseCode::TRY_AGAIN_LATER,
            Malformed::FrameTooLong | Malformed::MessageTooLong => CloseCode::TOO_BIG,
            Malformed::TooManyFragments => CloseCode::POLICY,
            _ => CloseCode::PROTOCOL_ERROR,
        }
    }

    /// Why, for the log and for the reason of the close. Holds nothing that was received.
    pub fn reason(self) -> &'static str {
        match self {
            Malformed::ReservedBits => "a reserved bit is set",
            Malformed::ReservedOpcode => "the opcode is reserved",
            Malformed::NotMasked => "a client must mask",
            Malformed::Masked => "a server must not mask",
            Malformed::LengthForm => "a length is not in its shortest form",
            Malformed::ControlFragmented => "a control frame is fragmented",
            Malformed::ControlTooLong => "a control frame is too long",
            Malformed::NothingToContinue => "there is no message to continue",
            Malformed::MessageInsideMessage => "a message begins inside another",
            Malformed::CloseTooShort => "a close has half a code",
            Malformed::CloseCode => "the close code may not be sent",
            Malformed::NotUtf8 => "text is not UTF-8",
            Malformed::FrameTooLong => "a frame is longer than the limit",
            Malformed::MessageTooLong => "a message is longer than the limit",
            Malformed::TooManyFragments => "a message has too many fragments",
            Malformed::NotDeflate => "a compressed message cannot be inflated",
            Malformed::NoContext => "too much is being inflated; try again later",
        }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl std::error::Error for Malformed {}
