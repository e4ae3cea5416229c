//! Symple: what three clients say to a server of two shards, a line each.
//!
//! A line begins with the digit of who says it; two others watch. Whatever is said, what the server
//! says is JSON with a type, a client that was closed hears nothing, and the watchers stay.

use std::collections::{BTreeSet, VecDeque};
use std::time::Instant;

use protocol_symple::{
    Chosen, Config, ConnectionKey, Input, Output, RoomName, RoomRules, Server, ShardIndex,
    VirtualPeer,
};

const WATCHERS: [u64; 2] = [10, 11];

/// A server of two shards.
#[allow(clippy::disallowed_methods, reason = "some time to begin at; none passes")]
pub fn server(data: &[u8]) {
    let now = Instant::now();
    let public: Vec<_> = RoomName::new("public").into_iter().collect();
    let peer = VirtualPeer::new("icey", "icey-server", public, serde_json::Map::new());
    let config = Config {
        rooms: RoomRules { chosen: Chosen::Any, ..RoomRules::default() },
        virtual_peers: peer.into_iter().collect(),
        ..Config::default()
    };
    let shard = |index| Server::shard(config.clone(), ShardIndex(index), 2);
    let mut world = World { now, shards: [shard(0), shard(1)], closed: BTreeSet::new() };
    for connection in WATCHERS {
        world.connect(connection);
        world.say(connection, r#"{"type":"auth","user":"watcher"}"#);
    }
    for connection in 0..3 {
        world.connect(connection);
    }
    for line in data.split(|byte| *byte == b'\n').take(200) {
        let Some((who, text)) = line.split_first() else { continue };
        let Ok(text) = str::from_utf8(text) else { continue };
        world.say(u64::from(who % 3), text);
    }
    for connection in WATCHERS {
        assert!(!world.closed.contains(&connection), "a stranger ended it");
    }
    for connection in [0, 1, 2, 10, 11] {
        world.input(connection, Input::Disconnected { connection: ConnectionKey(connection) });
    }
    for shard in &world.shards {
        let counters = shard.counters();
        assert_eq!((counters.sessions, counters.rooms), (0, 0), "nothing is left");
    }
}

struct World {
    now: Instant,
    shards: [Server; 2],
    closed: BTreeSet<u64>,
}

impl World {
    fn connect(&mut self, connection: u64) {
        let random = [connection as u8; 16];
        self.input(connection, Input::Connected { connection: ConnectionKey(connection), random });
    }

    fn say(&mut self, connection: u64, text: &str) {
        self.input(connection, Input::Text { connection: ConnectionKey(connection), text });
    }

    fn input(&mut self, connection: u64, input: Input<'_>) {
        self.shards[(connection % 2) as usize].handle(self.now, input);
        let mut letters = VecDeque::new();
        loop {
            for shard in &mut self.shards {
                while let Some(output) = shard.poll() {
                    match output {
                        Output::Send { to, text } => {
                            let value: serde_json::Value =
                                serde_json::from_str(&text).expect("it is JSON");
                            assert!(value["type"].is_string(), "{text}");
                            let is_closed = |it: &ConnectionKey| self.closed.contains(&it.0);
                            assert!(!to.iter().any(is_closed), "{text} behind the end");
                        }
                        Output::Close { connection } => {
                            assert!(self.closed.insert(connection.0), "closed once");
                        }
                        Output::Mail { to, mail } => letters.push_back((to, mail)),
                        Output::Heard { .. } | Output::Ask { .. } => {}
                    }
                }
            }
            let Some((to, mail)) = letters.pop_front() else { break };
            self.shards[usize::from(to.0)].handle(self.now, Input::Mail(*mail));
        }
    }
}
