//! WebRTC on shards: sessions of browsers that publish and watch, with WHIP and WHEP.
//!
//! [`Rtc`] is what stands between `media-rtc`, which does no I/O and knows one session, and the
//! machine: it carries datagrams, finds the session of each, moves sessions to where their packets
//! land, and leads the packets of a publisher to all who watch its stream, on every shard. A
//! service that has one hands it the completions and timers that it owns ([`Rtc::owns`]), the
//! [`Letter`]s of its siblings, and calls [`Rtc::on_tick_end`].
//!
//! ```text
//!              POST /whip/stage                  any shard: answers, asks the stream's home
//! publisher ──datagrams──► shard 2 ──Arc<Batch>──► shard 0, shard 3: viewers of the stream
//!                 ▲            └──────────────────► viewers on shard 2 itself
//!                 └──────── keyframe wanted ◄── (many are one)
//! ```
//!
//! * **One port for all.** The kernel gives a datagram to the shard that its addresses hash to. The
//!   first that is no check of ICE decides where a session lives: it moves there, once.
//! * **A stream has a home**, the shard that its name hashes to, which says who publishes it and
//!   tells the shards that follow it. Packets do not pass through it.
//! * **Who is slow pays for it himself**: a viewer that takes nothing loses packets until the next
//!   keyframe, a shard that takes nothing loses batches; no publisher is ever held up.
//! * **Not for HTTP alone**: [`Rtc::open`] and [`Rtc::manage`] take offers and candidates, however
//!   they came; [`whip`] is one way.
//! * **Without shards** a program has a [`Lobby`]: the same sessions on a socket and a thread of
//!   its own.
//!
//! *Invariant:* a session is on one shard at a time, and its maker knows on which.

mod answer;
mod asks;
mod backlog;
mod datagrams;
mod demux;
mod directory;
mod entry;
mod estimates;
mod feed;
mod ids;
mod layers;
mod letter;
mod lobby;
mod local;
mod messages;
mod rtc;
mod sessions;
mod settings;
mod stats;
mod streams;
mod tcp;
mod viewing;
pub mod whip;
mod wire;

pub use answer::Answer;
pub use asks::{Asker, Open, Opened, Outcome};
pub use directory::{Claim, Granted, Name, Source, Who};
pub use entry::Entry;
pub use ids::{NoSessionId, SessionId};
pub use layers::LayerWish;
pub use letter::{Addressee, Batch, Command, Letter, Manage, Path, Stray};
pub use lobby::{Door, Guest, Happened, Lobby};
pub use local::{LocalWord, Taker, TapId};
pub use media_rtc::{CloseCause, Identity, Role};
pub use messages::Said;
pub use rtc::Rtc;
pub use settings::Settings;
pub use stats::{End, Ended, Row, Stats, StreamRow};
pub use whip::{FRAGMENT, SDP};
