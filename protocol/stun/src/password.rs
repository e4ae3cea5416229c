//! How a server tells which ways to hash a password it knows, and that nobody took that from the
//! message on its way (RFC 8489 §9.2, §14.11, §18.1, §18.5).

use crate::message::Malformed;

/// What a nonce begins with when the four letters behind it are [`SecurityFeatures`].
pub const NONCE_COOKIE: &[u8; 9] = b"obMatJos2";

/// A way to make a long-term key of a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PasswordAlgorithm {
    /// MD5 of `user:realm:password`: what RFC 5389 knows.
    Md5,
    /// SHA-256 of the same.
    Sha256,
}

impl PasswordAlgorithm {
    /// Its number in the registry (RFC 8489 §18.5).
    pub const fn number(self) -> u16 {
        match self {
            PasswordAlgorithm::Md5 => 1,
            PasswordAlgorithm::Sha256 => 2,
        }
    }

    /// The algorithm with this number.
    pub const fn from_number(number: u16) -> Option<PasswordAlgorithm> {
        match number {
            1 => Some(PasswordAlgorithm::Md5),
            2 => Some(PasswordAlgorithm::Sha256),
            _ => None,
        }
    }

    /// The value of PASSWORD-ALGORITHM: a number, and no parameters.
    pub(crate) const fn encode(self) -> [u8; 4] {
        [0, self.number() as u8, 0, 0]
    }

    /// Reads PASSWORD-ALGORITHM; none for an algorithm that we do not know.
    pub(crate) fn decode(value: &[u8]) -> Result<Option<PasswordAlgorithm>, Malformed> {
        let Some((&[high, low, length_high, length_low], parameters)) = value.split_first_chunk()
        else {
            return Err(Malformed::Value);
        };
        let length = usize::from(u16::from_be_bytes([length_high, length_low]));
        if parameters.len() != length {
            return Err(Malformed::Value);
        }
        let number = u16::from_be_bytes([high, low]);
        Ok(PasswordAlgorithm::from_number(number).filter(|_| length == 0))
    }
}

/// What a server says inside its nonce that it understands (RFC 8489 §9.2.1): whoever takes
/// PASSWORD-ALGORITHMS out of an answer cannot take it out of the nonce as well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SecurityFeatures {
    /// It offers PASSWORD-ALGORITHMS.
    pub has_password_algorithms: bool,
    /// It takes USERHASH for USERNAME.
    pub has_user_hash: bool,
}

impl SecurityFeatures {
    /// The four base64 letters of the 24 bits, of which the leftmost two have a meaning.
    pub const fn letters(self) -> [u8; 4] {
        let first = match (self.has_password_algorithms, self.has_user_hash) {
            (false, false) => b'A',
            (false, true) => b'Q',
            (true, false) => b'g',
            (true, true) => b'w',
        };
        [first, b'A', b'A', b'A']
    }

    /// What a nonce says; nothing where it does not begin with the cookie.
    pub fn of_nonce(nonce: &[u8]) -> SecurityFeatures {
        let letter = nonce.strip_prefix(NONCE_COOKIE).and_then(|rest| rest.first());
        let bits = match letter {
            Some(letter @ b'A'..=b'Z') => letter - b'A',
            Some(letter @ b'a'..=b'z') => letter - b'a' + 26,
            Some(letter @ b'0'..=b'9') => letter - b'0' + 52,
            Some(b'+') => 62,
            Some(b'/') => 63,
            _ => 0,
        };
        SecurityFeatures {
            has_password_algorithms: bits & 0x20 != 0,
            has_user_hash: bits & 0x10 != 0,
        }
    }
}
