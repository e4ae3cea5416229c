//! Whole connections against each other: messages of any kind and length through any agreement on
//! compression, the closing handshake, silence, slow readers, and what is sent to hurt.
#![allow(clippy::disallowed_methods, reason = "a test needs some time to begin at")]

use std::rc::Rc;
use std::time::{Duration, Instant};

use proptest::collection::vec;
use proptest::prelude::*;
use protocol_ws::{
    AgreedDeflate, CloseCode, Connection, ConnectionSettings, ContextLimits, Contexts,
    DeflateSettings, Ended, Event, FrameHead, Kind, Limits, Malformed, Nonce, Opcode, Pushed,
    QueueLimits, RefusedByServer, Upgrade, WhenFull, write_frame,
};

type End = Connection<Vec<u8>>;

fn settings() -> ConnectionSettings {
    let queue = QueueLimits { bytes_max: 8 << 20, ..QueueLimits::default() };
    ConnectionSettings { queue, ..ConnectionSettings::default() }
}

fn contexts() -> Contexts {
    Contexts::new(ContextLimits::default())
}

fn header_lines(text: &[u8]) -> Vec<(&str, &[u8])> {
    let lines = str::from_utf8(text).unwrap().lines();
    lines.map(|line| line.split_once(": ").unwrap()).map(|(n, v)| (n, v.as_bytes())).collect()
}

/// The handshake with these wishes: what each end then knows.
fn agree(
    client: &DeflateSettings,
    server: &DeflateSettings,
) -> Result<Option<(AgreedDeflate, AgreedDeflate)>, RefusedByServer> {
    let nonce = Nonce([9; 16]);
    let mut request = Vec::new();
    nonce.write_request_lines(&[], &mut request);
    client.write_offer_line(&mut request);
    let upgrade = Upgrade::parse(header_lines(&request)).unwrap().expect("it asks");
    let served = upgrade.agree_on_deflate(server, &contexts());
    let mut response = Vec::new();
    upgrade.write_response_lines(None, &mut response);
    if let Some(agreed) = &served {
        agreed.write_response_line(&mut response);
    }
    let (_, asked) = nonce.check_response_with(101, header_lines(&response), &[], Some(client))?;
    assert_eq!(asked.is_some(), served.is_some(), "both know");
    Ok(served.zip(asked))
}

/// A server's and a client's end.
fn pair(agreed: Option<(AgreedDeflate, AgreedDeflate)>, contexts: &Contexts) -> (End, End) {
    let (now, settings) = (Instant::now(), Rc::new(settings()));
    let mut key = 1_u32;
    let masks = move || {
        key = key.wrapping_mul(0x9e37_79b9).rotate_left(7);
        key.to_be_bytes()
    };
    let server = End::server(&settings, now);
    let client = End::client(&settings, Box::new(masks), now);
    match agreed {
        Some((served, asked)) => {
            (server.with_deflate(&served, contexts), client.with_deflate(&asked, contexts))
        }
        None => (server, client),
    }
}

fn sent(end: &mut End) -> Vec<u8> {
    std::iter::from_fn(|| end.poll()).flatten().collect()
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Said {
    Message(Kind, Vec<u8>),
    Closed(Option<u16>, String),
    Failed(Malformed),
}

/// All that an end makes of bytes which come in pieces of this length.
fn hear(end: &mut End, bytes: &[u8], piece_bytes: usize) -> Vec<Said> {
    let now = Instant::now();
    let mut said = Vec::new();
    let mut unread = Vec::new();
    for piece in bytes.chunks(piece_bytes.max(1)) {
        unread.extend_from_slice(piece);
        loop {
            let (used, event) = end.receive(now, &mut unread);
            match event {
                Event::Need => {}
                Event::Progress => assert!(used > 0, "progress is progress"),
                Event::Message(kind, payload) => {
                    said.push(Said::Message(kind, payload.into_owned()));
                }
                Event::Closed(code, reason) => {
                    said.push(Said::Closed(code.map(CloseCode::number), reason.to_owned()));
                }
                Event::Failed(malformed) => said.push(Said::Failed(malformed)),
            }
            unread.drain(..used);
            if used == 0 {
                break;
            }
        }
    }
    said
}

fn deflate_settings() -> impl Strategy<Value = DeflateSettings> {
    (any::<bool>(), any::<bool>(), 9_u8..=15, 9_u8..=15, 0_usize..200).prop_map(
        |(own_context, peer_context, own_window_bits, peer_window_bits, message_bytes_min)| {
            DeflateSettings {
                own_context,
                peer_context,
                own_window_bits,
                peer_window_bits,
                message_bytes_min,
            }
        },
    )
}

/// Text that repeats itself over distances longer and shorter than windows, and noise.
fn message() -> impl Strategy<Value = (Kind, Vec<u8>)> {
    prop_oneof![
        vec(any::<char>(), 0..300).prop_map(|all| (Kind::Text, String::from_iter(all).into())),
        ("[a-f]{1,40}", 1_usize..2000)
            .prop_map(|(word, times)| (Kind::Text, word.repeat(times).into_bytes())),
        vec(any::<u8>(), 0..3000).prop_map(|bytes| (Kind::Binary, bytes)),
        (vec(any::<u8>(), 1..700), 1_usize..40)
            .prop_map(|(bytes, times)| (Kind::Binary, bytes.repeat(times))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn messages_arrive_whatever_was_agreed_on(
        client in deflate_settings(),
        server in deflate_settings(),
        messages in vec((message(), any::<bool>()), 0..8),
        piece_bytes in 1_usize..5000,
    ) {
        let agreed = agree(&client, &server).expect("both are ours");
        prop_assert!(agreed.is_some(), "a client of ours understands every bound");
        if let Some((served, asked)) = agreed {
            prop_assert_eq!(served.own_window_bits(), asked.peer_window_bits());
            prop_assert_eq!(served.keeps_own_context(), asked.keeps_peer_context());
            prop_assert!(served.own_window_bits() <= client.peer_window_bits);
            prop_assert!(asked.own_window_bits() <= server.peer_window_bits);
        }
        let contexts = contexts();
        let (mut server, mut client) = pair(agreed, &contexts);
        let now = Instant::now();
        for ((kind, payload), by_client) in messages {
            let (from, to) =
                if by_client { (&mut client, &mut server) } else { (&mut server, &mut client) };
            prop_assert_eq!(from.send(now, kind, payload.clone()), Pushed::Queued);
            let bytes = sent(from);
            prop_assert_eq!(hear(to, &bytes, piece_bytes), [Said::Message(kind, payload)]);
        }
        drop((server, client));
        let counters = contexts.counters();
        prop_assert_eq!((counters.deflating, counters.inflating), (0, 0), "all came back");
    }

    #[test]
    fn any_bytes_end_one_connection_at_most(
        head in prop::sample::select(vec![0xc1_u8, 0xc2, 0x41, 0x42, 0x81]),
        payload in vec(any::<u8>(), 0..120),
        rest in vec(any::<u8>(), 0..60),
        piece_bytes in 1_usize..40,
    ) {
        let (mut server, _) = pair(agree(&wish(), &wish()).unwrap(), &contexts());
        let mut bytes = vec![head, 0x80 | payload.len() as u8, 0, 0, 0, 0];
        bytes.extend_from_slice(&payload);
        bytes.extend_from_slice(&rest);
        hear(&mut server, &bytes, piece_bytes);
        sent(&mut server);
    }
}

fn wish() -> DeflateSettings {
    DeflateSettings { own_context: true, message_bytes_min: 1, ..DeflateSettings::default() }
}

/// A compressed message of a client, as one ws frame or in several.
fn compressed_frames(payload: &[u8], pieces_count: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let piece_bytes = payload.len().div_ceil(pieces_count).max(1);
    let pieces: Vec<_> = payload.chunks(piece_bytes).collect();
    for (index, piece) in pieces.iter().enumerate() {
        let head = FrameHead {
            opcode: if index == 0 { Opcode::Text } else { Opcode::Continuation },
            is_final: index + 1 == pieces.len(),
            is_compressed: index == 0,
            mask: Some([0; 4]),
            payload_bytes: piece.len() as u64,
        };
        head.encode(&mut out);
        out.extend_from_slice(piece);
    }
    out
}

#[test]
fn the_examples_of_the_rfc() {
    // RFC 7692 §7.2.3.1 to 7.2.3.6, shared window, no compression, BFINAL, two blocks, empty.
    let hello: &[u8] = b"\xf2\x48\xcd\xc9\xc9\x07\x00";
    let cases: [(&[u8], &str); 6] = [
        (hello, "Hello"),
        (b"\xf2\x00\x11\x00\x00", "Hello"),
        (b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00", "Hello"),
        (b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00", "Hello"),
        (b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00", "Hello"),
        (b"\x00", ""),
    ];
    for pieces_count in [1, 2, 3, 99] {
        let (mut server, _) = pair(agree(&wish(), &wish()).unwrap(), &contexts());
        for (payload, text) in cases {
            let bytes = compressed_frames(payload, pieces_count);
            let expected = Said::Message(Kind::Text, text.as_bytes().to_vec());
            assert_eq!(hear(&mut server, &bytes, 1), [expected]);
        }
    }
}

#[test]
fn a_bomb_is_stopped_at_the_limit() {
    // A MiB of zeros makes a KiB; a hundred of them are never there.
    let contexts = contexts();
    let (mut server, mut client) = pair(agree(&wish(), &wish()).unwrap(), &contexts);
    let now = Instant::now();
    client.send(now, Kind::Binary, vec![0; 1 << 20]);
    let bytes = sent(&mut client);
    assert!(bytes.len() < 2000);
    let whole = hear(&mut server, &bytes, 100);
    assert_eq!(whole, [Said::Message(Kind::Binary, vec![0; 1 << 20])], "at the limit is allowed");
    client.send(now, Kind::Binary, vec![0; (1 << 20) + 1]);
    let bytes = sent(&mut client);
    assert_eq!(hear(&mut server, &bytes, 100), [Said::Failed(Malformed::MessageTooLong)]);
    assert_eq!(server.ended(), Some(Ended::Malformed(Malformed::MessageTooLong)));
    assert_eq!(
        hear(&mut client, &sent(&mut server), 7),
        [Said::Closed(Some(1009), Malformed::MessageTooLong.reason().to_owned())]
    );
    assert!(server.is_done());
}

#[test]
fn what_is_wrong_inside_compression() {
    let cases: [(&[u8], Malformed); 4] = [
        (b"\xff\xff\xff", Malformed::NotDeflate),
        // Refers to what was never sent.
        (b"\x42\x00\x01\x00", Malformed::NotDeflate),
        // A stored block with a byte that begins no character.
        (b"\x00\x01\x00\xfe\xff\xff\x00", Malformed::NotUtf8),
        // Half a character, and then the end.
        (b"\x00\x01\x00\xfe\xff\xc3\x00", Malformed::NotUtf8),
    ];
    for (payload, malformed) in cases {
        let (mut server, _) = pair(agree(&wish(), &wish()).unwrap(), &contexts());
        let said = hear(&mut server, &compressed_frames(payload, 1), 1000);
        assert_eq!(said, [Said::Failed(malformed)], "{payload:x?}");
        assert_eq!(sent(&mut server)[2..4], malformed.close_code().number().to_be_bytes());
    }
    // RSV1 where nothing was agreed on, on a continuation, and on a ping.
    for (agreed, bytes) in [
        (false, &b"\xc1\x80\0\0\0\0"[..]),
        (true, b"\x01\x80\0\0\0\0\xc0\x80\0\0\0\0"),
        (true, b"\xc9\x80\0\0\0\0"),
        (true, b"\xa1\x80\0\0\0\0"),
    ] {
        let agreed = agreed.then(|| agree(&wish(), &wish()).unwrap()).flatten();
        let (mut server, _) = pair(agreed, &contexts());
        assert_eq!(hear(&mut server, bytes, 1), [Said::Failed(Malformed::ReservedBits)]);
    }
}

#[test]
fn contexts_are_bounded() {
    let contexts =
        Contexts::new(ContextLimits { deflating_max: 1, inflating_max: 1, ..Default::default() });
    let agreed = agree(&wish(), &wish()).unwrap();
    let (mut first_server, mut first_client) = pair(agreed, &contexts);
    let (mut second_server, mut second_client) = pair(agreed, &contexts);
    let (now, text) = (Instant::now(), "again and again and again".repeat(9).into_bytes());
    for (server, client, is_shorter) in [
        (&mut first_server, &mut first_client, true),
        (&mut second_server, &mut second_client, false),
    ] {
        server.send(now, Kind::Text, text.clone());
        let bytes = sent(server);
        assert_eq!(bytes.len() < text.len(), is_shorter, "without a context it goes as it is");
        let said = hear(client, &bytes, 1000);
        assert_eq!(said, [Said::Message(Kind::Text, text.clone())]);
    }
    assert_eq!(contexts.counters().deflating_refused, 1);
    let compressed = compressed_frames(b"\xf2\x48\xcd\xc9\xc9\x07\x00", 1);
    assert_eq!(
        hear(&mut second_server, &compressed, 99),
        [Said::Failed(Malformed::NoContext)],
        "the client of the first holds the only one"
    );
    assert_eq!(sent(&mut second_server)[2..4], 1013_u16.to_be_bytes());
    assert_eq!(contexts.counters().inflating_refused, 1);
    // New connections do not agree at all.
    let mut request = Vec::new();
    Nonce([1; 16]).write_request_lines(&[], &mut request);
    wish().write_offer_line(&mut request);
    let upgrade = Upgrade::parse(header_lines(&request)).unwrap().unwrap();
    assert_eq!(upgrade.agree_on_deflate(&wish(), &contexts), None);
    drop((first_server, first_client));
    assert!(upgrade.agree_on_deflate(&wish(), &contexts).is_some());
}

#[test]
fn offers() {
    let accepted = |value: &str, settings: &DeflateSettings| {
        let mut request = Vec::new();
        Nonce([1; 16]).write_request_lines(&[], &mut request);
        let line = format!("Sec-WebSocket-Extensions: {value}\r\n");
        request.extend_from_slice(line.as_bytes());
        let upgrade = Upgrade::parse(header_lines(&request)).expect("well formed").unwrap();
        let agreed = upgrade.agree_on_deflate(settings, &contexts())?;
        let mut out = Vec::new();
        agreed.write_response_line(&mut out);
        let line = String::from_utf8(out).unwrap();
        let value = line.strip_prefix("Sec-WebSocket-Extensions: permessage-deflate").unwrap();
        Some(value.trim_end().to_owned())
    };
    let any = DeflateSettings { own_context: true, ..DeflateSettings::default() };
    let all = "; server_no_context_takeover; client_no_context_takeover; \
        server_max_window_bits=10; client_max_window_bits=9";
    for (offer, answer) in [
        ("permessage-deflate", Some("")),
        ("x-other, PERMESSAGE-DEFLATE ;client_max_window_bits", Some("")),
        ("permessage-deflate; client_max_window_bits=8", Some("; client_max_window_bits=8")),
        ("permessage-deflate; server_max_window_bits=15", Some("; server_max_window_bits=15")),
        ("permessage-deflate; server_max_window_bits=\"11\"", Some("; server_max_window_bits=11")),
        // Eight cannot be honoured; the offer behind it can.
        ("permessage-deflate; server_max_window_bits=8", None),
        ("permessage-deflate; server_max_window_bits=8, permessage-deflate", Some("")),
        ("permessage-deflate; server_max_window_bits", None),
        ("permessage-deflate; server_max_window_bits=16", None),
        ("permessage-deflate; server_max_window_bits=010", None),
        ("permessage-deflate; client_max_window_bits=7", None),
        ("permessage-deflate; server_no_context_takeover=1", None),
        ("permessage-deflate; client_no_context_takeover; client_no_context_takeover", None),
        ("permessage-deflate; unheard_of", None),
        ("x-webkit-deflate-frame", None),
        (&format!("permessage-deflate{all}"), Some(all)),
    ] {
        assert_eq!(accepted(offer, &any).as_deref(), answer, "{offer}");
    }
    let small = DeflateSettings { own_window_bits: 10, peer_window_bits: 10, ..any };
    assert_eq!(accepted("permessage-deflate", &small), None, "it cannot be told");
    let told = "; server_max_window_bits=10; client_max_window_bits=10";
    let offer = "permessage-deflate; client_max_window_bits";
    assert_eq!(accepted(offer, &small).as_deref(), Some(told));
    for wrong in ["permessage-deflate; =", "a b", "a; b=\"c", "a; b=c d", "; x"] {
        let mut request = Vec::new();
        Nonce([1; 16]).write_request_lines(&[], &mut request);
        request.extend_from_slice(format!("Sec-WebSocket-Extensions: {wrong}\r\n").as_bytes());
        assert_eq!(Upgrade::parse(header_lines(&request)).unwrap_err().status, 400, "{wrong}");
    }
}

#[test]
fn answers_that_a_client_refuses() {
    let checked = |answer: &str, offer: Option<DeflateSettings>| {
        let nonce = Nonce(*b"the sample nonce");
        let mut lines = vec![
            ("Upgrade", &b"websocket"[..]),
            ("Connection", b"Upgrade"),
            ("Sec-WebSocket-Accept", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        ];
        lines.push(("Sec-WebSocket-Extensions", answer.as_bytes()));
        nonce.check_response_with(101, lines, &[], offer.as_ref()).map(|granted| granted.1)
    };
    let any = DeflateSettings::default();
    let strict = DeflateSettings { peer_context: false, peer_window_bits: 10, ..any };
    assert!(checked("permessage-deflate", Some(any)).unwrap().is_some());
    assert_eq!(checked("", Some(any)), Ok(None));
    for (answer, offer) in [
        ("permessage-deflate", None),
        ("x-other", Some(any)),
        ("permessage-deflate, permessage-deflate", Some(any)),
        ("permessage-deflate; client_max_window_bits", Some(any)),
        ("permessage-deflate; client_max_window_bits=8", Some(any)),
        ("permessage-deflate; unheard_of", Some(any)),
        ("permessage-deflate; server_max_window_bits=10", Some(strict)),
        ("permessage-deflate; server_no_context_takeover", Some(strict)),
    ] {
        assert_eq!(checked(answer, offer), Err(RefusedByServer::Extension), "{answer}");
    }
    let answer = "permessage-deflate; server_no_context_takeover; server_max_window_bits=10";
    assert!(checked(answer, Some(strict)).unwrap().is_some());
}

#[test]
fn the_closing_handshake() {
    let now = Instant::now();
    for by_client in [false, true] {
        let (mut server, mut client) = pair(None, &contexts());
        let (first, second) =
            if by_client { (&mut client, &mut server) } else { (&mut server, &mut client) };
        first.send(now, Kind::Text, b"last words".to_vec());
        first.close(now, CloseCode::GOING_AWAY, "bye");
        assert_eq!(first.send(now, Kind::Text, b"too late".to_vec()), Pushed::Dropped);
        let bytes = sent(first);
        assert!(!first.is_done(), "the answer is awaited");
        // A message that was on its way is still heard.
        second.send(now, Kind::Text, b"crossing".to_vec());
        let crossing = sent(second);
        assert_eq!(
            hear(second, &bytes, 3),
            [
                Said::Message(Kind::Text, b"last words".to_vec()),
                Said::Closed(Some(1001), "bye".to_owned())
            ]
        );
        assert_eq!(second.ended(), Some(Ended::ByPeer(Some(CloseCode::GOING_AWAY))));
        let answer = [crossing, sent(second)].concat();
        assert!(second.is_done());
        assert_eq!(
            hear(first, &answer, 1),
            [
                Said::Message(Kind::Text, b"crossing".to_vec()),
                Said::Closed(Some(1001), String::new())
            ]
        );
        assert!(first.is_done() && first.poll().is_none());
        assert_eq!(first.ended(), Some(Ended::ByUs(CloseCode::GOING_AWAY)));
        assert_eq!(hear(first, b"\x81\x00 whatever", 5), []);
    }
    // Nobody answers.
    let (mut server, _) = pair(None, &contexts());
    server.close(now, CloseCode::NORMAL, "");
    sent(&mut server);
    let until = server.deadline().unwrap();
    server.handle_time(until - Duration::from_millis(1));
    assert!(!server.is_done());
    server.handle_time(until);
    assert!(server.is_done() && server.deadline().is_none());
}

#[test]
fn silence() {
    let (mut server, mut client) = pair(None, &contexts());
    server.handle_time(server.deadline().unwrap());
    let ping = sent(&mut server);
    assert_eq!(ping, [0x89, 0x00]);
    assert_eq!(hear(&mut client, &ping, 1), []);
    let pong = sent(&mut client);
    assert_eq!(hear(&mut server, &pong, 1), []);
    server.handle_time(server.deadline().unwrap());
    assert_eq!(sent(&mut server), [0x89, 0x00]);
    server.handle_time(server.deadline().unwrap());
    assert_eq!(server.ended(), Some(Ended::Silent));
    assert_eq!(sent(&mut server)[..4], [0x88, 21, 0x03, 0xe9]);
}

#[test]
fn many_pings_are_answered_in_order_and_within_a_bound() {
    let (mut server, mut client) = pair(None, &contexts());
    let pings = |count: u8| {
        let mut out = Vec::new();
        for number in 0..count {
            write_frame(Opcode::Ping, true, &[number], Some([1; 4]), &mut out);
        }
        out
    };
    hear(&mut server, &pings(10), 1000);
    let answers: Vec<u8> = sent(&mut server);
    let expected: Vec<u8> = (0..10).flat_map(|number| [0x8a, 1, number]).collect();
    assert_eq!(answers, expected);
    hear(&mut server, &pings(200), 10_000);
    let answers = sent(&mut server);
    assert_eq!(answers.len(), 3 * protocol_ws::PONGS_COUNT_MAX);
    assert_eq!(answers.last(), Some(&199), "the last is answered");
    assert_eq!(hear(&mut client, &answers, 1000), []);
}

#[test]
fn who_does_not_read_is_closed_or_misses_something() {
    let now = Instant::now();
    let queue = |when_full| QueueLimits { bytes_max: 100, messages_max: 10, when_full };
    let with = |when_full| {
        let settings = ConnectionSettings { queue: queue(when_full), ..settings() };
        End::server(&Rc::new(settings), now)
    };
    let mut closes = with(WhenFull::Close(CloseCode::TRY_AGAIN_LATER));
    for _ in 0..10 {
        assert_eq!(closes.send(now, Kind::Binary, vec![1; 10]), Pushed::Queued);
    }
    let code = CloseCode::TRY_AGAIN_LATER;
    assert_eq!(closes.send(now, Kind::Binary, vec![1]), Pushed::Full(code));
    assert_eq!(closes.ended(), Some(Ended::QueueFull));
    assert_eq!(sent(&mut closes)[..4], [0x88, 27, 0x03, 0xf5], "only the close goes out");
    assert_eq!(closes.queue().counters().unsent_dropped, 11);

    let mut drops = with(WhenFull::DropOldest);
    for number in 0..30 {
        let mut frames = Vec::new();
        write_frame(Opcode::Text, true, &[b'a'; 18], None, &mut frames);
        let expected = if number < 5 { Pushed::Queued } else { Pushed::Replaced(1) };
        assert_eq!(drops.send_frames(now, frames), expected);
    }
    assert_eq!(sent(&mut drops).len(), 100);
    assert_eq!(drops.queue().counters().oldest_dropped, 25);
}

#[test]
fn what_was_said_before_a_fault_is_still_answered() {
    let now = Instant::now();
    let (mut server, _) = pair(None, &contexts());
    let mut bytes = Vec::new();
    write_frame(Opcode::Text, true, b"fine", Some([3; 4]), &mut bytes);
    bytes.extend_from_slice(b"\x83\x80\0\0\0\0");
    let said = hear(&mut server, &bytes[..10], 99);
    assert_eq!(said, [Said::Message(Kind::Text, b"fine".to_vec())]);
    server.send(now, Kind::Text, b"yes".to_vec());
    assert_eq!(hear(&mut server, &bytes[10..], 99), [Said::Failed(Malformed::ReservedOpcode)]);
    let out = sent(&mut server);
    assert!(out.starts_with(b"\x81\x03yes\x88"));
    assert!(server.is_done(), "no answer is awaited from whom we do not understand");
}

#[test]
fn a_last_word_before_the_close() {
    let now = Instant::now();
    let (mut server, _) = pair(None, &contexts());
    assert_eq!(hear(&mut server, b"\x83\x80\0\0\0\0", 99).len(), 1);
    assert_eq!(server.send_frames(now, b"\x81\x01a".to_vec()), Pushed::Dropped);
    assert_eq!(server.send_frames_before_close(now, b"\x81\x01b".to_vec()), Pushed::Queued);
    assert!(sent(&mut server).starts_with(b"\x81\x01b\x88"));
    assert_eq!(server.send_frames_before_close(now, b"\x81\x01c".to_vec()), Pushed::Dropped);
}

#[test]
fn an_idle_connection_is_small() {
    assert!(size_of::<End>() <= 448, "{}", size_of::<End>());
    let limits = Limits { message_bytes_max: 1 << 16, ..Limits::default() };
    let settings = ConnectionSettings { limits, ..settings() };
    let mut server = End::server(&Rc::new(settings), Instant::now());
    let mut bytes = Vec::new();
    write_frame(Opcode::Binary, false, &[1; 40_000], Some([2; 4]), &mut bytes);
    write_frame(Opcode::Continuation, true, &[1; 40_000], Some([2; 4]), &mut bytes);
    let said = hear(&mut server, &bytes, 5000);
    assert_eq!(said, [Said::Failed(Malformed::MessageTooLong)], "before the rest is collected");
}
