//! What holds for any bytes: no panic, no standing still, the same events however they are cut; and
//! what an encoder wrote comes back.

mod walk;

use proptest::collection::vec;
use proptest::prelude::*;
use protocol_ws::{
    CloseCode, Decoder, Limits, Nonce, Opcode, Role, Step, Upgrade, write_close, write_frame,
};
use walk::{Event, walk};

fn opcode() -> impl Strategy<Value = Opcode> {
    use Opcode::{Binary, Close, Continuation, Ping, Pong, Text};
    prop_oneof![
        4 => Just(Text), 3 => Just(Binary), 6 => Just(Continuation),
        2 => Just(Ping), 1 => Just(Pong), 1 => Just(Close),
    ]
}

/// Payloads of which many are text, with characters of every length.
fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        2 => vec(any::<char>(), 0..40).prop_map(|all| String::from_iter(all).into_bytes()),
        1 => vec(any::<u8>(), 0..140),
        1 => "[a-z]{0,30}".prop_map(String::into_bytes),
        1 => Just(vec![0x03, 0xe8]),
        1 => Just("水".as_bytes()[..2].to_vec()),
    ]
}

/// Ws frames, most of them right, in any order, with a few bytes changed.
fn frames(masked: bool) -> impl Strategy<Value = Vec<u8>> {
    let frame = (opcode(), any::<bool>(), payload(), any::<[u8; 4]>());
    let frames = vec(frame, 0..8).prop_map(move |frames| {
        let mut out = Vec::new();
        for (opcode, is_final, mut payload, key) in frames {
            let is_final = is_final || opcode.is_control();
            payload.truncate(if opcode.is_control() { 125 } else { usize::MAX });
            write_frame(opcode, is_final, &payload, masked.then_some(key), &mut out);
        }
        out
    });
    (frames, vec((any::<prop::sample::Index>(), any::<u8>()), 0..2)).prop_map(
        |(mut bytes, changes)| {
            for (index, byte) in changes {
                if !bytes.is_empty() {
                    let at = index.index(bytes.len());
                    bytes[at] = byte;
                }
            }
            bytes
        },
    )
}

fn small() -> Limits {
    Limits { frame_bytes_max: 200, message_bytes_max: 250, fragments_count_max: 4 }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn how_bytes_are_cut_does_not_matter(
        bytes in frames(true),
        cuts in vec(any::<prop::sample::Index>(), 0..12),
        is_small in any::<bool>(),
    ) {
        let limits = if is_small { small() } else { Limits::default() };
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.sort_unstable();
        let whole = walk(Role::Server, limits, &bytes, &[]);
        prop_assert_eq!(&whole, &walk(Role::Server, limits, &bytes, &cuts));
        let each: Vec<usize> = (1..bytes.len()).collect();
        prop_assert_eq!(&whole, &walk(Role::Server, limits, &bytes, &each));
    }

    #[test]
    fn a_client_reads_the_same(bytes in frames(false), cut in any::<prop::sample::Index>()) {
        let cut = cut.index(bytes.len() + 1);
        let whole = walk(Role::Client, small(), &bytes, &[]);
        prop_assert_eq!(whole, walk(Role::Client, small(), &bytes, &[cut]));
    }

    #[test]
    fn any_bytes_come_to_an_end(mut bytes in vec(any::<u8>(), 0..300), role in any::<bool>()) {
        let role = if role { Role::Server } else { Role::Client };
        let mut decoder = Decoder::new(role, small());
        let mut unread = &mut bytes[..];
        loop {
            let used = match decoder.decode(unread) {
                Ok(Step::Need) | Err(_) => break,
                Ok(Step::Payload { used, .. } | Step::Ping { used, .. }) => used,
                Ok(Step::Pong { used, .. } | Step::Close { used, .. }) => used,
            };
            prop_assert!(used > 0);
            unread = &mut unread[used..];
        }
    }

    #[test]
    fn a_message_comes_back_from_any_fragments(
        text in vec(any::<char>(), 0..200).prop_map(String::from_iter),
        cuts in vec(any::<prop::sample::Index>(), 0..6),
        key in any::<[u8; 4]>(),
    ) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
        cuts.sort_unstable();
        let mut out = Vec::new();
        let mut from = 0;
        for (index, to) in cuts.iter().copied().chain([text.len()]).enumerate() {
            let opcode = if index == 0 { Opcode::Text } else { Opcode::Continuation };
            let piece = &text.as_bytes()[from..to];
            write_frame(opcode, index == cuts.len(), piece, Some(key), &mut out);
            from = to;
        }
        prop_assert_eq!(walk(Role::Server, Limits::default(), &out, &[]), [Event::Text(text)]);
    }

    #[test]
    fn a_close_comes_back(number in 900_u16..5100, reason in ".{0,80}") {
        if let Some(code) = CloseCode::new(number) {
            let mut out = Vec::new();
            write_close(Some(code), &reason, None, &mut out);
            let events = walk(Role::Client, Limits::default(), &out, &[]);
            let [Event::Close(Some(back), said)] = &events[..] else { panic!("{events:?}") };
            prop_assert_eq!(*back, number);
            prop_assert!(reason.starts_with(said) && said.len() + 4 > reason.len().min(123));
        }
    }

    #[test]
    fn handshakes_of_strangers(
        lines in vec((
            prop::sample::select(vec![
                "Upgrade", "connection", "Sec-WebSocket-Key", "Sec-WebSocket-Version",
                "Sec-WebSocket-Protocol", "Sec-WebSocket-Accept", "Origin",
            ]),
            prop_oneof![
                vec(any::<u8>(), 0..30),
                prop::sample::select(vec![
                    "websocket", "upgrade", "13", "dGhlIHNhbXBsZSBub25jZQ==", "chat, x",
                ]).prop_map(|value| value.as_bytes().to_vec()),
            ],
        ), 0..9),
    ) {
        let pairs = || lines.iter().map(|(name, value)| (*name, &value[..]));
        if let Ok(Some(upgrade)) = Upgrade::parse(pairs()) {
            let mut out = Vec::new();
            upgrade.write_response_lines(upgrade.subprotocols().first().copied(), &mut out);
            // No value of the client's can begin a line of its own.
            let breaks = out.iter().filter(|byte| **byte == b'\n').count();
            prop_assert_eq!(breaks, 3 + usize::from(!upgrade.subprotocols().is_empty()));
        }
        let _ = Nonce([7; 16]).check_response(101, pairs(), &["chat"]);
    }
}
