//! The policy that control pushes to every shard: settings and the mount directory.
//!
//! A snapshot never changes; a new one replaces it between ticks. It is level-triggered: shards act
//! on what it says, not on how it differs from the last one.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine_config::{Config, Mount};
use media_framing::Format;
use protocol_icy::StreamInfo;
use shards_runtime::ShardId;

/// A mount's number, for as long as the process lives.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub struct MountId(pub u32);

/// One source's time on a mount; never used twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub struct SessionId(pub u32);

/// Settings and directory, immutable.
#[derive(Debug)]
pub struct Snapshot {
    /// Counts up by one with each snapshot.
    pub version: u64,
    /// The configuration in force. `mounts` in it are the configured ones only.
    pub config: Arc<Config>,
    /// Every mount that is configured or has, or had, a session; by name.
    pub mounts: BTreeMap<Arc<str>, Arc<MountEntry>>,
    /// Clients on all shards as of the last second.
    pub clients_count: u64,
    /// How TLS is spoken by connections that begin now; `None`: not at all.
    pub tls: Option<Arc<protocol_tls::ServerConfig>>,
}

/// What the directory says of one mount.
#[derive(Clone, Debug)]
pub struct MountEntry {
    /// Its number.
    pub id: MountId,
    /// Its path, `/live.mp3`.
    pub name: Arc<str>,
    /// Its settings: configured, or the defaults.
    pub settings: Arc<Mount>,
    /// The source that feeds it now.
    pub up: Option<Session>,
    /// What listeners at home here hear: its own session, or that of the first running fallback.
    pub route: Option<Session>,
    /// Whether a listener may wait here for a pull to start.
    pub on_demand: bool,
}

/// A running session, as every shard must know it.
#[derive(Clone, Debug)]
pub struct Session {
    /// Its number.
    pub id: SessionId,
    /// The mount it feeds.
    pub mount: MountId,
    /// The shard its source is connected to.
    pub owner: ShardId,
    /// What its listeners are told in their response head.
    pub stream: Arc<Stream>,
}

/// The facts of a stream that do not change while its session lasts.
#[derive(Clone, Debug)]
pub struct Stream {
    /// Content type told to listeners.
    pub content_type: String,
    /// How it is framed.
    pub format: Format,
    /// Names, genre, what is echoed to listeners.
    pub info: StreamInfo,
    /// Audio bytes between title blocks; `None` where titles are not interleaved.
    pub metaint: Option<usize>,
}

impl Snapshot {
    /// Finds a mount by path.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Arc<MountEntry>> {
        self.mounts.get(name)
    }

    /// Finds a mount by number.
    #[must_use]
    pub fn mount(&self, id: MountId) -> Option<&Arc<MountEntry>> {
        self.mounts.values().find(|entry| entry.id == id)
    }
}
