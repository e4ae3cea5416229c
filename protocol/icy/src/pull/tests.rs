//! What a pull asks and what it makes of answers.

use super::*;

const REQUEST: PullRequest<'static> = PullRequest {
    path: "/live.mp3",
    host: "upstream.example",
    agent: "Skywave/0.1",
    titles: true,
    credentials: None,
    via: "",
};

#[test]
fn requests_are_icecasts() {
    assert_eq!(
        pull_request(&REQUEST),
        b"GET /live.mp3 HTTP/1.0\r\nUser-Agent: Skywave/0.1\r\nHost: upstream.example\r\n\
          Icy-MetaData: 1\r\n\r\n"
    );
    let credentials = ("source".to_owned(), "hackme".to_owned());
    let all = PullRequest {
        titles: false,
        credentials: Some(&credentials),
        via: "node-a, node-b",
        ..REQUEST
    };
    assert_eq!(
        pull_request(&all),
        b"GET /live.mp3 HTTP/1.0\r\nUser-Agent: Skywave/0.1\r\nHost: upstream.example\r\n\
          Authorization: Basic c291cmNlOmhhY2ttZQ==\r\nVia: 1.1 node-a, 1.1 node-b\r\n\r\n"
    );
}

#[test]
fn no_value_adds_a_line() {
    let evil = PullRequest {
        path: "x y\r\nA: b",
        host: "h\r\nB: c",
        agent: "a\nC: d",
        via: "v\r\nD: e",
        ..REQUEST
    };
    let bytes = pull_request(&evil);
    assert!(bytes.starts_with(b"GET /x%20y%0D%0AA:%20b HTTP/1.0\r\n"));
    assert_eq!(bytes.windows(2).filter(|pair| pair == b"\r\n").count(), 6);
    assert_eq!(bytes.iter().filter(|byte| **byte == b'\n').count(), 6);
}

#[test]
fn a_node_recognises_itself() {
    let passed = |value: &str, node: &str| {
        passed_through([("Host", &b"x"[..]), ("via", value.as_bytes())].into_iter(), node)
    };
    assert!(passed("1.1 node-a", "node-a") && passed("1.0 x, 1.1 node-a", "node-a"));
    assert!(!passed("1.1 node-ab", "node-a") && !passed("1.1 node-a", "") && !passed("", ""));
    assert!(!passed_through([].into_iter(), "node-a"));
}

#[test]
fn an_upstream_answer() {
    let lines = [
        ("Server", "Icecast 2.4.4"),
        ("Content-Type", "audio/mpeg"),
        ("icy-br", "128"),
        ("icy-name", "N1"),
        ("icy-pub", "1"),
        ("icy-metaint", "16000"),
        ("Via", "1.1 node-a"),
    ];
    let lines = lines.map(|(name, value)| (name, value.as_bytes()));
    let answer = PullAnswer::from_head(Status::OK, lines.into_iter());
    assert_eq!((answer.status, answer.metaint), (200, Some(16_000)));
    assert_eq!(answer.content_type.as_deref(), Some("audio/mpeg"));
    assert_eq!(answer.info.name.as_deref(), Some("N1"));
    assert_eq!(answer.info.bitrate.as_deref(), Some("128"));
    assert!(answer.passed("node-a") && !answer.passed("node-b"));
    let moved = [("Location", &b"http://other/x"[..])];
    let moved = PullAnswer::from_head(Status::FOUND, moved.into_iter());
    assert_eq!(moved.location.as_deref(), Some("http://other/x"));
}
