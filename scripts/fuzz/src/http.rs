//! HTTP: the request and the response decoder, and the parsers of single values.

use std::fmt::Debug;

use protocol_http::client::{Client, ClientRequest, ClientSettings, Input, Output, Url};
use protocol_http::{
    ByteRanges, ContentCoding, Cookies, FormKind, Limits, MediaType, MultipartDecoder,
    MultipartLimits, MultipartStep, Preflight, Query, RequestDecoder, ResponseDecoder, Selection,
    ServerEvent, Step, Validators, choose_coding, form_pairs, last_event_id, parse_http_date,
    parse_range, percent_decode, percent_encode, safe_file_name, write_http_date,
};

use super::{pieces, same_for_all_cuts};

/// What was read from a connection, without how it was cut.
#[derive(Debug, PartialEq)]
enum Event {
    Head(String),
    Body(Vec<u8>),
    End,
    Failed(String),
}

/// Requests of one connection, one behind the other.
pub fn request(data: &[u8]) {
    same_for_all_cuts(data, |cut| {
        let mut decoder = RequestDecoder::new(small_limits());
        read(data, cut, |bytes| {
            let step = decoder.decode(bytes);
            if let Ok(Step::Head { head, .. }) = &step {
                let _ = (head.target.decoded_path(), Preflight::from_head(head));
                let _ = head.target.pairs().iter().count();
                look_at_lines(head);
            }
            event(bytes, step)
        })
    });
}

/// Responses of one connection.
pub fn response(data: &[u8]) {
    same_for_all_cuts(data, |cut| {
        let mut decoder = ResponseDecoder::new(small_limits());
        let events = read(data, cut, |bytes| event(bytes, decoder.decode(bytes)));
        (events, format!("{:?}", decoder.finish()))
    });
}

/// Values of headers and targets, which have no connection around them.
pub fn values(data: &[u8]) {
    if let Some(seconds) = parse_http_date(data) {
        let mut written = Vec::new();
        write_http_date(seconds, &mut written);
        assert_eq!(parse_http_date(&written), Some(seconds), "a date reads back");
    }
    let plain = percent_decode(data);
    assert_eq!(percent_decode(percent_encode(&plain).as_bytes()), plain, "an encoding reads back");
    let _ = Query::new(data).iter().count();
    let _ = form_pairs(data, 4);
    if let Some(media_type) = MediaType::parse(data) {
        let _ = media_type.parameter("boundary");
    }
    for length_bytes in [0, 1, 1000, u64::MAX] {
        for range in parse_range(data, length_bytes).as_slice() {
            assert!(range.length_bytes() <= length_bytes, "a range lies within its body");
        }
    }
}

/// A form in parts with the boundary `b`: what comes out does not depend on the cuts, and a file's
/// name stays in its folder.
pub fn multipart(data: &[u8]) {
    let limits = MultipartLimits { parts_count_max: 4, head_bytes_max: 256, part_bytes_max: 512 };
    same_for_all_cuts(data, |cut| {
        let mut decoder = MultipartDecoder::new("b", limits).expect("it is a boundary");
        let events = read(data, cut, |bytes| {
            let step = match decoder.decode(bytes) {
                Ok(MultipartStep::Need) => return None,
                Ok(step) => step,
                Err(refused) => return Some((Event::Failed(format!("{refused:?}")), 0)),
            };
            Some(match step {
                MultipartStep::Need => return None,
                MultipartStep::Part { part, used } => {
                    if let Some(name) = part.file_name.as_deref().and_then(safe_file_name) {
                        assert!(!name.contains(['/', '\\', '\0']) && !name.starts_with('.'));
                    }
                    (Event::Head(format!("{part:?}")), used)
                }
                MultipartStep::Data { range, used } => (Event::Body(bytes[range].to_vec()), used),
                MultipartStep::PartEnd { used } => (Event::End, used),
                MultipartStep::End { used } => (Event::Head("the end".to_owned()), used),
            })
        });
        // The end is said once more for the line end behind it, where that comes apart.
        let mut events = events;
        events.dedup_by(|later, earlier| {
            later == earlier && matches!(later, Event::Head(text) if text == "the end")
        });
        (events, format!("{:?}", decoder.finish()))
    });
}

/// Answers to a client: what it tells and does is the same however they were cut, and the exchange
/// ends once. Redirects are handed out: what comes behind one that is followed answers the next
/// request or nothing, and which of the two is a matter of time.
#[allow(clippy::disallowed_methods, reason = "any instant will do to count from")]
pub fn client(data: &[u8]) {
    let now = std::time::Instant::now();
    let url = Url::parse("http://h/").expect("it is a URL");
    let _ = std::str::from_utf8(data).map(|text| {
        if let Some(resolved) = url.resolve(text) {
            assert_eq!(Url::parse(&resolved.to_string()), Some(resolved), "a URL reads back");
        }
    });
    same_for_all_cuts(data, |cut| {
        let settings =
            ClientSettings { limits: small_limits(), redirects_max: 0, ..Default::default() };
        let mut client = Client::new(settings);
        client.request(now, ClientRequest::get(url.clone())).expect("it can be sent");
        let Some(Output::Connect { connection, .. }) = client.poll() else {
            unreachable!("it asks for a connection first")
        };
        client.handle(now, Input::Connected(connection));
        let mut told = Vec::new();
        let mut body = Vec::new();
        for piece in pieces(data, cut) {
            client.handle(now, Input::Received(connection, piece));
            while let Some(output) = client.poll() {
                match output {
                    Output::Body { bytes, .. } => body.extend(bytes),
                    Output::Send { connection, .. } => {
                        client.handle(now, Input::Sent(connection));
                    }
                    output => told.push(format!("{output:?}")),
                }
            }
        }
        client.handle(now, Input::Ended(connection));
        told.extend(std::iter::from_fn(|| client.poll()).map(|output| format!("{output:?}")));
        assert_eq!((client.exchanges_count(), client.connections_count()), (0, 0));
        (told, body)
    });
}

/// Whatever the header lines of a request are read for.
fn look_at_lines(head: &protocol_http::RequestHead<'_>) {
    let lines = &head.headers;
    for (name, value) in Cookies::new(lines).iter() {
        assert!(!name.is_empty() && !value.contains(&b';'), "a pair is one pair");
    }
    if let Some(chosen) = choose_coding(lines, &ContentCoding::ALL) {
        assert_eq!(choose_coding(lines, &[chosen]), Some(chosen), "a choice is acceptable alone");
    }
    let validators = Validators { etag: Some("\"e\""), modified_unix_seconds: Some(784_111_777) };
    if let Selection::Parts(ranges) = Selection::of(head.method, lines, validators, 10_000)
        && let Some(parts) = ByteRanges::new(7, "a/b", 10_000, &ranges)
    {
        assert!(parts.content_length() < 10_000, "parts are shorter than the whole");
    }
    let _ = FormKind::of(lines, MultipartLimits::default());
    if let Some(id) = last_event_id(lines) {
        let mut out = Vec::new();
        ServerEvent { id: Some(id), ..ServerEvent::default() }.encode(&mut out);
        assert_eq!(out.iter().filter(|byte| **byte == b'\n').count(), 2, "an id is one line");
    }
}

/// Limits that an input of a few hundred bytes can reach.
fn small_limits() -> Limits {
    Limits {
        head_bytes_max: 1024,
        target_bytes_max: 256,
        headers_count_max: 16,
        body_bytes_max: 4096,
        chunk_line_bytes_max: 32,
        trailer_bytes_max: 128,
        ..Limits::default()
    }
}

/// What a step says, without the buffer that it lies in, and how many bytes it used.
fn event<H: Debug, E: Debug>(bytes: &[u8], step: Result<Step<H>, E>) -> Option<(Event, usize)> {
    match step {
        Ok(Step::Need) => None,
        Ok(Step::Head { head, used }) => Some((Event::Head(format!("{head:?}")), used)),
        Ok(Step::Body { range, used }) => Some((Event::Body(bytes[range].to_vec()), used)),
        Ok(Step::End { used }) => Some((Event::End, used)),
        Err(error) => Some((Event::Failed(format!("{error:?}")), 0)),
    }
}

/// Drives a decoder as its document says: unread bytes are shown, used ones dropped.
fn read(
    data: &[u8],
    cut: &[usize],
    mut decode: impl FnMut(&[u8]) -> Option<(Event, usize)>,
) -> Vec<Event> {
    let mut events = Vec::new();
    let mut unread = Vec::new();
    for piece in pieces(data, cut) {
        unread.extend_from_slice(piece);
        // A message of no body ends without a byte; nothing else stands still.
        let mut still_count = 0;
        while let Some((event, used)) = decode(&unread) {
            still_count = if used == 0 { still_count + 1 } else { 0 };
            assert!(still_count < 3, "the decoder goes nowhere");
            unread.drain(..used);
            match (event, events.last_mut()) {
                // Only the framing of a chunk was read.
                (Event::Body(more), _) if more.is_empty() => {}
                (Event::Body(more), Some(Event::Body(body))) => body.extend(more),
                (Event::Failed(why), _) => {
                    events.push(Event::Failed(why));
                    return events;
                }
                (event, _) => events.push(event),
            }
        }
    }
    events
}
