//! The feeds of a shard: made when somebody wants them, filled, and let go.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use bytes::Bytes;
use media_mount::{Chunk, Titled, WindowLimits};
use protocol_icy::{Title, title_block};
use shards_runtime::{Context, Io, Token};

use crate::feed::{Feed, FeedKey, Rendition, Role};
use crate::message::{EndCause, Message};
use crate::mutant::mutant;
use crate::node::Node;
use crate::snapshot::{Session, SessionId};

/// How long a full queue is left alone.
const PUBLISH_AGAIN: Duration = Duration::from_millis(2);

impl Node {
    /// The feed of a session in a rendition; made, and subscribed to, if this shard has none.
    /// `None` when it has too many: sessions came and went faster than their feeds are let go.
    pub(crate) fn feed_for<I: Io>(
        &mut self,
        cx: &mut Context<'_, I, Message>,
        session: &Session,
        rendition: Rendition,
    ) -> Option<Token> {
        let key = FeedKey { session: session.id, rendition };
        if let Some(token) = self.feed_index.get(&key) {
            return Some(*token);
        }
        if rendition == Rendition::Titled {
            let plain = self.feed_for(cx, session, Rendition::Plain)?;
            return self.open_titled(cx.now(), session, plain);
        }
        if session.owner == cx.me() {
            let token = self.open_own_feed(cx.now(), session)?;
            if session.id <= self.newest_granted {
                // The source left a moment ago: an empty feed that is over.
                self.feed_ended(cx.now(), session.id);
            }
            return Some(token);
        }
        let token = self.open_feed(cx.now(), session, Rendition::Plain, Role::Subscriber)?;
        cx.send_surely(session.owner, Message::Subscribe(session.id));
        Some(token)
    }

    /// The plain feed of a session whose source is here, or will be: the snapshot that names a
    /// session comes before the grant to its source, and listeners may come in between.
    pub(crate) fn open_own_feed(&mut self, now: Instant, session: &Session) -> Option<Token> {
        let key = FeedKey { session: session.id, rendition: Rendition::Plain };
        match self.feed_index.get(&key) {
            Some(token) => Some(*token),
            None => self.open_feed(now, session, Rendition::Plain, Role::Owner(Vec::new())),
        }
    }

    /// A session was granted here: whoever asked for it before may have it now, or is told that it
    /// is over.
    pub(crate) fn session_granted<I: Io>(
        &mut self,
        cx: &mut Context<'_, I, Message>,
        session: SessionId,
    ) {
        self.newest_granted = self.newest_granted.max(session);
        let early = std::mem::take(&mut self.early_subscribers);
        for (wanted, shard) in early {
            match wanted == session {
                true => self.subscribed(cx, shard, session),
                false => self.early_subscribers.push((wanted, shard)),
            }
        }
    }

    /// A session that was granted here has no source after all.
    pub(crate) fn session_void<I: Io>(
        &mut self,
        cx: &mut Context<'_, I, Message>,
        session: SessionId,
        cause: EndCause,
    ) {
        self.session_granted(cx, session);
        self.feed_ended(cx.now(), session);
        cx.send_surely(cx.control(), Message::SourceEnded { session, cause });
    }

    /// Makes an empty feed.
    pub(crate) fn open_feed(
        &mut self,
        now: Instant,
        session: &Session,
        rendition: Rendition,
        role: Role,
    ) -> Option<Token> {
        let key = FeedKey { session: session.id, rendition };
        let settings = self.settings_of(session.mount);
        let limits = WindowLimits { bytes_max: settings.window_bytes, ..WindowLimits::default() };
        let timing = (settings.flush_ms, settings.burst_bytes as u64);
        let mut feed = Feed::new(key, session.clone(), role, limits, timing, now);
        feed.title_block = Bytes::from(title_block(&Title::default()));
        let Ok(token) = self.feeds.insert(feed) else {
            self.counters.feeds_refused += 1;
            return None;
        };
        self.feed_index.insert(key, token);
        Some(token)
    }

    /// Begins the titled rendition of a plain feed, with what its window holds, so that the first
    /// titled listener has a burst too.
    fn open_titled(&mut self, now: Instant, session: &Session, plain: Token) -> Option<Token> {
        let metaint = metaint_of(session);
        let token = self.open_feed(now, session, Rendition::Titled, Role::Derived)?;
        let source = self.feeds.get(plain).expect("it was just found");
        let mut titled = Box::new(Titled::new(metaint, 0));
        titled.set_title(source.title_block.clone());
        for chunk in source.window.chunks(0) {
            titled.push(&chunk.bytes);
        }
        let (ended_at, is_live) = (source.ended_at, source.is_live());
        let sends_per_round = source.sends_per_round();
        let target = self.feeds.get_mut(token).expect("just made");
        target.ended_at = ended_at;
        target.live_from = if is_live { 0 } else { u64::MAX };
        while let Some(chunk) = titled.poll() {
            target.push(chunk).expect("a new rendition has no gaps");
        }
        target.adopt_rate(sends_per_round, now);
        self.feeds.get_mut(plain).expect("it was just found").titled = Some((token, titled));
        Some(token)
    }

    /// The plain feed of a session, if this shard has it.
    pub(crate) fn plain_feed(&mut self, session: SessionId) -> Option<&mut Feed> {
        let token = self.feed_index.get(&FeedKey { session, rendition: Rendition::Plain })?;
        self.feeds.get_mut(*token)
    }

    /// Appends a chunk to a session's feeds. False: there was a gap before it.
    pub(crate) fn push_chunk(&mut self, session: SessionId, chunk: Chunk) -> bool {
        let Some(feed) = self.plain_feed(session) else { return true };
        let bytes = chunk.bytes.clone();
        let was_silent = feed.is_silent();
        let pushed = feed.push(chunk);
        let mut awaited = Vec::new();
        if was_silent && !feed.is_silent() {
            awaited.extend(feed.listeners());
        }
        if pushed.is_err_and(|gap| gap.found < gap.expected) {
            // It has been here before; so it has in the titled rendition.
            return true;
        }
        let titled = feed.titled.as_mut().map(|(token, titled)| (*token, titled));
        if let Some((token, titled)) = titled {
            if pushed.is_err() && !mutant!(GapNotTitled) {
                // The same gap: whoever hears the titled rendition has lost his place, too.
                let metaint = metaint_of(&feed.session);
                **titled = Titled::new(metaint, titled.offset() + 1);
                titled.set_title(feed.title_block.clone());
            }
            titled.push(&bytes);
            let derived: Vec<Chunk> = std::iter::from_fn(|| titled.poll()).collect();
            let is_live = feed.is_live();
            if let Some(target) = self.feeds.get_mut(token) {
                target.live_from = if is_live { 0 } else { u64::MAX };
                let was_silent = target.is_silent();
                for chunk in derived {
                    let _gap_is_known = target.push(chunk);
                }
                if was_silent && !target.is_silent() {
                    awaited.extend(target.listeners());
                }
            }
        }
        // Who waited for the first place to join need not wait for his phase, too.
        for token in awaited {
            self.make_hasty(token);
        }
        pushed.is_ok()
    }

    /// The session's title changed, as a block ready to send.
    pub(crate) fn set_title_block(&mut self, session: SessionId, block: Bytes) {
        let Some(feed) = self.plain_feed(session) else { return };
        feed.title_block = block.clone();
        if let Some((_, titled)) = &mut feed.titled {
            titled.set_title(block);
        }
    }

    /// Nothing more comes for a session.
    pub(crate) fn feed_ended(&mut self, now: Instant, session: SessionId) {
        let Some(feed) = self.plain_feed(session) else { return };
        feed.ended_at.get_or_insert(now);
        let titled = feed.titled.as_ref().map(|(token, _)| *token);
        if let Some(feed) = titled.and_then(|token| self.feeds.get_mut(token)) {
            feed.ended_at.get_or_insert(now);
        }
    }

    /// A feed was let go: whoever fed it is told.
    pub(crate) fn feed_gone<I: Io>(&mut self, cx: &mut Context<'_, I, Message>, feed: &Feed) {
        match feed.role {
            Role::Derived => {
                if let Some(plain) = self.plain_feed(feed.key.session) {
                    plain.titled = None;
                }
            }
            Role::Subscriber if feed.ended_at.is_none() && !mutant!(UnsubscribeNeverSent) => {
                cx.send_surely(feed.session.owner, Message::Unsubscribe(feed.key.session));
            }
            Role::Subscriber => {}
            // Whoever was too far behind to be told in his turn must still be told.
            Role::Owner(_) => {
                for shard in feed.untold().into_iter().filter(|_| !mutant!(EndNeverTold)) {
                    cx.send_surely(shard, Message::FeedEnd(feed.key.session));
                }
            }
        }
    }

    /// Lets subscribed shards have what is new.
    pub(crate) fn publish_feeds<I: Io>(&mut self, cx: &mut Context<'_, I, Message>) {
        let (mut waits, mut refusals) = (false, 0);
        for feed in self.feeds.values_mut() {
            let published = feed.publish(|shard, message| cx.send(shard, message));
            waits |= published.waiting;
            refusals += published.refusals_count;
        }
        self.publish_again_at = waits.then(|| cx.now() + PUBLISH_AGAIN);
        self.counters.publish_waits += refusals;
    }
}

/// The interval of a session's titles, where it has any.
fn metaint_of(session: &Session) -> NonZeroU32 {
    let metaint = session.stream.metaint.and_then(|metaint| u32::try_from(metaint).ok());
    metaint.and_then(NonZeroU32::new).expect("asked for where there are titles")
}
