//! Bad requests: a clear status, the connection closed, a line in the log; never a panic or a hang.

use std::time::Instant;

use crate::harness::{PATIENCE, Reply, Server, exchange, wait_for};

/// Requests that are refused, and with what.
const REFUSED: &[(&str, u16)] = &[
    ("BLAH\r\n\r\n", 400),
    ("GET\r\n\r\n", 400),
    ("GET /\r\n\r\n", 400),
    ("GET / FTP/1.0\r\n\r\n", 400),
    ("GET / HTTP/3.0\r\n\r\n", 505),
    ("GET / HTTP/2.0\r\n\r\n", 505),
    (" GET / HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    ("GET  / HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    ("GET / HTTP/1.1\nHost: x\n\n", 400),
    ("GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost : x\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nNo colon\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nA: \u{1}\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nA: b\rc\r\n\r\n", 400),
    ("GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    ("GET /a%00b HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    ("GET /../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    ("GET /%2e%2e/etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    ("GET /..%2fetc/passwd HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
    ("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n", 413),
    ("DELETE /live.mp3 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    ("TRACE / HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    ("CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n", 501),
    ("GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n", 404),
];

#[test]
fn each_has_its_status_and_is_closed() {
    let server = Server::start("");
    // Side by side: a client that is still sending has a second to read its answer.
    let address = server.address;
    let ask = |request: &'static str| {
        std::thread::spawn(move || {
            let begun = Instant::now();
            (Reply::parse(&exchange(address, request.as_bytes())), begun.elapsed())
        })
    };
    let asked = REFUSED.iter().map(|(request, status)| (ask(request), request, status));
    let mut faults = String::new();
    for (thread, request, status) in asked.collect::<Vec<_>>() {
        let (reply, took) = thread.join().expect("answered and closed");
        let is_closed = reply.header("connection") == Some("Close");
        let is_right = reply.status == *status && !reply.body.is_empty() && is_closed;
        if !is_right || took > PATIENCE / 2 {
            let (found, said) = (reply.status, reply.text());
            faults += &format!("{request:?}: {found} instead of {status}, {took:?}: {said}\n");
        }
    }
    assert!(faults.is_empty(), "{faults}");
    wait_for("the log says what was wrong", || {
        server.log().matches("refused a request").count() >= 15
    });
}

#[test]
fn what_is_too_long_is_refused_while_it_comes() {
    let server = Server::start("");
    let long_header = format!("GET / HTTP/1.1\r\nHost: x\r\nX-Long: {}\r\n\r\n", "a".repeat(9_000));
    let long_target = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(9_000));
    let many: String = (0..2_000).map(|number| format!("H{number}: x\r\n")).collect();
    let many_headers = format!("GET / HTTP/1.1\r\nHost: x\r\n{many}\r\n");
    for (request, statuses) in [
        (long_header, &[431][..]),
        (long_target, &[414, 431]),
        (many_headers, &[431]),
        ("a".repeat(100_000), &[400, 414, 431]),
    ] {
        let reply = Reply::parse(&exchange(server.address, request.as_bytes()));
        let start = &request[..20];
        // A client that is still sending may lose the answer to a reset.
        assert!(statuses.contains(&reply.status) || reply.status == 0, "{start}: {}", reply.head);
    }
    let chunks = format!(
        "POST /admin/metadata HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        format!("1000\r\n{}\r\n", "a".repeat(4_096)).repeat(20)
    );
    let reply = Reply::parse(&exchange(server.address, chunks.as_bytes()));
    assert!(matches!(reply.status, 413 | 0), "{}", reply.head);
}

#[test]
fn a_request_may_come_byte_by_byte_and_with_another_behind_it() {
    let server = Server::start("");
    let request =
        b"GET /health HTTP/1.1\r\nHost: x\r\n\r\nGET /status-json.xsl HTTP/1.1\r\nHost: x\r\n\r\n";
    let whole = Reply::parse(&exchange(server.address, request));
    assert_eq!(whole.status, 200);
    let mut stream = std::net::TcpStream::connect(server.address).expect("connects");
    for byte in b"GET /health HTTP/1.0\r\n\r\n" {
        std::io::Write::write_all(&mut stream, &[*byte]).expect("sends");
    }
    let mut answer = Vec::new();
    std::io::Read::read_to_end(&mut stream, &mut answer).expect("an answer");
    assert_eq!(Reply::parse(&answer).status, 200);
}

#[test]
fn a_broken_chunk_ends_a_source_with_a_line_in_the_log() {
    let server = Server::start("");
    let login = crate::harness::basic("source", crate::harness::PASSWORD);
    let request = format!(
        "PUT /live.mp3 HTTP/1.1\r\nHost: x\r\n{login}\r\nContent-Type: audio/mpeg\r\n\
         Transfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\nnot a size\r\n"
    );
    let answer = exchange(server.address, request.as_bytes());
    assert!(answer.starts_with(b"HTTP/1.0 200 OK\r\n\r\n"), "the head was good");
    wait_for("the log says so", || server.log().contains("body framing"));
    wait_for("the mount is gone", || server.mount_status("/live.mp3").is_none());
}

#[test]
fn noise_is_answered_or_closed_at_once() {
    let server = Server::start("");
    let mut state = 1_u32;
    for length in [1_usize, 2, 10, 100, 1_000, 20_000] {
        let mut noise: Vec<u8> = (0..length)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            })
            .collect();
        noise.extend_from_slice(b"\r\n\r\n");
        let begun = Instant::now();
        let reply = Reply::parse(&exchange(server.address, &noise));
        assert!(begun.elapsed() < PATIENCE / 2, "{length} bytes");
        assert!((400..600).contains(&reply.status) || reply.status == 0);
    }
    // A TLS client at the wrong door.
    let hello = [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &[0x55; 512][..]].concat();
    let reply = Reply::parse(&exchange(server.address, &hello));
    assert!(reply.status == 400 || reply.status == 0);
    assert_eq!(server.get("/health").status, 200);
}
