//! Paths that are the server's own: their methods, `OPTIONS`, and connections that go on.

use std::io::Write;

use crate::harness::{Reply, Server, connect, exchange};
use crate::kept::read_one;

fn ask(server: &Server, request: &str) -> Reply {
    Reply::parse(&exchange(server.address, format!("{request}\r\n\r\n").as_bytes()))
}

#[test]
fn a_path_of_ours_says_what_methods_it_has() {
    let server = Server::start("");
    for (request, allow) in [
        ("DELETE /metrics HTTP/1.1\r\nHost: h\r\nConnection: close", "GET, HEAD, OPTIONS"),
        (
            "PUT /api/health HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nConnection: close",
            "GET, HEAD, OPTIONS",
        ),
    ] {
        let reply = ask(&server, request);
        assert_eq!((reply.status, reply.header("allow")), (405, Some(allow)), "{}", reply.head);
        assert_eq!(reply.header("content-length"), Some("0"));
    }
    let preflight = "OPTIONS /api/health HTTP/1.1\r\nHost: h\r\nOrigin: http://page\r\n\
                     Access-Control-Request-Method: GET\r\n\
                     Access-Control-Request-Headers: x-a, authorization\r\nConnection: close";
    let reply = ask(&server, preflight);
    assert_eq!((reply.status, reply.header("allow")), (204, Some("GET, HEAD, OPTIONS")));
    assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
    assert_eq!(reply.header("access-control-allow-headers"), Some("x-a, authorization"));
    // WHIP and WHEP say what they take.
    for path in ["whip", "whep"] {
        let reply =
            ask(&server, &format!("OPTIONS /{path}/a HTTP/1.1\r\nHost: h\r\nConnection: close"));
        assert_eq!((reply.status, reply.header("allow")), (204, Some("POST, OPTIONS")));
        assert_eq!(reply.header("accept-post"), Some("application/sdp"));
    }
    // What is no path of ours is told so in Icecast's words.
    assert_eq!(ask(&server, "DELETE /nothing HTTP/1.1\r\nHost: h").status, 400);
}

#[test]
fn what_the_shard_answers_keeps_the_connection_as_http_has_it() {
    let server = Server::start("");
    let mut stream = connect(server.address).expect("a connection");
    for _ in 0..3 {
        stream.write_all(b"GET /api/health HTTP/1.1\r\nHost: h\r\n\r\n").expect("sent");
        let reply = read_one(&mut stream);
        assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/json")));
        assert!(reply.text().starts_with("{\"status\":\"ok\","), "{}", reply.text());
    }
    let head = ask(&server, "HEAD /api/health HTTP/1.1\r\nHost: h\r\nConnection: close");
    assert!(head.body.is_empty() && head.header("content-length") != Some("0"), "{}", head.head);
    assert_eq!(head.header("connection"), Some("close"));
    // A body where none belongs is refused, and is no request of its own.
    let body = "GET /api/health HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc";
    let reply = Reply::parse(&exchange(server.address, body.as_bytes()));
    assert_eq!((reply.status, reply.header("connection")), (413, Some("close")));
}
