//! What every connection does whatever it is: receive, send, time out, close, be logged.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use protocol_http::RequestDecoder;
use protocol_icy::{AccessLine, V1Decoder, access_line};
use shards_runtime::{Context, End, Gather, Io, Op, Piece, Socket, Token};

use crate::connection::{Asking, Connection, Head, Record, State, V1};
use crate::message::{EndCause, Message, Question};
use crate::mutant::mutant;
use crate::node::Node;
use crate::tls::Wire;

/// How long control may take to answer, and a refused client to take its answer.
const ASK_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a refused client that is still sending may take to read its answer and close.
const LINGER: Duration = Duration::from_secs(1);
/// How long a client may take to receive a complete answer.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

impl Node {
    /// A connection came in.
    pub(crate) fn accepted<I: Io>(
        &mut self,
        cx: &mut Context<'_, I, Message>,
        acceptor: usize,
        socket: Socket,
        peer: SocketAddr,
    ) {
        self.counters.connections += 1;
        let now = cx.now();
        let limits = &self.snapshot.config.limits;
        let (settings, _) = &self.acceptors[acceptor];
        let state = match &settings.v1_mount {
            Some(mount) => State::V1(Box::new(V1 {
                decoder: V1Decoder::new(limits.head_bytes_max),
                mount: mount.clone(),
            })),
            None => State::Head(Box::new(Head {
                decoder: RequestDecoder::new(self.http_limits()),
                expects_proxy_header: settings.proxy_protocol,
            })),
        };
        let header_timeout = Duration::from_millis(limits.header_timeout_ms);
        let mut connection = Connection::new(peer, now, state);
        connection.socket = Some(socket);
        if settings.tls && self.snapshot.tls.is_some() {
            connection.wire = Wire::Unknown;
            connection.redirects = settings.https_redirect;
        }
        let trusted = &self.snapshot.config.server.trusted_proxies;
        let is_proxy = trusted.iter().any(|network| network.contains(peer.ip()));
        let is_crowd = !is_proxy && !self.addresses.connect(peer.ip(), now);
        connection.counted = (!is_proxy && !is_crowd).then_some(peer.ip());
        connection.deadline = Some(now + header_timeout);
        let Some(token) = self.seat(connection) else {
            // No slot: this can only be when the table of connections is smaller than the
            // machine's table of sockets.
            self.counters.connections_refused += 1;
            if !is_proxy && !is_crowd {
                self.addresses.disconnect(peer.ip(), now);
            }
            let nobody = self.nobody();
            cx.submit(nobody, Op::Close(socket));
            return;
        };
        self.receive(cx, token);
        self.arm(cx, token);
        if is_crowd {
            self.counters.address_connections_refused += 1;
        }
        if is_crowd || self.is_full() {
            self.counters.connections_refused += 1;
            let answer = self.answers(cx).server_full();
            self.refuse(cx, token, 403, answer);
        }
    }

    /// Bytes of a connection came in.
    pub(crate) fn received<I: Io>(
        &mut self,
        cx: &mut Context<'_, I, Message>,
        token: Token,
        bytes: &[u8],
    ) {
        let Some(connection) = self.connections.get_mut(token) else { return };
        match &mut connection.state {
            State::Source(_) => self.source_bytes(cx, token, bytes),
            State::Head(head) if !head.expects_proxy_header => self.head_input(cx, token, bytes),
            State::WebSocket(_) => self.websocket_input(cx, token, bytes),
            State::Head(_) | State::V1(_) | State::Body(_) | State::Pull(_) => {
                connection.input.extend_from_slice(bytes);
                self.input_grew(cx, token);
            }
            State::Asking(Asking::Claim(_)) => {
                connection.input.extend_from_slice(bytes);
                if connection.input.len() >= crate::source::CLAIM_INPUT_BYTES_MAX {
                    let socket = connection.socket.expect("it received");
                    cx.submit(token, Op::Pause(socket));
                }
            }
            // What comes behind a request waits for its answer, within a bound.
            State::Asking(Asking::Answer) | State::Answering | State::File(_)
                if connection.keep_alive.is_wanted && !connection.close_after_output =>
            {
                connection.input.extend_from_slice(bytes);
                let input_bytes_max = self.snapshot.config.limits.head_bytes_max * 2;
                if connection.input.len() > input_bytes_max {
                    connection.keep_alive.is_wanted = false;
                    connection.close_after_output = connection.keep_alive.is_granted;
                    connection.input = Vec::new();
                }
            }
            // Whoever listens, or waits for an answer, has nothing to say that matters.
            State::Asking(_)
            | State::Parked(_)
            | State::Answering
            | State::File(_)
            | State::Subscriber(_)
            | State::Listener(_)
            | State::Closing => {}
        }
    }

    /// Receiving stopped.
    pub(crate) fn receive_ended<I: Io>(
        &mut self,
        cx: &mut Context<'_, I, Message>,
        token: Token,
        end: End,
    ) {
        let Some(connection) = self.connections.get_mut(token) else { return };
        connection.receiving = false;
        let failed = match end {
            End::Paused => {
                if matches!(connection.state, State::Source(_)) {
                    self.receive(cx, token);
                }
                return;
            }
            End::Eof => false,
            End::Failed(_) => true,
        };
        match connection.state {
            State::Source(_) => {
                let cause = if failed { EndCause::Failed } else { EndCause::Closed };
                self.end_source(cx, token, cause);
            }
            // A client may close its direction after asking, and still wants the answer.
            State::Asking(Asking::Answer) | State::File(_) if !failed => {}
            State::Answering
                if !failed && (connection.sending || !connection.output.is_empty()) =>
            {
                connection.lingers = false;
            }
            State::Pull(_) => self.pull_failed(cx, token, "upstream closed the connection"),
            _ => self.close(cx, token),
        }
    }

    /// A send is done.
    pub(crate) fn sent<I: Io>(
        &mut self,
        cx: &mut Context<'_, I, Message>,
        token: Token,
        result: io::Result<usize>,
    ) {
        let Some(connection) = self.connections.get_mut(token) else { return };
        connection.sending = false;
        if connection.is_closing() {
            return;
        }
        let Ok(bytes) = result else {
            match connection.state {
                State::Source(_) => self.end_source(cx, token, EndCause::Failed),
                _ => self.close(cx, token),
            }
            return;
        };
        let bytes = connection.plain_bytes(bytes);
        connection.bytes_sent += bytes as u64;
        match connection.state {
            State::Listener(_) => return self.listener_sent(token, bytes),
            State::WebSocket(_) => return self.queue_websocket(token),
            State::Subscriber(_) => return self.subscriber_sent(cx, token),
            State::File(_) => return self.file_goes_on(cx, token),
            _ => {}
        }
        self.send_output(cx, token);
    }

    /// Sends what waits in `output`, or closes when that was all.
    pub(crate) fn send_output<I: Io>(&mut self, cx: &mut Context<'_, I, Message>, token: Token) {
        let Some(connection) = self.connections.get_mut(token) else { return };
        let Some(socket) = connection.socket else { return };
        if connection.sending || connection.is_closing() {
            return;
        }
        if connection.output.is_empty() && !connection.has_records() {
            if matches!(connection.state, State::Subscriber(_)) {
                return;
            }
            if connection.keep_alive.is_granted && !connection.close_after_output {
                self.next_request(cx, token);
            } else if std::mem::take(&mut connection.lingers) {
                connection.deadline = Some(cx.now() + LINGER);
                self.arm(cx, token);
            } else if connection.close_after_output {
                self.close(cx, token);
            }
            return;
        }
        let pieces = Gather::from_vec(std::mem::take(&mut connection.output));
        let is_last = connection.close_after_output;
        let Some(pieces) = connection.seal(pieces, is_last) else {
            return self.close(cx, token);
        };
        connection.sending = true;
        cx.submit(token, Op::Send(socket, pieces));
    }

    /// Sends bytes on a connection that goes on.
    pub(crate) fn answer_bytes<I: Io>(
        &mut self,
        cx: &mut Context<'_, I, Message>,
        token: Token,
        bytes: Bytes,
    ) {
        let Some(connection) = self.connections.get_mut(token) else { return };
        connection.push(Piece::Owned(bytes));
        self.send_output(cx, token);
    }

    /// Answers with these bytes, head included, and closes.
    pub(crate) fn refuse<I: Io>(
        &mut self,
        cx: &mut Context<'_, I, Message>,
        token: Token,
        status: u16,
        answer: impl Into<Bytes>,
    ) {
        let Some(connection) = self.connections.get_mut(token) else { return };
        if connection.is_closing() {
            return;
        }
        if connection.is_inner {
            // Nobody reads the answer.
            return self.close(cx, token);
        }
        self.change_state(cx, token, State::Answering);
        let Some(connection) = self.connections.get_mut(token) else { return };
        connection.input = Vec::new();
        connection.deadline = Some(cx.now() + ANSWER_TIMEOUT);
        connection.close_after_output = true;
        (connection.keep_alive.is_wanted, connection.keep_alive.is_granted) = (false, false);
        let may_send = !connection.keep_alive.has_whole_body && sends_a_body(&connection.record);
        connection.lingers = connection.receiving && may_send;
        if let Some(record) = &mut connection.record {
            record.status = status;
        }
        connection.push(Piece::Owned(answer.into()));
        self.arm(cx, token);
        self.send_output(cx, token);
    }

    /// Asks control; the connection is parked until the verdict or the deadline.
    pub(crate) fn ask<I: Io>(
        &mut self,
        cx: &mut Context<'_, I, Message>,
        token: Token,
        question: Question,
        asking: Asking,
    ) {
        if self.park_asking(cx, token, asking) {
            let question = Box::new(question);
            cx.send_surely(cx.control(), Message::Ask { ask: token, question });
        }
    }

    /// Parks a connection until it is answered or the deadline comes; false, and it is refused,
    /// where too many are.
    pub(crate) fn park_asking<I: Io>(
        &mut self,
        cx: &mut Context<'_, I, Message>,
        token: Token,
        asking: Asking,
    ) -> bool {
        if self.asks_in_flight >= self.snapshot.config.limits.asks_in_flight_max as usize {
            let answer = self.answers(cx).busy();
            self.refuse(cx, token, 503, answer);
            return false;
        }
        self.asks_in_flight += 1;
        self.change_state(cx, token, State::Asking(asking));
        let Some(connection) = self.connections.get_mut(token) else { return false };
        connection.deadline = Some(cx.now() + ASK_TIMEOUT);
        self.arm(cx, token);
        true
    }

    /// Asks the machine to receive, unless it does.
    pub(crate) fn receive<I: Io>(&mut self, cx: &mut Context<'_, I, Message>, token: Token) {
        let Some(connection) = self.connections.get_mut(token) else { return };
        let Some(socket) = connection.socket else { return };
        if !connection.receiving && !connection.is_closing() {
            connection.receiving = true;
            cx.submit(token, Op::Recv(socket));
        }
    }

    /// Gives a connection a slot, and what the timer has for that. `None`: there is none left.
    pub(crate) fn seat(&mut self, connection: Connection) -> Option<Token> {
        let token = self.connections.insert(connection).ok()?;
        if let Some(connection) = self.connections.get_mut(token) {
            connection.armed_at = self.timers.inherit(token);
        }
        Some(token)
    }

    /// A connection is over: its slot is free.
    pub(crate) fn unseat(&mut self, token: Token) -> Option<Connection> {
        let connection = self.connections.remove(token)?;
        self.timers.leave(token, connection.armed_at);
        Some(connection)
    }

    /// Arms the timer for a connection's deadline, unless an entry fires before it anyway.
    pub(crate) fn arm<I: Io>(&mut self, cx: &mut Context<'_, I, Message>, token: Token) {
        let Some(connection) = self.connections.get_mut(token) else { return };
        let Some(deadline) = connection.deadline else { return };
        if connection.armed_at.is_none_or(|at| deadline < at) {
            connection.armed_at = Some(deadline);
            cx.arm(deadline, token);
        }
    }

    /// A timer entry fired.
    pub(crate) fn timer<I: Io>(&mut self, cx: &mut Context<'_, I, Message>, token: Token) {
        let Some(connection) = self.connections.get_mut(token) else { return };
        // It may be an entry that was overtaken by an earlier one; then the other still comes.
        connection.armed_at = connection.armed_at.filter(|at| cx.now() < *at);
        if let State::WebSocket(_) = connection.state {
            return self.websocket_timer(cx, token);
        }
        let Some(deadline) = connection.deadline else { return };
        if cx.now() < deadline {
            self.arm(cx, token);
            return;
        }
        connection.deadline = None;
        match &connection.state {
            State::Head(_) | State::V1(_) | State::Body(_) => {
                // Whoever is in the middle of a body has said its head.
                let is_in_body = matches!(connection.state, State::Body(_));
                if !is_in_body && connection.input.is_empty() {
                    self.counters.idle_closed += 1;
                    return self.close(cx, token);
                }
                let counters = &mut self.counters;
                *(if is_in_body { &mut counters.slow_bodies } else { &mut counters.slow_heads }) +=
                    1;
                let answer = self.answers(cx).request_timeout();
                self.refuse(cx, token, 408, answer);
            }
            State::Asking(_) => {
                self.counters.ask_timeouts += 1;
                let answer = self.answers(cx).busy();
                self.refuse(cx, token, 503, answer);
            }
            State::Parked(_) => {
                let answer = self.answers(cx).not_found();
                self.refuse(cx, token, 404, answer);
            }
            State::Source(source) => {
                tracing::warn!(session = source.session.0, "source sent nothing in time");
                self.end_source(cx, token, EndCause::TimedOut);
            }
            State::Listener(_) => {
                self.counters.listeners_expired += 1;
                self.close(cx, token);
            }
            State::Pull(_) => self.pull_failed(cx, token, "no answer in time"),
            State::Subscriber(_) => self.subscriber_timer(cx, token),
            State::Answering | State::File(_) => {
                // One that lingers has been sent everything.
                self.counters.slow_readers += u64::from(connection.sending);
                self.close(cx, token);
            }
            State::WebSocket(_) => unreachable!("it has a timer of its own"),
            State::Closing => {}
        }
    }

    /// Ends a connection: its role, its log line, its socket. The slot stays until `Closed`.
    pub(crate) fn close<I: Io>(&mut self, cx: &mut Context<'_, I, Message>, token: Token) {
        let Some(connection) = self.connections.get_mut(token) else { return };
        match connection.state {
            State::Closing => return,
            // Its end tells control and comes back here.
            State::Source(_) => return self.end_source(cx, token, EndCause::Killed),
            _ => {}
        }
        self.change_state(cx, token, State::Closing);
        let Some(connection) = self.connections.get_mut(token) else { return };
        connection.deadline = None;
        connection.input = Vec::new();
        connection.output.clear();
        let (socket, is_inner) = (connection.socket, connection.is_inner);
        self.write_log(cx, token);
        match socket {
            None if is_inner => {
                drop(self.unseat(token));
                self.inner_closed(cx, token);
            }
            Some(socket) => cx.submit(token, Op::Close(socket)),
            None => cx.submit(token, Op::CancelConnect),
        }
    }

    /// Puts a connection into another state, and undoes what the old one held elsewhere.
    pub(crate) fn change_state<I: Io>(
        &mut self,
        cx: &mut Context<'_, I, Message>,
        token: Token,
        state: State,
    ) {
        let Some(connection) = self.connections.get_mut(token) else { return };
        match std::mem::replace(&mut connection.state, state) {
            State::Listener(listener) => self.end_listener(cx, &listener),
            State::Asking(asking) => {
                self.asks_in_flight -= usize::from(!mutant!(AskNeverOver));
                if let Asking::Claim(offer) = asking
                    && let Some(order) = offer.pull_order
                {
                    self.abandon_pull(cx, token, &offer.mount, order);
                }
            }
            State::Parked(parked) => self.unpark(cx, token, &parked),
            State::Pull(pull) => self.end_pull(token, &pull),
            State::Subscriber(_) => self.subscriber_left(token),
            State::WebSocket(socket) => self.websocket_ended(cx, token, &socket),
            State::Source(_) => unreachable!("a source ends by end_source"),
            State::Head(_) | State::V1(_) | State::Body(_) => {}
            State::Answering | State::File(_) | State::Closing => {}
        }
    }

    /// A socket is gone: its slot is free.
    pub(crate) fn closed<I: Io>(&mut self, cx: &mut Context<'_, I, Message>, token: Token) {
        if let Some(connection) = self.unseat(token) {
            assert!(connection.is_closing(), "only what was closed is gone");
            if let Some(address) = connection.counted {
                self.addresses.disconnect(address, cx.now());
            }
        }
    }

    pub(crate) fn write_log<I: Io>(&mut self, cx: &mut Context<'_, I, Message>, token: Token) {
        let Some(connection) = self.connections.get_mut(token) else { return };
        let Some(record) = connection.record.take() else { return };
        let Some(log) = &mut self.log else { return };
        let Record { method, path, protocol, referer, agent, status, .. } = *record;
        let line = access_line(&AccessLine {
            peer: connection.peer.ip(),
            // No request of a listener has a user yet; Icecast writes none for sources either.
            user: None,
            unix_seconds: cx.wall_clock().as_secs(),
            method: &method,
            path: &path,
            protocol,
            status,
            bytes: connection.bytes_sent,
            referer: referer.as_deref(),
            agent: agent.as_deref(),
            duration_s: (cx.now() - connection.since).as_secs(),
        });
        if !log.append(line) {
            self.counters.log_lines_dropped += 1;
        }
    }

    /// A token for an operation whose completion interests nobody; each is another, as the machine
    /// demands of sockets.
    fn nobody(&mut self) -> Token {
        self.nobodies = self.nobodies.wrapping_add(1);
        Token { slot: u32::MAX, generation: self.nobodies }
    }
}

/// Whether more of a request than its head may be on its way: a source's stream, a body, or what
/// was too broken to tell.
fn sends_a_body(record: &Option<Box<Record>>) -> bool {
    record
        .as_ref()
        .is_none_or(|record| matches!(&*record.method, "PUT" | "POST" | "PATCH" | "SOURCE"))
}
