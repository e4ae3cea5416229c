//! Server-sent events (the HTML standard, §9.2): one event is encoded once, and its bytes are what
//! every subscriber is sent.
//!
//! ```
//! use protocol_http::ServerEvent;
//!
//! let event =
//!     ServerEvent { event: Some("title"), data: Some("one\ntwo"), ..ServerEvent::default() };
//! let mut frame = Vec::new();
//! event.encode(&mut frame);
//! assert_eq!(frame, b"event: title\ndata: one\ndata: two\n\n");
//! // A connection in chunks gets the same event with its chunk around it.
//! let mut chunk = Vec::new();
//! event.encode_chunk(&mut chunk);
//! assert_eq!(chunk, b"22\r\nevent: title\ndata: one\ndata: two\n\n\r\n");
//! ```
//!
//! A frame depends on nobody: made into one reference-counted buffer, it is a reference for each
//! subscriber and no copy. There are two frames of an event at most, one for answers in chunks
//! (HTTP/1.1) and one for answers that last until the connection closes (HTTP/1.0).
//!
//! Invariant: nothing in an event ends its line. Data has as many `data:` lines as it has lines;
//! CR, LF and NUL in a type or an id become blanks.

use crate::headers::Headers;
use crate::write::write_chunk_head;

/// The value of `Content-Type`. It is always UTF-8, and a `charset` would be the only one allowed.
pub const EVENT_STREAM_TYPE: &str = "text/event-stream";

/// A comment that keeps an idle connection alive: proxies close what is silent, and a peer that has
/// vanished is noticed by a send alone. The standard suggests one every 15 seconds or so.
pub const EVENT_STREAM_KEEP_ALIVE: &[u8] = b":\n\n";

/// The same for an answer in chunks.
pub const EVENT_STREAM_KEEP_ALIVE_CHUNK: &[u8] = b"3\r\n:\n\n\r\n";

/// One event.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ServerEvent<'a> {
    /// What a client that was cut off says again in `Last-Event-ID`. `Some("")` makes it forget.
    pub id: Option<&'a str>,
    /// The type that a page listens for; `None` is `message`.
    pub event: Option<&'a str>,
    /// How long a client waits before it connects again, in milliseconds.
    pub retry_ms: Option<u64>,
    /// The payload. `None` sets the other fields and is told to nobody.
    pub data: Option<&'a str>,
    /// Lines that clients ignore.
    pub comment: Option<&'a str>,
}

impl ServerEvent<'_> {
    /// Appends the event as it stands in the stream.
    pub fn encode(&self, out: &mut Vec<u8>) {
        if let Some(comment) = self.comment {
            push_lines(":", comment, out);
        }
        if let Some(event) = self.event {
            push_line("event", event, out);
        }
        if let Some(id) = self.id {
            push_line("id", id, out);
        }
        if let Some(retry_ms) = self.retry_ms {
            out.extend_from_slice(b"retry: ");
            crate::write_decimal(retry_ms, out);
            out.push(b'\n');
        }
        if let Some(data) = self.data {
            push_lines("data:", data, out);
        }
        out.push(b'\n');
    }

    /// Appends the event as one chunk of an answer with `Transfer-Encoding: chunked`.
    pub fn encode_chunk(&self, out: &mut Vec<u8>) {
        let mut event = Vec::new();
        self.encode(&mut event);
        write_chunk_head(event.len(), out);
        out.extend_from_slice(&event);
        out.extend_from_slice(b"\r\n");
    }
}

/// The id of the last event that a client that comes back has heard; `None` when it is new here, or
/// when the id is not UTF-8.
pub fn last_event_id<'b>(headers: &Headers<'b>) -> Option<&'b str> {
    headers.get_str("last-event-id").filter(|id| !id.is_empty())
}

/// `name: value`. The blank is taken off again by the reader, so it also protects a value that
/// begins with one.
fn push_line(name: &str, value: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    let ends = |byte: u8| matches!(byte, b'\r' | b'\n' | 0);
    out.extend(value.bytes().map(|byte| if ends(byte) { b' ' } else { byte }));
    out.push(b'\n');
}

/// One line for each line of the text, which may end in CR LF, LF or CR.
fn push_lines(start: &str, text: &str, out: &mut Vec<u8>) {
    let mut rest = text;
    loop {
        let end = rest.find(['\r', '\n']);
        let (line, after) = rest.split_at(end.unwrap_or(rest.len()));
        out.extend_from_slice(start.as_bytes());
        out.push(b' ');
        out.extend_from_slice(line.as_bytes());
        out.push(b'\n');
        if end.is_none() {
            return;
        }
        rest = after.strip_prefix("\r\n").unwrap_or_else(|| &after[1..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Limits, RequestDecoder, Step};

    fn encoded(event: ServerEvent<'_>) -> String {
        let mut out = Vec::new();
        event.encode(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn all_fields() {
        let event = ServerEvent {
            id: Some("7"),
            event: Some("title"),
            retry_ms: Some(3000),
            data: Some("a\r\nb\rc\n\nd"),
            comment: Some("x\ny"),
        };
        assert_eq!(
            encoded(event),
            ": x\n: y\nevent: title\nid: 7\nretry: 3000\n\
             data: a\ndata: b\ndata: c\ndata: \ndata: d\n\n"
        );
    }

    #[test]
    fn nothing_can_be_slipped_in() {
        let event = ServerEvent {
            id: Some("1\ndata: x\0"),
            event: Some("a\r\nid: 9"),
            ..ServerEvent::default()
        };
        assert_eq!(encoded(event), "event: a  id: 9\nid: 1 data: x \n\n");
        let data = ServerEvent { data: Some("a\n\nid: 9"), ..ServerEvent::default() };
        assert_eq!(encoded(data), "data: a\ndata: \ndata: id: 9\n\n");
    }

    #[test]
    fn empty_data_is_an_event_and_a_line_end_is_a_line() {
        assert_eq!(encoded(ServerEvent { data: Some(""), ..ServerEvent::default() }), "data: \n\n");
        let ended = ServerEvent { data: Some("a\n"), ..ServerEvent::default() };
        assert_eq!(encoded(ended), "data: a\ndata: \n\n");
        assert_eq!(encoded(ServerEvent::default()), "\n");
    }

    #[test]
    fn keep_alives() {
        let mut chunk = Vec::new();
        write_chunk_head(EVENT_STREAM_KEEP_ALIVE.len(), &mut chunk);
        chunk.extend_from_slice(EVENT_STREAM_KEEP_ALIVE);
        chunk.extend_from_slice(b"\r\n");
        assert_eq!(chunk, EVENT_STREAM_KEEP_ALIVE_CHUNK);
    }

    #[test]
    fn last_ids() {
        for (line, expected) in [
            ("Last-Event-ID: 7\r\n", Some("7")),
            ("last-event-id: \u{fc}\r\n", Some("\u{fc}")),
            ("Last-Event-ID:\r\n", None),
            ("", None),
        ] {
            let text = format!("GET / HTTP/1.1\r\nHost: h\r\n{line}\r\n");
            let mut decoder = RequestDecoder::new(Limits::default());
            let Ok(Step::Head { head, .. }) = decoder.decode(text.as_bytes()) else {
                panic!("no head")
            };
            assert_eq!(last_event_id(&head.headers), expected, "{line}");
        }
    }
}
