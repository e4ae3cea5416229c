//! The server's side: requests out of a connection's bytes.
//!
//! A head that lies in the buffer as a whole, which is nearly every head, is parsed at once. One
//! that does not is only searched for its end, from where the last search stopped, and parsed when
//! the end is there.
//!
//! Invariant: the outcome depends on the bytes alone, never on how they were cut. So the parse at
//! once may only succeed; every refusal comes from the search or from the parse of a whole head.

use std::mem::MaybeUninit;

use crate::body::{Body, BodyError, BodyKind, Piece};
use crate::headers::{BARE_LF, HEADERS_COUNT_MAX, Headers, is_token, is_token_byte, list_items};
use crate::limits::Limits;
use crate::method::Method;
use crate::status::{Refused, Status};
use crate::step::Step;
use crate::target::{Target, is_authority};
use crate::version::Version;

/// A checked request head. It borrows from the bytes shown to the decoder.
#[derive(Debug, Clone)]
pub struct RequestHead<'b> {
    /// The method.
    pub method: Method<'b>,
    /// What it is for.
    pub target: Target<'b>,
    /// The version; `Ice10` with `SOURCE` only.
    pub version: Version,
    /// The header lines.
    pub headers: Headers<'b>,
    /// The host asked: of an absolute-form target, else `Host`.
    pub host: Option<&'b str>,
    /// How the body ends.
    pub body: BodyKind,
    /// Whether another request may follow this one.
    pub keep_alive: bool,
    /// Whether the client waits for `100 Continue` before it sends the body.
    pub expect_continue: bool,
}

impl RequestHead<'_> {
    /// Whether the method carries a body but its length was not said. A service that needs one
    /// answers 411; Icecast's `PUT` and `SOURCE` go on with the raw connection instead.
    pub fn lacks_length(&self) -> bool {
        self.method.carries_body() && self.body == BodyKind::None
    }
}

/// Reads the requests of one connection, one behind the other.
#[derive(Debug, Clone)]
pub struct RequestDecoder {
    limits: Limits,
    state: State,
    /// Bytes of an incomplete head that hold neither its end nor a reason to refuse it.
    searched_bytes: usize,
    heads_count: u32,
}

#[derive(Debug, Clone)]
enum State {
    Head,
    Body { body: Body, keep_alive: bool },
    Closed,
    Failed(Refused),
}

impl RequestDecoder {
    /// A decoder for a new connection.
    pub fn new(limits: Limits) -> RequestDecoder {
        RequestDecoder {
            limits: limits.clamped(),
            state: State::Head,
            searched_bytes: 0,
            heads_count: 0,
        }
    }

    /// Looks at the unread bytes. The caller drops `used` of them and calls again until `Need`.
    ///
    /// After a message with `keep_alive: false` it says `Need` for ever and consumes nothing: what
    /// comes behind such a message is not a request.
    ///
    /// # Errors
    ///
    /// [`Refused`] is final: every later call repeats it.
    pub fn decode<'b>(&mut self, bytes: &'b [u8]) -> Result<Step<RequestHead<'b>>, Refused> {
        let step = match &mut self.state {
            State::Head => self.decode_head(bytes),
            State::Body { body, keep_alive } => match body.decode(bytes, &self.limits) {
                Ok(Piece::Need) => Ok(Step::Need),
                Ok(Piece::Payload { range, used }) => Ok(Step::Body { range, used }),
                Ok(Piece::End { used }) => {
                    self.state = if *keep_alive { State::Head } else { State::Closed };
                    Ok(Step::End { used })
                }
                Err(error) => Err(refused_body(error)),
            },
            State::Closed => Ok(Step::Need),
            State::Failed(refused) => return Err(*refused),
        };
        if let Err(refused) = &step {
            self.state = State::Failed(*refused);
        }
        step
    }

    /// Whether it stands between requests and no byte of the next has been seen: the connection
    /// may be closed without an answer.
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Head) && self.searched_bytes == 0
    }

    /// Whether the last message that this connection may carry has ended.
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed | State::Failed(_))
    }

    /// Heads read so far.
    pub(crate) fn heads_count(&self) -> u32 {
        self.heads_count
    }

    /// Changes the body limit for the present message, in payload bytes still to come. Called
    /// after its head: a long upload is refused by the first step *behind* the head, so that a
    /// service can still take it (`u64::MAX` for a live source).
    pub fn set_body_bytes_max(&mut self, body_bytes_max: u64) {
        if let State::Body { body, .. } = &mut self.state {
            body.set_budget(body_bytes_max);
        }
    }

    fn decode_head<'b>(&mut self, bytes: &'b [u8]) -> Result<Step<RequestHead<'b>>, Refused> {
        let window = &bytes[..bytes.len().min(self.limits.head_bytes_max)];
        // A head is some hundred bytes, which each move would copy: it is made where it is handed
        // out, and looked at there.
        if self.searched_bytes == 0 {
            let mut step = parse_head(window, &self.limits);
            if let Ok(Step::Head { head, .. }) = &mut step {
                self.begin_body(head);
                return step;
            }
        }
        match find_head_end(window, self.searched_bytes.min(window.len()))? {
            Some(end) => {
                let mut step = parse_head(&window[..end], &self.limits);
                match &mut step {
                    Ok(Step::Head { head, .. }) => self.begin_body(head),
                    Ok(_) => return Err(Refused::bad("the head is malformed")),
                    Err(_) => {}
                }
                step
            }
            None if bytes.len() >= self.limits.head_bytes_max => {
                Err(too_long(window, self.limits.target_bytes_max))
            }
            None => {
                self.searched_bytes = window.len();
                Ok(Step::Need)
            }
        }
    }

    fn begin_body(&mut self, head: &mut RequestHead<'_>) {
        self.heads_count = self.heads_count.saturating_add(1);
        if self.heads_count == self.limits.requests_count_max {
            head.keep_alive = false;
        }
        self.searched_bytes = 0;
        let body = Body::new(head.body, self.limits.body_bytes_max);
        self.state = State::Body { body, keep_alive: head.keep_alive };
    }
}

fn refused_body(error: BodyError) -> Refused {
    match error {
        BodyError::TooLarge => {
            Refused::new(Status::CONTENT_TOO_LARGE, "the body is longer than the limit")
        }
        BodyError::TrailerTooLarge => {
            Refused::new(Status::HEADERS_TOO_LARGE, "the trailers are longer than the limit")
        }
        BodyError::Malformed(reason) => Refused::bad(reason),
    }
}

/// Empty lines tolerated before a request line (RFC 9112 §2.2 asks for at least one), in bytes.
const LEADING_BYTES_MAX: usize = 8;

/// How many bytes of `CR LF` stand before the request line.
fn leading_bytes(bytes: &[u8]) -> usize {
    let lines = bytes.chunks_exact(2).take(LEADING_BYTES_MAX / 2);
    2 * lines.take_while(|pair| *pair == b"\r\n").count()
}

/// Looks for the blank line that ends a head, from `searched` on, and refuses on the way what
/// can be no head. Whole prefixes decide: one more byte never changes an answer given.
fn find_head_end(bytes: &[u8], searched: usize) -> Result<Option<usize>, Refused> {
    let start = leading_bytes(bytes);
    match &bytes[start..] {
        [] => return Ok(None),
        [b'\r'] if start < LEADING_BYTES_MAX => return Ok(None),
        [first, ..] if is_token_byte(*first) => {}
        [b'\n', ..] => return Err(BARE_LF),
        _ => return Err(Refused::bad("the first byte begins no request")),
    }
    let mut from = searched.max(start);
    while let Some(found) = bytes[from..].iter().position(|byte| *byte == b'\n') {
        let at = from + found;
        if at == 0 || bytes[at - 1] != b'\r' {
            return Err(BARE_LF);
        }
        if at >= start + 2 && bytes[at - 2] == b'\n' {
            return Ok(Some(at + 1));
        }
        from = at + 1;
    }
    Ok(None)
}

/// A head that fills the limit without an end: whose fault is it, the target's or the headers'?
fn too_long(window: &[u8], target_bytes_max: usize) -> Refused {
    let mut words = window[leading_bytes(window)..].splitn(3, |byte| *byte == b' ');
    match words.nth(1) {
        Some(target) if target.len() > target_bytes_max => TARGET_TOO_LONG,
        _ => Refused::new(Status::HEADERS_TOO_LARGE, "the head is longer than the limit"),
    }
}

const TARGET_TOO_LONG: Refused =
    Refused::new(Status::URI_TOO_LONG, "the target is longer than the limit");
const TOO_MANY_HEADERS: Refused =
    Refused::new(Status::HEADERS_TOO_LARGE, "there are more header lines than the limit");

/// Parses the head at the front of `bytes`; [`Step::Need`] when it is incomplete.
fn parse_head<'b>(bytes: &'b [u8], limits: &Limits) -> Result<Step<RequestHead<'b>>, Refused> {
    let start = leading_bytes(bytes);
    let text = &bytes[start..];
    // httparse would skip any number of empty lines; the search counts them.
    if !text.first().is_some_and(|first| is_token_byte(*first)) {
        return Ok(Step::Need);
    }
    // Left uninitialised: clearing 2 KiB would cost a good part of the parse.
    let mut slots = [const { MaybeUninit::uninit() }; HEADERS_COUNT_MAX];
    let mut request = httparse::Request::new(&mut []);
    match request.parse_with_uninit_headers(text, &mut slots) {
        Ok(httparse::Status::Complete(used)) => {
            let (Some(method), Some(target)) = (request.method, request.path) else {
                return Err(Refused::bad("the request line is malformed"));
            };
            let line = RequestLine {
                method: Method::from_token(method),
                target,
                version: if request.version == Some(1) { Version::Http11 } else { Version::Http10 },
            };
            assemble(bytes, line, request.headers, start + used, limits)
        }
        Ok(httparse::Status::Partial) => Ok(Step::Need),
        Err(httparse::Error::Version) => parse_ice_head(bytes, start, limits),
        Err(error) => Err(refused_head(error)),
    }
}

/// A head whose version httparse does not know: `SOURCE … ICE/1.0`, or none of ours.
fn parse_ice_head<'b>(
    bytes: &'b [u8],
    start: usize,
    limits: &Limits,
) -> Result<Step<RequestHead<'b>>, Refused> {
    let line_bytes = bytes[start..].iter().position(|byte| *byte == b'\r');
    let Some(line_end) = line_bytes.map(|line_bytes| start + line_bytes) else {
        return Ok(Step::Need);
    };
    let malformed = Refused::bad("the request line is malformed");
    let line = std::str::from_utf8(&bytes[start..line_end]).map_err(|_| malformed)?;
    let Some((method, rest)) = line.split_once(' ') else { return Err(malformed) };
    let Some((target, version)) = rest.split_once(' ') else { return Err(malformed) };
    if version != "ICE/1.0" || method != "SOURCE" {
        let is_http = version.strip_prefix("HTTP/").is_some_and(|number| {
            matches!(number.as_bytes(), [b'0'..=b'9'] | [b'0'..=b'9', b'.', b'0'..=b'9'])
        });
        let unsupported =
            Refused::new(Status::VERSION_NOT_SUPPORTED, "only HTTP/1.0 and HTTP/1.1 are spoken");
        return Err(if is_http { unsupported } else { malformed });
    }
    if target.is_empty() || target.bytes().any(|byte| byte.is_ascii_control()) {
        return Err(malformed);
    }
    let Some(lines) = bytes[line_end..].strip_prefix(b"\r\n") else { return Ok(Step::Need) };
    let mut slots = [httparse::EMPTY_HEADER; HEADERS_COUNT_MAX];
    match httparse::parse_headers(lines, &mut slots) {
        Ok(httparse::Status::Complete((lines_bytes, headers))) => {
            let used = line_end + 2 + lines_bytes;
            let line = RequestLine { method: Method::Source, target, version: Version::Ice10 };
            assemble(bytes, line, headers, used, limits)
        }
        Ok(httparse::Status::Partial) => Ok(Step::Need),
        Err(error) => Err(refused_head(error)),
    }
}

fn refused_head(error: httparse::Error) -> Refused {
    match error {
        httparse::Error::TooManyHeaders => TOO_MANY_HEADERS,
        httparse::Error::HeaderName => Refused::bad("a header name is malformed"),
        httparse::Error::HeaderValue => Refused::bad("a header value is malformed"),
        _ => Refused::bad("the request line is malformed"),
    }
}

struct RequestLine<'b> {
    method: Method<'b>,
    target: &'b str,
    version: Version,
}

/// Makes a head of its parts and checks what they say together. `used` is where the head ends.
fn assemble<'b>(
    bytes: &'b [u8],
    line: RequestLine<'b>,
    parsed: &[httparse::Header<'b>],
    used: usize,
    limits: &Limits,
) -> Result<Step<RequestHead<'b>>, Refused> {
    let RequestLine { method, target, version } = line;
    if target.len() > limits.target_bytes_max {
        return Err(TARGET_TOO_LONG);
    }
    if parsed.len() > limits.headers_count_max {
        return Err(TOO_MANY_HEADERS);
    }
    let mut head = RequestHead {
        method,
        target: Target::parse(target, method)?,
        version,
        headers: Headers::new(bytes),
        host: None,
        body: BodyKind::None,
        keep_alive: false,
        expect_continue: false,
    };
    let mut facts = Facts::default();
    for header in parsed {
        facts.add(header)?;
        head.headers.push(header);
    }
    head.headers.check_line_ends(used)?;
    if version == Version::Http11 {
        if facts.host.is_none() && limits.host_required {
            return Err(Refused::bad("HTTP/1.1 without Host"));
        }
        head.keep_alive = !facts.close;
        head.expect_continue = facts.expect_continue;
    } else {
        head.keep_alive = version == Version::Http10 && facts.keep_alive && !facts.close;
    }
    head.host = head.target.authority().or(facts.host);
    head.body = facts.body(version)?;
    Ok(Step::Head { head, used })
}

/// What the header lines say about the message and the connection.
#[derive(Default)]
struct Facts<'b> {
    host: Option<&'b str>,
    length_bytes: Option<u64>,
    coding: Option<&'b [u8]>,
    close: bool,
    keep_alive: bool,
    expect_continue: bool,
}

impl<'b> Facts<'b> {
    fn add(&mut self, header: &httparse::Header<'b>) -> Result<(), Refused> {
        let name = header.name.as_bytes();
        // The length first: most lines are none of these and cost one comparison.
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => self.add_host(header.value),
            6 if name.eq_ignore_ascii_case(b"expect") => {
                self.expect_continue |= header.value.eq_ignore_ascii_case(b"100-continue");
                Ok(())
            }
            10 if name.eq_ignore_ascii_case(b"connection") => {
                for item in list_items(header.value) {
                    self.close |= is_token(item, "close");
                    self.keep_alive |= is_token(item, "keep-alive");
                }
                Ok(())
            }
            14 if name.eq_ignore_ascii_case(b"content-length") => self.add_length(header.value),
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                match self.coding.replace(header.value) {
                    Some(_) => Err(Refused::bad("Transfer-Encoding is repeated")),
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    fn add_host(&mut self, value: &'b [u8]) -> Result<(), Refused> {
        let text = std::str::from_utf8(value).ok().filter(|text| is_authority(text.as_bytes()));
        match text {
            None => Err(Refused::bad("Host is malformed")),
            Some(_) if self.host.is_some() => Err(Refused::bad("Host is repeated")),
            Some(text) => {
                self.host = Some(text);
                Ok(())
            }
        }
    }

    fn add_length(&mut self, value: &[u8]) -> Result<(), Refused> {
        // A repeated line is refused even when it says the same: nothing sends it in good faith.
        if self.length_bytes.is_some() {
            return Err(Refused::bad("Content-Length is repeated"));
        }
        let length = parse_length(value).ok_or(Refused::bad("Content-Length is malformed"))?;
        self.length_bytes = Some(length);
        Ok(())
    }

    fn body(&self, version: Version) -> Result<BodyKind, Refused> {
        match (self.coding, self.length_bytes) {
            (None, None) => Ok(BodyKind::None),
            (None, Some(length)) => Ok(BodyKind::Length(length)),
            (Some(_), Some(_)) => {
                Err(Refused::bad("Content-Length stands beside Transfer-Encoding"))
            }
            (Some(_), None) if version != Version::Http11 => {
                Err(Refused::bad("Transfer-Encoding needs HTTP/1.1"))
            }
            (Some(coding), None) if is_token(coding, "chunked") => Ok(BodyKind::Chunked),
            (Some(coding), None) => Err(refused_coding(coding)),
        }
    }
}

/// 400 where the end of the body cannot be known, 501 where only the coding is not ours.
fn refused_coding(coding: &[u8]) -> Refused {
    let chunked_count = list_items(coding).filter(|item| is_token(item, "chunked")).count();
    let chunked_last = list_items(coding).last().is_some_and(|item| is_token(item, "chunked"));
    match (chunked_count, chunked_last) {
        (0, _) if list_items(coding).next().is_none() => {
            Refused::bad("Transfer-Encoding is malformed")
        }
        (0, _) | (1, true) => Refused::new(
            Status::NOT_IMPLEMENTED,
            "only the transfer coding 'chunked' is implemented",
        ),
        _ => Refused::bad("'chunked' is not the last transfer coding, once"),
    }
}

/// `1*DIGIT`, nothing else, within 64 bits.
pub(crate) fn parse_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    value.iter().try_fold(0_u64, |length, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        length.checked_mul(10)?.checked_add(digit)
    })
}
