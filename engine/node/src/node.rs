//! The node: what a shard of Skywave does, as a [`Service`].
//!
//! This file holds the tables and turns events into calls; what the calls do stands in the files
//! beside it: `routes` (what is where), `request` (heads), `whole` (what is answered at once),
//! `files`, `source`, `fanout` (listeners), `pull`, `websocket`, `signalling`, `inbox`
//! (messages), `lifecycle` (sending, receiving, closing).

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use engine_relay::Relay;
use engine_rtc::Rtc;
use engine_workers::Bridge;
use shards_runtime::{
    BindOptions, Completion, Context, Io, Op, Service, ShardId, Slab, SlotTimers, Socket, Token,
};

use crate::calls::Calls;
use crate::connection::Connection;
use crate::events::Events;
use crate::fanout::Due;
use crate::feed::{Feed, FeedKey};
use crate::files::{Files, Shelf};
use crate::greeting::SharedHead;
use crate::message::Message;
use crate::mount_to_stream::Players;
use crate::own_peer::OwnPeer;
use crate::routes::Handler;
use crate::signalling::Signalling;
use crate::snapshot::{MountId, Session, SessionId, Snapshot};
use crate::stats::Counters;
use crate::stream_to_mount::Feeders;
use protocol_http::server::{AddressLimits, Addresses, Router};

/// Acceptors' tokens stand above all connections' slots.
const ACCEPTOR_SLOT_BASE: u32 = 0xFFFF_0000;
/// How long a feed that nobody hears stays subscribed.
const FEED_LINGER: Duration = Duration::from_secs(2);
/// How often counters go to control and feeds are looked over.
const HOUSEKEEPING: Duration = Duration::from_secs(1);

/// Where finished requests are written down; the shard's end of the access log.
pub trait LogSink: Send {
    /// Takes a line without blocking; false when there was no room.
    fn append(&mut self, line: String) -> bool;
}

/// An address this node accepts connections on.
#[derive(Clone, Debug)]
pub struct Acceptor {
    /// Where.
    pub address: SocketAddr,
    /// For v6: no v4-mapped clients.
    pub v6_only: bool,
    /// Connections begin with a PROXY protocol header.
    pub proxy_protocol: bool,
    /// TLS is spoken here too.
    pub tls: bool,
    /// Browsers that ask for a page without TLS are sent to it.
    pub https_redirect: bool,
    /// ICY v1 sources connect here; they feed this mount unless their password line names one.
    pub v1_mount: Option<String>,
}

/// One shard's whole state.
pub struct Node {
    pub(crate) me: ShardId,
    pub(crate) snapshot: Arc<Snapshot>,
    /// What is where.
    pub(crate) router: Router<Handler>,
    pub(crate) connections: Slab<Connection>,
    pub(crate) timers: SlotTimers,
    pub(crate) feeds: Slab<Feed>,
    pub(crate) feed_index: BTreeMap<FeedKey, Token>,
    /// Sources of this shard, by session.
    pub(crate) sources: BTreeMap<SessionId, Token>,
    /// The newest session that control gave to a connection of this shard, as far as is known here.
    pub(crate) newest_granted: SessionId,
    /// Shards that want a session of ours whose grant has not come yet.
    pub(crate) early_subscribers: Vec<(SessionId, ShardId)>,
    /// Pulls of this shard that are connecting or running, by mount.
    pub(crate) pulls: BTreeMap<MountId, Token>,
    /// What each home is routed to, as acted upon.
    pub(crate) routes: BTreeMap<MountId, Option<Session>>,
    /// Listeners at home on each mount.
    pub(crate) homes: BTreeMap<MountId, u64>,
    /// The most that there were on each at one moment since the last report.
    pub(crate) homes_peak: BTreeMap<MountId, u64>,
    /// Listeners that wait for their home to be routed somewhere.
    pub(crate) parked: BTreeMap<MountId, Vec<Token>>,
    pub(crate) shared_head: Option<SharedHead>,
    pub(crate) dirty_sources: Vec<Token>,
    pub(crate) hasty: VecDeque<Token>,
    pub(crate) due: VecDeque<Due>,
    pub(crate) slot: u64,
    pub(crate) started: Instant,
    pub(crate) listener_numbers: u64,
    /// Connections of this shard as control was last told.
    pub(crate) clients_reported: u64,
    pub(crate) nobodies: u32,
    pub(crate) asks_in_flight: usize,
    /// What each address has.
    pub(crate) addresses: Addresses,
    /// Steps of handshakes that this tick still takes part in, and who waits for the next.
    pub(crate) handshakes_left: u32,
    pub(crate) handshakes_waiting: VecDeque<Token>,
    /// What records say; empty between two receives.
    pub(crate) plain: Vec<u8>,
    pub(crate) counters: Counters,
    /// Set while draining: when to close what is left.
    pub(crate) drain_until: Option<Instant>,
    pub(crate) log: Option<Box<dyn LogSink>>,
    pub(crate) files: Option<Files>,
    pub(crate) turn: Option<Relay>,
    pub(crate) signalling: Option<Signalling>,
    /// Calls to the server's own peer.
    pub(crate) calls: Calls,
    pub(crate) own_peer: OwnPeer,
    /// WebSockets now, those that have something to send, and those that wait for more of it until
    /// a time.
    pub(crate) websockets_count: u64,
    pub(crate) websockets_due: VecDeque<Token>,
    pub(crate) websockets_held: VecDeque<(Instant, Token)>,
    pub(crate) rtc: Option<Rtc>,
    pub(crate) workers: Option<Bridge>,
    pub(crate) artifacts: Option<Files>,
    pub(crate) events: Events,
    /// Streams that feed mounts.
    pub(crate) feeders: Feeders,
    /// Streams that play mounts.
    pub(crate) players: Players,
    pub(crate) acceptors: Vec<(Acceptor, Option<Socket>)>,
    /// When to offer subscribers again what found their queues full.
    pub(crate) publish_again_at: Option<Instant>,
    housekeeping_at: Instant,
}

impl Node {
    /// A node that has not started. `snapshot` is the first policy; `now` is its start.
    #[must_use]
    pub fn new(
        snapshot: Arc<Snapshot>,
        acceptors: Vec<Acceptor>,
        log: Option<Box<dyn LogSink>>,
        now: Instant,
    ) -> Self {
        let limits = &snapshot.config.limits;
        let connections_max = limits.sockets_per_shard_max as usize;
        Node {
            me: ShardId(0),
            router: crate::routes::router(),
            connections: Slab::new(connections_max),
            timers: SlotTimers::default(),
            feeds: Slab::new(limits.mounts_max as usize * 4),
            feed_index: BTreeMap::new(),
            sources: BTreeMap::new(),
            newest_granted: SessionId(0),
            early_subscribers: Vec::new(),
            pulls: BTreeMap::new(),
            routes: BTreeMap::new(),
            homes: BTreeMap::new(),
            homes_peak: BTreeMap::new(),
            parked: BTreeMap::new(),
            shared_head: None,
            dirty_sources: Vec::new(),
            hasty: VecDeque::new(),
            due: VecDeque::new(),
            slot: 0,
            started: now,
            listener_numbers: 0,
            clients_reported: 0,
            nobodies: 0,
            asks_in_flight: 0,
            addresses: Addresses::new(address_limits(limits)),
            handshakes_left: snapshot.config.tls.handshakes_per_tick_max,
            handshakes_waiting: VecDeque::new(),
            plain: Vec::new(),
            counters: Counters::default(),
            drain_until: None,
            log,
            files: None,
            turn: None,
            signalling: None,
            calls: Calls::default(),
            own_peer: OwnPeer::default(),
            websockets_count: 0,
            websockets_due: VecDeque::new(),
            websockets_held: VecDeque::new(),
            rtc: None,
            workers: None,
            artifacts: None,
            events: Events::default(),
            feeders: Feeders::default(),
            players: Players::default(),
            acceptors: acceptors.into_iter().map(|acceptor| (acceptor, None)).collect(),
            publish_again_at: None,
            housekeeping_at: now + HOUSEKEEPING,
            snapshot,
        }
    }

    /// The running session of this number, as the snapshot has it.
    pub(crate) fn session(&self, id: SessionId) -> Option<&Session> {
        let up = |entry: &Arc<crate::snapshot::MountEntry>| {
            entry.up.as_ref().is_some_and(|session| session.id == id)
        };
        self.snapshot.mounts.values().find(|entry| up(entry))?.up.as_ref()
    }

    /// The settings of a mount; the defaults when it is gone.
    pub(crate) fn settings_of(&self, mount: MountId) -> Arc<engine_config::Mount> {
        match self.snapshot.mount(mount) {
            Some(entry) => entry.settings.clone(),
            None => Arc::new(self.snapshot.config.mount_defaults.clone()),
        }
    }

    /// How long a listener of a mount may stay, if its operator set a limit.
    pub(crate) fn longest_stay(&self, mount: MountId) -> Option<Duration> {
        self.settings_of(mount).listener_duration_max_s.map(Duration::from_secs)
    }

    /// Sends the counters, lets go of feeds that nobody needs. Once a second.
    fn keep_house<I: Io>(&mut self, cx: &mut Context<'_, I, Message>) {
        let now = cx.now();
        self.housekeeping_at = now + HOUSEKEEPING;
        self.events.next_second();
        let forsaken = |feed: &Feed| feed.is_forsaken(now, FEED_LINGER);
        let gone: Vec<Token> =
            self.feeds.iter().filter(|(_, feed)| forsaken(feed)).map(|(token, _)| token).collect();
        for token in gone {
            let feed = self.feeds.remove(token).expect("listed above");
            self.feed_index.remove(&feed.key);
            self.feed_gone(cx, &feed);
        }
        self.feeds.values_mut().for_each(|feed| feed.measure(now));
        self.players_follow_sources(cx);
        let stats = self.collect_stats(cx);
        cx.send_surely(cx.control(), Message::Stats(Box::new(stats)));
    }

    fn acceptor_number(token: Token) -> Option<usize> {
        token.slot.checked_sub(ACCEPTOR_SLOT_BASE).map(|number| number as usize)
    }

    pub(crate) fn acceptor_token(number: usize) -> Token {
        Token { slot: ACCEPTOR_SLOT_BASE + number as u32, generation: 0 }
    }
}

impl<I: Io> Service<I> for Node {
    type Message = Message;

    fn on_start(&mut self, cx: &mut Context<'_, I, Message>) {
        self.me = cx.me();
        for number in 0..self.acceptors.len() {
            let (acceptor, _) = &self.acceptors[number];
            let options =
                BindOptions { shared: true, v6_only: acceptor.v6_only, ..BindOptions::default() };
            let address = acceptor.address;
            match cx.io().listen(address, options) {
                Ok((socket, _)) => {
                    self.acceptors[number].1 = Some(socket);
                    cx.submit(Self::acceptor_token(number), Op::Accept(socket));
                }
                // The server binds every address once before the shards start, so that this is
                // a race with another program, and said as such.
                Err(error) => tracing::error!(%address, %error, "cannot listen"),
            }
        }
        self.start_turn(cx);
        self.start_rtc(cx);
        self.feeders_follow_snapshot(cx);
        self.routes_follow_snapshot(cx);
    }

    fn on_completion(
        &mut self,
        cx: &mut Context<'_, I, Message>,
        completion: Completion<I::Buffer>,
    ) {
        if let Some(turn) = self.turn.as_mut().filter(|_| Relay::owns(completion.token())) {
            return turn.on_completion(cx, completion);
        }
        if let Some(rtc) = self.rtc.as_mut().filter(|_| Rtc::owns(completion.token())) {
            return rtc.on_completion(cx, completion);
        }
        if let Some(workers) = self.workers.as_mut().filter(|_| Bridge::owns(completion.token())) {
            return workers.on_completion(cx, completion);
        }
        match completion {
            Completion::Accepted { token, socket, peer } => {
                let number = Self::acceptor_number(token).expect("an acceptor's token");
                self.accepted(cx, number, socket, peer);
            }
            Completion::AcceptFailed { error, .. } => {
                self.counters.accepts_failed += 1;
                tracing::warn!(%error, "cannot accept a connection");
            }
            Completion::Received { token, mut buffer } => self.arrived(cx, token, &mut buffer),
            Completion::Ended { token, end } => self.receive_ended(cx, token, end),
            Completion::Sent { token, result } => self.sent(cx, token, result),
            Completion::Connected { token, result } => self.pull_connected(cx, token, result),
            Completion::Closed { token } => self.closed(cx, token),
            Completion::ReceivedFrom { .. } | Completion::Icmp { .. } => {
                unreachable!("no datagram socket is open")
            }
        }
    }

    fn on_message(&mut self, cx: &mut Context<'_, I, Message>, from: ShardId, message: Message) {
        self.message(cx, from, message);
    }

    fn on_timer(&mut self, cx: &mut Context<'_, I, Message>, token: Token) {
        match &mut self.turn {
            Some(turn) if Relay::owns(token) => turn.on_timer(cx, token),
            _ => {
                if let Some(tenant) = self.timers.fired(&self.connections, token, cx.now()) {
                    self.timer(cx, tenant);
                }
            }
        }
    }

    fn on_tick_end(&mut self, cx: &mut Context<'_, I, Message>) {
        let now = cx.now();
        self.shake_hands(cx);
        self.files_answered(cx, Shelf::Directories);
        self.files_answered(cx, Shelf::Artifacts);
        self.publish_sources(now);
        self.publish_feeds(cx);
        // Packets first: none waits for the sends to listeners of its own tick.
        self.end_turn_tick(cx);
        self.fan_out(cx);
        self.end_rtc_tick(cx);
        self.serve_subscribers(cx);
        // Last: what the others say to callers goes out in the same tick.
        self.tick_signalling(cx);
        if now >= self.housekeeping_at {
            self.keep_house(cx);
        }
        self.drain(cx);
    }

    fn deadline(&self) -> Option<Instant> {
        let has_waiting = !self.handshakes_waiting.is_empty() || !self.websockets_due.is_empty();
        let has_files = self.has_more_files();
        if self.has_due() || has_waiting || has_files || self.events.has_due() {
            return Some(self.started);
        }
        let slot = self.next_slot_at();
        [
            Some(self.housekeeping_at),
            slot,
            self.publish_again_at,
            self.next_chunk_at(),
            self.websockets_held.front().map(|(at, _)| *at),
            self.drain_until,
            self.turn.as_ref().and_then(Relay::deadline),
            self.signalling.as_ref().and_then(|it| it.server.deadline()),
            self.own_peer.deadline(),
            self.calls.deadline(self.started),
            self.rtc.as_ref().and_then(Rtc::deadline),
            self.workers.as_ref().and_then(Bridge::deadline),
            self.feeders.deadline(),
            self.players.deadline(),
        ]
        .into_iter()
        .flatten()
        .min()
    }
}

/// What one address may have of a shard.
pub(crate) fn address_limits(limits: &engine_config::Limits) -> AddressLimits {
    AddressLimits {
        connections_max: limits.address_connections_max,
        requests_per_second_max: limits.address_requests_per_second_max,
        ..AddressLimits::default()
    }
}
