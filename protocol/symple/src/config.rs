//! Who may connect, who may join what, and every bound with what happens at it.

use std::time::Duration;

use serde_json::{Map, Value};
use subtle::ConstantTimeEq;

use crate::address::{RoomName, is_name};

/// What a server allows. All its shards have the same.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// Who may come in.
    pub access: Access,
    /// Who may join what.
    pub rooms: RoomRules,
    /// Bounds.
    pub limits: Limits,
    /// Peers that are the server itself.
    pub virtual_peers: Vec<VirtualPeer>,
}

/// Who may come in.
#[derive(Debug, Clone, Default)]
pub enum Access {
    /// Everybody, under whatever name.
    #[default]
    Open,
    /// Whoever knows the token.
    Token(Token),
    /// Whoever knows one of these; with none of them nobody.
    Tokens(Vec<Token>),
    /// The driver is asked about each ([`Output::Ask`](crate::Output::Ask)), within the time for
    /// authentication.
    Ask,
}

/// A secret that is compared without saying how much of it was right.
#[derive(Clone)]
pub struct Token(Vec<u8>);

impl Token {
    /// This one.
    pub fn new(secret: impl Into<Vec<u8>>) -> Token {
        Token(secret.into())
    }

    pub(crate) fn is(&self, other: &str) -> bool {
        self.0.ct_eq(other.as_bytes()).into()
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Who may join what.
#[derive(Debug, Clone)]
pub struct RoomRules {
    /// Rooms that everybody is in from the start.
    pub everybody: Vec<RoomName>,
    /// What a client may choose, with `join` or when it authenticates. With [`Access::Ask`] what it
    /// chooses when it authenticates is handed to the driver and not looked at.
    pub chosen: Chosen,
    /// Whether the room of a user's own name is closed to others while the user is there. It is
    /// no protection where anybody may take any name ([`Access::Open`]).
    pub are_user_rooms_private: bool,
}

/// What rooms a client may choose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chosen {
    /// None: `join` and `leave` are answered 400, "Dynamic rooms disabled".
    Nothing,
    /// These, and where a text ends with `*` all that begin so; others are answered 403.
    Listed(Vec<String>),
    /// Any.
    Any,
}

impl Default for RoomRules {
    /// Everybody is in `public`, and nothing can be chosen.
    fn default() -> RoomRules {
        RoomRules {
            everybody: RoomName::new("public").into_iter().collect(),
            chosen: Chosen::Nothing,
            are_user_rooms_private: true,
        }
    }
}

impl Chosen {
    pub(crate) fn allows(&self, room: &RoomName) -> bool {
        match self {
            Chosen::Nothing => false,
            Chosen::Any => true,
            Chosen::Listed(list) => list.iter().any(|text| match text.strip_suffix('*') {
                Some(beginning) => room.as_str().starts_with(beginning),
                None => room.as_str() == text,
            }),
        }
    }
}

/// Bounds of one shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Sessions of a shard, authenticated or not: 503 beyond, then closed.
    pub sessions_max: usize,
    /// Time for authentication: 408, then closed.
    pub auth_within: Duration,
    /// Longest message: 413, then closed. The WebSocket has to have the same limit, so that it
    /// holds before anything is collected.
    pub message_bytes_max: usize,
    /// Messages of a session within `messages_within`, at most so many at once: 429, then closed.
    pub messages_max: u32,
    /// See `messages_max`.
    pub messages_within: Duration,
    /// Rooms of a session: 403 beyond.
    pub rooms_of_session_max: usize,
    /// Members of a room: 503 to who would be one more.
    pub members_of_room_max: usize,
    /// Rooms that live on a shard: likewise.
    pub rooms_max: usize,
    /// Bytes of a peer's presence that newcomers are told. Of a longer one they learn who it is,
    /// and nothing more until the next.
    pub presence_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            sessions_max: 16_384,
            auth_within: Duration::from_secs(10),
            message_bytes_max: 64 * 1024,
            messages_max: 100,
            messages_within: Duration::from_secs(10),
            rooms_of_session_max: 32,
            members_of_room_max: 16_384,
            rooms_max: 65_536,
            presence_bytes_max: 8 * 1024,
        }
    }
}

/// A peer that is the server itself. It is in its rooms on every shard, is in snapshots, answers
/// probes, and what is sent to it is [`Output::Heard`](crate::Output::Heard) on the sender's shard.
#[derive(Debug, Clone, PartialEq)]
pub struct VirtualPeer {
    pub(crate) id: String,
    pub(crate) user: String,
    pub(crate) rooms: Vec<RoomName>,
    pub(crate) data: Map<String, Value>,
}

impl VirtualPeer {
    /// A peer `user|id` in these rooms, whose presence says `data` beside who it is: `type`,
    /// `capabilities` and whatever else. `None` where user or id cannot be one, or where the id
    /// could be a session's.
    pub fn new(
        user: &str,
        id: &str,
        rooms: Vec<RoomName>,
        data: Map<String, Value>,
    ) -> Option<VirtualPeer> {
        let is_right = is_name(user) && is_name(id) && crate::address::PeerId::parse(id).is_none();
        is_right.then(|| VirtualPeer { id: id.to_owned(), user: user.to_owned(), rooms, data })
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its address, `user|id`.
    pub fn address(&self) -> String {
        format!("{}|{}", self.user, self.id)
    }

    pub(crate) fn presence(&self, is_online: bool) -> String {
        let mut data = self.data.clone();
        data.entry("name").or_insert_with(|| self.user.clone().into());
        data.insert("id".to_owned(), self.id.clone().into());
        data.insert("user".to_owned(), self.user.clone().into());
        data.insert("online".to_owned(), is_online.into());
        crate::wire::presence(&self.address(), data)
    }
}
