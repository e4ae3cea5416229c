//! A connection, a client's or a peer's: what it is, what it has yet to send.

use std::net::SocketAddr;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use protocol_stun::{Frame, Step};
use protocol_tls::{Failed, Session};
use protocol_turn::{Client, ConnectionId, Transport};
use shards_runtime::{Socket, Token};

use crate::slot;

/// Data for a client's stream that may wait; what comes then is dropped, as on a full link.
pub(crate) const DATA_BYTES_MAX: usize = 256 * 1024;

/// Answers may wait beyond it, to here. A client that asks and takes no answer is closed.
pub(crate) const OUTPUT_BYTES_MAX: usize = 2 * DATA_BYTES_MAX;

/// What a stream may have sent before its turn at shaking hands comes.
pub(crate) const WAITING_BYTES_MAX: usize = 32 * 1024;

/// When the other end of a joined pair is no longer read.
pub(crate) const JOINED_BYTES_MAX: usize = 64 * 1024;

/// A connection.
pub(crate) struct Stream {
    /// None while it is being made.
    pub(crate) socket: Option<Socket>,
    /// The far end.
    pub(crate) peer: SocketAddr,
    pub(crate) role: Role,
    /// The beginning of a frame whose rest is still to come.
    pub(crate) pending: Vec<u8>,
    /// What is to be sent.
    pub(crate) output: BytesMut,
    /// What it is sealed with, where it is; and what is sealed, or is said by the session itself.
    pub(crate) tls: Option<Box<Session>>,
    pub(crate) sealed: Vec<u8>,
    /// Whether it may begin with TLS; no more once it has begun.
    pub(crate) may_seal: bool,
    /// Received and not opened, because the tick has had its handshakes.
    pub(crate) waiting: Vec<u8>,
    pub(crate) is_sending: bool,
    pub(crate) receiving: Receiving,
    /// It stands in the list of those with something to do.
    is_dirty: bool,
    /// It is one of the clients' that are counted.
    pub(crate) is_counted: bool,
    /// It is one of the peers' that are counted.
    pub(crate) is_peer_counted: bool,
    /// Close it when all is sent.
    pub(crate) ends_after_output: bool,
    /// Close it now.
    pub(crate) is_lost: bool,
    /// When it last said something.
    pub(crate) alive_at: Instant,
    /// When the send began that is under way, or was the last.
    pub(crate) sending_since: Instant,
    /// Until when nothing is read, for the bandwidth limit's sake.
    pub(crate) held_until: Option<Instant>,
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// A client's, with its messages.
    Client,
    /// A client's, with a peer's data (RFC 6062).
    Data { connection: ConnectionId, peer: Token },
    /// A peer's. The protocol has not said what to do with it while it has no name; nothing is
    /// read before a client's stream is there to take it.
    Peer { connection: Option<ConnectionId>, client: Option<Token> },
    /// Nobody's any more: it takes what is left for it, and is closed.
    Ending,
}

/// Whether bytes are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Receiving {
    No,
    Yes,
    /// The machine was asked to stop.
    Pausing,
}

impl Stream {
    pub(crate) fn new(
        socket: Option<Socket>,
        peer: SocketAddr,
        role: Role,
        now: Instant,
    ) -> Stream {
        Stream {
            socket,
            peer,
            role,
            pending: Vec::new(),
            output: BytesMut::new(),
            tls: None,
            sealed: Vec::new(),
            may_seal: false,
            waiting: Vec::new(),
            is_sending: false,
            receiving: Receiving::No,
            is_dirty: false,
            is_counted: false,
            is_peer_counted: false,
            ends_after_output: false,
            is_lost: false,
            alive_at: now,
            sending_since: now,
            held_until: None,
        }
    }

    /// Who it is to the protocol.
    pub(crate) fn client(&self, token: Token) -> Client {
        Client { address: self.peer, socket: slot::number_of(token), transport: Transport::Stream }
    }

    /// Takes a message or ChannelData to be sent; false where it is data and there is no room.
    pub(crate) fn say(&mut self, bytes: &[u8]) -> bool {
        let filled = self.output.len() + bytes.len();
        if filled > DATA_BYTES_MAX && is_data(bytes) {
            return false;
        }
        if filled > OUTPUT_BYTES_MAX {
            self.is_lost = true;
            return false;
        }
        self.output.extend_from_slice(bytes);
        true
    }

    /// The next bytes for the wire, sealed where it is; none while a handshake holds them back.
    ///
    /// # Errors
    /// Why the session is over.
    pub(crate) fn take_output(&mut self) -> Result<Bytes, Failed> {
        let Some(tls) = &mut self.tls else { return Ok(self.output.split().freeze()) };
        if !self.output.is_empty() && !tls.is_handshaking() {
            // A record for each message: clients are about that take a record for a message.
            let mut rest = &self.output[..];
            while !rest.is_empty() {
                let is_framed = self.role == Role::Client;
                let frame = is_framed.then(|| Frame::decode(rest, usize::MAX));
                let bytes = match frame {
                    Some(Ok(Step::Frame(frame))) => frame.used(),
                    _ => rest.len(),
                };
                tls.seal(&rest[..bytes], &mut self.sealed)?;
                rest = &rest[bytes..];
            }
            self.output.clear();
        }
        Ok(std::mem::take(&mut self.sealed).into())
    }

    /// Enters it in the list of those with something to do when the tick ends.
    pub(crate) fn mark(&mut self, token: Token, dirty: &mut Vec<Token>) {
        if !std::mem::replace(&mut self.is_dirty, true) {
            dirty.push(token);
        }
    }

    pub(crate) fn unmark(&mut self) {
        self.is_dirty = false;
    }
}

/// Whether it is a peer's data, which may be lost, and no answer: ChannelData or a Data indication.
fn is_data(bytes: &[u8]) -> bool {
    matches!(bytes, [0x40..=0x7F, ..] | [0x00, 0x17, ..])
}
