//! Where a message goes.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::{Outputs, Sessions, by_home, online, send};
use crate::address::{PeerId, RoomName, id_of_address};
use crate::mail::{Letter, Saying};
use crate::rooms::Post;
use crate::server::{ConnectionKey, Output, Recipient};
use crate::wire;

/// What `to` says.
enum To {
    All,
    /// A session or a virtual peer, by its id.
    Id(String),
    /// A room, or else a session.
    Name(String),
    Rooms(Vec<RoomName>),
    Nobody,
}

impl Sessions {
    pub(super) fn route(
        &mut self,
        connection: ConnectionKey,
        kind: &str,
        mut object: Map<String, Value>,
        post: &mut Post,
        out: &mut Outputs,
    ) {
        let limits = self.config.limits;
        let Some((id, online)) = online(&mut self.sessions, connection) else { return };
        object.insert("from".to_owned(), online.address.clone().into());
        let to = read_to(object.get("to"), &online.rooms);
        let shares = Arc::clone(&online.shares);
        let mut card = None;
        if kind == "presence" {
            let data = online.identity.data(object.get("data").and_then(Value::as_object));
            if matches!(to, To::All) {
                online.set_presence(data.clone(), limits.presence_bytes_max);
                card = Some(online.card(id));
            }
            object.insert("data".to_owned(), Value::Object(data));
        }
        let text: Arc<str> = Arc::from(wire::text(&object));
        self.virtual_peers_hear(connection, &to, &shares, &object, out);
        let saying = Saying { from: Some(id), shares: Arc::clone(&shares), text: text.clone() };
        if let Some(card) = card {
            for (home, rooms) in by_home(shares.iter().cloned(), self.shards_count) {
                let (card, rooms, text) = (card.clone(), Arc::from(rooms), Arc::clone(&text));
                post.push((home, Letter::Update { card, rooms, text }));
            }
            return;
        }
        self.post_to(to, saying, post);
    }

    /// A virtual peer says something.
    pub(super) fn speak(
        &mut self,
        peer: &str,
        to: Recipient<'_>,
        mut message: Map<String, Value>,
        post: &mut Post,
    ) {
        let peers = &self.config.virtual_peers;
        let Some(peer) = peers.iter().find(|other| other.id == peer) else { return };
        message.insert("from".to_owned(), peer.address().into());
        let mut shares = peer.rooms.clone();
        let to = match to {
            Recipient::Peer(address) => {
                message.insert("to".to_owned(), address.into());
                To::Id(id_of_address(address).unwrap_or(address).to_owned())
            }
            Recipient::Everybody => To::Rooms(peer.rooms.clone()),
            Recipient::Rooms(rooms) => {
                shares = rooms.to_vec();
                To::Rooms(rooms.to_vec())
            }
        };
        let text = Arc::from(wire::text(&message));
        let shares = Arc::from(shares);
        self.post_to(to, Saying { from: None, shares, text }, post);
    }

    fn post_to(&mut self, to: To, saying: Saying, post: &mut Post) {
        let shards_count = self.shards_count;
        match to {
            To::Id(id) => match PeerId::parse(&id).filter(|id| id.shard().0 < shards_count) {
                Some(to) => post.push((to.shard(), Letter::Direct { saying, to })),
                None if self.config.virtual_peers.iter().any(|peer| peer.id == id) => {}
                None => self.counters.messages_unroutable += 1,
            },
            To::Name(name) => match RoomName::new(&name) {
                Some(room) => {
                    post.push((room.home(shards_count), Letter::Named { saying, name }));
                }
                None => self.counters.messages_unroutable += 1,
            },
            To::All => {
                let rooms = saying.shares.to_vec();
                say(saying, rooms, shards_count, post);
            }
            To::Rooms(rooms) => {
                // Whoever has left all of them meanwhile does not hear it, whatever else it shares.
                let saying = Saying { shares: Arc::from(&rooms[..]), ..saying };
                say(saying, rooms, shards_count, post);
            }
            To::Nobody => self.counters.messages_unroutable += 1,
        }
    }

    fn virtual_peers_hear(
        &mut self,
        connection: ConnectionKey,
        to: &To,
        shares: &[RoomName],
        object: &Map<String, Value>,
        out: &mut Outputs,
    ) {
        let from = object.get("from").and_then(Value::as_str).unwrap_or_default();
        let is_presence = object.get("type").and_then(Value::as_str) == Some("presence");
        let is_probe = is_presence && object.get("probe") == Some(&Value::Bool(true));
        for peer in &self.config.virtual_peers {
            let is_in = |room: &RoomName| peer.rooms.contains(room);
            let is_meant = match to {
                To::All => true,
                To::Id(id) => *id == peer.id,
                To::Name(name) => {
                    *name == peer.id || peer.rooms.iter().any(|room| room.as_str() == name)
                }
                To::Rooms(rooms) => rooms.iter().any(is_in),
                To::Nobody => false,
            };
            if !is_meant || !shares.iter().any(is_in) {
                continue;
            }
            if is_probe {
                send(connection, peer.presence(true), out);
            }
            out.push_back(Output::Heard {
                peer: peer.id.clone(),
                from: from.to_owned(),
                connection,
                message: object.clone(),
            });
        }
    }
}

fn say(saying: Saying, rooms: Vec<RoomName>, shards_count: u16, post: &mut Post) {
    // It goes from home to home, and each adds who had it: so nobody has it twice.
    if let Some(first) = rooms.iter().map(|room| room.home(shards_count)).min() {
        post.push((first, Letter::Say { saying, rooms, had_it: Vec::new() }));
    }
}

fn read_to(to: Option<&Value>, rooms: &BTreeSet<RoomName>) -> To {
    match to {
        None => To::All,
        Some(Value::String(text)) => match id_of_address(text) {
            Some(id) => To::Id(id.to_owned()),
            None => To::Name(text.clone()),
        },
        Some(Value::Array(list)) => {
            let named = list.iter().filter_map(Value::as_str).filter_map(RoomName::new);
            let named: BTreeSet<RoomName> = named.filter(|room| rooms.contains(room)).collect();
            To::Rooms(named.into_iter().collect())
        }
        Some(_) => To::Nobody,
    }
}
