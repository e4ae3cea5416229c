//! TLS under a connection: what arrives is opened before anybody reads it, what leaves is sealed
//! after everybody has written it.
//!
//! One port takes both: the first byte tells TLS from a method. A listener's records are sealed for
//! it alone, from the window that all share; its cursor counts what was sealed, not what was sent.
//!
//! *Invariant:* a shard takes part in at most `tls.handshakes_per_tick_max` steps of handshakes in
//! a tick, however many want to begin: what waits is bounded for each connection, and by the
//! deadline that every connection without a request has.

use bytes::Bytes;
use protocol_tls::{Session, is_tls};
use shards_runtime::{Context, Gather, Io, Op, Piece, Token};

use crate::connection::{Connection, State};
use crate::message::{EndCause, Message};
use crate::node::Node;

/// The most that a connection may have sent before its turn at shaking hands comes, in bytes.
const WAITING_BYTES_MAX: usize = 32 * 1024;

/// What a connection has to do with TLS.
pub(crate) enum Wire {
    /// Nothing.
    Plain,
    /// Its first byte will tell.
    Unknown,
    /// All of it.
    Tls(Box<Tls>),
}

const _: () = assert!(size_of::<Wire>() <= 16, "a listener without TLS pays for a pointer");

/// The secure half of a connection.
pub(crate) struct Tls {
    session: Session,
    /// Records that go before all others: of the handshake, alerts.
    records: Vec<u8>,
    /// Bytes of the send in flight before they were sealed.
    sending_bytes: usize,
    /// Received and not looked at, because the tick has had its handshakes.
    waiting: Vec<u8>,
}

impl Tls {
    fn new(session: Session) -> Tls {
        Tls { session, records: Vec::new(), sending_bytes: 0, waiting: Vec::new() }
    }

    fn seal(&mut self, pieces: &[Piece], is_last: bool) -> Option<Bytes> {
        let plain_bytes: usize = pieces.iter().map(|piece| piece.as_slice().len()).sum();
        let mut out = std::mem::take(&mut self.records);
        // Some twenty bytes for each record of at most 16 KiB.
        out.reserve(plain_bytes + 64 * (pieces.len() + plain_bytes / 16_384 + 1));
        for piece in pieces {
            self.session.seal(piece.as_slice(), &mut out).ok()?;
        }
        if is_last {
            self.session.close(&mut out);
        }
        self.sending_bytes = plain_bytes;
        Some(Bytes::from(out))
    }
}

impl Connection {
    /// Whether what it says is secret.
    pub(crate) fn is_secure(&self) -> bool {
        matches!(self.wire, Wire::Tls(_))
    }

    /// Whether records wait that no plain bytes stand behind.
    pub(crate) fn has_records(&self) -> bool {
        matches!(&self.wire, Wire::Tls(tls) if !tls.records.is_empty())
    }

    /// What goes to the machine for these pieces; with `is_last` the far end is told that nothing
    /// follows. `None` when the session is at its end.
    pub(crate) fn seal(&mut self, pieces: Gather, is_last: bool) -> Option<Gather> {
        let Wire::Tls(tls) = &mut self.wire else { return Some(pieces) };
        let sealed = tls.seal(&pieces, is_last)?;
        let mut gather = Gather::new();
        gather.push(Piece::Owned(sealed));
        Some(gather)
    }

    /// How many plain bytes the send of so many bytes was.
    pub(crate) fn plain_bytes(&self, bytes: usize) -> usize {
        match &self.wire {
            Wire::Tls(tls) => tls.sending_bytes,
            Wire::Plain | Wire::Unknown => bytes,
        }
    }
}

impl Node {
    /// Bytes of a connection came in, as they were on the wire.
    pub(crate) fn arrived<I: Io>(
        &mut self,
        cx: &mut Context<'_, I, Message>,
        token: Token,
        bytes: &mut [u8],
    ) {
        let Some(connection) = self.connections.get_mut(token) else { return };
        let expects_proxy_header =
            matches!(&connection.state, State::Head(head) if head.expects_proxy_header);
        if matches!(connection.wire, Wire::Unknown) && !expects_proxy_header {
            let config = bytes.first().filter(|first| is_tls(**first));
            connection.wire = match config.and(self.snapshot.tls.as_ref()) {
                Some(config) => Wire::Tls(Box::new(Tls::new(Session::server(config)))),
                None => Wire::Plain,
            };
        }
        match &mut connection.wire {
            Wire::Tls(tls) => {
                let must_wait = tls.session.is_handshaking()
                    && (self.handshakes_left == 0 || !tls.waiting.is_empty());
                if !must_wait {
                    self.open(cx, token, bytes);
                    return;
                }
                if tls.waiting.is_empty() {
                    self.handshakes_waiting.push_back(token);
                    self.counters.tls_handshakes_delayed += 1;
                }
                tls.waiting.extend_from_slice(bytes);
                if tls.waiting.len() > WAITING_BYTES_MAX {
                    self.close(cx, token);
                }
            }
            Wire::Plain | Wire::Unknown => self.received(cx, token, bytes),
        }
    }

    /// Lets those shake hands whose turn it is. At the end of each tick.
    pub(crate) fn shake_hands<I: Io>(&mut self, cx: &mut Context<'_, I, Message>) {
        self.handshakes_left = self.snapshot.config.tls.handshakes_per_tick_max;
        while self.handshakes_left > 0 {
            let Some(token) = self.handshakes_waiting.pop_front() else { return };
            let Some(connection) = self.connections.get_mut(token) else { continue };
            let Wire::Tls(tls) = &mut connection.wire else { continue };
            let mut bytes = std::mem::take(&mut tls.waiting);
            if !connection.is_closing() {
                self.open(cx, token, &mut bytes);
            }
        }
    }

    /// Opens records, answers the handshake, and hands on what they say.
    fn open<I: Io>(&mut self, cx: &mut Context<'_, I, Message>, token: Token, bytes: &mut [u8]) {
        let Some(connection) = self.connections.get_mut(token) else { return };
        let Wire::Tls(tls) = &mut connection.wire else { return };
        let was_handshaking = tls.session.is_handshaking();
        self.handshakes_left -= u32::from(was_handshaking && self.handshakes_left > 0);
        let mut plain = std::mem::take(&mut self.plain);
        let result = tls.session.receive(bytes, &mut plain, &mut tls.records);
        let is_closed = match &result {
            Ok(received) => {
                if received.handshake.is_some() {
                    self.counters.tls_handshakes += 1;
                }
                received.is_closed
            }
            Err(failed) => {
                let peer = connection.peer;
                tracing::debug!(%peer, %failed, "TLS failed");
                self.counters.tls_failures += 1;
                false
            }
        };
        if !plain.is_empty() {
            self.received(cx, token, &plain);
            plain.clear();
        }
        // An answer takes the records with it; there mostly is none to a step of a handshake.
        self.send_records(cx, token);
        // A shard opens one receive at a time: the buffer is as large as the largest of them.
        self.plain = plain;
        if result.is_err() {
            self.give_up(cx, token);
        } else if is_closed {
            self.receive_ended(cx, token, shards_runtime::End::Eof);
        }
    }

    /// The session is broken: its alert, if any, is sent, and that is all.
    fn give_up<I: Io>(&mut self, cx: &mut Context<'_, I, Message>, token: Token) {
        let Some(connection) = self.connections.get_mut(token) else { return };
        match connection.state {
            State::Closing => {}
            State::Source(_) => self.end_source(cx, token, EndCause::Failed),
            _ if connection.sending => {
                self.change_state(cx, token, State::Answering);
                let Some(connection) = self.connections.get_mut(token) else { return };
                connection.output.clear();
                connection.close_after_output = true;
                connection.lingers = connection.receiving;
                connection.deadline = Some(cx.now() + ALERT_TIMEOUT);
                self.arm(cx, token);
            }
            _ => self.close(cx, token),
        }
    }

    /// Ends a connection whose stream is over. Over TLS the far end is told first: without
    /// `close_notify` anybody could have cut it (RFC 8446 §6.1).
    pub(crate) fn stream_over<I: Io>(&mut self, cx: &mut Context<'_, I, Message>, token: Token) {
        let Some(connection) = self.connections.get_mut(token) else { return };
        if !connection.is_secure() || connection.sending {
            return self.close(cx, token);
        }
        self.change_state(cx, token, State::Answering);
        let Some(connection) = self.connections.get_mut(token) else { return };
        let Some(socket) = connection.socket else { return self.close(cx, token) };
        let Some(pieces) = connection.seal(Gather::new(), true) else {
            return self.close(cx, token);
        };
        connection.close_after_output = true;
        connection.deadline = Some(cx.now() + ALERT_TIMEOUT);
        connection.sending = true;
        self.arm(cx, token);
        cx.submit(token, Op::Send(socket, pieces));
    }

    /// Sends records that nothing else waits for.
    fn send_records<I: Io>(&mut self, cx: &mut Context<'_, I, Message>, token: Token) {
        let Some(connection) = self.connections.get_mut(token) else { return };
        let Some(socket) = connection.socket else { return };
        if connection.sending || connection.is_closing() || !connection.has_records() {
            return;
        }
        let Some(pieces) = connection.seal(Gather::new(), false) else { return };
        connection.sending = true;
        cx.submit(token, Op::Send(socket, pieces));
    }
}

/// How long a client may take to be told what was wrong with its records.
const ALERT_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(1);
