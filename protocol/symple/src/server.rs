//! One shard of a server: its sessions, its rooms, and the post between them.
//!
//! A server of one shard is this and nothing else; one of several is this on each of them, and a
//! driver that carries [`Output::Mail`].

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use serde_json::{Map, Value};

use crate::address::{RoomName, SHARDS_COUNT_MAX, ShardIndex};
use crate::config::{Access, Config, VirtualPeer};
use crate::mail::{Letter, Mail};
use crate::rooms::{Post, Rooms};
use crate::sessions::Sessions;

/// The driver's name for a connection. It may be used again after [`Input::Disconnected`] or
/// [`Output::Close`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionKey(
    /// Whatever the driver likes.
    pub u64,
);

/// What happens to a server.
#[derive(Debug)]
pub enum Input<'i> {
    /// A WebSocket was opened.
    Connected {
        /// Which.
        connection: ConnectionKey,
        /// Unpredictable bytes for its session's id.
        random: [u8; 16],
    },
    /// A text message came; binary ones are not for us.
    Text {
        /// From where.
        connection: ConnectionKey,
        /// The message.
        text: &'i str,
    },
    /// A message came, or began, that is longer than the limit.
    TooLarge {
        /// From where.
        connection: ConnectionKey,
    },
    /// The WebSocket is no more.
    Disconnected {
        /// Which.
        connection: ConnectionKey,
    },
    /// The answer to [`Output::Ask`].
    Verdict {
        /// Whose.
        connection: ConnectionKey,
        /// Whether it may come in.
        verdict: Verdict,
    },
    /// What another shard's [`Output::Mail`] was.
    Mail(Mail),
    /// A virtual peer says something.
    Speak {
        /// Which, by its id.
        peer: &'i str,
        /// To whom.
        to: Recipient<'i>,
        /// A message, with a `type`. Who it is from is set.
        message: Map<String, Value>,
    },
    /// A virtual peer comes, or its presence changes. To be told to every shard.
    SetVirtual(VirtualPeer),
    /// A virtual peer goes, by its id. To be told to every shard.
    RemoveVirtual(&'i str),
    /// Time has come to [`Server::deadline`].
    Tick,
    /// Everybody is told that the server goes down, and closed. To be told to every shard.
    Shutdown,
}

/// Whether a session may come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It may, and is in these rooms beside its own and everybody's.
    Allowed(Vec<RoomName>),
    /// It is told 401 and closed.
    Refused,
}

/// Whom a virtual peer speaks to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recipient<'i> {
    /// One peer, by its address `user|id`.
    Peer(&'i str),
    /// All in its rooms.
    Everybody,
    /// All in these rooms, whether it is in them itself or not.
    Rooms(&'i [RoomName]),
}

/// What is to be done.
#[derive(Debug)]
pub enum Output {
    /// Send this text to all of these.
    Send {
        /// Each of them once.
        to: Vec<ConnectionKey>,
        /// One message; encode it once.
        text: Arc<str>,
    },
    /// Close the WebSocket behind what was sent to it. Nothing more is said of it.
    Close {
        /// Which.
        connection: ConnectionKey,
    },
    /// Somebody wants to come in: answer with [`Input::Verdict`].
    Ask {
        /// From where.
        connection: ConnectionKey,
        /// Who it says it is.
        user: String,
        /// What it has to show for it.
        token: Option<String>,
        /// What rooms it would like.
        rooms: Vec<RoomName>,
    },
    /// For another shard; in order.
    Mail {
        /// Which.
        to: ShardIndex,
        /// What; a machine word.
        mail: Box<Mail>,
    },
    /// Something was said to a virtual peer, by one that shares a room with it.
    Heard {
        /// The virtual peer's id.
        peer: String,
        /// Who said it, as an address; answer to it.
        from: String,
        /// And on which connection.
        connection: ConnectionKey,
        /// What.
        message: Map<String, Value>,
    },
}

/// A session in a list.
#[derive(Debug, Clone, Copy)]
pub struct Peer<'s> {
    /// Its connection.
    pub connection: ConnectionKey,
    /// `user|id`.
    pub address: &'s str,
    /// What people see.
    pub name: &'s str,
    /// Where it is.
    pub rooms: &'s BTreeSet<RoomName>,
}

/// Counters of one shard, since its start unless they say "now".
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Sessions now, authenticated or not.
    pub sessions: usize,
    /// Rooms that live here now.
    pub rooms: usize,
    /// Messages received.
    pub messages_received: u64,
    /// Messages handed to sessions.
    pub messages_delivered: u64,
    /// Messages that are not JSON objects with a type.
    pub messages_unreadable: u64,
    /// Messages to what is neither a room nor a session.
    pub messages_unroutable: u64,
    /// Messages that reached a session which shares no room with the sender.
    pub messages_not_shared: u64,
    /// Sessions refused: at capacity.
    pub refused_at_capacity: u64,
    /// Sessions refused: not authenticated.
    pub refused_auth: u64,
    /// Sessions closed: no authentication in time.
    pub closed_auth_timeout: u64,
    /// Sessions closed: a message was too large.
    pub closed_too_large: u64,
    /// Sessions closed: too many messages.
    pub closed_too_many: u64,
}

/// One shard of a server.
#[derive(Debug)]
pub struct Server {
    me: ShardIndex,
    sessions: Sessions,
    rooms: Rooms,
    outputs: VecDeque<Output>,
}

impl Server {
    /// A whole server.
    pub fn new(config: Config) -> Server {
        Server::shard(config, ShardIndex(0), 1)
    }

    /// One shard of a server. All have the same configuration.
    ///
    /// # Panics
    /// When there are more than [`SHARDS_COUNT_MAX`], or this is not one of them.
    pub fn shard(config: Config, me: ShardIndex, shards_count: u16) -> Server {
        assert!(me.0 < shards_count && shards_count <= SHARDS_COUNT_MAX, "one of the shards");
        let is_private = config.rooms.are_user_rooms_private;
        let rooms = Rooms::new(me, shards_count, config.limits, is_private);
        let sessions = Sessions::new(config, me, shards_count);
        Server { me, sessions, rooms, outputs: VecDeque::new() }
    }

    /// Something happens. [`poll`](Server::poll) to none afterwards.
    pub fn handle(&mut self, now: Instant, input: Input<'_>) {
        let mut post = Post::new();
        match input {
            Input::Mail(mail) => self.open(mail.0, &mut post),
            other => self.sessions.handle(now, other, &mut post, &mut self.outputs),
        }
        self.carry(post);
    }

    /// What is to be done, in order.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Input::Tick`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        self.sessions.deadline()
    }

    /// What was counted.
    pub fn counters(&self) -> Counters {
        let mut counters = self.sessions.counters();
        counters.rooms = self.rooms.count();
        counters.messages_unroutable += self.rooms.dropped_count();
        counters
    }

    /// Other rules for who may come in from now on; who is in stays.
    pub fn set_access(&mut self, access: Access) {
        self.sessions.set_access(access);
    }

    /// The sessions that are authenticated.
    pub fn peers(&self) -> impl Iterator<Item = Peer<'_>> {
        self.sessions.peers()
    }

    /// The rooms that live here, with the number of their members.
    pub fn rooms(&self) -> impl Iterator<Item = (&RoomName, usize)> {
        self.rooms.iter()
    }

    /// The rooms of a connection that is authenticated.
    pub fn rooms_of(&self, connection: ConnectionKey) -> Vec<RoomName> {
        self.sessions.rooms_of(connection)
    }

    /// Hands letters over until all that are for this shard are.
    fn carry(&mut self, mut post: Post) {
        let mut waiting = VecDeque::from(std::mem::take(&mut post));
        while let Some((to, letter)) = waiting.pop_front() {
            if to == self.me {
                self.open(letter, &mut post);
                // In the order in which they were written: what follows from a letter comes after
                // those that wait.
                waiting.extend(post.drain(..));
            } else {
                self.outputs.push_back(Output::Mail { to, mail: Box::new(Mail(letter)) });
            }
        }
    }

    fn open(&mut self, letter: Letter, post: &mut Post) {
        match letter {
            Letter::Joined(_)
            | Letter::PutOut { .. }
            | Letter::Direct { .. }
            | Letter::Deliver { .. } => self.sessions.open(letter, post, &mut self.outputs),
            _ => self.rooms.handle(letter, post),
        }
    }
}
