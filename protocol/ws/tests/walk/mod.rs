//! Drives a decoder over bytes cut anywhere, and notes what a driver would learn from it.
#![allow(dead_code, reason = "each test binary uses its own part")]

use protocol_ws::{Decoder, Kind, Limits, Malformed, Opcode, Role, Step, write_frame};

/// What happened, without how the network cut it: a message counts when it is complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, String),
    Failed(Malformed),
}

/// Shows `bytes` in the pieces that `cuts` make of them.
pub fn walk(role: Role, limits: Limits, bytes: &[u8], cuts: &[usize]) -> Vec<Event> {
    let mut decoder = Decoder::new(role, limits);
    let mut events = Vec::new();
    let mut unread = Vec::new();
    let mut message = Vec::new();
    let mut is_inside = false;
    let mut from = 0;
    for to in cuts.iter().copied().chain([bytes.len()]) {
        unread.extend_from_slice(&bytes[from..to]);
        from = to;
        loop {
            let untouched = unread.clone();
            let step = decoder.decode(&mut unread);
            let used = match step {
                Ok(Step::Need) => {
                    assert_eq!(unread, untouched, "Need changes nothing");
                    break;
                }
                Ok(Step::Payload { kind, range, used, is_first, is_last }) => {
                    assert_eq!(is_first, !is_inside, "a message begins once");
                    is_inside = !is_last;
                    assert_eq!(decoder.is_inside_message(), is_inside);
                    message.extend_from_slice(&unread[range]);
                    if is_last {
                        let whole = std::mem::take(&mut message);
                        events.push(match kind {
                            Kind::Text => Event::Text(String::from_utf8(whole).expect("checked")),
                            Kind::Binary => Event::Binary(whole),
                        });
                    }
                    used
                }
                Ok(Step::Ping { range, used }) => {
                    events.push(Event::Ping(unread[range].to_vec()));
                    used
                }
                Ok(Step::Pong { range, used }) => {
                    events.push(Event::Pong(unread[range].to_vec()));
                    used
                }
                Ok(Step::Close { code, range, used }) => {
                    let reason = String::from_utf8(unread[range].to_vec()).expect("checked");
                    events.push(Event::Close(code.map(|code| code.number()), reason));
                    assert!(decoder.is_closed());
                    used
                }
                Err(malformed) => {
                    assert_eq!(decoder.decode(&mut unread), Err(malformed), "it is final");
                    assert!(decoder.is_closed());
                    events.push(Event::Failed(malformed));
                    return events;
                }
            };
            assert!(used > 0, "every step goes forward");
            unread.drain(..used);
        }
    }
    events
}

/// As [`walk`] on the server's side, in one piece and byte by byte, which must not differ.
pub fn served(limits: Limits, bytes: &[u8]) -> Vec<Event> {
    let whole = walk(Role::Server, limits, bytes, &[]);
    let each: Vec<usize> = (1..bytes.len()).collect();
    assert_eq!(whole, walk(Role::Server, limits, bytes, &each), "cut at every byte");
    whole
}

/// A ws frame as a client sends it.
pub fn client_frame(opcode: Opcode, is_final: bool, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write_frame(opcode, is_final, payload, Some([0x5a, 0x01, 0xff, 0x80]), &mut out);
    out
}
