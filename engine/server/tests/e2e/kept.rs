//! Connections that are kept for another request, and what one address may have.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use crate::harness::{Listener, Reply, Server, Source, connect, exchange, wait_for};

/// Reads one answer, by its length.
pub(crate) fn read_one(stream: &mut TcpStream) -> Reply {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") {
        assert_eq!(stream.read(&mut byte).expect("an answer in time"), 1, "ended in a head");
        bytes.push(byte[0]);
    }
    let mut reply = Reply::parse(&bytes);
    let length = reply.header("content-length").expect("a length").parse().expect("a number");
    reply.body = vec![0; length];
    stream.read_exact(&mut reply.body).expect("a body in time");
    reply
}

fn get(path: &str, connection: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: {connection}\r\n\r\n")
}

#[test]
fn whoever_asks_for_it_keeps_the_connection() {
    let server = Server::start("[limits]\nconnection_requests_max = 6\n");
    let mut stream = connect(server.address).expect("a connection");
    for path in ["/status-json.xsl", "/", "/health", "/metrics"] {
        stream.write_all(get(path, "keep-alive").as_bytes()).expect("sent");
        let reply = read_one(&mut stream);
        assert_eq!(reply.status, 200, "{}", reply.head);
        assert_eq!(reply.header("connection"), Some("keep-alive"), "{path}");
    }
    // Two at once, of which the second is the last that it may carry.
    let both = get("/health", "keep-alive").repeat(2);
    stream.write_all(both.as_bytes()).expect("sent");
    assert_eq!(read_one(&mut stream).header("connection"), Some("keep-alive"));
    assert_eq!(read_one(&mut stream).header("connection"), Some("Close"));
    assert_eq!(stream.read(&mut [0]).expect("the end"), 0);
    wait_for("they are counted", || {
        server.metric("skywave_kept_requests_total").is_some_and(|count| count >= 5.0)
    });
    // Nobody else does.
    let answer = exchange(server.address, b"GET /health HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(answer.starts_with(b"HTTP/1.0 200 "));
    // Half a request behind an answer is none.
    let mut stream = connect(server.address).expect("a connection");
    let request = get("/health", "keep-alive") + "GET /he";
    stream.write_all(request.as_bytes()).expect("sent");
    assert_eq!(read_one(&mut stream).status, 200);
    stream.shutdown(Shutdown::Write).expect("half closed");
    assert_eq!(stream.read(&mut [0]).expect("the end"), 0);
}

/// The far end's close is waited for where it may still be sending, and nowhere else: who reads to
/// the end would wait as long. The wait is a second, so one of a few that is shorter tells.
#[test]
fn an_answer_to_a_whole_body_ends_at_once() {
    let server = Server::start("");
    let post = "POST /whep/nobody HTTP/1.1\r\nHost: h\r\nContent-Type: application/sdp\r\n\
                Connection: close\r\nContent-Length: 5\r\n\r\nv=0\r\n";
    let shortest = (0..5).map(|_| {
        let mut stream = connect(server.address).expect("a connection");
        stream.write_all(post.as_bytes()).expect("sent");
        assert!(!matches!(read_one(&mut stream).status, 200..300));
        let answered_at = std::time::Instant::now();
        assert_eq!(stream.read(&mut [0]).expect("the end"), 0);
        answered_at.elapsed()
    });
    let shortest = shortest.min().expect("five");
    assert!(shortest < std::time::Duration::from_millis(900), "{shortest:?}");
}

#[test]
fn a_stream_behind_a_page_ends_the_connection_as_ever() {
    let server = Server::start("");
    let _source = Source::tape(server.address, "/live.mp3", 1, 4.0);
    wait_for("it is up", || server.mount_status("/live.mp3").is_some());
    let mut stream = connect(server.address).expect("a connection");
    stream.write_all(get("/health", "keep-alive").as_bytes()).expect("sent");
    assert_eq!(read_one(&mut stream).status, 200);
    stream.write_all(get("/live.mp3", "keep-alive").as_bytes()).expect("sent");
    let mut bytes = vec![0; 20_000];
    stream.read_exact(&mut bytes).expect("a stream");
    let head = Reply::parse(&bytes);
    assert_eq!((head.status, head.header("connection")), (200, Some("Close")));
}

#[test]
fn an_address_has_so_many_connections() {
    // Each shard counts for itself: there is one.
    let toml = "[limits]\naddress_connections_max = 5\n";
    let flags = vec!["--shards".to_owned(), "1".to_owned()];
    let setup = crate::harness::Setup { toml: toml.to_owned(), flags, port: 0 };
    let server = Server::start_with(setup);
    let _source = Source::tape(server.address, "/live.mp3", 1, 4.0);
    wait_for("it is up", || server.mount_status("/live.mp3").is_some());
    wait_for("there is room for four", || {
        let four: Vec<Listener> =
            (0..4).map(|_| Listener::open(server.address, "/live.mp3", &[])).collect();
        let is_full = server.get("/health").status == 403;
        is_full && four.iter().all(|listener| listener.reply.status == 200)
    });
    wait_for("they are gone", || server.get("/health").status == 200);
    wait_for("it is counted", || {
        server.metric("skywave_address_connections_refused_total").is_some_and(|count| count >= 1.0)
    });
}

#[test]
fn an_address_makes_so_many_requests() {
    let toml = "[limits]\naddress_requests_per_second_max = 10\n";
    let flags = vec!["--shards".to_owned(), "1".to_owned()];
    let setup = crate::harness::Setup { toml: toml.to_owned(), flags, port: 0 };
    let server = Server::start_with(setup);
    wait_for("it is too many", || {
        let statuses: Vec<u16> = (0..40).map(|_| server.get("/health").status).collect();
        statuses.contains(&429)
    });
    // With time they come back.
    wait_for("it may ask again", || server.get("/health").status == 200);
}
