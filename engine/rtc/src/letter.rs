//! What shards say to each other about sessions, streams and packets.
//!
//! [`Letter::Packets`], [`Letter::Said`] and [`Letter::Stray`] may find a full queue: packets wait
//! in the publisher's bounded backlog, the others are lost as on the way. Everything else arrives.

use std::net::SocketAddr;
use std::sync::Arc;

use media_rtc::{Rid, RtpPacket, TrackId, TrackInfo, Transport};
use shards_runtime::ShardId;

use crate::answer::Answer;
use crate::directory::{Claim, Granted, Name, Source};
use crate::entry::Entry;
use crate::estimates::Spread;
use crate::ids::SessionId;
use crate::layers::LayerWish;
use crate::messages::Said;
use crate::stats::End;

/// One letter; small enough for a message of the mesh.
#[derive(Debug)]
pub enum Letter {
    // To a stream's home.
    /// A session wants to publish.
    Claim(Box<Claim>),
    /// A session's packets are at the sender.
    Live {
        /// Of which stream.
        name: Name,
        /// Whose.
        session: SessionId,
    },
    /// A session does not publish any more.
    Gone {
        /// Which stream.
        name: Name,
        /// Which session.
        session: SessionId,
    },
    /// The sender wants to know where the stream is.
    Follow(Name),
    /// It does not any more.
    Unfollow(Name),

    // From a stream's home.
    /// What became of a claim.
    Claimed {
        /// Whose.
        session: SessionId,
        /// What.
        granted: Granted,
    },
    /// Where a stream is now.
    Source(Box<(Name, Option<Source>)>),

    // To the shard of a publisher.
    /// The sender has viewers of this session.
    Subscribe(SessionId),
    /// It has none any more.
    Unsubscribe(SessionId),
    /// A viewer there needs a keyframe.
    KeyframeWanted {
        /// Of this session.
        session: SessionId,
        /// Of this track.
        track: TrackId,
        /// Of this layer.
        rid: Option<Rid>,
    },

    /// What the ways to viewers there take.
    Estimates {
        /// Of this session.
        session: SessionId,
        /// It.
        spread: Box<Spread>,
    },

    // From the shard of a publisher.
    /// What do the ways to viewers of this session take?
    EstimatesWanted(SessionId),
    /// The session's tracks, as they are now.
    Tracks {
        /// Which session.
        session: SessionId,
        /// Them.
        tracks: Arc<[TrackInfo]>,
        /// What was sent since the last keyframes, for a shard that begins to watch.
        replay: Option<Arc<Batch>>,
    },
    /// What it sent in a tick.
    Packets(Arc<Batch>),
    /// What it said on a data channel.
    Said(Arc<Said>),

    // About sessions.
    /// A datagram that belongs to a session elsewhere.
    Stray(Box<Stray>),
    /// Send this on a connection of the receiver's.
    Send(Box<(Path, Vec<u8>)>),
    /// Datagrams of this address belong to a session at the sender.
    Route {
        /// Where they come from.
        from: Path,
        /// Whose.
        session: SessionId,
    },
    /// They do not any more.
    Unroute(Path),
    /// The session is the receiver's now.
    Move(Box<Entry>),
    /// A session that the receiver made is over.
    Forget(SessionId),
    /// A request about a session.
    Manage(Box<Manage>),
    /// The answer.
    Managed {
        /// The number of the request.
        ask: u32,
        /// It.
        answer: Box<Answer>,
    },
    /// End a session.
    End(SessionId, End),
}

/// What one publisher sent in one tick.
#[derive(Debug)]
pub struct Batch {
    /// Whose.
    pub session: SessionId,
    /// Batches were dropped before this one.
    pub has_gap: bool,
    /// In the order of arrival.
    pub packets: Vec<(TrackId, Arc<RtpPacket>)>,
}

/// The way of a datagram: who sent it, and how and where it came.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Path {
    /// The far end.
    pub peer: SocketAddr,
    /// UDP or TCP.
    pub transport: Transport,
    /// Which of our addresses, as an index into the settings'.
    pub listener: u8,
}

/// A datagram on its way to its session.
#[derive(Debug)]
pub struct Stray {
    /// Who is meant.
    pub to: Addressee,
    /// How it came.
    pub path: Path,
    /// Where it came.
    pub via: ShardId,
    /// How many shards have passed it on.
    pub hops: u8,
    /// It.
    pub bytes: Vec<u8>,
}

/// How the session of a datagram is known.
#[derive(Clone, Debug)]
pub enum Addressee {
    /// By our name for ICE.
    Ufrag(String),
    /// By its number.
    Session(SessionId),
}

/// A request about a session.
#[derive(Debug)]
pub struct Manage {
    /// Who asks, and under which number.
    pub asker: (ShardId, u32),
    /// Which session.
    pub session: SessionId,
    /// Of which stream the request says that it is.
    pub name: Name,
    /// What is wanted.
    pub command: Command,
}

/// What is wanted of a session.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Command {
    /// A fragment of a description.
    Patch {
        /// `If-Match`.
        if_match: Option<String>,
        /// The fragment.
        text: String,
    },
    /// Another offer.
    Offer(String),
    /// A candidate of the far end's, `candidate:…`.
    Candidate(String),
    /// What layers there are for this viewer.
    Layers,
    /// A layer for this viewer.
    Layer(LayerWish),
    /// Its end.
    Delete,
}

const _: () = assert!(size_of::<Letter>() <= 56, "it fits into a message of the mesh");
