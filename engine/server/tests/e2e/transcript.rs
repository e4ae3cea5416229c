//! The same requests to Debian's icecast2 and to Skywave. What differs stands in `differences.md`
//! with its reason; a difference that does not stand there fails the test, and so does one that
//! stands there and is no more.
//!
//! Dates, names of the server, ports, ids and other numbers of a run are made equal first.

mod compare;
mod requests;

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::harness::{
    ADMIN, Icecast, Listener, PASSWORD, PATIENCE, Server, Source, basic, rest_ms, wait_for,
};
use compare::{Difference, difference, parse_table};
use requests::{Body, REQUESTS, Request};

const TABLE: &str = include_str!("differences.md");

#[test]
fn every_difference_from_icecast_is_meant() {
    let elements = "<mount><mount-name>/one.mp3</mount-name><max-listeners>1</max-listeners></mount>\
                    <mount><mount-name>/hidden.mp3</mount-name><hidden>1</hidden></mount>";
    let Some(icecast) = Icecast::start_with(elements) else { return };
    let ours = Server::start(
        "[credentials]\nrelay_password = \"a-relay-password\"\n\
         [[mount]]\nname = \"/one.mp3\"\nlisteners_max = 1\n\
         [[mount]]\nname = \"/hidden.mp3\"\nhidden = true\n",
    );
    let _theirs = Scene::set(icecast.address);
    let _ours = Scene::set(ours.address);
    wait_for("all is up", || ours.mount_status("/one.mp3").is_some());
    let mut expected = parse_table(TABLE);
    let mut faults = String::new();
    for request in REQUESTS {
        if request.name == "admin: stats" {
            // Icecast shows a title when it has read more of its source.
            rest_ms(1_000);
        }
        let (theirs, answer) = std::thread::scope(|scope| {
            let theirs = scope.spawn(|| transcript(icecast.address, request));
            let answer = transcript(ours.address, request);
            (theirs.join().expect("it was answered or closed"), answer)
        });
        let found = difference(&theirs, &answer);
        let meant = expected.remove(request.name).unwrap_or_default();
        if found != meant.lines {
            faults += &format!("\n## {}\n\n", request.name);
            faults += &show(&found);
        } else if !found.is_empty() && meant.reason.is_empty() {
            faults += &format!("\n## {}\nhas no reason\n", request.name);
        }
    }
    let stale: BTreeMap<String, Difference> = expected;
    for name in stale.keys() {
        faults += &format!("\n## {name}\nis no request of this test\n");
    }
    assert!(faults.is_empty(), "sections of differences.md as they would have to be:\n{faults}");
}

fn show(lines: &[String]) -> String {
    if lines.is_empty() {
        return "(no difference any more)\n".to_owned();
    }
    format!("```diff\n{}\n```\n", lines.join("\n"))
}

/// What is there when the requests come: three mounts, one of them full.
struct Scene {
    _sources: Vec<Source>,
    _listener: Listener,
}

impl Scene {
    fn set(address: SocketAddr) -> Scene {
        let lines = [
            "Content-Type: audio/mpeg",
            "Ice-Name: N1",
            "Ice-Description: D1",
            "Ice-Genre: G1",
            "Ice-URL: http://u/",
            "Ice-Public: 0",
            "Ice-Audio-Info: ice-bitrate=128;ice-channels=2;ice-samplerate=44100",
        ];
        let named = Source::attempt(address, "/live.mp3", &lines).expect("accepted");
        let plain = ["/one.mp3", "/hidden.mp3", "/killed.mp3"]
            .map(|mount| Source::connect(address, mount).play_tape(2, 4.0));
        let mut sources = vec![named.play_tape(1, 4.0)];
        sources.extend(plain);
        let mut listener = None;
        wait_for("the listener is let in", || {
            let attempt = Listener::open(address, "/one.mp3", &[]);
            let is_in = attempt.reply.status == 200;
            listener = is_in.then_some(attempt);
            is_in
        });
        Scene { _sources: sources, _listener: listener.expect("just let in") }
    }
}

/// The answer to a request, made comparable, in lines.
fn transcript(address: SocketAddr, request: &Request) -> Vec<String> {
    let port = address.port().to_string();
    let filled = request
        .bytes
        .replace("{admin}", &basic(ADMIN.0, ADMIN.1))
        .replace("{source}", &basic("source", PASSWORD))
        .replace("{relay}", &basic("relay", "a-relay-password"))
        .replace("{wrong}", &basic("source", "wrong"))
        .replace("{password}", PASSWORD)
        .replace("{port}", &port);
    let answer = ask(address, filled.as_bytes(), request.body == Body::Endless);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    compare::normalise(&answer, &port, request.body)
}

/// Reads to the end, or of an endless body until the head and some of it are there.
fn ask(address: SocketAddr, request: &[u8], is_endless: bool) -> Vec<u8> {
    let mut stream = std::net::TcpStream::connect(address).expect("connects");
    let _ = stream.write_all(request);
    let deadline = Instant::now() + PATIENCE;
    let mut answer = Vec::new();
    let mut buffer = [0; 16_384];
    loop {
        stream.set_read_timeout(Some(Duration::from_millis(500))).expect("a timeout");
        match stream.read(&mut buffer) {
            Ok(0) => return answer,
            Ok(count) => answer.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return answer,
            Err(_) if is_endless && !answer.is_empty() => return answer,
            Err(_) => assert!(Instant::now() < deadline, "neither answered nor closed"),
        }
        let is_begun = answer.windows(4).any(|four| four == b"\r\n\r\n");
        if is_endless && is_begun && answer.len() > 4_096 {
            return answer;
        }
    }
}
