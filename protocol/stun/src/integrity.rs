//! Who wrote a message: keys, MESSAGE-INTEGRITY in both strengths, and names that are not told
//! (RFC 8489 §9, §14.4 to §14.6).
//!
//! The code is taken over everything before the attribute, with a length in the header that ends
//! with the attribute: so what is put behind it later does not break it.

use crate::password::PasswordAlgorithm;
use hmac::{Hmac, Mac};
use md5::{Digest, Md5};
use sha1::Sha1;
use sha2::Sha256;
use std::fmt;

/// Which of the two attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Integrity {
    /// MESSAGE-INTEGRITY: HMAC-SHA1, as RFC 5389 knows it.
    Sha1,
    /// MESSAGE-INTEGRITY-SHA256.
    Sha256,
}

/// What integrity is computed with. It does not show itself in a debug print.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(Vec<u8>);

impl Key {
    /// A short-term key: the password itself (RFC 8489 §9.1.1). ICE uses these.
    pub fn short_term(password: &[u8]) -> Key {
        Key(password.to_vec())
    }

    /// A long-term key: a hash of `user:realm:password` (RFC 8489 §18.5.1).
    pub fn long_term(how: PasswordAlgorithm, user: &[u8], realm: &[u8], password: &[u8]) -> Key {
        fn hash<D: Digest>(parts: [&[u8]; 5]) -> Vec<u8> {
            parts
                .into_iter()
                .fold(D::new(), |digest, part| digest.chain_update(part))
                .finalize()
                .to_vec()
        }
        let parts = [user, b":", realm, b":", password];
        Key(match how {
            PasswordAlgorithm::Md5 => hash::<Md5>(parts),
            PasswordAlgorithm::Sha256 => hash::<Sha256>(parts),
        })
    }

    /// A key that is stored already hashed (as `turnadmin -k` prints it).
    pub fn hashed(bytes: &[u8]) -> Key {
        Key(bytes.to_vec())
    }

    /// HMAC-SHA1 of a message that comes in three parts.
    pub(crate) fn sha1(&self, parts: [&[u8]; 3]) -> [u8; 20] {
        self.mac::<Hmac<Sha1>>(parts).finalize().into_bytes().into()
    }

    /// HMAC-SHA256 of a message that comes in three parts.
    pub(crate) fn sha256(&self, parts: [&[u8]; 3]) -> [u8; 32] {
        self.mac::<Hmac<Sha256>>(parts).finalize().into_bytes().into()
    }

    /// Whether this code is of this message, in constant time.
    pub(crate) fn is_of(&self, how: Integrity, parts: [&[u8]; 3], code: &[u8]) -> bool {
        match how {
            Integrity::Sha1 => self.mac::<Hmac<Sha1>>(parts).verify_slice(code).is_ok(),
            // All 32 bytes: a shorter code is only for usages that say so, and neither TURN nor
            // ICE does (§14.6).
            Integrity::Sha256 => self.mac::<Hmac<Sha256>>(parts).verify_slice(code).is_ok(),
        }
    }

    fn mac<M: Mac + hmac::digest::KeyInit>(&self, parts: [&[u8]; 3]) -> M {
        let mac = <M as Mac>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        parts.into_iter().fold(mac, |mac, part| mac.chain_update(part))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Key(…)")
    }
}

/// What stands for a user's name in USERHASH: SHA-256 of `user:realm` (RFC 8489 §14.4).
pub fn user_hash(user: &[u8], realm: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(user).chain_update(b":").chain_update(realm).finalize().into()
}
