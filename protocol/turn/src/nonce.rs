//! Nonces that need no memory: when it was made and for whom, signed (RFC 8489 §9.2).
//!
//! ```text
//! | obMatJos2 | features, 4 | base64 of: seconds since the epoch, 4 | first 8 of the HMAC |
//! ```
//!
//! The cookie and the features stand there only in an answer that offers PASSWORD-ALGORITHMS.
//! The signature covers them and the client's address: a nonce serves nobody else.

use crate::client::Client;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use hmac::{Hmac, Mac};
use protocol_stun::{NONCE_COOKIE, SecurityFeatures};
use sha2::Sha256;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Bytes of the signed part: time and signature.
const STAMP_BYTES: usize = 12;

/// The same in letters.
const STAMP_LETTERS: usize = 16;

/// What is wrong with a nonce: it is too old, from another time or client, or not ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stale;

/// Makes and judges nonces.
#[derive(Clone)]
pub(crate) struct Nonces {
    seed: [u8; 32],
    epoch: Instant,
    lifetime: Duration,
}

impl Nonces {
    pub(crate) fn new(seed: [u8; 32], epoch: Instant, lifetime: Duration) -> Nonces {
        Nonces { seed, epoch, lifetime }
    }

    /// A nonce for this client.
    pub(crate) fn make(
        &self,
        client: &Client,
        now: Instant,
        features: Option<SecurityFeatures>,
    ) -> Vec<u8> {
        let prefix = features.map(|features| [&NONCE_COOKIE[..], &features.letters()].concat());
        let mut nonce = prefix.unwrap_or_default();
        let seconds = self.seconds(now).to_be_bytes();
        let code = self.sign(client, &nonce, seconds).finalize().into_bytes();
        let mut stamp = [0; STAMP_BYTES];
        stamp[..4].copy_from_slice(&seconds);
        stamp[4..].copy_from_slice(&code[..8]);
        nonce.extend_from_slice(STANDARD_NO_PAD.encode(stamp).as_bytes());
        nonce
    }

    /// Whether we made it, for this client, and not too long ago.
    pub(crate) fn judge(&self, client: &Client, now: Instant, nonce: &[u8]) -> Result<(), Stale> {
        let at = nonce.len().checked_sub(STAMP_LETTERS).ok_or(Stale)?;
        let (prefix, letters) = nonce.split_at(at);
        let mut stamp = [0; STAMP_BYTES];
        let decoded = STANDARD_NO_PAD.decode_slice(letters, &mut stamp);
        let (seconds, code) = stamp.split_first_chunk::<4>().ok_or(Stale)?;
        let is_ours = decoded == Ok(STAMP_BYTES)
            && self.sign(client, prefix, *seconds).verify_truncated_left(code).is_ok();
        let age_s = u64::from(self.seconds(now)).checked_sub(u32::from_be_bytes(*seconds).into());
        let is_fresh = age_s.is_some_and(|age_s| age_s < self.lifetime.as_secs());
        if is_ours && is_fresh { Ok(()) } else { Err(Stale) }
    }

    fn sign(&self, client: &Client, prefix: &[u8], seconds: [u8; 4]) -> Hmac<Sha256> {
        let signer = Hmac::<Sha256>::new_from_slice(&self.seed);
        let mut signer = signer.expect("HMAC takes keys of any length");
        signer.update(b"nonce");
        signer.update(prefix);
        signer.update(&seconds);
        match client.address.ip() {
            IpAddr::V4(ip) => signer.update(&ip.octets()),
            IpAddr::V6(ip) => signer.update(&ip.octets()),
        }
        signer.update(&client.address.port().to_be_bytes());
        signer
    }

    fn seconds(&self, now: Instant) -> u32 {
        now.saturating_duration_since(self.epoch).as_secs() as u32
    }
}
