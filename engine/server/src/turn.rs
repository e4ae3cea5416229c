//! What TURN needs before the shards start: chance, free addresses, and a word for `--doctor`.

use std::hash::{BuildHasher, Hasher};
use std::net::{TcpListener, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use engine_config::Turn;
use engine_node::TurnSeed;

/// What all shards share.
pub fn seed(shards_count: usize, epoch: Instant, unix_time: Duration) -> TurnSeed {
    let seed = draw_bytes(unix_time);
    TurnSeed { seed, epoch, unix_s: unix_time.as_secs(), shards_count: shards_count as u16 }
}

/// Bytes that nobody can guess.
pub fn draw_bytes(unix_time: Duration) -> [u8; 32] {
    let mut seed = [0; 32];
    for part in seed.chunks_exact_mut(8) {
        // Keyed from the system's entropy, each anew.
        let mut hasher = std::hash::RandomState::new().build_hasher();
        hasher.write_u128(unix_time.as_nanos());
        part.copy_from_slice(&hasher.finish().to_be_bytes());
    }
    seed
}

/// Makes sure that every address can be had: the shards share them by `SO_REUSEPORT`, which alone
/// would let a second server in unnoticed.
pub fn probe_addresses(turn: &Turn) -> anyhow::Result<()> {
    if !turn.starts() {
        return Ok(());
    }
    for address in &turn.listen {
        UdpSocket::bind(address).with_context(|| format!("TURN cannot have UDP {address}"))?;
    }
    for address in turn.listen.iter().chain(&turn.listen_tls) {
        TcpListener::bind(address).with_context(|| format!("TURN cannot have TCP {address}"))?;
    }
    Ok(())
}

/// Whether TURN starts, and if not why.
pub fn state(turn: &Turn) -> String {
    if !turn.is_wanted() {
        return "off: turn.listen names no address".to_owned();
    }
    if !turn.has_credentials() {
        return "does not start: neither turn.users nor turn.secrets is set".to_owned();
    }
    let external = turn.external_addresses();
    let list: Vec<String> = external.iter().map(|(announced, _)| announced.to_string()).collect();
    format!("lends ports {} of {}", turn.ports, list.join(", "))
}
