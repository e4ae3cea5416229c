//! TURN in the server: coturn's clients, Chromium's peer connections, the operator's requests.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::process::Output;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use protocol_stun::{
    AttributeKind, Builder, Class, ErrorCode, Integrity, Key, Message, Method, PasswordAlgorithm,
    TransactionId,
};
use rustix::process::Signal;

use crate::harness::{Folder, Server, Setup, free_port, have, peer, rest_ms, run_to_end, wait_for};

const SECRET: &str = "a-turn-secret";

/// How long a run of a client may take.
const LIMIT: Duration = Duration::from_secs(120);

/// A server with TURN on loopback, whose peers are allowed there; its TURN ports.
fn start(more: &str) -> (Server, u16, u16) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let pem = made.cert.pem() + &made.signing_key.serialize_pem();
    let (port, tls_port) = (free_port(), free_port());
    let toml = format!(
        "[server]\ndata_dir = \"{{dir}}\"\n[tls]\ncertificates = [\"{{dir}}/turn.pem\"]\n\
         [turn]\nlisten = [\"127.0.0.1:{port}\"]\n\
         listen_tls = [\"127.0.0.1:{tls_port}\"]\nusers = [\"anna:secret\"]\n\
         secrets = [\"{SECRET}\"]\nallow_peers = [\"127.0.0.0/8\"]\nice_servers = \"admin\"\n{more}"
    );
    let setup = Setup { toml, ..Setup::default() };
    let server = Server::start_prepared(&setup, |folder| {
        std::fs::write(folder.join("turn.pem"), &pem).expect("a file");
    });
    (server, port, tls_port)
}

fn uclient(port: u16, options: &str) -> Output {
    let port = port.to_string();
    let mut args = vec!["-u", "anna", "-w", "secret", "-p", &port, "-z", "5"];
    args.extend(options.split_whitespace());
    args.push("127.0.0.1");
    run_to_end("turnutils_uclient", &args, LIMIT)
}

/// What a client of coturn lost; its exit code says nothing.
fn lost(port: u16, options: &str) -> u64 {
    let output = uclient(port, options);
    let printed = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    let line = printed.lines().rfind(|line| line.contains("Total lost packets "));
    let line = line.unwrap_or_else(|| panic!("{options}: no result in\n{printed}"));
    let (_, rest) = line.split_once("Total lost packets ").expect("found above");
    rest.split([' ', '(']).next().and_then(|number| number.parse().ok()).expect("a number")
}

#[test]
fn coturns_clients_lose_nothing_on_two_shards() {
    if !have(&["turnutils_uclient"]) {
        return;
    }
    let (server, port, tls_port) = start("");
    for options in ["-y -c", "-y", "-s -y -c", "-t -y -c", "-T", "-y -c -u ben -W a-turn-secret"] {
        assert_eq!(lost(port, &format!("-n 20 -l 160 {options}")), 0, "{options}");
    }
    assert_eq!(lost(tls_port, "-t -S -n 20 -l 160 -y -c"), 0);
    wait_for("the counters know of it", || {
        server.metric("skywave_turn_allocations_total").is_some_and(|count| count >= 7.0)
            && server.metric("skywave_turn_to_peer_packets_total").is_some_and(|it| it >= 140.0)
    });
}

#[test]
fn the_operator_sees_allocations_and_ends_them() {
    if !have(&["turnutils_uclient"]) {
        return;
    }
    let (server, port, _) = start("");
    assert_eq!(server.get("/admin/turn").status, 401);
    // Many packets, so that it is there when it is looked for.
    let port_text = port.to_string();
    let args = ["-u", "anna", "-w", "secret", "-p", &port_text, "-n", "2000", "-y", "-c"];
    let _client = peer("turnutils_uclient", &[&args[..], &["127.0.0.1"]].concat());
    let list = || server.admin("/admin/turn").text();
    wait_for("its allocations are listed", || list().contains("<User>anna</User>"));
    let text = list();
    let (_, rest) = text.split_once("<ID>").expect("an id");
    let (id, _) = rest.split_once("</ID>").expect("an id");
    let killed = server.admin(&format!("/admin/killturn?id={id}"));
    assert!(killed.text().contains(&format!("Allocation {id} removed")), "{}", killed.text());
    assert!(!list().contains(&format!("<ID>{id}</ID>")));
    let again = server.admin(&format!("/admin/killturn?id={id}"));
    assert!(again.text().contains("not found"), "{}", again.text());
}

/// Allocates from a loopback address as `anna`: its socket, and the address that it was lent.
fn allocate(port: u16, from: u8) -> Result<(UdpSocket, SocketAddr), ErrorCode> {
    let socket = UdpSocket::bind((Ipv4Addr::new(127, 0, 0, from), 0)).expect("an address of ours");
    socket.connect(("127.0.0.1", port)).expect("a route");
    socket.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
    let ask = |challenge: Option<&Message<'_>>| {
        let mut room = [0; 512];
        let id = TransactionId([from; 12]);
        let mut builder = Builder::new(&mut room, Class::Request, Method::ALLOCATE, id);
        builder.attribute(AttributeKind::REQUESTED_TRANSPORT, &[17, 0, 0, 0]);
        if let Some(challenge) = challenge {
            let realm = challenge.find(AttributeKind::REALM).expect("a realm");
            let nonce = challenge.find(AttributeKind::NONCE).expect("a nonce");
            builder.attribute(AttributeKind::USERNAME, b"anna");
            builder.attribute(AttributeKind::REALM, realm);
            builder.attribute(AttributeKind::NONCE, nonce);
            let key = Key::long_term(PasswordAlgorithm::Md5, b"anna", realm, b"secret");
            builder.integrity(Integrity::Sha1, &key);
        }
        let bytes = builder.finish().expect("room");
        socket.send(&room[..bytes]).expect("sent");
        let mut answer = vec![0; 1_500];
        let bytes = socket.recv(&mut answer).expect("an answer");
        answer.truncate(bytes);
        answer
    };
    let challenge = ask(None);
    let answer = ask(Some(&Message::decode(&challenge).expect("a message")));
    let answer = Message::decode(&answer).expect("a message");
    match answer.error_code().expect("well-formed") {
        Some((code, _)) => Err(code),
        None => {
            let relayed = answer.xor_address(AttributeKind::XOR_RELAYED_ADDRESS);
            Ok((socket, relayed.expect("well-formed").expect("an address")))
        }
    }
}

#[test]
fn a_users_quota_is_one_number_for_all_shards() {
    let (_server, port, _) = start("user_allocations_max = 3\n");
    let mut held = Vec::new();
    // Many addresses, so that there are some on each shard.
    for from in 1..=16 {
        match allocate(port, from) {
            Ok(lent) => held.push(lent),
            Err(code) => assert_eq!((code.number(), held.len()), (486, 3)),
        }
        // What is granted at the same moment at two shards may be one too many.
        rest_ms(20);
    }
    assert_eq!(held.len(), 3);
}

#[test]
fn behind_a_nat_every_address_is_lent_in_turn_and_told_as_the_world_sees_it() {
    let (_server, port, _) =
        start("external = [\"203.0.113.7/127.0.0.7\", \"203.0.113.8/127.0.0.8\"]\n");
    let mut told = BTreeSet::new();
    for from in 1..=8 {
        let (socket, lent) = allocate(port, from).expect("an allocation");
        let local = match lent.ip().to_string().as_str() {
            "203.0.113.7" => Ipv4Addr::new(127, 0, 0, 7),
            "203.0.113.8" => Ipv4Addr::new(127, 0, 0, 8),
            other => panic!("{other} is not announced"),
        };
        told.insert(lent.ip());
        let second = UdpSocket::bind((local, lent.port()));
        assert!(second.is_err(), "the relay has {lent} at {local}");
        drop(socket);
    }
    assert_eq!(told.len(), 2, "{told:?}");
}

#[test]
fn each_packet_is_timed_and_each_allocation_written_down() {
    if !have(&["turnutils_uclient"]) {
        return;
    }
    let (server, port, _) = start("[log]\naccess_log = \"{dir}/access.log\"\n");
    assert_eq!(lost(port, "-n 10 -l 160 -y -c"), 0);
    wait_for("the packets are in the histogram", || {
        server.metric("skywave_turn_packet_us_count").is_some_and(|count| count >= 40.0)
    });
    let path = server.folder.path().join("access.log");
    let lines = || std::fs::read_to_string(&path).unwrap_or_default();
    wait_for("the ends of its allocations are written down", || {
        lines().lines().any(|line| {
            line.starts_with("127.0.0.1 - anna [")
                && line.contains("\"ALLOCATE /127.0.0.1:")
                && line.contains(" TURN/UDP\" 200 ")
                && line.contains("Returned; to peers ")
        })
    });
}

#[test]
fn credentials_change_with_a_signal() {
    if !have(&["turnutils_uclient"]) {
        return;
    }
    let port = free_port();
    let toml = |user: &str| {
        format!(
            "[turn]\nlisten = [\"127.0.0.1:{port}\"]\nusers = [\"{user}\"]\n\
             allow_peers = [\"127.0.0.0/8\"]\n"
        )
    };
    let server = Server::start(&toml("anna:other"));
    let gets_in = || {
        let printed = uclient(port, "-n 5 -l 100 -y -c").stdout;
        String::from_utf8_lossy(&printed).contains("Total lost packets 0 ")
    };
    assert!(!gets_in());
    server.rewrite(&toml("anna:secret"));
    server.signal(Signal::HUP);
    wait_for("the new password holds", gets_in);
}

#[test]
fn without_a_secret_it_does_not_start_and_doctor_says_so() {
    let port = free_port();
    let server = Server::start(&format!("[turn]\nlisten = [\"127.0.0.1:{port}\"]\n"));
    assert!(server.log().contains("neither users nor secrets"), "{}", server.log());
    assert_eq!(server.metric("skywave_turn_allocations"), None);
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
    let turn = format!("127.0.0.1:{port}");
    let args = ["--doctor", "--turn", &turn];
    let output = run_to_end(env!("CARGO_BIN_EXE_skywave"), &args, LIMIT);
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(printed.contains("turn: does not start"), "{printed}");
}

#[test]
fn ice_servers_are_handed_to_whom_the_configuration_says() {
    let (server, port, _) = start("");
    assert_eq!(server.get("/ice-servers").status, 401);
    let reply = server.admin("/ice-servers?user=anna");
    let json: serde_json::Value = serde_json::from_slice(&reply.body).expect("JSON");
    assert!(json["username"].as_str().is_some_and(|name| name.ends_with(":anna")));
    let urls = json["urls"].as_array().expect("a list");
    let udp = format!("turn:127.0.0.1:{port}?transport=udp");
    assert!(urls.iter().any(|url| *url == *udp), "{json}");
    assert_eq!(json["ttl"], 86_400);
}

/// Two pages in one browser that exchange video through the relay alone, and say so.
fn page(url: &str, name: &str, credential: &str) -> String {
    PAGE.replace("{url}", url).replace("{name}", name).replace("{credential}", credential)
}

const PAGE: &str = r#"<!doctype html><body><script>
const say = text => fetch("/say?" + encodeURIComponent(text));
window.onerror = text => say("error " + text);
window.onunhandledrejection = event => say("error " + event.reason);
const me = location.hash.slice(1);
if (!me) for (const name of ["one", "two"]) {
  const frame = document.createElement("iframe");
  frame.src = "/page#" + name;
  document.body.append(frame);
} else {
  const mail = new BroadcastChannel("mail");
  const config = { iceTransportPolicy: "relay",
    iceServers: [{ urls: "{url}", username: "{name}", credential: "{credential}" }] };
  const connection = new RTCPeerConnection(config);
  connection.onicecandidate = event => event.candidate
    && mail.postMessage({ candidate: event.candidate.toJSON() });
  const describe = async description => {
    await connection.setLocalDescription(description);
    mail.postMessage({ description: connection.localDescription.toJSON() });
  };
  const call = async () => {
    const canvas = document.createElement("canvas"), paper = canvas.getContext("2d");
    [canvas.width, canvas.height] = [160, 120];
    let count = 0;
    setInterval(() => { paper.fillStyle = `hsl(${count++ * 7 % 360} 90% 50%)`;
      paper.fillRect(0, 0, 160, 120); }, 40);
    const stream = canvas.captureStream(25);
    stream.getTracks().forEach(track => connection.addTrack(track, stream));
    await describe(await connection.createOffer());
  };
  const take = async ({ description, candidate, ready }) => {
    if (ready && me === "one" && !connection.localDescription) await call();
    if (candidate) await connection.addIceCandidate(candidate);
    if (description) {
      await connection.setRemoteDescription(description);
      if (description.type === "offer") await describe(await connection.createAnswer());
    }
  };
  let taken = Promise.resolve();
  mail.onmessage = event => { taken = taken.then(() => take(event.data)); };
  if (me === "two") {
    const video = document.createElement("video");
    [video.autoplay, video.muted, video.playsInline] = [true, true, true];
    document.body.append(video);
    connection.ontrack = event => { video.srcObject = event.streams[0]; };
    // The other page may not be there yet.
    const knock = setInterval(() => connection.remoteDescription ? clearInterval(knock)
      : mail.postMessage({ ready: true }), 200);
    let told = 0;
    setInterval(async () => {
      let frames = 0, kind = "";
      const stats = await connection.getStats();
      stats.forEach(entry => {
        if (entry.type === "inbound-rtp") frames = entry.framesDecoded || 0;
        if (entry.type === "candidate-pair" && entry.nominated)
          kind = stats.get(entry.localCandidateId).candidateType;
      });
      if (frames >= told + 25) { told = frames; say(`frames ${frames} ${kind}`); }
    }, 200);
  }
}
</script>"#;

/// Serves the page, and collects what it says.
pub(crate) fn page_server(page: String) -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let told = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&told);
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let Ok(mut connection) = connection else { break };
            let mut request = [0; 4096];
            let Ok(bytes) = connection.read(&mut request) else { continue };
            let text = String::from_utf8_lossy(&request[..bytes]).into_owned();
            let path = text.split(' ').nth(1).unwrap_or_default().to_owned();
            let body = match path.strip_prefix("/say?") {
                Some(word) => {
                    notes.lock().expect("nobody panics here").push(word.to_owned());
                    ""
                }
                None => page.as_str(),
            };
            let _ = write!(
                connection,
                "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\
                 Connection: close\r\n\r\n{body}",
                body.len()
            );
        }
    });
    (port, told)
}

/// Two pages exchange so many frames through this server's relay, and for so long.
fn exchange_video(server: &Server, url: &str, frames_min: u64, at_least: Duration) {
    let reply = server.admin("/ice-servers?user=anna");
    let json: serde_json::Value = serde_json::from_slice(&reply.body).expect("JSON");
    let text = |key: &str| json[key].as_str().expect("a string").to_owned();
    let (port, told) = page_server(page(url, &text("username"), &text("credential")));
    let folder = Folder::new("chromium");
    let profile = format!("--user-data-dir={}", folder.path().display());
    let address = format!("http://127.0.0.1:{port}/");
    let _chromium = peer(
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
            "--ignore-certificate-errors",
            "--autoplay-policy=no-user-gesture-required",
            &profile,
            &address,
        ],
    );
    let (began, mut most) = (Instant::now(), 0);
    while most < frames_min || began.elapsed() < at_least {
        let before = most;
        wait_for("more frames arrive by the relay", || {
            let told = told.lock().expect("nobody panics here").clone();
            assert!(!told.iter().any(|text| text.starts_with("error")), "{told:?}");
            for text in &told {
                let words: Vec<&str> = text.split("%20").collect();
                if let ["frames", count, kind] = words[..] {
                    assert_eq!(kind, "relay", "{told:?}");
                    most = most.max(count.parse().expect("a number"));
                }
            }
            most > before
        });
    }
}

#[test]
fn chromium_exchanges_video_over_udp_tcp_and_tls() {
    if !have(&["chromium"]) {
        return;
    }
    let (server, port, tls_port) = start("");
    for url in [
        format!("turn:127.0.0.1:{port}?transport=udp"),
        format!("turn:127.0.0.1:{port}?transport=tcp"),
        format!("turns:127.0.0.1:{tls_port}?transport=tcp"),
    ] {
        exchange_video(&server, &url, 75, Duration::ZERO);
    }
    assert!(server.metric("skywave_turn_to_client_packets_total").is_some_and(|it| it > 100.0));
}

/// Longer than a permission (300 s) and a channel (600 s) last: what the browser refreshes, holds.
#[test]
#[ignore = "takes eleven minutes; cargo test -p engine-server --test e2e -- --ignored longer"]
fn chromium_exchanges_video_for_longer_than_a_channel_lasts() {
    if !have(&["chromium"]) {
        return;
    }
    let (server, port, tls_port) = start("");
    let urls = [
        format!("turn:127.0.0.1:{port}?transport=udp"),
        format!("turn:127.0.0.1:{port}?transport=tcp"),
        format!("turns:127.0.0.1:{tls_port}?transport=tcp"),
    ];
    std::thread::scope(|scope| {
        for url in &urls {
            let server = &server;
            scope.spawn(move || exchange_video(server, url, 1_000, Duration::from_secs(660)));
        }
    });
    // Two pages of each kind, and more than ten minutes of video.
    assert!(server.metric("skywave_turn_allocations_total").is_some_and(|it| it >= 6.0));
    assert!(server.metric("skywave_turn_to_client_packets_total").is_some_and(|it| it > 30_000.0));
}
