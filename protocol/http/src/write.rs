//! Heads and chunk framing onto the wire: appended to a buffer of the caller, nothing else.
//!
//! Invariant: no byte of a value can end its line. CR, LF, NUL and other control characters in a
//! value become blanks, so a title or a user name cannot start a header or a body of its own. Names
//! are the program's own words; one that is no token is our bug.

use crate::date::write_http_date;
use crate::headers::is_token_byte;
use crate::method::Method;
use crate::query::push_encoded;
use crate::status::Status;
use crate::version::Version;

/// What ends a chunked body: the empty chunk and no trailers.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// The interim answer to `Expect: 100-continue`.
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Writes one response head; lines appear in the order of the calls. [`finish`](Self::finish) ends
/// it with the blank line.
#[derive(Debug)]
#[must_use = "a head without `finish` is not complete"]
pub struct ResponseWriter<'o> {
    out: &'o mut Vec<u8>,
}

impl<'o> ResponseWriter<'o> {
    /// Writes the status line with the usual reason phrase.
    pub fn new(out: &'o mut Vec<u8>, version: Version, status: Status) -> ResponseWriter<'o> {
        ResponseWriter::with_reason(out, version, status, status.reason())
    }

    /// Writes the status line with a reason phrase of one's own (`404 File Not Found`).
    pub fn with_reason(
        out: &'o mut Vec<u8>,
        version: Version,
        status: Status,
        reason: &str,
    ) -> ResponseWriter<'o> {
        out.extend_from_slice(version.as_str().as_bytes());
        out.push(b' ');
        write_decimal(u64::from(status.0), out);
        out.push(b' ');
        push_value(reason.as_bytes(), out);
        out.extend_from_slice(b"\r\n");
        ResponseWriter { out }
    }

    /// Goes on with a head whose first lines are in `out`.
    pub fn append_to(out: &'o mut Vec<u8>) -> ResponseWriter<'o> {
        ResponseWriter { out }
    }

    /// `Name: value`.
    pub fn header(&mut self, name: &str, value: impl AsRef<[u8]>) -> &mut Self {
        push_header(name, b": ", value.as_ref(), self.out);
        self
    }

    /// `Name:value`, without the blank: Icecast writes its `icy-*` lines so, and old players
    /// compare bytes.
    pub fn header_tight(&mut self, name: &str, value: impl AsRef<[u8]>) -> &mut Self {
        push_header(name, b":", value.as_ref(), self.out);
        self
    }

    /// `Name: 123`.
    pub fn header_number(&mut self, name: &str, value: u64) -> &mut Self {
        push_name(name, b": ", self.out);
        write_decimal(value, self.out);
        self.out.extend_from_slice(b"\r\n");
        self
    }

    /// `Name: Sun, 06 Nov 1994 08:49:37 GMT`.
    pub fn header_date(&mut self, name: &str, unix_seconds: u64) -> &mut Self {
        push_name(name, b": ", self.out);
        write_http_date(unix_seconds, self.out);
        self.out.extend_from_slice(b"\r\n");
        self
    }

    /// Whole lines rendered before (`Server` and this second's `Date`), each with its CR LF. They
    /// are not checked: they are the program's own.
    pub fn raw_lines(&mut self, lines: &[u8]) -> &mut Self {
        debug_assert!(lines.is_empty() || lines.ends_with(b"\r\n"));
        self.out.extend_from_slice(lines);
        self
    }

    /// `Content-Length: length_bytes`.
    pub fn content_length(&mut self, length_bytes: u64) -> &mut Self {
        self.header_number("Content-Length", length_bytes)
    }

    /// `Transfer-Encoding: chunked`; the body follows in chunks. Never to an HTTP/1.0 client.
    pub fn chunked(&mut self) -> &mut Self {
        self.raw_lines(b"Transfer-Encoding: chunked\r\n")
    }

    /// `Connection: close`.
    pub fn close(&mut self) -> &mut Self {
        self.raw_lines(b"Connection: close\r\n")
    }

    /// `Connection: keep-alive`; only HTTP/1.0 clients need it.
    pub fn keep_alive(&mut self) -> &mut Self {
        self.raw_lines(b"Connection: keep-alive\r\n")
    }

    /// Ends the head. The body, if any, is appended behind it.
    pub fn finish(&mut self) {
        self.out.extend_from_slice(b"\r\n");
    }
}

/// Writes one request head; lines appear in the order of the calls.
#[derive(Debug)]
#[must_use = "a head without `finish` is not complete"]
pub struct RequestWriter<'o> {
    out: &'o mut Vec<u8>,
}

impl<'o> RequestWriter<'o> {
    /// Writes the request line. `target` is a path with its query, already percent-encoded; blanks
    /// and control characters that it must not hold are encoded here.
    pub fn new(
        out: &'o mut Vec<u8>,
        method: Method<'_>,
        target: &str,
        version: Version,
    ) -> RequestWriter<'o> {
        debug_assert!(is_token(method.as_str()));
        out.extend_from_slice(method.as_str().as_bytes());
        out.push(b' ');
        for byte in target.bytes() {
            if byte.is_ascii_graphic() {
                out.push(byte);
            } else {
                push_encoded(byte, out);
            }
        }
        out.push(b' ');
        out.extend_from_slice(version.as_str().as_bytes());
        out.extend_from_slice(b"\r\n");
        RequestWriter { out }
    }

    /// `Name: value`.
    pub fn header(&mut self, name: &str, value: impl AsRef<[u8]>) -> &mut Self {
        push_header(name, b": ", value.as_ref(), self.out);
        self
    }

    /// `Content-Length: length_bytes`.
    pub fn content_length(&mut self, length_bytes: u64) -> &mut Self {
        push_name("Content-Length", b": ", self.out);
        write_decimal(length_bytes, self.out);
        self.out.extend_from_slice(b"\r\n");
        self
    }

    /// Ends the head. The body, if any, is appended behind it.
    pub fn finish(&mut self) {
        self.out.extend_from_slice(b"\r\n");
    }
}

/// Writes what stands before a chunk's payload. Behind the payload comes CR LF, and at the end
/// [`LAST_CHUNK`]. An empty payload is no chunk (it would end the body) and writes nothing.
pub fn write_chunk_head(payload_bytes: usize, out: &mut Vec<u8>) {
    debug_assert!(payload_bytes > 0, "an empty chunk ends the body");
    if payload_bytes == 0 {
        return;
    }
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits_count = (usize::BITS - payload_bytes.leading_zeros()).div_ceil(4);
    for index in (0..digits_count).rev() {
        out.push(DIGITS[payload_bytes >> (4 * index) & 15]);
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends a number in decimal, without the machinery of `format!`.
pub fn write_decimal(mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [0_u8; 20];
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[first..]);
}

fn push_header(name: &str, separator: &[u8], value: &[u8], out: &mut Vec<u8>) {
    push_name(name, separator, out);
    push_value(value, out);
    out.extend_from_slice(b"\r\n");
}

fn push_name(name: &str, separator: &[u8], out: &mut Vec<u8>) {
    debug_assert!(is_token(name), "a header name that is no token");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(separator);
}

/// Appends a value; what could end its line becomes a blank.
pub(crate) fn push_value(value: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(value);
    // Looking first keeps the usual case to one vectorised pass.
    if value.iter().fold(false, |unsafe_so_far, byte| unsafe_so_far | ends_line(*byte)) {
        for byte in &mut out[start..] {
            if ends_line(*byte) {
                *byte = b' ';
            }
        }
    }
}

fn ends_line(byte: u8) -> bool {
    byte.is_ascii_control() && byte != b'\t'
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_token_byte)
}
