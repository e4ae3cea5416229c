//! What really happened between the peers of signalling: who was in which room, what each said, and
//! who has yet to hear it.
//!
//! A client knows of its own rooms what it asked for and what it was answered, in the order of its
//! connection. So a room is *possible* from the question to the answer that it is left, and
//! *certain* from the answer that it is joined to the question to leave. What is heard must have
//! been possible; what was certain must be heard.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// How long a message may be under way when nothing goes wrong.
const ON_ITS_WAY: Duration = Duration::from_secs(5);
/// How long an end may take to be known to all: it may only be noticed by pings.
pub(crate) const END_IS_KNOWN: Duration = Duration::from_secs(16);

/// How a peer stands to a room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stay {
    /// It has asked to join.
    Asked,
    /// It was told that it is in.
    In,
    /// It was told so when it came: the room may not know yet.
    FromTheStart,
    /// It has asked to leave.
    Leaving,
}

/// To whom something is said.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum To {
    /// Without `to`.
    All,
    /// `user|id`.
    Address(usize),
    /// The id alone.
    BareId(usize),
    Room(String),
    Rooms(Vec<String>),
}

/// A session, from its welcome to its end.
#[derive(Debug)]
pub(crate) struct PeerTruth {
    pub(crate) address: String,
    pub(crate) rooms: BTreeMap<String, Stay>,
    /// Number of its last presence; 0 is the one that it was welcomed with.
    pub(crate) version: u64,
    /// It has left a room.
    has_left: bool,
    gone_at: Option<Instant>,
    /// What it has heard.
    heard: BTreeSet<u64>,
    /// The last message of each sender by each way.
    newest: BTreeMap<(usize, To), u64>,
    /// Whom it has heard of: the number of the last presence; `None`: gone.
    roster: BTreeMap<String, Option<u64>>,
}

#[derive(Debug)]
struct Said {
    from: usize,
    to: To,
    /// Rooms that its sender may have been in.
    rooms: Vec<String>,
    at: Instant,
}

/// All of it.
#[derive(Default)]
pub(crate) struct Talk {
    peers: Vec<PeerTruth>,
    said: Vec<Said>,
    /// Receivers and messages that are not heard yet, and must be.
    owed: BTreeSet<(usize, u64)>,
    /// Whether nobody joins, leaves or goes any more.
    pub(crate) is_settled: bool,
}

impl PeerTruth {
    fn is_here(&self) -> bool {
        self.gone_at.is_none()
    }
}

impl Talk {
    /// Somebody was welcomed.
    pub(crate) fn begin(&mut self, address: &str, rooms: impl Iterator<Item = String>) -> usize {
        self.peers.push(PeerTruth {
            address: address.to_owned(),
            rooms: rooms.map(|room| (room, Stay::FromTheStart)).collect(),
            version: 0,
            has_left: false,
            gone_at: None,
            heard: BTreeSet::new(),
            newest: BTreeMap::new(),
            roster: BTreeMap::new(),
        });
        self.peers.len() - 1
    }

    /// It is no more, or nothing that it says is heard any more.
    pub(crate) fn end(&mut self, peer: usize, now: Instant) {
        self.peers[peer].gone_at = Some(now);
        let said = &self.said;
        self.owed.retain(|(to, message)| *to != peer && said[*message as usize].from != peer);
    }

    pub(crate) fn peer(&mut self, peer: usize) -> &mut PeerTruth {
        &mut self.peers[peer]
    }

    /// Those who are here, but one.
    pub(crate) fn others(&self, peer: usize) -> Vec<usize> {
        (0..self.peers.len()).filter(|it| *it != peer && self.peers[*it].is_here()).collect()
    }

    /// It asks to leave a room, and owes nobody to hear what is said there.
    pub(crate) fn leaves(&mut self, peer: usize, room: &str) {
        self.peers[peer].rooms.insert(room.to_owned(), Stay::Leaving);
        self.peers[peer].has_left = true;
        self.owed.retain(|(to, _)| *to != peer);
    }

    /// It was told that it is in, and may have asked to leave since it asked for that.
    pub(crate) fn has_joined(&mut self, peer: usize, room: &str) {
        if let Some(stay @ Stay::Asked) = self.peers[peer].rooms.get_mut(room) {
            *stay = Stay::In;
        }
    }

    /// It was told that it has left, or was put out.
    pub(crate) fn has_left(&mut self, peer: usize, room: &str) {
        self.leaves(peer, room);
        self.peers[peer].rooms.remove(room);
    }

    /// Somebody says something; the answer is its number.
    pub(crate) fn say(&mut self, from: usize, to: &To, now: Instant) -> u64 {
        let number = self.said.len() as u64;
        let sender = &self.peers[from];
        let rooms = sender.rooms.iter().filter(|(_, stay)| **stay != Stay::Leaving);
        let rooms: Vec<String> = rooms.map(|(room, _)| room.clone()).collect();
        let certain = self.certain(from);
        let mut owed = Vec::new();
        for other in self.others(from) {
            let of_other = self.certain(other);
            let shared: Vec<&String> = of_other.intersection(&certain).copied().collect();
            let must_hear = match to {
                To::All => !shared.is_empty(),
                To::Address(peer) | To::BareId(peer) => *peer == other && !shared.is_empty(),
                To::Room(room) => shared.contains(&room),
                To::Rooms(list) => shared.iter().any(|room| list.contains(room)),
            };
            if must_hear {
                owed.push((other, number));
            }
        }
        self.owed.extend(owed);
        self.said.push(Said { from, to: to.clone(), rooms, at: now });
        number
    }

    /// Somebody heard a message.
    pub(crate) fn hear(&mut self, by: usize, number: u64, from: &str) -> Result<(), String> {
        let Some(said) = self.said.get(number as usize) else {
            return Err(format!("message {number} was never said"));
        };
        self.owed.remove(&(by, number));
        let sender = &self.peers[said.from];
        if sender.address != from {
            return Err(format!("message {number} of {} comes as from {from}", sender.address));
        }
        let receiver = &mut self.peers[by];
        if !said.rooms.iter().any(|room| receiver.rooms.contains_key(room)) {
            let rooms = &receiver.rooms;
            return Err(format!("message {number} of one in {:?} to one in {rooms:?}", said.rooms));
        }
        let is_meant = match &said.to {
            To::All => by != said.from,
            To::Address(peer) | To::BareId(peer) => *peer == by,
            To::Room(room) => by != said.from && receiver.rooms.contains_key(room),
            To::Rooms(list) => {
                by != said.from && list.iter().any(|room| receiver.rooms.contains_key(room))
            }
        };
        if !is_meant {
            return Err(format!("message {number} to {:?} reaches {}", said.to, receiver.address));
        }
        if !receiver.heard.insert(number) {
            return Err(format!("message {number} comes twice to {}", receiver.address));
        }
        // What goes from home to home goes another way when its sender's rooms are others.
        let has_one_way = !matches!(said.to, To::All | To::Rooms(_)) || self.is_settled;
        let newest = receiver.newest.entry((said.from, said.to.clone())).or_insert(number);
        if has_one_way && *newest > number {
            return Err(format!("message {number} of {from} comes behind its {newest}"));
        }
        *newest = number.max(*newest);
        Ok(())
    }

    /// Somebody heard of a peer: the number of its presence, or its end.
    pub(crate) fn see(&mut self, by: usize, of: &str, news: Option<u64>) -> Result<(), String> {
        let known = self.peers[by].roster.insert(of.to_owned(), news);
        match (known, news) {
            (Some(None), Some(_)) => Err(format!("{of} was gone, and is there again")),
            (Some(Some(old)), Some(new)) if new < old => {
                Err(format!("presence {new} of {of} comes behind its {old}"))
            }
            _ => Ok(()),
        }
    }

    /// What is wrong when nothing has gone wrong for a while.
    pub(crate) fn inspect(&self, now: Instant, has_public: bool) -> Option<String> {
        let lost = self.owed.iter().find(|(_, it)| now > self.said[*it as usize].at + ON_ITS_WAY);
        if let Some((to, number)) = lost {
            let (said, to) = (&self.said[*number as usize], &self.peers[*to]);
            let from = &self.peers[said.from].address;
            return Some(format!(
                "message {number} of {from} to {:?} never came to {to:?}",
                said.to
            ));
        }
        let here = || self.peers.iter().enumerate().filter(|(_, peer)| peer.is_here());
        for (by, peer) in here() {
            for (other_number, other) in here().filter(|(other, _)| *other != by) {
                let is_shared = !self.certain(by).is_disjoint(&self.certain(other_number));
                let known = peer.roster.get(&other.address).copied().flatten();
                if is_shared && known != Some(other.version) {
                    let (who, of, version) = (&peer.address, &other.address, other.version);
                    return Some(format!("{who} knows presence {known:?} of {of}, not {version}"));
                }
            }
            // Who leaves all rooms of another, or is left, does not hear of its end.
            if !has_public || peer.has_left {
                continue;
            }
            let is_ghost = |other: &&PeerTruth| {
                other.gone_at.is_some_and(|at| now > at + END_IS_KNOWN)
                    && !other.has_left
                    && peer.roster.get(&other.address).is_some_and(Option::is_some)
            };
            if let Some(ghost) = self.peers.iter().find(is_ghost) {
                return Some(format!("{} still sees {}", peer.address, ghost.address));
            }
        }
        None
    }

    fn certain(&self, peer: usize) -> BTreeSet<&String> {
        let is_certain = |stay: &Stay| match stay {
            Stay::In => true,
            Stay::FromTheStart => self.is_settled,
            Stay::Asked | Stay::Leaving => false,
        };
        let rooms = self.peers[peer].rooms.iter().filter(|(_, stay)| is_certain(stay));
        rooms.map(|(room, _)| room).collect()
    }
}
