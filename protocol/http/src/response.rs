//! The client's side: responses out of a connection's bytes.
//!
//! Stricter than most clients where a body's length is at stake, and laxer in one place: a bare LF
//! ends a head line too (RFC 9112 §2.2 allows it), because old SHOUTcast servers send it and a
//! client's connection is shared with nobody.
//!
//! Invariant: as in `request`, the outcome does not depend on how the bytes were cut.

use crate::body::{Body, BodyError, BodyKind, Piece};
use crate::headers::{HEADERS_COUNT_MAX, Headers};
use crate::limits::Limits;
use crate::method::Method;
use crate::request::parse_length;
use crate::status::{Malformed, Status};
use crate::step::Step;
use crate::version::Version;

/// A checked response head. It borrows from the bytes shown to the decoder.
#[derive(Debug, Clone)]
pub struct ResponseHead<'b> {
    /// `Icy` for `ICY 200 OK`.
    pub version: Version,
    /// The status code, 100 to 999. After 1xx (but 101) another head follows for the same request.
    pub status: Status,
    /// The reason phrase; empty when there is none or it is not UTF-8.
    pub reason: &'b str,
    /// The header lines.
    pub headers: Headers<'b>,
    /// How the body ends.
    pub body: BodyKind,
    /// Whether the connection can carry another request afterwards.
    pub keep_alive: bool,
}

/// Reads the responses of one connection, in the order of its requests.
#[derive(Debug, Clone)]
pub struct ResponseDecoder {
    limits: Limits,
    state: State,
    searched_bytes: usize,
    request_is_head: bool,
}

#[derive(Debug, Clone)]
enum State {
    Head,
    Body { body: Body, then: After },
    Closed,
    Failed(Malformed),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    NextHead,
    Closed,
}

impl ResponseDecoder {
    /// A decoder for a new connection; the first request is taken for a `GET`.
    pub fn new(limits: Limits) -> ResponseDecoder {
        ResponseDecoder {
            limits: limits.clamped(),
            state: State::Head,
            searched_bytes: 0,
            request_is_head: false,
        }
    }

    /// Says which method the next response answers: that to `HEAD` has no body. Without pipelining,
    /// called as each request is sent.
    pub fn request_sent(&mut self, method: Method<'_>) {
        self.request_is_head = method == Method::Head;
    }

    /// Looks at the unread bytes. The caller drops `used` of them and calls again until `Need`.
    ///
    /// # Errors
    ///
    /// [`Malformed`] is final: every later call repeats it.
    pub fn decode<'b>(&mut self, bytes: &'b [u8]) -> Result<Step<ResponseHead<'b>>, Malformed> {
        let step = match &mut self.state {
            State::Head => self.decode_head(bytes),
            State::Body { body, then } => match body.decode(bytes, &self.limits) {
                Ok(Piece::Need) => Ok(Step::Need),
                Ok(Piece::Payload { range, used }) => Ok(Step::Body { range, used }),
                Ok(Piece::End { used }) => {
                    self.state = match then {
                        After::NextHead => State::Head,
                        After::Closed => State::Closed,
                    };
                    Ok(Step::End { used })
                }
                Err(BodyError::TooLarge) => malformed("the body is longer than the limit"),
                Err(BodyError::TrailerTooLarge) => malformed("the trailers are too long"),
                Err(BodyError::Malformed(reason)) => malformed(reason),
            },
            State::Closed => Ok(Step::Need),
            State::Failed(malformed) => return Err(*malformed),
        };
        if let Err(malformed) = &step {
            self.state = State::Failed(*malformed);
        }
        step
    }

    /// Told that the connection has ended, behind all bytes shown: whether that was an end.
    ///
    /// # Errors
    ///
    /// When a head or a body with a known length is cut off.
    pub fn finish(&mut self) -> Result<(), Malformed> {
        let complete = match &self.state {
            State::Head => self.searched_bytes == 0,
            State::Body { body, .. } => body.is_until_close(),
            State::Closed => true,
            State::Failed(malformed) => return Err(*malformed),
        };
        self.state = State::Closed;
        if complete { Ok(()) } else { malformed("the connection ended inside a response") }
    }

    /// Whether it stands between responses and no byte of the next has been seen.
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Head) && self.searched_bytes == 0
    }

    /// Changes the body limit for the present message, in payload bytes still to come; called
    /// after its head. `u64::MAX` for a stream without end.
    pub fn set_body_bytes_max(&mut self, body_bytes_max: u64) {
        if let State::Body { body, .. } = &mut self.state {
            body.set_budget(body_bytes_max);
        }
    }

    fn decode_head<'b>(&mut self, bytes: &'b [u8]) -> Result<Step<ResponseHead<'b>>, Malformed> {
        let window = &bytes[..bytes.len().min(self.limits.head_bytes_max)];
        let Some(end) = find_head_end(window, self.searched_bytes) else {
            if bytes.len() >= self.limits.head_bytes_max {
                return malformed("the head is longer than the limit");
            }
            self.searched_bytes = window.len();
            return Ok(Step::Need);
        };
        let head = parse_head(&window[..end], self.request_is_head, &self.limits)?;
        self.searched_bytes = 0;
        // 1xx is followed by the real answer, but 101 hands the connection to another protocol.
        let interim = head.status < Status::OK && head.status != Status::SWITCHING_PROTOCOLS;
        let then = if interim || head.keep_alive { After::NextHead } else { After::Closed };
        self.state = State::Body { body: Body::new(head.body, self.limits.body_bytes_max), then };
        Ok(Step::Head { head, used: end })
    }
}

fn malformed<T>(reason: &'static str) -> Result<T, Malformed> {
    Err(Malformed { reason })
}

/// The end of the first blank line behind a line, from `searched` on.
fn find_head_end(bytes: &[u8], searched: usize) -> Option<usize> {
    let mut from = searched.min(bytes.len());
    while let Some(found) = bytes[from..].iter().position(|byte| *byte == b'\n') {
        let at = from + found;
        if matches!(&bytes[..at], [.., b'\n'] | [.., b'\n', b'\r']) {
            return Some(at + 1);
        }
        from = at + 1;
    }
    None
}

/// Parses a whole head: `bytes` ends with its blank line.
fn parse_head<'b>(
    bytes: &'b [u8],
    request_is_head: bool,
    limits: &Limits,
) -> Result<ResponseHead<'b>, Malformed> {
    let line_end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (line, lines) = bytes.split_at((line_end + 1).min(bytes.len()));
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let (version, status, reason) = parse_status_line(line.strip_suffix(b"\r").unwrap_or(line))?;
    let mut slots = [httparse::EMPTY_HEADER; HEADERS_COUNT_MAX];
    let parsed = match httparse::parse_headers(lines, &mut slots) {
        Ok(httparse::Status::Complete((_, parsed))) => parsed,
        Ok(httparse::Status::Partial) => return malformed("the head is malformed"),
        Err(httparse::Error::TooManyHeaders) => {
            return malformed("there are too many header lines");
        }
        Err(_) => return malformed("a header line is malformed"),
    };
    if parsed.len() > limits.headers_count_max {
        return malformed("there are too many header lines");
    }
    let mut headers = Headers::new(bytes);
    for header in parsed {
        headers.push(header);
    }
    let body = body_kind(&headers, version, status, request_is_head)?;
    let persists = match version {
        Version::Http11 => !headers.has_token("connection", "close"),
        Version::Http10 => {
            headers.has_token("connection", "keep-alive")
                && !headers.has_token("connection", "close")
        }
        _ => false,
    };
    let keep_alive =
        persists && body != BodyKind::UntilClose && status != Status::SWITCHING_PROTOCOLS;
    Ok(ResponseHead { version, status, reason, headers, body, keep_alive })
}

/// `HTTP/1.x SP 3DIGIT [SP reason]`, or with `ICY` in the version's place.
fn parse_status_line(line: &[u8]) -> Result<(Version, Status, &str), Malformed> {
    let (version, rest) = match line {
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0', b' ', rest @ ..] => {
            (Version::Http10, rest)
        }
        // A later minor version promises to be readable as 1.1 (RFC 9110 §2.5).
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'1'..=b'9', b' ', rest @ ..] => {
            (Version::Http11, rest)
        }
        [b'I', b'C', b'Y', b' ', rest @ ..] => (Version::Icy, rest),
        _ => return malformed("the status line has no version of ours"),
    };
    let (code, reason) = match rest {
        [_, _, _] => (rest, &rest[3..]),
        [_, _, _, b' ', reason @ ..] => (&rest[..3], reason),
        _ => return malformed("the status line is malformed"),
    };
    let status = parse_length(code).filter(|code| *code >= 100);
    let Some(status) = status.and_then(|code| u16::try_from(code).ok()) else {
        return malformed("the status code is malformed");
    };
    if reason.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
        return malformed("the reason phrase has a control character");
    }
    let reason = std::str::from_utf8(reason).unwrap_or_default();
    Ok((version, Status(status), reason.trim_end_matches([' ', '\t'])))
}

/// RFC 9112 §6.3 from a client's point of view.
fn body_kind(
    headers: &Headers<'_>,
    version: Version,
    status: Status,
    request_is_head: bool,
) -> Result<BodyKind, Malformed> {
    let codings_count = headers.get_all("transfer-encoding").count();
    let mut lengths = headers.get_all("content-length");
    let length = lengths.next();
    // An ICY answer is a stream, whatever length it pretends to have.
    if version == Version::Icy {
        return Ok(if request_is_head { BodyKind::None } else { BodyKind::UntilClose });
    }
    if lengths.any(|other| Some(other) != length) {
        return malformed("Content-Length is repeated and differs");
    }
    if codings_count > 0 && length.is_some() {
        return malformed("Content-Length stands beside Transfer-Encoding");
    }
    // Also where no body follows: who reads another number there finds another next answer.
    const LENGTH: Malformed = Malformed { reason: "Content-Length is malformed" };
    let length_bytes = length.map(|length| parse_length(length).ok_or(LENGTH)).transpose()?;
    if request_is_head || status.0 < 200 || status.0 == 204 || status.0 == 304 {
        return Ok(BodyKind::None);
    }
    // Node takes the tab for a part of the coding, does not know it, and reads until the close.
    if codings_count > 0 && headers.has_tab_behind("transfer-encoding") {
        return malformed("a tab stands behind Transfer-Encoding");
    }
    match (codings_count, headers.get("transfer-encoding"), length_bytes) {
        (0, _, None) => Ok(BodyKind::UntilClose),
        (0, _, Some(length_bytes)) => Ok(BodyKind::Length(length_bytes)),
        (1, Some(coding), _) if coding.eq_ignore_ascii_case(b"chunked") => match version {
            Version::Http11 => Ok(BodyKind::Chunked),
            _ => malformed("Transfer-Encoding needs HTTP/1.1"),
        },
        _ => malformed("the transfer coding is not 'chunked'"),
    }
}
