//! The feeds of a shard: made when somebody wants them, filled, and let go.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use bytes::Bytes;
use media_mount::{Chunk, Titled, WindowLimits};
use protocol_icy::{Title, title_block};
use shards_runtime::{Context, Io, Token};

use crate::feed::{Feed, FeedKey, Rendition, Role};
use crate::message::Message;
use crate::node::Node;
use crate::snapshot::{Session, SessionId};

/// How long a full queue is left alone.
const PUBLISH_AGAIN: Duration = Duration::from_millis(2);

impl Node {
    /// The feed of a session in a rendition; made, and subscribed to, if this shard has none.
    pub(crate) fn feed_for<I: Io>(
        &mut self,
        cx: &mut Context<'_, I, Message>,
        session: &Session,
        rendition: Rendition,
    ) -> Token {
        let key = FeedKey { session: session.id, rendition };
        if let Some(token) = self.feed_index.get(&key) {
            return *token;
        }
        if rendition == Rendition::Titled {
            let plain = self.feed_for(cx, session, Rendition::Plain);
            return self.open_titled(cx.now(), session, plain);
        }
        if session.owner == cx.me() {
            // The source left a moment ago: an empty feed that is over.
            let token = self.open_feed(cx.now(), session, Rendition::Plain, Role::Subscriber);
            self.feed_ended(cx.now(), session.id);
            return token;
        }
        let token = self.open_feed(cx.now(), session, Rendition::Plain, Role::Subscriber);
        cx.send_surely(session.owner, Message::Subscribe(session.id));
        token
    }

    /// Makes an empty feed.
    pub(crate) fn open_feed(
        &mut self,
        now: Instant,
        session: &Session,
        rendition: Rendition,
        role: Role,
    ) -> Token {
        let key = FeedKey { session: session.id, rendition };
        let settings = self.settings_of(session.mount);
        let limits = WindowLimits { bytes_max: settings.window_bytes, ..WindowLimits::default() };
        let timing = (settings.flush_ms, settings.burst_bytes as u64);
        let mut feed = Feed::new(key, session.clone(), role, limits, timing, now);
        feed.title_block = Bytes::from(title_block(&Title::default()));
        let token = self.feeds.insert(feed).unwrap_or_else(|_| unreachable!("mounts are bounded"));
        self.feed_index.insert(key, token);
        token
    }

    /// Begins the titled rendition of a plain feed, with what its window holds, so that the first
    /// titled listener has a burst too.
    fn open_titled(&mut self, now: Instant, session: &Session, plain: Token) -> Token {
        let metaint = session.stream.metaint.and_then(|metaint| u32::try_from(metaint).ok());
        let metaint = metaint.and_then(NonZeroU32::new).expect("asked for where there are titles");
        let token = self.open_feed(now, session, Rendition::Titled, Role::Derived);
        let source = self.feeds.get(plain).expect("it was just found");
        let mut titled = Box::new(Titled::new(metaint, 0));
        titled.set_title(source.title_block.clone());
        for chunk in source.window.chunks(0) {
            titled.push(&chunk.bytes);
        }
        let ended_at = source.ended_at;
        let target = self.feeds.get_mut(token).expect("just made");
        target.ended_at = ended_at;
        while let Some(chunk) = titled.poll() {
            target.push(chunk);
        }
        self.feeds.get_mut(plain).expect("it was just found").titled = Some((token, titled));
        token
    }

    /// The plain feed of a session, if this shard has it.
    pub(crate) fn plain_feed(&mut self, session: SessionId) -> Option<&mut Feed> {
        let token = self.feed_index.get(&FeedKey { session, rendition: Rendition::Plain })?;
        self.feeds.get_mut(*token)
    }

    /// Appends a chunk to a session's feeds. False: there was a gap before it.
    pub(crate) fn push_chunk(&mut self, session: SessionId, chunk: Chunk) -> bool {
        let Some(feed) = self.plain_feed(session) else { return true };
        let mut derived = Vec::new();
        let mut target = None;
        if let Some((token, titled)) = &mut feed.titled {
            target = Some(*token);
            titled.push(&chunk.bytes);
            derived.extend(std::iter::from_fn(|| titled.poll()));
        }
        let contiguous = feed.push(chunk);
        if let Some(target) = target.and_then(|token| self.feeds.get_mut(token)) {
            for chunk in derived {
                target.push(chunk);
            }
        }
        contiguous
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
            Role::Subscriber if feed.ended_at.is_none() => {
                cx.send_surely(feed.session.owner, Message::Unsubscribe(feed.key.session));
            }
            Role::Subscriber | Role::Owner(_) => {}
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
