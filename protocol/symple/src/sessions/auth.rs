//! The first message of a session, and what comes of it.

use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::{Online, Outputs, Sessions, State, by_home, send};
use crate::address::{RoomName, is_name};
use crate::config::Access;
use crate::mail::Letter;
use crate::rooms::Post;
use crate::server::{ConnectionKey, Output, Verdict};
use crate::wire::{self, Fault, Identity, unreserved};

/// What somebody said of itself.
#[derive(Debug)]
pub(super) struct Request {
    user: String,
    name: String,
    extras: Map<String, Value>,
    /// Beside its own and everybody's, with whether it chose them itself.
    rooms: Vec<(RoomName, bool)>,
}

impl Sessions {
    pub(super) fn authenticate(
        &mut self,
        connection: ConnectionKey,
        object: &Map<String, Value>,
        post: &mut Post,
        out: &mut Outputs,
    ) {
        let text = |key: &str| object.get(key).and_then(Value::as_str).filter(|it| !it.is_empty());
        let user = match text("user") {
            Some(user) if is_name(user) && !self.is_id(user) && !self.is_virtual(user) => {
                user.to_owned()
            }
            Some(_) => return self.refuse(connection, Fault::BAD_USER, post, out),
            None => return self.refuse(connection, Fault::NO_USER, post, out),
        };
        let name = text("name").filter(|name| name.len() <= crate::NAME_BYTES_MAX);
        let name = name.unwrap_or(&user).to_owned();
        let said = object.get("data").and_then(Value::as_object);
        let extras = said.map(unreserved).unwrap_or_default();
        let mut request = Request { user, name, extras, rooms: Vec::new() };
        let token = text("token");
        let wished = object.get("rooms").and_then(Value::as_array);
        let wished = wished.into_iter().flatten().filter_map(Value::as_str);
        let wished = wished.filter_map(RoomName::new);
        let wished: Vec<RoomName> = wished.take(self.config.limits.rooms_of_session_max).collect();
        let is_right = match &self.config.access {
            Access::Open => true,
            Access::Token(secret) => token.is_some_and(|token| secret.is(token)),
            // All are compared, so that the time says nothing of which was right.
            Access::Tokens(secrets) => token.is_some_and(|token| {
                secrets.iter().fold(false, |is_right, secret| is_right | secret.is(token))
            }),
            Access::Ask => {
                out.push_back(Output::Ask {
                    connection,
                    user: request.user.clone(),
                    token: token.map(str::to_owned),
                    rooms: wished,
                });
                if let Some(session) = self.sessions.get_mut(&connection) {
                    session.state = State::Asked(request);
                }
                return;
            }
        };
        if !is_right {
            return self.refuse(connection, Fault::AUTH_FAILED, post, out);
        }
        let chosen = &self.config.rooms.chosen;
        let is_private = self.config.rooms.are_user_rooms_private;
        let wished = wished.into_iter().filter(|room| {
            let name = room.as_str();
            chosen.allows(room) && !self.is_id(name) && !(is_private && self.is_virtual(name))
        });
        request.rooms = wished.map(|room| (room, true)).collect();
        self.welcome(connection, request, post, out);
    }

    pub(super) fn judged(
        &mut self,
        connection: ConnectionKey,
        verdict: Verdict,
        post: &mut Post,
        out: &mut Outputs,
    ) {
        let Some(session) = self.sessions.get_mut(&connection) else { return };
        if !matches!(session.state, State::Asked(_)) {
            return;
        }
        let State::Asked(mut request) = std::mem::replace(&mut session.state, State::Waiting)
        else {
            return;
        };
        match verdict {
            Verdict::Allowed(rooms) => {
                request.rooms = rooms.into_iter().map(|room| (room, false)).collect();
                self.welcome(connection, request, post, out);
            }
            Verdict::Refused => self.refuse(connection, Fault::AUTH_FAILED, post, out),
        }
    }

    fn refuse(
        &mut self,
        connection: ConnectionKey,
        fault: Fault,
        post: &mut Post,
        out: &mut Outputs,
    ) {
        self.counters.refused_auth += 1;
        self.end_with(connection, fault, post, out);
    }

    fn welcome(
        &mut self,
        connection: ConnectionKey,
        request: Request,
        post: &mut Post,
        out: &mut Outputs,
    ) {
        let limits = self.config.limits;
        let everybody = self.config.rooms.everybody.clone();
        let Some(session) = self.sessions.get_mut(&connection) else { return };
        let Request { user, name, extras, rooms: more } = request;
        let own = RoomName::new(&user).expect("a user's name names a room too");
        let identity = Identity { id: session.id.to_string(), user, name, extras };
        // The user's own, then those for it, then everybody's; each once.
        let mut rooms: Vec<(RoomName, bool)> = vec![(own, false)];
        let room_for = limits.rooms_of_session_max.saturating_sub(1 + everybody.len());
        let more = more.into_iter().take(room_for);
        for (room, chosen) in more.chain(everybody.into_iter().map(|room| (room, false))) {
            if rooms.iter().all(|(other, _)| *other != room) {
                rooms.push((room, chosen));
            }
        }
        let names: Vec<RoomName> = rooms.iter().map(|(room, _)| room.clone()).collect();
        let mut online = Online {
            address: identity.address(),
            identity,
            rooms: names.iter().cloned().collect(),
            shares: Arc::from([]),
            joining: None,
            held: VecDeque::new(),
            held_bytes: 0,
            presence: Arc::from(""),
            version: 0,
        };
        online.share();
        let data = online.identity.data(None);
        online.set_presence(data.clone(), limits.presence_bytes_max);
        send(connection, wire::welcome(data, &names), out);
        let peers = &self.config.virtual_peers;
        for peer in peers.iter().filter(|peer| peer.rooms.iter().any(|room| names.contains(room))) {
            send(connection, peer.presence(true), out);
        }
        let card = online.card(session.id);
        for (home, names) in by_home(names, self.shards_count) {
            let chosen = |name: &RoomName| rooms.iter().any(|(room, is)| room == name && *is);
            let rooms = names.into_iter().map(|name| (name.clone(), chosen(&name))).collect();
            post.push((home, Letter::Join { card: card.clone(), rooms, is_asked: false }));
        }
        self.auth_deadlines.remove(&(session.auth_until, connection));
        self.by_id.insert(session.id, connection);
        session.state = State::Online(Box::new(online));
    }
}
