//! The ICY handshake, however it is cut.

use super::*;

const LIQUIDSOAP: &[u8] = b"hackme\r\nicy-br:128\r\nicy-url:http://l/\r\nicy-pub:1\r\n\
    icy-genre:LG\r\nicy-name:LQ\r\ncontent-type:audio/mpeg\r\n\r\n\xff\xfb\x90D";

/// Shows the bytes as they would come in, and gives the password step, the head and what is left.
fn drive(stream: &[u8], piece_bytes: usize) -> Result<(V1Step, V1Step, Vec<u8>), V1Malformed> {
    let mut decoder = V1Decoder::new(4096);
    let (mut unread, mut steps) = (Vec::new(), Vec::new());
    for piece in stream.chunks(piece_bytes) {
        unread.extend_from_slice(piece);
        loop {
            let used = match decoder.decode(&unread)? {
                V1Step::Need => break,
                V1Step::Password { credentials, mount, used } => {
                    steps.push(V1Step::Password { credentials, mount, used: 0 });
                    used
                }
                V1Step::Head { request, used } => {
                    steps.push(V1Step::Head { request, used: 0 });
                    used
                }
            };
            assert!(used > 0);
            unread.drain(..used);
        }
    }
    let head = steps.pop().unwrap_or(V1Step::Need);
    Ok((steps.pop().unwrap_or(V1Step::Need), head, unread))
}

#[test]
fn liquidsoap_in_one_write_and_in_any_other() {
    let whole = drive(LIQUIDSOAP, LIQUIDSOAP.len()).unwrap();
    let (V1Step::Password { credentials, mount: None, .. }, V1Step::Head { request, .. }, rest) =
        whole.clone()
    else {
        panic!("{whole:?}");
    };
    assert_eq!((credentials.user.as_str(), credentials.password.as_str()), ("source", "hackme"));
    assert_eq!(request.content_type.as_deref(), Some("audio/mpeg"));
    assert_eq!(request.stream.name.as_deref(), Some("LQ"));
    assert_eq!(request.stream.public, Some(true));
    assert_eq!(rest, b"\xff\xfb\x90D");
    let echoed: Vec<&str> = request.stream.echoed.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(echoed, ["icy-br", "icy-genre", "icy-name", "icy-pub", "icy-url"]);
    for piece_bytes in 1..LIQUIDSOAP.len() {
        assert_eq!(drive(LIQUIDSOAP, piece_bytes).unwrap(), whole);
    }
}

#[test]
fn password_lines_in_all_dialects() {
    let password = |line: &str| {
        let mut decoder = V1Decoder::new(4096);
        let step = decoder.decode(line.as_bytes()).unwrap();
        let V1Step::Password { credentials, mount, used } = step else { panic!("{step:?}") };
        assert_eq!(used, line.len());
        (credentials.password, mount, decoder.sid())
    };
    let plain = |text: &str| (text.to_owned(), None, None);
    assert_eq!(password("hackme\r\n"), plain("hackme"));
    assert_eq!(password("hackme\n"), plain("hackme"));
    assert_eq!(password("hackme\r\r\n"), plain("hackme"));
    assert_eq!(password("pass:word\r\n"), plain("pass:word"));
    assert_eq!(password("/slash\r\n"), plain("/slash"));
    assert_eq!(password("/sc:hackme\n"), ("hackme".into(), Some("/sc".into()), None));
    assert_eq!(password("hackme:#2\n"), ("hackme".into(), None, Some(2)));
    assert_eq!(password("hackme:#x\n"), plain("hackme:#x"));
    assert_eq!(password("/a:b:#7\n"), ("b".into(), Some("/a".into()), Some(7)));
}

#[test]
fn what_is_no_handshake_is_refused() {
    let refused = |stream: &[u8]| drive(stream, 7).unwrap_err().reason;
    assert_eq!(refused(b"\r\n"), "an empty password");
    assert_eq!(refused(b"/m:\r\n"), "an empty password");
    assert_eq!(refused(b"a\0b\r\n"), "a password line that is no text");
    assert_eq!(refused(b"\xff\xfb\r\n"), "a password line that is no text");
    assert_eq!(refused(&[b'x'; 5000]), "a password line without an end");
    let endless = [&b"pw\r\n"[..], &b"icy-x: y\r\n".repeat(1000)].concat();
    assert_eq!(refused(&endless), "more lines about the stream than allowed");
    let one_line = [&b"pw\r\n"[..], &[b'x'; 9000]].concat();
    assert_eq!(refused(&one_line), "more lines about the stream than allowed");
}

#[test]
fn lines_without_sense_are_left_out() {
    let (_, head, _) =
        drive(b"pw\nnonsense\n: x\nicy-name : N \nauthorization: Basic x\n\n", 3).unwrap();
    let V1Step::Head { request, .. } = head else { panic!("{head:?}") };
    assert_eq!(request.stream.name.as_deref(), Some("N"));
    assert_eq!((request.credentials, request.content_type), (None, None));
}

#[test]
fn request_lines_are_told_from_password_lines() {
    assert_eq!(dialect_of(b"hackme\r\n"), Dialect::V1);
    assert_eq!(dialect_of(b"hackme\r\nicy-name:x y\r\n"), Dialect::V1);
    assert_eq!(dialect_of(b"/m:hackme\n"), Dialect::V1);
    assert_eq!(dialect_of(b"GET / HTTP/1.0\r\n"), Dialect::Http);
    assert_eq!(dialect_of(b"SOURCE /m"), Dialect::Http);
    assert_eq!(dialect_of(b"SOURCE"), Dialect::Need);
    assert_eq!(dialect_of(b"hackme"), Dialect::Need);
    assert_eq!(dialect_of(b""), Dialect::Need);
    assert_eq!(dialect_of(b"\r\nGET / HTTP/1.0\r\n"), Dialect::Http);
    assert_eq!(dialect_of(b"\x16\x03\x01\x02"), Dialect::Http);
    assert_eq!(dialect_of(&[b'x'; 5000]), Dialect::Http);
}
