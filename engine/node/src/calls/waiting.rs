//! Callers that came before the publisher of what they want to watch. Their offers wait here,
//! unanswered, so that nothing of WebRTC is held for them; WHEP says 404 and "come back" to theirs.
//!
//! *Invariant:* what waits has a bound ([`BYTES_MAX`]) and an end: the time for which viewers of
//! that stream wait.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use engine_rtc::Role;
use protocol_symple::ConnectionKey;
use shards_runtime::{Context, Io};

use super::{Calls, Offer, OneCall, Stage};
use crate::message::Message;
use crate::node::Node;

/// Bytes of offers that may wait on one shard; some thousand browsers'. Then callers are told at
/// once that nobody publishes.
const BYTES_MAX: usize = 16 << 20;

/// Offers that are taken up in one tick when their publisher has come: each is a session of WebRTC.
const TAKEN_UP_MAX: usize = 16;

/// How often a caller is looked at whose stream is live and yet was not there.
const AGAIN: Duration = Duration::from_secs(1);

/// Who waits.
#[derive(Default)]
pub(super) struct Waiting {
    /// When each is looked at.
    by_time: BTreeSet<(Instant, ConnectionKey)>,
    bytes: usize,
    /// Whose stream has come.
    ready: BTreeSet<ConnectionKey>,
}

impl Waiting {
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Whether somebody can be taken up now.
    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// False where there is no room.
    fn add(&mut self, connection: ConnectionKey, offer: &Offer, at: Instant) -> bool {
        if self.bytes + offer.bytes() > BYTES_MAX {
            return false;
        }
        self.bytes += offer.bytes();
        self.by_time.insert((at, connection));
        true
    }

    /// It waits no more; whether it is over is another's business.
    pub(super) fn remove(&mut self, connection: ConnectionKey, call: &OneCall) {
        if let Stage::Waiting(offer, at) = &call.stage
            && self.by_time.remove(&(*at, connection))
        {
            self.bytes -= offer.bytes();
            self.ready.remove(&connection);
        }
    }
}

impl Calls {
    /// A stream has a publisher now.
    pub(crate) fn stream_came(&mut self, name: &str) {
        for (_, connection) in &self.waiting.by_time {
            let stage = self.by_connection.get(connection).map(|call| &call.stage);
            if let Some(Stage::Waiting(offer, _)) = stage
                && *offer.name == *name
            {
                self.waiting.ready.insert(*connection);
            }
        }
    }
}

impl Node {
    /// Nobody publishes what a caller wants to watch: it waits, if it may. False if not.
    pub(super) fn call_waits(&mut self, now: Instant, connection: ConnectionKey) -> bool {
        let Some(rtc) = &self.rtc else { return false };
        let calls = &mut self.calls;
        let Some(call) = calls.by_connection.get_mut(&connection) else { return false };
        let Stage::Opening(offer) = &mut call.stage else { return false };
        let wait = rtc.wait_of(&offer.name);
        if offer.role != Role::View || wait.is_zero() {
            return false;
        }
        let until = *offer.waits_until.get_or_insert(now + wait);
        let is_live = self.own_peer.is_live(&offer.name);
        let at = if is_live { until.min(now + AGAIN) } else { until };
        if now >= until || !calls.waiting.add(connection, offer, at) {
            self.counters.calls_given_up += 1;
            return false;
        }
        let stage = std::mem::replace(&mut call.stage, Stage::Accepted);
        if let Stage::Opening(offer) = stage {
            call.stage = Stage::Waiting(offer, at);
        }
        self.counters.calls_waited += 1;
        true
    }

    /// Takes up callers whose stream has come, and gives up those that have waited for too long.
    pub(crate) fn tick_calls<I: Io>(&mut self, cx: &mut Context<'_, I, Message>) {
        let now = cx.now();
        while let Some((_, connection)) =
            self.calls.waiting.by_time.first().copied().filter(|(at, _)| *at <= now)
        {
            let Some(offer) = self.end_waiting(connection) else { return };
            if offer.waits_until.is_none_or(|until| until <= now) {
                self.counters.calls_given_up += 1;
                let reason = "nobody publishes this stream".to_owned();
                self.end_call(cx, connection, reason);
            } else {
                self.open_call(cx, connection, offer);
            }
        }
        for _ in 0..TAKEN_UP_MAX {
            let Some(connection) = self.calls.waiting.ready.first().copied() else { return };
            let Some(offer) = self.end_waiting(connection) else { return };
            self.open_call(cx, connection, offer);
        }
    }

    /// The offer of a caller that waits no more.
    fn end_waiting(&mut self, connection: ConnectionKey) -> Option<Offer> {
        let call = self.calls.by_connection.get_mut(&connection)?;
        self.calls.waiting.remove(connection, call);
        match std::mem::replace(&mut call.stage, Stage::Accepted) {
            Stage::Waiting(offer, _) => Some(offer),
            _ => unreachable!("only who waits is in the list"),
        }
    }
}
