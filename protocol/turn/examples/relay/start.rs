//! Starts a shard for each core.

use std::fs::read_to_string;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::{Instant, SystemTime};

use engine_relay::{Listener, Listening, Relay, Settings, machine_addresses};
use protocol_tls::{Identity, ServerConfig, ServerSettings, TicketKeys};
use protocol_turn::{Config, Limits};
use shards_mesh::mesh;
use shards_ring::{RingConfig, RingGroup};
use shards_runtime::{Placement, Shard, Shards};

use super::args::Args;
use super::service::RelayService;

/// Starts the shards; the listeners carry the ports in use.
///
/// # Errors
/// An address cannot be had, the settings make no sense, or the kernel lacks io_uring.
pub fn start(args: &Args) -> io::Result<(Vec<Listener>, Shards)> {
    let mut listeners = Vec::new();
    for address in &args.listen {
        let address = free_address(*address)?;
        for listening in [Listening::Udp, Listening::Tcp] {
            listeners.push(Listener { address, listening });
        }
    }
    for address in &args.listen_tls {
        let address = TcpListener::bind(address)?.local_addr()?;
        listeners.push(Listener { address, listening: Listening::Tls });
    }
    let mut config = Config::new(&args.realm, args.credentials.clone());
    config.policy.allowed.clone_from(&args.allowed);
    let placement = Placement { shards_count: args.cores.len().max(1), cores: args.cores.clone() };
    let shards_count = placement.shards_count as u16;
    let (now, unix_s) = now();
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(io::Error::other)?;
    let settings = Settings {
        config,
        limits: Limits::default(),
        listeners: listeners.clone(),
        own: Vec::new(),
        machine: machine_addresses()?,
        externals: args.externals.clone(),
        ports: args.ports.clone(),
        tls: tls_config(args)?,
        spreads_by_address: true,
        stream_count_max: 4096,
        handshakes_per_tick_max: 4,
        seed,
        epoch: now,
        shard: (0, shards_count),
    };
    // What is wrong with the settings is said here, not on a shard.
    Relay::new(settings.clone(), now, unix_s).map_err(io::Error::other)?;
    // The last participant of a mesh is a control plane. There is none here, and no messages.
    let participants = placement.shards_count + 1;
    let group = RingGroup::new(participants)?;
    let ports = Mutex::new(mesh(participants, 1).into_iter().map(Some).collect::<Vec<_>>());
    let defaults = RingConfig::default();
    let gather_us = args.gather_us.unwrap_or(defaults.gather_us);
    let ring = RingConfig { udp_gro: true, gather_us, ..defaults };
    let shards = Shards::start(&placement, move |shard| {
        let io = group.open(shard, ring.clone())?;
        let port = ports.lock().expect("nobody panics here")[shard.index()].take();
        let settings = Settings { shard: (shard.0, shards_count), ..settings.clone() };
        let relay = Relay::new(settings, now, unix_s).map_err(io::Error::other)?;
        Ok(Shard::new(io, port.expect("a shard starts once"), RelayService(relay)))
    })?;
    Ok((listeners, shards))
}

/// The certificate, where there is one.
fn tls_config(args: &Args) -> io::Result<Option<Arc<ServerConfig>>> {
    let (Some(certificate), Some(key)) = (&args.certificate, &args.key) else { return Ok(None) };
    let (certificate, key) = (read_to_string(certificate)?, read_to_string(key)?);
    let config = || {
        let identity = Identity::from_pem(&certificate, &key)?;
        let mut settings = ServerSettings::new(vec![identity], TicketKeys::new()?);
        // No client of TURN says what it speaks; RFC 7443's name is for those that do.
        settings.alpn = vec!["stun.turn"];
        ServerConfig::new(settings)
    };
    let config =
        config().map_err(|error: protocol_tls::ConfigError| io::Error::other(error.to_string()))?;
    Ok(Some(Arc::new(config)))
}

/// The address with a port that is free for UDP and TCP. The shards share it by `SO_REUSEPORT`,
/// which alone would let a second server in unnoticed.
fn free_address(address: SocketAddr) -> io::Result<SocketAddr> {
    let mut attempts = 0;
    loop {
        let datagrams = UdpSocket::bind(address)?;
        let address = datagrams.local_addr()?;
        match TcpListener::bind(address) {
            Ok(_) => return Ok(address),
            Err(error) if attempts == 16 => return Err(error),
            Err(_) => attempts += 1,
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "the process's start")]
fn now() -> (Instant, u64) {
    let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    (Instant::now(), unix.as_secs())
}
