//! The numbers that an error answer carries, with the words that the registry gives them.

/// An error code, 300 to 699 (RFC 8489 §14.8, RFC 8656 §19).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ErrorCode(u16);

macro_rules! codes {
    ($($name:ident = $number:literal, $words:literal;)*) => {
        impl ErrorCode {
            $(#[doc = $words] pub const $name: ErrorCode = ErrorCode($number);)*

            /// The registry's words for it; empty for a number that it has none for.
            pub const fn reason(self) -> &'static str {
                match self.0 { $($number => $words,)* _ => "" }
            }
        }
    };
}

codes! {
    TRY_ALTERNATE = 300, "Try Alternate";
    BAD_REQUEST = 400, "Bad Request";
    UNAUTHENTICATED = 401, "Unauthenticated";
    FORBIDDEN = 403, "Forbidden";
    MOBILITY_FORBIDDEN = 405, "Mobility Forbidden";
    UNKNOWN_ATTRIBUTE = 420, "Unknown Attribute";
    ALLOCATION_MISMATCH = 437, "Allocation Mismatch";
    STALE_NONCE = 438, "Stale Nonce";
    ADDRESS_FAMILY_NOT_SUPPORTED = 440, "Address Family not Supported";
    WRONG_CREDENTIALS = 441, "Wrong Credentials";
    UNSUPPORTED_TRANSPORT = 442, "Unsupported Transport Protocol";
    PEER_ADDRESS_FAMILY_MISMATCH = 443, "Peer Address Family Mismatch";
    CONNECTION_ALREADY_EXISTS = 446, "Connection Already Exists";
    CONNECTION_TIMEOUT = 447, "Connection Timeout or Failure";
    ALLOCATION_QUOTA_REACHED = 486, "Allocation Quota Reached";
    ROLE_CONFLICT = 487, "Role Conflict";
    SERVER_ERROR = 500, "Server Error";
    INSUFFICIENT_CAPACITY = 508, "Insufficient Capacity";
}

impl ErrorCode {
    /// The code with this number; none outside 300 to 699.
    pub const fn new(number: u16) -> Option<ErrorCode> {
        if matches!(number, 300..=699) { Some(ErrorCode(number)) } else { None }
    }

    /// Its number.
    pub const fn number(self) -> u16 {
        self.0
    }

    /// The four bytes that it is on the wire: the hundreds and the rest apart.
    pub(crate) const fn encode(self) -> [u8; 4] {
        [0, 0, (self.0 / 100) as u8, (self.0 % 100) as u8]
    }

    pub(crate) fn decode(value: &[u8]) -> Option<(ErrorCode, &str)> {
        let ([_, _, class, number], reason) = value.split_first_chunk::<4>()?;
        let number = Some(u16::from(*number)).filter(|number| *number < 100)?;
        let code = ErrorCode::new(u16::from(class & 7) * 100 + number)?;
        Some((code, std::str::from_utf8(reason).ok()?))
    }
}
