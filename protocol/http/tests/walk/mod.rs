//! A driver for tests: feeds bytes to a decoder in pieces of given lengths, as a connection would,
//! and writes down what came out.

#![allow(dead_code, reason = "each test file uses its part")]

use protocol_http::{Limits, RequestDecoder, ResponseDecoder, Step};

/// What a decoder said; pieces of a body that follow one another are one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    Head(String),
    Body(Vec<u8>),
    End,
    Refused(u16, &'static str),
}

/// The requests in `bytes`, which arrive in pieces of the lengths in `cuts` (then at once).
pub fn requests(limits: Limits, bytes: &[u8], cuts: &[usize]) -> Vec<Event> {
    let mut decoder = RequestDecoder::new(limits);
    walk(bytes, cuts, |unread| match decoder.decode(unread) {
        Ok(step) => Ok(describe(step, unread, |head| {
            let headers: Vec<_> = head.headers.iter().collect();
            format!(
                "{} {} {} {:?} keep_alive={} continue={} host={:?} {headers:?}",
                head.method.as_str(),
                head.target.raw(),
                head.version.as_str(),
                head.body,
                head.keep_alive,
                head.expect_continue,
                head.host,
            )
        })),
        Err(refused) => Err(Event::Refused(refused.status.0, refused.reason)),
    })
}

/// The same for responses to `GET`.
pub fn responses(limits: Limits, bytes: &[u8], cuts: &[usize]) -> Vec<Event> {
    let mut decoder = ResponseDecoder::new(limits);
    walk(bytes, cuts, |unread| match decoder.decode(unread) {
        Ok(step) => Ok(describe(step, unread, |head| {
            let headers: Vec<_> = head.headers.iter().collect();
            format!(
                "{} {} {:?} {:?} keep_alive={} {headers:?}",
                head.version.as_str(),
                head.status.0,
                head.reason,
                head.body,
                head.keep_alive,
            )
        })),
        Err(malformed) => Err(Event::Refused(0, malformed.reason)),
    })
}

/// A step without its borrow: the event, if any, and the bytes used; `None` for `Need`.
type Told = Option<(Option<Event>, usize)>;

fn describe<H>(step: Step<H>, unread: &[u8], head_text: impl FnOnce(H) -> String) -> Told {
    match step {
        Step::Need => None,
        Step::Head { head, used } => Some((Some(Event::Head(head_text(head))), used)),
        Step::Body { range, used } => {
            assert!(range.end <= used && used > 0, "a body step goes forward");
            let payload = unread[range].to_vec();
            Some(((!payload.is_empty()).then_some(Event::Body(payload)), used))
        }
        Step::End { used } => Some((Some(Event::End), used)),
    }
}

fn walk(
    bytes: &[u8],
    cuts: &[usize],
    mut decode: impl FnMut(&[u8]) -> Result<Told, Event>,
) -> Vec<Event> {
    let mut events: Vec<Event> = Vec::new();
    let (mut read, mut arrived) = (0, 0);
    let mut steps_left = 4 * bytes.len() + cuts.len() + 16;
    for cut in cuts.iter().copied().chain([bytes.len()]) {
        arrived = bytes.len().min(arrived + cut);
        loop {
            steps_left = steps_left.checked_sub(1).expect("the decoder stands still");
            match decode(&bytes[read..arrived]) {
                Ok(None) => break,
                Ok(Some((event, used))) => {
                    assert!(used <= arrived - read, "used more than was shown");
                    read += used;
                    match (event, events.last_mut()) {
                        (Some(Event::Body(more)), Some(Event::Body(last))) => last.extend(more),
                        (Some(event), _) => events.push(event),
                        (None, _) => {}
                    }
                }
                Err(refused) => {
                    assert_eq!(decode(b"GET / HTTP/1.1\r\n\r\n"), Err(refused.clone()));
                    events.push(refused);
                    return events;
                }
            }
        }
    }
    events
}

/// `\r \n \t \0 \\ \xHH` and `{LETTER*COUNT}` of the vector files.
pub fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let [byte, after @ ..] = rest {
        rest = after;
        match (byte, after) {
            (b'\\', [b'x', high, low, tail @ ..]) => {
                let digit = |byte: &u8| char::from(*byte).to_digit(16).expect("a hex digit");
                out.push((digit(high) * 16 + digit(low)) as u8);
                rest = tail;
            }
            (b'\\', [letter, tail @ ..]) => {
                out.push(match letter {
                    b'r' => b'\r',
                    b'n' => b'\n',
                    b't' => b'\t',
                    b'0' => 0,
                    b'\\' => b'\\',
                    _ => panic!("unknown escape in {text}"),
                });
                rest = tail;
            }
            (b'{', [letter, b'*', tail @ ..]) => {
                let end = tail.iter().position(|byte| *byte == b'}').expect("a closing brace");
                let count = std::str::from_utf8(&tail[..end]).unwrap().parse().unwrap();
                out.extend(std::iter::repeat_n(*letter, count));
                rest = &tail[end + 1..];
            }
            _ => out.push(*byte),
        }
    }
    out
}
