//! WebSocket: ws frames to both roles, handshakes of both sides, compressed messages.

use std::rc::Rc;
use std::time::Instant;

use protocol_ws::{
    CloseCode, Connection, ConnectionSettings, ContextLimits, Contexts, Decoder, DeflateSettings,
    Event, Limits, Nonce, OriginPolicy, Role, Step, Upgrade,
};

use super::{pieces, same_for_all_cuts};

/// A decoder of each role.
pub fn frames(data: &[u8]) {
    for role in [Role::Server, Role::Client] {
        same_for_all_cuts(data, |cut| decoded(role, data, cut));
    }
}

/// A request's and a response's header lines, and a policy for origins. The first line of the input
/// is a rule; each other is a header line.
pub fn handshake(data: &[u8]) {
    let (rule, head) = data.split_at(data.iter().position(|byte| *byte == b'\n').unwrap_or(0));
    let lines: Vec<(&str, &[u8])> = head
        .split(|byte| *byte == b'\n')
        .filter_map(|line| {
            let at = line.iter().position(|byte| *byte == b':')?;
            // Control characters are refused where heads are read.
            let value = line[at + 1..].trim_ascii();
            let is_value = value.iter().all(|byte| *byte >= b' ' && *byte != 0x7f);
            Some((str::from_utf8(&line[..at]).ok()?, value)).filter(|_| is_value)
        })
        .collect();
    let contexts = Contexts::new(ContextLimits::default());
    let settings =
        DeflateSettings { own_context: true, own_window_bits: 12, ..DeflateSettings::default() };
    if let Ok(Some(upgrade)) = Upgrade::parse(lines.iter().copied()) {
        let mut out = Vec::new();
        upgrade.write_response_lines(upgrade.subprotocols().first().copied(), &mut out);
        let mut count = 3 + usize::from(!upgrade.subprotocols().is_empty());
        if let Some(agreed) = upgrade.agree_on_deflate(&settings, &contexts) {
            agreed.write_response_line(&mut out);
            count += 1;
            assert!((9..=12).contains(&agreed.own_window_bits()));
            assert!((8..=15).contains(&agreed.peer_window_bits()));
        }
        let breaks_count = out.iter().filter(|byte| **byte == b'\n').count();
        assert_eq!(breaks_count, count, "nothing of the client's begins a line");
        if let Ok(rule) = str::from_utf8(rule)
            && let Ok(policy) = OriginPolicy::of([rule])
        {
            let origin = upgrade.origin.map(str::as_bytes);
            assert!(policy.allows(None, None));
            policy.with_same_host().allows(origin, Some(b"radio.example"));
        }
    }
    for offer in [None, Some(&settings)] {
        let nonce = Nonce(*b"the sample nonce");
        let _ = nonce.check_response_with(101, lines.iter().copied(), &["chat"], offer);
    }
}

/// A server's end with compression; the first byte says what was agreed on.
#[allow(clippy::disallowed_methods, reason = "some time to begin at; none passes")]
pub fn deflate(data: &[u8]) {
    let Some((choice, data)) = data.split_first() else { return };
    let now = Instant::now();
    let bytes_max = 1 << 16;
    let limits =
        Limits { frame_bytes_max: bytes_max, message_bytes_max: bytes_max, ..Limits::default() };
    let settings = Rc::new(ConnectionSettings { limits, ..ConnectionSettings::default() });
    let wish = DeflateSettings {
        own_context: choice & 1 != 0,
        peer_context: choice & 2 != 0,
        own_window_bits: 9 + (choice >> 2 & 3) * 2,
        peer_window_bits: 9 + (choice >> 4 & 3) * 2,
        message_bytes_min: 1,
    };
    same_for_all_cuts(data, |cut| {
        let contexts = Contexts::new(ContextLimits::default());
        let mut request = Vec::new();
        Nonce([0; 16]).write_request_lines(&[], &mut request);
        wish.write_offer_line(&mut request);
        let lines = str::from_utf8(&request).expect("ours").lines();
        let lines = lines.filter_map(|line| line.split_once(": "));
        let upgrade = Upgrade::parse(lines.map(|(name, value)| (name, value.as_bytes())));
        let upgrade = upgrade.expect("ours").expect("it asks");
        let agreed = upgrade.agree_on_deflate(&wish, &contexts).expect("it offers");
        let mut end: Connection =
            Connection::server(&settings, now).with_deflate(&agreed, &contexts);
        let heard = heard(&mut end, now, data, cut);
        end.close(now, CloseCode::NORMAL, "");
        let sent: usize = std::iter::from_fn(|| end.poll()).map(|frame| frame.len()).sum();
        assert!(sent < 4096 + 2 * data.len(), "an echo that grows");
        heard
    });
}

fn heard(end: &mut Connection, now: Instant, data: &[u8], cut: &[usize]) -> Vec<String> {
    let mut events = Vec::new();
    let mut unread = Vec::new();
    for piece in pieces(data, cut) {
        unread.extend_from_slice(piece);
        loop {
            let (used, event) = end.receive(now, &mut unread);
            match event {
                Event::Need | Event::Progress => {}
                Event::Message(kind, payload) => {
                    assert!(payload.len() <= 1 << 16, "beyond the limit");
                    events.push(format!("{kind:?} {payload:02x?}"));
                }
                // A piece may be wrong in two ways: too long, say, and no DEFLATE further on.
                Event::Failed(_) => events.push("failed".to_owned()),
                event => events.push(format!("{event:?}")),
            }
            unread.drain(..used);
            if used == 0 {
                break;
            }
        }
    }
    events
}

fn decoded(role: Role, data: &[u8], cut: &[usize]) -> Vec<String> {
    let limits = Limits { frame_bytes_max: 300, message_bytes_max: 400, fragments_count_max: 5 };
    let mut decoder = Decoder::new(role, limits);
    let mut events = Vec::new();
    let mut unread = Vec::new();
    let mut message = Vec::new();
    for piece in pieces(data, cut) {
        unread.extend_from_slice(piece);
        loop {
            let used = match decoder.decode(&mut unread) {
                Ok(Step::Need) => break,
                Ok(Step::Payload { kind, range, used, is_last, .. }) => {
                    message.extend_from_slice(&unread[range]);
                    assert!(message.len() <= 400, "beyond the limit");
                    if is_last {
                        events.push(format!("{kind:?} {:02x?}", std::mem::take(&mut message)));
                    }
                    used
                }
                Ok(Step::Ping { range, used } | Step::Pong { range, used }) => {
                    events.push(format!("{:02x?}", &unread[range]));
                    used
                }
                Ok(Step::Close { code, range, used }) => {
                    events.push(format!("{code:?} {:02x?}", &unread[range]));
                    used
                }
                Err(malformed) => {
                    events.push(malformed.to_string());
                    return events;
                }
            };
            assert!(used > 0, "the decoder goes nowhere");
            unread.drain(..used);
        }
    }
    events
}
