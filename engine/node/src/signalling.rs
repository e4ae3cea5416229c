//! Symple on a shard: `protocol_symple::Server` driven by WebSockets and the mesh.
//!
//! ```text
//! text of a WebSocket ─► Server ─┬─ Send ──► WebSockets of this shard
//!                          ▲     ├─ Mail ──► Message::Symple to another shard
//!        Message::Symple ──┘     ├─ Heard ─► the server's own peer: `calls`
//!                                └─ Close ─► the WebSocket, behind what waits for it
//! ```
//!
//! A session lives where its connection is, a room where its name's hash says. Letters arrive in
//! order and are never lost; what clients may make a shard post is bounded by
//! [`LETTERS_WAITING_MAX`], beyond which it does not listen to them.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use engine_config::Config;
use protocol_symple::{
    Access, Chosen, ConnectionKey, Input, Limits, Output, RoomName, RoomRules, Server, ShardIndex,
    Token as Secret,
};
use protocol_ws::{
    self as ws, CloseCode, ConnectionSettings, ContextLimits, Contexts, DeflateSettings, Kind,
    NotAnOriginRule, OriginPolicy,
};
use sha2::{Digest, Sha256};
use shards_runtime::{Context, Io, ShardId, Token};

use crate::connection::State;
use crate::message::{Message, PeerRow, RoomRow};
use crate::mutant::mutant;
use crate::node::Node;
use crate::own_peer::{OwnPeer, own_peer};
use crate::stats::SympleStats;
use crate::turn::TurnSeed;

/// Letters that may wait for other shards before this one takes no more from its clients.
pub(crate) const LETTERS_WAITING_MAX: usize = 1 << 18;

/// Messages to one client from this length on are compressed where that was agreed on; those to
/// many are written once, and uncompressed.
const COMPRESSED_BYTES_MIN: usize = 512;

/// The most sessions or rooms of a shard in one list.
const ROWS_MAX: usize = 10_000;

/// Signalling on one shard.
pub struct Signalling {
    pub(crate) server: Server,
    pub(crate) settings: Rc<ConnectionSettings>,
    pub(crate) contexts: Contexts,
    /// What is agreed on with clients that compress; `None`: nothing.
    pub(crate) deflate: Option<DeflateSettings>,
    pub(crate) origins: OriginPolicy,
    seed: [u8; 32],
    shard: u16,
    sessions_count: u64,
    /// Everybody was told that the server goes down.
    is_shut_down: bool,
}

/// The signalling of one shard, if the configuration wants it.
///
/// # Errors
/// A rule for origins that is none.
pub fn signalling(
    config: &Config,
    common: &TurnSeed,
    shard: u16,
) -> Result<Option<Signalling>, NotAnOriginRule> {
    let symple = &config.symple;
    if !symple.enabled {
        return Ok(None);
    }
    let origins = symple.allowed_origins.iter().map(String::as_str);
    let message_bytes_max = symple.message_bytes_max as u64;
    let ping = Duration::from_millis(symple.ping_ms);
    let settings = ConnectionSettings {
        limits: ws::Limits {
            frame_bytes_max: message_bytes_max,
            message_bytes_max,
            ..ws::Limits::default()
        },
        // A newcomer is told of everybody in its rooms at once.
        queue: ws::QueueLimits {
            bytes_max: symple.queue_bytes_max,
            messages_max: symple.room_members_max * 2 + 1_024,
            ..ws::QueueLimits::default()
        },
        keepalive: ws::KeepaliveTimes { ping_after: ping, give_up_after: ping },
        ..ConnectionSettings::default()
    };
    let inflating_max = symple.compressed_per_shard_max;
    let contexts = Contexts::new(ContextLimits { inflating_max, ..ContextLimits::default() });
    let me = ShardIndex(shard);
    Ok(Some(Signalling {
        server: Server::shard(symple_config(config), me, common.shards_count),
        settings: Rc::new(settings),
        contexts,
        deflate: (inflating_max > 0).then(|| DeflateSettings {
            // Nothing is kept between two messages: memory is used only while one is read.
            peer_context: false,
            message_bytes_min: COMPRESSED_BYTES_MIN,
            ..DeflateSettings::default()
        }),
        origins: OriginPolicy::of(origins)?.with_same_host(),
        seed: common.seed,
        shard,
        sessions_count: 0,
        is_shut_down: false,
    }))
}

/// Who may come in.
fn access(config: &Config) -> Access {
    match config.symple_tokens() {
        None => Access::Open,
        Some(tokens) => {
            Access::Tokens(tokens.into_iter().map(|token| Secret::new(token.expose())).collect())
        }
    }
}

fn symple_config(config: &Config) -> protocol_symple::Config {
    let symple = &config.symple;
    let names = |list: &[String]| list.iter().filter_map(|name| RoomName::new(name)).collect();
    let chosen = match &symple.chosen_rooms[..] {
        [] => Chosen::Nothing,
        list if list.iter().any(|name| name == "*") => Chosen::Any,
        list => Chosen::Listed(list.to_vec()),
    };
    protocol_symple::Config {
        access: access(config),
        rooms: RoomRules {
            everybody: names(&symple.rooms),
            chosen,
            are_user_rooms_private: symple.private_user_rooms,
        },
        limits: Limits {
            sessions_max: symple.sessions_per_shard_max,
            auth_within: Duration::from_millis(symple.auth_timeout_ms),
            message_bytes_max: symple.message_bytes_max,
            messages_max: symple.messages_max,
            messages_within: Duration::from_millis(symple.messages_within_ms),
            rooms_of_session_max: symple.session_rooms_max,
            members_of_room_max: symple.room_members_max,
            rooms_max: symple.rooms_per_shard_max,
            ..Limits::default()
        },
        virtual_peers: own_peer(config, &BTreeSet::new()).into_iter().collect(),
    }
}

impl Signalling {
    /// Unpredictable bytes: a hash of what nobody knows and a number that never comes again.
    fn random(&mut self) -> [u8; 16] {
        self.sessions_count += 1;
        let mut hash = Sha256::new();
        hash.update(b"symple");
        hash.update(self.seed);
        hash.update(self.shard.to_be_bytes());
        hash.update(self.sessions_count.to_be_bytes());
        *hash.finalize().first_chunk().expect("thirty-two bytes")
    }
}

/// A connection as signalling names it.
pub(crate) fn key_of(token: Token) -> ConnectionKey {
    ConnectionKey(u64::from(token.slot) << 32 | u64::from(token.generation))
}

pub(crate) fn token_of(key: ConnectionKey) -> Token {
    Token { slot: (key.0 >> 32) as u32, generation: key.0 as u32 }
}

impl Node {
    /// The same node with signalling.
    #[must_use]
    pub fn with_signalling(mut self, signalling: Option<Signalling>) -> Node {
        self.signalling = signalling;
        self.own_peer = OwnPeer::new(&self.snapshot.config);
        self
    }

    /// A WebSocket was opened.
    pub(crate) fn session_began<I: Io>(&mut self, cx: &mut Context<'_, I, Message>, token: Token) {
        let Some(signalling) = &mut self.signalling else { return };
        let random = signalling.random();
        let input = Input::Connected { connection: key_of(token), random };
        signalling.server.handle(cx.now(), input);
        self.carry_out(cx);
    }

    /// A WebSocket is gone.
    pub(crate) fn session_ended<I: Io>(&mut self, cx: &mut Context<'_, I, Message>, token: Token) {
        let Some(signalling) = &mut self.signalling else { return };
        if mutant!(SessionKept) {
            return;
        }
        let input = Input::Disconnected { connection: key_of(token) };
        signalling.server.handle(cx.now(), input);
        self.calls.forget(key_of(token));
        self.carry_out(cx);
    }

    /// Another shard's letter.
    pub(crate) fn symple_letter<I: Io>(
        &mut self,
        cx: &mut Context<'_, I, Message>,
        mail: protocol_symple::Mail,
    ) {
        let Some(signalling) = &mut self.signalling else { return };
        signalling.server.handle(cx.now(), Input::Mail(mail));
        self.carry_out(cx);
    }

    /// Time passes for sessions that are not authenticated.
    pub(crate) fn tick_signalling<I: Io>(&mut self, cx: &mut Context<'_, I, Message>) {
        let Some(signalling) = &mut self.signalling else { return };
        if signalling.server.deadline().is_some_and(|at| at <= cx.now()) {
            signalling.server.handle(cx.now(), Input::Tick);
            self.carry_out(cx);
        }
        self.tick_own_peer(cx);
        self.tick_calls(cx);
        self.flush_websockets(cx);
    }

    /// Who may come in has changed, or what the own peer says.
    pub(crate) fn signalling_follows_snapshot(&mut self, now: Instant) {
        if let Some(signalling) = &mut self.signalling {
            signalling.server.set_access(access(&self.snapshot.config));
            self.own_peer.is_stale(now);
        }
    }

    /// Tells everybody that the server goes down.
    pub(crate) fn shut_signalling_down<I: Io>(&mut self, cx: &mut Context<'_, I, Message>) {
        let Some(signalling) = &mut self.signalling else { return };
        if !std::mem::replace(&mut signalling.is_shut_down, true) {
            signalling.server.handle(cx.now(), Input::Shutdown);
            self.carry_out(cx);
        }
    }

    /// Does what the server says.
    pub(crate) fn carry_out<I: Io>(&mut self, cx: &mut Context<'_, I, Message>) {
        while let Some(output) = self.signalling.as_mut().and_then(|it| it.server.poll()) {
            match output {
                Output::Send { to, text } => self.send_text(cx, &to, &text),
                Output::Close { connection } => self.close_websocket(cx, token_of(connection)),
                Output::Mail { to, mail } => {
                    if mutant!(LetterLost) && cx.waiting_count() > 0 {
                        continue;
                    }
                    if mutant!(LetterTwice) {
                        cx.send_surely(ShardId(to.0), Message::Symple(mail.clone()));
                    }
                    cx.send_surely(ShardId(to.0), Message::Symple(mail));
                }
                Output::Heard { from, connection, message, .. } => {
                    self.call_heard(cx, &from, connection, &message);
                }
                Output::Ask { .. } => unreachable!("tokens are known here"),
            }
        }
    }

    fn send_text<I: Io>(&mut self, cx: &Context<'_, I, Message>, to: &[ConnectionKey], text: &str) {
        let now = cx.now();
        let mut frame = Bytes::new();
        let neighbours = self.neighbours(to);
        for token in to.iter().map(|key| token_of(*key)).chain(neighbours) {
            let Some(connection) = self.connections.get_mut(token) else { continue };
            let State::WebSocket(socket) = &mut connection.state else { continue };
            self.counters.websocket_messages_sent += 1;
            if to.len() == 1
                && socket.is_compressed
                && text.len() >= COMPRESSED_BYTES_MIN
                && socket.connection.is_open()
            {
                socket.connection.send(now, Kind::Text, Bytes::from(text.to_owned()));
            } else {
                if frame.is_empty() {
                    let mut out = Vec::with_capacity(text.len() + ws::FRAME_HEAD_BYTES_MAX);
                    ws::write_frame(ws::Opcode::Text, true, text.as_bytes(), None, &mut out);
                    frame = Bytes::from(out);
                }
                socket.connection.send_frames_before_close(now, frame.clone());
            }
            self.queue_websocket(token);
        }
    }

    /// Whom a planted fault tells what is not for them; nobody.
    fn neighbours(&self, to: &[ConnectionKey]) -> Option<Token> {
        if !mutant!(TextToNeighbour) {
            return None;
        }
        let is_other = |token: &Token| !to.contains(&key_of(*token));
        self.connections.iter().map(|(token, _)| token).find(is_other)
    }

    fn close_websocket<I: Io>(&mut self, cx: &Context<'_, I, Message>, token: Token) {
        let is_shut_down = self.signalling.as_ref().is_some_and(|it| it.is_shut_down);
        let code = if is_shut_down { CloseCode::GOING_AWAY } else { CloseCode::POLICY };
        let Some(connection) = self.connections.get_mut(token) else { return };
        let State::WebSocket(socket) = &mut connection.state else { return };
        socket.connection.close(cx.now(), code, "");
        self.queue_websocket(token);
    }

    /// What of signalling stands in `/metrics`.
    pub(crate) fn symple_stats(&self) -> Option<Box<SympleStats>> {
        let signalling = self.signalling.as_ref()?;
        let counters = signalling.server.counters();
        let contexts = signalling.contexts.counters();
        Some(Box::new(SympleStats { counters, contexts, websockets_count: self.websockets_count }))
    }

    /// The sessions of this shard, and the rooms that live on it.
    pub(crate) fn list_peers<I: Io>(
        &self,
        cx: &Context<'_, I, Message>,
    ) -> (Vec<PeerRow>, Vec<RoomRow>) {
        let Some(signalling) = &self.signalling else { return (Vec::new(), Vec::new()) };
        let now = cx.now();
        let peer = |peer: protocol_symple::Peer<'_>| {
            let connection = self.connections.get(token_of(peer.connection))?;
            Some(PeerRow {
                address: peer.address.to_owned(),
                name: peer.name.to_owned(),
                rooms: peer.rooms.iter().map(|room| room.as_str().to_owned()).collect(),
                peer: connection.peer,
                connected_s: (now - connection.since).as_secs(),
            })
        };
        let room = |(name, members_count): (&RoomName, usize)| RoomRow {
            name: name.as_str().to_owned(),
            members_count: members_count as u64,
        };
        let peers = signalling.server.peers().filter_map(peer).take(ROWS_MAX).collect();
        (peers, signalling.server.rooms().map(room).take(ROWS_MAX).collect())
    }
}
