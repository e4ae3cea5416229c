//! The sessions whose connections are on one shard.
//!
//! Invariant: what reaches a session was said in a room that it is in, looked at when it is
//! handed over, or by the server itself.

mod auth;
mod latest;
mod route;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use serde_json::{Map, Value};

use crate::address::{PeerId, RoomName, ShardIndex};
use crate::bucket::Bucket;
use crate::config::{Access, Config, VirtualPeer};
use crate::mail::{Admission, Card, Letter, Version};
use crate::rooms::Post;
use crate::server::{ConnectionKey, Counters, Input, Output, Peer};
use crate::wire::{self, Fault, Identity};
use latest::Latest;

type Outputs = VecDeque<Output>;

/// As many of the longest messages may wait for a room's answer, in bytes; then 429, and closed.
const HELD_MESSAGES_MAX: usize = 4;

/// Sessions of a shard.
#[derive(Debug)]
pub(crate) struct Sessions {
    config: Config,
    me: ShardIndex,
    shards_count: u16,
    sessions: BTreeMap<ConnectionKey, Session>,
    by_id: BTreeMap<PeerId, ConnectionKey>,
    /// Of the sessions that are not authenticated, and of no others.
    auth_deadlines: BTreeSet<(Instant, ConnectionKey)>,
    latest: Latest,
    counters: Counters,
}

#[derive(Debug)]
struct Session {
    id: PeerId,
    bucket: Bucket,
    auth_until: Instant,
    state: State,
}

#[derive(Debug)]
enum State {
    /// It has not said who it is.
    Waiting,
    /// The driver is asked.
    Asked(auth::Request),
    Online(Box<Online>),
}

/// A session that is authenticated.
#[derive(Debug)]
struct Online {
    identity: Identity,
    address: String,
    rooms: BTreeSet<RoomName>,
    /// The same, for letters.
    shares: Arc<[RoomName]>,
    /// The room that it asked to join.
    joining: Option<RoomName>,
    /// What it said behind that: it is said when the room has answered, so that it is said there.
    held: VecDeque<String>,
    held_bytes: usize,
    /// What newcomers are told of it.
    presence: Arc<str>,
    version: Version,
}

impl Online {
    fn share(&mut self) {
        self.shares = self.rooms.iter().cloned().collect();
    }

    /// Remembers what newcomers are to be told, within the bound.
    fn set_presence(&mut self, data: Map<String, Value>, bytes_max: usize) {
        let mut presence = wire::presence(&self.address, data);
        if presence.len() > bytes_max {
            let bare = Identity { extras: Map::new(), ..self.identity.clone() };
            presence = wire::presence(&self.address, bare.data(None));
        }
        self.presence = Arc::from(presence);
        self.version += 1;
    }

    fn card(&self, id: PeerId) -> Card {
        let presence = Arc::clone(&self.presence);
        Card { id, user: Arc::from(&*self.identity.user), presence, version: self.version }
    }
}

impl Sessions {
    pub(crate) fn new(config: Config, me: ShardIndex, shards_count: u16) -> Sessions {
        Sessions {
            config,
            me,
            shards_count,
            sessions: BTreeMap::new(),
            by_id: BTreeMap::new(),
            auth_deadlines: BTreeSet::new(),
            latest: Latest::new(shards_count > 1),
            counters: Counters::default(),
        }
    }

    pub(crate) fn counters(&self) -> Counters {
        Counters { sessions: self.sessions.len(), ..self.counters }
    }

    pub(crate) fn set_access(&mut self, access: Access) {
        self.config.access = access;
    }

    pub(crate) fn peers(&self) -> impl Iterator<Item = Peer<'_>> {
        self.sessions.iter().filter_map(|(connection, session)| match &session.state {
            State::Online(online) => Some(Peer {
                connection: *connection,
                address: &online.address,
                name: &online.identity.name,
                rooms: &online.rooms,
            }),
            _ => None,
        })
    }

    pub(crate) fn rooms_of(&self, connection: ConnectionKey) -> Vec<RoomName> {
        match self.sessions.get(&connection).map(|session| &session.state) {
            Some(State::Online(online)) => online.rooms.iter().cloned().collect(),
            _ => Vec::new(),
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.auth_deadlines.first().map(|(at, _)| *at)
    }

    pub(crate) fn handle(
        &mut self,
        now: Instant,
        input: Input<'_>,
        post: &mut Post,
        out: &mut Outputs,
    ) {
        match input {
            Input::Connected { connection, random } => self.connected(now, connection, random, out),
            Input::Text { connection, text } => self.text(now, connection, text, post, out),
            Input::TooLarge { connection } => {
                self.counters.closed_too_large += 1;
                self.end_with(connection, Fault::TOO_LARGE, post, out);
            }
            Input::Disconnected { connection } => self.remove(connection, post),
            Input::Verdict { connection, verdict } => {
                self.judged(connection, verdict, post, out);
            }
            Input::Speak { peer, to, message } => self.speak(peer, to, message, post),
            Input::SetVirtual(peer) => self.set_virtual(peer, out),
            Input::RemoveVirtual(id) => self.remove_virtual(id, out),
            Input::Tick => self.tick(now, post, out),
            Input::Shutdown => self.shut_down(post, out),
            Input::Mail(_) => unreachable!("it is opened before"),
        }
    }

    pub(crate) fn open(&mut self, letter: Letter, post: &mut Post, out: &mut Outputs) {
        match letter {
            Letter::Joined(admission) => {
                let id = admission.id;
                self.joined(admission, out);
                self.say_what_was_held(&id, post, out);
            }
            Letter::PutOut { id, room } => {
                let Some((connection, online)) = self.online_by_id(&id) else { return };
                if online.rooms.remove(&room) {
                    online.share();
                    send(connection, wire::acknowledged("leave:ok", &room), out);
                }
            }
            Letter::Direct { saying, to } => {
                self.deliver(&[to], &saying.shares, None, &saying.text, out);
            }
            Letter::Deliver { to, shares, within, presence, text } => {
                if presence.is_some_and(|(id, version)| !self.latest.learn(id, version)) {
                    return;
                }
                self.deliver(&to, &shares, within.as_ref(), &text, out);
            }
            _ => unreachable!("letters to rooms are not for sessions"),
        }
    }

    fn connected(
        &mut self,
        now: Instant,
        connection: ConnectionKey,
        random: [u8; 16],
        out: &mut Outputs,
    ) {
        if self.sessions.len() >= self.config.limits.sessions_max {
            self.counters.refused_at_capacity += 1;
            send(connection, Fault::AT_CAPACITY.text(), out);
            out.push_back(Output::Close { connection });
            return;
        }
        let id = PeerId::new(self.me, random);
        let bucket = Bucket::full(self.config.limits.messages_max, now);
        let auth_until = now + self.config.limits.auth_within;
        let session = Session { id, bucket, auth_until, state: State::Waiting };
        let before = self.sessions.insert(connection, session);
        assert!(before.is_none(), "a key names one connection at a time");
        self.auth_deadlines.insert((auth_until, connection));
    }

    fn text(
        &mut self,
        now: Instant,
        connection: ConnectionKey,
        text: &str,
        post: &mut Post,
        out: &mut Outputs,
    ) {
        let limits = self.config.limits;
        let Some(session) = self.sessions.get_mut(&connection) else { return };
        self.counters.messages_received += 1;
        if text.len() > limits.message_bytes_max {
            self.counters.closed_too_large += 1;
            return self.end_with(connection, Fault::TOO_LARGE, post, out);
        }
        if !session.bucket.take(limits.messages_max, limits.messages_within, now) {
            self.counters.closed_too_many += 1;
            return self.end_with(connection, Fault::TOO_MANY, post, out);
        }
        let Some((kind, object)) = wire::read(text) else {
            self.counters.messages_unreadable += 1;
            return;
        };
        if let State::Online(online) = &mut session.state
            && online.joining.is_some()
            && kind != "close"
        {
            if online.held_bytes + text.len() > HELD_MESSAGES_MAX * limits.message_bytes_max {
                self.counters.closed_too_many += 1;
                return self.end_with(connection, Fault::TOO_MANY, post, out);
            }
            online.held_bytes += text.len();
            online.held.push_back(text.to_owned());
            return;
        }
        self.obey(connection, &kind, object, post, out);
    }

    /// Says what waited for a room's answer, up to the next question.
    fn say_what_was_held(&mut self, id: &PeerId, post: &mut Post, out: &mut Outputs) {
        while let Some((connection, online)) = self.online_by_id(id)
            && online.joining.is_none()
            && let Some(text) = online.held.pop_front()
        {
            online.held_bytes -= text.len();
            if let Some((kind, object)) = wire::read(&text) {
                self.obey(connection, &kind, object, post, out);
            }
        }
    }

    /// Does what a message says, which may be said.
    fn obey(
        &mut self,
        connection: ConnectionKey,
        kind: &str,
        object: Map<String, Value>,
        post: &mut Post,
        out: &mut Outputs,
    ) {
        let Some(session) = self.sessions.get(&connection) else { return };
        match (&session.state, kind) {
            (_, "close") => {
                self.remove(connection, post);
                out.push_back(Output::Close { connection });
            }
            (State::Waiting, "auth") => self.authenticate(connection, &object, post, out),
            (State::Waiting, _) => {
                self.counters.refused_auth += 1;
                self.end_with(connection, Fault::NOT_AUTHENTICATED, post, out);
            }
            // It has said who it is, and waits for the answer.
            (State::Asked(_), _) => {}
            (State::Online(_), "join") => self.join(connection, &object, post, out),
            (State::Online(_), "leave") => self.leave(connection, &object, post, out),
            (State::Online(_), "message" | "presence" | "command" | "event") => {
                self.route(connection, kind, object, post, out);
            }
            (State::Online(_), _) => {}
        }
    }

    fn join(
        &mut self,
        connection: ConnectionKey,
        object: &Map<String, Value>,
        post: &mut Post,
        out: &mut Outputs,
    ) {
        let limits = self.config.limits;
        let Some(name) = object.get("room").and_then(Value::as_str).filter(|it| !it.is_empty())
        else {
            return;
        };
        let chosen = &self.config.rooms.chosen;
        let room = RoomName::new(name);
        let is_allowed = room.as_ref().is_some_and(|room| chosen.allows(room) && !self.is_id(name));
        let is_private = self.config.rooms.are_user_rooms_private && self.is_virtual(name);
        let Some((id, online)) = online(&mut self.sessions, connection) else { return };
        let has_room = |room: &RoomName| {
            online.rooms.contains(room) || online.rooms.len() < limits.rooms_of_session_max
        };
        let fault = match chosen {
            crate::Chosen::Nothing => Some(Fault::NO_DYNAMIC_ROOMS),
            _ if !is_allowed => Some(Fault::ROOM_NOT_ALLOWED),
            _ if is_private => Some(Fault::ROOM_PRIVATE),
            _ if !room.as_ref().is_some_and(has_room) => Some(Fault::TOO_MANY_ROOMS),
            _ => None,
        };
        if let Some(fault) = fault {
            return send(connection, fault.text(), out);
        }
        let room = room.expect("what is allowed is a name");
        online.joining = Some(room.clone());
        let card = online.card(id);
        let home = room.home(self.shards_count);
        post.push((home, Letter::Join { card, rooms: vec![(room, true)], is_asked: true }));
    }

    fn leave(
        &mut self,
        connection: ConnectionKey,
        object: &Map<String, Value>,
        post: &mut Post,
        out: &mut Outputs,
    ) {
        let Some(name) = object.get("room").and_then(Value::as_str).filter(|it| !it.is_empty())
        else {
            return;
        };
        if self.config.rooms.chosen == crate::Chosen::Nothing {
            return send(connection, Fault::NO_DYNAMIC_ROOMS.text(), out);
        }
        let Some(room) = RoomName::new(name) else { return };
        let Some((id, online)) = online(&mut self.sessions, connection) else { return };
        if online.rooms.remove(&room) {
            online.share();
            let rooms = vec![room.clone()];
            post.push((room.home(self.shards_count), Letter::Leave { id, rooms }));
        }
        send(connection, wire::acknowledged("leave:ok", &room), out);
    }

    fn joined(&mut self, admission: Admission, out: &mut Outputs) {
        let Admission { id, is_asked, joined, refused, snapshot } = admission;
        let virtual_peers = &self.config.virtual_peers;
        let Some(connection) = self.by_id.get(&id).copied() else { return };
        let Some((_, online)) = online(&mut self.sessions, connection) else { return };
        for (room, fault) in &refused {
            online.rooms.remove(room);
            send(connection, fault.text(), out);
        }
        if is_asked {
            online.joining = None;
            for room in joined {
                send(connection, wire::acknowledged("join:ok", &room), out);
                for peer in virtual_peers.iter().filter(|peer| peer.rooms.contains(&room)) {
                    send(connection, peer.presence(true), out);
                }
                online.rooms.insert(room);
            }
        }
        online.share();
        for card in snapshot {
            if self.latest.learn(card.id, card.version) {
                self.counters.messages_delivered += 1;
                out.push_back(Output::Send { to: vec![connection], text: card.presence });
            }
        }
    }

    fn deliver(
        &mut self,
        to: &[PeerId],
        shares: &[RoomName],
        within: Option<&RoomName>,
        text: &Arc<str>,
        out: &mut Outputs,
    ) {
        let mut connections = Vec::with_capacity(to.len());
        for id in to {
            let Some(connection) = self.by_id.get(id).copied() else { continue };
            let Some((_, online)) = online(&mut self.sessions, connection) else { continue };
            let is_within = within.is_none_or(|room| online.rooms.contains(room));
            if is_within && shares.iter().any(|room| online.rooms.contains(room)) {
                connections.push(connection);
            } else {
                self.counters.messages_not_shared += 1;
            }
        }
        if !connections.is_empty() {
            self.counters.messages_delivered += connections.len() as u64;
            out.push_back(Output::Send { to: connections, text: Arc::clone(text) });
        }
    }

    fn set_virtual(&mut self, peer: VirtualPeer, out: &mut Outputs) {
        self.tell_those_who_share(&peer, true, out);
        self.config.virtual_peers.retain(|other| other.id != peer.id);
        self.config.virtual_peers.push(peer);
    }

    fn remove_virtual(&mut self, id: &str, out: &mut Outputs) {
        let at = self.config.virtual_peers.iter().position(|peer| peer.id == id);
        if let Some(at) = at {
            let peer = self.config.virtual_peers.remove(at);
            self.tell_those_who_share(&peer, false, out);
        }
    }

    fn tell_those_who_share(&self, peer: &VirtualPeer, is_online: bool, out: &mut Outputs) {
        let shares = |session: &Session| match &session.state {
            State::Online(online) => peer.rooms.iter().any(|room| online.rooms.contains(room)),
            _ => false,
        };
        let sessions = self.sessions.iter().filter(|(_, session)| shares(session));
        let to: Vec<_> = sessions.map(|(connection, _)| *connection).collect();
        if !to.is_empty() {
            out.push_back(Output::Send { to, text: Arc::from(peer.presence(is_online)) });
        }
    }

    fn tick(&mut self, now: Instant, post: &mut Post, out: &mut Outputs) {
        while let Some((at, connection)) = self.auth_deadlines.first().copied() {
            if at > now {
                break;
            }
            self.counters.closed_auth_timeout += 1;
            self.end_with(connection, Fault::AUTH_TIMEOUT, post, out);
        }
    }

    fn shut_down(&mut self, post: &mut Post, out: &mut Outputs) {
        let all: Vec<ConnectionKey> = self.sessions.keys().copied().collect();
        if !all.is_empty() {
            out.push_back(Output::Send { to: all.clone(), text: Arc::from(wire::shutdown()) });
        }
        for connection in all {
            self.remove(connection, post);
            out.push_back(Output::Close { connection });
        }
    }

    fn end_with(
        &mut self,
        connection: ConnectionKey,
        fault: Fault,
        post: &mut Post,
        out: &mut Outputs,
    ) {
        if self.sessions.contains_key(&connection) {
            self.remove(connection, post);
            send(connection, fault.text(), out);
            out.push_back(Output::Close { connection });
        }
    }

    fn remove(&mut self, connection: ConnectionKey, post: &mut Post) {
        let Some(session) = self.sessions.remove(&connection) else { return };
        self.auth_deadlines.remove(&(session.auth_until, connection));
        let State::Online(online) = session.state else { return };
        self.by_id.remove(&session.id);
        let text: Arc<str> = Arc::from(online.identity.offline());
        let rooms: BTreeSet<_> = online.joining.iter().chain(&online.rooms).cloned().collect();
        for (home, rooms) in by_home(rooms, self.shards_count) {
            let (rooms, text) = (Arc::from(rooms), Arc::clone(&text));
            post.push((home, Letter::Gone { id: session.id, rooms, text }));
        }
    }

    /// Whether a name is a session's id, or could be: what is sent to the id alone would reach
    /// whoever had it for a room or a user.
    fn is_id(&self, name: &str) -> bool {
        let is_session = PeerId::parse(name).is_some_and(|id| id.shard().0 < self.shards_count);
        is_session || self.config.virtual_peers.iter().any(|peer| peer.id == name)
    }

    /// Whether a user is the server itself, who is always there.
    fn is_virtual(&self, user: &str) -> bool {
        self.config.virtual_peers.iter().any(|peer| peer.user == user)
    }

    fn online_by_id(&mut self, id: &PeerId) -> Option<(ConnectionKey, &mut Online)> {
        let connection = self.by_id.get(id).copied()?;
        Some((connection, online(&mut self.sessions, connection)?.1))
    }
}

fn online(
    sessions: &mut BTreeMap<ConnectionKey, Session>,
    connection: ConnectionKey,
) -> Option<(PeerId, &mut Online)> {
    let session = sessions.get_mut(&connection)?;
    match &mut session.state {
        State::Online(online) => Some((session.id, online)),
        _ => None,
    }
}

fn send(connection: ConnectionKey, text: String, out: &mut Outputs) {
    out.push_back(Output::Send { to: vec![connection], text: Arc::from(text) });
}

/// Rooms by the shard that they live on, in its order.
fn by_home(
    rooms: impl IntoIterator<Item = RoomName>,
    shards_count: u16,
) -> BTreeMap<ShardIndex, Vec<RoomName>> {
    let mut homes: BTreeMap<ShardIndex, Vec<RoomName>> = BTreeMap::new();
    for room in rooms {
        homes.entry(room.home(shards_count)).or_default().push(room);
    }
    homes
}
