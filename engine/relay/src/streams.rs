//! Connections: accepted, cut into frames, sent on, closed.
//!
//! *Invariant:* a stream has one send in flight at most; what is said meanwhile waits in its
//! output, which is bounded. A tick has at most `handshakes_per_tick_max` steps of TLS handshakes;
//! what waits for its turn is bounded for each stream.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use protocol_stun::{Frame, Step};
use protocol_tls::Session;
use protocol_turn::Input;
use shards_runtime::{Context, End, Io, Op, Piece, Socket, Token};
use smallvec::smallvec;

use crate::datagrams::Carrier;
use crate::relay::Relay;
use crate::slot::{Slot, outer};
use crate::stream::{Receiving, Role, Stream, WAITING_BYTES_MAX};

/// The longest message or ChannelData of a stream, bytes.
const FRAME_BYTES_MAX: usize = 20 + 65_536;

/// How long a client's stream without an allocation may say nothing.
const IDLE: Duration = Duration::from_secs(60);

/// How long a stream may take nothing of what waits for it.
const STALL: Duration = Duration::from_secs(30);

/// How often a stream is looked at.
const CHECK_EVERY: Duration = Duration::from_secs(10);

impl Relay {
    /// A client connected, or a peer to a relayed address.
    pub(crate) fn accepted<I: Io, M: Send>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        acceptor: Token,
        socket: Socket,
        peer: SocketAddr,
    ) {
        let now = cx.now();
        let relayed = match self.slots.get(acceptor) {
            Some(Slot::Relayed(relayed)) => relayed.allocation,
            _ => None,
        };
        let (is_client, is_tls) = match self.slots.get(acceptor) {
            Some(Slot::Acceptor { is_tls, .. }) => (true, *is_tls),
            _ => (false, false),
        };
        let role =
            if is_client { Role::Client } else { Role::Peer { connection: None, client: None } };
        let stream = Stream::new(Some(socket), peer, role, now);
        let token = self.insert(Slot::Stream(Box::new(stream)));
        if let Some(allocation) = relayed {
            if !self.count_peer(token) {
                self.tally.streams_refused += 1;
                return self.close(cx, token);
            }
            cx.arm(now + CHECK_EVERY, outer(token));
            let handle = crate::slot::number_of(token);
            return self.tell(cx, Input::PeerConnected { allocation, peer, handle });
        }
        if !is_client || self.tally.stream_count >= self.settings.stream_count_max {
            self.tally.streams_refused += 1;
            return self.close(cx, token);
        }
        self.tally.stream_count += 1;
        if let Some(Slot::Stream(stream)) = self.slots.get_mut(token) {
            stream.is_counted = true;
            stream.may_seal = true;
            if is_tls && let Some(config) = &self.settings.tls {
                stream.tls = Some(Box::new(Session::server(config)));
            }
        }
        cx.arm(now + CHECK_EVERY, outer(token));
        self.receive(cx, token);
    }

    /// Counts a connection with a peer; false where there are as many as there may be.
    pub(crate) fn count_peer(&mut self, token: Token) -> bool {
        let Some(Slot::Stream(stream)) = self.slots.get_mut(token) else { return false };
        let has_room = self.tally.peer_stream_count < self.settings.stream_count_max;
        self.tally.peer_stream_count += usize::from(has_room);
        stream.is_peer_counted = has_room;
        has_room
    }

    /// Bytes of a stream came in.
    pub(crate) fn received<I: Io, M: Send>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        token: Token,
        bytes: &mut [u8],
    ) {
        let Some(Slot::Stream(stream)) = self.slots.get_mut(token) else { return };
        if std::mem::take(&mut stream.may_seal)
            && bytes.first().is_some_and(|first| protocol_tls::is_tls(*first))
            && let Some(config) = &self.settings.tls
        {
            stream.tls = Some(Box::new(Session::server(config)));
        }
        let Some(tls) = &mut stream.tls else { return self.received_plain(cx, token, bytes) };
        let has_turn = self.handshakes_left > 0 && stream.waiting.is_empty();
        if !tls.is_handshaking() || has_turn {
            return self.open_records(cx, token, bytes);
        }
        if stream.waiting.is_empty() {
            self.handshakes_waiting.push_back(token);
            self.tally.handshakes_delayed += 1;
        }
        stream.waiting.extend_from_slice(bytes);
        if stream.waiting.len() > WAITING_BYTES_MAX {
            stream.is_lost = true;
            self.lose(cx, token);
        }
    }

    /// Lets those shake hands whose turn it is.
    pub(crate) fn shake_hands<I: Io, M: Send>(&mut self, cx: &mut Context<'_, I, M>) {
        self.handshakes_left = self.settings.handshakes_per_tick_max;
        while self.handshakes_left > 0 {
            let Some(token) = self.handshakes_waiting.pop_front() else { return };
            // Closed meanwhile, or another's slot.
            let Some(Slot::Stream(stream)) = self.slots.get_mut(token) else { continue };
            let mut bytes = std::mem::take(&mut stream.waiting);
            self.open_records(cx, token, &mut bytes);
        }
    }

    /// Opens records, answers the handshake, and hands on what they say.
    fn open_records<I: Io, M: Send>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        token: Token,
        bytes: &mut [u8],
    ) {
        let Some(Slot::Stream(stream)) = self.slots.get_mut(token) else { return };
        let Some(tls) = &mut stream.tls else { return };
        if tls.is_handshaking() {
            self.handshakes_left = self.handshakes_left.saturating_sub(1);
        }
        let mut plaintext = Vec::new();
        let received = tls.receive(bytes, &mut plaintext, &mut stream.sealed);
        if !stream.sealed.is_empty() {
            stream.mark(token, &mut self.dirty);
        }
        self.tally.tls_failures += u64::from(received.is_err());
        let is_over = received.is_err() || received.is_ok_and(|received| received.is_closed);
        if !plaintext.is_empty() {
            self.received_plain(cx, token, &plaintext);
        }
        if is_over && let Some(Slot::Stream(stream)) = self.slots.get_mut(token) {
            // What it is to be told, an alert, is sent before it is closed.
            stream.ends_after_output = true;
            stream.mark(token, &mut self.dirty);
        }
    }

    /// What a stream says, in the clear.
    fn received_plain<I: Io, M: Send>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        token: Token,
        bytes: &[u8],
    ) {
        let Some(Slot::Stream(stream)) = self.slots.get_mut(token) else { return };
        match stream.role {
            Role::Client => {
                let mut input = std::mem::take(&mut stream.pending);
                if input.is_empty() {
                    self.frames(cx, token, bytes);
                } else {
                    input.extend_from_slice(bytes);
                    self.frames(cx, token, &input);
                }
            }
            Role::Data { connection, peer } => {
                self.splice(cx, connection, (token, peer), bytes);
            }
            Role::Peer { connection: Some(connection), client: Some(client) } => {
                self.splice(cx, connection, (token, client), bytes);
            }
            Role::Peer { .. } | Role::Ending => {}
        }
    }

    /// Hands the protocol each frame that is whole, and keeps the rest.
    fn frames<I: Io, M: Send>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        token: Token,
        mut input: &[u8],
    ) {
        loop {
            let Some(Slot::Stream(stream)) = self.slots.get_mut(token) else { return };
            if let Role::Data { connection, peer } = stream.role {
                // Joined by the frame before: what follows is the peer's.
                return match input {
                    [] => {}
                    bytes => self.splice(cx, connection, (token, peer), bytes),
                };
            }
            let frame = match Frame::decode(input, FRAME_BYTES_MAX) {
                Ok(Step::Frame(frame)) => frame,
                Ok(Step::Need(_)) => {
                    stream.pending = input.to_vec();
                    return;
                }
                // Lost: where the next frame begins is not known any more.
                Err(_) => {
                    stream.is_lost = true;
                    return self.lose(cx, token);
                }
            };
            stream.alive_at = cx.now();
            let client = stream.client(token);
            let bytes = &input[frame.range()];
            self.tally.packets_in_tick += 1;
            self.turn.handle(cx.now(), Input::FromClient { client, bytes });
            self.pump(cx, Carrier::Bytes(bytes));
            // The padding of what was the last need not have come.
            input = input.get(frame.used()..).unwrap_or_default();
        }
    }

    pub(crate) fn receive_ended<I: Io, M: Send>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        token: Token,
        end: &End,
    ) {
        let Some(Slot::Stream(stream)) = self.slots.get_mut(token) else { return };
        stream.receiving = Receiving::No;
        match end {
            End::Paused => self.resume(cx, token),
            End::Eof | End::Failed(_) => self.lose(cx, token),
        }
    }

    /// A send is done.
    pub(crate) fn sent<I: Io, M: Send>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        token: Token,
        is_sent: bool,
    ) {
        let Some(Slot::Stream(stream)) = self.slots.get_mut(token) else {
            return self.datagram_sent(token, is_sent);
        };
        stream.is_sending = false;
        if !is_sent {
            return self.lose(cx, token);
        }
        let other = match stream.role {
            Role::Data { peer, .. } => Some(peer),
            Role::Peer { client, .. } => client,
            Role::Client | Role::Ending => None,
        };
        self.flush(cx, token);
        if let Some(other) = other {
            self.resume(cx, other);
        }
    }

    /// Sends what streams were given in this tick, and closes those that cannot go on.
    pub(crate) fn flush_streams<I: Io, M: Send>(&mut self, cx: &mut Context<'_, I, M>) {
        let mut dirty = std::mem::take(&mut self.dirty);
        for token in dirty.drain(..) {
            self.flush(cx, token);
        }
        // What was marked meanwhile comes behind; the list keeps its memory.
        dirty.append(&mut self.dirty);
        self.dirty = dirty;
    }

    fn flush<I: Io, M: Send>(&mut self, cx: &mut Context<'_, I, M>, token: Token) {
        let Some(Slot::Stream(stream)) = self.slots.get_mut(token) else { return };
        stream.unmark();
        let Some(socket) = stream.socket else { return };
        if stream.is_lost {
            return self.lose(cx, token);
        }
        if stream.is_sending {
            return;
        }
        let Ok(bytes) = stream.take_output() else { return self.lose(cx, token) };
        if bytes.is_empty() {
            if stream.ends_after_output {
                self.lose(cx, token);
            }
            return;
        }
        stream.is_sending = true;
        stream.sending_since = cx.now();
        cx.submit(outer(token), Op::Send(socket, smallvec![Piece::Owned(bytes)]));
    }

    /// Asks for bytes, unless they are asked for.
    pub(crate) fn receive<I: Io, M: Send>(&mut self, cx: &mut Context<'_, I, M>, token: Token) {
        let Some(Slot::Stream(stream)) = self.slots.get_mut(token) else { return };
        let Some(socket) = stream.socket.filter(|_| stream.receiving == Receiving::No) else {
            return;
        };
        stream.receiving = Receiving::Yes;
        cx.submit(outer(token), Op::Recv(socket));
    }

    /// A stream is looked at now and then: for who is silent, who takes nothing, who was held.
    pub(crate) fn check_stream<I: Io, M: Send>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        token: Token,
    ) {
        let now = cx.now();
        let Some(Slot::Stream(stream)) = self.slots.get_mut(token) else { return };
        let silent = now.saturating_duration_since(stream.alive_at);
        let sending = now.saturating_duration_since(stream.sending_since);
        let waits = stream.is_sending && sending >= STALL;
        let is_idle = stream.role == Role::Client && silent >= IDLE;
        let client = stream.client(token);
        if waits || is_idle && !self.turn.has_allocation(&client) {
            stream.is_lost = waits;
            return self.lose(cx, token);
        }
        let held = stream.held_until.filter(|until| *until <= now);
        if held.is_some() {
            stream.held_until = None;
            self.resume(cx, token);
        }
        let again = self.check_again_at(token, now);
        cx.arm(again, outer(token));
    }

    fn check_again_at(&self, token: Token, now: Instant) -> Instant {
        let usual = now + CHECK_EVERY;
        match self.slots.get(token) {
            Some(Slot::Stream(stream)) => stream.held_until.map_or(usual, |at| at.min(usual)),
            _ => usual,
        }
    }

    /// A stream is over: whoever needs to know is told, and it is closed.
    pub(crate) fn lose<I: Io, M: Send>(&mut self, cx: &mut Context<'_, I, M>, token: Token) {
        let Some(Slot::Stream(stream)) = self.slots.get(token) else { return };
        let (role, client) = (stream.role, stream.client(token));
        self.close(cx, token);
        match role {
            Role::Ending => {}
            Role::Client => self.tell(cx, Input::Closed { client }),
            Role::Data { peer, .. } => {
                self.finish(cx, peer);
                self.tell(cx, Input::Closed { client });
            }
            Role::Peer { connection, client } => {
                if let Some(client) = client {
                    self.finish(cx, client);
                }
                if let Some(connection) = connection {
                    self.connections.remove(&connection);
                    self.tell(cx, Input::PeerClosed { connection });
                }
            }
        }
    }

    /// Closes whatever a slot holds; the slot is free when the machine says so.
    pub(crate) fn close<I: Io, M: Send>(&mut self, cx: &mut Context<'_, I, M>, token: Token) {
        let Some(slot) = self.slots.get_mut(token) else { return };
        let (socket, port) = match slot {
            Slot::Clients(socket) | Slot::Acceptor { socket, .. } => (Some(*socket), None),
            Slot::Relayed(relayed) => (Some(relayed.socket), Some(relayed.port)),
            Slot::Stream(stream) => {
                self.tally.stream_count -= usize::from(stream.is_counted);
                self.tally.peer_stream_count -= usize::from(stream.is_peer_counted);
                self.tally.streams_closed += u64::from(stream.is_lost);
                (stream.socket, None)
            }
            Slot::Closing(_) => return,
        };
        *slot = Slot::Closing(port);
        match socket {
            Some(socket) => cx.submit(outer(token), Op::Close(socket)),
            None => cx.submit(outer(token), Op::CancelConnect),
        }
    }
}
