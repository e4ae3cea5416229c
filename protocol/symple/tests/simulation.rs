//! Several shards whose mail is late by chance, from one seed: what must hold in every order.
//!
//! A run is three acts: everything at once (peers come, join, leave, speak, go), then only
//! speaking, then the end. The checkers look at what clients saw. That they can find something is
//! shown by planting faults: mail that is lost, and mail that overtakes.

mod world;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};

use protocol_symple::ConnectionKey;
use serde_json::{Value, json};
use world::{World, open};

const SEEDS_COUNT: u64 = 24;
const STEPS_COUNT: usize = 400;
const ROOMS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

#[derive(Clone, Copy, PartialEq)]
enum Fault {
    None,
    LosesMail,
    OvertakesMail,
}

/// Xorshift: small, seeded, and the same everywhere.
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound
    }
}

struct Run {
    world: World,
    draw: Draw,
    fault: Fault,
    /// Whether there is a room that all are in, always.
    has_public: bool,
    online: Vec<ConnectionKey>,
    /// Who is known to whom, and the version of the presence; `None`: gone.
    rosters: BTreeMap<ConnectionKey, BTreeMap<String, Option<u64>>>,
    /// The version of everybody's last presence, by address.
    versions: BTreeMap<String, u64>,
    /// Numbers of the messages that each has heard, with their senders.
    heard: BTreeMap<ConnectionKey, Vec<(String, u64)>>,
    have_left: BTreeSet<ConnectionKey>,
    /// Rooms that each has asked for, without an answer yet: they come in order.
    asked: BTreeMap<ConnectionKey, VecDeque<String>>,
    next_number: u64,
}

#[test]
fn whatever_the_order() {
    for seed in 1..=SEEDS_COUNT {
        for shards_count in [1, 2, 5] {
            if let Err(panic) = catch_unwind(|| Run::new(seed, shards_count, Fault::None).whole()) {
                eprintln!("seed {seed}, {shards_count} shards");
                std::panic::resume_unwind(panic);
            }
        }
    }
}

#[test]
fn planted_faults_are_found() {
    std::panic::set_hook(Box::new(|_| {}));
    for fault in [Fault::LosesMail, Fault::OvertakesMail] {
        let found = (1..=SEEDS_COUNT).filter(|seed| {
            let run = AssertUnwindSafe(|| Run::new(*seed, 3, fault).whole());
            catch_unwind(run).is_err()
        });
        let found_count = found.count() as u64;
        assert!(found_count > SEEDS_COUNT / 2, "found with {found_count} seeds");
    }
    let _ = std::panic::take_hook();
}

impl Run {
    fn new(seed: u64, shards_count: u16, fault: Fault) -> Run {
        let mut config = open();
        if seed.is_multiple_of(3) {
            config.rooms.everybody.clear();
        }
        config.limits.messages_max = 100_000;
        Run {
            world: World::new(config, shards_count),
            draw: Draw(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            fault,
            has_public: !seed.is_multiple_of(3),
            online: Vec::new(),
            rosters: BTreeMap::new(),
            versions: BTreeMap::new(),
            heard: BTreeMap::new(),
            have_left: BTreeSet::new(),
            asked: BTreeMap::new(),
            next_number: 0,
        }
    }

    fn whole(mut self) {
        for _ in 0..STEPS_COUNT {
            self.step();
        }
        self.settle();
        self.check_rosters();
        self.everybody_presents_itself();
        self.check_rosters();
        self.only_speaking();
        self.end();
    }

    fn step(&mut self) {
        match self.draw.below(20) {
            0..=1 if self.online.len() < 12 => {
                let connection = self.world.connect();
                let user = format!("u{}", self.draw.below(8));
                let text = json!({"type": "auth", "user": user}).to_string();
                self.world.text(connection, &text);
                self.online.push(connection);
            }
            2 if self.online.len() > 3 => {
                let at = self.draw.below(self.online.len());
                let connection = self.online.swap_remove(at);
                self.world.disconnect(connection);
                self.rosters.remove(&connection);
            }
            3..=6 => {
                let join = |room: &str| json!({"type": "join", "room": room});
                if let Some(connection) = self.one_says(join) {
                    // Who joins is not announced, and does not wait to be told that it is in.
                    self.present(connection);
                }
            }
            7..=8 => {
                if let Some(connection) =
                    self.one_says(|room| json!({"type": "leave", "room": room}))
                {
                    self.have_left.insert(connection);
                }
            }
            9..=10 => self.presents_itself(),
            11..=12 => self.speaks(),
            _ => self.mail(),
        }
        self.look();
    }

    fn mail(&mut self) {
        let choice = self.draw.below(1000);
        match self.fault {
            Fault::LosesMail if self.draw.below(8) == 0 => {
                if let Some(mut queue) = self.world.mail.first_entry() {
                    queue.get_mut().pop_front();
                    if queue.get().is_empty() {
                        queue.remove();
                    }
                }
            }
            Fault::OvertakesMail => {
                if let Some(queue) = self.world.mail.values_mut().next() {
                    queue.rotate_left(1);
                }
                self.world.deliver_one(choice);
            }
            _ => _ = self.world.deliver_one(choice),
        }
    }

    fn settle(&mut self) {
        while !self.world.mail.is_empty() {
            self.mail();
            self.look();
        }
        self.look();
    }

    fn one_of(&mut self) -> Option<ConnectionKey> {
        let count = self.online.len();
        (count > 0).then(|| self.online[self.draw.below(count)])
    }

    fn one_says(&mut self, message: impl Fn(&str) -> Value) -> Option<ConnectionKey> {
        let room = ROOMS[self.draw.below(ROOMS.len())];
        // Some never leave a room, so that there is somebody to check.
        let connection = self.one_of()?;
        let message = message(room);
        if connection.0 % 3 == 0 && message["type"] == "leave" {
            return None;
        }
        self.world.text(connection, &message.to_string());
        if message["type"] == "join" {
            self.asked.entry(connection).or_default().push_back(room.to_owned());
        }
        Some(connection)
    }

    fn presents_itself(&mut self) {
        if let Some(connection) = self.one_of() {
            self.present(connection);
        }
    }

    fn present(&mut self, connection: ConnectionKey) {
        self.next_number += 1;
        let version = self.next_number;
        self.versions.insert(self.world.address(connection), version);
        let message = json!({"type": "presence", "data": {"version": version}});
        self.world.text(connection, &message.to_string());
    }

    /// A message that says in which rooms its sender is.
    fn speaks(&mut self) {
        let Some(connection) = self.one_of() else { return };
        self.next_number += 1;
        // What it says behind a question is said when that is answered.
        let mut rooms = self.rooms_of(connection);
        rooms.extend(self.asked.get(&connection).into_iter().flatten().cloned());
        let mut message = json!({"type": "message", "number": self.next_number, "rooms": rooms});
        let other = self.one_of().expect("there is one");
        let room = ROOMS[self.draw.below(ROOMS.len())];
        match self.draw.below(5) {
            0 => message["to"] = self.world.address(other).into(),
            1 => message["to"] = room.into(),
            2 => message["to"] = json!(ROOMS),
            _ => {}
        }
        self.world.text(connection, &message.to_string());
    }

    fn rooms_of(&self, connection: ConnectionKey) -> Vec<String> {
        let shard = connection.0 as usize % self.world.shards.len();
        let rooms = self.world.shards[shard].rooms_of(connection);
        rooms.iter().map(|room| room.as_str().to_owned()).collect()
    }

    fn shares(&self, one: ConnectionKey, other: ConnectionKey) -> bool {
        let rooms = self.rooms_of(other);
        self.rooms_of(one).iter().any(|room| rooms.contains(room))
    }

    /// What clients saw since the last look.
    fn look(&mut self) {
        for connection in self.online.clone() {
            let rooms = self.rooms_of(connection);
            for message in self.world.all(connection) {
                let from = message["from"].as_str().unwrap_or_default().to_owned();
                match message["type"].as_str() {
                    Some("presence") => {
                        let is_online = message["data"]["online"] == true;
                        let version = message["data"]["version"].as_u64().unwrap_or(0);
                        let roster = self.rosters.entry(connection).or_default();
                        let news = is_online.then_some(version);
                        let known = roster.insert(from, news);
                        let is_in_order = match (known, news) {
                            (Some(None), Some(_)) => false,
                            (Some(Some(known)), Some(news)) => news >= known,
                            _ => true,
                        };
                        assert!(is_in_order, "behind {known:?} comes {message}");
                    }
                    Some("message") => {
                        let number = message["number"].as_u64().expect("ours");
                        let of_sender = message["rooms"].as_array().expect("ours");
                        assert!(
                            of_sender.iter().any(|room| rooms.iter().any(|our| room == our)),
                            "a message to who shares no room: {message} to {rooms:?}"
                        );
                        let heard = self.heard.entry(connection).or_default();
                        assert!(!heard.iter().any(|it| it.1 == number), "twice: {message}");
                        heard.push((from, number));
                    }
                    Some("join:ok") => {
                        let asked = self.asked.get_mut(&connection).and_then(VecDeque::pop_front);
                        assert_eq!(message["room"], json!(asked), "answers come in order");
                    }
                    _ => {}
                }
            }
        }
    }

    fn everybody_presents_itself(&mut self) {
        for connection in self.online.clone() {
            self.present(connection);
            self.mail();
            self.look();
        }
        self.settle();
    }

    fn check_rosters(&self) {
        for one in &self.online {
            for other in self.online.iter().filter(|other| *other != one) {
                if self.shares(*one, *other) {
                    let address = self.world.address(*other);
                    let known = self.rosters.get(one).and_then(|roster| roster.get(&address));
                    // Until it says something else, it is as it was welcomed.
                    let version = self.versions.get(&address).copied().unwrap_or(0);
                    assert_eq!(known.copied(), Some(Some(version)), "the last presence is known");
                }
            }
            // Whoever leaves all rooms of another, or is left, does not hear of its end; and even
            // where all are in `public`, one may come into it when the other is already gone there,
            // and still in another room.
            if !self.has_public || self.have_left.contains(one) {
                continue;
            }
            let online: Vec<String> =
                self.online.iter().map(|other| self.world.address(*other)).collect();
            for (address, version) in self.rosters.get(one).into_iter().flatten() {
                let has_left = self.have_left.iter().any(|it| self.world.address(*it) == *address);
                let is_right = version.is_none() || has_left || online.contains(address);
                assert!(is_right, "a ghost: {address}");
            }
        }
    }

    /// Nobody comes, goes, joins or leaves: then everything arrives, once, in order.
    fn only_speaking(&mut self) {
        self.heard.clear();
        let mut said = Vec::new();
        for _ in 0..60 {
            let Some(connection) = self.one_of() else { return };
            self.next_number += 1;
            let rooms = self.rooms_of(connection);
            let number = self.next_number;
            let message = json!({"type": "message", "number": number, "rooms": rooms});
            self.world.text(connection, &message.to_string());
            said.push((connection, number));
            for _ in 0..self.draw.below(6) {
                self.mail();
                self.look();
            }
        }
        self.settle();
        for listener in &self.online {
            for speaker in self.online.iter().filter(|speaker| *speaker != listener) {
                let address = self.world.address(*speaker);
                let heard = self.heard.get(listener).into_iter().flatten();
                let heard: Vec<u64> = heard.filter(|it| it.0 == address).map(|it| it.1).collect();
                let said =
                    said.iter().filter(|it| it.0 == *speaker && self.shares(*speaker, *listener));
                assert_eq!(heard, said.map(|it| it.1).collect::<Vec<_>>(), "all, once, in order");
            }
        }
    }

    fn end(&mut self) {
        for connection in std::mem::take(&mut self.online) {
            self.world.disconnect(connection);
            self.mail();
        }
        self.settle();
        for shard in &self.world.shards {
            let counters = shard.counters();
            assert_eq!((counters.sessions, counters.rooms), (0, 0), "nothing is left");
        }
    }
}
