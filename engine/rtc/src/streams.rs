//! Streams: what is published here goes to who watches, here and on other shards.
//!
//! ```text
//! publisher's shard          home                   a shard with viewers
//! connected ──── Live ─────► directory ── Source ─► watched: reattach
//!                                                     │
//! subscribers ◄──────────────── Subscribe ────────────┘
//!     └── Tracks, then Packets each tick ───────────► feed: kept tracks ──► viewers
//!     ◄── KeyframeWanted ──────────────────────────────┘
//! ```
//!
//! A viewer of a stream without a publisher gets the packets of the configured successor, or waits.

use std::collections::BTreeSet;
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;
use std::time::{Duration, Instant};

use media_rtc::{Rid, Role, RtpPacket, TrackId, TrackInfo, TrackLimits};
use shards_runtime::{Context, Io, ShardId, Token};

use crate::asks::Opened;
use crate::backlog::Subscriber;
use crate::directory::{Claim, Granted, Name, Source, Word, home_of};
use crate::entry::Entry;
use crate::feed::{Feed, run_length};
use crate::ids::SessionId;
use crate::letter::{Batch, Letter};
use crate::local::Locals;
use crate::rtc::{Place, Rtc};
use crate::stats::End;

/// How long a stream that nobody watches here is followed.
const LINGER: Duration = Duration::from_secs(3);

/// How soon batches are offered again to a shard whose queue was full.
const FLOW_AGAIN: Duration = Duration::from_millis(1);

/// A stream that this shard follows.
#[derive(Debug, Default)]
pub(crate) struct Watched {
    /// Where it is, once its home has said so.
    pub(crate) source: Option<Source>,
    /// Its home has said so.
    pub(crate) is_told: bool,
    /// Who watches it here.
    pub(crate) viewers: BTreeSet<u64>,
    /// When it is not followed any more, if nobody comes.
    until: Option<Instant>,
}

impl Rtc {
    pub(crate) fn home_of(&self, name: &str) -> ShardId {
        home_of(name, self.shards_count)
    }

    // ── A stream's home.

    pub(crate) fn claim<I: Io, M: Send + From<Letter>>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        from: ShardId,
        claim: &Claim,
    ) {
        let mut words = Vec::new();
        let granted = self.directory.claim(claim, |to, word| words.push((to, word)));
        self.say(cx, words);
        self.post(cx, from, Letter::Claimed { session: claim.session, granted });
    }

    /// What became of a claim of ours. A session that nobody waits for any more is ended.
    pub(crate) fn claimed<I: Io, M: Send + From<Letter>>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        session: SessionId,
        granted: Granted,
    ) {
        if self.locals.has_publisher(session) {
            return self.local_claimed(cx, session, granted);
        }
        if !self.asks.claimed(session, granted) {
            self.end_wherever(cx, session, End::Refused);
        }
    }

    pub(crate) fn live<I: Io, M: Send + From<Letter>>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        at: ShardId,
        name: &Name,
        session: SessionId,
    ) {
        let mut words = Vec::new();
        self.directory.live(name, Source { session, at }, |to, word| words.push((to, word)));
        self.say(cx, words);
    }

    pub(crate) fn gone<I: Io, M: Send + From<Letter>>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        name: &Name,
        session: SessionId,
    ) {
        let mut words = Vec::new();
        self.directory.gone(name, session, |to, word| words.push((to, word)));
        self.say(cx, words);
    }

    pub(crate) fn followed<I: Io, M: Send + From<Letter>>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        from: ShardId,
        name: &Name,
    ) {
        let mut words = Vec::new();
        self.directory.follow(name, from, |to, word| words.push((to, word)));
        self.say(cx, words);
    }

    fn say<I: Io, M: Send + From<Letter>>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        words: Vec<(ShardId, Word)>,
    ) {
        for (to, word) in words {
            let letter = match word {
                Word::Source { name, source } => Letter::Source(Box::new((name, source))),
                Word::Replaced(session) => Letter::End(session, End::Replaced),
            };
            self.post(cx, to, letter);
        }
    }

    // ── A publisher's shard.

    /// A session is connected for the first time: what it is for begins.
    pub(crate) fn connected<I: Io, M: Send + From<Letter>>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        token: Token,
    ) {
        let Some(entry) = self.sessions.get(token) else { return };
        let (name, session) = (entry.name.clone(), entry.id);
        if entry.role == Role::View {
            return self.watch(cx, token, name);
        }
        let tracks = tracks_of(entry);
        self.keep_own(cx, session, tracks);
        let home = self.home_of(&name);
        self.post(cx, home, Letter::Live { name, session });
    }

    pub(crate) fn subscribed<I: Io, M: Send + From<Letter>>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        from: ShardId,
        session: SessionId,
    ) {
        let replay = self.replay_of(session).filter(|_| from != self.me);
        if let Some(tracks) = self.local_subscribed(from, session) {
            return self.post(cx, from, Letter::Tracks { session, tracks, replay });
        }
        let Some(Place::Here(token)) = self.by_id.get(&session).copied() else { return };
        let Some(entry) = self.sessions.get_mut(token) else { return };
        let subscribers = &mut entry.publishing.subscribers;
        if from != self.me && !subscribers.iter().any(|it| it.shard == from) {
            subscribers.push(Subscriber::new(from));
        }
        let tracks = tracks_of(entry);
        self.post(cx, from, Letter::Tracks { session, tracks, replay });
    }

    pub(crate) fn unsubscribed(&mut self, from: ShardId, session: SessionId) {
        self.local_unsubscribed(from, session);
        let Some(Place::Here(token)) = self.by_id.get(&session).copied() else { return };
        if let Some(entry) = self.sessions.get_mut(token) {
            entry.publishing.subscribers.retain(|subscriber| subscriber.shard != from);
        }
    }

    /// A session's tracks are others than before.
    pub(crate) fn tracks_changed<I: Io, M: Send + From<Letter>>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        token: Token,
    ) {
        let Some(entry) = self.sessions.get(token) else { return };
        let session = entry.id;
        if entry.role == Role::View {
            if entry.is_live {
                self.attach(cx, token);
            }
            return;
        }
        let tracks = tracks_of(entry);
        let shards: Vec<_> = entry.publishing.subscribers.iter().map(|it| it.shard).collect();
        for shard in shards {
            let tracks = tracks.clone();
            self.post(cx, shard, Letter::Tracks { session, tracks, replay: None });
        }
        if self.feeds.contains_key(&session) {
            self.tracks_are(cx, session, tracks, None);
        }
    }

    /// A viewer somewhere needs a keyframe of a publisher here.
    pub(crate) fn keyframe_wanted(
        &mut self,
        now: Instant,
        session: SessionId,
        track: TrackId,
        rid: Option<Rid>,
    ) {
        if self.locals.has_publisher(session) {
            return self.local_keyframe_wanted(now, session, track);
        }
        let interval = self.keyframe_interval();
        let Some(Place::Here(token)) = self.by_id.get(&session).copied() else { return };
        let Some(entry) = self.sessions.get_mut(token) else { return };
        if entry.publishing.wants_keyframe(now, track, rid, interval) {
            entry.session.request_keyframe(now, track, rid);
            self.stats.keyframes_requested += 1;
        }
        self.mark(token);
    }

    /// What publishers here sent in this tick goes to the shards that watch them.
    pub(crate) fn flush_batches<I: Io, M: Send + From<Letter>>(
        &mut self,
        cx: &mut Context<'_, I, M>,
    ) {
        self.flush_local_batches(cx);
        self.flow_again_at = None;
        for token in std::mem::take(&mut self.flowing) {
            let Some(entry) = self.sessions.get_mut(token) else { continue };
            let packets = std::mem::take(&mut entry.publishing.batch);
            let batch = (!packets.is_empty())
                .then(|| Arc::new(Batch { session: entry.id, has_gap: false, packets }));
            let mut is_waiting = false;
            for subscriber in &mut entry.publishing.subscribers {
                let shard = subscriber.shard;
                let dropped = subscriber.offer(batch.as_ref(), |batch| {
                    cx.send(shard, Letter::Packets(batch).into()).map_err(|_| ())
                });
                self.stats.batches_dropped += dropped;
                is_waiting |= subscriber.is_waiting();
            }
            if is_waiting {
                self.flowing.push(token);
                self.flow_again_at = Some(cx.now() + FLOW_AGAIN);
            }
            if let Some(batch) = batch {
                self.deliver(cx, &batch);
            }
        }
    }

    // ── A shard with viewers.

    /// A viewer's session was made: it may watch at once, or its stream is asked for first.
    pub(crate) fn look<I: Io, M: Send + From<Letter>>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        asker: crate::asks::Asker,
        opened: Opened,
    ) {
        let name = opened.name.clone();
        self.follow(cx, &name);
        let may_wait = self.may_wait(&name);
        let is_there = self.source_of(&name).is_some();
        if may_wait || is_there {
            return self.asks.opened(asker, opened);
        }
        let is_told = self.watched.get(&name).is_some_and(|watched| watched.is_told);
        self.asks.wait_for_source(cx.now(), asker, opened);
        if is_told {
            self.sources_told(cx, &name);
        }
    }

    /// Whether viewers of a stream may come before its publisher.
    fn may_wait(&self, name: &str) -> bool {
        let stream = self.config.streams.iter().find(|stream| *stream.name == *name);
        stream.is_some_and(|stream| stream.wait_s.unwrap_or(self.config.rtc.wait_s) > 0)
    }

    /// How long viewers of a stream wait for its publisher.
    pub fn wait_of(&self, name: &str) -> Duration {
        let stream = self.config.streams.iter().find(|stream| *stream.name == *name);
        let own = stream.and_then(|stream| stream.wait_s);
        Duration::from_secs(own.unwrap_or(self.config.rtc.wait_s))
    }

    fn successor_of(&self, name: &str) -> Option<Name> {
        let stream = self.config.streams.iter().find(|stream| *stream.name == *name)?;
        stream.successor.as_deref().map(Name::from)
    }

    /// Where the packets for viewers of a stream are: its own publisher, or its successor's.
    fn source_of(&self, name: &str) -> Option<Source> {
        let own = self.watched.get(name).and_then(|watched| watched.source);
        own.or_else(|| self.watched.get(&self.successor_of(name)?)?.source)
    }

    /// Asks the home of a stream, and that of its successor, where it is, unless that is known.
    fn follow<I: Io, M: Send + From<Letter>>(&mut self, cx: &mut Context<'_, I, M>, name: &Name) {
        for name in [Some(name.clone()), self.successor_of(name)].into_iter().flatten() {
            let until = cx.now() + LINGER;
            let home = self.home_of(&name);
            match self.watched.get_mut(&name) {
                Some(watched) => watched.until = watched.until.map(|_| until),
                None => {
                    let until = Some(until);
                    self.watched.insert(name.clone(), Watched { until, ..Watched::default() });
                    self.post(cx, home, Letter::Follow(name));
                }
            }
        }
    }

    /// A viewer is connected.
    pub(crate) fn watch<I: Io, M: Send + From<Letter>>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        token: Token,
        name: Name,
    ) {
        self.follow(cx, &name);
        if let Some(watched) = self.watched.get_mut(&name) {
            watched.viewers.insert(crate::rtc::number_of(token));
        }
        self.attach(cx, token);
    }

    /// Leads a viewer to where its stream's packets are now.
    fn attach<I: Io, M: Send + From<Letter>>(&mut self, cx: &mut Context<'_, I, M>, token: Token) {
        let now = cx.now();
        let number = crate::rtc::number_of(token);
        if let Some(tap) = Locals::tap_of(number) {
            return self.attach_tap(cx, tap);
        }
        let Some(entry) = self.sessions.get(token) else { return };
        let source = self.source_of(&entry.name);
        let before = entry.viewing.fed_by;
        if let Some(before) = before.filter(|it| source.is_none_or(|source| source.session != *it))
            && let Some(feed) = self.feeds.get_mut(&before)
        {
            feed.viewers.remove(&number);
        }
        let Some(source) = source else {
            if let Some(entry) = self.sessions.get_mut(token) {
                entry.viewing.detach(now);
            }
            return;
        };
        let mut is_new = false;
        self.feeds.entry(source.session).or_insert_with(|| {
            is_new = true;
            Feed::new(source.at)
        });
        if is_new {
            self.post(cx, source.at, Letter::Subscribe(source.session));
        }
        let (Some(entry), Some(feed)) =
            (self.sessions.get_mut(token), self.feeds.get_mut(&source.session))
        else {
            return;
        };
        feed.viewers.insert(number);
        let names = &mut self.names;
        let from = (source.session, &feed.kept[..]);
        entry.viewing.attach(now, from, &mut entry.session, || names.number());
        let needed: Vec<_> = entry.viewing.keyframes_needed(now).collect();
        for (track, rid) in needed {
            if let Some(kept) = feed.kept.iter_mut().find(|kept| kept.info.id == track) {
                kept.track.want_keyframe(rid);
            }
        }
        self.mark(token);
        self.ask_for_keyframes(cx, source.session);
    }

    /// A viewer is gone.
    pub(crate) fn unwatch(&mut self, token: Token, entry: &Entry) {
        let number = crate::rtc::number_of(token);
        if let Some(watched) = self.watched.get_mut(&entry.name) {
            watched.viewers.remove(&number);
        }
        let feed = entry.viewing.fed_by.and_then(|session| self.feeds.get_mut(&session));
        if let Some(feed) = feed {
            feed.viewers.remove(&number);
        }
    }

    /// A stream's home says where it is.
    pub(crate) fn source_is<I: Io, M: Send + From<Letter>>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        name: &Name,
        source: Option<Source>,
    ) {
        let Some(watched) = self.watched.get_mut(name) else { return };
        let before = std::mem::replace(&mut watched.source, source);
        watched.is_told = true;
        self.sources_told(cx, name);
        let mut names = vec![name.clone()];
        let streams = self.config.streams.iter();
        let succeeded = streams.filter(|stream| stream.successor.as_deref() == Some(&**name));
        names.extend(succeeded.map(|stream| Name::from(&*stream.name)));
        for name in names {
            self.sources_told(cx, &name);
            let viewers = self.watched.get(&name).map(|watched| watched.viewers.clone());
            for number in viewers.into_iter().flatten() {
                self.attach(cx, crate::rtc::token_of(number));
            }
        }
        if let Some(before) = before.filter(|before| source != Some(*before)) {
            self.drop_feed(cx, before.session);
        }
    }

    /// Viewers that came before it was known whether their stream is there hear of it.
    fn sources_told<I: Io, M: Send + From<Letter>>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        name: &Name,
    ) {
        let is_there = self.source_of(name).is_some();
        for refused in self.asks.source_told(name, is_there) {
            self.end_wherever(cx, refused, End::Refused);
        }
    }

    fn drop_feed<I: Io, M: Send + From<Letter>>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        session: SessionId,
    ) {
        if self.feeds.get(&session).is_some_and(|feed| !feed.is_own)
            && let Some(feed) = self.feeds.remove(&session)
        {
            self.post(cx, feed.at, Letter::Unsubscribe(session));
        }
    }

    /// A publisher's tracks are these.
    pub(crate) fn tracks_are<I: Io, M: Send + From<Letter>>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        session: SessionId,
        tracks: Arc<[TrackInfo]>,
        replay: Option<Arc<Batch>>,
    ) {
        let limits =
            TrackLimits { keyframe_interval: self.keyframe_interval(), ..TrackLimits::default() };
        let Some(feed) = self.feeds.get_mut(&session) else { return };
        feed.tracks_are(&tracks, limits);
        for (track, packet) in replay.iter().flat_map(|batch| &batch.packets) {
            feed.keep(packet.received_at, *track, packet, &mut self.cache_room);
        }
        for number in feed.viewers.clone() {
            self.attach(cx, crate::rtc::token_of(number));
        }
    }

    /// Packets of a publisher, for the viewers here.
    ///
    /// One viewer is given all of them and speaks before the next one's turn: what is kept of a
    /// viewer is more than a core's nearest caches hold of many.
    pub(crate) fn deliver<I: Io, M: Send + From<Letter>>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        batch: &Batch,
    ) {
        let now = cx.now();
        let mut rest = &batch.packets[..];
        while !rest.is_empty() {
            let (run, after) = rest.split_at(run_length(rest));
            rest = after;
            let Some(feed) = self.feeds.get_mut(&batch.session) else { return };
            let room = &mut self.cache_room;
            let run: Vec<_> = run
                .iter()
                .filter_map(|(track, packet)| Some((feed.keep(now, *track, packet, room)?, packet)))
                .collect();
            let mut viewer = feed.viewers.first().copied();
            while let Some(number) = viewer {
                self.give(now, batch.session, number, &run);
                self.pump(cx, crate::rtc::token_of(number));
                let Some(feed) = self.feeds.get(&batch.session) else { return };
                viewer = feed.viewers.range((Excluded(number), Unbounded)).next().copied();
            }
        }
        if batch.has_gap
            && let Some(feed) = self.feeds.get_mut(&batch.session)
        {
            feed.want_keyframes();
        }
        self.ask_for_keyframes(cx, batch.session);
    }

    /// Gives one viewer of a feed packets that its tracks have kept.
    fn give(
        &mut self,
        now: Instant,
        session: SessionId,
        number: u64,
        run: &[(usize, &Arc<RtpPacket>)],
    ) {
        let Some(Feed { kept: all, .. }) = self.feeds.get_mut(&session) else { return };
        let Some(entry) = self.sessions.get_mut(crate::rtc::token_of(number)) else {
            if let Some(tap) = Locals::tap_of(number) {
                for (place, packet) in run {
                    self.locals.give(tap, all[*place].info.id, packet);
                }
            }
            return;
        };
        let Entry { viewing, session, .. } = &mut **entry;
        for (place, packet) in run {
            let kept = &mut all[*place];
            if let Some(rid) = viewing.take(now, kept, packet, session) {
                kept.track.want_keyframe(rid);
            }
        }
    }

    /// A viewer says that it lost the picture.
    pub(crate) fn viewer_wants_keyframe<I: Io, M: Send + From<Letter>>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        token: Token,
        track: TrackId,
    ) {
        self.stats.keyframes_wanted += 1;
        let Some(entry) = self.sessions.get(token) else { return };
        let (Some(session), Some((origin, rid))) =
            (entry.viewing.fed_by, entry.viewing.origin_of(track))
        else {
            return;
        };
        let Some(feed) = self.feeds.get_mut(&session) else { return };
        if let Some(kept) = feed.kept.iter_mut().find(|kept| kept.info.id == origin) {
            kept.track.want_keyframe(rid);
        }
        self.ask_for_keyframes(cx, session);
    }

    /// Asks a publisher for the keyframes that viewers here need, many as one.
    pub(crate) fn ask_for_keyframes<I: Io, M: Send + From<Letter>>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        session: SessionId,
    ) {
        let now = cx.now();
        let Some(feed) = self.feeds.get_mut(&session) else { return };
        let at = feed.at;
        let mut wanted = Vec::new();
        for kept in &mut feed.kept {
            while let Some(rid) = kept.track.poll(now) {
                wanted.push((kept.info.id, rid));
            }
        }
        for (track, rid) in wanted {
            self.post(cx, at, Letter::KeyframeWanted { session, track, rid });
        }
    }

    /// Streams that nobody watches are followed no more, who has waited too long is ended, and
    /// keyframes that were wanted too early are asked for. Once a second.
    pub(crate) fn keep_house<I: Io, M: Send + From<Letter>>(&mut self, cx: &mut Context<'_, I, M>) {
        let now = cx.now();
        self.count_caches();
        let mut succeeding = BTreeSet::new();
        for (name, watched) in &self.watched {
            if !watched.viewers.is_empty() {
                succeeding.extend(self.successor_of(name));
            }
        }
        let mut unused = Vec::new();
        for (name, watched) in &mut self.watched {
            let is_used = !watched.viewers.is_empty()
                || succeeding.contains(name)
                || self.asks.waits_for(name);
            match watched.until {
                _ if is_used => watched.until = None,
                None => watched.until = Some(now + LINGER),
                Some(until) if now >= until => unused.push(name.clone()),
                Some(_) => {}
            }
        }
        for name in unused {
            let watched = self.watched.remove(&name);
            let home = self.home_of(&name);
            self.post(cx, home, Letter::Unfollow(name));
            if let Some(source) = watched.and_then(|watched| watched.source) {
                self.drop_feed(cx, source.session);
            }
        }
        let idle = self.feeds.iter().filter(|(_, feed)| feed.viewers.is_empty());
        for session in idle.map(|(session, _)| *session).collect::<Vec<_>>() {
            self.drop_feed(cx, session);
        }
        for session in self.feeds.keys().copied().collect::<Vec<_>>() {
            self.ask_for_keyframes(cx, session);
        }
        let hungry = self.sessions.iter().filter(|(_, entry)| {
            let since = entry.viewing.hungry_since;
            since.is_some_and(|since| now >= since + self.wait_of(&entry.name))
        });
        for token in hungry.map(|(token, _)| token).collect::<Vec<_>>() {
            self.end(now, token, End::Unfed);
        }
    }
}

/// What a publisher sends.
fn tracks_of(entry: &Entry) -> Arc<[TrackInfo]> {
    entry.session.tracks().filter(|track| track.is_incoming).cloned().collect()
}
