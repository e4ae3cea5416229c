//! Calls to the server's own peer, and what it says of streams.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{
    Folder, PASSWORD, Peer, Server, Setup, ffmpeg_source, free_port, have, rest_ms, wait_for,
};
use crate::signalling::{Client, chromium};
use crate::turn::page_server;

/// Two peers in one page: one watches, the other publishes a picture that moves.
const PAGE: &str = include_str!("calls/page.html");

/// A browser's offer to watch.
const OFFER: &str = concat!(
    "v=0\r\no=- 4611 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n",
    "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:EsAw\r\n",
    "a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\na=fingerprint:sha-256 00:07:0E:15:1C:23:2A:31:38:3F:",
    "46:4D:54:5B:62:69:70:77:7E:85:8C:93:9A:A1:A8:AF:B6:BD:C4:CB:D2:D9\r\na=setup:actpass\r\n",
    "a=mid:0\r\na=recvonly\r\na=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\n",
);

const OWN: &str = "icey|icey-server";

fn start(toml: &str) -> Server {
    let flags = ["--rtc".to_owned(), format!("127.0.0.1:{}", free_port())];
    Server::start_with(Setup { toml: toml.to_owned(), flags: flags.to_vec(), port: 0 })
}

impl Client {
    fn step(&mut self, step: &str, data: Value) {
        let subtype = format!("call:{step}");
        self.say(json!({"type": "message", "to": OWN, "subtype": subtype, "data": data}));
    }

    /// The next step of its call, and why if it says so.
    fn told(&mut self) -> (String, String) {
        let is_step =
            |message: &Value| message["subtype"].as_str().is_some_and(|it| it.starts_with("call:"));
        let message = self.hear(is_step);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (text(&message["subtype"]), text(&message["data"]["reason"]))
    }

    /// What the server's own peer says next of streams that satisfies.
    fn streams(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        let is_it = |message: &Value| {
            message["from"] == OWN
                && message["type"] == "presence"
                && wanted(&message["data"]["streams"])
        };
        self.hear(is_it)["data"].clone()
    }
}

#[test]
fn a_viewer_who_comes_early_waits_as_long_as_others_do() {
    let server = start("[rtc]\nwait_s = 3\n[symple]\nmessages_max = 1000\n");
    let mut peer = Client::of(&server, "early");
    peer.step("init", json!({"stream": "show"}));
    assert_eq!(peer.told().0, "call:accept");
    // It gives up by itself, and may call again.
    peer.step("offer", json!({"type": "offer", "sdp": OFFER}));
    let waited = |count: f64| {
        wait_for("it waits", || server.metric("skywave_calls_waited_total") == Some(count));
    };
    waited(1.0);
    peer.step("hangup", json!({"reason": "hangup"}));
    peer.step("init", json!({"stream": "show"}));
    assert_eq!(peer.told().0, "call:accept", "it is not busy");
    let began = Instant::now();
    peer.step("offer", json!({"type": "offer", "sdp": OFFER}));
    peer.step("candidate", json!({"candidate": "candidate:1 1 udp 1 127.0.0.1 9 typ host"}));
    waited(2.0);
    peer.step("init", json!({"stream": "show"}));
    assert_eq!(peer.told(), ("call:reject".to_owned(), "busy".to_owned()), "while it waits");
    let end = ("call:hangup".to_owned(), "nobody publishes this stream".to_owned());
    assert_eq!(peer.told(), end);
    assert!(began.elapsed() >= Duration::from_millis(2_900), "{:?}", began.elapsed());
    wait_for("that is counted", || {
        server.metric("skywave_calls_given_up_total") == Some(1.0)
            && server.metric("skywave_rtc_viewers") == Some(0.0)
    });
    // Whoever is gone is not waited for either.
    peer.step("init", json!({}));
    peer.step("offer", json!({"type": "offer", "sdp": OFFER}));
    waited(3.0);
    drop(peer);
    rest_ms(3_500);
    assert_eq!(server.metric("skywave_calls_given_up_total"), Some(1.0));
    assert_eq!(server.metric("skywave_symple_websockets"), Some(0.0));
}

#[test]
fn where_nobody_may_wait_callers_are_told_at_once() {
    let server = start("[rtc]\nwait_s = 0\n");
    let mut peer = Client::of(&server, "early");
    peer.step("init", json!({}));
    assert_eq!(peer.told().0, "call:accept");
    peer.step("offer", json!({"type": "offer", "sdp": OFFER}));
    let end = ("call:hangup".to_owned(), "nobody publishes this stream".to_owned());
    assert_eq!(peer.told(), end);
    assert_eq!(server.metric("skywave_calls_waited_total"), Some(0.0));
}

/// A tone from ffmpeg as a mount's source.
fn tone(server: &Server, mount: &str) -> Peer {
    let tone = ["-re", "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"];
    let codec = ["-c:a", "libopus", "-b:a", "64k", "-f", "ogg", "-content_type", "audio/ogg"];
    ffmpeg_source(server, mount, &tone, &codec)
}

#[test]
fn peers_are_told_what_streams_there_are_and_when_that_changes() {
    if !have(&["ffmpeg"]) {
        return;
    }
    let server = start(
        "[symple]\nstream = \"air\"\n[[stream]]\nname = \"air\"\nfrom_mount = \"/live.opus\"\n\
         [[stream]]\nname = \"hall\"\n",
    );
    // On both shards, wherever the stream lives.
    let mut peers: Vec<Client> =
        (0..6).map(|number| Client::of(&server, &format!("user{number}"))).collect();
    let row = |name: &str, mode: &str, is_live: bool| {
        let can = if mode == "stream" { json!(["view"]) } else { json!(["publish", "view"]) };
        json!({"name": name, "mode": mode, "live": is_live, "capabilities": can})
    };
    let before = json!([row("air", "stream", false), row("hall", "relay", false)]);
    let live = json!([row("air", "stream", true), row("hall", "relay", false)]);
    for peer in &mut peers {
        let told = peer.streams(|streams| *streams == before);
        assert_eq!((&told["mode"], &told["capabilities"]), (&json!("stream"), &json!(["view"])));
    }
    // A viewer who calls before anybody feeds the mount is answered, and waits for the sound.
    peers[0].step("init", json!({}));
    assert_eq!(peers[0].told().0, "call:accept");
    peers[0].step("offer", json!({"type": "offer", "sdp": OFFER}));
    assert_eq!(peers[0].told().0, "call:answer");
    let source = tone(&server, "/live.opus");
    for peer in &mut peers {
        peer.streams(|streams| *streams == live);
    }
    let mut late = Client::of(&server, "late");
    late.streams(|streams| *streams == live);
    drop(source);
    for peer in &mut peers {
        peer.streams(|streams| *streams == before);
    }
    // Another configuration is told, too.
    server.rewrite("[[stream]]\nname = \"hall\"\n");
    server.signal(rustix::process::Signal::HUP);
    for peer in &mut peers {
        peer.streams(|streams| *streams == json!([row("hall", "relay", false)]));
    }
}

#[test]
fn chromium_calls_the_servers_own_peer_to_watch_and_then_to_publish() {
    if !have(&["chromium"]) {
        return;
    }
    let rtc = free_port();
    let flags = ["--token", PASSWORD, "--rtc", &format!("127.0.0.1:{rtc}")];
    let server = Server::start_with(Setup {
        toml: "[symple]\nallowed_origins = [\"*\"]\n[rtc]\nsilence_timeout_ms = 3000\n".to_owned(),
        flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
        port: 0,
    });
    let mut witness = Client::with_token(&server, "witness", PASSWORD);
    let page = PAGE.replace("PORT", &server.address.port().to_string());
    let (port, told) = page_server(page.replace("TOKEN", PASSWORD));
    let folder = Folder::new("chromium");
    let browser = chromium(&folder, port);
    wait_for("the picture arrives, and a second call is refused", || {
        let told = told.lock().expect("nobody panics here").clone();
        assert!(!told.iter().any(|text| text.starts_with("error")), "{told:?}");
        told.iter().any(|text| text == "second%20reject%20busy")
    });
    let told = told.lock().expect("nobody panics here").clone();
    let has = |beginning: &str| told.iter().any(|text| text.starts_with(beginning));
    assert!(has("viewer%20waits") && has("answered%20viewer") && has("frames"), "{told:?}");
    assert!(has("layers%20q%20of%20q%2Cf") && has("small"), "{told:?}");
    assert_eq!(server.metric("skywave_calls_total"), Some(2.0));
    assert_eq!(server.metric("skywave_calls_waited_total"), Some(1.0));
    // What a browser publishes is told like any stream, and that it is over.
    let live = json!([{
        "name": "live", "mode": "relay", "live": true, "capabilities": ["publish", "view"],
    }]);
    witness.streams(|streams| *streams == live);
    drop(browser);
    let over = witness.streams(|streams| *streams == json!([]));
    assert_eq!(
        (&over["mode"], &over["capabilities"]),
        (&json!("relay"), &json!(["publish", "view"]))
    );
}
