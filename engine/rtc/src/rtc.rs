//! The driver itself: its tables, and which event goes where.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use engine_config::Config;
use media_rtc::{Role, SessionConfig, Transport};
use shards_runtime::{
    BindOptions, Completion, Context, Io, Op, ReceiveBuffer, ShardId, Slab, Token,
};

use crate::asks::Asks;
use crate::directory::{Directory, Name};
use crate::entry::Entry;
use crate::feed::{CacheRoom, Feed};
use crate::ids::{Names, SessionId};
use crate::letter::{Letter, Path};
use crate::local::Locals;
use crate::settings::Settings;
use crate::stats::{End, Ended, Row, Stats, StreamRow};
use crate::streams::Watched;
use crate::tcp::{Connection, Purpose, purpose_of};
use crate::wire::{Listener, Wire};

/// A table whose order nobody sees.
pub(crate) type Table<K, V> = HashMap<K, V, BuildHasherDefault<DefaultHasher>>;

/// Datagrams that may wait at a socket while a tick is long, bytes.
const QUEUE_BYTES: u32 = 4 << 20;

/// Streams that statistics name.
const STREAMS_TOLD_MAX: usize = 1_000;

/// The most sessions whose end waits to be written down.
const ENDED_MAX: usize = 65_536;

/// How often streams are looked over.
const HOUSEKEEPING: Duration = Duration::from_secs(1);

/// Rounds of a tick in which what one session does may give another something to do.
const ROUNDS_MAX: usize = 4;

/// Timers of sessions that fire in one tick.
const TIMERS_MAX: usize = 2_048;

/// Tokens of the driver stand above the relay's and below the acceptors'.
pub(crate) const LISTENER_BASE: u32 = 0x8000_0000;
const TOKENS_END: u32 = 0x9000_0000;

/// Where a session is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    /// Here, under this token.
    Here(Token),
    /// On this shard, or it knows.
    At(ShardId),
}

/// Whose datagrams come on a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Owner {
    /// A session's here.
    Here(Token),
    /// A session's on another shard.
    Away(ShardId, SessionId),
}

/// WebRTC on one shard.
pub struct Rtc {
    pub(crate) config: Arc<Config>,
    pub(crate) session_config: SessionConfig,
    pub(crate) me: ShardId,
    pub(crate) shards_count: u16,
    pub(crate) names: Names,
    pub(crate) wire: Wire,
    pub(crate) sessions: Slab<Box<Entry>>,
    pub(crate) by_path: Table<Path, Owner>,
    pub(crate) by_ufrag: Table<String, Place>,
    pub(crate) by_id: Table<SessionId, Place>,
    /// Names for ICE of sessions that were made here and are elsewhere.
    pub(crate) ufrags_away: Table<SessionId, Vec<String>>,
    pub(crate) timers: BTreeSet<(Instant, u64)>,
    /// Sessions that may have something to say.
    pub(crate) dirty: Vec<Token>,
    /// Publishers that got packets in this tick, or whose packets wait for a shard.
    pub(crate) flowing: Vec<Token>,
    /// When batches are offered again to a shard whose queue was full.
    pub(crate) flow_again_at: Option<Instant>,
    pub(crate) directory: Directory,
    pub(crate) watched: BTreeMap<Name, Watched>,
    pub(crate) feeds: BTreeMap<SessionId, Feed>,
    pub(crate) cache_room: CacheRoom,
    /// Connections of ICE-TCP, and where each is.
    pub(crate) connections: Slab<Connection>,
    pub(crate) connection_of: Table<Path, Token>,
    pub(crate) asks: Asks,
    pub(crate) locals: Locals,
    pub(crate) to_self: VecDeque<Letter>,
    pub(crate) stats: Stats,
    pub(crate) ended: Vec<Ended>,
    pub(crate) is_draining: bool,
    housekeeping_at: Instant,
}

impl Rtc {
    /// A driver that has not started.
    #[must_use]
    pub fn new(settings: &Settings, now: Instant) -> Rtc {
        let (me, shards_count) = settings.shard;
        let rtc = &settings.config.rtc;
        Rtc {
            config: settings.config.clone(),
            session_config: settings.sessions(),
            me: ShardId(me),
            shards_count,
            names: Names::new(settings.seed, me),
            wire: Wire::default(),
            // Sessions may come from other shards, where the limit has been asked already.
            sessions: Slab::new(rtc.sessions_per_shard_max * 2),
            by_path: Table::default(),
            by_ufrag: Table::default(),
            by_id: Table::default(),
            ufrags_away: Table::default(),
            timers: BTreeSet::new(),
            dirty: Vec::new(),
            flowing: Vec::new(),
            flow_again_at: None,
            directory: Directory::new(rtc.streams_max),
            watched: BTreeMap::new(),
            feeds: BTreeMap::new(),
            cache_room: CacheRoom::new(settings.config.rtc.cache_bytes_per_shard_max),
            connections: Slab::new(rtc.sessions_per_shard_max),
            connection_of: Table::default(),
            asks: Asks::default(),
            locals: Locals::default(),
            to_self: VecDeque::new(),
            stats: Stats::default(),
            ended: Vec::new(),
            is_draining: false,
            housekeeping_at: now + HOUSEKEEPING,
        }
    }

    /// Opens the addresses where media comes.
    ///
    /// # Errors
    /// What the system said of the first that could not be opened.
    pub fn start<I: Io, M: Send>(&mut self, cx: &mut Context<'_, I, M>) -> io::Result<()> {
        let options = BindOptions {
            shared: true,
            v6_only: true,
            receive_queue_bytes: QUEUE_BYTES,
            send_queue_bytes: QUEUE_BYTES,
            ..BindOptions::default()
        };
        for (index, address) in self.config.rtc.listen.clone().into_iter().enumerate() {
            let (socket, _) = cx.io().bind(address, options)?;
            let token = Token { slot: LISTENER_BASE + index as u32, generation: 0 };
            self.wire.listeners.push(Listener { address, socket, token });
            cx.submit(token, Op::RecvFrom(socket));
        }
        if self.config.rtc.tcp {
            self.listen_tcp(cx)?;
        }
        Ok(())
    }

    /// Whether a completion with this token is for the driver.
    pub fn owns(token: Token) -> bool {
        (LISTENER_BASE..TOKENS_END).contains(&token.slot)
    }

    /// Another configuration: tokens, streams and limits of what comes from now on.
    pub fn configure(&mut self, config: Arc<Config>) {
        self.config = config;
    }

    /// No session is opened any more.
    pub fn drain(&mut self) {
        self.is_draining = true;
    }

    /// An operation of a socket of the driver is done, or a step of a lasting one.
    pub fn on_completion<I: Io, M: Send + From<Letter>>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        completion: Completion<I::Buffer>,
    ) {
        let purpose = purpose_of(completion.token());
        match (completion, purpose) {
            (
                Completion::ReceivedFrom { peer, buffer, segment_size, .. },
                Purpose::Datagrams(listener),
            ) => {
                let path = Path { peer, transport: Transport::Udp, listener };
                buffer.segments(segment_size, 0, |mut datagram| {
                    let (room, data) = datagram.with_room();
                    self.datagram(cx, path, &room[data]);
                });
            }
            (Completion::Sent { result, .. }, Purpose::Datagrams(_)) => {
                self.wire.sent(result.is_ok());
            }
            (Completion::Ended { token, .. }, Purpose::Datagrams(_)) => {
                // A datagram socket ends when something is broken: go on receiving.
                let listener = self.wire.listeners.iter().find(|it| it.token == token);
                if let Some(listener) = listener {
                    cx.submit(token, Op::RecvFrom(listener.socket));
                }
            }
            (Completion::Accepted { socket, peer, .. }, Purpose::Acceptor(listener)) => {
                self.accepted(cx, listener, socket, peer);
            }
            (Completion::AcceptFailed { .. }, _) => self.stats.connections_refused += 1,
            (Completion::Received { buffer, .. }, Purpose::Connection(token)) => {
                self.received(cx, token, &buffer);
            }
            (Completion::Sent { result, .. }, Purpose::Connection(token)) => {
                self.connection_sent(cx, token, result.is_ok());
            }
            (Completion::Ended { .. }, Purpose::Connection(token)) => {
                self.close_connection(cx, token);
            }
            (Completion::Closed { .. }, Purpose::Connection(token)) => {
                self.connection_closed(token);
            }
            _ => {}
        }
    }

    /// A sibling's letter.
    pub fn on_letter<I: Io, M: Send + From<Letter>>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        from: ShardId,
        letter: Letter,
    ) {
        match letter {
            Letter::Packets(batch) => self.deliver(cx, &batch),
            Letter::Said(said) => self.said(cx.now(), &said),
            Letter::Stray(stray) => self.stray(cx, *stray),
            Letter::Send(framed) => self.send_framed(cx, framed.0, &framed.1),
            Letter::Route { from: path, session } => self.route(path, from, session),
            Letter::Unroute(path) => self.unroute(path, from),
            Letter::Move(entry) => self.moved_here(cx, entry),
            Letter::Forget(session) => self.forget(session),
            Letter::Claim(claim) => self.claim(cx, from, &claim),
            Letter::Claimed { session, granted } => self.claimed(cx, session, granted),
            Letter::Live { name, session } => self.live(cx, from, &name, session),
            Letter::Gone { name, session } => self.gone(cx, &name, session),
            Letter::Follow(name) => self.followed(cx, from, &name),
            Letter::Unfollow(name) => self.directory.unfollow(&name, from),
            Letter::Source(word) => self.source_is(cx, &word.0, word.1),
            Letter::Subscribe(session) => self.subscribed(cx, from, session),
            Letter::Unsubscribe(session) => self.unsubscribed(from, session),
            Letter::Tracks { session, tracks, replay } => {
                self.tracks_are(cx, session, tracks, replay);
            }
            Letter::KeyframeWanted { session, track, rid } => {
                self.keyframe_wanted(cx.now(), session, track, rid);
            }
            Letter::EstimatesWanted(session) => self.estimates_wanted(cx, from, session),
            Letter::Estimates { session, spread } => self.estimates(from, session, *spread),
            Letter::Manage(manage) => self.managed_here(cx, *manage),
            Letter::Managed { ask, answer } => self.asks.managed(ask, *answer),
            Letter::End(session, end) => self.end_wherever(cx, session, end),
        }
    }

    /// The tick ends: what sessions want to say is said, and packets go to who watches.
    pub fn on_tick_end<I: Io, M: Send + From<Letter>>(&mut self, cx: &mut Context<'_, I, M>) {
        self.fire_timers(cx.now());
        for _ in 0..ROUNDS_MAX {
            while let Some(letter) = self.to_self.pop_front() {
                self.on_letter(cx, self.me, letter);
            }
            self.pump_dirty(cx);
            self.flush_batches(cx);
            if self.dirty.is_empty() && self.to_self.is_empty() {
                break;
            }
        }
        self.asks.expire(cx.now());
        if cx.now() >= self.housekeeping_at {
            self.housekeeping_at = cx.now() + HOUSEKEEPING;
            self.keep_house(cx);
            self.close_unknown(cx);
        }
    }

    /// When [`Rtc::on_tick_end`] wants to run at the latest.
    pub fn deadline(&self) -> Option<Instant> {
        let timer = self.timers.first().map(|(at, _)| *at);
        // What is left over from a tick goes on at once.
        let is_busy = !self.dirty.is_empty() || !self.to_self.is_empty();
        let busy = is_busy.then_some(self.housekeeping_at - HOUSEKEEPING);
        let house = Some(self.housekeeping_at);
        let times = [timer, busy, house, self.flow_again_at, self.asks.deadline()];
        times.into_iter().flatten().min()
    }

    /// Ends a session by its number; false where it is not here.
    pub fn kill(&mut self, now: Instant, session: SessionId) -> bool {
        match self.by_id.get(&session) {
            Some(Place::Here(token)) => {
                let token = *token;
                self.end(now, token, End::Killed);
                true
            }
            _ => false,
        }
    }

    /// For tests: a session's machinery breaks soon; false where it is not here.
    #[doc(hidden)]
    pub fn plant_panic(&mut self, session: SessionId) -> bool {
        let Some(Place::Here(token)) = self.by_id.get(&session) else { return false };
        let entry = self.sessions.get_mut(*token);
        entry.map(|entry| entry.session.plant_panic()).is_some()
    }

    /// Ends all sessions: the server is stopping.
    pub fn end_all(&mut self, now: Instant) {
        let all: Vec<Token> = self.sessions.iter().map(|(token, _)| token).collect();
        for token in all {
            self.end(now, token, End::Drained);
        }
    }

    /// The sessions here.
    pub fn rows(&self, now: Instant) -> impl Iterator<Item = Row> {
        self.sessions.iter().map(move |(_, entry)| entry.row(now))
    }

    /// Sessions here.
    pub fn sessions_count(&self) -> usize {
        self.sessions.len()
    }

    /// All that is remembered here of sessions, theirs and their paths; for tests.
    #[doc(hidden)]
    pub fn held_count(&self) -> usize {
        self.sessions.len()
            + self.by_path.len()
            + self.by_ufrag.len()
            + self.by_id.len()
            + self.ufrags_away.len()
            + self.timers.len()
            + self.directory.streams_count()
    }

    /// Sessions that ended since this was last asked.
    pub fn take_ended(&mut self) -> Vec<Ended> {
        std::mem::take(&mut self.ended)
    }

    /// What is published and watched here, by name.
    fn stream_rows(&self) -> Vec<StreamRow> {
        let nothing = |name: &Name| StreamRow {
            name: name.clone(),
            is_published: false,
            tracks_count: 0,
            viewers_count: 0,
        };
        let mut rows = BTreeMap::new();
        for (name, watched) in self.watched.iter().filter(|(_, it)| !it.viewers.is_empty()) {
            let row = rows.entry(name).or_insert_with(|| nothing(name));
            // A tap is no viewer: it is the server's own.
            let is_viewer = |number: &&u64| Locals::tap_of(**number).is_none();
            row.viewers_count = watched.viewers.iter().filter(is_viewer).count();
        }
        for (_, entry) in self.sessions.iter() {
            if entry.role != Role::View && entry.session.is_connected() {
                let row = rows.entry(&entry.name).or_insert_with(|| nothing(&entry.name));
                row.is_published = true;
                row.tracks_count += entry.session.tracks().count();
            }
        }
        for (name, tracks_count) in self.locals.published() {
            let row = rows.entry(name).or_insert_with(|| nothing(name));
            row.is_published = true;
            row.tracks_count += tracks_count;
        }
        rows.into_values().take(STREAMS_TOLD_MAX).collect()
    }

    /// What was counted, and what is held.
    pub fn stats(&self) -> Stats {
        let mut stats = self.stats.clone();
        for (_, entry) in self.sessions.iter() {
            stats.sum.add(entry.session.counters());
            match entry.role {
                Role::View => stats.viewers_count += 1,
                _ => {
                    stats.publishers_count += 1;
                    stats.tracks_count += entry.session.tracks().count();
                }
            }
        }
        stats.publishers_count += self.locals.publishers_count();
        stats.streams = self.stream_rows();
        stats.streams_count = self.directory.live_count();
        stats.cache_bytes = self.cache_room.used_bytes;
        stats.caches_given_up = self.cache_room.given_up;
        stats.streams_known_count = self.directory.streams_count();
        stats.connections_count = self.connections.len();
        stats.sends = self.wire.sends;
        stats.datagrams_dropped += self.wire.dropped;
        stats
    }

    /// Says something to a shard that it must hear.
    pub(crate) fn post<I: Io, M: Send + From<Letter>>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        to: ShardId,
        letter: Letter,
    ) {
        if to == self.me {
            self.to_self.push_back(letter);
        } else if to.0 < self.shards_count {
            cx.send_surely(to, letter.into());
        }
    }

    pub(crate) fn write_down(&mut self, ended: Ended) {
        self.stats.sum.add(&ended.counters);
        if self.ended.len() < ENDED_MAX {
            self.ended.push(ended);
        }
    }

    fn fire_timers(&mut self, now: Instant) {
        for _ in 0..TIMERS_MAX {
            let Some((at, number)) = self.timers.first().copied().filter(|(at, _)| *at <= now)
            else {
                return;
            };
            self.timers.remove(&(at, number));
            let token = token_of(number);
            if let Some(entry) = self.sessions.get_mut(token) {
                entry.timer_at = None;
                self.tick(now, token);
            }
        }
    }
}

/// A token as one number, which has an order.
pub(crate) fn number_of(token: Token) -> u64 {
    u64::from(token.generation) << 32 | u64::from(token.slot)
}

/// Back from [`number_of`].
pub(crate) fn token_of(number: u64) -> Token {
    Token { slot: number as u32, generation: (number >> 32) as u32 }
}
