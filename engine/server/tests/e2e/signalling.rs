//! Signalling in the server: WebSockets of three implementations, on two shards.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};
use tungstenite::handshake::client::generate_key;
use tungstenite::{Error, Message, WebSocket};

use crate::harness::{
    ADMIN, Folder, PATIENCE, Peer, Reply, Server, Setup, basic, exchange, get, have, peer, wait_for,
};
use crate::turn::page_server;

/// A client on a WebSocket of tungstenite.
pub(crate) struct Client {
    socket: WebSocket<TcpStream>,
    pub(crate) address: String,
}

fn open(server: &Server, path: &str) -> WebSocket<TcpStream> {
    let stream = TcpStream::connect(server.address).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.set_nodelay(true).expect("no delay");
    let url = format!("ws://{}{path}", server.address);
    tungstenite::client(url, stream).expect("a WebSocket").0
}

impl Client {
    pub(crate) fn of(server: &Server, user: &str) -> Client {
        Client::with_token(server, user, "")
    }

    pub(crate) fn with_token(server: &Server, user: &str, token: &str) -> Client {
        let mut client = Client { socket: open(server, "/ws"), address: String::new() };
        client.say(json!({"type": "auth", "user": user, "token": token}));
        let welcome = client.hear(|message| message["type"] == "welcome");
        assert_eq!(welcome["rooms"], json!([user, "public"]));
        client.address = format!("{user}|{}", welcome["peer"]["id"].as_str().expect("an id"));
        client
    }

    fn id(&self) -> &str {
        self.address.split_once('|').expect("an address").1
    }

    pub(crate) fn say(&mut self, message: Value) {
        self.socket.send(Message::text(message.to_string())).expect("sent");
    }

    /// The next message that is like this.
    pub(crate) fn hear(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let message = self.socket.read().expect("a message in time");
            if let Message::Text(text) = message {
                let message: Value = serde_json::from_str(text.as_str()).expect("JSON");
                if wanted(&message) {
                    return message;
                }
            }
        }
    }

    /// What an error says, and that the connection ends behind it.
    fn told_and_closed(mut self) -> u64 {
        let error = self.hear(|message| message["type"] == "error");
        loop {
            match self.socket.read() {
                Ok(_) => {}
                Err(Error::ConnectionClosed | Error::Io(_) | Error::Protocol(_)) => break,
                Err(other) => panic!("{other}"),
            }
        }
        error["status"].as_u64().expect("a number")
    }
}

fn ask(server: &Server, request: &str) -> Reply {
    Reply::parse(&exchange(server.address, format!("{request}\r\n\r\n").as_bytes()))
}

#[test]
fn it_is_a_websocket_where_it_should_be_and_for_whom() {
    let server = Server::start("[symple]\nallowed_origins = [\"https://radio.example\"]\n");
    assert_eq!(server.get("/").status, 200, "a page for who wants a page");
    let plain = ask(&server, "GET /ws HTTP/1.1\r\nHost: h\r\nConnection: close");
    assert_eq!(plain.status, 426);
    assert_eq!(plain.header("sec-websocket-version"), Some("13"));
    let upgrade = |path: &str, more: &str| {
        let key = generate_key();
        ask(
            &server,
            &format!(
                "GET {path} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade, close\r\n\
                 Sec-WebSocket-Key: {key}\r\n{more}",
                server.address
            ),
        )
    };
    let version = "Sec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";
    assert_eq!(upgrade("/ws", "Sec-WebSocket-Version: 8").status, 426);
    assert_eq!(upgrade("/none", "Sec-WebSocket-Version: 13").status, 404);
    let foreign = format!("{version}Origin: https://elsewhere.example");
    assert_eq!(upgrade("/ws", &foreign).status, 403);
    for path in ["/", "/ws"] {
        drop(open(&server, path));
    }
    wait_for("they are counted", || {
        server.metric("skywave_websocket_connections_total").is_some_and(|it| it >= 2.0)
            && server.metric("skywave_websockets_refused_total").is_some_and(|it| it >= 3.0)
            && server.metric("skywave_symple_websockets").is_some_and(|it| it == 0.0)
    });
    let off = Server::start("[symple]\nenabled = false\n");
    assert_eq!(ask(&off, "GET /ws HTTP/1.1\r\nHost: h\r\nConnection: close").status, 404);
}

#[test]
fn peers_on_two_shards_see_and_hear_each_other() {
    let toml = "[symple]\nchosen_rooms = [\"team-*\"]\nmessages_max = 10000\n";
    let server = Server::start(toml);
    // The kernel spreads them over both shards.
    let mut all: Vec<Client> =
        (0..12).map(|number| Client::of(&server, &format!("user{number}"))).collect();
    let shards: std::collections::BTreeSet<String> =
        all.iter().map(|client| client.id()[..2].to_owned()).collect();
    assert_eq!(shards.len(), 2, "an id begins with its shard");
    // The first was told of all who came later, and the last is told of all who were there.
    let ids: Vec<String> = all.iter().map(|client| client.address.clone()).collect();
    for at in [0, 11] {
        let mut missing: std::collections::BTreeSet<String> = ids.iter().cloned().collect();
        missing.remove(&ids[at]);
        missing.insert("icey|icey-server".to_owned());
        while !missing.is_empty() {
            let presence = all[at].hear(|message| message["type"] == "presence");
            missing.remove(presence["from"].as_str().expect("an address"));
        }
    }
    // A probe is answered to the bare id, as the JavaScript client does.
    all[3].say(json!({"type": "presence", "probe": true, "data": {}}));
    let probe = all[7].hear(|message| message["probe"] == true);
    assert_eq!(probe["from"], json!(ids[3]));
    let (id, data) = (all[3].id().to_owned(), json!({"mood": "fine"}));
    all[7].say(json!({"type": "presence", "to": id, "data": data, "from": "a|lie"}));
    let answer = all[3].hear(|message| message["data"]["mood"] == "fine");
    assert_eq!(answer["from"], json!(ids[7]), "the truth");
    // One room hears what is said in it, once, and nobody else.
    for at in [1, 4, 5, 8] {
        all[at].say(json!({"type": "join", "room": "team-a"}));
        all[at].hear(|message| message["type"] == "join:ok");
    }
    all[4].say(json!({"type": "message", "id": "m1", "to": "team-a", "data": {"n": 1}}));
    all[4].say(json!({"type": "message", "id": "m2", "data": {"n": 2}}));
    for at in [1, 5, 8] {
        let first = all[at].hear(|message| message["type"] == "message");
        assert_eq!((&first["id"], &first["from"]), (&json!("m1"), &json!(ids[4])));
    }
    for at in [0, 1, 11] {
        let said = all[at].hear(|message| message["type"] == "message");
        assert_eq!(said["id"], "m2");
    }
    all[2].say(json!({"type": "join", "room": "elsewhere"}));
    assert_eq!(all[2].hear(|message| message["type"] == "error")["status"], 403);
    // Who drops without a word is gone for everybody.
    let gone = all.remove(8);
    drop(gone);
    for client in [0, 9] {
        all[client].hear(|message| {
            message["from"] == json!(ids[8]) && message["data"]["online"] == json!(false)
        });
    }
    // The operator sees who is there.
    assert_eq!(server.get("/api/peers").status, 401);
    let list = get(server.address, "/api/peers", &[&basic(ADMIN.0, ADMIN.1)]);
    let list: Value = serde_json::from_slice(&list.body).expect("JSON");
    assert_eq!(list["peers"].as_array().map(Vec::len), Some(11));
    let rooms = list["rooms"].as_array().expect("a list");
    assert!(rooms.contains(&json!({"name": "team-a", "members": 3})), "{rooms:?}");
    assert!(rooms.contains(&json!({"name": "public", "members": 11})), "{rooms:?}");
}

#[test]
fn what_is_malformed_or_too_much_ends_its_own_session() {
    let server = Server::start("[symple]\nmessages_max = 20\nauth_timeout_ms = 1000\n");
    let mut witness = Client::of(&server, "witness");
    for text in ["5", "[]", "{\"type\":5}", "{", "null"] {
        witness.socket.send(Message::text(text)).expect("sent");
    }
    let mut large = Client::of(&server, "large");
    large.say(json!({"type": "message", "data": "x".repeat(70_000)}));
    assert_eq!(large.told_and_closed(), 413);
    let mut flood = Client::of(&server, "flood");
    for number in 0..25 {
        // It may be closed before the last of them.
        let text = json!({"type": "message", "id": number}).to_string();
        if flood.socket.send(Message::text(text)).is_err() {
            break;
        }
    }
    assert_eq!(flood.told_and_closed(), 429);
    let silent = Client { socket: open(&server, "/"), address: String::new() };
    assert_eq!(silent.told_and_closed(), 408);
    let mut binary = Client::of(&server, "binary");
    binary.socket.send(Message::binary(vec![1, 2, 3])).expect("sent");
    let end = loop {
        match binary.socket.read() {
            Ok(Message::Close(frame)) => break frame.expect("a code").code,
            Ok(_) => {}
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!(u16::from(end), 1003);
    witness.say(json!({"type": "join", "room": "x"}));
    assert_eq!(witness.hear(|message| message["type"] == "error")["status"], 400, "it goes on");
    assert!(server.metric("skywave_symple_messages_unreadable_total").is_some_and(|it| it >= 5.0));
}

#[test]
fn a_token_is_asked_for_in_all_its_forms_and_changes_with_a_signal() {
    let flags = vec!["--token".to_owned(), "secret".to_owned()];
    let server = Server::start_with(Setup { flags, ..Setup::default() });
    let mut refused = Client { socket: open(&server, "/ws"), address: String::new() };
    refused.say(json!({"type": "auth", "user": "ann", "token": "wrong"}));
    assert_eq!(refused.told_and_closed(), 401);
    let mut allowed = Client { socket: open(&server, "/ws"), address: String::new() };
    allowed.say(json!({"type": "auth", "user": "ann", "token": "secret"}));
    allowed.hear(|message| message["type"] == "welcome");

    assert_eq!(server.get("/api/health").status, 200, "open to all");
    for path in ["/api/status", "/api/config", "/api/ready", "/api/peers", "/api/none"] {
        let reply = server.get(path);
        assert_eq!((reply.status, reply.header("content-type")), (401, Some("application/json")));
        let wrong = get(server.address, path, &["Authorization: Bearer secre"]);
        assert_eq!(wrong.status, 401, "{path}");
    }
    for headers in [&["Authorization: Bearer secret"][..], &["X-Icey-Token: secret"]] {
        assert_eq!(get(server.address, "/api/status", headers).status, 200, "{headers:?}");
    }
    let config = server.get("/api/config?token=secret");
    let config: Value = serde_json::from_slice(&config.body).expect("JSON");
    assert_eq!(config["peer"]["id"], "icey-server");
    assert_eq!(config["symple"]["access"], "token");
    assert_eq!(get(server.address, "/api/none?token=secret", &[]).status, 404);
    wait_for("it is ready", || {
        let reply = server.get("/api/ready?token=secret");
        let status: Value = serde_json::from_slice(&reply.body).expect("JSON");
        assert_eq!(status["signalling"]["enabled"], json!(true));
        (reply.status == 200) == (status["ready"] == json!(true)) && reply.status == 200
    });

    server.rewrite("[symple]\ntokens = [\"another\"]\n");
    server.signal(Signal::HUP);
    wait_for("the new token opens", || {
        let mut client = Client { socket: open(&server, "/ws"), address: String::new() };
        client.say(json!({"type": "auth", "user": "bob", "token": "another"}));
        let told = client.hear(|message| message["type"] == "welcome" || message["status"] == 401);
        told["type"] == "welcome"
    });
}

#[test]
fn everybody_is_told_that_the_server_stops() {
    let mut server = Server::start("[server]\ndrain_s = 5\n");
    let mut clients: Vec<Client> =
        (0..4).map(|number| Client::of(&server, &format!("user{number}"))).collect();
    server.signal(Signal::TERM);
    for client in &mut clients {
        let event = client.hear(|message| message["type"] == "event");
        assert_eq!(event["name"], "shutdown");
        while client.socket.read().is_ok() {}
    }
    let began = Instant::now();
    assert!(server.wait(PATIENCE).is_some_and(|status| status.success()));
    assert!(began.elapsed() < Duration::from_secs(30));
}

/// A browser on the page that is served there.
pub(crate) fn chromium(folder: &Folder, port: u16) -> Peer {
    let profile = format!("--user-data-dir={}", folder.path().join("profile").display());
    let address = format!("http://127.0.0.1:{port}/");
    peer(
        "chromium",
        &[
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--ignore-certificate-errors",
            "--autoplay-policy=no-user-gesture-required",
            &profile,
            &address,
        ],
    )
}

/// A client of Symple in a few lines, twice in one page, over TLS and with compression.
const PAGE: &str = r#"<!doctype html><script>
const say = word => fetch("/say?" + encodeURIComponent(word));
addEventListener("unhandledrejection", event => say("error " + event.reason));
function join(user) {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket("wss://127.0.0.1:PORT/ws");
    const peer = { socket, heard: [], wanted: [] };
    peer.send = message => socket.send(JSON.stringify(message));
    peer.hear = wanted => new Promise(done => {
      const at = peer.heard.findIndex(wanted);
      if (at >= 0) return done(peer.heard.splice(at, 1)[0]);
      peer.wanted.push({ wanted, done });
    });
    socket.onopen = () => peer.send({ type: "auth", user, name: user, token: "",
                                      data: { peerType: "viewer" } });
    socket.onerror = () => reject("socket");
    socket.onmessage = event => {
      const message = JSON.parse(event.data);
      if (message.type === "welcome") {
        peer.address = user + "|" + message.peer.id;
        return resolve(peer);
      }
      const at = peer.wanted.findIndex(it => it.wanted(message));
      if (at >= 0) return peer.wanted.splice(at, 1)[0].done(message);
      peer.heard.push(message);
    };
  });
}
(async () => {
  const one = await join("one");
  say("extensions " + one.socket.extensions);
  const own = await one.hear(m => m.type === "presence" && m.from === "icey|icey-server");
  say("peer " + own.data.type);
  const two = await join("two");
  await one.hear(m => m.type === "presence" && m.from === two.address && m.data.online);
  // Long enough to be compressed, each way.
  const text = "what is said again and again ".repeat(100);
  one.send({ type: "message", id: "1", to: two.address, subtype: "chat", data: { text } });
  const heard = await two.hear(m => m.type === "message" && m.id === "1");
  say("heard " + (heard.data.text === text && heard.from === one.address));
  two.socket.close();
  await one.hear(m => m.type === "presence" && m.from === two.address && !m.data.online);
  say("done");
})();
</script>"#;

#[test]
fn chromium_signals_over_tls_and_compressed() {
    if !have(&["chromium"]) {
        return;
    }
    let folder = Folder::new("signalling-certificate");
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let pem = made.cert.pem() + &made.signing_key.serialize_pem();
    let certificate = folder.write("both.pem", pem);
    let server = Server::start(&format!(
        "[[listen]]\naddress = \"127.0.0.1:{{port}}\"\ntls = true\n\
         [tls]\ncertificates = [\"{}\"]\n[symple]\nallowed_origins = [\"*\"]\n",
        certificate.display()
    ));
    let page = PAGE.replace("PORT", &server.address.port().to_string());
    let (port, told) = page_server(page);
    let _chromium = chromium(&folder, port);
    wait_for("the page is done", || {
        let told = told.lock().expect("nobody panics here").clone();
        assert!(!told.iter().any(|text| text.starts_with("error")), "{told:?}");
        told.iter().any(|text| text == "done")
    });
    let told = told.lock().expect("nobody panics here").clone();
    let has = |beginning: &str| told.iter().any(|text| text.starts_with(beginning));
    assert!(has("extensions%20permessage-deflate"), "{told:?}");
    assert!(has("peer%20server") && has("heard%20true"), "{told:?}");
}
