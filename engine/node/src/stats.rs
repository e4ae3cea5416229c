//! A shard's counters: plain `u64` fields that nobody else writes, copied to control each second.

use hdrhistogram::Histogram;
use shards_runtime::IoCounters;

use crate::snapshot::{MountId, SessionId};

macro_rules! counters {
    ($(#[doc = $doc:literal] $name:ident),* $(,)?) => {
        /// Counters of one shard since its start.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Counters { $(#[doc = $doc] pub $name: u64,)* }

        impl Counters {
            /// Every counter with its name and its meaning, for `/metrics`.
            #[must_use]
            pub fn fields(&self) -> Vec<(&'static str, &'static str, u64)> {
                vec![$((stringify!($name), $doc.trim_ascii(), self.$name)),*]
            }

            /// Adds another shard's.
            pub fn add(&mut self, other: &Counters) {
                $(self.$name += other.$name;)*
            }
        }
    };
}

counters! {
    /// Connections accepted.
    connections,
    /// Connections that could not be accepted.
    accepts_failed,
    /// Connections closed at once because the server was full.
    connections_refused,
    /// Listeners that got a stream.
    listener_connections,
    /// Listeners dropped because they fell behind the window.
    slow_listeners,
    /// Listeners ended by their mount's longest duration.
    listeners_expired,
    /// Sources that got a mount.
    source_connections,
    /// Pulls that became a source.
    pull_connections,
    /// Sources ended because no byte came in time.
    sources_timed_out,
    /// Requests forwarded to control.
    forwarded_requests,
    /// Requests refused for their form.
    refused_requests,
    /// Connections refused because their address had as many as it may.
    address_connections_refused,
    /// Requests refused because their address had made as many as it may.
    address_requests_refused,
    /// Requests on connections that were kept for them.
    kept_requests,
    /// TLS handshakes finished.
    tls_handshakes,
    /// TLS handshakes that waited for their turn.
    tls_handshakes_delayed,
    /// TLS connections that failed, in the handshake or after.
    tls_failures,
    /// Browsers sent to https.
    https_redirects,
    /// Events of streams that were told.
    events_told,
    /// Events that were left out because workers told too many at once.
    events_dropped,
    /// Events sent to subscribers of `/api/events`.
    event_frames_sent,
    /// Events that had left the window before a subscriber had taken them.
    events_missed,
    /// Subscribers refused because there were too many.
    event_subscribers_refused,
    /// Requests refused for their credentials.
    unauthorised_requests,
    /// Connections ended because a head that had begun did not come in time.
    slow_heads,
    /// Connections ended because a body did not come in time.
    slow_bodies,
    /// Connections ended because an answer was not taken in time.
    slow_readers,
    /// Connections ended because nothing was asked in time.
    idle_closed,
    /// Connections ended because control did not answer in time.
    ask_timeouts,
    /// Bytes received from sources.
    source_bytes,
    /// Bytes sent to listeners, response heads included.
    listener_bytes,
    /// Sends submitted for listeners.
    listener_sends,
    /// Chunks published by mounts of this shard.
    chunks_published,
    /// Chunks that found a subscriber's queue full and waited.
    publish_waits,
    /// Gaps in a subscribed feed: this shard was behind the owner's window.
    feed_gaps,
    /// Feeds that this shard had no room for: sessions came and went too fast.
    feeds_refused,
    /// Bytes that framing threw away between frames.
    framing_bytes_dropped,
    /// Times that framing lost and found its place.
    framing_resyncs,
    /// Titles put into streams.
    titles,
    /// WebSockets opened.
    websocket_connections,
    /// Requests for a WebSocket that were refused: for their form, their origin, or while stopping.
    websockets_refused,
    /// Messages sent to WebSockets.
    websocket_messages_sent,
    /// WebSockets ended because too much waited for them.
    websockets_slow,
    /// WebSockets ended because nobody answered a ping.
    websockets_silent,
    /// WebSockets ended because what came could not be understood, or was beyond a limit.
    websockets_malformed,
    /// WebSockets ended because this shard had too much to tell the others.
    websockets_overloaded,
    /// Calls that the server's own peer took.
    calls,
    /// Calls of viewers that waited because nobody published their stream.
    calls_waited,
    /// Of these, given up: nobody came in time, or there was no room.
    calls_given_up,
    /// Packets of Opus that were too long for streams that play a mount.
    opus_packets_too_long,
    /// Requests answered from a file, of a directory or a recording.
    files_sent,
    /// Requests for files refused because too many were read at once.
    files_refused,
    /// Answers cut off because their file was changed meanwhile, or could not be read.
    files_broken,
    /// Files found in the shard's cache.
    file_cache_hits,
    /// Bytes read from files.
    file_bytes_read,
    /// Access-log lines lost because their queue was full.
    log_lines_dropped,
}

/// What a shard tells control each second.
#[derive(Clone, Debug)]
pub struct ShardStats {
    /// Counters since the start.
    pub counters: Counters,
    /// Tick lengths since the start, microseconds.
    pub tick_us: Histogram<u32>,
    /// Ticks since the start.
    pub ticks_count: u64,
    /// Time not slept since the start, microseconds.
    pub busy_us: u64,
    /// The machine's counters.
    pub io: IoCounters,
    /// Connections of any kind now.
    pub clients_count: u64,
    /// Listeners now.
    pub listeners_count: u64,
    /// Sources now.
    pub sources_count: u64,
    /// Bytes held by windows of this shard.
    pub window_bytes: u64,
    /// What this shard does for each session it knows.
    pub sessions: Vec<SessionStats>,
    /// What TURN counted and holds, where it runs.
    pub turn: Option<Box<engine_relay::Stats>>,
    /// What signalling counted and holds, where it runs.
    pub symple: Option<Box<SympleStats>>,
    /// What WebRTC counted and holds, where it runs.
    pub rtc: Option<Box<engine_rtc::Stats>>,
    /// Each mount that has had listeners at home here since the last report, by mount number.
    pub homes: Vec<HomeStats>,
}

/// Signalling on one shard.
#[derive(Clone, Copy, Debug)]
pub struct SympleStats {
    /// What the server of sessions and rooms counted.
    pub counters: protocol_symple::Counters,
    /// Compression's contexts.
    pub contexts: protocol_ws::ContextCounters,
    /// WebSockets now.
    pub websockets_count: u64,
}

/// One shard's listeners at home on one mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HomeStats {
    /// Which mount.
    pub mount: MountId,
    /// How many they are.
    pub listeners_count: u64,
    /// The most that they were at one moment since the last report.
    pub listeners_peak: u64,
}

/// One shard's part of one session.
#[derive(Clone, Copy, Debug)]
pub struct SessionStats {
    /// Which.
    pub session: SessionId,
    /// Listeners that hear it here.
    pub listeners_count: u64,
    /// Bytes sent to them since the session began.
    pub bytes_sent: u64,
    /// Of them, how many were dropped for being slow.
    pub slow_listeners: u64,
    /// Bytes received from its source; 0 where the source is not here.
    pub bytes_read: u64,
}
