//! What TURN needs before the shards start: chance, free addresses, and a word for `--doctor`.

use std::net::{TcpListener, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use engine_config::Turn;
use engine_node::TurnSeed;
use engine_relay::machine_addresses;

/// What all shards share.
///
/// # Errors
/// The system has no chance to give, or does not say which addresses it has.
pub fn seed(shards_count: usize, epoch: Instant, unix_time: Duration) -> anyhow::Result<TurnSeed> {
    let machine = machine_addresses().context("which addresses has this machine?")?;
    let shards_count = shards_count as u16;
    Ok(TurnSeed { seed: draw_bytes()?, epoch, unix_s: unix_time.as_secs(), shards_count, machine })
}

/// Bytes that nobody can guess.
///
/// # Errors
/// The system has none.
pub fn draw_bytes() -> anyhow::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).context("the system has no random numbers")?;
    Ok(bytes)
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
