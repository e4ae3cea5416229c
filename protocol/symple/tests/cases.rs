//! The protocol, message by message, on one shard and on three.

mod world;

use std::time::Duration;

use protocol_symple::{
    Access, Call, Candidate, Chosen, Config, Input, Limits, Output, Recipient, RoomRules, Token,
    Verdict, VirtualPeer,
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

/// Whose presences these are, with whether they are online.
fn presences(messages: &[Value]) -> Vec<(String, bool)> {
    let presences = messages.iter().filter(|message| message["type"] == "presence");
    let of = |message: &Value| {
        (message["data"]["user"].as_str().unwrap().to_owned(), message["data"]["online"] == true)
    };
    let mut all: Vec<_> = presences.map(of).collect();
    all.sort();
    all.dedup();
    all
}

#[test]
fn a_welcome() {
    each(Config::default(), |world| {
        let connection = world.connect();
        world.say(
            connection,
            json!({"type": "auth", "user": "viewer-ab12", "name": "Browser Viewer", "token": "tok",
                "rooms": ["elsewhere"],
                "data": {"peerType": "viewer", "id": "spoof", "online": 5, "token": "x"}}),
        );
        let welcome = world.next(connection).unwrap();
        let id = welcome["peer"]["id"].as_str().unwrap();
        assert!(id.len() >= 16 && !id.contains('|') && id != "spoof");
        assert_eq!(
            welcome,
            json!({"type": "welcome", "protocol": "symple/4", "status": 200,
                "peer": {"id": id, "user": "viewer-ab12", "name": "Browser Viewer",
                    "online": true, "type": "Peer", "peerType": "viewer"},
                "rooms": ["viewer-ab12", "public"]})
        );
        assert_eq!(world.next(connection), None);
        // Again it is ignored.
        world.say(connection, json!({"type": "auth", "user": "other"}));
        assert_eq!(world.next(connection), None);
    });
}

#[test]
fn who_is_not_let_in() {
    let config = Config { access: Access::Token(Token::new("secret")), ..Config::default() };
    each(config, |world| {
        for (text, message) in [
            (r#"{"type":"auth","user":"a"}"#, "Authentication failed"),
            (r#"{"type":"auth","user":"a","token":""}"#, "Authentication failed"),
            (r#"{"type":"auth","user":"a","token":"Secret"}"#, "Authentication failed"),
            (r#"{"type":"auth","user":"a","token":5}"#, "Authentication failed"),
            (r#"{"type":"auth","token":"secret"}"#, "Missing user field"),
            (r#"{"type":"auth","token":"secret","user":""}"#, "Missing user field"),
            (r#"{"type":"auth","token":"secret","user":"a|b"}"#, "Invalid user field"),
            (r#"{"type":"message","data":{}}"#, "Not authenticated"),
            (r#"{"type":"join","room":"public"}"#, "Not authenticated"),
        ] {
            let connection = world.connect();
            world.text(connection, text);
            assert_eq!(world.all(connection), [error(401, message)]);
            assert!(world.is_closed(connection));
            world.text(connection, r#"{"type":"auth","user":"a","token":"secret"}"#);
            assert_eq!(world.all(connection), Vec::<Value>::new(), "it is gone");
        }
        let connection = world.connect();
        world.text(connection, r#"{"type":"auth","user":"a","token":"secret"}"#);
        assert_eq!(world.next(connection).unwrap()["type"], "welcome");
    });
}

#[test]
fn authentication_has_its_time() {
    each(Config::default(), |world| {
        let (silent, quick) = (world.connect(), world.connect());
        world.say(quick, json!({"type": "auth", "user": "quick"}));
        world.pass(Duration::from_millis(9_999));
        assert!(!world.is_closed(silent));
        for _ in 0..100 {
            let gone = world.connect();
            world.disconnect(gone);
        }
        let waiting = world.shards.iter().filter(|shard| shard.deadline().is_some());
        assert_eq!(waiting.count(), 1, "who is in or gone is not waited for");
        world.pass(Duration::from_millis(1));
        assert_eq!(world.all(silent), [error(408, "Authentication timeout")]);
        assert!(world.is_closed(silent) && !world.is_closed(quick));
    });
}

#[test]
fn the_driver_judges() {
    each(Config { access: Access::Ask, ..Config::default() }, |world| {
        let (good, bad, slow) = (world.connect(), world.connect(), world.connect());
        for connection in [good, bad, slow] {
            world.say(
                connection,
                json!({"type": "auth", "user": "u", "token": "t", "rooms": ["r", 5, "a|b"]}),
            );
            let Some(Output::Ask { connection: asked, user, token, rooms }) = world.other.pop()
            else {
                panic!("nobody is asked")
            };
            assert_eq!((asked, &*user, token.as_deref()), (connection, "u", Some("t")));
            assert_eq!(rooms, [room("r")]);
            // What comes meanwhile is not heard.
            world.say(connection, json!({"type": "message", "data": "early"}));
        }
        let verdict = Verdict::Allowed(vec![room("given")]);
        world.input(good, Input::Verdict { connection: good, verdict });
        world.input(bad, Input::Verdict { connection: bad, verdict: Verdict::Refused });
        world.settle();
        let welcome = world.next(good).unwrap();
        assert_eq!(welcome["rooms"], json!(["u", "given", "public"]));
        assert_eq!(world.all(bad), [error(401, "Authentication failed")]);
        world.pass(Duration::from_secs(10));
        assert_eq!(world.all(slow), [error(408, "Authentication timeout")]);
        let verdict = Verdict::Allowed(Vec::new());
        world.input(slow, Input::Verdict { connection: slow, verdict });
        assert_eq!(world.all(slow), Vec::<Value>::new(), "too late");
    });
}

#[test]
fn newcomers_are_told_and_announced() {
    each(Config::default(), |world| {
        let ann = world.join("ann");
        assert_eq!(world.all(ann), Vec::<Value>::new());
        world.say(
            ann,
            json!({"type": "presence", "probe": true, "from": "spoof|x", "id": "5s1",
                "data": {"user": "spoof", "id": "spoof", "online": false, "type": "spoof",
                    "token": "secret", "status": "busy"}}),
        );
        let bob = world.join("bob");
        let told = world.all(bob);
        assert_eq!(told.len(), 1);
        let (user, id) = {
            let address = world.address(ann);
            let (user, id) = address.split_once('|').unwrap();
            (user.to_owned(), id.to_owned())
        };
        assert_eq!(
            told[0],
            json!({"type": "presence", "from": world.address(ann),
                "data": {"id": id, "user": user, "name": "ann", "type": "Peer", "online": true,
                    "status": "busy"}}),
            "the last presence, without the probe"
        );
        assert_eq!(presences(&world.all(ann)), [("bob".to_owned(), true)]);
        // A probe reaches the others as it is, but for who it is from.
        world.say(bob, json!({"type": "presence", "probe": true, "data": {"rooms": []}}));
        let probe = world.next(ann).unwrap();
        assert_eq!((&probe["probe"], &probe["from"]), (&json!(true), &json!(world.address(bob))));
        assert_eq!(world.next(bob), None, "not to itself");
        // The JavaScript client answers to the bare id of the session.
        let bare = world.address(bob).split_once('|').unwrap().1.to_owned();
        world.say(ann, json!({"type": "presence", "to": bare, "data": {"status": "free"}}));
        let answer = world.next(bob).unwrap();
        assert_eq!(answer["data"]["status"], "free");
        assert_eq!(answer["from"], world.address(ann));
        // The end.
        world.disconnect(ann);
        world.settle();
        assert_eq!(presences(&world.all(bob)), [("ann".to_owned(), false)]);
    });
}

#[test]
fn where_messages_go() {
    each(open(), |world| {
        let [ann, bob, eve] = ["ann", "bob", "eve"].map(|user| world.join(user));
        for peer in [ann, bob] {
            for name in ["one", "two", "three"] {
                world.say(peer, json!({"type": "join", "room": name}));
            }
        }
        world.say(eve, json!({"type": "leave", "room": "public"}));
        world.clear();
        let heard = |world: &mut World, to: Value| {
            let mut message = json!({"type": "message", "id": "1", "from": "spoof", "data": 7});
            if to != Value::Null {
                message["to"] = to;
            }
            world.say(ann, message);
            assert_eq!(world.all(ann), Vec::<Value>::new(), "never to itself");
            let all = [world.all(bob), world.all(eve)];
            for message in all.iter().flatten() {
                assert_eq!(message["from"], world.address(ann));
                assert_eq!((&message["id"], &message["data"]), (&json!("1"), &json!(7)));
            }
            all.map(|messages| messages.len())
        };
        let (bob_at, eve_at) = (world.address(bob), world.address(eve));
        let id_of = |address: &str| address.split_once('|').unwrap().1.to_owned();
        assert_eq!(heard(world, Value::Null), [1, 0], "once, though four rooms are shared");
        assert_eq!(heard(world, json!(bob_at)), [1, 0]);
        assert_eq!(heard(world, json!(format!("|{}", id_of(&bob_at)))), [1, 0]);
        assert_eq!(heard(world, json!(id_of(&bob_at))), [1, 0]);
        assert_eq!(heard(world, json!(eve_at)), [0, 0], "no room is shared");
        assert_eq!(heard(world, json!(id_of(&eve_at))), [0, 0]);
        assert_eq!(heard(world, json!("eve")), [0, 0], "the room of a stranger");
        assert_eq!(heard(world, json!("bob")), [1, 0], "a room of somebody who shares another");
        assert_eq!(heard(world, json!("one")), [1, 0]);
        assert_eq!(heard(world, json!("nowhere")), [0, 0]);
        assert_eq!(heard(world, json!(["one", "two", "public", "one"])), [1, 0], "once");
        assert_eq!(heard(world, json!(["bob"])), [0, 0], "not a member");
        assert_eq!(heard(world, json!([5, {}])), [0, 0]);
        for wrong in [json!(5), json!({}), json!(true), json!("a|b|c"), json!("")] {
            assert_eq!(heard(world, wrong), [0, 0]);
        }
        for kind in ["command", "event", "presence"] {
            world.say(ann, json!({"type": kind, "to": bob_at, "node": "media:video"}));
            assert_eq!(world.next(bob).unwrap()["type"], kind);
        }
        world.say(ann, json!({"type": "welcome", "to": bob_at}));
        world.say(ann, json!({"type": "unheard-of", "to": bob_at}));
        assert_eq!(world.next(bob), None, "unknown types are ignored");
    });
}

#[test]
fn rooms_that_are_chosen() {
    each(open(), |world| {
        let [ann, bob] = ["ann", "bob"].map(|user| world.join(user));
        world.say(ann, json!({"type": "join", "room": "den"}));
        world.clear();
        world.say(bob, json!({"type": "join", "room": "den"}));
        let told = world.all(bob);
        assert_eq!(told[0], json!({"type": "join:ok", "room": "den"}));
        assert_eq!(presences(&told[1..]), [("ann".to_owned(), true)], "a snapshot");
        assert_eq!(world.all(ann), Vec::<Value>::new(), "the joiner is not announced");
        world.say(bob, json!({"type": "leave", "room": "den"}));
        assert_eq!(world.all(bob), [json!({"type": "leave:ok", "room": "den"})]);
        assert_eq!(world.all(ann), Vec::<Value>::new(), "nobody is told");
        for ignored in [json!(""), json!(5), Value::Null] {
            world.say(bob, json!({"type": "join", "room": ignored}));
            assert_eq!(world.all(bob), Vec::<Value>::new());
        }
        world.say(bob, json!({"type": "join", "room": "a|b"}));
        assert_eq!(world.all(bob), [error(403, "Room not allowed")]);
        // Somebody's own room.
        world.say(bob, json!({"type": "join", "room": "ann"}));
        assert_eq!(world.all(bob), [error(403, "Room is private")]);
        world.say(bob, json!({"type": "join", "room": "cleo"}));
        assert_eq!(world.all(bob), [json!({"type": "join:ok", "room": "cleo"})]);
        let cleo = world.join("cleo");
        let told = world.all(bob);
        assert!(told.contains(&json!({"type": "leave:ok", "room": "cleo"})), "{told:?}");
        assert!(!world.shards.iter().any(|shard| shard.rooms_of(bob).contains(&room("cleo"))));
        world.say(cleo, json!({"type": "leave", "room": "public"}));
        world.clear();
        world.say(cleo, json!({"type": "message"}));
        assert_eq!(world.all(bob), Vec::<Value>::new());
    });
}

#[test]
fn rules_for_rooms() {
    each(Config::default(), |world| {
        let ann = world.join("ann");
        for kind in ["join", "leave"] {
            world.say(ann, json!({"type": kind, "room": "den"}));
            assert_eq!(world.all(ann), [error(400, "Dynamic rooms disabled")]);
        }
    });
    let chosen = Chosen::Listed(vec!["den".to_owned(), "game-*".to_owned()]);
    let limits = Limits { rooms_of_session_max: 4, members_of_room_max: 3, ..Limits::default() };
    let rooms = RoomRules { chosen, ..RoomRules::default() };
    each(Config { rooms, limits, ..Config::default() }, |world| {
        let connection = world.connect();
        world.say(
            connection,
            json!({"type": "auth", "user": "ann", "rooms": ["den", "secret", "game-1", "game-2"]}),
        );
        let welcome = world.next(connection).unwrap();
        assert_eq!(welcome["rooms"], json!(["ann", "den", "game-1", "public"]));
        world.say(connection, json!({"type": "join", "room": "game-2"}));
        assert_eq!(world.all(connection), [error(403, "Too many rooms")]);
        world.say(connection, json!({"type": "leave", "room": "game-1"}));
        world.say(connection, json!({"type": "join", "room": "secret"}));
        world.say(connection, json!({"type": "join", "room": "game-2"}));
        let told = world.all(connection);
        assert_eq!(
            told[1..],
            [error(403, "Room not allowed"), json!({"type": "join:ok", "room": "game-2"})]
        );
        for user in ["b", "c"] {
            world.join(user);
        }
        let last = world.join("d");
        assert!(world.all(last).contains(&error(503, "Room is full")), "public");
        assert!(!world.is_closed(last));
    });
}

#[test]
fn what_cannot_be_read_is_dropped() {
    each(open(), |world| {
        let ann = world.join("ann");
        for text in [
            "",
            "5",
            "[]",
            "null",
            r#"{"type":5}"#,
            "{}",
            r#"{"type":"mess"#,
            "\u{7f}",
            r#"{"type":null}"#,
            &"[".repeat(10_000),
            r#"{"type":"message","data":1e999}"#,
        ] {
            world.text(ann, text);
            let stranger = world.connect();
            world.text(stranger, text);
            assert_eq!(world.all(stranger), Vec::<Value>::new());
            assert!(!world.is_closed(stranger));
        }
        assert_eq!(world.all(ann), Vec::<Value>::new());
        assert!(!world.is_closed(ann));
        world.say(ann, json!({"type": "close"}));
        assert!(world.is_closed(ann));
    });
}

#[test]
fn floods_end_their_own_connection() {
    each(open(), |world| {
        let [ann, bob] = ["ann", "bob"].map(|user| world.join(user));
        world.clear();
        for number in 0..99 {
            world.say(ann, json!({"type": "message", "data": number}));
        }
        assert_eq!(world.all(bob).len(), 99, "its authentication was the first of a hundred");
        world.pass(Duration::from_millis(100));
        world.say(ann, json!({"type": "message"}));
        assert_eq!(world.all(bob).len(), 1);
        world.say(ann, json!({"type": "message"}));
        assert_eq!(world.all(ann), [error(429, "Rate limit exceeded")]);
        assert!(world.is_closed(ann) && !world.is_closed(bob));
        assert_eq!(presences(&world.all(bob)), [("ann".to_owned(), false)]);

        let big = world.join("big");
        let text = format!(r#"{{"type":"message","data":"{}"}}"#, "x".repeat(65_536 - 29));
        assert!(text.len() <= 65_536);
        world.text(big, &text);
        assert!(!world.is_closed(big));
        world.text(big, &format!("{text}{}", " ".repeat(65_537 - text.len())));
        assert_eq!(world.all(big).last(), Some(&error(413, "Message too large")));
        assert!(world.is_closed(big));
        let other = world.join("other");
        world.input(other, Input::TooLarge { connection: other });
        assert!(world.is_closed(other));
    });
    let limits = Limits { sessions_max: 1, ..Limits::default() };
    let mut world = World::new(Config { limits, ..Config::default() }, 1);
    world.join("first");
    let second = world.connect();
    assert_eq!(world.all(second), [error(503, "Server at capacity")]);
    assert!(world.is_closed(second));
}

#[test]
fn long_presences_are_not_kept() {
    each(Config::default(), |world| {
        let ann = world.join("ann");
        let long = "x".repeat(9000);
        world.say(ann, json!({"type": "presence", "data": {"long": long}}));
        let bob = world.join("bob");
        let told = world.all(bob);
        assert_eq!(told[0]["data"]["user"], "ann");
        assert_eq!(told[0]["data"].get("long"), None);
    });
}

#[test]
fn the_server_as_a_peer() {
    let data = json!({"type": "server", "mode": "stream", "capabilities": ["view"]});
    let data = data.as_object().unwrap().clone();
    let peer =
        |data| VirtualPeer::new("icey", "icey-server", vec![room("icey"), room("public")], data);
    let peer = |data| peer(data).expect("names");
    let config = Config { virtual_peers: vec![peer(data.clone())], ..open() };
    each(config, |world| {
        let ann = world.join("ann");
        let told = world.all(ann);
        assert_eq!(
            told,
            [json!({"type": "presence", "from": "icey|icey-server", "data": {
                "id": "icey-server", "user": "icey", "name": "icey", "type": "server",
                "online": true, "mode": "stream", "capabilities": ["view"]}})]
        );
        // It answers a probe.
        world.say(ann, json!({"type": "presence", "probe": true, "data": {}}));
        assert_eq!(world.all(ann), told);
        // It hears what is meant for it.
        for (to, is_heard) in [
            (json!("icey|icey-server"), true),
            (json!("icey-server"), true),
            (json!("icey"), true),
            (json!("public"), true),
            (json!(["public"]), true),
            (Value::Null, true),
            (json!("ann"), false),
            (json!("icey|other"), false),
        ] {
            world.clear();
            let mut call = Value::Object(Call::Init.message());
            if to != Value::Null {
                call["to"] = to.clone();
            }
            world.say(ann, call);
            let heard = world.other.pop();
            assert_eq!(heard.is_some(), is_heard, "{to}");
            if let Some(Output::Heard { peer, from, connection, message }) = heard {
                assert_eq!((&*peer, &from, connection), ("icey-server", &world.address(ann), ann));
                assert_eq!(Call::parse(&message), Some(Call::Init));
            }
        }
        // It answers, from whatever shard.
        let address = world.address(ann);
        for shard in 0..world.shards.len() {
            let message = Call::Accept.message();
            let to = Recipient::Peer(&address);
            world.input_to(shard, Input::Speak { peer: "icey-server", to, message });
            world.settle();
            assert_eq!(
                world.all(ann),
                [json!({"type": "message", "subtype": "call:accept", "data": {},
                    "from": "icey|icey-server", "to": address})]
            );
        }
        let bob = world.join("bob");
        world.clear();
        let message = json!({"type": "event", "name": "motion"}).as_object().unwrap().clone();
        world.input_to(0, Input::Speak { peer: "icey-server", to: Recipient::Everybody, message });
        world.settle();
        for peer in [ann, bob] {
            assert_eq!(world.all(peer)[0]["name"], "motion");
        }
        // A stranger, who shares no room with it.
        world.say(bob, json!({"type": "leave", "room": "public"}));
        world.clear();
        world.say(bob, json!({"type": "message", "to": "icey|icey-server"}));
        assert!(world.other.is_empty());
        // Its presence changes, and it goes.
        for shard in 0..world.shards.len() {
            let mut data = data.clone();
            data.insert("mode".to_owned(), "relay".into());
            world.input_to(shard, Input::SetVirtual(peer(data)));
        }
        assert_eq!(world.all(ann)[0]["data"]["mode"], "relay");
        for shard in 0..world.shards.len() {
            world.input_to(shard, Input::RemoveVirtual("icey-server"));
        }
        assert_eq!(presences(&world.all(ann)), [("icey".to_owned(), false)]);
        assert_eq!(world.all(bob), [json!({"type": "leave:ok", "room": "public"})][..0]);
    });
}

#[test]
fn a_call_between_two_browsers() {
    each(Config::default(), |world| {
        let [ann, bob] = ["ann", "bob"].map(|user| world.join(user));
        world.clear();
        let sdp = "v=0\r\n".to_owned();
        let candidate = Candidate {
            candidate: "candidate:1 1 udp 1 127.0.0.1 9 typ host".to_owned(),
            sdp_mid: Some("0".to_owned()),
            sdp_m_line_index: Some(0),
        };
        for (by_ann, step) in [
            (true, Call::Init),
            (false, Call::Accept),
            (true, Call::Offer { sdp: sdp.clone() }),
            (false, Call::Answer { sdp }),
            (true, Call::Candidate(candidate.clone())),
            (false, Call::Candidate(candidate)),
            (true, Call::Hangup { reason: "hangup".to_owned() }),
            (true, Call::Init),
            (false, Call::Reject { reason: "busy".to_owned() }),
        ] {
            let (from, to) = if by_ann { (ann, bob) } else { (bob, ann) };
            let mut message = Value::Object(step.message());
            message["to"] = world.address(to).into();
            world.say(from, message);
            let heard = world.next(to).unwrap();
            assert_eq!(heard["from"], world.address(from));
            assert_eq!(Call::parse(heard.as_object().unwrap()), Some(step));
        }
    });
    // What other implementations write.
    let read = |message: Value| Call::parse(message.as_object().unwrap());
    let step = |subtype: &str, data: Value| {
        read(json!({"type": "message", "subtype": format!("call:{subtype}"), "data": data}))
    };
    assert_eq!(read(json!({"type": "message", "subtype": "call:init"})), Some(Call::Init));
    assert_eq!(step("offer", json!({"type": "offer"})), None);
    assert_eq!(step("renegotiate", json!({})), None);
    assert_eq!(read(json!({"type": "command", "subtype": "call:init"})), None);
    let native = step("candidate", json!({"candidate": "a=candidate:1", "sdpMid": ""}));
    assert_eq!(
        native,
        Some(Call::Candidate(Candidate {
            candidate: "candidate:1".to_owned(),
            sdp_mid: None,
            sdp_m_line_index: None
        }))
    );
}

#[test]
fn shutting_down() {
    each(open(), |world| {
        let all = ["a", "b", "c", "d"].map(|user| world.join(user));
        let waiting = world.connect();
        world.clear();
        for shard in 0..world.shards.len() {
            world.input_to(shard, Input::Shutdown);
        }
        world.settle();
        for connection in all.into_iter().chain([waiting]) {
            let told = world.all(connection);
            let shutdown = json!({"type": "event", "name": "shutdown", "subtype": "shutdown",
                "message": "Server shutting down"});
            assert_eq!(told.iter().filter(|message| **message == shutdown).count(), 1);
            assert!(world.is_closed(connection));
        }
        let counters = world.shards.iter().map(|shard| shard.counters());
        assert!(
            counters.into_iter().all(|it| (it.sessions, it.rooms) == (0, 0)),
            "nothing is left"
        );
    });
}

#[test]
fn ten_thousand_peers_in_a_thousand_rooms() {
    let mut config = open();
    config.rooms.everybody.clear();
    let mut world = World::new(config, 4);
    let mut peers = Vec::new();
    for number in 0..10_000 {
        let connection = world.connect();
        let room = format!("room{}", number / 10);
        let auth = json!({"type": "auth", "user": format!("u{number}"), "rooms": [room]});
        world.text(connection, &auth.to_string());
        peers.push(connection);
    }
    world.settle();
    for (number, peer) in peers.iter().enumerate() {
        let told = world.all(*peer);
        // Those before it by its snapshot, those after it by their announcements.
        let expected = (number / 10 * 10..number / 10 * 10 + 10).filter(|other| *other != number);
        let mut expected: Vec<_> = expected.map(|other| (format!("u{other}"), true)).collect();
        expected.sort();
        assert_eq!(presences(&told), expected);
        assert_eq!(told.len(), 10, "a welcome, and nobody twice");
    }
    for room in 0..1000 {
        let text = json!({"type": "message", "data": room}).to_string();
        world.text(peers[room * 10 + room % 10], &text);
    }
    world.settle();
    for (number, peer) in peers.iter().enumerate() {
        let is_sender = number % 10 == number / 10 % 10;
        assert_eq!(world.all(*peer).len(), usize::from(!is_sender));
    }
}
