//! WebRTC in `/metrics` and in `/admin/rtc`.

use engine_node::ShardStats;
use engine_rtc::{Role, Row};

use super::metrics::{Kind, Page};
use super::xml::{BEGIN, END, push_element};

/// `/admin/rtc`.
pub(crate) fn sessions_xml(rows: &[Row]) -> String {
    let mut out = String::from(BEGIN);
    push_element("Sessions", &rows.len().to_string(), &mut out);
    for row in rows {
        out.push_str("<session>");
        push_element("ID", &row.session.to_string(), &mut out);
        push_element("Stream", &row.name, &mut out);
        push_element("Role", if row.role == Role::View { "viewer" } else { "publisher" }, &mut out);
        push_element("IP", &row.client.to_string(), &mut out);
        push_element("UserAgent", row.agent.as_deref().unwrap_or("-"), &mut out);
        push_element("IsConnected", if row.is_connected { "1" } else { "0" }, &mut out);
        let counters = &row.counters;
        let numbers = [
            ("Connected", row.age_s),
            ("Tracks", row.tracks_count),
            ("PacketsIn", counters.packets_in),
            ("BytesIn", counters.payload_bytes_in),
            ("PacketsOut", counters.packets_out),
            ("BytesOut", counters.payload_bytes_out),
            ("PacketsDropped", counters.packets_full),
            ("KeyframesWanted", counters.keyframes_wanted),
            ("IceRestarts", counters.ice_restarts),
        ];
        for (name, number) in numbers {
            push_element(name, &number.to_string(), &mut out);
        }
        out.push_str("</session>");
    }
    out + END
}

/// What of WebRTC is counted; nothing where it does not run.
pub(crate) fn rtc_families(shards: &[ShardStats], page: &mut Page) {
    let all: Vec<_> = shards.iter().filter_map(|shard| shard.rtc.as_deref()).collect();
    if all.is_empty() {
        return;
    }
    type Of = fn(&engine_rtc::Stats) -> u64;
    let families: [(&str, Kind, &str, Of); 34] = [
        ("publishers", Kind::Gauge, "Sessions that publish.", |s| s.publishers_count as u64),
        ("viewers", Kind::Gauge, "Sessions that watch.", |s| s.viewers_count as u64),
        ("tracks", Kind::Gauge, "Tracks of publishers.", |s| s.tracks_count as u64),
        ("streams", Kind::Gauge, "Streams that are published.", |s| s.streams_count as u64),
        ("connections", Kind::Gauge, "Connections of ICE-TCP.", |s| s.connections_count as u64),
        ("messages_in_total", Kind::Counter, "Publishers' messages passed on.", |s| s.messages_in),
        ("messages_out_total", Kind::Counter, "Messages handed to viewers.", |s| s.messages_out),
        ("messages_dropped_total", Kind::Counter, "Messages without room or addressee.", |s| {
            s.messages_dropped
        }),
        ("connections_refused_total", Kind::Counter, "Connections without room.", |s| {
            s.connections_refused
        }),
        ("sessions_total", Kind::Counter, "Sessions opened.", |s| s.sessions),
        ("sessions_refused_total", Kind::Counter, "Sessions without room.", |s| s.sessions_refused),
        ("sessions_moved_total", Kind::Counter, "Sessions moved to where packets land.", |s| {
            s.sessions_moved
        }),
        ("session_panics_total", Kind::Counter, "Sessions that broke.", |s| s.sum.panics),
        ("session_errors_total", Kind::Counter, "Errors of sessions.", |s| s.sum.errors),
        ("offers_refused_total", Kind::Counter, "Offers refused.", |s| s.offers_refused),
        ("ice_restarts_total", Kind::Counter, "Restarts of ICE.", |s| s.sum.ice_restarts),
        ("datagrams_in_total", Kind::Counter, "Datagrams of sessions.", |s| s.sum.datagrams_in),
        ("datagrams_out_total", Kind::Counter, "Datagrams sent.", |s| s.sum.datagrams_out),
        ("sends_total", Kind::Counter, "Sends that took them.", |s| s.sends),
        ("datagrams_handed_over_total", Kind::Counter, "Datagrams for other shards.", |s| {
            s.datagrams_handed_over
        }),
        ("datagrams_unknown_total", Kind::Counter, "Datagrams of nobody.", |s| s.datagrams_unknown),
        ("datagrams_dropped_total", Kind::Counter, "Datagrams a full queue dropped.", |s| {
            s.datagrams_dropped
        }),
        ("datagrams_refused_total", Kind::Counter, "Datagrams with a wrong password.", |s| {
            s.sum.datagrams_refused
        }),
        ("packets_in_total", Kind::Counter, "Packets of publishers.", |s| s.sum.packets_in),
        ("packets_in_bytes_total", Kind::Counter, "Their payload.", |s| s.sum.payload_bytes_in),
        ("packets_out_total", Kind::Counter, "Packets to viewers.", |s| s.sum.packets_out),
        ("packets_out_bytes_total", Kind::Counter, "Their payload.", |s| s.sum.payload_bytes_out),
        ("packets_dropped_total", Kind::Counter, "Packets too many for a viewer.", |s| {
            s.sum.packets_full
        }),
        ("packets_unsent_total", Kind::Counter, "Packets of no codec of a viewer's.", |s| {
            s.sum.packets_unsent
        }),
        ("batches_dropped_total", Kind::Counter, "Batches too many for a shard.", |s| {
            s.batches_dropped
        }),
        ("cache_bytes", Kind::Gauge, "Bytes kept since publishers' keyframes.", |s| {
            s.cache_bytes as u64
        }),
        ("caches_given_up_total", Kind::Counter, "Tracks that found no room to be kept.", |s| {
            s.caches_given_up
        }),
        ("keyframes_wanted_total", Kind::Counter, "PLI and FIR of viewers.", |s| {
            s.keyframes_wanted
        }),
        ("keyframes_requested_total", Kind::Counter, "PLI to publishers.", |s| {
            s.keyframes_requested
        }),
    ];
    for (name, kind, help, of) in families {
        let sum: u64 = all.iter().map(|stats| of(stats)).sum();
        page.one(&format!("rtc_{name}"), kind, help, sum);
    }
}
