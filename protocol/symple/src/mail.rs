//! What the shards of a server say to each other.
//!
//! ```text
//!  sessions of shard 2                rooms of shard 0              sessions of shard 1
//!    Join, Update, Leave, Gone ───────▶ members
//!    Say, Named ──────────────────────▶ members ─── Deliver ──────▶ those that share a room
//!    Joined, PutOut ◀───────────────────┘
//!    Direct ──────────────────────────────────────────────────────▶ the one, if it does
//! ```
//!
//! The driver carries it, in order from each shard to each, however late. Whether two peers share a
//! room is decided where the receiver lives, at the moment of delivery.

use std::sync::Arc;

use crate::address::{PeerId, RoomName};
use crate::wire::Fault;

/// Something for another shard. Its contents are no business of the driver's.
#[derive(Debug, Clone)]
pub struct Mail(pub(crate) Letter);

#[derive(Debug, Clone)]
pub(crate) enum Letter {
    /// To rooms: a peer comes in.
    Join {
        card: Card,
        /// With whether the client chose it.
        rooms: Vec<(RoomName, bool)>,
        /// After authentication it is not, and the peer is announced.
        is_asked: bool,
    },
    /// To rooms: its presence changed.
    Update { card: Card, rooms: Arc<[RoomName]>, text: Arc<str> },
    /// To rooms: it leaves them.
    Leave { id: PeerId, rooms: Vec<RoomName> },
    /// To rooms: it is no more.
    Gone { id: PeerId, rooms: Arc<[RoomName]>, text: Arc<str> },
    /// To rooms: for all their members but those who had it, then on to the next home.
    Say { saying: Saying, rooms: Vec<RoomName>, had_it: Vec<PeerId> },
    /// To rooms: for the members of that room, or, where there is no such room, for the session.
    Named { saying: Saying, name: String },
    /// To a session, from its rooms.
    Joined(Admission),
    /// To a session: the room's owner came.
    PutOut { id: PeerId, room: RoomName },
    /// To a session.
    Direct { saying: Saying, to: PeerId },
    /// To sessions.
    Deliver {
        to: Vec<PeerId>,
        /// Only to who is in one of these.
        shares: Arc<[RoomName]>,
        /// And in this one.
        within: Option<RoomName>,
        /// Whose presence it is, and which of them.
        presence: Option<(PeerId, Version)>,
        text: Arc<str>,
    },
}

/// Number of a peer's presence, from 1; the end is the last. Homes of several rooms say the same in
/// their own time, and by it the receiver's shard knows what is out of date.
pub(crate) type Version = u64;

pub(crate) const GONE: Version = Version::MAX;

/// What became of a `Join`.
#[derive(Debug, Clone)]
pub(crate) struct Admission {
    pub id: PeerId,
    /// As in the `Join`.
    pub is_asked: bool,
    pub joined: Vec<RoomName>,
    pub refused: Vec<(RoomName, Fault)>,
    /// Who is there.
    pub snapshot: Vec<Card>,
}

/// A message under way.
#[derive(Debug, Clone)]
pub(crate) struct Saying {
    /// Its sender, where that is a session.
    pub from: Option<PeerId>,
    /// The sender's rooms.
    pub shares: Arc<[RoomName]>,
    pub text: Arc<str>,
}

/// A peer as a room knows it.
#[derive(Debug, Clone)]
pub(crate) struct Card {
    pub id: PeerId,
    pub user: Arc<str>,
    /// The presence that newcomers are told.
    pub presence: Arc<str>,
    pub version: Version,
}
