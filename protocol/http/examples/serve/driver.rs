//! The service that each shard runs: what the machine under it reports goes to the connection that
//! it is about, and what the connection wants is asked of the machine.
//!
//! *Invariant:* a connection's slot is free when the machine has said `Closed`, and not before.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use protocol_http::Refused;
use protocol_http::server::{
    Action, Addresses, Connection, Event, Expired, Part, ReceiveEnd, Server as Http,
};
use protocol_tls::ServerConfig;
use shards_runtime::{
    Completion, Context, End, Gather, Io, Op, Piece, SendBuffers, Service, ShardId, Slab, Socket,
    Token,
};
use shards_storage::FileEvent;

use super::disk::{Desk, Disk};
use super::limits;
use super::site::{Block, Site, Visit};
use super::wire::{Opened, Wire};

/// The acceptor's own token; no connection has that slot.
const ACCEPTOR: Token = Token { slot: u32::MAX, generation: 0 };

/// What every event comes with. The shards have nothing to say to each other.
type Cx<'c, I> = Context<'c, I, Infallible>;

/// One shard's server.
pub struct Server {
    acceptor: Socket,
    slots: Slab<Slot>,
    connections_max: usize,
    addresses: Addresses,
    http: Http<Block>,
    buffers: SendBuffers,
    site: Site,
    disk: Option<Disk>,
    /// The storage thread had more to say than one tick takes.
    has_more_files: bool,
    tls: Option<Arc<ServerConfig>>,
    /// Steps of handshakes that this tick still takes part in, and who waits for the next.
    handshakes_left: u32,
    handshakes_waiting: VecDeque<Token>,
    /// What records say; empty between two events.
    plain: Vec<u8>,
    started: Instant,
}

/// What a connection is while it waits for its next event. It holds no buffer while it is idle.
struct Slot {
    socket: Socket,
    peer: IpAddr,
    /// Whether it counts among its address's.
    is_counted: bool,
    http: Connection,
    wire: Wire,
    visit: Visit,
    /// When the timer's entry fires; an earlier deadline needs another entry.
    armed: Option<Instant>,
}

const _: () = assert!(size_of::<Slot>() <= 400, "an idle connection is small");

impl Server {
    /// A server for what this listening socket accepts.
    pub fn new(
        acceptor: Socket,
        connections_max: usize,
        disk: Option<Disk>,
        tls: Option<Arc<ServerConfig>>,
        started: Instant,
    ) -> Server {
        let buffers = SendBuffers::new();
        Server {
            acceptor,
            // Each socket needs a token until it has closed, also one beyond the limits; how many
            // there can be is the machine's own bound.
            slots: Slab::new(u32::MAX as usize),
            connections_max,
            addresses: Addresses::new(limits::addresses()),
            http: Http::new("serve", limits::settings()),
            buffers,
            site: Site::new(),
            disk,
            has_more_files: false,
            tls,
            handshakes_left: limits::HANDSHAKES_PER_TICK_MAX,
            handshakes_waiting: VecDeque::new(),
            plain: Vec::new(),
            started,
        }
    }

    /// Connections that have not closed.
    #[allow(dead_code, reason = "tests ask for it")]
    pub fn connections_count(&self) -> usize {
        self.slots.len()
    }

    fn accepted<I: Io>(&mut self, cx: &mut Cx<'_, I>, socket: Socket, peer: IpAddr) {
        let now = cx.now();
        let is_counted = self.addresses.connect(peer, now);
        let before = self.slots.len();
        let mut http = Connection::new(&self.http, now);
        if before >= self.connections_max + limits::CONNECTIONS_SPARE {
            http.kill();
        } else if before >= self.connections_max || !is_counted {
            http.refuse(&mut self.http, Refused::TOO_MANY_CONNECTIONS);
        }
        let visit = Visit::default();
        let wire = if self.tls.is_some() { Wire::Unknown } else { Wire::Plain };
        let slot = Slot { socket, peer, is_counted, http, wire, visit, armed: None };
        let Ok(token) = self.slots.insert(slot) else {
            unreachable!("there is a slot for every socket");
        };
        cx.submit(token, Op::Recv(socket));
        self.settle(cx, token);
    }

    /// Bytes came in, as they were on the wire.
    fn received<I: Io>(&mut self, cx: &mut Cx<'_, I>, token: Token, bytes: &mut [u8]) {
        let Some(slot) = self.slots.get_mut(token) else { return };
        let (config, left) = (self.tls.as_deref(), &mut self.handshakes_left);
        match slot.wire.open(config, bytes, &mut self.plain, left) {
            Opened::Plain => self.work(cx, token, bytes),
            opened => self.opened(cx, token, opened),
        }
    }

    /// Records were opened: what they say is worked on, what TLS itself has to say is sent.
    fn opened<I: Io>(&mut self, cx: &mut Cx<'_, I>, token: Token, opened: Opened) {
        match opened {
            Opened::Waits(true) => self.handshakes_waiting.push_back(token),
            Opened::Waits(false) => {}
            Opened::Ended => {
                if let Some(slot) = self.slots.get_mut(token) {
                    slot.http.receive_ended(ReceiveEnd::Eof);
                }
            }
            Opened::Plain | Opened::Secret => {}
        }
        let mut plain = std::mem::take(&mut self.plain);
        self.work(cx, token, &mut plain);
        plain.clear();
        self.plain = plain;
    }

    fn sent<I: Io>(&mut self, cx: &mut Cx<'_, I>, token: Token, is_whole: bool) {
        let Some(slot) = self.slots.get_mut(token) else { return };
        let is_all = slot.wire.tls().is_none_or(|tls| tls.sent());
        if is_all || !is_whole {
            slot.http.sent(is_whole);
        }
        // Nearly always that was all: nothing waits to be read, and nothing to be said.
        if slot.http.is_idle() && slot.visit.is_idle() {
            return self.settle(cx, token);
        }
        self.work(cx, token, &mut []);
    }

    /// Goes through what came in, or what waits, as far as it gets.
    fn work<I: Io>(&mut self, cx: &mut Cx<'_, I>, token: Token, received: &mut [u8]) {
        let Some(slot) = self.slots.get_mut(token) else { return };
        let Slot { http, visit, peer, .. } = slot;
        let mut desk = Desk { disk: self.disk.as_mut(), now: cx.now(), token };
        self.site.answer_pending(visit, http, &mut self.http);
        visit.go_on(http, &mut self.http, &mut desk);
        let mut input = http.input(received);
        while let Some(event) = http.next(&mut self.http, &mut input) {
            if matches!(event, Event::Request(_)) && !self.addresses.request(*peer, cx.now()) {
                http.refuse(&mut self.http, Refused::TOO_MANY_REQUESTS);
                continue;
            }
            self.site.handle(event, visit, http, &mut self.http, &mut desk);
            visit.go_on(http, &mut self.http, &mut desk);
        }
        if let Some(echo) = &mut visit.echo {
            echo.work(http, &mut self.http, &mut input, cx.now());
        }
        http.keep(input);
        self.settle(cx, token);
    }

    /// Ends the handling of an event: does what the connection wants, and sets the timer.
    fn settle<I: Io>(&mut self, cx: &mut Cx<'_, I>, token: Token) {
        let Some(slot) = self.slots.get_mut(token) else { return };
        while let Some(action) = slot.http.poll(&mut self.http, cx.now()) {
            let op = match action {
                Action::Finish if slot.wire.tls().is_none() => {
                    Op::Finish(slot.socket, gather(&mut self.http, &self.buffers))
                }
                Action::Send | Action::Finish => match slot.wire.tls() {
                    None => Op::Send(slot.socket, gather(&mut self.http, &self.buffers)),
                    Some(tls) => {
                        let gather = gather(&mut self.http, &self.buffers);
                        tls.seal(gather.iter().map(Piece::as_slice), &mut slot.http);
                        continue;
                    }
                },
                Action::Pause => Op::Pause(slot.socket),
                Action::Receive => Op::Recv(slot.socket),
                Action::Close => Op::Close(slot.socket),
            };
            cx.submit(token, op);
        }
        if let Some(tls) = slot.wire.tls()
            && !slot.http.is_closing()
        {
            if let Some(records) = tls.next_send() {
                let piece = Piece::Owned(Bytes::from(records));
                cx.submit(token, Op::Send(slot.socket, Gather::from_iter([piece])));
            } else if tls.is_over() {
                slot.http.kill();
                return self.settle(cx, token);
            }
        }
        // One entry of the timer at a time is enough where deadlines mostly move back.
        let deadline = slot.http.deadline();
        if slot.armed.is_none_or(|at| deadline < at) && !slot.http.is_closing() {
            slot.armed = Some(deadline);
            cx.arm(deadline, token);
        }
    }

    fn timed_out<I: Io>(&mut self, cx: &mut Cx<'_, I>, token: Token) {
        let now = cx.now();
        let Some(slot) = self.slots.get_mut(token) else { return };
        slot.armed = slot.armed.filter(|at| now < *at);
        match slot.http.expired(&mut self.http, now) {
            Expired::NotYet => {}
            Expired::Request => slot.http.refuse(&mut self.http, Refused::TIMEOUT),
            Expired::Answer => {
                slot.visit.forget();
                slot.http.refuse(&mut self.http, Refused::UNAVAILABLE);
            }
            Expired::Over => {
                if let Some(echo) = &mut slot.visit.echo {
                    echo.expired(&mut slot.http, &mut self.http, now);
                }
            }
        }
        self.settle(cx, token);
    }

    /// What the storage thread has answered.
    fn take_files<I: Io>(&mut self, cx: &mut Cx<'_, I>) {
        self.has_more_files = false;
        for _ in 0..limits::FILES_PER_TICK_MAX {
            let Some(disk) = &mut self.disk else { return };
            let Some((token, event)) = disk.poll(cx.now()) else { return };
            let Some(slot) = self.slots.get_mut(token) else { continue };
            match event {
                FileEvent::Found { result, .. } => slot.visit.found(result),
                FileEvent::Block { result, .. } => slot.visit.arrived(result, &mut slot.http),
            }
            self.work(cx, token, &mut []);
        }
        self.has_more_files = true;
    }

    fn closed(&mut self, token: Token, now: Instant) {
        if let Some(slot) = self.slots.remove(token)
            && slot.is_counted
        {
            self.addresses.disconnect(slot.peer, now);
        }
    }
}

impl<I: Io> Service<I> for Server {
    type Message = Infallible;

    fn on_start(&mut self, cx: &mut Cx<'_, I>) {
        cx.submit(ACCEPTOR, Op::Accept(self.acceptor));
    }

    fn on_completion(&mut self, cx: &mut Cx<'_, I>, completion: Completion<I::Buffer>) {
        self.http.set_time(cx.wall_clock().as_secs());
        match completion {
            Completion::Accepted { socket, peer, .. } => self.accepted(cx, socket, peer.ip()),
            Completion::Received { token, mut buffer } => self.received(cx, token, &mut buffer),
            Completion::Sent { token, result } => self.sent(cx, token, result.is_ok()),
            Completion::Ended { token, end } => {
                let Some(slot) = self.slots.get_mut(token) else { return };
                slot.http.receive_ended(match end {
                    End::Paused => ReceiveEnd::Paused,
                    End::Eof => ReceiveEnd::Eof,
                    End::Failed(_) => ReceiveEnd::Failed,
                });
                self.settle(cx, token);
            }
            Completion::Closed { token } => self.closed(token, cx.now()),
            // The acceptor goes on by itself; the rest was never asked for.
            Completion::AcceptFailed { .. }
            | Completion::ReceivedFrom { .. }
            | Completion::Icmp { .. }
            | Completion::Connected { .. } => {}
        }
        debug_assert!(self.http.output().is_empty(), "what was written for a connection is sent");
    }

    fn on_message(&mut self, _: &mut Cx<'_, I>, _: ShardId, message: Infallible) {
        match message {}
    }

    fn on_timer(&mut self, cx: &mut Cx<'_, I>, token: Token) {
        self.http.set_time(cx.wall_clock().as_secs());
        self.timed_out(cx, token);
    }

    fn on_tick_end(&mut self, cx: &mut Cx<'_, I>) {
        self.take_files(cx);
        self.handshakes_left = limits::HANDSHAKES_PER_TICK_MAX;
        while self.handshakes_left > 0 {
            let Some(token) = self.handshakes_waiting.pop_front() else { return };
            let Some(slot) = self.slots.get_mut(token) else { continue };
            let opened = slot.wire.open_waiting(&mut self.plain, &mut self.handshakes_left);
            self.opened(cx, token, opened);
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let is_behind = self.has_more_files || !self.handshakes_waiting.is_empty();
        is_behind.then_some(self.started)
    }
}

/// Everything that was written, as one send.
fn gather(http: &mut Http<Block>, buffers: &SendBuffers) -> Gather {
    let output = http.output();
    if output.is_text() {
        let text = output.swap_text(buffers.take());
        let mut gather = Gather::new();
        gather.push(Piece::Buffer(buffers.fill(text)));
        return gather;
    }
    let (text, parts) = output.take_parts();
    let text = Rc::new(Bytes::from(text));
    let piece = |part| match part {
        Part::Text(range) => {
            let (start, end) = (range.start as u32, range.end as u32);
            Piece::Shared { block: Rc::clone(&text), start, end }
        }
        Part::Piece(Block { bytes, start, end }) => Piece::Shared { block: bytes, start, end },
    };
    parts.into_iter().map(piece).collect()
}
