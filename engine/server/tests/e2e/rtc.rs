//! WebRTC in the server: pages of Chromium and aiortc publish by WHIP and watch by WHEP.

use std::collections::BTreeMap;
use std::net::{IpAddr, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::harness::{Folder, Peer, Server, free_port, have, peer, run_to_end, wait_for};
use crate::turn::page_server;

pub(crate) const TOKEN: &str = "a-token-of-the-test";
const SECRET: &str = "a-turn-secret";
pub(crate) const PAGE: &str = include_str!("rtc/page.html");

/// An address of this machine that browsers gather candidates for; loopback is none.
pub(crate) fn own_address() -> IpAddr {
    let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
    // Nothing is sent: the system says which address would be.
    match socket.connect("192.0.2.254:9").and_then(|()| socket.local_addr()) {
        Ok(address) => address.ip(),
        Err(_) => IpAddr::from([127, 0, 0, 1]),
    }
}

/// A server with WebRTC and TURN on two shards.
fn start() -> (Server, u16) {
    let (ip, port, turn) = (own_address(), free_port(), free_port());
    let toml = format!(
        "[server]\ndata_dir = \"{{dir}}\"\n[auth]\ntokens = [\"{TOKEN}\"]\n\
         [rtc]\nlisten = [\"{ip}:{port}\"]\n\
         [turn]\nlisten = [\"{ip}:{turn}\"]\nsecrets = [\"{SECRET}\"]\n\
         allow_peers = [\"{ip}/32\", \"127.0.0.0/8\"]\nice_servers = \"admin\"\n\
         [[stream]]\nname = \"stage\"\n"
    );
    (Server::start(&toml), turn)
}

/// Pages of one Chromium each, and what they say.
pub(crate) struct Pages {
    port: u16,
    told: Arc<Mutex<Vec<String>>>,
    server: String,
    open: Vec<(Peer, Folder)>,
}

impl Pages {
    fn new(server: &Server) -> Pages {
        Pages::of(server, PAGE)
    }

    /// With another page.
    pub(crate) fn of(server: &Server, page: &str) -> Pages {
        let (port, told) = page_server(page.to_owned());
        let server = server.url("").trim_end_matches('/').to_owned();
        Pages { port, told, server, open: Vec::new() }
    }

    /// Opens a page: what it does stands in the query.
    pub(crate) fn open(&mut self, name: &str, query: &str) {
        let folder = Folder::new("chromium-rtc");
        let profile = format!("--user-data-dir={}", folder.path().display());
        let (port, server) = (self.port, &self.server);
        let address = format!("http://127.0.0.1:{port}/?name={name}&server={server}&{query}");
        let chromium = peer(
            "chromium",
            &[
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--disable-quic",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--autoplay-policy=no-user-gesture-required",
                "--use-fake-device-for-media-stream",
                "--use-fake-ui-for-media-stream",
                &profile,
                &address,
            ],
        );
        self.open.push((chromium, folder));
    }

    /// All that a page has said.
    pub(crate) fn said(&self, name: &str) -> Vec<String> {
        let told = self.told.lock().expect("nobody panics here").clone();
        let all = told.iter().map(|text| text.replace("%20", " ").replace("%3A", ":"));
        let own = all.filter_map(|text| text.strip_prefix(name).map(|it| it.trim().to_owned()));
        let own: Vec<String> = own.collect();
        assert!(!own.iter().any(|text| text.starts_with("error")), "{name}: {own:?}");
        own
    }

    /// Pictures and sound that a page counts now, and how it is connected.
    pub(crate) fn counts(&self, name: &str) -> (u64, u64, String) {
        let said = self.said(name);
        let last = said.iter().rfind(|text| text.starts_with("frames"));
        let mut words = last.map_or("", |text| text.as_str()).split(' ').skip(1);
        let mut number = || words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
        let (frames, sound) = (number(), number());
        (frames, sound, words.next().unwrap_or_default().to_owned())
    }

    /// By which transport a page is connected.
    pub(crate) fn transport(&self, name: &str) -> String {
        let said = self.said(name);
        let last = said.iter().rfind(|text| text.starts_with("frames"));
        last.and_then(|text| text.split(' ').nth(4)).unwrap_or_default().to_owned()
    }

    pub(crate) fn has_said(&self, name: &str, text: &str) -> bool {
        self.said(name).iter().any(|said| said == text)
    }

    /// Waits until a page has so many more pictures than now, and sound where it watches.
    fn goes_on(&self, name: &str, frames: u64) {
        let (before, _, _) = self.counts(name);
        wait_for(&format!("{name} goes on"), || self.counts(name).0 >= before + frames);
    }
}

#[test]
fn a_page_publishes_and_three_watch() {
    if !have(&["chromium"]) {
        return;
    }
    let (server, _) = start();
    let mut pages = Pages::new(&server);
    pages.open("publisher", &format!("mode=publish&stream=stage&token={TOKEN}"));
    wait_for("the page publishes", || pages.counts("publisher").0 > 25);
    for name in ["one", "two", "three"] {
        pages.open(name, "mode=watch&stream=stage");
    }
    for name in ["one", "two", "three"] {
        wait_for("it sees and hears", || {
            let (frames, sound, _) = pages.counts(name);
            frames >= 50 && sound > 50
        });
    }
    let metric = |name: &str| server.metric(&format!("skywave_rtc_{name}")).unwrap_or_default();
    wait_for("the counters know of it", || {
        metric("publishers") == 1.0
            && metric("viewers") == 3.0
            && metric("packets_out_total") > 300.0
    });
    assert_eq!(metric("session_panics_total") + metric("packets_unsent_total"), 0.0);
    let list = server.admin("/admin/rtc").text();
    assert_eq!(list.matches("<Role>viewer</Role>").count(), 3, "{list}");
    // The operator ends the publisher; its viewers wait, and it can come back.
    let at = list.find("<Role>publisher</Role>").expect("it is listed");
    let start = list[..at].rfind("<ID>").expect("an id") + 4;
    let id = &list[start..start + 20];
    let killed = server.admin(&format!("/admin/killrtc?id={id}"));
    assert!(killed.text().contains(&format!("Session {id} removed")), "{}", killed.text());
    wait_for("it is gone", || metric("publishers") == 0.0);
    let before = pages.counts("one").0;
    pages.open("again", &format!("mode=publish&stream=stage&token={TOKEN}"));
    wait_for("the viewers see the next publisher", || pages.counts("one").0 > before + 25);
}

#[test]
fn ice_starts_anew_and_a_page_is_loaded_anew() {
    if !have(&["chromium"]) {
        return;
    }
    let (server, _) = start();
    let mut pages = Pages::new(&server);
    let publish = format!("mode=publish&stream=stage&token={TOKEN}");
    pages.open("publisher", &format!("{publish}&restart=6000&again=15000"));
    pages.open("viewer", "mode=watch&stream=stage&restart=9000");
    for name in ["publisher", "viewer"] {
        wait_for("ICE starts anew", || pages.has_said(name, "restarted 200 tag"));
        pages.goes_on(name, 25);
    }
    let restarts = || server.metric("skywave_rtc_ice_restarts_total").unwrap_or_default();
    wait_for("both are counted", || restarts() >= 2.0);
    wait_for("the publisher's page is loaded anew", || {
        pages.said("publisher").iter().filter(|text| *text == "status 201").count() >= 2
    });
    pages.goes_on("viewer", 50);
}

#[test]
fn through_turn_alone_with_what_whip_hands_out() {
    if !have(&["chromium"]) {
        return;
    }
    let (server, turn) = start();
    let reply = server.admin("/ice-servers?user=anna");
    let json: serde_json::Value = serde_json::from_slice(&reply.body).expect("JSON");
    let text = |key: &str| json[key].as_str().expect("a string").to_owned();
    let credential = text("credential").replace('+', "%2B").replace('=', "%3D");
    let ice = format!(
        "policy=relay&turn=turn:{}:{turn}?transport=udp&user={}&credential={credential}",
        own_address(),
        text("username")
    );
    let mut pages = Pages::new(&server);
    pages.open("publisher", &format!("mode=publish&stream=stage&token={TOKEN}&{ice}"));
    pages.open("viewer", &format!("mode=watch&stream=stage&token={TOKEN}&{ice}"));
    for name in ["publisher", "viewer"] {
        wait_for("pictures pass through the relay", || {
            let (frames, _, kind) = pages.counts(name);
            frames >= 25 && kind == "relay"
        });
        // Who has shown a token is told of TURN over UDP and TCP.
        assert!(pages.has_said(name, "links 2"), "{:?}", pages.said(name));
    }
}

#[test]
fn a_viewer_is_sent_the_layer_that_it_asks_for() {
    if !have(&["chromium"]) {
        return;
    }
    let (server, _) = start();
    let mut pages = Pages::new(&server);
    pages.open("publisher", &format!("mode=publish&stream=stage&token={TOKEN}&simulcast=1"));
    wait_for("the page publishes", || pages.counts("publisher").0 > 50);
    pages.open("low", "mode=watch&stream=stage&layers=q:1000");
    pages.open("both", "mode=watch&stream=stage&layers=q:1000,f:9000");
    let size_after = |name: &str, layer: &str| {
        let said = pages.said(name);
        let asked = said.iter().position(|text| text.starts_with(&format!("layer {layer} of")))?;
        assert_eq!(said[asked], format!("layer {layer} of q-f 200"));
        let (before, after) = said.split_at(asked);
        let next = after.iter().rfind(|text| text.starts_with("size"));
        next.or_else(|| before.iter().rfind(|text| text.starts_with("size"))).cloned()
    };
    let is = |name, layer, size: &str| size_after(name, layer).is_some_and(|it| it == size);
    wait_for("both are small", || is("low", "q", "size 160") && is("both", "q", "size 160"));
    wait_for("one is large", || is("both", "f", "size 640"));
    assert!(is("low", "q", "size 160"), "{:?}", pages.said("low"));
    for name in ["low", "both"] {
        pages.goes_on(name, 25);
    }
}

#[test]
fn what_a_publisher_says_its_viewers_hear() {
    if !have(&["chromium", "python3", "pip3"]) {
        return;
    }
    let (server, _) = start();
    let mut pages = Pages::new(&server);
    pages.open("publisher", &format!("mode=publish&stream=stage&token={TOKEN}&chat=1"));
    wait_for("the page publishes", || pages.counts("publisher").0 > 25);
    for (name, how) in [("one", "&chat=1"), ("two", "&chat=1"), ("silent", "")] {
        pages.open(name, &format!("mode=watch&stream=stage{how}"));
    }
    for name in ["one", "two"] {
        wait_for("it hears text and bytes", || {
            let said = pages.said(name);
            let has = |text: &str| said.iter().filter(|it| it.starts_with(text)).count() >= 5;
            has("heard publish ") && has("heard bytes 1-2-3")
        });
    }
    if let Some(setting) = aiortc() {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/rtc/peer.py");
        let args = [&*setting, "python3", script, "watch", &server.url("/whep/stage"), "", "25"];
        let watched = run_to_end("env", &args, Duration::from_secs(90));
        let printed = String::from_utf8_lossy(&watched.stdout).into_owned();
        let line = printed.lines().find_map(|line| line.strip_prefix("messages "));
        let mut counts = line.unwrap_or_default().split(" texts ").map(str::parse::<u32>);
        let mut next = || counts.next().and_then(Result::ok).unwrap_or(0);
        let (all, texts) = (next(), next());
        assert!(texts >= 2 && all > texts, "{printed}");
    }
    // What viewers say goes nowhere, and nobody is told who has not asked.
    for name in ["publisher", "one", "two", "silent"] {
        let said = pages.said(name);
        let is_foreign = |text: &&String| match name {
            "publisher" | "silent" => text.starts_with("heard"),
            _ => text.starts_with("heard watch"),
        };
        assert_eq!(said.iter().find(is_foreign), None, "{name}");
    }
    let metric = |name: &str| server.metric(&format!("skywave_rtc_{name}")).unwrap_or_default();
    assert!(metric("messages_in_total") >= 10.0 && metric("messages_out_total") >= 20.0);
    assert!(metric("messages_dropped_total") >= 2.0, "what viewers said");
    assert_eq!(metric("session_panics_total"), 0.0);
}

#[test]
fn where_no_udp_passes_pages_come_by_tcp() {
    if !have(&["chromium"]) {
        return;
    }
    let (server, _) = start();
    let mut pages = Pages::new(&server);
    pages.open("publisher", &format!("mode=publish&stream=stage&token={TOKEN}&tcp=1"));
    wait_for("the page publishes", || pages.counts("publisher").0 > 25);
    for (name, how) in [("by-tcp", "&tcp=1"), ("by-udp", "")] {
        pages.open(name, &format!("mode=watch&stream=stage{how}"));
    }
    for name in ["by-tcp", "by-udp"] {
        wait_for("it sees and hears", || {
            let (frames, sound, _) = pages.counts(name);
            frames >= 50 && sound > 50
        });
    }
    let transports = ["publisher", "by-tcp", "by-udp"].map(|name| pages.transport(name));
    assert_eq!(transports, ["tcp", "tcp", "udp"]);
    assert_eq!(server.metric("skywave_rtc_connections"), Some(2.0));
    drop(pages);
    wait_for("none is left behind", || server.metric("skywave_rtc_connections") == Some(0.0));
}

/// Where Python finds aiortc, as a setting for `env`; `None` where it cannot be had.
pub(crate) fn aiortc() -> Option<String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("aiortc-1.16");
    let setting = format!("PYTHONPATH={}", folder.display());
    let has_it = || {
        let status =
            Command::new("env").args([&*setting, "python3", "-c", "import aiortc"]).status();
        status.is_ok_and(|status| status.success())
    };
    if !has_it() {
        let place = folder.display().to_string();
        let options =
            ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target"];
        let args = [&options[..], &[&*place, "aiortc~=1.16"]].concat();
        run_to_end("python3", &args, Duration::from_secs(240));
    }
    has_it().then_some(setting)
}

#[test]
fn aiortc_publishes_and_watches() {
    if !have(&["python3", "pip3"]) {
        return;
    }
    let Some(setting) = aiortc() else {
        assert!(std::env::var("SKYWAVE_TEST_ORACLES").is_err(), "aiortc cannot be had");
        eprintln!("left out: aiortc cannot be had from PyPI");
        return;
    };
    let (server, _) = start();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/rtc/peer.py");
    let (whip, whep) = (server.url("/whip/stage"), server.url("/whep/stage"));
    let publisher = peer("env", &[&*setting, "python3", script, "publish", &whip, TOKEN, "60"]);
    wait_for("it publishes", || {
        server.metric("skywave_rtc_packets_in_total").is_some_and(|count| count > 50.0)
    });
    let args = [&*setting, "python3", script, "watch", &whep, "", "25"];
    let watched = run_to_end("env", &args, Duration::from_secs(90));
    let printed = String::from_utf8_lossy(&watched.stdout).into_owned();
    let counts: BTreeMap<&str, u64> = printed
        .lines()
        .filter(|line| line.starts_with("connected"))
        .flat_map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            let pair = |at: usize| Some((*words.get(at)?, words.get(at + 1)?.parse().ok()?));
            [pair(1), pair(3)].into_iter().flatten().collect::<Vec<_>>()
        })
        .collect();
    let log = publisher.log();
    assert!(counts.get("video") >= Some(&50) && counts.get("audio") >= Some(&50), "{printed}{log}");
    assert!(printed.contains("deleted 200"), "{printed}");
}
