//! Session tickets (RFC 8446 §4.6.1, RFC 5077): what a client brings back to go on without a
//! signature. The server keeps nothing but the keys, and all shards have the same.
//!
//! ```text
//!  ticket = | name of the key 8 | nonce 12 | AES-256-GCM(state) | tag 16 |
//! ```
//!
//! Invariants: keys never change, so nobody locks; who rotates makes new ones, in which the old key
//! still opens; a key that was rotated away twice is erased with the last session that has it.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use rustls::server::ProducesTickets;

use crate::ConfigError;

const NAME_BYTES: usize = 8;
const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;
/// How long a ticket may be used at most; rotation ends it sooner or never makes it live as long.
const LIFETIME_SECONDS: u32 = 12 * 3600;
/// The longest ticket that is opened; ours are a few hundred bytes.
const TICKET_BYTES_MAX: usize = 4096;

/// The keys that tickets are sealed and opened with, to be shared by all shards of a service, and
/// by a configuration and the one that replaces it. Cheap to clone.
#[derive(Clone)]
pub struct TicketKeys {
    keys: Arc<Keys>,
}

struct Keys {
    current: Arc<Key>,
    previous: Option<Arc<Key>>,
}

struct Key {
    name: [u8; NAME_BYTES],
    key: RandomizedNonceKey,
}

impl TicketKeys {
    /// A fresh key.
    ///
    /// # Errors
    /// When the machine has no randomness.
    pub fn new() -> Result<TicketKeys, ConfigError> {
        let keys = Keys { current: Arc::new(Key::new()?), previous: None };
        Ok(TicketKeys { keys: Arc::new(keys) })
    }

    /// Keys to go on with: a fresh one that seals, and the one of until now that still opens. To be
    /// done every six hours: then no ticket lives longer than twelve.
    ///
    /// # Errors
    /// When the machine has no randomness.
    pub fn rotated(&self) -> Result<TicketKeys, ConfigError> {
        let previous = Some(Arc::clone(&self.keys.current));
        let keys = Keys { current: Arc::new(Key::new()?), previous };
        Ok(TicketKeys { keys: Arc::new(keys) })
    }
}

impl Key {
    fn new() -> Result<Key, ConfigError> {
        let no_randomness =
            |_| ConfigError::Library { reason: "no randomness for a ticket key".to_owned() };
        let mut name = [0; NAME_BYTES];
        let mut bytes = [0; 32];
        aws_lc_rs::rand::fill(&mut name).map_err(no_randomness)?;
        aws_lc_rs::rand::fill(&mut bytes).map_err(no_randomness)?;
        let key = RandomizedNonceKey::new(&AES_256_GCM, &bytes).map_err(no_randomness)?;
        Ok(Key { name, key })
    }

    fn seal(&self, state: &[u8]) -> Option<Vec<u8>> {
        let mut ticket = vec![0; NAME_BYTES + NONCE_BYTES + state.len()];
        let (head, body) = ticket.split_at_mut(NAME_BYTES + NONCE_BYTES);
        body.copy_from_slice(state);
        let (nonce, tag) = self.key.seal_in_place_separate_tag(Aad::from(&self.name), body).ok()?;
        head[..NAME_BYTES].copy_from_slice(&self.name);
        head[NAME_BYTES..].copy_from_slice(nonce.as_ref());
        ticket.extend_from_slice(tag.as_ref());
        Some(ticket)
    }

    fn open(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let sealed = ticket.strip_prefix(&self.name)?;
        let (nonce, sealed) = sealed.split_at_checked(NONCE_BYTES)?;
        if sealed.len() < TAG_BYTES {
            return None;
        }
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut state = sealed.to_vec();
        let state_bytes =
            self.key.open_in_place(nonce, Aad::from(&self.name), &mut state).ok()?.len();
        state.truncate(state_bytes);
        Some(state)
    }
}

impl ProducesTickets for Keys {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        LIFETIME_SECONDS
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.current.seal(plain)
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        if cipher.len() > TICKET_BYTES_MAX {
            return None;
        }
        self.current.open(cipher).or_else(|| self.previous.as_ref()?.open(cipher))
    }
}

impl TicketKeys {
    pub(crate) fn producer(&self) -> Arc<dyn ProducesTickets> {
        Arc::clone(&self.keys) as Arc<dyn ProducesTickets>
    }
}

impl fmt::Debug for TicketKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TicketKeys").finish_non_exhaustive()
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_opened_by_its_own_and_the_next_keys_and_not_by_those_after() {
        let first = TicketKeys::new().unwrap();
        let ticket = first.producer().encrypt(b"state").unwrap();
        let second = first.rotated().unwrap();
        let third = second.rotated().unwrap();
        assert_eq!(first.producer().decrypt(&ticket).unwrap(), b"state");
        assert_eq!(second.producer().decrypt(&ticket).unwrap(), b"state");
        assert_eq!(third.producer().decrypt(&ticket), None);
        assert_eq!(TicketKeys::new().unwrap().producer().decrypt(&ticket), None);
    }

    #[test]
    fn a_ticket_that_was_touched_is_none() {
        let keys = TicketKeys::new().unwrap().producer();
        let ticket = keys.encrypt(b"state").unwrap();
        for at in 0..ticket.len() {
            let mut forged = ticket.clone();
            forged[at] ^= 1;
            assert_eq!(keys.decrypt(&forged), None, "byte {at}");
            assert_eq!(keys.decrypt(&ticket[..at]), None, "{at} bytes");
        }
        assert_eq!(keys.decrypt(&vec![0; TICKET_BYTES_MAX + 1]), None);
    }
}
