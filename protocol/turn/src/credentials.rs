//! Who may have an allocation: users with a password, and names that carry their own end, signed
//! with a secret that the application and we share.
//!
//! The second way is the one that browsers' applications use: the application hands out
//! `1700000000:anna` with the base64 of HMAC-SHA1(secret, name) as its password. Several secrets
//! may hold at once, so that one can be replaced without a gap.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use protocol_stun::{Key, PasswordAlgorithm, user_hash};
use sha1::Sha1;
use std::collections::BTreeMap;
use std::fmt;

/// The longest name (RFC 8489 §14.3).
pub(crate) const NAME_BYTES_MAX: usize = 508;

/// Who may have an allocation. Without users and secrets nobody may.
#[derive(Clone, Default)]
pub struct Credentials {
    users: BTreeMap<Vec<u8>, Vec<u8>>,
    secrets: Vec<Vec<u8>>,
}

impl Credentials {
    /// Nobody.
    pub fn new() -> Credentials {
        Credentials::default()
    }

    /// Adds a user; an earlier password of that name is replaced. Name and password are taken as
    /// they are: normalise them before (RFC 8265).
    #[must_use]
    pub fn with_user(mut self, name: &str, password: &str) -> Credentials {
        self.users.insert(name.as_bytes().to_vec(), password.as_bytes().to_vec());
        self
    }

    /// Adds a shared secret.
    #[must_use]
    pub fn with_secret(mut self, secret: &[u8]) -> Credentials {
        self.secrets.push(secret.to_vec());
        self
    }

    /// Whether nobody may have an allocation.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty() && self.secrets.is_empty()
    }

    /// Whether every name can be found by its hash: not those that secrets sign.
    pub(crate) fn has_user_hash(&self) -> bool {
        self.secrets.is_empty()
    }

    /// The names of users by their USERHASH (RFC 8489 §14.4).
    pub(crate) fn user_hashes(&self, realm: &[u8]) -> BTreeMap<[u8; 32], Vec<u8>> {
        self.users.keys().map(|name| (user_hash(name, realm), name.clone())).collect()
    }

    /// The keys that this name may have signed with at this time: one of a user, or one for each
    /// secret.
    pub(crate) fn keys(
        &self,
        name: &[u8],
        realm: &[u8],
        how: PasswordAlgorithm,
        unix_s: u64,
    ) -> Vec<Key> {
        if let Some(password) = self.users.get(name) {
            return vec![Key::long_term(how, name, realm, password)];
        }
        if expiry_of(name).is_none_or(|expiry| expiry < unix_s) {
            return Vec::new();
        }
        let key = |secret: &Vec<u8>| {
            let password = password_of(secret, name);
            Key::long_term(how, name, realm, password.as_bytes())
        };
        self.secrets.iter().map(key).collect()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Credentials({} users, {} secrets)", self.users.len(), self.secrets.len())
    }
}

/// A name and its password until `expiry_unix_s`, for who shares the secret: what an endpoint
/// hands to a browser.
pub fn timed_credential(secret: &[u8], user: &str, expiry_unix_s: u64) -> (String, String) {
    let name = format!("{expiry_unix_s}:{user}");
    let password = password_of(secret, name.as_bytes());
    (name, password)
}

/// The name that quotas are counted by: what stands behind the expiry, if anything does.
pub(crate) fn counted_name(name: &[u8]) -> &[u8] {
    let colon = name.iter().position(|byte| *byte == b':');
    match colon {
        Some(at) if expiry_of(name).is_some() && at + 1 < name.len() => &name[at + 1..],
        _ => name,
    }
}

/// Whether a name may stand in a log: UTF-8 without control characters, and not too long.
pub(crate) fn is_clean(name: &[u8]) -> bool {
    let text = std::str::from_utf8(name);
    let is_text = text.is_ok_and(|text| !text.chars().any(char::is_control));
    is_text && (1..=NAME_BYTES_MAX).contains(&name.len())
}

fn password_of(secret: &[u8], name: &[u8]) -> String {
    let mac = Hmac::<Sha1>::new_from_slice(secret).expect("HMAC takes keys of any length");
    STANDARD.encode(mac.chain_update(name).finalize().into_bytes())
}

/// The seconds of the epoch that a timed name begins with.
fn expiry_of(name: &[u8]) -> Option<u64> {
    let digits = name.split(|byte| *byte == b':').next()?;
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(digits).ok().filter(|_| is_number)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timed_credential_is_what_other_relays_compute() {
        // printf %s 1433895918:user | openssl dgst -sha1 -hmac secret -binary | base64
        let (name, password) = timed_credential(b"secret", "user", 1_433_895_918);
        assert_eq!(name, "1433895918:user");
        assert_eq!(password, "duY86vsmGEXM+Ma7pGS//SXJIv0=");
        let keys = |name: &str, now| {
            let credentials = Credentials::new().with_secret(b"old").with_secret(b"secret");
            credentials.keys(name.as_bytes(), b"realm", PasswordAlgorithm::Md5, now)
        };
        let own =
            Key::long_term(PasswordAlgorithm::Md5, name.as_bytes(), b"realm", password.as_bytes());
        assert_eq!(keys(&name, 1_433_895_918)[1], own);
        assert!(keys(&name, 1_433_895_919).is_empty());
        for wrong in ["", ":user", "user", "12x:user", "-1:user", "99999999999999999999:u"] {
            assert!(keys(wrong, 0).is_empty(), "{wrong}");
        }
        assert_eq!(keys("1433895918", 0).len(), 2);
    }

    #[test]
    fn quotas_are_counted_by_the_person() {
        assert_eq!(counted_name(b"17:anna"), b"anna");
        assert_eq!(counted_name(b"17:"), b"17:");
        assert_eq!(counted_name(b"17"), b"17");
        assert_eq!(counted_name(b"anna:b"), b"anna:b");
    }

    #[test]
    fn names_with_control_bytes_are_not_clean() {
        assert!(is_clean("マトリックス".as_bytes()) && is_clean(&[b'a'; 508]));
        for name in [&b""[..], b"a\r\n", b"a\0", b"\xFF", &[b'a'; 509], "a\u{85}".as_bytes()] {
            assert!(!is_clean(name), "{name:?}");
        }
    }
}
