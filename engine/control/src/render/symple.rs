//! Signalling in `/metrics` and in `/api/peers`.

use engine_node::{PeerRow, RoomRow, ShardStats, SympleStats};
use serde_json::json;

use super::metrics::{Kind, Page};

/// `/api/peers`.
pub(crate) fn peers_json(peers: &[PeerRow], rooms: &[RoomRow]) -> String {
    let peers: Vec<_> = peers
        .iter()
        .map(|row| {
            json!({
                "address": row.address,
                "name": row.name,
                "rooms": row.rooms,
                "peer": row.peer.to_string(),
                "connected_s": row.connected_s,
            })
        })
        .collect();
    let rooms: Vec<_> =
        rooms.iter().map(|row| json!({"name": row.name, "members": row.members_count})).collect();
    format!("{}\n", json!({"status": "ok", "peers": peers, "rooms": rooms}))
}

/// What of signalling is counted; nothing where it does not run.
pub(crate) fn symple_families(shards: &[ShardStats], page: &mut Page) {
    let all: Vec<_> = shards.iter().filter_map(|shard| shard.symple.as_deref()).collect();
    if all.is_empty() {
        return;
    }
    type Of = fn(&SympleStats) -> u64;
    let families: [(&str, Kind, &str, Of); 14] = [
        ("websockets", Kind::Gauge, "WebSockets now.", |s| s.websockets_count),
        ("sessions", Kind::Gauge, "Sessions now, authenticated or not.", |s| {
            s.counters.sessions as u64
        }),
        ("rooms", Kind::Gauge, "Rooms now.", |s| s.counters.rooms as u64),
        ("messages_received_total", Kind::Counter, "Messages received.", |s| {
            s.counters.messages_received
        }),
        ("messages_delivered_total", Kind::Counter, "Messages handed to sessions.", |s| {
            s.counters.messages_delivered
        }),
        ("messages_unreadable_total", Kind::Counter, "Messages that are no JSON objects.", |s| {
            s.counters.messages_unreadable
        }),
        ("messages_unroutable_total", Kind::Counter, "Messages to nobody.", |s| {
            s.counters.messages_unroutable
        }),
        ("messages_not_shared_total", Kind::Counter, "Messages to who shares no room.", |s| {
            s.counters.messages_not_shared
        }),
        ("refused_at_capacity_total", Kind::Counter, "Sessions refused: no room.", |s| {
            s.counters.refused_at_capacity
        }),
        ("refused_auth_total", Kind::Counter, "Sessions refused: not authenticated.", |s| {
            s.counters.refused_auth
        }),
        ("closed_auth_timeout_total", Kind::Counter, "Sessions that said not who they are.", |s| {
            s.counters.closed_auth_timeout
        }),
        ("closed_too_large_total", Kind::Counter, "Sessions closed: a message too large.", |s| {
            s.counters.closed_too_large
        }),
        ("closed_too_many_total", Kind::Counter, "Sessions closed: too many messages.", |s| {
            s.counters.closed_too_many
        }),
        ("contexts_refused_total", Kind::Counter, "Times that no room to inflate was left.", |s| {
            s.contexts.inflating_refused
        }),
    ];
    for (name, kind, help, of) in families {
        let sum: u64 = all.iter().map(|stats| of(stats)).sum();
        page.one(&format!("symple_{name}"), kind, help, sum);
    }
}
