//! The statistics as Icecast names them: one table of names and values for JSON, XML and pages.
//!
//! Names stand in byte order, as Icecast's do. A name is always one of ours: a source cannot make
//! an element or a key of its own.

use std::collections::BTreeMap;
use std::net::IpAddr;

use protocol_icy::StreamInfo;

use super::time::{iso8601, rfc2822};
use crate::view::{MountView, SourceView, View};

/// Statistics by name.
pub(super) type Facts = BTreeMap<&'static str, String>;

/// The statistics of the whole server.
pub(super) fn server_facts(view: &View) -> Facts {
    let counters = &view.counters;
    let clients: u64 = view.shards.iter().map(|shard| shard.clients_count).sum();
    let listeners: u64 = view.shards.iter().map(|shard| shard.listeners_count).sum();
    let sources = view.mounts.iter().filter(|mount| mount.source.is_some()).count();
    let by_sources = counters.source_connections.saturating_sub(counters.pull_connections);
    let by_clients = counters.connections.saturating_sub(by_sources);
    Facts::from([
        ("admin", view.admin_contact.clone()),
        ("client_connections", by_clients.to_string()),
        ("clients", clients.to_string()),
        ("connections", counters.connections.to_string()),
        ("file_connections", "0".to_owned()),
        ("host", view.hostname.clone()),
        ("listener_connections", counters.listener_connections.to_string()),
        ("listeners", listeners.to_string()),
        ("location", view.location.clone()),
        ("server_id", view.server_id.clone()),
        ("server_start", rfc2822(view.started)),
        ("server_start_iso8601", iso8601(view.started)),
        ("source_client_connections", by_sources.to_string()),
        ("source_relay_connections", counters.pull_connections.to_string()),
        ("source_total_connections", counters.source_connections.to_string()),
        ("sources", sources.to_string()),
        // Clients of Icecast's `STATS` method, which does not exist here.
        ("stats", "0".to_owned()),
        ("stats_connections", "0".to_owned()),
    ])
}

/// The server's statistics that anybody may see.
pub(super) const SERVER_PUBLIC: [&str; 6] =
    ["admin", "host", "location", "server_id", "server_start", "server_start_iso8601"];

/// The mounts that Icecast would have statistics of, in the order of their names: those that run,
/// and those that would as soon as somebody listened. `only` picks one.
pub(super) fn listed<'v>(
    view: &'v View,
    only: Option<&'v str>,
) -> impl Iterator<Item = &'v MountView> {
    view.mounts
        .iter()
        .filter(|mount| mount.source.is_some() || mount.on_demand)
        .filter(move |mount| only.is_none_or(|only| mount.name == only))
}

/// The statistics of one mount.
pub(super) fn mount_facts(view: &View, mount: &MountView) -> Facts {
    let listeners_max =
        mount.listeners_max.map_or_else(|| "unlimited".to_owned(), |max| max.to_string());
    let mut facts = Facts::from([
        ("listener_peak", mount.listeners_peak.to_string()),
        ("listeners", mount.listeners_count.to_string()),
        ("listenurl", listen_url(view, &mount.name)),
        ("max_listeners", listeners_max),
        ("slow_listeners", "0".to_owned()),
    ]);
    if mount.on_demand {
        facts.insert("on_demand", "1".to_owned());
    }
    if let Some(source) = &mount.source {
        source_facts(source, &mut facts);
    }
    facts
}

/// The statistics of a mount that only the operator may see.
pub(super) const MOUNT_PRIVATE: [&str; 7] = [
    "max_listeners",
    "public",
    "slow_listeners",
    "source_ip",
    "total_bytes_read",
    "total_bytes_sent",
    "user_agent",
];

/// Where a mount is heard.
pub(super) fn listen_url(view: &View, mount: &str) -> String {
    protocol_icy::listen_url(&base_url(&view.hostname, view.port), mount)
}

/// The server's URL. An IPv6 address stands in brackets (RFC 3986 §3.2.2).
pub(super) fn base_url(host: &str, port: u16) -> String {
    let is_bare_v6 = host.contains(':') && !host.starts_with('[');
    if is_bare_v6 { format!("http://[{host}]:{port}") } else { format!("http://{host}:{port}") }
}

/// An address without the prefix that IPv4 has on a socket for both.
pub(super) fn plain_address(address: IpAddr) -> String {
    address.to_canonical().to_string()
}

fn source_facts(source: &SourceView, facts: &mut Facts) {
    let info = &source.info;
    let or =
        |value: &Option<String>, default: &str| value.clone().unwrap_or_else(|| default.to_owned());
    audio_facts(source, facts);
    audio_info_facts(info, facts);
    facts.insert("genre", or(&info.genre, "various"));
    facts.insert("public", u8::from(info.public.unwrap_or(false)).to_string());
    facts.insert("server_description", or(&info.description, "Unspecified description"));
    facts.insert("server_name", or(&info.name, "Unspecified name"));
    facts.insert("server_type", source.content_type.clone());
    facts.insert("slow_listeners", source.slow_listeners.to_string());
    facts.insert("source_ip", plain_address(source.peer.ip()));
    facts.insert("stream_start", rfc2822(source.started));
    facts.insert("stream_start_iso8601", iso8601(source.started));
    facts.insert("total_bytes_read", source.bytes_read.to_string());
    facts.insert("total_bytes_sent", source.bytes_sent.to_string());
    let optional = [
        ("bitrate", info.bitrate.as_ref()),
        ("server_url", info.url.as_ref()),
        ("user_agent", source.agent.as_ref()),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            facts.insert(name, value.clone());
        }
    }
    if let Some(title) = source.title.as_ref().filter(|title| !title.text().is_empty()) {
        facts.insert("title", title.text().to_owned());
    }
}

/// What the frames say. Icecast looks into Ogg only, and programs know streams by that.
fn audio_facts(source: &SourceView, facts: &mut Facts) {
    let Some((codec, sample_rate_hz, channels_count, bitrate_kbps)) = &source.audio else { return };
    if !is_ogg(&source.content_type) {
        return;
    }
    facts.insert("subtype", codec.clone());
    facts.insert("audio_samplerate", sample_rate_hz.to_string());
    facts.insert("audio_channels", channels_count.to_string());
    if *bitrate_kbps > 0 {
        facts.insert("audio_bitrate", (u64::from(*bitrate_kbps) * 1000).to_string());
        facts.insert("ice-bitrate", bitrate_kbps.to_string());
    }
}

/// The pairs of `ice-audio-info`, as far as they are known ones.
fn audio_info_facts(info: &StreamInfo, facts: &mut Facts) {
    for known in AUDIO_INFO_NAMES {
        if let Some((_, value)) = info.audio_info.iter().find(|(name, _)| name == known) {
            facts.insert(known, value.clone());
        }
    }
    let line = info.audio_info_line();
    if !line.is_empty() {
        facts.insert("audio_info", line);
    }
}

const AUDIO_INFO_NAMES: [&str; 7] = [
    "bitrate",
    "channels",
    "ice-bitrate",
    "ice-channels",
    "ice-samplerate",
    "quality",
    "samplerate",
];

fn is_ogg(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    ["application/ogg", "audio/ogg", "video/ogg", "application/x-ogg"]
        .iter()
        .any(|ogg| essence.eq_ignore_ascii_case(ogg))
}
