//! Close codes (RFC 6455 §7.4 and the registry that it founded).
//!
//! Invariant: a [`CloseCode`] may stand on the wire; 1005, 1006 and 1015 cannot be made.

use crate::malformed::Malformed;
use crate::utf8::Utf8;

/// Longest reason of a close: what a control frame holds, less the code.
pub const CLOSE_REASON_BYTES_MAX: usize = 123;

/// Why a connection is closed, as one end tells the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CloseCode(u16);

impl CloseCode {
    /// 1000: all that was wanted is done.
    pub const NORMAL: CloseCode = CloseCode(1000);
    /// 1001: a server goes down, or a page is left.
    pub const GOING_AWAY: CloseCode = CloseCode(1001);
    /// 1002: the other end broke the protocol.
    pub const PROTOCOL_ERROR: CloseCode = CloseCode(1002);
    /// 1003: a kind of message that this end does not take.
    pub const UNSUPPORTED: CloseCode = CloseCode(1003);
    /// 1007: a message's contents are not what its kind says, such as text that is not UTF-8.
    pub const NOT_CONSISTENT: CloseCode = CloseCode(1007);
    /// 1008: a rule of this end that has no code of its own.
    pub const POLICY: CloseCode = CloseCode(1008);
    /// 1009: a message is too big.
    pub const TOO_BIG: CloseCode = CloseCode(1009);
    /// 1011: this end met a condition that it did not expect.
    pub const INTERNAL_ERROR: CloseCode = CloseCode(1011);
    /// 1012: the service restarts.
    pub const SERVICE_RESTART: CloseCode = CloseCode(1012);
    /// 1013: overloaded; try again later.
    pub const TRY_AGAIN_LATER: CloseCode = CloseCode(1013);

    /// The code of this number, where it may be sent: those that are defined, and 3000 to 4999,
    /// which belong to libraries and applications.
    pub fn new(number: u16) -> Option<CloseCode> {
        let may_be_sent = matches!(number, 1000..=1003 | 1007..=1014 | 3000..=4999);
        may_be_sent.then_some(CloseCode(number))
    }

    /// The number.
    pub fn number(self) -> u16 {
        self.0
    }
}

/// The code in a close's payload, which is checked as a whole; `None` when it is empty.
pub(crate) fn parse_close(payload: &[u8]) -> Result<Option<CloseCode>, Malformed> {
    let (code, reason) = match payload {
        [] => return Ok(None),
        [_] => return Err(Malformed::CloseTooShort),
        [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), reason),
    };
    let code = CloseCode::new(code).ok_or(Malformed::CloseCode)?;
    Utf8::default().whole(reason)?;
    Ok(Some(code))
}

/// The reason cut to what a close can carry, between two characters.
pub(crate) fn cut_reason(reason: &str) -> &str {
    &reason[..reason.floor_char_boundary(CLOSE_REASON_BYTES_MAX)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_that_may_be_sent() {
        for number in [1000, 1001, 1002, 1003, 1007, 1011, 1014, 3000, 3999, 4000, 4999] {
            assert_eq!(CloseCode::new(number).map(CloseCode::number), Some(number));
        }
        for number in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535] {
            assert_eq!(CloseCode::new(number), None, "{number}");
        }
    }

    #[test]
    fn a_reason_is_cut_between_characters() {
        assert_eq!(cut_reason("short"), "short");
        let long = "é".repeat(100);
        assert_eq!(cut_reason(&long), "é".repeat(61));
    }
}
