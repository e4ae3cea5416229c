//! The client's side of the handshake (RFC 6455 §4.1).

use std::fmt;

use crate::accept::{accept_value, key_of};
use crate::deflate::{AgreedDeflate, DeflateSettings, check_answer};
use crate::server::{VERSION, has_token};

/// Sixteen random bytes that a client sends, by which it knows the answer to its own question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nonce(
    /// The bytes, fresh for each connection.
    pub [u8; 16],
);

/// An answer that is not the granting of our request. Close the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusedByServer {
    /// The status is not 101; what came is an ordinary response.
    Status,
    /// `Upgrade` or `Connection` do not say that the protocol changes.
    NotUpgraded,
    /// `Sec-WebSocket-Accept` does not answer our key.
    Accept,
    /// An extension that was not asked for, or not like this.
    Extension,
    /// A subprotocol that was not offered.
    Subprotocol,
}

impl Nonce {
    /// Appends the lines that make a `GET` a request for WebSocket, each with its CR LF; `Host` and
    /// `Origin` are the caller's. Subprotocols are the program's own words.
    pub fn write_request_lines(&self, subprotocols: &[&str], out: &mut Vec<u8>) {
        out.extend_from_slice(b"Upgrade: websocket\r\nConnection: Upgrade\r\n");
        out.extend_from_slice(b"Sec-WebSocket-Version: ");
        out.extend_from_slice(VERSION.as_bytes());
        out.extend_from_slice(b"\r\nSec-WebSocket-Key: ");
        out.extend_from_slice(&key_of(self.0));
        out.extend_from_slice(b"\r\n");
        for (index, subprotocol) in subprotocols.iter().enumerate() {
            let before = if index == 0 { "Sec-WebSocket-Protocol: " } else { ", " };
            out.extend_from_slice(before.as_bytes());
            out.extend_from_slice(subprotocol.as_bytes());
        }
        if !subprotocols.is_empty() {
            out.extend_from_slice(b"\r\n");
        }
    }

    /// Reads the answer to a request without extensions: the subprotocol of ours that the server
    /// chose, if any. Bytes behind its head are WebSocket.
    ///
    /// # Errors
    /// It is not the answer to this nonce.
    pub fn check_response<'h, 'b, 's>(
        &self,
        status: u16,
        headers: impl IntoIterator<Item = (&'h str, &'b [u8])>,
        subprotocols: &[&'s str],
    ) -> Result<Option<&'s str>, RefusedByServer> {
        self.check_response_with(status, headers, subprotocols, None).map(|granted| granted.0)
    }

    /// Likewise where compression was offered with [`DeflateSettings::write_offer_line`].
    ///
    /// # Errors
    /// It is not the answer to this nonce, or to this offer.
    pub fn check_response_with<'h, 'b, 's>(
        &self,
        status: u16,
        headers: impl IntoIterator<Item = (&'h str, &'b [u8])>,
        subprotocols: &[&'s str],
        offer: Option<&DeflateSettings>,
    ) -> Result<(Option<&'s str>, Option<AgreedDeflate>), RefusedByServer> {
        if status != 101 {
            return Err(RefusedByServer::Status);
        }
        let (mut upgrades, mut connection_upgrades) = (false, false);
        let (mut accepts, mut chosen, mut extensions) = (0, None, Vec::new());
        let expected = accept_value(&key_of(self.0));
        for (name, value) in headers {
            let is = |other: &str| name.eq_ignore_ascii_case(other);
            if is("upgrade") {
                upgrades |= value.eq_ignore_ascii_case(b"websocket");
            } else if is("connection") {
                connection_upgrades |= has_token(value, b"upgrade");
            } else if is("sec-websocket-accept") {
                if value != expected {
                    return Err(RefusedByServer::Accept);
                }
                accepts += 1;
            } else if is("sec-websocket-extensions") {
                extensions.push(value);
            } else if is("sec-websocket-protocol") {
                let ours = subprotocols.iter().find(|our| our.as_bytes() == value);
                if ours.is_none() || chosen.is_some() {
                    return Err(RefusedByServer::Subprotocol);
                }
                chosen = ours.copied();
            }
        }
        let agreed = check_answer(&extensions, offer).map_err(|()| RefusedByServer::Extension)?;
        match (upgrades && connection_upgrades, accepts) {
            (false, _) => Err(RefusedByServer::NotUpgraded),
            (true, 1) => Ok((chosen, agreed)),
            (true, _) => Err(RefusedByServer::Accept),
        }
    }
}

impl fmt::Display for RefusedByServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RefusedByServer::Status => "the server does not change the protocol",
            RefusedByServer::NotUpgraded => "the server changes to another protocol",
            RefusedByServer::Accept => "the server did not answer our key",
            RefusedByServer::Extension => {
                "the server uses an extension in a way that was not asked for"
            }
            RefusedByServer::Subprotocol => "the server chose a subprotocol that was not offered",
        })
    }
}

impl std::error::Error for RefusedByServer {}
