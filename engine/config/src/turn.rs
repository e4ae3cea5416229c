//! `[turn]`: the relay for browsers behind NATs.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use crate::Config;
use crate::check;
use crate::define::keys;
use crate::limits::MemoryTerm;
use crate::types::{Cidr, Secret};

keys! {
    /// TURN (RFC 8656): lends browsers an address where they cannot reach each other. It runs on
    /// every shard, and only where `listen` or `listen_tls` and a user or secret are set.
    pub struct Turn in "turn" {
        /// Addresses where clients come, by UDP and TCP. Empty: none.
        listen: Vec<SocketAddr> = Vec::new(), example("[\"0.0.0.0:3478\", \"[::]:3478\"]"),
            restart(), check(|turn| check::ports(&turn.listen));

        /// Addresses where clients come by TLS alone. Needs `tls.certificates`; on `listen` TLS is
        /// told from the rest by its first byte.
        listen_tls: Vec<SocketAddr> = Vec::new(), example("[\"0.0.0.0:5349\"]"), restart(),
            check(|turn| check::ports(&turn.listen_tls));

        /// Who may have an allocation, each `name:password`.
        users: Vec<Secret> = Vec::new(), example("[\"anna:a long random string\"]"),
            check(|turn| check_users(&turn.users));

        /// Secrets shared with an application that hands out timed names. These are `expiry:name`,
        /// with an HMAC-SHA1 as the password. All hold; the first signs what
        /// `/ice-servers` hands out.
        secrets: Vec<Secret> = Vec::new(), example("[\"another long random string\"]"),
            check(|turn| check_secrets(&turn.secrets));

        /// The realm of the credentials, at most 28 bytes.
        realm: String = "skywave".into(), restart(), check(|turn| check_realm(&turn.realm));

        /// Addresses that are lent. Each is `IP`, or `ANNOUNCED/LOCAL` behind a NAT that maps one
        /// to one. Empty: those of `listen` that are not unspecified.
        external: Vec<String> = Vec::new(), example("[\"203.0.113.7\"]"), restart(),
            check(|turn| check_external(&turn.external));

        /// Ports that are lent, `first-last`. Each shard has its share.
        ports: String = "49152-65535".into(), restart(),
            check(|turn| port_range(&turn.ports).map(|_| ()));

        /// Peers that are reached although their network is private or special.
        allow_peers: Vec<Cidr> = Vec::new(), example("[\"10.1.0.0/16\"]");

        /// Peers that are refused besides private and special networks.
        deny_peers: Vec<Cidr> = Vec::new();

        /// Allocations of a shard. Then: 508.
        allocations_per_shard_max: usize = 20_000, within(1, 1_000_000), restart();

        /// Allocations of one user on all shards together, however many names in time. Then: 486.
        user_allocations_max: usize = 64, within(1, 1_000_000), restart();

        /// Allocations of one client address (IPv6: one /64). Then: 486.
        address_allocations_max: usize = 1_024, within(1, 1_000_000), restart();

        /// Payload of one allocation, both ways, in bytes each second. Not set: no limit.
        allocation_bytes_per_s: Option<u64> = None, within(1_000, 100_000_000_000),
            example("2000000"), restart();

        /// Payload of all allocations of one user on a shard, in bytes each second.
        user_bytes_per_s: Option<u64> = None, within(1_000, 100_000_000_000),
            example("10000000"), restart();

        /// Streams (TCP, TLS) of clients on a shard, and as many connections with peers. Another
        /// is closed.
        streams_per_shard_max: usize = 4_096, within(1, 1_000_000), restart();

        /// Whether clients are spread over shards by their address alone, which reserved ports and
        /// TCP with peers (RFC 6062) need, or by address and port, where all come through one
        /// address.
        spread_by_address: bool = true, restart();

        /// While packets flow, how long one may wait for others, in microseconds: one call into the
        /// kernel then brings several. It buys CPU with latency; 0 wakes for each.
        gather_us: u32 = 500, within(0, 10_000), restart();

        /// Where new allocations are sent instead (300, ALTERNATE-SERVER), to empty this server.
        alternate_server: Option<SocketAddr> = None, example("\"203.0.113.8:3478\"");

        /// Who may ask `/ice-servers` for the list that a browser's `RTCPeerConnection` takes:
        /// `off`, `admin`, or `public`. It needs a secret.
        ice_servers: String = "off".into(), check(|turn| check_asker(&turn.ice_servers));

        /// How long what `/ice-servers` hands out is good, in seconds.
        ice_ttl_s: u64 = 86_400, within(60, 31_536_000);
    }
}

/// Buffers for datagrams that a shard with TURN lends the kernel.
pub const TURN_DATAGRAM_BUFFERS_COUNT: u16 = 256;

/// Each of them: as many joined datagrams as the kernel joins, with room to move them apart.
const DATAGRAM_BUFFER_BYTES: u64 = 72 * 1024;

/// What a stream may have waiting: a send under way and another behind it (512 KiB each), a frame
/// that is not whole, and what TLS keeps.
const STREAM_BYTES: u64 = (2 * 512 + 64 + 32 + 24) * 1024;

impl Config {
    /// Where browsers find our TURN, as URLs of their `iceServers`.
    pub fn turn_urls(&self) -> Vec<String> {
        let turn = &self.turn;
        let host = |address: &SocketAddr| match address.ip() {
            ip if ip.is_unspecified() => self.server.hostname.clone(),
            IpAddr::V6(ip) => format!("[{ip}]"),
            ip => ip.to_string(),
        };
        let mut urls = Vec::new();
        for address in &turn.listen {
            let authority = format!("{}:{}", host(address), address.port());
            urls.push(format!("turn:{authority}?transport=udp"));
            urls.push(format!("turn:{authority}?transport=tcp"));
            if !self.tls.certificates.is_empty() {
                urls.push(format!("turns:{authority}?transport=tcp"));
            }
        }
        for address in &turn.listen_tls {
            urls.push(format!("turns:{}:{}?transport=tcp", host(address), address.port()));
        }
        urls.sort();
        urls.dedup();
        urls
    }
}

impl Turn {
    /// Whether there is somebody who may have an allocation.
    pub fn has_credentials(&self) -> bool {
        !self.users.is_empty() || !self.secrets.is_empty()
    }

    /// Whether it is wanted at all.
    pub fn is_wanted(&self) -> bool {
        !self.listen.is_empty() || !self.listen_tls.is_empty()
    }

    /// Whether it starts.
    pub fn starts(&self) -> bool {
        self.is_wanted() && self.has_credentials() && !self.external_addresses().is_empty()
    }

    /// The ports that are lent.
    pub fn port_range(&self) -> RangeInclusive<u16> {
        port_range(&self.ports).expect("the key was checked when it was read")
    }

    /// The addresses that are lent: announced, and bound here.
    pub fn external_addresses(&self) -> Vec<(IpAddr, IpAddr)> {
        if self.external.is_empty() {
            let ips = self.listen.iter().chain(&self.listen_tls).map(SocketAddr::ip);
            let mut ips: Vec<_> = ips.filter(|ip| !ip.is_unspecified()).collect();
            ips.dedup();
            return ips.into_iter().map(|ip| (ip, ip)).collect();
        }
        self.external.iter().filter_map(|text| external(text)).collect()
    }

    /// What TURN adds to [`crate::Limits::memory_terms`] with so many shards; nothing where it does
    /// not start.
    pub fn memory_terms(&self, shards_count: usize) -> Vec<MemoryTerm> {
        if !self.starts() {
            return Vec::new();
        }
        let each = |count: usize| (shards_count as u64).saturating_mul(count as u64);
        vec![
            MemoryTerm::new(
                "turn datagram buffers",
                each(usize::from(TURN_DATAGRAM_BUFFERS_COUNT)),
                DATAGRAM_BUFFER_BYTES,
            ),
            MemoryTerm::new("turn allocations", each(self.allocations_per_shard_max), 2_048),
            // Of clients, and as many of peers.
            MemoryTerm::new("turn streams", each(2 * self.streams_per_shard_max), STREAM_BYTES),
        ]
    }

    /// Names and passwords of the users.
    pub fn named_users(&self) -> impl Iterator<Item = (&str, &str)> {
        self.users.iter().filter_map(|user| user.expose().split_once(':'))
    }
}

fn check_users(users: &[Secret]) -> Result<(), String> {
    let is_pair = |user: &Secret| {
        let pair = user.expose().split_once(':');
        pair.is_some_and(|(name, password)| !name.is_empty() && !password.is_empty())
    };
    match users.iter().all(is_pair) {
        true => Ok(()),
        false => Err("expected name:password, each not empty; found one without".to_owned()),
    }
}

fn check_secrets(secrets: &[Secret]) -> Result<(), String> {
    match secrets.iter().any(|secret| secret.expose().is_empty()) {
        true => Err("expected secrets, found an empty one".to_owned()),
        false => Ok(()),
    }
}

fn check_realm(realm: &str) -> Result<(), String> {
    match realm.len() {
        1..=28 => Ok(()),
        bytes => Err(format!("expected 1 to 28 bytes, found {bytes}")),
    }
}

fn check_external(list: &[String]) -> Result<(), String> {
    match list.iter().find(|text| external(text).is_none()) {
        Some(text) => Err(format!("expected an address, or ANNOUNCED/LOCAL, found {text:?}")),
        None => Ok(()),
    }
}

fn check_asker(asker: &str) -> Result<(), String> {
    match asker {
        "off" | "admin" | "public" => Ok(()),
        other => Err(format!("expected \"off\", \"admin\" or \"public\", found {other:?}")),
    }
}

fn external(text: &str) -> Option<(IpAddr, IpAddr)> {
    let (announced, local) = text.split_once('/').unwrap_or((text, text));
    let (announced, local): (IpAddr, IpAddr) = (announced.parse().ok()?, local.parse().ok()?);
    let is_pair = announced.is_ipv4() == local.is_ipv4() && !announced.is_unspecified();
    is_pair.then_some((announced, local))
}

fn port_range(text: &str) -> Result<RangeInclusive<u16>, String> {
    let pair = text
        .split_once('-')
        .and_then(|(first, last)| Some((first.trim().parse().ok()?, last.trim().parse().ok()?)));
    match pair {
        Some((first @ 1.., last)) if first < last => Ok(first..=last),
        _ => Err(format!("expected two ports such as \"49152-65535\", found {text:?}")),
    }
}
