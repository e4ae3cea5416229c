//! The server's side of the handshake (RFC 6455 §4.2).
//!
//! Header lines come as (name, value) pairs, as `protocol-http` hands them out; the lines of the
//! answer are appended to the caller's head.
//!
//! Invariant: an [`Upgrade`] is a request that may be answered with 101.

use crate::accept::{accept_value, is_key};
use crate::deflate::{AgreedDeflate, Contexts, DeflateSettings, are_well_formed};

/// The only version (§4.1).
pub const VERSION: &str = "13";

/// Most subprotocols of a request that are looked at; further ones are not there.
pub const SUBPROTOCOLS_COUNT_MAX: usize = 16;

/// Most lines of extensions that are looked at, likewise.
const EXTENSION_LINES_COUNT_MAX: usize = 8;

/// A request to speak WebSocket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upgrade<'b> {
    /// Where a browser's page came from. A server that trusts a browser's cookies refuses with 403
    /// what it does not know (§10.2); programs that are no browsers send none.
    pub origin: Option<&'b str>,
    accept: [u8; 28],
    subprotocols: Vec<&'b str>,
    extensions: Vec<&'b [u8]>,
}

/// A request for WebSocket that cannot be granted. Answer with `status`; the connection may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// 400, or 426 for a version other than ours: then with `Sec-WebSocket-Version: 13` (§4.4).
    pub status: u16,
    /// Why, for the log and for the body of the answer. Holds nothing that the client sent.
    pub reason: &'static str,
}

impl<'b> Upgrade<'b> {
    /// Reads the header lines of a request; `None` when it does not ask for WebSocket at all. That
    /// it is a `GET` of HTTP/1.1 is for the caller to check (§4.2.1).
    ///
    /// # Errors
    /// It asks, and something that the RFC demands is missing.
    pub fn parse<'h>(
        headers: impl IntoIterator<Item = (&'h str, &'b [u8])>,
    ) -> Result<Option<Upgrade<'b>>, Refused> {
        let mut seen = Seen::default();
        for (name, value) in headers {
            seen.note(name, value);
        }
        if !seen.asks {
            return Ok(None);
        }
        if !seen.connection_upgrades {
            return Err(bad("Connection does not say Upgrade"));
        }
        if seen.version != Some(VERSION.as_bytes()) {
            return Err(Refused { status: 426, reason: "only version 13 is spoken" });
        }
        let key = seen.key.filter(|_| seen.keys_count == 1).and_then(is_key);
        let Some(key) = key else { return Err(bad("Sec-WebSocket-Key is missing or malformed")) };
        if !seen.extensions.iter().all(|value| are_well_formed(value)) {
            return Err(bad("Sec-WebSocket-Extensions is malformed"));
        }
        Ok(Some(Upgrade {
            origin: seen.origin.and_then(|value| str::from_utf8(value).ok()),
            accept: accept_value(key),
            subprotocols: seen.subprotocols,
            extensions: seen.extensions,
        }))
    }

    /// Accepts compression where the client offers it in a way that these settings allow and a
    /// context is left. Then [`AgreedDeflate::write_response_line`] belongs into the head with 101.
    pub fn agree_on_deflate(
        &self,
        settings: &DeflateSettings,
        contexts: &Contexts,
    ) -> Option<AgreedDeflate> {
        settings.accept(&self.extensions).filter(|_| contexts.has_room())
    }

    /// The subprotocols that the client speaks, in its order.
    pub fn subprotocols(&self) -> &[&'b str] {
        &self.subprotocols
    }

    /// The first of the client's subprotocols that is among ours.
    pub fn choose<'s>(&self, ours: &[&'s str]) -> Option<&'s str> {
        self.subprotocols.iter().find_map(|asked| ours.iter().find(|our| *our == asked)).copied()
    }

    /// The first of ours that is among the client's: where our order matters and not the client's.
    pub fn choose_in_our_order<'s>(&self, ours: &[&'s str]) -> Option<&'s str> {
        ours.iter().find(|our| self.subprotocols.contains(our)).copied()
    }

    /// Appends the lines that belong into the head with 101, each with its CR LF. A subprotocol
    /// must be one that the client speaks.
    ///
    /// # Panics
    /// When it is not: a bug.
    pub fn write_response_lines(&self, subprotocol: Option<&str>, out: &mut Vec<u8>) {
        out.extend_from_slice(b"Upgrade: websocket\r\nConnection: Upgrade\r\n");
        out.extend_from_slice(b"Sec-WebSocket-Accept: ");
        out.extend_from_slice(&self.accept);
        out.extend_from_slice(b"\r\n");
        if let Some(subprotocol) = subprotocol {
            assert!(self.subprotocols.contains(&subprotocol), "the client does not speak it");
            out.extend_from_slice(b"Sec-WebSocket-Protocol: ");
            out.extend_from_slice(subprotocol.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
    }
}

fn bad(reason: &'static str) -> Refused {
    Refused { status: 400, reason }
}

#[derive(Default)]
struct Seen<'b> {
    asks: bool,
    connection_upgrades: bool,
    version: Option<&'b [u8]>,
    key: Option<&'b [u8]>,
    keys_count: usize,
    origin: Option<&'b [u8]>,
    subprotocols: Vec<&'b str>,
    extensions: Vec<&'b [u8]>,
}

impl<'b> Seen<'b> {
    fn note(&mut self, name: &str, value: &'b [u8]) {
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        if is("upgrade") {
            self.asks |= has_token(value, b"websocket");
        } else if is("connection") {
            self.connection_upgrades |= has_token(value, b"upgrade");
        } else if is("sec-websocket-version") {
            self.version = Some(value);
        } else if is("sec-websocket-key") {
            self.key = Some(value);
            self.keys_count += 1;
        } else if is("origin") {
            self.origin = Some(value);
        } else if is("sec-websocket-extensions") {
            if self.extensions.len() < EXTENSION_LINES_COUNT_MAX {
                self.extensions.push(value);
            }
        } else if is("sec-websocket-protocol") {
            let tokens = list(value).filter(|item| item.iter().all(u8::is_ascii_graphic));
            let tokens = tokens.filter_map(|item| str::from_utf8(item).ok());
            let room = SUBPROTOCOLS_COUNT_MAX - self.subprotocols.len();
            self.subprotocols.extend(tokens.take(room));
        }
    }
}

/// Whether a comma-separated list holds this token, in any case.
pub(crate) fn has_token(value: &[u8], token: &[u8]) -> bool {
    list(value).any(|item| item.eq_ignore_ascii_case(token))
}

fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|item| !item.is_empty())
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.status, self.reason)
    }
}

impl std::error::Error for Refused {}
