//! What real encoders and players send (captured from each), and what a head says about it.

use protocol_http::{BodyKind, Limits, Method, RequestDecoder, RequestHead, Step, Version};

/// The head of one request and what is left behind it.
fn with_head<T>(limits: Limits, text: &str, look: impl FnOnce(RequestHead<'_>, &str) -> T) -> T {
    match RequestDecoder::new(limits).decode(text.as_bytes()) {
        Ok(Step::Head { head, used }) => look(head, &text[used..]),
        other => panic!("no head but {other:?}: {text}"),
    }
}

#[test]
fn ffmpeg_source() {
    let text = "PUT /live.mp3 HTTP/1.1\r\nUser-Agent: Lavf/59.27.100\r\nAccept: */*\r\n\
        Expect: 100-continue\r\nConnection: close\r\nHost: 127.0.0.1:8000\r\n\
        Content-Type: audio/mpeg\r\nIcy-MetaData: 1\r\nIce-Name: N\r\nIce-Public: 0\r\n\
        Authorization: Basic c291cmNlOnB3\r\n\r\nID3";
    with_head(Limits::default(), text, |head, rest| {
        assert_eq!((head.method, head.version), (Method::Put, Version::Http11));
        assert!(head.expect_continue && !head.keep_alive && head.lacks_length());
        assert_eq!(head.headers.get("ice-NAME"), Some(&b"N"[..]));
        assert_eq!(head.headers.get_str("content-type"), Some("audio/mpeg"));
        assert_eq!(head.headers.len(), 10);
        assert_eq!(head.host, Some("127.0.0.1:8000"));
        assert_eq!(rest, "ID3");
    });
}

#[test]
fn ffmpeg_put_in_chunks_is_read_without_end() {
    let mut decoder = RequestDecoder::new(Limits { body_bytes_max: 10, ..Limits::default() });
    let head = b"PUT /m HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    let Ok(Step::Head { head, used }) = decoder.decode(head) else { panic!("no head") };
    assert_eq!((head.body, used), (BodyKind::Chunked, 56));
    decoder.set_body_bytes_max(u64::MAX);
    for _ in 0..100 {
        let Ok(Step::Body { range, used }) = decoder.decode(b"5\r\nhello\r\n") else {
            panic!("no body")
        };
        assert_eq!(range.len(), 5);
        let Ok(Step::Body { range, used: rest }) = decoder.decode(&b"5\r\nhello\r\n"[used..])
        else {
            panic!("no framing")
        };
        assert_eq!((range.len(), rest), (0, 2));
    }
}

#[test]
fn curl_upload_beyond_the_limit_can_be_taken() {
    let text = b"PUT /m HTTP/1.1\r\nHost: h\r\nContent-Length: 9999999999\r\n\
        Expect: 100-continue\r\n\r\n";
    for taken in [false, true] {
        let mut decoder = RequestDecoder::new(Limits::default());
        assert!(matches!(decoder.decode(text), Ok(Step::Head { .. })));
        if taken {
            decoder.set_body_bytes_max(u64::MAX);
            assert!(matches!(decoder.decode(b""), Ok(Step::Need)));
            assert!(matches!(decoder.decode(b"abc"), Ok(Step::Body { used: 3, .. })));
        } else {
            assert_eq!(decoder.decode(b"").unwrap_err().status.0, 413);
        }
    }
}

#[test]
fn libshout_probes() {
    let no_host = Limits { host_required: false, ..Limits::default() };
    let options = "OPTIONS * HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: TLS/1.0, HTTP/1.1\r\n\r\n";
    with_head(no_host, options, |head, _| {
        assert!(head.target.is_asterisk() && head.keep_alive);
        assert!(head.headers.has_token("connection", "upgrade"));
        assert!(head.headers.has_token("upgrade", "tls/1.0"));
    });
    let source = "SOURCE /m HTTP/1.0\r\nContent-Length: 0\r\nConnection: Keep-Alive\r\n\r\n";
    with_head(Limits::default(), source, |head, _| {
        assert_eq!((head.method, head.body), (Method::Source, BodyKind::Length(0)));
        assert!(head.keep_alive && !head.lacks_length());
    });
    let title = "GET /admin/metadata?mode=updinfo&mount=%2fm.mp3&charset=ISO-8859-1\
        &song=Caf%e9+%26+Bar&&x HTTP/1.0\r\n\r\n";
    with_head(Limits::default(), title, |head, _| {
        let pairs = head.target.pairs();
        assert_eq!(head.target.path(), "/admin/metadata");
        assert_eq!(pairs.get_str("mount").as_deref(), Some("/m.mp3"));
        assert_eq!(pairs.get("song").as_deref(), Some(&b"Caf\xe9 & Bar"[..]));
        assert_eq!(pairs.get_str("song"), None);
        assert_eq!(pairs.get("x").as_deref(), Some(&b""[..]));
        assert_eq!((pairs.get("none"), pairs.iter().count()), (None, 5));
    });
}

#[test]
fn players() {
    let vlc = "GET /a.mp3 HTTP/1.0\r\nHost: h\r\nUser-Agent: VLC/3.0\r\nIcy-MetaData: 1\r\n\r\n";
    with_head(Limits::default(), vlc, |head, _| {
        assert!(!head.keep_alive);
        assert_eq!(head.headers.get_str("icy-metadata"), Some("1"));
    });
    let wget = "GET / HTTP/1.1\r\nHost: h\r\nConnection: Keep-Alive\r\n\r\n";
    with_head(Limits::default(), wget, |head, _| assert!(head.keep_alive));
    let proxied = "GET http://radio:8000?x=1 HTTP/1.1\r\nHost: other\r\n\r\n";
    with_head(Limits::default(), proxied, |head, _| {
        assert_eq!((head.target.path(), head.target.query()), ("/", Some("x=1")));
        assert_eq!(head.host, Some("radio:8000"));
    });
}

#[test]
fn paths() {
    let decoded = |path: &str| {
        with_head(Limits::default(), &format!("GET {path} HTTP/1.0\r\n\r\n"), |head, _| {
            head.target.decoded_path().map(|path| path.into_owned()).ok()
        })
    };
    for (path, expected) in [
        ("/live.mp3", "/live.mp3"),
        ("/a%20b%2Fc", "/a b/c"),
        ("/caf%C3%A9", "/café"),
        ("/...", "/..."),
        ("/a..b/..c", "/a..b/..c"),
        ("/%252e%252e/", "/%2e%2e/"),
        ("/a+b", "/a+b"),
    ] {
        assert_eq!(decoded(path).as_deref(), Some(expected), "{path}");
    }
    for path in [
        "/..",
        "/../x",
        "/a/../b",
        "/%2e%2e/x",
        "/.%2E",
        "/..%2fetc",
        "/a%2f..",
        "/a%5cb",
        "/a\\b",
        "/%00",
        "/a%0d%0aX",
        "/%7f",
        "/%c2%9b31m",
        "/\u{85}",
        "/%",
        "/%4",
        "/%zz",
        "/%e9",
        "/%c0%ae%c0%ae/",
    ] {
        assert_eq!(decoded(path), None, "{path}");
    }
}

#[test]
fn last_request_of_a_connection() {
    let limits = Limits { requests_count_max: 2, ..Limits::default() };
    let mut decoder = RequestDecoder::new(limits);
    let text = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    for keeps in [true, false] {
        assert!(decoder.is_idle() && !decoder.is_closed());
        let Ok(Step::Head { head, .. }) = decoder.decode(text) else { panic!("no head") };
        assert_eq!(head.keep_alive, keeps);
        assert!(matches!(decoder.decode(b""), Ok(Step::End { used: 0 })));
    }
    assert!(decoder.is_closed());
    assert!(matches!(decoder.decode(text), Ok(Step::Need)));
}

#[test]
fn idle_until_a_byte_came() {
    let mut decoder = RequestDecoder::new(Limits::default());
    assert!(matches!(decoder.decode(b""), Ok(Step::Need)) && decoder.is_idle());
    assert!(matches!(decoder.decode(b"G"), Ok(Step::Need)) && !decoder.is_idle());
}
