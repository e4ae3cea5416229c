//! What statistics and pages are rendered from: a plain picture of the server at one moment.
//!
//! Control fills it in from its tables; the renderers beside it are pure functions of it.

use std::net::SocketAddr;
use std::time::Duration;

use engine_node::{Counters, ShardStats};
use protocol_icy::{StreamInfo, Title};

/// The server at one moment.
#[derive(Clone, Debug)]
pub struct View {
    /// `Server` header and `server_id`.
    pub server_id: String,
    /// Name under which listeners reach it.
    pub hostname: String,
    /// Port of the first acceptor, for listen URLs.
    pub port: u16,
    /// Where it is, for people.
    pub location: String,
    /// Whom to ask.
    pub admin_contact: String,
    /// Unix time of the start.
    pub started: Duration,
    /// Unix time now.
    pub now: Duration,
    /// Header lines for every answer that a script may read.
    pub extra_headers: Vec<(String, String)>,
    /// All shards' counters, added up.
    pub counters: Counters,
    /// Each shard's last report.
    pub shards: Vec<ShardStats>,
    /// Counters of the control plane itself.
    pub control: ControlCounters,
    /// The mounts, by name; hidden ones too.
    pub mounts: Vec<MountView>,
}

/// Counters of the control plane since its start.
#[derive(Clone, Copy, Debug, Default)]
pub struct ControlCounters {
    /// Requests to `/admin/`, the statistics and the pages.
    pub requests: u64,
    /// Of them, requests for statistics.
    pub stats_requests: u64,
    /// Claims refused because the mount had a source.
    pub mounts_in_use: u64,
    /// Pull attempts.
    pub pull_attempts: u64,
    /// Pull attempts that failed.
    pub pull_failures: u64,
    /// Configuration reloads.
    pub reloads: u64,
    /// Snapshots pushed to the shards.
    pub snapshots: u64,
    /// Access-log lines written, and lost on the way to the disk.
    pub log_lines_written: u64,
    /// See above.
    pub log_lines_lost: u64,
    /// What the keeper counted: the log of events, webhooks.
    pub events: engine_events::EventCounters,
    /// Recordings, clips and snapshots, in this order.
    pub kept: [Kept; 3],
}

/// What is kept of one kind, and what became of it since the start.
#[derive(Clone, Copy, Debug, Default)]
pub struct Kept {
    /// What is listed now.
    pub totals: engine_events::Totals,
    /// Ended, in order or not.
    pub ended: u64,
    /// Removed, as too old or too many, or by hand.
    pub removed: u64,
}

/// One mount at one moment.
#[derive(Clone, Debug)]
pub struct MountView {
    /// Its path.
    pub name: String,
    /// Left out of public statistics.
    pub hidden: bool,
    /// Its fallback in force.
    pub fallback: Option<String>,
    /// Most listeners, if limited.
    pub listeners_max: Option<u32>,
    /// Whether it is pulled when somebody listens.
    pub on_demand: bool,
    /// Listeners at home here now.
    pub listeners_count: u64,
    /// Most listeners at one moment of the session.
    pub listeners_peak: u64,
    /// Its source, if it has one.
    pub source: Option<SourceView>,
}

/// A running source at one moment.
#[derive(Clone, Debug)]
pub struct SourceView {
    /// Content type.
    pub content_type: String,
    /// What its headers said, the mount's overrides applied.
    pub info: StreamInfo,
    /// Its current title.
    pub title: Option<Title>,
    /// What its frames show: codec, samples a second, channels, kbit/s (0 unknown).
    pub audio: Option<(String, u32, u16, u32)>,
    /// Its address.
    pub peer: SocketAddr,
    /// Its agent.
    pub agent: Option<String>,
    /// Whether it is a pull.
    pub is_pull: bool,
    /// Unix time of its start.
    pub started: Duration,
    /// Bytes received from it.
    pub bytes_read: u64,
    /// Bytes sent to its listeners.
    pub bytes_sent: u64,
    /// Listeners dropped for being slow.
    pub slow_listeners: u64,
}
