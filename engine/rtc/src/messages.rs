//! Data channels: what a publisher says on one, its viewers hear on theirs of the same label.
//!
//! ```text
//! publisher "chat" ──► its shard ──► viewers here with a channel "chat"
//!                         └─ Said ─► shards with viewers ──► likewise
//! ```
//!
//! Who opens its channel later, or has none of that label, hears nothing of before; what a viewer
//! says goes nowhere. A message that there is no room for, of the publisher's allowance, between
//! shards or at the viewer, is dropped and counted: whoever needs every message asks for it.

use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;
use std::time::Instant;

use media_rtc::{ChannelId, Role};
use shards_runtime::{Context, Io, Token};

use crate::ids::SessionId;
use crate::letter::Letter;
use crate::rtc::{Rtc, token_of};

/// Bytes that a publisher may say at once, each message counted with [`MESSAGE_BYTES`] more …
const BURST_BYTES: u64 = 256 * 1024;

/// … and each second, so that what waits between shards is bounded.
const BYTES_PER_S: u64 = 1024 * 1024;

/// What a message costs beside its own bytes.
const MESSAGE_BYTES: u64 = 64;

/// The longest label of a channel that is passed on, bytes.
const LABEL_BYTES_MAX: usize = 256;

/// What a publisher said.
#[derive(Debug)]
pub struct Said {
    session: SessionId,
    label: Arc<str>,
    is_text: bool,
    bytes: Vec<u8>,
}

/// A session's open channels.
#[derive(Debug, Default)]
pub(crate) struct Channels {
    open: Vec<(ChannelId, Arc<str>)>,
    /// What it has said lately, bytes, and when that was counted.
    spent: Option<(u64, Instant)>,
}

impl Channels {
    pub(crate) fn opened(&mut self, channel: ChannelId, label: &str) {
        if label.len() <= LABEL_BYTES_MAX {
            self.open.push((channel, label.into()));
        }
    }

    pub(crate) fn closed(&mut self, channel: ChannelId) {
        self.open.retain(|(known, _)| *known != channel);
    }

    /// Whether it may say so much now.
    fn spends(&mut self, now: Instant, bytes: usize) -> bool {
        let (spent, at) = self.spent.unwrap_or((0, now));
        let passed = now.saturating_duration_since(at).as_millis() as u64;
        let left = spent.saturating_sub(passed.saturating_mul(BYTES_PER_S) / 1_000);
        let spent = left + bytes as u64 + MESSAGE_BYTES;
        let may = spent <= BURST_BYTES;
        self.spent = Some((if may { spent } else { left }, now));
        may
    }
}

impl Rtc {
    /// A session here said something.
    pub(crate) fn message<I: Io, M: Send + From<Letter>>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        token: Token,
        channel: ChannelId,
        (is_text, bytes): (bool, Vec<u8>),
    ) {
        let Some(entry) = self.sessions.get_mut(token) else { return };
        let label = entry.channels.open.iter().find(|(known, _)| *known == channel);
        let label = label.map(|(_, label)| label.clone());
        let is_publisher = entry.role != Role::View;
        let (Some(label), true) =
            (label, is_publisher && entry.channels.spends(cx.now(), bytes.len()))
        else {
            self.stats.messages_dropped += 1;
            return;
        };
        self.stats.messages_in += 1;
        let said = Arc::new(Said { session: entry.id, label, is_text, bytes });
        for subscriber in &entry.publishing.subscribers {
            let is_taken = cx.send(subscriber.shard, Letter::Said(said.clone()).into()).is_ok();
            self.stats.messages_dropped += u64::from(!is_taken);
        }
        self.said(cx.now(), &said);
    }

    /// A publisher said something: viewers here hear it.
    pub(crate) fn said(&mut self, now: Instant, said: &Said) {
        let Some(feed) = self.feeds.get(&said.session) else { return };
        let mut viewer = feed.viewers.first().copied();
        while let Some(number) = viewer {
            self.hear(now, token_of(number), said);
            let Some(feed) = self.feeds.get(&said.session) else { return };
            viewer = feed.viewers.range((Excluded(number), Unbounded)).next().copied();
        }
    }

    fn hear(&mut self, now: Instant, token: Token, said: &Said) {
        let Some(entry) = self.sessions.get_mut(token) else { return };
        let own = entry.channels.open.iter().filter(|(_, label)| *label == said.label);
        let mut has_heard = false;
        for (channel, _) in own {
            match entry.session.send_message(now, *channel, said.is_text, &said.bytes) {
                Ok(()) => self.stats.messages_out += 1,
                Err(_) => self.stats.messages_dropped += 1,
            }
            has_heard = true;
        }
        if has_heard {
            self.mark(token);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    #[allow(clippy::disallowed_methods, reason = "a test's clock begins somewhere")]
    fn a_publisher_may_say_so_much_and_more_when_time_has_passed() {
        let (mut channels, start) = (Channels::default(), Instant::now());
        let taken = (0..100).filter(|_| channels.spends(start, 64 * 1024 - 64)).count();
        assert_eq!(taken, 4);
        let later = start + Duration::from_millis(125);
        let taken = (0..100).filter(|_| channels.spends(later, 64 * 1024 - 64)).count();
        assert_eq!(taken, 2, "an eighth of a second's");
        assert!(channels.spends(later + Duration::from_secs(9), 200 * 1024));
    }
}
