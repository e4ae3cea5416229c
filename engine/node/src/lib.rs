//! What a shard of Skywave does: sources in, listeners out.
//!
//! [`Node`] is a `Service` for `shards-runtime`: it runs on the real ring and, unchanged, on the
//! simulated one. It joins the protocol crates (heads, titles, answers), the media crates (framing,
//! windows) and the machine. Decisions that need a view of all shards are control's; they come as
//! [`Message`]s and [`Snapshot`]s.
//!
//! *Invariant:* nothing here waits, and nothing here is shared with another shard.

mod access;
mod artifacts;
mod calls;
mod census;
mod connection;
mod events;
mod fanout;
mod feed;
mod feeds;
mod files;
mod greeting;
mod inbox;
mod keep;
mod lifecycle;
mod message;
mod mount_to_stream;
mod mutant;
mod node;
mod own_peer;
mod proxy;
mod pull;
mod request;
mod routes;
mod rtc;
mod signalling;
mod snapshot;
mod source;
mod stats;
mod stream_to_mount;
mod tls;
mod turn;
mod websocket;
mod whole;

pub use access::same;
pub use census::{Census, FeedPlace, ListenerPlace};
pub use files::Files;
pub use message::{
    EndCause, ForwardedRequest, LentRow, ListenerRow, Message, PeerRow, PullFailure, PullOrder,
    Question, RoomRow, StreamNews, StreamOffer, Verdict,
};
#[cfg(feature = "mutants")]
pub use mutant::{Mutant, is_planted, plant};
pub use node::{Acceptor, LogSink, Node};
pub use proxy::{ProxyStep, forwarded_for, proxy_header};
pub use signalling::{Signalling, signalling};
pub use snapshot::{MountEntry, MountId, Session, SessionId, Snapshot, Stream};
pub use stats::{Counters, HomeStats, SessionStats, ShardStats, SympleStats};
pub use turn::{TurnSeed, turn_relay};
