//! The details of the protocol: each form of what a client may send, and what becomes of it. The
//! table in the README says which requirement is held by which test.

mod world;

use protocol_symple::{
    Access, Chosen, Config, ConnectionKey, Input, Limits, RoomRules, VirtualPeer,
};
use serde_json::{Value, json};
use world::{World, open, room};

fn each(config: Config, test: impl Fn(&mut World)) {
    for shards_count in [1, 3] {
        test(&mut World::new(config.clone(), shards_count));
    }
}

fn error(status: u16, message: &str) -> Value {
    json!({"type": "error", "status": status, "message": message})
}

fn id_of(world: &World, connection: ConnectionKey) -> String {
    world.address(connection).split_once('|').unwrap().1.to_owned()
}

#[test]
fn what_has_a_wrong_type_in_an_authentication_is_as_if_absent() {
    each(open(), |world| {
        for user in [json!(5), json!(null), json!(["ann"]), json!({"user": "ann"})] {
            let connection = world.connect();
            world.say(connection, json!({"type": "auth", "user": user}));
            assert_eq!(world.all(connection), [error(401, "Missing user field")], "{user}");
            assert!(world.is_closed(connection));
        }
        for wrong in [json!(5), json!(null), json!(true), json!([5, {}, null])] {
            let connection = world.connect();
            world.say(
                connection,
                json!({"type": "auth", "user": "ann", "name": wrong, "token": wrong,
                    "rooms": wrong, "data": wrong}),
            );
            let welcome = world.next(connection).unwrap();
            let id = id_of(world, connection);
            assert_eq!(
                welcome["peer"],
                json!({"id": id, "user": "ann", "name": "ann", "online": true, "type": "Peer"})
            );
            assert_eq!(welcome["rooms"], json!(["ann", "public"]));
            world.disconnect(connection);
            world.settle();
        }
        let connection = world.connect();
        let rooms = json!([5, "one", "a|b", "", "one", null, "two"]);
        world.say(connection, json!({"type": "auth", "user": "ann", "rooms": rooms, "name": ""}));
        let welcome = world.next(connection).unwrap();
        assert_eq!(welcome["rooms"], json!(["ann", "one", "two", "public"]));
        assert_eq!(welcome["peer"]["name"], "ann", "an empty name is none");
    });
}

#[test]
fn the_first_message_authenticates_or_ends_the_connection() {
    each(open(), |world| {
        for kind in ["announce", "welcome", "presence", "command", "event", "leave", "x", ""] {
            let connection = world.connect();
            world.say(connection, json!({"type": kind, "user": "ann"}));
            assert_eq!(world.all(connection), [error(401, "Not authenticated")], "{kind}");
            assert!(world.is_closed(connection));
        }
        let connection = world.connect();
        world.say(connection, json!({"type": "close"}));
        assert_eq!(world.all(connection), Vec::<Value>::new());
        assert!(world.is_closed(connection), "it may go without a word");
        // What cannot be read is nothing, and no first message.
        let connection = world.connect();
        world.text(connection, "[]");
        world.say(connection, json!({"type": "auth", "user": "ann"}));
        assert_eq!(world.next(connection).unwrap()["type"], "welcome");
    });
}

#[test]
fn what_is_routed_is_passed_on_whole_but_for_who_it_is_from() {
    each(open(), |world| {
        let [ann, bob] = ["ann", "bob"].map(|user| world.join(user));
        world.clear();
        for kind in ["message", "command", "event"] {
            let mut message = json!({
                "type": kind, "id": "k2v9d1", "from": "bob|x", "to": world.address(bob),
                "subtype": "chat", "node": "media:video", "action": "get", "status": 200,
                "name": "motion", "time": 1_780_000_000, "notes": [{"type": "info", "text": "…"}],
                "data": {"text": "hi\u{0}\u{2028}😀", "deep": [[[{"a": null}]]], "big": 1e300,
                    "exact": [0.1, 0.30000000000000004, 5e-324, 9007199254740993_u64, -0.0]},
            });
            world.say(ann, message.clone());
            message["from"] = world.address(ann).into();
            assert_eq!(world.all(bob), [message]);
        }
        // A number is what it was, to its last digit.
        let mut bits = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..80 {
            bits = bits.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ bits >> 29;
            let number = f64::from_bits(bits & !(1 << 62) | 1 << 57);
            world.say(ann, json!({"type": "message", "to": "bob", "data": number}));
            let heard = world.next(bob).unwrap();
            assert_eq!(
                heard["data"].as_f64().map(f64::to_bits),
                Some(number.to_bits()),
                "{number}"
            );
        }
    });
}

#[test]
fn presence_says_who_its_sender_is_whatever_its_data_are() {
    each(open(), |world| {
        let [ann, bob] = ["ann", "bob"].map(|user| world.join(user));
        world.clear();
        let id = id_of(world, ann);
        let known = json!({"id": id, "user": "ann", "name": "ann", "online": true, "type": "Peer"});
        for wrong in [json!(5), json!(null), json!([]), json!("online"), Value::Bool(false)] {
            world.say(ann, json!({"type": "presence", "data": wrong}));
            assert_eq!(world.next(bob).unwrap()["data"], known, "{wrong}");
        }
        world.say(ann, json!({"type": "presence"}));
        assert_eq!(world.next(bob).unwrap()["data"], known);
        let data = json!({"rooms": ["public"], "capabilities": ["call"], "token": "secret"});
        world.say(ann, json!({"type": "presence", "probe": true, "data": data}));
        let heard = world.next(bob).unwrap();
        assert_eq!(heard["data"]["capabilities"], json!(["call"]));
        assert_eq!((&heard["probe"], heard["data"].get("token")), (&json!(true), None));
        // What is said to one alone is not what newcomers are told.
        let private = json!({"type": "presence", "to": "bob", "data": {"mood": "low"}});
        world.say(ann, private);
        assert_eq!(world.next(bob).unwrap()["data"]["mood"], "low");
        let cleo = world.join("cleo");
        let told = world.all(cleo);
        let of_ann = told.iter().find(|it| it["data"]["user"] == "ann").unwrap();
        assert_eq!(of_ann["data"]["capabilities"], json!(["call"]));
        assert_eq!((of_ann.get("probe"), of_ann["data"].get("mood")), (None, None));
    });
}

#[test]
fn every_form_of_to() {
    each(open(), |world| {
        let [ann, bob, eve] = ["ann", "bob", "eve"].map(|user| world.join(user));
        for (peer, name) in [(ann, "one"), (bob, "one"), (bob, "den"), (eve, "den")] {
            world.say(peer, json!({"type": "join", "room": name}));
        }
        world.say(eve, json!({"type": "leave", "room": "public"}));
        world.clear();
        let [bob_id, eve_id] = [id_of(world, bob), id_of(world, eve)];
        for (to, heard) in [
            (json!(null), [0, 0]),
            (json!(format!("nobody|{bob_id}")), [1, 0]),
            (json!(format!("bob|{bob_id}|x")), [0, 0]),
            (json!("bob|"), [0, 0]),
            (json!("|"), [0, 0]),
            (json!(format!("eve|{eve_id}")), [0, 0]),
            // A room that the sender is not in: of its members those who share another with it.
            (json!("den"), [1, 0]),
            (json!([]), [0, 0]),
            (json!(["one", 5, null, ["public"]]), [1, 0]),
            (json!(["den", "eve"]), [0, 0]),
            (json!(["den", "one"]), [1, 0]),
            (json!([format!("bob|{bob_id}"), bob_id]), [0, 0]),
            (json!(vec!["public"; 1_000]), [1, 0]),
            (json!(0.5), [0, 0]),
        ] {
            world.say(ann, json!({"type": "message", "to": to}));
            assert_eq!([world.all(bob).len(), world.all(eve).len()], heard, "{to}");
            assert_eq!(world.all(ann), Vec::<Value>::new());
        }
        // To itself, too: whoever wants that gets it.
        let (address, id) = (world.address(ann), id_of(world, ann));
        for to in [address, id] {
            world.say(ann, json!({"type": "message", "to": to}));
            assert_eq!(world.all(ann).len(), 1);
        }
    });
}

#[test]
fn two_sessions_of_one_user_are_two_peers() {
    each(Config::default(), |world| {
        let [ann, first, second] = ["ann", "bob", "bob"].map(|user| world.join(user));
        world.clear();
        world.say(ann, json!({"type": "message", "to": "bob"}));
        assert_eq!([world.all(first).len(), world.all(second).len()], [1, 1]);
        let to = world.address(first);
        world.say(ann, json!({"type": "message", "to": to}));
        assert_eq!([world.all(first).len(), world.all(second).len()], [1, 0]);
        world.disconnect(first);
        world.settle();
        let mut told = world.all(second);
        // Two rooms are shared, and each shard where one lives says so.
        told.dedup();
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!((&told[0]["data"]["online"], &told[0]["from"]), (&json!(false), &json!(to)));
        world.say(ann, json!({"type": "message", "to": "bob"}));
        assert_eq!(world.all(second).len(), 1);
    });
}

#[test]
fn nobody_can_be_called_as_a_session_is() {
    each(open(), |world| {
        let [ann, bob] = ["ann", "bob"].map(|user| world.join(user));
        world.clear();
        let id = id_of(world, bob);
        // A room of that name would get what is answered to the session.
        world.say(ann, json!({"type": "join", "room": id}));
        assert_eq!(world.all(ann), [error(403, "Room not allowed")]);
        let eve = world.connect();
        world.say(eve, json!({"type": "auth", "user": "eve", "rooms": [id]}));
        assert_eq!(world.next(eve).unwrap()["rooms"], json!(["eve", "public"]));
        let eve = world.connect();
        world.say(eve, json!({"type": "auth", "user": id}));
        assert_eq!(world.all(eve), [error(401, "Invalid user field")]);
        world.clear();
        world.say(ann, json!({"type": "presence", "to": id, "data": {}}));
        assert_eq!(world.all(bob).len(), 1);
        // As long, and yet no id: no shard is called so.
        world.say(ann, json!({"type": "join", "room": "conference-room-01"}));
        assert_eq!(world.all(ann), [json!({"type": "join:ok", "room": "conference-room-01"})]);
    });
}

#[test]
fn the_servers_own_name_is_its_own() {
    let rooms = vec![room("icey"), room("public")];
    let peer = VirtualPeer::new("icey", "icey-server", rooms, Default::default()).unwrap();
    each(Config { virtual_peers: vec![peer], ..open() }, |world| {
        for user in ["icey", "icey-server"] {
            let connection = world.connect();
            world.say(connection, json!({"type": "auth", "user": user}));
            assert_eq!(world.all(connection), [error(401, "Invalid user field")], "{user}");
        }
        let ann = world.connect();
        let rooms = ["icey", "icey-server", "den"];
        world.say(ann, json!({"type": "auth", "user": "ann", "rooms": rooms}));
        assert_eq!(world.next(ann).unwrap()["rooms"], json!(["ann", "den", "public"]));
        world.clear();
        world.say(ann, json!({"type": "join", "room": "icey"}));
        world.say(ann, json!({"type": "join", "room": "icey-server"}));
        let told = world.all(ann);
        assert_eq!(told, [error(403, "Room is private"), error(403, "Room not allowed")]);
    });
}

#[test]
fn joining_twice_and_leaving_what_one_is_not_in() {
    let limits = Limits { rooms_of_session_max: 3, rooms_max: 4, ..Limits::default() };
    each(Config { limits, ..open() }, |world| {
        let ann = world.join("ann");
        for _ in 0..2 {
            world.say(ann, json!({"type": "join", "room": "den"}));
            assert_eq!(world.all(ann), [json!({"type": "join:ok", "room": "den"})], "at the limit");
        }
        world.say(ann, json!({"type": "join", "room": "lair"}));
        assert_eq!(world.all(ann), [error(403, "Too many rooms")]);
        world.say(ann, json!({"type": "leave", "room": "lair"}));
        assert_eq!(world.all(ann), [json!({"type": "leave:ok", "room": "lair"})]);
        for ignored in [json!(null), json!(5), json!(""), json!(["den"])] {
            world.say(ann, json!({"type": "leave", "room": ignored}));
            assert_eq!(world.all(ann), Vec::<Value>::new());
        }
        let long = "x".repeat(129);
        world.say(ann, json!({"type": "join", "room": long}));
        assert_eq!(world.all(ann), [error(403, "Room not allowed")], "a name has a length");
    });
    // As many rooms as a shard may have.
    let mut world = World::new(Config { limits, ..open() }, 1);
    let (ann, bob) = (world.join("ann"), world.join("bob"));
    world.say(ann, json!({"type": "join", "room": "den"}));
    world.clear();
    world.say(bob, json!({"type": "join", "room": "lair"}));
    assert_eq!(world.all(bob), [error(503, "Room is full")]);
    world.say(bob, json!({"type": "join", "room": "den"}));
    assert_eq!(world.all(bob)[0]["type"], "join:ok", "one that is there has room");
    assert_eq!(world.shards[0].counters().rooms, 4);
}

#[test]
fn what_is_said_right_behind_a_join_is_said_in_the_room() {
    let mut config = open();
    config.rooms.everybody.clear();
    for shards_count in [1, 2, 3, 5] {
        for way in 0..40 {
            let mut world = World::new(config.clone(), shards_count);
            let peers = ["ann", "bob", "cleo"].map(|user| world.join(user));
            let [ann, bob, _] = peers;
            for (peer, name) in [(0, "den"), (1, "den"), (2, "lair"), (0, "hall"), (2, "hall")] {
                world.say(peers[peer], json!({"type": "join", "room": name}));
            }
            world.clear();
            // Nobody waits for an answer, and letters are late by chance.
            for message in [
                json!({"type": "join", "room": "lair"}),
                json!({"type": "presence", "data": {"mood": "fine"}}),
                json!({"type": "message", "id": "1", "to": "lair"}),
                json!({"type": "join", "room": "hall"}),
                json!({"type": "message", "id": "2"}),
                json!({"type": "leave", "room": "hall"}),
                json!({"type": "leave", "room": "den"}),
                json!({"type": "message", "id": "3", "to": ["lair", "den", "hall"]}),
                json!({"type": "join", "room": "ann"}),
                json!({"type": "message", "id": "4", "to": "ann"}),
                json!({"type": "join", "room": "den"}),
                json!({"type": "message", "id": "5", "to": ["den"]}),
            ] {
                world.text(bob, &message.to_string());
                for step in 0..way % 4 {
                    world.deliver_one(way + step * 7);
                }
            }
            for step in 0.. {
                if !world.deliver_one(way * 13 + step) {
                    break;
                }
            }
            let mut heard = |peer: usize| {
                let all = world.all(peers[peer]);
                let ids = all.iter().filter_map(|it| it["id"].as_str().map(str::to_owned));
                // To all and to a room are two ways, on which one may overtake the other.
                let ids: std::collections::BTreeSet<String> = ids.collect();
                let moods = all.iter().filter(|it| it["data"]["mood"] == "fine").count();
                (ids.into_iter().collect::<String>(), moods)
            };
            let what = format!("{shards_count} shards, way {way}");
            // Ann shares the den with bob, but for a while, and the hall for a while.
            assert_eq!(heard(0), ("25".to_owned(), 1), "{what}");
            assert_eq!(heard(2), ("123".to_owned(), 1), "{what}");
            let told = world.all(bob);
            let acks: Vec<&str> = told
                .iter()
                .filter_map(|it| it["room"].as_str().or(it["message"].as_str()))
                .collect();
            let private = "Room is private";
            assert_eq!(acks, ["lair", "hall", "hall", "den", private, "den"], "in order; {what}");
            assert!(!world.is_closed(ann));
        }
    }
}

#[test]
fn what_waits_for_a_room_has_a_bound() {
    let mut config = open();
    config.limits.messages_max = 1_000_000;
    let mut world = World::new(config, 3);
    let ann = world.join("ann");
    let room = |number: usize| json!({"type": "join", "room": format!("r{number}")}).to_string();
    // A room of another shard, so that the answer takes its time.
    for number in 0.. {
        world.text(ann, &room(number));
        if !world.mail.is_empty() {
            break;
        }
    }
    let long = json!({"type": "message", "data": "x".repeat(60_000)}).to_string();
    for _ in 0..4 {
        world.text(ann, &long);
        assert!(!world.is_closed(ann));
    }
    world.text(ann, &long);
    assert_eq!(world.all(ann).pop(), Some(error(429, "Rate limit exceeded")));
    assert!(world.is_closed(ann));
    world.settle();
    let left: usize = world.shards.iter().map(|shard| shard.counters().rooms).sum();
    assert_eq!(left, 0, "nothing is left of it");
}

#[test]
fn floods_of_any_kind_end_their_own_connection() {
    let chosen = Chosen::Listed(vec!["den".to_owned()]);
    let rooms = RoomRules { chosen, ..RoomRules::default() };
    each(Config { rooms, access: Access::Open, ..Config::default() }, |world| {
        let witness = world.join("witness");
        for text in [
            "5",
            "",
            "{",
            r#"{"type":"x"}"#,
            r#"{"type":"auth","user":"again"}"#,
            r#"{"type":"join","room":"other"}"#,
            r#"{"type":"join","room":"den"}"#,
            r#"{"type":"leave","room":"den"}"#,
            r#"{"type":"presence","to":7}"#,
            r#"{"type":"message","to":"nowhere"}"#,
        ] {
            let flood = world.join("flood");
            for _ in 0..99 {
                world.text(flood, text);
            }
            assert!(!world.is_closed(flood), "{text}");
            world.text(flood, text);
            world.settle();
            assert_eq!(world.all(flood).pop(), Some(error(429, "Rate limit exceeded")), "{text}");
            assert!(world.is_closed(flood));
        }
        // One who has not said who it is has no more.
        let stranger = world.connect();
        for _ in 0..101 {
            world.text(stranger, "{}");
        }
        assert_eq!(world.all(stranger), [error(429, "Rate limit exceeded")]);
        assert!(!world.is_closed(witness));
        let rooms: usize = world.shards.iter().map(|shard| shard.counters().rooms).sum();
        assert_eq!(rooms, 2, "nothing is left of them");
    });
}

#[test]
fn lengths_are_counted_in_bytes_and_to_the_last_one() {
    each(open(), |world| {
        let of_length = |bytes: usize| {
            let empty = r#"{"type":"message","data":""}"#;
            let wide = "é".repeat((bytes - empty.len()) / 2);
            let text = format!(r#"{{"type":"message","data":"{wide}"}}"#);
            format!("{text}{}", " ".repeat(bytes - text.len()))
        };
        let [ann, bob] = ["ann", "bob"].map(|user| world.join(user));
        world.clear();
        world.text(ann, &of_length(65_536));
        world.settle();
        assert_eq!(world.all(bob).len(), 1);
        world.text(ann, &of_length(65_537));
        assert_eq!(world.all(ann), [error(413, "Message too large")]);
        assert!(world.is_closed(ann) && !world.is_closed(bob));
        // Before anybody has said who it is as well.
        let stranger = world.connect();
        world.input(stranger, Input::TooLarge { connection: stranger });
        assert_eq!(world.all(stranger), [error(413, "Message too large")]);
    });
}

#[test]
fn strange_json_is_read_as_json_is_or_not_at_all() {
    each(open(), |world| {
        let [ann, bob] = ["ann", "bob"].map(|user| world.join(user));
        world.clear();
        let deep = format!(r#"{{"type":"message","data":{}{}}}"#, "[".repeat(500), "]".repeat(500));
        for text in [
            r#"{"type":"message","data":"\ud800"}"#,
            r#"{"type":"message","data":NaN}"#,
            r#"{"type":"message"} {"type":"message"}"#,
            r#"{'type':'message'}"#,
            r#"{"type":"message",}"#,
            r#"{"Type":"message"}"#,
            r#"[{"type":"message"}]"#,
            "\u{feff}{\"type\":\"message\"}",
            &deep,
        ] {
            world.text(ann, text);
            world.settle();
            assert_eq!(world.all(bob), Vec::<Value>::new(), "{text}");
        }
        // The last of two keys counts, as in JavaScript; spaces and escapes are nothing.
        world.text(
            ann,
            "\n{\"type\":\"close\", \"\\u0074ype\" : \"message\",\"data\":1,\"data\":2}\t",
        );
        world.settle();
        assert_eq!(world.next(bob).unwrap()["data"], 2);
        assert!(!world.is_closed(ann));
    });
}
