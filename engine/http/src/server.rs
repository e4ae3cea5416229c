//! The service that each shard runs: what the machine under it reports goes to the connection that
//! it is about, and what the connection wants is asked of the machine.
//!
//! *Invariant:* a connection's slot is free when the machine has said `Closed`, and not before.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use protocol_http::Refused;
use protocol_http::server::{
    Action, Addresses, Connection, Event, Expired, Part, ReceiveEnd, Server as HttpServer,
};
use protocol_tls::ServerConfig;
use shards_runtime::{
    Completion, Context, End, Gather, Io, Op, Piece, SendBuffers, Service, ShardId, Slab,
    SlotTimers, Socket, Token,
};
use shards_storage::{FileEvent, RootId};

use crate::disk::Disk;
use crate::limits::{
    CONNECTIONS_SPARE, Counters, FILES_PER_TICK_MAX, ORDERS_MAX, SAID_PER_TICK_MAX,
    WOKEN_PER_TICK_MAX,
};
use crate::mail::{LETTERS_MAX, Timer};
use crate::orders::{Everyone, Kind, Order};
use crate::program::Http;
use crate::site::Site;
use crate::visit::{Caller, Desk, Visit};
use crate::wire::{Opened, Wire};

/// The acceptor's own token; no connection has that slot.
const ACCEPTOR: Token = Token { slot: u32::MAX, generation: 0 };

/// What every event comes with.
type Cx<'c, I, S> = Context<'c, I, Order<S>>;

/// One shard of a [`Site`]. [`Site::serve`] makes them; whoever has shards of his own, such as a
/// simulation, makes it himself.
pub struct Server<S> {
    acceptor: Socket,
    slots: Slab<Slot<S>>,
    timers: SlotTimers,
    connections_max: usize,
    addresses: Addresses,
    http: Http,
    buffers: SendBuffers,
    desk: Desk<S>,
    everyone: Everyone<S>,
    /// WebSockets that have something to send.
    to_say: VecDeque<Token>,
    timer: Option<Timer<S>>,
    /// The storage thread had more to say than one tick takes.
    has_more_files: bool,
    tls: Option<Arc<ServerConfig>>,
    handshakes_per_tick_max: u32,
    /// Steps of handshakes that this tick still takes part in, and who waits for the next.
    handshakes_left: u32,
    handshakes_waiting: VecDeque<Token>,
    /// What records say; empty between two events.
    plain: Vec<u8>,
    started: Instant,
}

/// What a connection is while it waits for its next event. It holds no buffer while it is idle.
struct Slot<S> {
    socket: Socket,
    peer: IpAddr,
    /// Whether it counts among its address's.
    is_counted: bool,
    http: Connection,
    wire: Wire,
    visit: Visit<S>,
    /// When the timer's entry for the slot fires; an earlier deadline needs another entry.
    armed: Option<Instant>,
}

const _: () = assert!(size_of::<Slot<()>>() <= 400, "an idle connection is small");

impl<S> Server<S> {
    /// A server for what this listening socket accepts, with the state that `state` makes. It is
    /// the shard of this number, of so many.
    pub fn new(
        site: &Site<S>,
        place: (ShardId, usize),
        state: impl FnOnce(&Everyone<S>) -> S,
        acceptor: Socket,
        disk: Option<(Disk, RootId)>,
        started: Instant,
    ) -> Server<S> {
        let limits = &site.limits;
        let everyone = Everyone::new(place, started);
        Server {
            acceptor,
            // Each socket needs a token until it has closed, also one beyond the limits; how many
            // there can be is the machine's own bound.
            slots: Slab::new(u32::MAX as usize),
            timers: SlotTimers::default(),
            connections_max: limits.connections_max,
            addresses: Addresses::new(limits.addresses),
            http: HttpServer::new(site.name, limits.http.clone()),
            buffers: SendBuffers::new(),
            desk: Desk::new(site, state(&everyone), disk),
            everyone,
            to_say: VecDeque::new(),
            timer: site.timer,
            has_more_files: false,
            tls: site.tls.clone(),
            handshakes_per_tick_max: limits.handshakes_per_tick_max,
            handshakes_left: limits.handshakes_per_tick_max,
            handshakes_waiting: VecDeque::new(),
            plain: Vec::new(),
            started,
        }
    }

    /// Connections that have not closed.
    #[must_use]
    pub fn connections_count(&self) -> usize {
        self.slots.len()
    }

    /// What happened so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let files = self.desk.disk.as_ref().map(|(disk, _)| disk.counters()).unwrap_or_default();
        let orders_refused = self.everyone.refused_count();
        Counters { http: self.http.counters, files, orders_refused, ..self.desk.counters }
    }

    /// The program's state.
    #[must_use]
    pub fn state(&self) -> &S {
        &self.desk.state
    }

    fn accepted<I: Io>(&mut self, cx: &mut Cx<'_, I, S>, socket: Socket, peer: IpAddr) {
        let now = cx.now();
        let is_counted = self.addresses.connect(peer, now);
        let before = self.slots.len();
        let mut http = Connection::new(&self.http, now);
        let counters = &mut self.desk.counters;
        counters.connections += 1;
        if before >= self.connections_max.saturating_add(CONNECTIONS_SPARE) {
            counters.connections_refused += 1;
            http.kill();
        } else if before >= self.connections_max || !is_counted {
            match is_counted {
                true => counters.connections_refused += 1,
                false => counters.address_connections_refused += 1,
            }
            http.refuse(&mut self.http, Refused::TOO_MANY_CONNECTIONS);
        }
        let visit = Visit::default();
        let wire = if self.tls.is_some() { Wire::Unknown } else { Wire::Plain };
        let slot = Slot { socket, peer, is_counted, http, wire, visit, armed: None };
        let Ok(token) = self.slots.insert(slot) else {
            unreachable!("there is a slot for every socket");
        };
        if let Some(slot) = self.slots.get_mut(token) {
            slot.armed = self.timers.inherit(token);
        }
        cx.submit(token, Op::Recv(socket));
        self.settle(cx, token);
    }

    /// Bytes came in, as they were on the wire.
    fn received<I: Io>(&mut self, cx: &mut Cx<'_, I, S>, token: Token, bytes: &mut [u8]) {
        let Some(slot) = self.slots.get_mut(token) else { return };
        let (config, left) = (self.tls.as_deref(), &mut self.handshakes_left);
        match slot.wire.open(config, bytes, &mut self.plain, left) {
            Opened::Plain => self.work(cx, token, bytes),
            opened => self.opened(cx, token, opened),
        }
    }

    /// Records were opened: what they say is worked on, what TLS itself has to say is sent.
    fn opened<I: Io>(&mut self, cx: &mut Cx<'_, I, S>, token: Token, opened: Opened) {
        match opened {
            Opened::Waits(true) => {
                self.desk.counters.handshakes_delayed += 1;
                self.handshakes_waiting.push_back(token);
            }
            Opened::Waits(false) => {}
            Opened::Ended => {
                if let Some(slot) = self.slots.get_mut(token) {
                    slot.receive_ended(ReceiveEnd::Eof);
                }
            }
            Opened::Plain | Opened::Secret => {}
        }
        let mut plain = std::mem::take(&mut self.plain);
        self.work(cx, token, &mut plain);
        plain.clear();
        self.plain = plain;
    }

    fn sent<I: Io>(&mut self, cx: &mut Cx<'_, I, S>, token: Token, is_whole: bool) {
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
    fn work<I: Io>(&mut self, cx: &mut Cx<'_, I, S>, token: Token, received: &mut [u8]) {
        let Some(slot) = self.slots.get_mut(token) else { return };
        let Slot { http, visit, peer, wire, .. } = slot;
        let is_secure = wire.tls().is_some();
        let caller = Caller { token, peer: *peer, is_secure, now: cx.now() };
        let present = (token, cx.now());
        self.desk.answer_pending(visit, http, &mut self.http);
        self.desk.go_on(present, visit, http, &mut self.http);
        let mut input = http.input(received);
        // Not moved out: a head is some hundred bytes.
        while let Some(event) = &http.next(&mut self.http, &mut input) {
            if matches!(event, Event::Request(_)) && !self.addresses.request(*peer, cx.now()) {
                self.desk.counters.address_requests_refused += 1;
                http.refuse(&mut self.http, Refused::TOO_MANY_REQUESTS);
                continue;
            }
            self.desk.handle(event, caller, visit, http, &mut self.http);
            self.desk.go_on(present, visit, http, &mut self.http);
        }
        if let Some(talk) = &mut visit.talk {
            let letters = cx.waiting_count() + self.everyone.with_mail(|mail| mail.letters.len());
            if letters > LETTERS_MAX && talk.overload(cx.now()) {
                self.desk.counters.websockets_overloaded += 1;
            }
            if talk.work((&mut self.desk.state, cx.now()), http, &mut self.http, &mut input) {
                self.to_say.push_back(token);
            }
        }
        http.keep(input);
        self.settle(cx, token);
    }

    /// Ends the handling of an event: does what the connection wants, and sets the timer.
    fn settle<I: Io>(&mut self, cx: &mut Cx<'_, I, S>, token: Token) {
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
                self.desk.counters.tls_failed += 1;
                slot.http.kill();
                return self.settle(cx, token);
            }
        }
        // One entry of the timer at a time is enough where deadlines mostly move back.
        let deadline = slot.http.deadline();
        let deadline = slot.visit.deadline(&slot.http).map_or(deadline, |at| deadline.min(at));
        if slot.armed.is_none_or(|at| deadline < at) && !slot.http.is_closing() {
            slot.armed = Some(deadline);
            cx.arm(deadline, token);
        }
    }

    fn timed_out<I: Io>(&mut self, cx: &mut Cx<'_, I, S>, token: Token) {
        let now = cx.now();
        let Some(slot) = self.slots.get_mut(token) else { return };
        slot.armed = slot.armed.filter(|at| now < *at);
        match slot.http.expired(&mut self.http, now) {
            Expired::NotYet => {
                if slot.visit.deadline(&slot.http).is_some_and(|at| at <= now) {
                    return self.work(cx, token, &mut []);
                }
            }
            Expired::Request => slot.http.refuse(&mut self.http, Refused::TIMEOUT),
            Expired::Answer => {
                slot.visit.forget();
                slot.http.refuse(&mut self.http, Refused::UNAVAILABLE);
            }
            Expired::Over => {
                if let Some(talk) = &mut slot.visit.talk {
                    talk.expired(&mut slot.http, &mut self.http, now);
                }
            }
        }
        self.settle(cx, token);
    }

    /// What the storage thread has answered.
    fn take_files<I: Io>(&mut self, cx: &mut Cx<'_, I, S>) {
        self.has_more_files = false;
        for _ in 0..FILES_PER_TICK_MAX {
            let Some((disk, _)) = &mut self.desk.disk else { return };
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

    /// What handlers have said to all shards: here it is done, to the others it is on its way.
    fn give_orders<I: Io>(&mut self, cx: &mut Cx<'_, I, S>) {
        // An order that gives another one gives it to the next tick.
        for _ in 0..self.everyone.waiting_count() {
            if cx.waiting_count() >= ORDERS_MAX {
                return;
            }
            let Some(task) = self.everyone.next() else { return };
            let (me, control) = (cx.me(), cx.control());
            for sibling in (0..control.0).map(ShardId).filter(|sibling| *sibling != me) {
                cx.send_surely(sibling, Order(Kind::Run(Arc::clone(&task))));
            }
            task(&mut self.desk.state);
        }
    }

    /// Asks the bodies that were woken for more.
    fn serve_woken<I: Io>(&mut self, cx: &mut Cx<'_, I, S>) {
        if self.desk.due.is_empty() {
            return;
        }
        self.http.set_time(cx.wall_clock().as_secs());
        for _ in 0..WOKEN_PER_TICK_MAX {
            let Some(token) = self.desk.due.next() else { return };
            self.work(cx, token, &mut []);
        }
    }

    /// Letters that were written in this tick leave; those to this shard are opened.
    fn send_letters<I: Io>(&mut self, cx: &mut Cx<'_, I, S>) {
        // What a letter to this shard makes it write goes with the next tick.
        for _ in 0..self.everyone.with_mail(|mail| mail.letters.len()) {
            let Some((to, letter)) = self.everyone.with_mail(|mail| mail.letters.pop_front())
            else {
                return;
            };
            if to == cx.me() {
                letter(&mut self.desk.state);
            } else {
                cx.send_surely(to, Order(Kind::Letter(letter)));
            }
        }
    }

    /// Gives WebSockets what was said to them, and sends it, to each all of it at once.
    fn say<I: Io>(&mut self, cx: &mut Cx<'_, I, S>) {
        let now = cx.now();
        while let Some((token, word)) = self.desk.said.next() {
            let Some(slot) = self.slots.get_mut(token) else { continue };
            if slot.visit.talk.as_mut().is_some_and(|talk| talk.take(word, now)) {
                self.to_say.push_back(token);
            }
        }
        if !self.to_say.is_empty() {
            self.http.set_time(cx.wall_clock().as_secs());
        }
        for _ in 0..SAID_PER_TICK_MAX {
            let Some(token) = self.to_say.pop_front() else { return };
            if let Some(talk) = self.slots.get_mut(token).and_then(|it| it.visit.talk.as_mut()) {
                talk.leave_queue();
                self.work(cx, token, &mut []);
            }
        }
    }

    fn closed(&mut self, token: Token, now: Instant) {
        let Some(mut slot) = self.slots.remove(token) else { return };
        if let Some(talk) = &mut slot.visit.talk {
            talk.end(&mut self.desk.state);
            self.desk.counters.websockets_slow += u64::from(talk.was_slow());
        }
        self.timers.leave(token, slot.armed);
        if slot.is_counted {
            self.addresses.disconnect(slot.peer, now);
        }
    }
}

impl<I: Io, S> Service<I> for Server<S> {
    type Message = Order<S>;

    fn on_start(&mut self, cx: &mut Cx<'_, I, S>) {
        cx.submit(ACCEPTOR, Op::Accept(self.acceptor));
    }

    fn on_completion(&mut self, cx: &mut Cx<'_, I, S>, completion: Completion<I::Buffer>) {
        self.http.set_time(cx.wall_clock().as_secs());
        self.everyone.with_mail(|mail| mail.now = cx.now());
        match completion {
            Completion::Accepted { socket, peer, .. } => self.accepted(cx, socket, peer.ip()),
            Completion::Received { token, mut buffer } => self.received(cx, token, &mut buffer),
            Completion::Sent { token, result } => self.sent(cx, token, result.is_ok()),
            Completion::Ended { token, end } => {
                let Some(slot) = self.slots.get_mut(token) else { return };
                slot.receive_ended(match end {
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

    fn on_message(&mut self, cx: &mut Cx<'_, I, S>, _: ShardId, Order(order): Order<S>) {
        self.everyone.with_mail(|mail| mail.now = cx.now());
        match order {
            Kind::Run(task) => task(&mut self.desk.state),
            Kind::Tls(config) => self.tls = Some(config),
            Kind::Letter(letter) => letter(&mut self.desk.state),
        }
    }

    fn on_timer(&mut self, cx: &mut Cx<'_, I, S>, token: Token) {
        self.http.set_time(cx.wall_clock().as_secs());
        if let Some(tenant) = self.timers.fired(&self.slots, token, cx.now()) {
            self.timed_out(cx, tenant);
        }
    }

    fn on_tick_end(&mut self, cx: &mut Cx<'_, I, S>) {
        self.everyone.with_mail(|mail| mail.now = cx.now());
        self.take_files(cx);
        self.give_orders(cx);
        if let Some(Timer { deadline, tick }) = self.timer
            && deadline(&self.desk.state).is_some_and(|at| at <= cx.now())
        {
            tick(&mut self.desk.state);
        }
        self.serve_woken(cx);
        self.send_letters(cx);
        self.say(cx);
        self.handshakes_left = self.handshakes_per_tick_max;
        while self.handshakes_left > 0 {
            let Some(token) = self.handshakes_waiting.pop_front() else { return };
            let Some(slot) = self.slots.get_mut(token) else { continue };
            let opened = slot.wire.open_waiting(&mut self.plain, &mut self.handshakes_left);
            self.opened(cx, token, opened);
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let is_behind = self.has_more_files
            || !self.handshakes_waiting.is_empty()
            || !self.desk.due.is_empty()
            || self.everyone.waiting_count() > 0
            || self.everyone.with_mail(|mail| !mail.letters.is_empty())
            || !self.desk.said.is_empty()
            || !self.to_say.is_empty();
        if is_behind {
            return Some(self.started);
        }
        self.timer.and_then(|timer| (timer.deadline)(&self.desk.state))
    }
}

impl<S> Slot<S> {
    fn receive_ended(&mut self, end: ReceiveEnd) {
        self.http.receive_ended(end);
        if end == ReceiveEnd::Eof && self.visit.is_lasting() {
            self.http.abort();
        }
    }
}

/// Everything that was written, as one send.
fn gather(http: &mut Http, buffers: &SendBuffers) -> Gather {
    let output = http.output();
    if output.is_text() {
        let text = output.swap_text(buffers.take());
        let mut gather = Gather::new();
        gather.push(Piece::Buffer(buffers.fill(text)));
        return gather;
    }
    if output.is_text_first() {
        let (text, blocks) = output.swap_text_and_pieces(buffers.take());
        let mut gather = Gather::new();
        if !text.is_empty() {
            gather.push(Piece::Buffer(buffers.fill(text)));
        }
        blocks.for_each(|block| gather.push(Piece::from(block)));
        return gather;
    }
    let (text, parts) = output.take_parts();
    let text = Rc::new(Bytes::from(text));
    let piece = |part| match part {
        Part::Text(range) => {
            let (start, end) = (range.start as u32, range.end as u32);
            Piece::Shared { block: Rc::clone(&text), start, end }
        }
        Part::Piece(block) => Piece::from(block),
    };
    parts.into_iter().map(piece).collect()
}
