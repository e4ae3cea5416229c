//! Publishers and viewers that are no browsers: a worker's stream, and who records one.
//!
//! A *local publisher* is a session by its number alone: it claims its stream, has subscribers on
//! other shards, and is asked for keyframes like any other. A *tap* gets all tracks of a stream as
//! their publisher sends them. What both are told waits for [`Rtc::poll_local`], and is taken in
//! the tick in which it came.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use media_rtc::{RtpPacket, TrackId, TrackInfo};
use shards_runtime::{Context, Io, ShardId, Token};
use smallvec::SmallVec;

use crate::backlog::Subscriber;
use crate::directory::{Claim, Granted, Name, Who};
use crate::entry::Publishing;
use crate::estimates::Spreads;
use crate::feed::Feed;
use crate::ids::SessionId;
use crate::letter::{Batch, Letter};
use crate::rtc::{Rtc, token_of};

/// Taps have tokens that no session has.
const TAP_SLOT: u32 = 0xb000_0000;

/// Words that nobody has taken; beyond, packets are dropped. They are taken in each tick.
const WORDS_MAX: usize = 65_536;

/// A tap's number on this shard.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TapId(u64);

/// Whose a local publisher or a tap is: each takes its own words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Taker {
    /// The bridge to worker processes.
    Workers,
    /// The bridge to mounts.
    Mounts,
}

/// What a local publisher or a tap is told.
#[derive(Debug)]
pub enum LocalWord {
    /// The publisher has lost its stream to another, or did not get it.
    Refused(SessionId),
    /// Somebody who watches the publisher needs a keyframe.
    KeyframeWanted {
        /// Which publisher.
        session: SessionId,
        /// Of which track.
        track: TrackId,
    },
    /// The tap's stream has these tracks now.
    Tracks {
        /// Which tap.
        tap: TapId,
        /// Them.
        tracks: Vec<TrackInfo>,
    },
    /// A packet of the tap's stream.
    Packet {
        /// Which tap.
        tap: TapId,
        /// Of which track.
        track: TrackId,
        /// It.
        packet: Arc<RtpPacket>,
    },
    /// The tap's stream has no publisher any more.
    Lost(TapId),
}

#[derive(Debug)]
struct Local {
    taker: Taker,
    name: Name,
    tracks: Arc<[TrackInfo]>,
    publishing: Publishing,
    /// What the ways to viewers on other shards take.
    spreads: Spreads,
}

#[derive(Debug)]
struct Tap {
    taker: Taker,
    name: Name,
    fed_by: Option<SessionId>,
}

/// Those of this shard.
#[derive(Debug, Default)]
pub(crate) struct Locals {
    publishers: BTreeMap<SessionId, Local>,
    taps: BTreeMap<TapId, Tap>,
    taps_count: u32,
    words: [VecDeque<LocalWord>; 2],
    pub(crate) words_dropped: u64,
}

impl Locals {
    pub(crate) fn has_publisher(&self, session: SessionId) -> bool {
        self.publishers.contains_key(&session)
    }

    /// The tap that has this number among a feed's viewers.
    pub(crate) fn tap_of(number: u64) -> Option<TapId> {
        (token_of(number).slot == TAP_SLOT).then_some(TapId(number))
    }

    pub(crate) fn publishers_count(&self) -> usize {
        self.publishers.len()
    }

    /// What they publish, and in how many tracks.
    pub(crate) fn published(&self) -> impl Iterator<Item = (&Name, usize)> {
        self.publishers.values().map(|local| (&local.name, local.tracks.len()))
    }

    /// The other shards with viewers of a publisher, and what these said of their ways.
    pub(crate) fn spreads_of(
        &mut self,
        session: SessionId,
    ) -> Option<(SmallVec<[ShardId; 16]>, &mut Spreads)> {
        let local = self.publishers.get_mut(&session)?;
        let shards = local.publishing.subscribers.iter().map(|subscriber| subscriber.shard);
        Some((shards.collect(), &mut local.spreads))
    }

    /// Says something to whoever took a tap, or whose publisher it is.
    fn say(&mut self, taker: Taker, word: LocalWord) {
        let words = &mut self.words[taker as usize];
        if words.len() < WORDS_MAX {
            words.push_back(word);
        } else {
            self.words_dropped += 1;
        }
    }

    /// Gives a packet to a tap.
    pub(crate) fn give(&mut self, tap: TapId, track: TrackId, packet: &Arc<RtpPacket>) {
        let Some(taker) = self.taps.get(&tap).map(|tap| tap.taker) else { return };
        self.say(taker, LocalWord::Packet { tap, track, packet: packet.clone() });
    }
}

impl Rtc {
    /// Publishes a stream whose packets are made here. The claim may yet be refused, unless it
    /// takes over.
    pub fn publish<I: Io, M: Send + From<Letter>>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        (taker, takes_over): (Taker, bool),
        name: Name,
        tracks: Vec<TrackInfo>,
    ) -> SessionId {
        let session = self.names.session();
        let tracks: Arc<[TrackInfo]> = tracks.into();
        self.keep_own(cx, session, tracks.clone());
        let publishing = Publishing::default();
        let spreads = Spreads::default();
        let local = Local { taker, name: name.clone(), tracks, publishing, spreads };
        self.locals.publishers.insert(session, local);
        let home = self.home_of(&name);
        let claim = Claim { name, session, takes_over, who: None };
        self.post(cx, home, Letter::Claim(Box::new(claim)));
        session
    }

    /// A packet of a local publisher. What is fed in a tick leaves with the next tick's end.
    pub fn feed(&mut self, session: SessionId, track: TrackId, packet: Arc<RtpPacket>) {
        if let Some(local) = self.locals.publishers.get_mut(&session) {
            local.publishing.batch.push((track, packet));
        }
    }

    /// A local publisher ends.
    pub fn unpublish<I: Io, M: Send + From<Letter>>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        session: SessionId,
    ) {
        if let Some(local) = self.locals.publishers.remove(&session) {
            self.feeds.remove(&session);
            let home = self.home_of(&local.name);
            self.post(cx, home, Letter::Gone { name: local.name, session });
        }
    }

    /// Taps a stream, whether or not somebody publishes it now.
    pub fn tap<I: Io, M: Send + From<Letter>>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        taker: Taker,
        name: &Name,
    ) -> TapId {
        self.locals.taps_count += 1;
        let token = Token { slot: TAP_SLOT, generation: self.locals.taps_count };
        let tap = TapId(crate::rtc::number_of(token));
        self.locals.taps.insert(tap, Tap { taker, name: name.clone(), fed_by: None });
        self.watch(cx, token, name.clone());
        tap
    }

    /// Ends a tap.
    pub fn untap(&mut self, tap: TapId) {
        let Some(gone) = self.locals.taps.remove(&tap) else { return };
        if let Some(watched) = self.watched.get_mut(&gone.name) {
            watched.viewers.remove(&tap.0);
        }
        if let Some(feed) = gone.fed_by.and_then(|session| self.feeds.get_mut(&session)) {
            feed.viewers.remove(&tap.0);
        }
    }

    /// A tap needs keyframes of all pictures of its stream.
    pub fn want_keyframes<I: Io, M: Send + From<Letter>>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        tap: TapId,
    ) {
        let Some(session) = self.locals.taps.get(&tap).and_then(|tap| tap.fed_by) else { return };
        if let Some(feed) = self.feeds.get_mut(&session) {
            feed.want_keyframes();
        }
        self.ask_for_keyframes(cx, session);
    }

    /// What local publishers and taps are told. Poll until there is nothing, once a tick.
    pub fn poll_local(&mut self, taker: Taker) -> Option<LocalWord> {
        self.locals.words[taker as usize].pop_front()
    }

    /// The publisher that a tap hears now.
    pub fn heard_by(&self, tap: TapId) -> Option<SessionId> {
        self.locals.taps.get(&tap)?.fed_by
    }

    /// Whether anybody on any shard watches a local publisher.
    pub fn is_watched(&self, session: SessionId) -> bool {
        let is_here = self.feeds.get(&session).is_some_and(|feed| !feed.viewers.is_empty());
        let local = self.locals.publishers.get(&session);
        is_here || local.is_some_and(|local| !local.publishing.subscribers.is_empty())
    }

    /// Whether a stream is at home on this shard.
    pub fn is_at_home(&self, name: &str) -> bool {
        self.home_of(name) == self.me
    }

    /// Who publishes a stream that is at home here.
    pub fn publisher_of(&self, name: &str) -> Option<&Who> {
        self.directory.who(name)
    }

    /// A number that is not to be guessed, such as a new source's.
    pub fn draw_number(&mut self) -> u64 {
        self.names.number()
    }

    /// The streams at home here that somebody publishes.
    pub fn live_streams(&self) -> impl Iterator<Item = &Name> {
        self.directory.live_names()
    }

    /// The streams at home here that went live or ended since this was last asked, each as it is
    /// now. To be asked in every tick.
    pub fn take_stream_changes(&mut self) -> BTreeMap<Name, bool> {
        self.directory.take_changes()
    }

    /// What became of a local publisher's claim.
    pub(crate) fn local_claimed<I: Io, M: Send + From<Letter>>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        session: SessionId,
        granted: Granted,
    ) {
        let Some(local) = self.locals.publishers.get(&session) else { return };
        if granted == Granted::Yes {
            let name = local.name.clone();
            let home = self.home_of(&name);
            self.post(cx, home, Letter::Live { name, session });
        } else {
            self.local_lost(session);
        }
    }

    /// A local publisher has no stream any more.
    pub(crate) fn local_lost(&mut self, session: SessionId) {
        if let Some(local) = self.locals.publishers.remove(&session) {
            self.feeds.remove(&session);
            self.locals.say(local.taker, LocalWord::Refused(session));
        }
    }

    /// A shard watches a local publisher; it is answered with the tracks.
    pub(crate) fn local_subscribed(
        &mut self,
        from: ShardId,
        session: SessionId,
    ) -> Option<Arc<[TrackInfo]>> {
        let me = self.me;
        let local = self.locals.publishers.get_mut(&session)?;
        let subscribers = &mut local.publishing.subscribers;
        if from != me && !subscribers.iter().any(|it| it.shard == from) {
            subscribers.push(Subscriber::new(from));
        }
        Some(local.tracks.clone())
    }

    pub(crate) fn local_unsubscribed(&mut self, from: ShardId, session: SessionId) {
        if let Some(local) = self.locals.publishers.get_mut(&session) {
            local.publishing.subscribers.retain(|subscriber| subscriber.shard != from);
        }
    }

    /// A keyframe of a local publisher is wanted: within the interval many are one. Encoders have
    /// their own keyframes, so that one that falls into the interval is not asked for later.
    pub(crate) fn local_keyframe_wanted(
        &mut self,
        now: std::time::Instant,
        session: SessionId,
        track: TrackId,
    ) {
        let interval = self.keyframe_interval();
        let Some(local) = self.locals.publishers.get_mut(&session) else { return };
        if local.publishing.wants_keyframe(now, track, None, interval) {
            let taker = local.taker;
            self.locals.say(taker, LocalWord::KeyframeWanted { session, track });
        }
    }

    /// What local publishers sent in this tick goes to the shards that watch them.
    pub(crate) fn flush_local_batches<I: Io, M: Send + From<Letter>>(
        &mut self,
        cx: &mut Context<'_, I, M>,
    ) {
        let mut here = Vec::new();
        for (session, local) in &mut self.locals.publishers {
            let packets = std::mem::take(&mut local.publishing.batch);
            let batch = (!packets.is_empty())
                .then(|| Arc::new(Batch { session: *session, has_gap: false, packets }));
            for subscriber in &mut local.publishing.subscribers {
                let shard = subscriber.shard;
                let dropped = subscriber.offer(batch.as_ref(), |batch| {
                    cx.send(shard, Letter::Packets(batch).into()).map_err(|_| ())
                });
                self.stats.batches_dropped += dropped;
            }
            here.extend(batch);
        }
        for batch in here {
            self.deliver(cx, &batch);
        }
    }

    /// Leads a tap to where its stream's packets are now.
    pub(crate) fn attach_tap<I: Io, M: Send + From<Letter>>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        tap: TapId,
    ) {
        let Some(known) = self.locals.taps.get(&tap) else { return };
        let source = self.watched.get(&known.name).and_then(|watched| watched.source);
        let (before, taker) = (known.fed_by, known.taker);
        if let Some(before) = before.filter(|it| source.is_none_or(|source| source.session != *it))
        {
            if let Some(feed) = self.feeds.get_mut(&before) {
                feed.viewers.remove(&tap.0);
            }
            self.locals.say(taker, LocalWord::Lost(tap));
        }
        if let Some(known) = self.locals.taps.get_mut(&tap) {
            known.fed_by = source.map(|source| source.session);
        }
        let Some(source) = source else { return };
        let mut is_new = false;
        let feed = self.feeds.entry(source.session).or_insert_with(|| {
            is_new = true;
            Feed::new(source.at)
        });
        feed.viewers.insert(tap.0);
        if is_new {
            self.post(cx, source.at, Letter::Subscribe(source.session));
        }
        let Some(feed) = self.feeds.get_mut(&source.session) else { return };
        let tracks: Vec<TrackInfo> = feed.tracks().cloned().collect();
        if !tracks.is_empty() {
            feed.want_keyframes();
            self.locals.say(taker, LocalWord::Tracks { tap, tracks });
            self.ask_for_keyframes(cx, source.session);
        }
    }
}
