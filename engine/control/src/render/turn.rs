//! TURN in `/metrics` and in `/admin/turn`.

use engine_node::{LentRow, ShardStats};
use protocol_turn::DropCause;

use super::metrics::{Kind, Page};
use super::xml::{BEGIN, END, push_element};

/// Upper bounds of the packet histogram's buckets, microseconds.
const PACKET_BOUNDS_US: [u64; 13] =
    [5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 100_000, 1_000_000];

/// `/admin/turn`.
pub(crate) fn allocations_xml(rows: &[LentRow]) -> String {
    let mut out = String::from(BEGIN);
    push_element("Allocations", &rows.len().to_string(), &mut out);
    for row in rows {
        out.push_str("<allocation>");
        push_element("ID", &row.id.to_string(), &mut out);
        push_element("Client", &row.client.to_string(), &mut out);
        push_element("Transport", if row.is_stream { "TCP" } else { "UDP" }, &mut out);
        push_element("User", &row.user, &mut out);
        for address in row.relayed.iter().flatten() {
            push_element("Relayed", &address.to_string(), &mut out);
        }
        let numbers = [
            ("Expires", row.expires_s),
            ("Permissions", row.permissions_count),
            ("Channels", row.channels_count),
            ("ToPeerPackets", row.to_peer_packets),
            ("ToPeerBytes", row.to_peer_bytes),
            ("ToClientPackets", row.to_client_packets),
            ("ToClientBytes", row.to_client_bytes),
        ];
        for (name, number) in numbers {
            push_element(name, &number.to_string(), &mut out);
        }
        out.push_str("</allocation>");
    }
    out + END
}

/// What of TURN is counted; nothing where it does not run.
pub(crate) fn turn_families(shards: &[ShardStats], page: &mut Page) {
    let all: Vec<_> = shards.iter().filter_map(|shard| shard.turn.as_deref()).collect();
    if all.is_empty() {
        return;
    }
    type Of = fn(&engine_relay::Stats) -> u64;
    let families: [(&str, Kind, &str, Of); 20] = [
        ("allocations", Kind::Gauge, "Allocations now.", |s| s.allocation_count as u64),
        ("permissions", Kind::Gauge, "Permissions held.", |s| s.permission_count as u64),
        ("channels", Kind::Gauge, "Channels held.", |s| s.channel_count as u64),
        ("peer_connections", Kind::Gauge, "TCP connections with peers now.", |s| {
            s.connection_count as u64
        }),
        ("streams", Kind::Gauge, "Clients' streams now.", |s| s.stream_count as u64),
        ("allocations_total", Kind::Counter, "Allocations made.", |s| s.counters.allocations),
        ("successes_total", Kind::Counter, "Requests done.", |s| s.counters.successes),
        ("errors_total", Kind::Counter, "Requests refused.", |s| s.counters.errors),
        ("challenges_total", Kind::Counter, "Requests for credentials.", |s| s.counters.challenges),
        ("auth_failures_total", Kind::Counter, "Wrong names or passwords.", |s| {
            s.counters.failed_proofs
        }),
        ("to_peer_packets_total", Kind::Counter, "Packets to peers.", |s| {
            s.counters.usage.to_peer_packets
        }),
        ("to_peer_bytes_total", Kind::Counter, "Payload to peers.", |s| {
            s.counters.usage.to_peer_bytes
        }),
        ("to_client_packets_total", Kind::Counter, "Packets to clients.", |s| {
            s.counters.usage.to_client_packets
        }),
        ("to_client_bytes_total", Kind::Counter, "Payload to clients.", |s| {
            s.counters.usage.to_client_bytes
        }),
        ("stream_drops_total", Kind::Counter, "Packets that streams were too slow for.", |s| {
            s.stream_drops
        }),
        ("streams_refused_total", Kind::Counter, "Streams that found no room.", |s| {
            s.streams_refused
        }),
        ("streams_lost_total", Kind::Counter, "Streams that took no answers.", |s| {
            s.streams_closed
        }),
        ("tls_handshakes_delayed_total", Kind::Counter, "Handshakes that waited.", |s| {
            s.handshakes_delayed
        }),
        ("tls_failures_total", Kind::Counter, "TLS sessions that failed.", |s| s.tls_failures),
        ("send_failures_total", Kind::Counter, "Datagrams that were not sent.", |s| {
            s.send_failures
        }),
    ];
    for (name, kind, help, of) in families {
        let sum: u64 = all.iter().map(|stats| of(stats)).sum();
        page.one(&format!("turn_{name}"), kind, help, sum);
    }
    page.family("turn_dropped_total", Kind::Counter, "Packets dropped without an answer.");
    for cause in DropCause::ALL {
        let sum: u64 = all.iter().map(|stats| stats.counters.dropped(cause)).sum();
        page.sample("turn_dropped_total", &[("cause", name_of(cause))], sum);
    }
    packet_family(&all, page);
}

/// Time in the server of each packet, of all shards together.
fn packet_family(all: &[&engine_relay::Stats], page: &mut Page) {
    let name = "turn_packet_us";
    page.family(name, Kind::Histogram, "Time of a packet in the server, microseconds.");
    let mut counts = [0_u64; PACKET_BOUNDS_US.len()];
    let (mut count, mut sum) = (0, 0);
    for stats in all {
        for recorded in stats.packet_us.iter_recorded() {
            let (value, packets) =
                (recorded.value_iterated_to(), recorded.count_since_last_iteration());
            if let Some(bucket) = PACKET_BOUNDS_US.iter().position(|bound| value <= *bound) {
                counts[bucket] += packets;
            }
            count += packets;
            sum += value * packets;
        }
    }
    let mut below = 0;
    for (bound, packets) in PACKET_BOUNDS_US.iter().zip(counts) {
        below += packets;
        page.sample("turn_packet_us_bucket", &[("le", &bound.to_string())], below);
    }
    page.sample("turn_packet_us_bucket", &[("le", "+Inf")], count);
    page.sample("turn_packet_us_sum", &[], sum);
    page.sample("turn_packet_us_count", &[], count);
}

fn name_of(cause: DropCause) -> &'static str {
    match cause {
        DropCause::Malformed => "malformed",
        DropCause::Unexpected => "unexpected",
        DropCause::Unproven => "unproven",
        DropCause::NoAllocation => "no_allocation",
        DropCause::NoChannel => "no_channel",
        DropCause::NoPermission => "no_permission",
        DropCause::Forbidden => "forbidden",
        DropCause::Bandwidth => "bandwidth",
        DropCause::Repeated => "repeated",
    }
}
