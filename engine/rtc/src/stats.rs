//! What is counted, and what is written down of a session at its end.

use std::net::IpAddr;
use std::time::Duration;

use media_rtc::{CloseCause, Counters, Role};

use crate::directory::Name;
use crate::ids::SessionId;

/// Why a session ended, as far as it was not the connection's own doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// By a request of its own client.
    Deleted,
    /// By an operator.
    Killed,
    /// Another publisher has its stream.
    Replaced,
    /// Nobody published what it waited for.
    Unfed,
    /// The server is stopping.
    Drained,
    /// It was never granted what it asked for.
    Refused,
}

/// Counters of one shard, since its start, and what it holds now.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// Streams that are published or watched here, the first by name where they are many.
    pub streams: Vec<StreamRow>,
    /// Sessions that publish.
    pub publishers_count: usize,
    /// Sessions that watch.
    pub viewers_count: usize,
    /// Tracks of publishers here.
    pub tracks_count: usize,
    /// Streams at home here that somebody publishes.
    pub streams_count: usize,
    /// Streams at home here that somebody publishes or watches.
    pub streams_known_count: usize,
    /// Sessions that were opened.
    pub sessions: u64,
    /// Offers that were refused, malformed or otherwise.
    pub offers_refused: u64,
    /// Sessions that there was no room for.
    pub sessions_refused: u64,
    /// Sessions that came from other shards, where their packets did not land.
    pub sessions_moved: u64,
    /// Datagrams of sessions elsewhere, handed over.
    pub datagrams_handed_over: u64,
    /// Datagrams that were nobody's.
    pub datagrams_unknown: u64,
    /// Datagrams that a full queue to another shard or a full socket has dropped.
    pub datagrams_dropped: u64,
    /// Sends that the machine was asked for; each takes one datagram or several.
    pub sends: u64,
    /// Batches of packets that a slow shard of viewers has not got.
    pub batches_dropped: u64,
    /// Bytes that are kept since publishers' keyframes.
    pub cache_bytes: usize,
    /// Tracks that there was no room for to keep them.
    pub caches_given_up: u64,
    /// Keyframes that viewers asked for.
    pub keyframes_wanted: u64,
    /// Keyframes that publishers were asked for.
    pub keyframes_requested: u64,
    /// Messages of publishers on data channels that were passed on.
    pub messages_in: u64,
    /// Messages handed to viewers.
    pub messages_out: u64,
    /// Messages dropped: too much at once, of a viewer, or with no room on the way.
    pub messages_dropped: u64,
    /// Connections of ICE-TCP.
    pub connections_count: usize,
    /// Connections that there was no room for.
    pub connections_refused: u64,
    /// Sums over sessions, those that are over included.
    pub sum: Counters,
}

/// A session that ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Which.
    pub session: SessionId,
    /// Publisher or viewer.
    pub role: Role,
    /// Of what.
    pub name: Name,
    /// Who asked for it.
    pub client: IpAddr,
    /// With which agent.
    pub agent: Option<String>,
    /// Why: ours, or the connection's.
    pub cause: Result<End, CloseCause>,
    /// How long it was.
    pub lasted: Duration,
    /// What it counted.
    pub counters: Counters,
}

/// What a shard has of a stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StreamRow {
    /// Its name.
    pub name: Name,
    /// Whether its publisher is here, and its packets flow.
    pub is_published: bool,
    /// The publisher's tracks.
    pub tracks_count: usize,
    /// Who watches it here.
    pub viewers_count: usize,
}

/// A session in a list.
#[derive(Clone, Debug)]
pub struct Row {
    /// Which.
    pub session: SessionId,
    /// Publisher or viewer.
    pub role: Role,
    /// Of what.
    pub name: Name,
    /// Who asked for it.
    pub client: IpAddr,
    /// With which agent.
    pub agent: Option<String>,
    /// Whether its far end is reached.
    pub is_connected: bool,
    /// Since when it is there, in seconds.
    pub age_s: u64,
    /// Its tracks.
    pub tracks_count: u64,
    /// What it counted.
    pub counters: Counters,
}
