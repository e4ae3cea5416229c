//! The cases that conformance suites for RFC 6455 try, chapter by chapter, each whole and cut at
//! every byte.

mod walk;

use Opcode::{Binary, Close, Continuation, Ping, Pong, Text};
use protocol_ws::{Limits, Malformed, Opcode};
use walk::{Event, client_frame, served};

fn of(frames: &[(Opcode, bool, &[u8])]) -> Vec<Event> {
    let bytes: Vec<u8> = frames.iter().flat_map(|it| client_frame(it.0, it.1, it.2)).collect();
    served(Limits::default(), &bytes)
}

fn failed(malformed: Malformed) -> Event {
    Event::Failed(malformed)
}

fn text(text: &str) -> Event {
    Event::Text(text.to_owned())
}

#[test]
fn messages_of_every_form_of_length() {
    for length in [0, 1, 124, 125, 126, 127, 128, 65_535, 65_536, 100_000] {
        let payload = vec![b'*'; length];
        // Byte by byte is quadratic in the walk, not in the decoder; long ones are shown whole.
        let bytes =
            [client_frame(Text, true, &payload), client_frame(Binary, true, &payload)].concat();
        let expected = [Event::Text("*".repeat(length)), Event::Binary(payload)];
        let events = if length < 1000 {
            served(Limits::default(), &bytes)
        } else {
            let cuts = [3, 4, 5, 9, 17, length / 2, length + 12];
            walk::walk(protocol_ws::Role::Server, Limits::default(), &bytes, &cuts)
        };
        assert_eq!(events, expected);
    }
}

#[test]
fn pings_and_pongs() {
    let longest = [0xfe; 125];
    assert_eq!(
        of(&[(Ping, true, b""), (Ping, true, b"\x00\xff"), (Ping, true, &longest)]),
        [Event::Ping(vec![]), Event::Ping(vec![0, 0xff]), Event::Ping(longest.to_vec())]
    );
    assert_eq!(of(&[(Pong, true, b"unasked")]), [Event::Pong(b"unasked".to_vec())]);
    // Too long, in either form of length.
    for second in [0xfe_u8, 0xff] {
        let bytes = [0x89, second, 0, 126, 0, 0, 0, 0, 0, 126];
        assert_eq!(served(Limits::default(), &bytes), [failed(Malformed::ControlTooLong)]);
    }
}

#[test]
fn reserved_bits_and_opcodes() {
    for bits in [0x40_u8, 0x20, 0x10, 0x70] {
        for opcode in [0x1_u8, 0x2, 0x8, 0x9, 0xa] {
            let bytes = [0x80 | bits | opcode, 0x80, 0, 0, 0, 0];
            assert_eq!(served(Limits::default(), &bytes), [failed(Malformed::ReservedBits)]);
        }
    }
    for opcode in [0x3_u8, 0x4, 0x5, 0x6, 0x7, 0xb, 0xc, 0xd, 0xe, 0xf] {
        let bytes = [0x80 | opcode, 0x80, 0, 0, 0, 0];
        assert_eq!(served(Limits::default(), &bytes), [failed(Malformed::ReservedOpcode)]);
    }
    // What came before is still good.
    let bytes = [client_frame(Text, true, b"first"), vec![0x83, 0x80, 0, 0, 0, 0]].concat();
    let expected = [text("first"), failed(Malformed::ReservedOpcode)];
    assert_eq!(served(Limits::default(), &bytes), expected);
}

#[test]
fn fragments() {
    assert_eq!(
        of(&[(Text, false, b"frag"), (Continuation, false, b""), (Continuation, true, b"ment")]),
        [text("fragment")]
    );
    assert_eq!(
        of(&[(Text, false, b"a"), (Ping, true, b"!"), (Continuation, true, b"b")]),
        [Event::Ping(b"!".to_vec()), text("ab")]
    );
    assert_eq!(
        of(&[(Text, false, b""), (Continuation, false, b""), (Continuation, true, b"")]),
        [text("")]
    );
    assert_eq!(of(&[(Continuation, true, b"x")]), [failed(Malformed::NothingToContinue)]);
    assert_eq!(
        of(&[(Text, true, b"done"), (Continuation, false, b"x")]),
        [text("done"), failed(Malformed::NothingToContinue)]
    );
    for second in [Text, Binary] {
        let frames: [(Opcode, bool, &[u8]); 2] = [(Text, false, b"a"), (second, true, b"b")];
        assert_eq!(of(&frames), [failed(Malformed::MessageInsideMessage)]);
    }
    for opcode in [0x08_u8, 0x09, 0x0a] {
        let bytes = [opcode, 0x80, 0, 0, 0, 0];
        assert_eq!(served(Limits::default(), &bytes), [failed(Malformed::ControlFragmented)]);
    }
}

#[test]
fn text_is_utf8() {
    let valid =
        ["Hello-µ@ßöäüàá-UTF-8!!", "κόσμε", "\u{10ffff}", "\u{d7ff}\u{e000}", "\0", "\u{ffff}"];
    for whole in valid {
        assert_eq!(of(&[(Text, true, whole.as_bytes())]), [text(whole)]);
        for cut in 0..=whole.len() {
            let (head, tail) = whole.as_bytes().split_at(cut);
            assert_eq!(of(&[(Text, false, head), (Continuation, true, tail)]), [text(whole)]);
        }
    }
    let invalid: &[&[u8]] = &[
        b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited", // a surrogate
        b"\xf4\x90\x80\x80",                                               // beyond U+10FFFF
        b"\xf8\x88\x80\x80\x80",
        b"\xc0\x80",     // overlong
        b"\xe0\x80\xaf", // overlong
        b"\x80",
        b"\xfe",
        b"ok\xce",       // ends inside a character
        b"\xf0\x90\x80", // likewise
        b"\xed\xaf\xbf",
    ];
    for bytes in invalid {
        assert_eq!(of(&[(Text, true, bytes)]), [failed(Malformed::NotUtf8)], "{bytes:x?}");
        let each: Vec<(Opcode, bool, &[u8])> = bytes
            .chunks(1)
            .enumerate()
            .map(|(at, byte)| {
                (if at == 0 { Text } else { Continuation }, at + 1 == bytes.len(), byte)
            })
            .collect();
        assert_eq!(of(&each), [failed(Malformed::NotUtf8)], "{bytes:x?}");
        assert_eq!(of(&[(Binary, true, bytes)]), [Event::Binary(bytes.to_vec())]);
    }
    // Found in the first fragment that shows it, without waiting for the last.
    let frames: [(Opcode, bool, &[u8]); 1] = [(Text, false, b"\xf4\x90")];
    assert_eq!(of(&frames), [failed(Malformed::NotUtf8)]);
}

#[test]
fn closes() {
    assert_eq!(of(&[(Close, true, b"")]), [Event::Close(None, String::new())]);
    assert_eq!(of(&[(Close, true, b"\x03")]), [failed(Malformed::CloseTooShort)]);
    for code in [1000_u16, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4999] {
        let payload = [&code.to_be_bytes()[..], "tschüß".as_bytes()].concat();
        assert_eq!(of(&[(Close, true, &payload)]), [Event::Close(Some(code), "tschüß".into())]);
    }
    for code in [0_u16, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535] {
        assert_eq!(of(&[(Close, true, &code.to_be_bytes())]), [failed(Malformed::CloseCode)]);
    }
    assert_eq!(of(&[(Close, true, b"\x03\xe8\xce")]), [failed(Malformed::NotUtf8)]);
    let longest = [&[0x03, 0xe8][..], &[b'*'; 123]].concat();
    assert_eq!(of(&[(Close, true, &longest)]), [Event::Close(Some(1000), "*".repeat(123))]);
    // Nothing behind a close is read, be it right or wrong.
    let after: [(Opcode, bool, &[u8]); 3] =
        [(Close, true, b"\x03\xe8"), (Text, true, b"late"), (Close, true, b"\x03")];
    assert_eq!(of(&after), [Event::Close(Some(1000), String::new())]);
    // A message that was under way is given up.
    let inside: [(Opcode, bool, &[u8]); 2] = [(Text, false, b"half"), (Close, true, b"")];
    assert_eq!(of(&inside), [Event::Close(None, String::new())]);
}

#[test]
fn masks_are_the_clients() {
    let plain = [0x81, 0x01, b'x'];
    assert_eq!(served(Limits::default(), &plain), [failed(Malformed::NotMasked)]);
    let walked = |bytes| walk::walk(protocol_ws::Role::Client, Limits::default(), bytes, &[1]);
    assert_eq!(walked(&plain), [text("x")]);
    assert_eq!(walked(&client_frame(Text, true, b"x")), [failed(Malformed::Masked)]);
}

#[test]
fn limits_hold_before_anything_is_collected() {
    let limits = Limits { frame_bytes_max: 10, message_bytes_max: 15, fragments_count_max: 3 };
    let first = |payload_bytes: usize| client_frame(Text, false, &vec![b'x'; payload_bytes]);
    let more = |is_final, payload_bytes: usize| {
        client_frame(Continuation, is_final, &vec![b'x'; payload_bytes])
    };
    assert_eq!(served(limits, &[first(10), more(true, 5)].concat()), [text(&"x".repeat(15))]);
    // The head alone decides; no byte of payload is there.
    let too_long = &first(11)[..6];
    assert_eq!(served(limits, too_long), [failed(Malformed::FrameTooLong)]);
    let second = more(true, 6);
    let bytes = [first(10), second[..6].to_vec()].concat();
    assert_eq!(served(limits, &bytes), [failed(Malformed::MessageTooLong)]);
    let bytes = [first(0), more(false, 0), more(true, 0)].concat();
    assert_eq!(served(limits, &bytes), [text("")]);
    let bytes = [first(0), more(false, 0), more(false, 0), more(true, 0)].concat();
    assert_eq!(served(limits, &bytes), [failed(Malformed::TooManyFragments)]);
    // The largest length that can be said does not overflow a sum.
    let unlimited = Limits { frame_bytes_max: u64::MAX, ..limits };
    let huge = [&[0x00, 0xff][..], &(u64::MAX >> 1).to_be_bytes(), &[0; 4]].concat();
    let bytes = [first(10), huge].concat();
    assert_eq!(served(unlimited, &bytes), [failed(Malformed::MessageTooLong)]);
}

#[test]
fn every_failure_has_a_code_that_may_be_sent() {
    for (malformed, code) in [
        (Malformed::ReservedBits, 1002),
        (Malformed::CloseCode, 1002),
        (Malformed::NotUtf8, 1007),
        (Malformed::FrameTooLong, 1009),
        (Malformed::MessageTooLong, 1009),
        (Malformed::TooManyFragments, 1008),
    ] {
        assert_eq!(malformed.close_code().number(), code);
    }
}
