//! Whether a request is from whom it says (RFC 8489 §9.2.4, RFC 8656 §5).
//!
//! The order is the RFC's, and cheap before dear: nothing of the credentials is looked at before
//! the nonce showed that the asker receives what we send to his address.

use super::Server;
use crate::client::Client;
use crate::credentials::is_clean;
use protocol_stun::{AttributeKind, Integrity, Key, Message, PasswordAlgorithm};
use std::time::Instant;

/// Who it is, and how he showed it.
pub(super) struct Proof {
    pub(super) name: Box<[u8]>,
    pub(super) key: Key,
    pub(super) how: Integrity,
    pub(super) algorithm: PasswordAlgorithm,
}

/// Why there is no proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Denial {
    /// 401: none was tried.
    Missing,
    /// 400: the attributes do not belong together, or a name has control bytes.
    Malformed,
    /// 438: the nonce is too old or not for this client.
    Stale,
    /// 401: an unknown name, another realm, or a wrong password; which of them is not told.
    Wrong,
}

/// PASSWORD-ALGORITHMS as our challenges have it: it must come back unchanged.
const OFFERED: &[u8] = &[0, 2, 0, 0, 0, 1, 0, 0];

impl Server {
    pub(super) fn prove(
        &self,
        now: Instant,
        client: Client,
        message: &Message<'_>,
    ) -> Result<Proof, Denial> {
        let how = if message.has_integrity(Integrity::Sha256) {
            Integrity::Sha256
        } else if message.has_integrity(Integrity::Sha1) {
            Integrity::Sha1
        } else {
            return Err(Denial::Missing);
        };
        let (Some(realm), Some(nonce)) =
            (message.find(AttributeKind::REALM), message.find(AttributeKind::NONCE))
        else {
            return Err(Denial::Malformed);
        };
        let algorithm = chosen_algorithm(message)?;
        self.nonces.judge(&client, now, nonce).map_err(|_| Denial::Stale)?;
        let own_realm = self.config.realm.as_bytes();
        let name = self.name(message)?;
        if realm != own_realm {
            return Err(Denial::Wrong);
        }
        let is_right = |key: &Key| message.is_from(key, how);
        let Some(name) = name else {
            spend(is_right, algorithm, own_realm);
            return Err(Denial::Wrong);
        };
        let known = self.known_key(&client, name, algorithm).filter(|key| is_right(key));
        let key = known.cloned().or_else(|| {
            let unix_s = self.unix_s(now);
            let keys = self.config.credentials.keys(name, own_realm, algorithm, unix_s);
            if keys.is_empty() {
                spend(is_right, algorithm, own_realm);
            }
            keys.into_iter().find(is_right)
        });
        let key = key.ok_or(Denial::Wrong)?;
        Ok(Proof { name: name.into(), key, how, algorithm })
    }

    /// The name, as such or behind its hash; none where the hash is nobody's.
    fn name<'a>(&'a self, message: &Message<'a>) -> Result<Option<&'a [u8]>, Denial> {
        if let Some(name) = message.find(AttributeKind::USERNAME) {
            return if is_clean(name) { Ok(Some(name)) } else { Err(Denial::Malformed) };
        }
        let hash = message.array(AttributeKind::USERHASH).map_err(|_| Denial::Malformed)?;
        let hash = hash.ok_or(Denial::Malformed)?;
        Ok(self.user_hashes.get(&hash).map(Vec::as_slice))
    }

    /// The key with which this user made this client's allocation: it holds until the end, also
    /// past the time in a timed name.
    fn known_key(&self, client: &Client, name: &[u8], how: PasswordAlgorithm) -> Option<&Key> {
        let allocation = self.table.get(self.table.find(client)?)?;
        let is_same = *allocation.name == *name && allocation.algorithm == how;
        is_same.then_some(&allocation.key)
    }
}

/// Works on an unknown name as long as on a known one: how long an answer takes does not tell which
/// names there are.
fn spend(is_right: impl Fn(&Key) -> bool, how: PasswordAlgorithm, realm: &[u8]) {
    let nobody = Key::long_term(how, b"nobody", realm, b"");
    std::hint::black_box(is_right(&nobody));
}

/// MD5 where nothing is said; what is said must be what was offered (RFC 8489 §9.2.4).
fn chosen_algorithm(message: &Message<'_>) -> Result<PasswordAlgorithm, Denial> {
    let chosen = message.password_algorithm().map_err(|_| Denial::Malformed)?;
    let offered = message.find(AttributeKind::PASSWORD_ALGORITHMS);
    match (chosen, offered) {
        (None, None) => Ok(PasswordAlgorithm::Md5),
        (Some(Some(chosen)), Some(OFFERED)) => Ok(chosen),
        _ => Err(Denial::Malformed),
    }
}
