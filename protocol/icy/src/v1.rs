//! The handshake of an ICY v1 source (SHOUTcast 1, and Icecast 2.4.4, src/connection.c,
//! `_handle_shoutcast_compatible`).
//!
//! ```text
//!  > hackme                      or /mount:hackme (one port for many mounts), or hackme:#2
//!  < OK2
//!  < icy-caps:11
//!  <
//!  > icy-name:Nm
//!  > content-type:audio/mpeg
//!  >
//!  > audio…
//! ```
//!
//! Encoders that do not wait send all of it in one write. Lines end in CR LF, LF, or CR CR LF.

use std::fmt;

use crate::source::{Credentials, SourceRequest};

/// The answer to a right password.
pub const V1_OK: &[u8] = b"OK2\r\nicy-caps:11\r\n\r\n";
/// SHOUTcast's answer to a wrong one; Icecast closes without a word.
pub const V1_INVALID_PASSWORD: &[u8] = b"invalid password\r\n";

const PASSWORD_LINE_BYTES_MAX: usize = 1024;
const HEADERS_COUNT_MAX: usize = 64;

/// Reads the handshake of one source. What a step calls `used` is dropped from the front of the
/// bytes before the next one.
#[derive(Debug, Clone)]
pub struct V1Decoder {
    head_bytes_max: usize,
    state: State,
    /// Bytes that hold no end of what is waited for.
    searched_bytes: usize,
    sid: Option<u32>,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Password,
    Head,
    Done,
}

/// What the next bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum V1Step {
    /// Not complete yet.
    Need,
    /// The password line. Answer [`V1_OK`], or [`V1_INVALID_PASSWORD`] and close.
    Password {
        /// User `source`, and the password.
        credentials: Credentials,
        /// The mount, where the line names one.
        mount: Option<String>,
        /// Bytes of the line.
        used: usize,
    },
    /// The lines about the stream; the bytes behind `used` are audio. Comes once, and last.
    Head {
        /// What they say. It has no credentials.
        request: Box<SourceRequest>,
        /// Bytes of the lines.
        used: usize,
    },
}

/// A handshake that is none: the source is at fault. Close.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct V1Malformed {
    /// Why, for the log. Holds nothing that the source sent.
    pub reason: &'static str,
}

impl fmt::Display for V1Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason)
    }
}

impl std::error::Error for V1Malformed {}

impl V1Decoder {
    /// A decoder of one handshake whose lines about the stream have at most `head_bytes_max`.
    pub fn new(head_bytes_max: usize) -> V1Decoder {
        V1Decoder { head_bytes_max, state: State::Password, searched_bytes: 0, sid: None }
    }

    /// Looks at the bytes that are still unread. After the head, and after an error, it only needs.
    pub fn decode(&mut self, bytes: &[u8]) -> Result<V1Step, V1Malformed> {
        let step = match self.state {
            State::Password => self.password(bytes),
            State::Head => self.head(bytes),
            State::Done => Ok(V1Step::Need),
        };
        match &step {
            Ok(V1Step::Need) => {}
            Ok(V1Step::Password { .. }) => (self.state, self.searched_bytes) = (State::Head, 0),
            Ok(V1Step::Head { .. }) | Err(_) => self.state = State::Done,
        }
        step
    }

    /// The stream number of a SHOUTcast 2 encoder's `password:#2`.
    pub fn sid(&self) -> Option<u32> {
        self.sid
    }

    fn password(&mut self, bytes: &[u8]) -> Result<V1Step, V1Malformed> {
        let Some(line_bytes) = find_line_end(bytes, self.searched_bytes) else {
            self.searched_bytes = bytes.len();
            return match bytes.len() >= PASSWORD_LINE_BYTES_MAX {
                true => malformed("a password line without an end"),
                false => Ok(V1Step::Need),
            };
        };
        let line = trim_line(&bytes[..line_bytes]);
        let Ok(line) = std::str::from_utf8(line) else {
            return malformed("a password line that is no text");
        };
        if line_bytes > PASSWORD_LINE_BYTES_MAX || line.chars().any(char::is_control) {
            return malformed("a password line that is no text");
        }
        let (mount, password) = match line.split_once(':') {
            Some((mount, password)) if mount.starts_with('/') => (Some(mount.to_owned()), password),
            _ => (None, line),
        };
        let (password, sid) = without_sid(password);
        self.sid = sid;
        if password.is_empty() {
            return malformed("an empty password");
        }
        let credentials = Credentials::of_source(password.to_owned());
        Ok(V1Step::Password { credentials, mount, used: line_bytes })
    }

    fn head(&mut self, bytes: &[u8]) -> Result<V1Step, V1Malformed> {
        let mut line_start = self.searched_bytes;
        while let Some(line_end) = find_line_end(bytes, line_start) {
            if line_end > self.head_bytes_max {
                break;
            }
            if trim_line(&bytes[line_start..line_end]).is_empty() {
                let request = Box::new(request_of(&bytes[..line_end])?);
                return Ok(V1Step::Head { request, used: line_end });
            }
            line_start = line_end;
        }
        // The start of the line that is not complete: whole lines are not looked at again.
        self.searched_bytes = line_start;
        match bytes.len() > self.head_bytes_max {
            true => malformed("more lines about the stream than allowed"),
            false => Ok(V1Step::Need),
        }
    }
}

/// In which way a connection speaks, by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// One cannot say yet.
    Need,
    /// A request line, or nothing that a password line could be.
    Http,
    /// A password line.
    V1,
}

/// Tells a request line from a password line, for an acceptor that takes both: a request line has
/// blanks. A password with blanks needs an acceptor of its own.
pub fn dialect_of(first_bytes: &[u8]) -> Dialect {
    let window = &first_bytes[..first_bytes.len().min(PASSWORD_LINE_BYTES_MAX)];
    let end = window.iter().position(|byte| *byte == b'\n');
    let line = trim_line(&window[..end.unwrap_or(window.len())]);
    let is_text = line.iter().all(|byte| !byte.is_ascii_control());
    if !is_text || line.contains(&b' ') || window.len() == PASSWORD_LINE_BYTES_MAX {
        return Dialect::Http;
    }
    match (end, line.is_empty()) {
        (Some(_), false) => Dialect::V1,
        // RFC 9112 §2.2 has empty lines before a request ignored.
        (Some(_), true) => Dialect::Http,
        (None, _) => Dialect::Need,
    }
}

/// `hackme:#2` without its stream number.
fn without_sid(password: &str) -> (&str, Option<u32>) {
    let split = password.rsplit_once(":#");
    let numbered = split.and_then(|(plain, sid)| {
        let is_number = !sid.is_empty() && sid.bytes().all(|byte| byte.is_ascii_digit());
        Some((plain, sid.parse().ok().filter(|_| is_number)?))
    });
    match numbered {
        Some((plain, sid)) => (plain, Some(sid)),
        None => (password, None),
    }
}

/// Reads the lines; those without a colon are left out.
fn request_of(head: &[u8]) -> Result<SourceRequest, V1Malformed> {
    let mut headers: Vec<(&str, &[u8])> = Vec::new();
    for line in head.split(|byte| *byte == b'\n').map(trim_line) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let Ok(name) = std::str::from_utf8(&line[..colon]) else { continue };
        if headers.len() == HEADERS_COUNT_MAX {
            return malformed("more lines about the stream than allowed");
        }
        headers.push((name.trim(), line[colon + 1..].trim_ascii()));
    }
    let mut request = SourceRequest::from_headers(headers.into_iter(), false);
    // The password line was the login.
    request.credentials = None;
    Ok(request)
}

/// Where the line ends that begins at or after `from`: just behind its LF.
fn find_line_end(bytes: &[u8], from: usize) -> Option<usize> {
    let rest = bytes.get(from..)?;
    rest.iter().position(|byte| *byte == b'\n').map(|at| from + at + 1)
}

fn trim_line(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let kept = line.iter().rposition(|byte| *byte != b'\r').map_or(0, |last| last + 1);
    &line[..kept]
}

fn malformed<T>(reason: &'static str) -> Result<T, V1Malformed> {
    Err(V1Malformed { reason })
}

#[cfg(test)]
mod tests;
