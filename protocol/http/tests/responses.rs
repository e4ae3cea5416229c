//! The client's side: what servers answer, good and bad.

mod walk;

use protocol_http::{BodyKind, Limits, Method, ResponseDecoder, Step, Version};
use walk::{Event, responses, unescape};

/// The bodies of the responses joined by `|`, or the refusal.
fn read(text: &str) -> String {
    let bytes = unescape(text);
    let whole = responses(Limits::default(), &bytes, &[]);
    for at in 1..bytes.len() {
        assert_eq!(responses(Limits::default(), &bytes, &[at]), whole, "{text} cut at {at}");
    }
    assert_eq!(responses(Limits::default(), &bytes, &vec![1; bytes.len()]), whole, "{text}");
    let mut bodies = Vec::new();
    for event in whole {
        match event {
            Event::Head(_) => bodies.push("-".to_owned()),
            Event::Body(body) => *bodies.last_mut().unwrap() = String::from_utf8(body).unwrap(),
            Event::End => {}
            Event::Refused(_, reason) => return format!("refused: {reason}"),
        }
    }
    bodies.join("|")
}

#[test]
fn bodies() {
    for (text, expected) in [
        ("HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nhiHTTP/1.1 404\\r\\n\\r\\nx", "hi|x"),
        (
            "HTTP/1.1 200 OK\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n2\\r\\nhi\\r\\n0\\r\\n\\r\\n",
            "hi",
        ),
        ("HTTP/1.0 200 OK\\r\\n\\r\\nuntil the end", "until the end"),
        (
            "HTTP/1.1 100 Continue\\r\\n\\r\\nHTTP/1.1 200 OK\\r\\nContent-Length: 1\\r\\n\\r\\nx",
            "-|x",
        ),
        (
            "HTTP/1.1 204 No Content\\r\\n\\r\\nHTTP/1.1 304 x\\r\\nContent-Length: 9\\r\\n\\r\\n",
            "-|-",
        ),
        ("ICY 200 OK\\r\\nicy-notice1:<BR>\\r\\ncontent-length: 3\\r\\n\\r\\nstream", "stream"),
        ("ICY 200 OK\\nicy-name:x\\n\\nstream", "stream"),
        ("HTTP/1.9 200 OK\\r\\nContent-Length: 1\\r\\nContent-Length: 1\\r\\n\\r\\nx", "x"),
    ] {
        assert_eq!(read(text), expected, "{text}");
    }
}

#[test]
fn refused() {
    for text in [
        "HTTP/2 200 OK\\r\\n\\r\\n",
        "SPDY 200 OK\\r\\n\\r\\n",
        "HTTP/1.1 20 OK\\r\\n\\r\\n",
        "HTTP/1.1 099 OK\\r\\n\\r\\n",
        "HTTP/1.1 2000 OK\\r\\n\\r\\n",
        "HTTP/1.1  200 OK\\r\\n\\r\\n",
        "HTTP/1.1 200 O\\0K\\r\\n\\r\\n",
        "HTTP/1.1 200 OK\\r\\r\\n\\r\\n",
        "HTTP/1.1 204 x\\r\\nContent-Length: 3_0\\r\\n\\r\\n",
        "HTTP/1.1 304 x\\r\\nContent-Length: +3\\r\\n\\r\\n",
        "HTTP/1.1 100 x\\r\\nContent-Length:\\r\\n\\r\\n",
        "HTTP/1.1 200 OK\\r\\nX : y\\r\\n\\r\\n",
        "HTTP/1.1 200 OK\\r\\nX: y\\r\\n z\\r\\n\\r\\n",
        "HTTP/1.1 200 OK\\r\\nContent-Length: 1\\r\\nContent-Length: 2\\r\\n\\r\\nxx",
        "HTTP/1.1 200 OK\\r\\nContent-Length: 1, 1\\r\\n\\r\\nxx",
        "HTTP/1.1 200 OK\\r\\nContent-Length: 1\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n",
        "HTTP/1.1 200 OK\\r\\nTransfer-Encoding: gzip, chunked\\r\\n\\r\\n",
        "HTTP/1.1 200 OK\\r\\nTransfer-Encoding: chunked \\t\\r\\n\\r\\n0\\r\\n\\r\\n",
        "HTTP/1.0 200 OK\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n",
        "HTTP/1.1 200 OK\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n2\\nhi",
        "\\r\\nHTTP/1.1 200 OK\\r\\n\\r\\n",
    ] {
        assert!(read(text).starts_with("refused"), "{text}: {}", read(text));
    }
}

#[test]
fn head_has_no_body_and_icy_is_known() {
    let mut decoder = ResponseDecoder::new(Limits::default());
    decoder.request_sent(Method::Head);
    let text = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n";
    let Ok(Step::Head { head, .. }) = decoder.decode(text) else { panic!("no head") };
    assert_eq!((head.body, head.keep_alive, head.reason), (BodyKind::None, true, "OK"));

    let mut decoder = ResponseDecoder::new(Limits::default());
    let text = b"ICY 200 OK\r\nicy-metaint:8192\r\n\r\n";
    let Ok(Step::Head { head, .. }) = decoder.decode(text) else { panic!("no head") };
    assert_eq!((head.version, head.body), (Version::Icy, BodyKind::UntilClose));
    assert_eq!(head.headers.get_str("Icy-Metaint"), Some("8192"));
    assert!(!head.keep_alive);
}

#[test]
fn ends_of_connections() {
    let finished = |text: &[u8]| {
        let mut decoder = ResponseDecoder::new(Limits::default());
        let mut unread = text;
        loop {
            match decoder.decode(unread).unwrap() {
                Step::Need => break decoder.finish().is_ok(),
                Step::Head { used, .. } | Step::Body { used, .. } | Step::End { used } => {
                    unread = &unread[used..];
                }
            }
        }
    };
    assert!(finished(b""));
    assert!(!finished(b"HTTP/1.1 200"));
    assert!(finished(b"HTTP/1.1 200 OK\r\n\r\nabc"));
    assert!(!finished(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabc"));
    assert!(finished(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"));
    assert!(!finished(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"));
}

#[test]
fn a_long_head_is_refused() {
    let text = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(9000));
    let events = responses(Limits::default(), text.as_bytes(), &[]);
    assert!(matches!(events[..], [Event::Refused(..)]));
}

#[test]
fn a_body_beyond_the_limit_is_refused() {
    let limits = Limits { body_bytes_max: 5, ..Limits::default() };
    let events = responses(limits, b"HTTP/1.0 200 OK\r\n\r\n123456", &[21, 1, 1, 1]);
    assert!(matches!(events.last(), Some(Event::Refused(..))));
}
