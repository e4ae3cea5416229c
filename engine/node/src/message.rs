//! What crosses cores: shard to shard, shard to control, control to shards.
//!
//! * *Data* messages ([`Message::Publish`], [`Message::Prelude`]) may find a full queue; the
//!   subscriber's cursor at the owner stays where it is and the next tick tries again.
//! * Everything else is a *control* message and is sent surely: what may be outstanding bounds it.
//! * A message never waits for another one, so there is nothing to deadlock.
//!
//! Policy is pushed and level-triggered: the [`Snapshot`] says for each mount which session its
//! listeners hear, and a shard compares that with what it is doing. No event can be missed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use media_mount::Chunk;
use protocol_icy::{StreamInfo, Title};
use shards_runtime::Token;

use crate::snapshot::{MountId, SessionId, Snapshot};
use crate::stats::ShardStats;

/// One message of the mesh; at most 64 bytes.
#[derive(Debug)]
pub enum Message {
    // Shard to shard.
    /// I have listeners of this session: let me have its chunks, from the burst on.
    Subscribe(SessionId),
    /// I have none any more.
    Unsubscribe(SessionId),
    /// The next chunk of a session.
    Publish {
        /// Of which session.
        session: SessionId,
        /// The bytes.
        chunk: Chunk,
    },
    /// What a decoder needs before a sync point at or after `from_offset`.
    Prelude {
        /// Of which session.
        session: SessionId,
        /// First offset it is in force for.
        from_offset: u64,
        /// The headers.
        prelude: Bytes,
    },
    /// The title block in force from about now on.
    Title {
        /// Of which session.
        session: SessionId,
        /// The whole block, length byte included.
        block: Bytes,
        /// Where the session stands; what comes before that is its past.
        head: u64,
    },
    /// The session is over; nothing follows.
    FeedEnd(SessionId),
    /// A letter of signalling; its contents are `protocol-symple`'s.
    Symple(Box<protocol_symple::Mail>),

    /// A stream that is at home at the sender is live, or over.
    StreamIs {
        /// Its name.
        name: engine_rtc::Name,
        /// Whether somebody publishes it.
        is_live: bool,
    },

    /// About WebRTC.
    Rtc(engine_rtc::Letter),

    /// Users of TURN have more or fewer allocations on this shard than it said before.
    TurnUsers(Arc<[protocol_turn::UserChange]>),

    // Shard to control.
    /// A connection needs an answer that only control has.
    Ask {
        /// The connection; its slot is parked under a deadline.
        ask: Token,
        /// What it needs.
        question: Box<Question>,
    },
    /// The source of a session is gone; its mount is free.
    SourceEnded {
        /// Which session.
        session: SessionId,
        /// Why, for the log and the pull's back-off.
        cause: EndCause,
    },
    /// A session's stream said something about itself (a title in the stream, what the frames
    /// show).
    StreamNews {
        /// Which session.
        session: SessionId,
        /// What it said.
        news: Box<StreamNews>,
    },
    /// A listener that was admitted by [`Question::Admit`] has left.
    Left(MountId),
    /// A pull did not become a source.
    PullFailed {
        /// The mount it was for.
        mount: MountId,
        /// The order's number.
        order: u32,
        /// Why.
        failure: Box<PullFailure>,
    },
    /// The shard's counters, each second.
    Stats(Box<ShardStats>),
    /// The answer to [`Message::ListListeners`].
    Listeners {
        /// The request's number.
        request: u32,
        /// This shard's listeners of the mount.
        listeners: Box<Vec<ListenerRow>>,
    },
    /// The answer to [`Message::KillListener`].
    KillResult {
        /// The request's number.
        request: u32,
        /// Whether this shard had that listener.
        found: bool,
    },
    /// The answer to [`Message::ListAllocations`].
    Allocations {
        /// The request's number.
        request: u32,
        /// This shard's allocations.
        rows: Box<Vec<LentRow>>,
    },
    /// The answer to [`Message::KillAllocation`].
    AllocationKilled {
        /// The request's number.
        request: u32,
        /// Whether this shard had it.
        found: bool,
    },
    /// The answer to [`Message::ListPeers`].
    Peers {
        /// The request's number.
        request: u32,
        /// This shard's sessions of signalling, and the rooms that live on it.
        rows: Box<(Vec<PeerRow>, Vec<RoomRow>)>,
    },
    /// The answer to [`Message::ListSessions`].
    Sessions {
        /// The request's number.
        request: u32,
        /// This shard's sessions.
        rows: Box<Vec<engine_rtc::Row>>,
    },
    /// The answer to [`Message::KillSession`].
    SessionKilled {
        /// The request's number.
        request: u32,
        /// Whether this shard had it.
        found: bool,
    },
    /// Something happened to a stream whose worker this shard has.
    Happened(Box<engine_events::Told>),
    /// This shard has closed everything after [`Message::Drain`].
    Drained,

    // Control to shards.
    /// Something happened, numbered and encoded once.
    Event(Arc<engine_events::Happening>),
    /// The new policy and directory.
    Snapshot(Arc<Snapshot>),
    /// The answer to an [`Message::Ask`].
    Verdict {
        /// Whose question; a connection that is gone ignores it.
        ask: Token,
        /// The answer.
        verdict: Box<Verdict>,
    },
    /// Give a session a new title.
    SetTitle {
        /// Which session (of a source on this shard).
        session: SessionId,
        /// The title.
        title: Box<Title>,
    },
    /// Disconnect a source of this shard.
    KillSource(SessionId),
    /// Disconnect a listener by its public id, wherever it is.
    KillListener {
        /// Number to answer with.
        request: u32,
        /// The listener's id.
        id: u64,
    },
    /// List the listeners at home on a mount.
    ListListeners {
        /// Number to answer with.
        request: u32,
        /// Which mount.
        mount: MountId,
    },
    /// List the allocations of TURN.
    ListAllocations {
        /// Number to answer with.
        request: u32,
    },
    /// List the sessions and rooms of signalling.
    ListPeers {
        /// Number to answer with.
        request: u32,
    },
    /// End an allocation of TURN by its public id.
    KillAllocation {
        /// Number to answer with.
        request: u32,
        /// Its id.
        id: u64,
    },
    /// List the sessions of WebRTC.
    ListSessions {
        /// Number to answer with.
        request: u32,
    },
    /// End a session of WebRTC.
    KillSession {
        /// Number to answer with.
        request: u32,
        /// Which.
        session: engine_rtc::SessionId,
    },
    /// Make listeners at home on one mount be at home on another (`/admin/moveclients`).
    MoveListeners {
        /// From where.
        from: MountId,
        /// To where.
        to: MountId,
    },
    /// Connect to an upstream server and make its stream a source of ours.
    StartPull(Box<PullOrder>),
    /// End the pull of a mount, connecting or running.
    StopPull(MountId),
    /// All that could bring a mount up has been tried in vain: who waits for it is told so.
    NothingComes(MountId),
    /// Close acceptors now, sources and listeners at the deadline; then say [`Message::Drained`]
    /// and stop.
    Drain {
        /// Time left, milliseconds.
        within_ms: u32,
    },
}

const _: () = assert!(size_of::<Message>() <= 64, "a message is one cache line");

/// Why a session ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EndCause {
    /// The source closed its connection.
    Closed,
    /// It failed (reset, broken body framing).
    Failed,
    /// No byte for the source timeout.
    TimedOut,
    /// An operator, or another source, put it out.
    Killed,
    /// The server is stopping.
    Drained,
}

/// What a parked connection asks control.
#[derive(Debug)]
pub enum Question {
    /// May this source, whose credentials the shard has already checked, have the mount?
    Claim {
        /// The mount's path.
        mount: String,
        /// What it will send.
        stream: Box<StreamOffer>,
        /// For a pull: the order's number.
        pull_order: Option<u32>,
    },
    /// May one more listener be at home on this mount, which has a limit, or has no session yet?
    Admit {
        /// Which mount.
        mount: MountId,
        /// Of what agent, for the log.
        agent: Option<String>,
    },
    /// A request that control answers: admin, statistics, pages.
    Http(Box<ForwardedRequest>),
}

/// What a source offers.
#[derive(Clone, Debug)]
pub struct StreamOffer {
    /// Its content type.
    pub content_type: String,
    /// Its headers' facts.
    pub info: StreamInfo,
    /// Where it connects from.
    pub peer: SocketAddr,
    /// Its `User-Agent`.
    pub agent: Option<String>,
    /// Whether it is an ICY v1 source, whose titles come by `admin.cgi`.
    pub is_v1: bool,
}

/// A request handed to control whole.
#[derive(Debug)]
pub struct ForwardedRequest {
    /// `GET`, `POST`, …
    pub method: String,
    /// Percent-decoded path.
    pub path: String,
    /// Raw query, without `?`.
    pub query: Option<String>,
    /// Headers in order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, within `body_bytes_max`.
    pub body: Vec<u8>,
    /// The client, proxies taken away.
    pub peer: SocketAddr,
    /// Whether it came over TLS.
    pub is_secure: bool,
}

impl ForwardedRequest {
    /// The first header of this lower-case name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str())
    }
}

/// Control's answer to a [`Question`].
#[derive(Debug)]
pub enum Verdict {
    /// The mount is yours: the session is in the snapshot that came before this message.
    Granted(SessionId),
    /// The source is refused: send these bytes and close.
    SourceRefused(Vec<u8>),
    /// The listener is counted; it is at home on this mount (another one than asked when full and
    /// `fallback_when_full`). If that mount has no session yet, wait for one in a later snapshot.
    Admitted(MountId),
    /// The listener is refused: send these bytes and close.
    ListenerRefused(Vec<u8>),
    /// The whole answer, head included; the connection closes after it.
    Answer {
        /// The status, for the access log.
        status: u16,
        /// Head and body.
        bytes: Bytes,
    },
}

/// What a running stream told about itself.
#[derive(Clone, Debug)]
pub enum StreamNews {
    /// A new title inside the stream, or one that was set.
    Title(Title),
    /// What the frames show.
    Audio {
        /// Codec name, for example `MP3`, `Vorbis`.
        codec: String,
        /// Samples a second.
        sample_rate_hz: u32,
        /// Channels.
        channels_count: u16,
        /// Kilobits a second, 0 when unknown.
        bitrate_kbps: u32,
    },
}

/// One attempt to pull a mount from upstream.
#[derive(Clone, Debug)]
pub struct PullOrder {
    /// The mount it is for.
    pub mount: MountId,
    /// Number of this attempt; answers carry it.
    pub order: u32,
    /// The mount's path here.
    pub mount_name: String,
    /// Where to connect, resolved.
    pub address: SocketAddr,
    /// `Host` header.
    pub host: String,
    /// Path and query asked for upstream.
    pub path: String,
    /// User and password of the URL.
    pub credentials: Option<(String, String)>,
    /// Whether to ask for titles.
    pub titles: bool,
    /// Give up connecting and waiting for the head after this.
    pub timeout: Duration,
}

/// Why a pull did not become a source.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PullFailure {
    /// No connection, or none in time.
    Unreachable(String),
    /// Upstream said it is elsewhere: the `Location`.
    Redirected(String),
    /// Upstream answered with this status.
    Status(u16),
    /// Upstream broke the protocol.
    Malformed(String),
    /// It is a loop: upstream's answer, or its refusal, names this node.
    Loop,
    /// The mount was taken by another source, or there is no room for it.
    Refused,
}

/// One session of signalling in a list.
#[derive(Clone, Debug)]
pub struct PeerRow {
    /// `user|id`.
    pub address: String,
    /// What people see.
    pub name: String,
    /// The rooms that it is in.
    pub rooms: Vec<String>,
    /// Where it connects from.
    pub peer: SocketAddr,
    /// Seconds since it connected.
    pub connected_s: u64,
}

/// One room of signalling in a list.
#[derive(Clone, Debug)]
pub struct RoomRow {
    /// Its name.
    pub name: String,
    /// Its members, on whatever shard.
    pub members_count: u64,
}

/// One allocation of TURN in a list.
#[derive(Clone, Debug)]
pub struct LentRow {
    /// Public id.
    pub id: u64,
    /// Its client.
    pub client: SocketAddr,
    /// Whether the client comes by TCP or TLS.
    pub is_stream: bool,
    /// The name shown.
    pub user: String,
    /// Its relayed addresses.
    pub relayed: [Option<SocketAddr>; 2],
    /// Seconds until it ends if nobody refreshes it.
    pub expires_s: u64,
    /// Permissions that hold.
    pub permissions_count: u64,
    /// Channels that hold.
    pub channels_count: u64,
    /// Packets to peers.
    pub to_peer_packets: u64,
    /// Their payload.
    pub to_peer_bytes: u64,
    /// Packets to the client.
    pub to_client_packets: u64,
    /// Their payload.
    pub to_client_bytes: u64,
}

/// One listener in a list.
#[derive(Clone, Debug)]
pub struct ListenerRow {
    /// Public id.
    pub id: u64,
    /// Its address.
    pub peer: SocketAddr,
    /// Its agent.
    pub agent: Option<String>,
    /// Seconds since it connected.
    pub connected_s: u64,
    /// Bytes behind the live edge.
    pub lag_bytes: u64,
}
