//! The relay itself: its tables, and which event goes where.
//!
//! *Invariant:* whenever the protocol was told something, all that it wants is done before it is
//! told the next thing: payloads that it names lie in the last input.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use protocol_tls::ServerConfig;
use protocol_turn::{
    AllocationId, Bind, Config, ConfigError, ConnectionId, Input, Output, ReservationId, Server,
    Summary, UserChange,
};
use shards_runtime::{BindOptions, Completion, Context, Io, Op, Slab, Token};
use smallvec::SmallVec;

use crate::datagrams::Carrier;
use crate::lend::{Lent, Shares};
use crate::settings::{Listening, Settings, SettingsError};
use crate::slot::{self, Slot, outer};
use crate::stats::{Ended, Stats, packet_histogram};

/// How often the protocol is told the wall clock's time, which may be set at any moment.
const CLOCK_EVERY: Duration = Duration::from_secs(1);

/// Datagrams that may wait at a socket for clients while a tick is long, bytes.
const CLIENTS_QUEUE_BYTES: u32 = 4 << 20;

/// So long after a packet more are expected.
const BUSY: Duration = Duration::from_millis(10);

/// The most allocations whose end waits to be written down.
const ENDED_MAX: usize = 65_536;

/// A TURN server on one shard.
pub struct Relay {
    pub(crate) turn: Server,
    pub(crate) settings: Settings,
    pub(crate) slots: Slab<Slot>,
    /// What each allocation has, by its place in the protocol's table.
    pub(crate) lent: Vec<Option<Lent>>,
    pub(crate) shares: Shares,
    /// Ports that are kept for a second allocation.
    pub(crate) kept: BTreeMap<ReservationId, Token>,
    /// Connections with peers that the protocol knows.
    pub(crate) connections: BTreeMap<ConnectionId, Token>,
    /// Streams with something to send, or to be closed, when the tick ends.
    pub(crate) dirty: Vec<Token>,
    /// Streams that wait for their turn at shaking hands, each once.
    pub(crate) handshakes_waiting: VecDeque<Token>,
    /// Steps of handshakes that this tick has left.
    pub(crate) handshakes_left: u32,
    pub(crate) ended: Vec<Ended>,
    pub(crate) next_external: usize,
    pub(crate) tally: Tally,
    clock_at: Instant,
    /// When the last tick ended.
    tick_at: Instant,
    /// When the last tick with packets ended.
    packets_at: Option<Instant>,
}

/// What the relay counts besides the protocol.
pub(crate) struct Tally {
    pub(crate) stream_count: usize,
    /// Connections with peers, counted apart from clients' streams.
    pub(crate) peer_stream_count: usize,
    pub(crate) stream_drops: u64,
    pub(crate) streams_closed: u64,
    pub(crate) streams_refused: u64,
    pub(crate) handshakes_delayed: u64,
    pub(crate) tls_failures: u64,
    pub(crate) send_failures: u64,
    /// Packets that came in this tick.
    pub(crate) packets_in_tick: u32,
    pub(crate) packet_us: Histogram<u32>,
}

impl Relay {
    /// A relay that has not started. `unix_s` is what the wall clock shows at `now`.
    ///
    /// # Errors
    /// What is wrong with the settings.
    pub fn new(mut settings: Settings, now: Instant, unix_s: u64) -> Result<Relay, SettingsError> {
        if settings.externals.is_empty() {
            return Err(SettingsError::NoExternal);
        }
        let shares = Shares::new(&settings);
        if !shares.has_ports() {
            return Err(SettingsError::NoPorts);
        }
        let config = settings.complete(settings.config.clone());
        let mut limits = settings.limits.clone();
        // No more than there are ports, so that the answer is the protocol's.
        limits.allocation_count_max = limits.allocation_count_max.min(shares.ports_count());
        settings.limits = limits.clone();
        let (seed, epoch) = (settings.seed, settings.epoch);
        let turn = Server::new(config, limits, seed, epoch, unix_s);
        let (index, count) = settings.shard;
        let mut turn = turn.map_err(SettingsError::Config)?.with_share(index, count);
        turn.handle(now, Input::WallClock { unix_s });
        Ok(Relay {
            turn,
            slots: Slab::new(usize::try_from(u32::MAX >> 2).unwrap_or(usize::MAX)),
            lent: Vec::new(),
            shares,
            kept: BTreeMap::new(),
            connections: BTreeMap::new(),
            dirty: Vec::new(),
            handshakes_waiting: VecDeque::new(),
            handshakes_left: settings.handshakes_per_tick_max,
            ended: Vec::new(),
            next_external: 0,
            tally: Tally {
                stream_count: 0,
                peer_stream_count: 0,
                stream_drops: 0,
                streams_closed: 0,
                streams_refused: 0,
                handshakes_delayed: 0,
                tls_failures: 0,
                send_failures: 0,
                packets_in_tick: 0,
                packet_us: packet_histogram(),
            },
            clock_at: now + CLOCK_EVERY,
            tick_at: now,
            packets_at: None,
            settings,
        })
    }

    /// Opens the addresses where clients come.
    ///
    /// # Errors
    /// What the system said of the first that could not be opened.
    pub fn start<I: Io, M: Send>(&mut self, cx: &mut Context<'_, I, M>) -> io::Result<()> {
        let spreads = self.settings.spreads_by_address;
        let (_, shard_count) = self.settings.shard;
        let options = BindOptions {
            shared: true,
            spread_by_address: if spreads { shard_count } else { 0 },
            v6_only: true,
            receive_queue_bytes: CLIENTS_QUEUE_BYTES,
            send_queue_bytes: CLIENTS_QUEUE_BYTES,
            ..BindOptions::default()
        };
        for listener in self.settings.listeners.clone() {
            let address = listener.address;
            let is_tls = listener.listening == Listening::Tls;
            let slot = if listener.listening == Listening::Udp {
                Slot::Clients(cx.io().bind(address, options)?.0)
            } else {
                Slot::Acceptor { socket: cx.io().listen(address, options)?.0, is_tls }
            };
            let op = match &slot {
                Slot::Clients(socket) => Op::RecvFrom(*socket),
                Slot::Acceptor { socket, .. } => Op::Accept(*socket),
                _ => unreachable!("made above"),
            };
            let token = self.insert(slot);
            cx.submit(outer(token), op);
        }
        Ok(())
    }

    /// Whether a completion or timer with this token is for the relay.
    pub fn owns(token: Token) -> bool {
        slot::inner(token).is_some()
    }

    /// An operation of a socket of the relay is done, or a step of a lasting one.
    pub fn on_completion<I: Io, M: Send>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        completion: Completion<I::Buffer>,
    ) {
        self.follow_clock(cx);
        match completion {
            Completion::ReceivedFrom { token, peer, buffer, segment_size } => {
                self.received_from(cx, own(token), peer, buffer, segment_size);
            }
            Completion::Accepted { token, socket, peer } => {
                self.accepted(cx, own(token), socket, peer);
            }
            Completion::Received { token, mut buffer } => {
                self.received(cx, own(token), &mut buffer);
            }
            Completion::Icmp { token, peer, icmp } => {
                self.network_said(cx, own(token), peer, icmp);
            }
            Completion::Ended { token, end } => self.receive_ended(cx, own(token), &end),
            Completion::Sent { token, result } => self.sent(cx, own(token), result.is_ok()),
            Completion::Connected { token, result } => {
                self.peer_answered(cx, own(token), result.ok());
            }
            Completion::Closed { token } => self.closed(own(token)),
            Completion::AcceptFailed { error, .. } => {
                self.tally.streams_refused += 1;
                tracing::debug!(%error, "cannot accept a connection of a client or peer");
            }
        }
    }

    /// A timer of the relay fired.
    pub fn on_timer<I: Io, M: Send>(&mut self, cx: &mut Context<'_, I, M>, token: Token) {
        self.follow_clock(cx);
        self.check_stream(cx, own(token));
    }

    /// The tick ends: what streams were given is sent, and what has passed its time ends.
    pub fn on_tick_end<I: Io, M: Send>(&mut self, cx: &mut Context<'_, I, M>) {
        self.tick_at = cx.now();
        if self.turn.deadline().is_some_and(|deadline| deadline <= cx.now()) {
            self.tell(cx, Input::Tick);
        }
        self.shake_hands(cx);
        self.flush_streams(cx);
        if self.tally.packets_in_tick > 0 {
            self.packets_at = Some(cx.now());
            // They leave before anything else that the tick's end may still have to send.
            cx.io().flush();
            // From when the machine handed the tick's packets over to now: the longest that any
            // of them was here.
            let us = cx.io().since_wait().as_micros().clamp(1, 10_000_000) as u64;
            let count = std::mem::take(&mut self.tally.packets_in_tick);
            let recorded = self.tally.packet_us.record_n(us, count);
            recorded.expect("within the histogram's bounds");
        }
    }

    /// Whether packets flow: somebody may hear how long a tick is.
    pub fn is_busy(&self, now: Instant) -> bool {
        let recently = self.packets_at.is_some_and(|at| now < at + BUSY);
        recently || self.tally.packets_in_tick > 0
    }

    /// When [`Relay::on_tick_end`] wants to run at the latest.
    pub fn deadline(&self) -> Option<Instant> {
        // Whoever waits for a handshake has his turn in the next tick, which is due at once.
        let waits = !self.handshakes_waiting.is_empty();
        waits.then_some(self.tick_at).into_iter().chain(self.turn.deadline()).min()
    }

    /// Other credentials, peers, or another server for new allocations. What is there stays.
    ///
    /// # Errors
    /// What is wrong with it; everything stays as it was.
    pub fn configure(&mut self, config: Config) -> Result<(), ConfigError> {
        let completed = self.settings.complete(config.clone());
        self.turn.configure(completed)?;
        self.settings.config = config;
        Ok(())
    }

    /// Another certificate: connections that come from now on get it.
    pub fn set_tls(&mut self, tls: Option<Arc<ServerConfig>>) {
        self.settings.tls = tls;
    }

    /// Ends an allocation; false if there is none of this name.
    pub fn kill<I: Io, M: Send>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        allocation: AllocationId,
    ) -> bool {
        let before = self.turn.allocation_count();
        self.tell(cx, Input::Kill { allocation });
        self.turn.allocation_count() < before
    }

    /// All allocations.
    pub fn allocations(&self, now: Instant) -> impl Iterator<Item = Summary<'_>> {
        self.turn.allocations(now)
    }

    /// How many allocations there are.
    pub fn allocation_count(&self) -> usize {
        self.turn.allocation_count()
    }

    /// Allocations that ended since this was last asked.
    pub fn take_ended(&mut self) -> Vec<Ended> {
        std::mem::take(&mut self.ended)
    }

    /// What the relays of the other shards are to be told, so that quotas of users count for all
    /// shards together ([`Relay::users_changed_elsewhere`]).
    pub fn take_user_changes(&mut self) -> Vec<UserChange> {
        self.turn.take_user_changes()
    }

    /// What the relay of another shard said: every change once.
    pub fn users_changed_elsewhere(&mut self, changes: &[UserChange]) {
        self.turn.users_changed_elsewhere(changes);
    }

    /// The other shards.
    pub fn other_shards(&self) -> impl Iterator<Item = u16> + use<> {
        let (own, count) = self.settings.shard;
        (0..count).filter(move |shard| *shard != own)
    }

    /// What was counted, and what is held.
    pub fn stats(&self) -> Stats {
        let (permission_count, channel_count) = self.turn.held_counts();
        Stats {
            counters: *self.turn.counters(),
            allocation_count: self.turn.allocation_count(),
            permission_count,
            channel_count,
            connection_count: self.turn.connection_count(),
            stream_count: self.tally.stream_count,
            stream_drops: self.tally.stream_drops,
            streams_closed: self.tally.streams_closed,
            streams_refused: self.tally.streams_refused,
            handshakes_delayed: self.tally.handshakes_delayed,
            tls_failures: self.tally.tls_failures,
            send_failures: self.tally.send_failures,
            packet_us: self.tally.packet_us.clone(),
        }
    }

    /// Sockets that are open or being closed: what clients come to, and what they were lent.
    pub fn sockets_count(&self) -> usize {
        self.slots.len()
    }

    /// Tells the protocol something that carries no payload to be sent on.
    pub(crate) fn tell<I: Io, M: Send>(&mut self, cx: &mut Context<'_, I, M>, input: Input<'_>) {
        self.turn.handle(cx.now(), input);
        self.pump(cx, Carrier::Bytes(&[]));
    }

    /// Does what the protocol wants, until it wants nothing.
    pub(crate) fn pump<I: Io, M: Send>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        mut carrier: Carrier<'_, I::Buffer>,
    ) {
        let mut binds: SmallVec<[Bind; 2]> = SmallVec::new();
        let mut refused: SmallVec<[ConnectionId; 1]> = SmallVec::new();
        while let Some(output) = self.turn.poll() {
            match output {
                Output::Transmit(transmit) => self.transmit(cx, &transmit, &mut carrier),
                Output::Bind(bind) => binds.push(bind),
                Output::Release(release) => self.release(cx, *release),
                Output::ReleaseFamily(id, family) => self.release_family(cx, id, family),
                Output::Forget(id) => self.forget_reserved(cx, id),
                Output::Connect { allocation, connection, peer } => {
                    if !self.connect(cx, allocation, connection, peer) {
                        refused.push(connection);
                    }
                }
                Output::Keep { handle, connection } => self.keep(handle, connection),
                Output::Refuse { handle } => self.close(cx, slot::token_of(handle)),
                Output::Join { connection, client } => self.join(cx, connection, &client),
                Output::Disconnect(connection) => self.disconnect(cx, connection),
            }
        }
        for Bind { allocation, family, port, transport } in binds {
            let address = self.open(cx, allocation, family, port, transport);
            self.tell(cx, Input::Bound { allocation, family, address });
        }
        for connection in refused {
            self.tell(cx, Input::Connected { connection, is_connected: false });
        }
    }

    pub(crate) fn insert(&mut self, slot: Slot) -> Token {
        let Ok(token) = self.slots.insert(slot) else {
            unreachable!("a machine has fewer sockets than there are slots")
        };
        token
    }

    pub(crate) fn write_down(&mut self, ended: Ended) {
        if self.ended.len() < ENDED_MAX {
            self.ended.push(ended);
        }
    }

    fn follow_clock<I: Io, M: Send>(&mut self, cx: &mut Context<'_, I, M>) {
        if cx.now() >= self.clock_at {
            self.clock_at = cx.now() + CLOCK_EVERY;
            let unix_s = cx.wall_clock().as_secs();
            self.tell(cx, Input::WallClock { unix_s });
        }
    }

    fn closed(&mut self, token: Token) {
        match self.slots.remove(token) {
            Some(Slot::Closing(Some(port))) => self.shares.give_back(port),
            Some(Slot::Closing(None)) | None => {}
            Some(_) => unreachable!("only what was closed is gone"),
        }
    }
}

/// The slab's token.
fn own(token: Token) -> Token {
    slot::inner(token).expect("the service hands over what is the relay's")
}
