//! Peers that go without a word: nobody waits for them for longer than the configuration says.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::harness::{
    Listener, PASSWORD, PATIENCE, Reply, Server, Source, basic, exchange, rest_ms, runs_of,
    wait_for,
};

#[test]
fn a_source_that_falls_silent_is_dropped_after_its_timeout() {
    let server = Server::start("[mount_defaults]\nsource_timeout_ms = 1000\n");
    let mut source = Source::tape(server.address, "/live.mp3", 1, 4.0);
    let mut listener = Listener::open(server.address, "/live.mp3", &[]);
    listener.read_exact(417 * 20);
    source.fall_silent();
    let silent_since = Instant::now();
    assert!(listener.closes_within_ms(30_000), "its listeners do not wait for ever");
    let waited = silent_since.elapsed();
    assert!(waited >= Duration::from_millis(700), "not before the timeout: {waited:?}");
    assert!(source.is_closed_within_ms(30_000));
    assert!(server.mount_status("/live.mp3").is_none());
    // The name is free.
    let _next = Source::tape(server.address, "/live.mp3", 2, 4.0);
}

#[test]
fn a_client_that_never_ends_its_head_gets_408() {
    let server = Server::start("[limits]\nheader_timeout_ms = 500\n");
    for start in ["", "GET /live.mp3 HTT", "GET / HTTP/1.1\r\nHost: x\r\nX-A"] {
        let begun = Instant::now();
        let reply = Reply::parse(&exchange(server.address, start.as_bytes()));
        let waited = begun.elapsed();
        assert!(waited >= Duration::from_millis(400), "{start:?} was cut off after {waited:?}");
        assert!(reply.status == 408 || start.is_empty(), "{start:?}: {}", reply.head);
    }
    // Who said nothing is not slow.
    wait_for("their counters", || {
        server.metric("skywave_slow_heads_total") == Some(2.0)
            && server.metric("skywave_idle_closed_total") == Some(1.0)
    });
    assert_eq!(server.metric("skywave_slow_bodies_total"), Some(0.0));
}

#[test]
fn a_head_that_comes_byte_by_byte_has_the_same_deadline() {
    let server = Server::start("[limits]\nheader_timeout_ms = 1000\n");
    let mut stream = TcpStream::connect(server.address).expect("connects");
    stream.set_read_timeout(Some(Duration::from_millis(50))).expect("a timeout");
    let begun = Instant::now();
    let mut answer = Vec::new();
    let endless = "GET / HTTP/1.1\r\nX-Slow: ".bytes().chain(std::iter::repeat(b'a'));
    for byte in endless {
        let _ = stream.write_all(&[byte]);
        let mut buffer = [0; 512];
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => answer.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
            Err(_) => assert!(begun.elapsed() < PATIENCE, "still connected"),
        }
    }
    assert_eq!(Reply::parse(&answer).status, 408);
}

#[test]
fn a_body_that_never_comes_gets_408() {
    let server = Server::start("[limits]\nbody_timeout_ms = 1000\nheader_timeout_ms = 500\n");
    let login = basic("admin", "an-admin-password");
    let request = format!(
        "POST /admin/metadata HTTP/1.1\r\nHost: x\r\n{login}\r\nContent-Length: 100\r\n\
         Content-Type: application/x-www-form-urlencoded\r\n\r\nmode=upd"
    );
    let reply = Reply::parse(&exchange(server.address, request.as_bytes()));
    assert_eq!(reply.status, 408, "{}", reply.head);
    wait_for("its counter", || server.metric("skywave_slow_bodies_total") == Some(1.0));
    assert_eq!(server.metric("skywave_slow_heads_total"), Some(0.0));
}

/// Both directions at once, many times: nothing of it is left.
#[test]
fn a_storm_of_half_open_peers_leaves_nothing() {
    let server = Server::start(
        "[limits]\nheader_timeout_ms = 500\n[mount_defaults]\nsource_timeout_ms = 1000\n",
    );
    let login = basic("source", PASSWORD);
    let mut held = Vec::new();
    for number in 0..100 {
        let mut silent = TcpStream::connect(server.address).expect("connects");
        silent.write_all(b"GET / HT").expect("sends");
        let mut source = TcpStream::connect(server.address).expect("connects");
        let head = format!(
            "SOURCE /half{number}.mp3 HTTP/1.0\r\n{login}\r\nContent-Type: audio/mpeg\r\n\r\n"
        );
        source.write_all(head.as_bytes()).expect("sends");
        held.push((silent, source));
    }
    wait_for("all are dropped", || {
        server.metric("skywave_sources") == Some(0.0)
            && server.metric("skywave_clients").is_some_and(|count| count <= 2.0)
    });
    drop(held);
}

#[test]
fn listeners_that_come_and_go_in_a_storm_leave_nothing() {
    let server = Server::start("");
    let _source = Source::tape(server.address, "/live.mp3", 1, 4.0);
    let mut steady = Listener::open(server.address, "/live.mp3", &[]);
    steady.read_exact(417);
    for _ in 0..10 {
        let storm: Vec<_> = (0..100)
            .map(|_| {
                let mut stream = TcpStream::connect(server.address).expect("connects");
                stream.write_all(b"GET /live.mp3 HTTP/1.0\r\n\r\n").expect("sends");
                stream
            })
            .collect();
        rest_ms(20);
        drop(storm);
    }
    wait_for("one listener is left", || server.metric("skywave_listeners") == Some(1.0));
    // The first byte was read before: from the second frame on it is one run.
    let runs = runs_of(&steady.read_for_ms(500).bytes);
    assert_eq!(runs.len(), 1, "the steady one has heard no gap: {runs:?}");
    assert_eq!(runs[0].first, 1);
}
