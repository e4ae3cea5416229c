//! The example over loopback: clients of another WebSocket, and the real JavaScript client.

#[path = "../examples/signalling.rs"]
mod signalling;

use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::{Value, json};
use tungstenite::{Message, WebSocket};

const PATIENCE: Duration = Duration::from_secs(30);

/// One open server, of three shards, and one with a token; they end with the process.
fn addresses() -> (SocketAddr, SocketAddr) {
    static ADDRESSES: OnceLock<(SocketAddr, SocketAddr)> = OnceLock::new();
    *ADDRESSES.get_or_init(|| {
        let any = "127.0.0.1:0".parse().unwrap();
        let open = signalling::start(any, 3, None).unwrap();
        let closed = signalling::start(any, 1, Some("secret".to_owned())).unwrap();
        let addresses = (open.address, closed.address);
        std::mem::forget((open, closed));
        addresses
    })
}

struct Client(WebSocket<TcpStream>);

impl Client {
    fn connect(path: &str) -> Client {
        let address = addresses().0;
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let url = format!("ws://{address}{path}");
        Client(tungstenite::client(url, stream).unwrap().0)
    }

    fn say(&mut self, message: Value) {
        self.0.send(Message::text(message.to_string())).unwrap();
    }

    /// The next message that is like this.
    fn hear(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            if let Message::Text(text) = self.0.read().expect("a message in time") {
                let message = serde_json::from_str(text.as_str()).unwrap();
                if wanted(&message) {
                    return message;
                }
            }
        }
    }

    fn of(user: &str) -> (Client, String) {
        let mut client = Client::connect("/ws");
        client.say(json!({"type": "auth", "user": user}));
        let welcome = client.hear(|message| message["type"] == "welcome");
        let id = welcome["peer"]["id"].as_str().unwrap();
        let address = format!("{user}|{id}");
        (client, address)
    }
}

#[test]
fn messages_cross_shards() {
    let mut clients: Vec<(Client, String)> =
        (0..12).map(|number| Client::of(&format!("cross{number}"))).collect();
    for to in 1..clients.len() {
        let address = clients[to].1.clone();
        let from = clients[0].1.clone();
        // They share `public` as soon as both are welcomed, for a message is behind that.
        clients[0].0.say(json!({"type": "message", "to": address, "data": to}));
        let heard = clients[to].0.hear(|message| message["data"] == to);
        assert_eq!(heard["from"], from);
    }
    clients[0].0.say(json!({"type": "message", "data": "all"}));
    for (client, _) in &mut clients[1..] {
        client.hear(|message| message["data"] == "all");
    }
    let (_, gone) = clients.remove(0);
    for (client, _) in &mut clients {
        client.hear(|message| message["from"] == gone && message["data"]["online"] == false);
    }
}

#[test]
fn what_is_refused_says_why() {
    let (mut client, _) = Client::of("large");
    client.say(json!({"type": "message", "data": "x".repeat(70_000)}));
    client.hear(|message| message["status"] == 413);
    assert!(
        matches!(client.0.read(), Ok(Message::Close(Some(close))) if u16::from(close.code) == 1009)
    );

    let mut client = Client::connect("/");
    client.say(json!({"type": "message"}));
    client.hear(|message| message["status"] == 401);
    assert!(
        matches!(client.0.read(), Ok(Message::Close(Some(close))) if u16::from(close.code) == 1008)
    );

    let address = addresses().0;
    let stream = TcpStream::connect(address).unwrap();
    let refused = tungstenite::client(format!("ws://{address}/elsewhere"), stream);
    assert!(matches!(refused, Err(tungstenite::HandshakeError::Failure(
        tungstenite::Error::Http(answer))) if answer.status() == 404));
}

#[test]
fn the_javascript_client() {
    let Some((client, ws)) = javascript() else { return };
    let (open, closed) = addresses();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/javascript/interop.mjs");
    let output = Command::new("node")
        .arg(script)
        .args([client, ws])
        .args([format!("ws://{open}/"), format!("ws://{closed}/ws")])
        .output()
        .expect("node runs");
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.ends_with("done\n"), "{said}{errors}");
}

/// Where the client and a WebSocket for node are: from npm, the client rather from the folder that
/// `SYMPLE_CLIENT_DIR` names. Without them there is nothing to test with.
fn javascript() -> Option<(PathBuf, PathBuf)> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("symple-javascript");
    let modules = folder.join("node_modules");
    let install = |package: &str| {
        let is_there = modules.join(package.split('@').next().unwrap()).is_dir();
        let may = std::env::var_os("SKYWAVE_TEST_NO_INSTALL").is_none();
        is_there
            || may && {
                std::fs::create_dir_all(&folder).unwrap();
                let npm = Command::new("npm")
                    .args(["install", "--no-audit", "--no-fund", "--loglevel=error", "--prefix"])
                    .arg(&folder)
                    .arg(package)
                    .output();
                npm.is_ok_and(|output| output.status.success())
            }
    };
    let skipped = |what: &str| {
        eprintln!("SKIPPED: {what}");
        None
    };
    let client = match std::env::var_os("SYMPLE_CLIENT_DIR") {
        Some(folder) => PathBuf::from(folder),
        None if install("symple-client@4.0.1") => modules.join("symple-client"),
        None => return skipped("npm has no symple-client (SYMPLE_CLIENT_DIR may name a checkout)"),
    };
    if !install("ws@8.23.0") {
        return skipped("npm has no ws");
    }
    Some((client.join("src/index.js"), modules.join("ws/wrapper.mjs")))
}
