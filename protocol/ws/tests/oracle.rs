//! Against another implementation: what it writes we read, and what we write it reads.

mod walk;

use std::io::{self, Cursor, Read, Write};

use proptest::collection::vec;
use proptest::prelude::*;
use protocol_ws::{Limits, Nonce, Opcode, Role, write_frame};
use tungstenite::protocol::Role as TheirRole;
use tungstenite::{Error, Message, WebSocket};
use walk::{Event, walk};

/// A connection of which one half is recorded and the other read from memory.
struct Wire {
    input: Cursor<Vec<u8>>,
    output: Vec<u8>,
}

impl Wire {
    fn new(input: Vec<u8>) -> Wire {
        Wire { input: Cursor::new(input), output: Vec::new() }
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.input.read(buffer)
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// All that they read of these bytes.
fn read_by_them(role: TheirRole, bytes: Vec<u8>) -> Vec<Event> {
    let mut socket = WebSocket::from_raw_socket(Wire::new(bytes), role, None);
    let mut events = Vec::new();
    loop {
        events.push(match socket.read() {
            Ok(Message::Text(text)) => Event::Text(text.as_str().to_owned()),
            Ok(Message::Binary(bytes)) => Event::Binary(bytes.to_vec()),
            Ok(Message::Ping(bytes)) => Event::Ping(bytes.to_vec()),
            Ok(Message::Pong(bytes)) => Event::Pong(bytes.to_vec()),
            Ok(Message::Close(None)) => Event::Close(None, String::new()),
            Ok(Message::Close(Some(close))) => {
                Event::Close(Some(close.code.into()), close.reason.as_str().to_owned())
            }
            Ok(Message::Frame(_)) => unreachable!("not while reading"),
            Err(_) => return events,
        });
    }
}

fn message() -> impl Strategy<Value = Event> {
    prop_oneof![
        vec(any::<char>(), 0..300).prop_map(|all| Event::Text(String::from_iter(all))),
        vec(any::<u8>(), 0..70_000).prop_map(Event::Binary),
        vec(any::<u8>(), 0..126).prop_map(Event::Ping),
        vec(any::<u8>(), 0..126).prop_map(Event::Pong),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn they_read_what_we_write(
        messages in vec((message(), any::<[u8; 4]>()), 0..6),
        piece_bytes in 1_usize..50_000,
        is_client in any::<bool>(),
    ) {
        let mut out = Vec::new();
        for (message, key) in &messages {
            let (opcode, payload) = match message {
                Event::Text(text) => (Opcode::Text, text.as_bytes()),
                Event::Binary(bytes) => (Opcode::Binary, &bytes[..]),
                Event::Ping(bytes) => (Opcode::Ping, &bytes[..]),
                Event::Pong(bytes) => (Opcode::Pong, &bytes[..]),
                other => unreachable!("{other:?}"),
            };
            let key = is_client.then_some(*key);
            let piece_bytes = if opcode.is_control() { 125 } else { piece_bytes };
            let mut pieces: Vec<&[u8]> = payload.chunks(piece_bytes).collect();
            if pieces.is_empty() {
                pieces.push(payload);
            }
            for (index, piece) in pieces.iter().enumerate() {
                let opcode = if index == 0 { opcode } else { Opcode::Continuation };
                write_frame(opcode, index + 1 == pieces.len(), piece, key, &mut out);
            }
        }
        let role = if is_client { TheirRole::Server } else { TheirRole::Client };
        let expected: Vec<Event> = messages.into_iter().map(|(message, _)| message).collect();
        prop_assert_eq!(read_by_them(role, out), expected);
    }

    #[test]
    fn we_read_what_they_write(messages in vec(message(), 0..6), is_client in any::<bool>()) {
        let role = if is_client { TheirRole::Client } else { TheirRole::Server };
        let mut socket = WebSocket::from_raw_socket(Wire::new(Vec::new()), role, None);
        for message in &messages {
            let message = match message.clone() {
                Event::Text(text) => Message::text(text),
                Event::Binary(bytes) => Message::binary(bytes),
                Event::Ping(bytes) => Message::Ping(bytes.into()),
                Event::Pong(bytes) => Message::Pong(bytes.into()),
                other => unreachable!("{other:?}"),
            };
            socket.send(message).unwrap();
        }
        let ours = if is_client { Role::Server } else { Role::Client };
        let bytes = &socket.get_ref().output;
        prop_assert_eq!(walk(ours, Limits::default(), bytes, &[]), messages);
    }

    #[test]
    fn keys_are_answered_alike(nonce in any::<[u8; 16]>()) {
        let mut request = Vec::new();
        Nonce(nonce).write_request_lines(&[], &mut request);
        let request = String::from_utf8(request).unwrap();
        let key = request.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "));
        let accept = tungstenite::handshake::derive_accept_key(key.unwrap().as_bytes());
        let lines = [
            ("Upgrade", &b"websocket"[..]),
            ("Connection", b"Upgrade"),
            ("Sec-WebSocket-Accept", accept.as_bytes()),
        ];
        prop_assert_eq!(Nonce(nonce).check_response(101, lines, &[]), Ok(None));
    }
}

#[test]
fn they_refuse_what_we_refuse() {
    let wrong: [&[u8]; 6] = [
        b"\xc1\x80\0\0\0\0",
        b"\x83\x80\0\0\0\0",
        b"\x80\x80\0\0\0\0",
        b"\x09\x80\0\0\0\0",
        b"\x88\x81\0\0\0\0x",
        b"\x81\x81\0\0\0\0\xff",
    ];
    for bytes in wrong {
        assert_eq!(read_by_them(TheirRole::Server, bytes.to_vec()), []);
        let mut socket =
            WebSocket::from_raw_socket(Wire::new(bytes.to_vec()), TheirRole::Server, None);
        assert!(!matches!(socket.read(), Err(Error::Io(_))), "refused, and not for want of bytes");
        let events = walk(Role::Server, Limits::default(), bytes, &[]);
        assert!(matches!(events[..], [Event::Failed(_)]), "{bytes:x?}: {events:?}");
    }
}
