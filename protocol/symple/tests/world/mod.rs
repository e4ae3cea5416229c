//! Clients and the shards of a server, in memory; mail between the shards waits until it is
//! delivered.
#![allow(dead_code, reason = "each test binary uses its own part")]
#![allow(clippy::disallowed_methods, reason = "a test needs some time to begin at")]

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use protocol_symple::{
    Chosen, Config, ConnectionKey, Input, Mail, Output, RoomName, RoomRules, Server, ShardIndex,
};
use serde_json::Value;

/// What a client has seen.
#[derive(Debug, Default)]
pub struct Seen {
    /// Messages that were not looked at yet.
    pub inbox: VecDeque<Value>,
    pub is_closed: bool,
    /// Its address, once it was welcomed.
    pub address: String,
}

pub struct World {
    pub now: Instant,
    pub shards: Vec<Server>,
    /// By sender and receiver.
    pub mail: BTreeMap<(u16, u16), VecDeque<Box<Mail>>>,
    pub seen: BTreeMap<ConnectionKey, Seen>,
    /// What virtual peers heard and drivers were asked.
    pub other: Vec<Output>,
    next_key: u64,
}

pub fn room(name: &str) -> RoomName {
    RoomName::new(name).expect("a name")
}

/// Everybody may choose any room.
pub fn open() -> Config {
    let rooms = RoomRules { chosen: Chosen::Any, ..RoomRules::default() };
    Config { rooms, ..Config::default() }
}

impl World {
    pub fn new(config: Config, shards_count: u16) -> World {
        let shard = |index| Server::shard(config.clone(), ShardIndex(index), shards_count);
        World {
            now: Instant::now(),
            shards: (0..shards_count).map(shard).collect(),
            mail: BTreeMap::new(),
            seen: BTreeMap::new(),
            other: Vec::new(),
            next_key: 0,
        }
    }

    /// A connection, on the shard that its turn says.
    pub fn connect(&mut self) -> ConnectionKey {
        let connection = ConnectionKey(self.next_key);
        self.next_key += 1;
        self.seen.insert(connection, Seen::default());
        let mut random = [0; 16];
        random[..8]
            .copy_from_slice(&connection.0.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
        random[8] = connection.0 as u8;
        self.input(connection, Input::Connected { connection, random });
        connection
    }

    /// A connection that is welcomed, with what came beside left in its inbox.
    pub fn join(&mut self, user: &str) -> ConnectionKey {
        let connection = self.connect();
        self.text(connection, &format!(r#"{{"type":"auth","user":"{user}"}}"#));
        self.settle();
        let welcome = self.next(connection).expect("a welcome");
        assert_eq!(welcome["type"], "welcome");
        connection
    }

    pub fn text(&mut self, connection: ConnectionKey, text: &str) {
        self.input(connection, Input::Text { connection, text });
    }

    /// As [`text`](World::text), and all mail arrives.
    pub fn say(&mut self, connection: ConnectionKey, message: Value) {
        self.text(connection, &message.to_string());
        self.settle();
    }

    pub fn disconnect(&mut self, connection: ConnectionKey) {
        self.input(connection, Input::Disconnected { connection });
        self.seen.get_mut(&connection).unwrap().is_closed = true;
    }

    pub fn input(&mut self, connection: ConnectionKey, input: Input<'_>) {
        let shard = (connection.0 % self.shards.len() as u64) as usize;
        self.input_to(shard, input);
    }

    pub fn input_to(&mut self, shard: usize, input: Input<'_>) {
        self.shards[shard].handle(self.now, input);
        self.collect(shard);
    }

    pub fn pass(&mut self, time: Duration) {
        self.now += time;
        for shard in 0..self.shards.len() {
            self.input_to(shard, Input::Tick);
        }
        self.settle();
    }

    /// One letter arrives; false when there is none.
    pub fn deliver_one(&mut self, choice: usize) -> bool {
        let waiting: Vec<(u16, u16)> = self.mail.keys().copied().collect();
        if waiting.is_empty() {
            return false;
        }
        let way = waiting[choice % waiting.len()];
        let queue = self.mail.get_mut(&way).unwrap();
        let mail = queue.pop_front().expect("empty ones are removed");
        if queue.is_empty() {
            self.mail.remove(&way);
        }
        self.input_to(usize::from(way.1), Input::Mail(*mail));
        true
    }

    /// All mail arrives.
    pub fn settle(&mut self) {
        while self.deliver_one(0) {}
    }

    pub fn next(&mut self, connection: ConnectionKey) -> Option<Value> {
        self.seen.get_mut(&connection).unwrap().inbox.pop_front()
    }

    /// All that has come to a client.
    pub fn all(&mut self, connection: ConnectionKey) -> Vec<Value> {
        self.seen.get_mut(&connection).unwrap().inbox.drain(..).collect()
    }

    /// Forgets what has come to everybody.
    pub fn clear(&mut self) {
        self.seen.values_mut().for_each(|seen| seen.inbox.clear());
        self.other.clear();
    }

    pub fn address(&self, connection: ConnectionKey) -> String {
        self.seen[&connection].address.clone()
    }

    pub fn is_closed(&self, connection: ConnectionKey) -> bool {
        self.seen[&connection].is_closed
    }

    fn collect(&mut self, shard: usize) {
        while let Some(output) = self.shards[shard].poll() {
            match output {
                Output::Send { to, text } => {
                    let value: Value = serde_json::from_str(&text).expect("what we say is JSON");
                    for connection in to {
                        assert_eq!(connection.0 as usize % self.shards.len(), shard, "of here");
                        let seen = self.seen.get_mut(&connection).unwrap();
                        assert!(!seen.is_closed, "nothing after a close: {text}");
                        if value["type"] == "welcome" {
                            let of = |key: &str| value["peer"][key].as_str().unwrap().to_owned();
                            seen.address = format!("{}|{}", of("user"), of("id"));
                        }
                        seen.inbox.push_back(value.clone());
                    }
                }
                Output::Close { connection } => {
                    let seen = self.seen.get_mut(&connection).unwrap();
                    assert!(!seen.is_closed, "closed once");
                    seen.is_closed = true;
                }
                Output::Mail { to, mail } => {
                    assert_ne!(usize::from(to.0), shard, "mail is for others");
                    self.mail.entry((shard as u16, to.0)).or_default().push_back(mail);
                }
                other => self.other.push(other),
            }
        }
    }
}
