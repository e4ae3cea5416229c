//! WebSocket on a shard: the upgrade of a request, and a connection's bytes after it.
//!
//! ```text
//! GET with Upgrade ─ origin ─ compression ─► 101, State::WebSocket
//! bytes ─► protocol_ws::Connection ─► text ─► signalling
//!                     └─ what is to be sent ─► one send for each connection and tick
//! ```
//!
//! * A message's length is looked at when its ws frame's head is here, before any is collected.
//! * What waits for a client that does not read is bounded; beyond it the client is closed.
//! * A shard sends to at most `limits.sends_per_tick_max` WebSockets in a tick; the rest is due in
//!   the next.
//! * Whoever was sent to a moment ago is sent to again after `symple.gather_us`: a send costs
//!   nearly the same however many messages it carries, and they often come several at once.

use std::time::{Duration, Instant};

use bytes::Bytes;
use protocol_http::Status;
use protocol_symple::Input;
use protocol_ws::{self as ws, CloseCode, Event, Kind, Malformed};
use shards_runtime::{Context, Gather, Io, Op, Piece, Token};

use crate::connection::{Connection, KeepAlive, State};
use crate::message::{ForwardedRequest, Message};
use crate::mutant::mutant;
use crate::node::Node;
use crate::signalling::{LETTERS_WAITING_MAX, key_of};
use crate::whole::Answer;

/// Ws frames that one send carries at most.
const FRAMES_MAX: usize = 256;

/// A connection that speaks WebSocket.
pub(crate) struct WebSocket {
    pub(crate) connection: ws::Connection<Bytes>,
    /// Whether messages to it may be compressed.
    pub(crate) is_compressed: bool,
    /// Whether it stands among those that may have something to send.
    is_queued: bool,
    /// When it was last sent something.
    sent_at: Option<Instant>,
}

/// Whether a request asks for another protocol: then `/` is no page.
pub(crate) fn asks_for_upgrade(headers: &protocol_http::Headers<'_>) -> bool {
    headers.has_token("upgrade", "websocket")
}

impl Node {
    /// A request for WebSocket: it becomes one, or is told why not.
    pub(crate) fn upgrade<I: Io>(
        &mut self,
        cx: &mut Context<'_, I, Message>,
        token: Token,
        request: &ForwardedRequest,
    ) {
        let refusal = match self.accept_websocket(cx.now(), token, request) {
            Ok(lines) => return self.switch_protocols(cx, token, &lines),
            Err(refusal) => refusal,
        };
        self.counters.websockets_refused += 1;
        self.reply(cx, token, &refusal);
    }

    /// Makes the connection a WebSocket; what comes back are the lines of its 101.
    fn accept_websocket(
        &mut self,
        now: Instant,
        token: Token,
        request: &ForwardedRequest,
    ) -> Result<Vec<u8>, Answer> {
        let is_draining = self.drain_until.is_some();
        let Some(signalling) = self.signalling.as_mut() else {
            return Err(Answer::new(Status::NOT_FOUND));
        };
        if is_draining {
            return Err(Answer::new(Status::SERVICE_UNAVAILABLE).with_header("Retry-After", "5"));
        }
        let headers = request.headers.iter().map(|(name, value)| (&**name, value.as_bytes()));
        let refused = |status, reason: &str| {
            Answer::text(Status(status), reason)
                .with_header("Upgrade", "websocket")
                .with_header("Sec-WebSocket-Version", ws::VERSION)
        };
        let upgrade = match ws::Upgrade::parse(headers) {
            Ok(Some(upgrade)) => upgrade,
            Ok(None) => return Err(refused(426, "WebSocket is spoken here")),
            Err(error) => return Err(refused(error.status, error.reason)),
        };
        let origin = request.header("origin").map(str::as_bytes);
        if !signalling.origins.allows(origin, request.header("host").map(str::as_bytes)) {
            let peer = request.peer;
            tracing::info!(%peer, "refused a WebSocket: its page is another site's");
            return Err(Answer::text(Status::FORBIDDEN, "pages of that origin may not"));
        }
        let Some(connection) = self.connections.get_mut(token) else {
            return Err(Answer::new(Status::BAD_REQUEST));
        };
        let is_http11 = connection.record.as_ref().is_some_and(|it| it.protocol == "HTTP/1.1");
        if !is_http11 {
            return Err(refused(426, "WebSocket needs HTTP/1.1"));
        }
        let mut lines = Vec::with_capacity(256);
        upgrade.write_response_lines(None, &mut lines);
        let mut socket = ws::Connection::server(&signalling.settings, now);
        let agreed = signalling
            .deflate
            .and_then(|deflate| upgrade.agree_on_deflate(&deflate, &signalling.contexts));
        if let Some(agreed) = agreed {
            agreed.write_response_line(&mut lines);
            socket = socket.with_deflate(&agreed, &signalling.contexts);
        }
        let is_compressed = agreed.is_some();
        let socket =
            WebSocket { connection: socket, is_compressed, is_queued: false, sent_at: None };
        connection.state = State::WebSocket(Box::new(socket));
        Ok(lines)
    }

    fn switch_protocols<I: Io>(
        &mut self,
        cx: &mut Context<'_, I, Message>,
        token: Token,
        lines: &[u8],
    ) {
        let mut head = Vec::with_capacity(512);
        let version = protocol_http::Version::Http11;
        protocol_http::ResponseWriter::new(&mut head, version, Status::SWITCHING_PROTOCOLS)
            .header("Server", &self.snapshot.config.server.server_id)
            .raw_lines(lines)
            .finish();
        let Some(connection) = self.connections.get_mut(token) else { return };
        connection.keep_alive = KeepAlive::default();
        connection.push(Piece::Owned(Bytes::from(head)));
        if let Some(record) = &mut connection.record {
            record.status = Status::SWITCHING_PROTOCOLS.0;
        }
        self.counters.websocket_connections += 1;
        self.websockets_count += 1;
        self.session_began(cx, token);
        self.websocket_input(cx, token, &[]);
    }

    /// More of a WebSocket has come.
    pub(crate) fn websocket_input<I: Io>(
        &mut self,
        cx: &mut Context<'_, I, Message>,
        token: Token,
        fresh: &[u8],
    ) {
        let now = cx.now();
        let Some(connection) = self.connections.get_mut(token) else { return };
        let mut input = std::mem::take(&mut connection.input);
        input.extend_from_slice(fresh);
        let mut at = 0;
        while self.websocket_step(cx, token, now, &mut input, &mut at) {
            self.carry_out(cx);
        }
        self.carry_out(cx);
        self.queue_websocket(token);
        input.drain(..at);
        let Some(connection) = self.connections.get_mut(token) else { return };
        if matches!(connection.state, State::WebSocket(_)) && !input.is_empty() {
            connection.input = input;
        }
    }

    /// One step through what a WebSocket sent; false when there is no more.
    fn websocket_step<I: Io>(
        &mut self,
        cx: &Context<'_, I, Message>,
        token: Token,
        now: Instant,
        input: &mut [u8],
        at: &mut usize,
    ) -> bool {
        let (Some(connection), Some(signalling)) =
            (self.connections.get_mut(token), self.signalling.as_mut())
        else {
            return false;
        };
        let Connection { state: State::WebSocket(socket), .. } = connection else { return false };
        let key = key_of(token);
        let (used, event) = socket.connection.receive(now, &mut input[*at..]);
        *at += used;
        let input = match event {
            Event::Need if used == 0 => return false,
            Event::Need | Event::Progress => return true,
            Event::Message(Kind::Text, text) => {
                if cx.waiting_count() > LETTERS_WAITING_MAX {
                    self.counters.websockets_overloaded += 1;
                    drop(text);
                    socket.connection.close(now, CloseCode::TRY_AGAIN_LATER, "too much to do");
                    return true;
                }
                let text = str::from_utf8(&text).expect("the connection has checked it");
                signalling.server.handle(now, Input::Text { connection: key, text });
                return true;
            }
            Event::Message(Kind::Binary, payload) => {
                drop(payload);
                socket.connection.close(now, CloseCode::UNSUPPORTED, "text only");
                return true;
            }
            Event::Failed(Malformed::MessageTooLong | Malformed::FrameTooLong) => {
                Input::TooLarge { connection: key }
            }
            Event::Failed(_) | Event::Closed(..) => Input::Disconnected { connection: key },
        };
        signalling.server.handle(now, input);
        true
    }

    /// Notes a WebSocket that has something to send, or nothing any more.
    pub(crate) fn queue_websocket(&mut self, token: Token) {
        let Some(connection) = self.connections.get_mut(token) else { return };
        let has_pieces = !connection.output.is_empty() || connection.has_records();
        let State::WebSocket(socket) = &mut connection.state else { return };
        let is_wanted = has_pieces || socket.connection.has_output() || socket.connection.is_done();
        if is_wanted && !std::mem::replace(&mut socket.is_queued, true) {
            self.websockets_due.push_back(token);
        }
    }

    /// Sends what waits for WebSockets, within the tick's bound. At the end of each tick.
    pub(crate) fn flush_websockets<I: Io>(&mut self, cx: &mut Context<'_, I, Message>) {
        let now = cx.now();
        let mut sends_left = self.snapshot.config.limits.sends_per_tick_max as usize;
        while sends_left > 0
            && let Some((_, token)) = self.websockets_held.pop_front_if(|(at, _)| *at <= now)
        {
            sends_left -= 1;
            self.flush_websocket(cx, token);
        }
        let gather = Duration::from_micros(u64::from(self.snapshot.config.symple.gather_us));
        while sends_left > 0
            && let Some(token) = self.websockets_due.pop_front()
        {
            if self.was_sent_to(token, now, gather) {
                self.websockets_held.push_back((now + gather, token));
                continue;
            }
            sends_left -= 1;
            self.flush_websocket(cx, token);
        }
    }

    /// Whether somebody was sent something so lately that more of it is to be expected.
    fn was_sent_to(&self, token: Token, now: Instant, gather: Duration) -> bool {
        match self.connections.get(token).map(|connection| &connection.state) {
            Some(State::WebSocket(socket)) => socket.sent_at.is_some_and(|at| now < at + gather),
            _ => false,
        }
    }

    fn flush_websocket<I: Io>(&mut self, cx: &mut Context<'_, I, Message>, token: Token) {
        let Some(connection) = self.connections.get_mut(token) else { return };
        let State::WebSocket(socket) = &mut connection.state else { return };
        socket.is_queued = false;
        if connection.sending {
            // It comes again when that is done.
            return;
        }
        let Some(descriptor) = connection.socket else { return };
        let mut pieces = Gather::from_vec(std::mem::take(&mut connection.output));
        if let Some(frames) = poll_frames(&mut socket.connection) {
            pieces.push(Piece::Owned(frames));
        }
        let is_last = socket.connection.is_done();
        if !pieces.is_empty() {
            socket.sent_at = Some(cx.now());
        }
        if pieces.is_empty() && !connection.has_records() {
            if is_last {
                return self.close(cx, token);
            }
        } else {
            let Some(pieces) = connection.seal(pieces, is_last) else {
                return self.close(cx, token);
            };
            connection.sending = true;
            cx.submit(token, Op::Send(descriptor, pieces));
        }
        self.arm_websocket(cx, token);
    }

    /// A WebSocket's timer fired.
    pub(crate) fn websocket_timer<I: Io>(
        &mut self,
        cx: &mut Context<'_, I, Message>,
        token: Token,
    ) {
        let now = cx.now();
        let Some(connection) = self.connections.get_mut(token) else { return };
        let State::WebSocket(socket) = &mut connection.state else { return };
        if mutant!(SilentKept) {
            return;
        }
        socket.connection.handle_time(now);
        // Whoever does not take the last of it is not waited for.
        if socket.connection.is_done() {
            return self.close(cx, token);
        }
        self.queue_websocket(token);
        self.arm_websocket(cx, token);
    }

    fn arm_websocket<I: Io>(&mut self, cx: &mut Context<'_, I, Message>, token: Token) {
        let Some(connection) = self.connections.get_mut(token) else { return };
        let State::WebSocket(socket) = &connection.state else { return };
        connection.deadline = socket.connection.deadline();
        self.arm(cx, token);
    }

    /// A WebSocket is about to be closed.
    pub(crate) fn websocket_ended<I: Io>(
        &mut self,
        cx: &mut Context<'_, I, Message>,
        token: Token,
        socket: &WebSocket,
    ) {
        self.websockets_count -= 1;
        match socket.connection.ended() {
            Some(ws::Ended::Silent) => self.counters.websockets_silent += 1,
            Some(ws::Ended::QueueFull) => self.counters.websockets_slow += 1,
            Some(ws::Ended::Malformed(_)) => self.counters.websockets_malformed += 1,
            Some(ws::Ended::ByPeer(_) | ws::Ended::ByUs(_)) | None => {}
        }
        self.session_ended(cx, token);
    }
}

/// The next frames, as one run of bytes.
fn poll_frames(connection: &mut ws::Connection<Bytes>) -> Option<Bytes> {
    let first = connection.poll()?;
    let Some(second) = connection.poll() else { return Some(first) };
    // Small ones, mostly: a copy costs less than to name each to the kernel.
    let mut frames = Vec::with_capacity(2 * (first.len() + second.len()));
    frames.extend_from_slice(&first);
    frames.extend_from_slice(&second);
    for _ in 2..FRAMES_MAX {
        let Some(next) = connection.poll() else { break };
        if mutant!(FrameForgotten) && !connection.has_output() {
            break;
        }
        frames.extend_from_slice(&next);
    }
    Some(Bytes::from(frames))
}
