//! TURN on this shard: the relay of `engine-relay`, with the configuration's words, the access log
//! and the messages of control.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use engine_config::{Cidr, Config, Turn};
use engine_relay::{Ended, External, Listener, Listening, Relay, Settings, SettingsError};
use protocol_icy::{AccessLine, access_line};
use protocol_turn::{
    AllocationId, Config as TurnConfig, Credentials, End, Limits, Prefix, Rate, Transport,
    UserChange,
};
use shards_runtime::{Context, Io, ShardId};

use crate::message::{LentRow, Message};
use crate::node::Node;

/// What all shards of a server share besides the configuration.
#[derive(Clone, Debug)]
pub struct TurnSeed {
    /// Chance.
    pub seed: [u8; 32],
    /// An instant that nonces count from.
    pub epoch: Instant,
    /// Wall-clock seconds then.
    pub unix_s: u64,
    /// How many shards.
    pub shards_count: u16,
    /// The addresses of this machine.
    pub machine: Vec<IpAddr>,
}

/// The relay of one shard, if the configuration wants one.
///
/// # Errors
/// What is wrong with the settings, or that the shards have too few ports.
pub fn turn_relay(
    config: &Config,
    common: &TurnSeed,
    shard: u16,
    tls: Option<Arc<protocol_tls::ServerConfig>>,
) -> Result<Option<Relay>, SettingsError> {
    let turn = &config.turn;
    if !turn.starts() {
        return Ok(None);
    }
    let rate = |bytes: u64| Rate { per_s: bytes, burst: bytes };
    let limits = Limits {
        allocation_count_max: turn.allocations_per_shard_max,
        user_allocation_count_max: turn.user_allocations_max,
        address_allocation_count_max: turn.address_allocations_max,
        allocation_bytes_rate: turn.allocation_bytes_per_s.map(rate),
        user_bytes_rate: turn.user_bytes_per_s.map(rate),
        ..Limits::default()
    };
    let listener = |address: &SocketAddr, listening| Listener { address: *address, listening };
    let plain = turn
        .listen
        .iter()
        .flat_map(|address| [listener(address, Listening::Udp), listener(address, Listening::Tcp)]);
    let tls_only = turn.listen_tls.iter().map(|address| listener(address, Listening::Tls));
    let external = |(announced, local)| External { announced, local };
    let v1 = config.listen.iter().filter_map(|listen| listen.shoutcast_address());
    let settings = Settings {
        config: turn_config(turn, false),
        limits,
        listeners: plain.chain(tls_only).collect(),
        own: config.listen.iter().map(|listen| listen.address).chain(v1).collect(),
        machine: common.machine.clone(),
        externals: turn.external_addresses().into_iter().map(external).collect(),
        ports: turn.port_range(),
        tls,
        spreads_by_address: turn.spread_by_address,
        stream_count_max: turn.streams_per_shard_max,
        handshakes_per_tick_max: config.tls.handshakes_per_tick_max,
        seed: common.seed,
        epoch: common.epoch,
        shard: (shard, common.shards_count),
    };
    Relay::new(settings, common.epoch, common.unix_s).map(Some)
}

/// What of the configuration may change while the relay runs.
fn turn_config(turn: &Turn, is_draining: bool) -> TurnConfig {
    let users = turn.named_users();
    let credentials =
        users.fold(Credentials::new(), |all, (name, password)| all.with_user(name, password));
    let credentials = turn
        .secrets
        .iter()
        .fold(credentials, |all, secret| all.with_secret(secret.expose().as_bytes()));
    let mut config = TurnConfig::new(&turn.realm, credentials);
    config.policy.allowed = turn.allow_peers.iter().filter_map(prefix).collect();
    config.policy.denied = turn.deny_peers.iter().filter_map(prefix).collect();
    config.alternate_server = turn.alternate_server;
    config.takes_allocations = !is_draining;
    config
}

fn prefix(network: &Cidr) -> Option<Prefix> {
    Prefix::new(network.address, network.prefix_bits)
}

impl Node {
    /// The same node with TURN.
    #[must_use]
    pub fn with_turn(mut self, relay: Option<Relay>) -> Node {
        self.turn = relay;
        self
    }

    /// The relay, to look at.
    #[doc(hidden)]
    #[must_use]
    pub fn turn(&self) -> Option<&Relay> {
        self.turn.as_ref()
    }

    pub(crate) fn start_turn<I: Io>(&mut self, cx: &mut Context<'_, I, Message>) {
        if let Some(relay) = &mut self.turn
            && let Err(error) = relay.start(cx)
        {
            // The server tried the addresses before the shards started.
            tracing::error!(%error, "cannot listen for TURN");
        }
    }

    /// Tells the relay what has changed in the policy.
    pub(crate) fn turn_follows_snapshot(&mut self) {
        let is_draining = self.drain_until.is_some();
        let Some(relay) = &mut self.turn else { return };
        relay.set_tls(self.snapshot.tls.clone());
        let config = turn_config(&self.snapshot.config.turn, is_draining);
        if let Err(error) = relay.configure(config) {
            tracing::error!(?error, "the relay keeps the credentials that it had");
        }
    }

    /// What the relay has to do when a tick ends, and a line for each allocation that ended.
    pub(crate) fn end_turn_tick<I: Io>(&mut self, cx: &mut Context<'_, I, Message>) {
        let Some(relay) = &mut self.turn else { return };
        relay.on_tick_end(cx);
        let changes = relay.take_user_changes();
        if !changes.is_empty() {
            let changes: Arc<[UserChange]> = changes.into();
            for shard in relay.other_shards() {
                cx.send_surely(ShardId(shard), Message::TurnUsers(Arc::clone(&changes)));
            }
        }
        for ended in relay.take_ended() {
            let line = line_of(&ended, cx.wall_clock().as_secs());
            let Some(log) = &mut self.log else { continue };
            if !log.append(line) {
                self.counters.log_lines_dropped += 1;
            }
        }
    }

    /// What the users of another shard have there.
    pub(crate) fn turn_users_changed(&mut self, changes: &[UserChange]) {
        if let Some(relay) = &mut self.turn {
            relay.users_changed_elsewhere(changes);
        }
    }

    /// Ends all allocations, with their lines.
    pub(crate) fn end_allocations<I: Io>(&mut self, cx: &mut Context<'_, I, Message>) {
        let Some(relay) = &mut self.turn else { return };
        let all: Vec<_> = relay.allocations(cx.now()).map(|it| it.allocation).collect();
        for allocation in all {
            relay.kill(cx, allocation);
        }
        self.end_turn_tick(cx);
    }

    /// The allocations of this shard.
    pub(crate) fn list_allocations<I: Io>(&self, cx: &mut Context<'_, I, Message>) -> Vec<LentRow> {
        let Some(relay) = &self.turn else { return Vec::new() };
        let now = cx.now();
        let shard = u64::from(self.me.0);
        let row = |it: protocol_turn::Summary<'_>| LentRow {
            id: shard << SHARD_SHIFT | it.allocation.number() & ALLOCATION_MASK,
            client: it.client.address,
            is_stream: it.client.transport == Transport::Stream,
            user: it.user.to_owned(),
            relayed: it.relayed,
            expires_s: it.expires.saturating_duration_since(now).as_secs(),
            permissions_count: it.permission_count as u64,
            channels_count: it.channel_count as u64,
            to_peer_packets: it.usage.to_peer_packets,
            to_peer_bytes: it.usage.to_peer_bytes,
            to_client_packets: it.usage.to_client_packets,
            to_client_bytes: it.usage.to_client_bytes,
        };
        relay.allocations(now).take(ROWS_MAX).map(row).collect()
    }

    /// Ends an allocation by its public id; false if it is none of ours.
    pub(crate) fn kill_allocation<I: Io>(
        &mut self,
        cx: &mut Context<'_, I, Message>,
        id: u64,
    ) -> bool {
        let shard = u64::from(self.me.0);
        let Some(relay) = &mut self.turn else { return false };
        let found = relay
            .allocations(cx.now())
            .map(|it| it.allocation)
            .find(|allocation| shard << SHARD_SHIFT | allocation.number() & ALLOCATION_MASK == id);
        found.is_some_and(|allocation: AllocationId| relay.kill(cx, allocation))
    }
}

/// A public id: the shard, then the allocation's name, 16 bits of its generation and its place.
const SHARD_SHIFT: u32 = 48;
const ALLOCATION_MASK: u64 = (1 << SHARD_SHIFT) - 1;

/// The most allocations of a shard in one list.
const ROWS_MAX: usize = 10_000;

/// The line of the access log: an allocation as a request that took as long as it lasted.
fn line_of(ended: &Ended, unix_seconds: u64) -> String {
    let release = &ended.release;
    let status = match release.end {
        End::Unbound => 508,
        End::Killed => 403,
        End::Expired | End::Returned | End::Closed => 200,
    };
    let relayed: Vec<String> =
        ended.relayed.iter().flatten().map(|address| format!("/{address}")).collect();
    let transport = match release.client.transport {
        Transport::Udp => "TURN/UDP",
        Transport::Stream => "TURN/TCP",
    };
    let usage = release.usage;
    let packets = format!(
        "{:?}; to peers {} packets {} bytes, to client {} packets",
        release.end, usage.to_peer_packets, usage.to_peer_bytes, usage.to_client_packets
    );
    access_line(&AccessLine {
        peer: release.client.address.ip(),
        user: Some(&release.user),
        unix_seconds,
        method: "ALLOCATE",
        path: &relayed.concat(),
        protocol: transport,
        status,
        bytes: usage.to_client_bytes,
        referer: None,
        agent: Some(&packets),
        duration_s: ended.lasted.as_secs(),
    })
}
