//! The rooms that live on one shard, and who is in them.
//!
//! Invariant: an empty room is not there. A member is there until its session's `Leave` or `Gone`,
//! which come behind its `Join` from the same shard.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::address::{PeerId, RoomName, ShardIndex};
use crate::config::Limits;
use crate::mail::{Admission, Card, GONE, Letter, Saying, Version};
use crate::wire::Fault;

/// Rooms, and letters that wait to be taken.
#[derive(Debug)]
pub(crate) struct Rooms {
    me: ShardIndex,
    shards_count: u16,
    limits: Limits,
    are_user_rooms_private: bool,
    rooms: BTreeMap<RoomName, Room>,
    dropped_count: u64,
}

#[derive(Debug, Default)]
struct Room {
    members: BTreeMap<PeerId, Member>,
    /// Members whose own room it is.
    owners_count: usize,
}

#[derive(Debug)]
struct Member {
    card: Card,
    is_owner: bool,
    has_chosen: bool,
}

/// Where a letter goes.
pub(crate) type Post = Vec<(ShardIndex, Letter)>;

impl Rooms {
    pub(crate) fn new(
        me: ShardIndex,
        shards_count: u16,
        limits: Limits,
        are_user_rooms_private: bool,
    ) -> Rooms {
        let rooms = BTreeMap::new();
        Rooms { me, shards_count, limits, are_user_rooms_private, rooms, dropped_count: 0 }
    }

    /// Rooms that live here.
    pub(crate) fn count(&self) -> usize {
        self.rooms.len()
    }

    /// They, and how many are in each.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&RoomName, usize)> {
        self.rooms.iter().map(|(name, room)| (name, room.members.len()))
    }

    /// Messages to names that are neither rooms nor sessions.
    pub(crate) fn dropped_count(&self) -> u64 {
        self.dropped_count
    }

    pub(crate) fn handle(&mut self, letter: Letter, post: &mut Post) {
        match letter {
            Letter::Join { card, rooms, is_asked } => self.join(&card, rooms, is_asked, post),
            Letter::Update { card, rooms, text } => {
                for room in rooms.iter() {
                    let member = self.rooms.get_mut(room).map(|room| &mut room.members);
                    if let Some(member) = member.and_then(|members| members.get_mut(&card.id)) {
                        member.card = card.clone();
                    }
                }
                let to = self.members_of(&rooms, |id| *id != card.id);
                let delivery = Delivery {
                    presence: Some((card.id, card.version)),
                    ..Delivery::of(&rooms, &text)
                };
                delivery.to(&to, post);
            }
            Letter::Leave { id, rooms } => {
                for room in &rooms {
                    self.remove(&id, room);
                }
            }
            Letter::Gone { id, rooms, text } => {
                for room in rooms.iter() {
                    self.remove(&id, room);
                }
                let to = self.members_of(&rooms, |_| true);
                let presence = Some((id, GONE));
                Delivery { presence, ..Delivery::of(&rooms, &text) }.to(&to, post);
            }
            Letter::Say { saying, rooms, had_it } => self.say(saying, rooms, had_it, post),
            Letter::Named { saying, name } => self.named(saying, &name, post),
            _ => unreachable!("letters to sessions are not for rooms"),
        }
    }

    fn join(&mut self, card: &Card, rooms: Vec<(RoomName, bool)>, is_asked: bool, post: &mut Post) {
        let (mut joined, mut refused) = (Vec::new(), Vec::new());
        for (name, has_chosen) in rooms {
            match self.admit(card, &name, has_chosen, post) {
                Ok(()) => joined.push(name),
                Err(fault) => refused.push((name, fault)),
            }
        }
        let others = self.members_of(&joined, |id| *id != card.id);
        let snapshot = self.cards(&joined, &others);
        if !is_asked {
            let shares = Arc::from(&joined[..]);
            let presence = Some((card.id, card.version));
            Delivery { presence, ..Delivery::of(&shares, &card.presence) }.to(&others, post);
        }
        let admission = Admission { id: card.id, is_asked, joined, refused, snapshot };
        post.push((card.id.shard(), Letter::Joined(admission)));
    }

    fn admit(
        &mut self,
        card: &Card,
        name: &RoomName,
        has_chosen: bool,
        post: &mut Post,
    ) -> Result<(), Fault> {
        let is_owner = &*card.user == name.as_str();
        let is_new = !self.rooms.contains_key(name);
        if is_new && self.rooms.len() >= self.limits.rooms_max {
            return Err(Fault::ROOM_FULL);
        }
        let room = self.rooms.entry(name.clone()).or_default();
        if let Some(member) = room.members.get_mut(&card.id) {
            member.card = card.clone();
            return Ok(());
        }
        if self.are_user_rooms_private && has_chosen && !is_owner && room.owners_count > 0 {
            return Err(Fault::ROOM_PRIVATE);
        }
        if room.members.len() >= self.limits.members_of_room_max {
            return Err(Fault::ROOM_FULL);
        }
        if self.are_user_rooms_private && is_owner {
            // Whoever waited in this room for its owner to come has no right to be there.
            room.members.retain(|id, member| {
                let stays = member.is_owner || !member.has_chosen;
                if !stays {
                    post.push((id.shard(), Letter::PutOut { id: *id, room: name.clone() }));
                }
                stays
            });
        }
        room.owners_count += usize::from(is_owner);
        room.members.insert(card.id, Member { card: card.clone(), is_owner, has_chosen });
        Ok(())
    }

    fn remove(&mut self, id: &PeerId, name: &RoomName) {
        let Some(room) = self.rooms.get_mut(name) else { return };
        if let Some(member) = room.members.remove(id) {
            room.owners_count -= usize::from(member.is_owner);
        }
        if room.members.is_empty() {
            self.rooms.remove(name);
        }
    }

    fn say(
        &mut self,
        saying: Saying,
        rooms: Vec<RoomName>,
        mut had_it: Vec<PeerId>,
        post: &mut Post,
    ) {
        let home = |room: &RoomName| room.home(self.shards_count);
        let (here, rest): (Vec<_>, Vec<_>) =
            rooms.into_iter().partition(|room| home(room) == self.me);
        let to = self
            .members_of(&here, |id| Some(*id) != saying.from && had_it.binary_search(id).is_err());
        Delivery::of(&saying.shares, &saying.text).to(&to, post);
        if let Some(next) = rest.iter().map(home).min() {
            had_it.extend(to);
            had_it.sort_unstable();
            post.push((next, Letter::Say { saying, rooms: rest, had_it }));
        }
    }

    fn named(&mut self, saying: Saying, name: &str, post: &mut Post) {
        let room = RoomName::new(name).filter(|room| self.rooms.contains_key(room));
        if let Some(room) = room {
            let to = self.members_of(std::slice::from_ref(&room), |id| Some(*id) != saying.from);
            let within = Some(&room);
            Delivery { within, ..Delivery::of(&saying.shares, &saying.text) }.to(&to, post);
            return;
        }
        match PeerId::parse(name).filter(|id| id.shard().0 < self.shards_count) {
            Some(id) => post.push((id.shard(), Letter::Direct { saying, to: id })),
            None => self.dropped_count += 1,
        }
    }

    /// Members of any of these rooms, each once.
    fn members_of(&self, rooms: &[RoomName], wanted: impl Fn(&PeerId) -> bool) -> BTreeSet<PeerId> {
        let rooms = rooms.iter().filter_map(|room| self.rooms.get(room));
        rooms.flat_map(|room| room.members.keys()).filter(|id| wanted(id)).copied().collect()
    }

    fn cards(&self, rooms: &[RoomName], of: &BTreeSet<PeerId>) -> Vec<Card> {
        let member = |id: &PeerId| {
            let mut rooms = rooms.iter().filter_map(|room| self.rooms.get(room));
            rooms.find_map(|room| room.members.get(id))
        };
        of.iter().filter_map(member).map(|member| member.card.clone()).collect()
    }
}

/// What is handed to several sessions.
#[derive(Clone, Copy)]
struct Delivery<'d> {
    shares: &'d Arc<[RoomName]>,
    within: Option<&'d RoomName>,
    presence: Option<(PeerId, Version)>,
    text: &'d Arc<str>,
}

impl<'d> Delivery<'d> {
    fn of(shares: &'d Arc<[RoomName]>, text: &'d Arc<str>) -> Delivery<'d> {
        Delivery { shares, within: None, presence: None, text }
    }

    /// One letter for each shard where one of them lives.
    fn to(self, to: &BTreeSet<PeerId>, post: &mut Post) {
        // Ids begin with their shard, so those of a shard stand together.
        let ids: Vec<PeerId> = to.iter().copied().collect();
        for of_shard in ids.chunk_by(|one, other| one.shard() == other.shard()) {
            let letter = Letter::Deliver {
                to: of_shard.to_vec(),
                shares: Arc::clone(self.shares),
                within: self.within.cloned(),
                presence: self.presence,
                text: Arc::clone(self.text),
            };
            post.push((of_shard[0].shard(), letter));
        }
    }
}
