//! Fairness, bounds and leaks: what the shards hold, compared with what they may.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use engine_node::{Census, FeedPlace, ListenerPlace, Node};
use shards_runtime::Shard;
use shards_sim::{Chance, SimIo};

use crate::server::Server;
use crate::stage::{Checker, Stage};

/// A chunk that a writer has not cut yet, a frame, a title block: what a window may be short of.
const WINDOW_SLACK_BYTES: u64 = 6 * 1024;
/// How long listeners are found behind a window that began anew.
const GAP_LASTS: Duration = Duration::from_secs(10);
/// How long a listener may stand behind its window before it is dropped.
const BEHIND_MAX: Duration = Duration::from_secs(6);
/// The most messages that may wait in a shard for its siblings.
const MESSAGES_WAITING_MAX: usize = 4_096;

/// Looks at shards before and after they tick, and at whole servers now and then.
#[derive(Default)]
pub(crate) struct Inspector {
    /// Since when a listener stands behind its window, by node, shard and number.
    behind_since: BTreeMap<(usize, usize, u64), Instant>,
    /// When a shard, by node and number, last fell out of a window that it is subscribed to; its
    /// listeners fall with it.
    gap_at: BTreeMap<(usize, usize), Instant>,
}

/// A shard before its tick.
pub(crate) struct Before {
    counters: engine_node::Counters,
    listeners: Vec<ListenerPlace>,
}

impl Before {
    pub(crate) fn of(node: &Node) -> Before {
        Before { counters: node.census().counters, listeners: node.listener_places() }
    }
}

impl Inspector {
    /// A shard has ticked.
    pub(crate) fn after_tick(
        &mut self,
        stage: &mut Stage,
        (node, shard): (usize, usize),
        before: &Before,
        service: &Node,
    ) {
        let Census { counters, .. } = service.census();
        let sends = counters.listener_sends - before.counters.listener_sends;
        if sends > u64::from(stage.swarm.sends_per_tick_max) {
            let what = format!("shard {shard} of node {node} sent {sends} times in a tick");
            stage.fail(Checker::Bounds, what);
        }
        if counters.feed_gaps > before.counters.feed_gaps {
            self.gap_at.insert((node, shard), stage.now());
        }
        let dropped = counters.slow_listeners - before.counters.slow_listeners;
        if dropped == 0 {
            return;
        }
        stage.tally.slow_listeners += dropped;
        let (feeds, left) = (service.feed_places(), service.listener_places());
        let is_gone = |place: &&ListenerPlace| !left.iter().any(|other| other.id == place.id);
        let gone: Vec<&ListenerPlace> = before.listeners.iter().filter(is_gone).collect();
        let gap_at = self.gap_at.get(&(node, shard));
        let had_gap = gap_at.is_some_and(|at| stage.now() < *at + GAP_LASTS);
        // Whoever came within this tick, or whose feed went with it, was not seen.
        let unseen = dropped.saturating_sub(gone.len() as u64);
        let was_slow = gone.iter().filter(|place| had_gap || was_behind(place, &feeds));
        let was_slow = was_slow.count() as u64 + unseen;
        stage.note(|| format!("shard {shard} of node {node} drops {dropped} as slow: {gone:?}"));
        if was_slow < dropped {
            let what = format!("{dropped} dropped as slow, {was_slow} were: {gone:?} of {feeds:?}");
            stage.fail(Checker::Fairness, what);
        }
    }

    /// Shards that stood still go on: whoever is behind is dropped from now on.
    pub(crate) fn forget_who_is_behind(&mut self) {
        self.behind_since.clear();
    }

    /// Looks at a whole server.
    pub(crate) fn look(&mut self, stage: &mut Stage, number: usize, server: &Server) {
        for (shard_number, shard) in server.shards.iter().enumerate() {
            let Some(shard) = shard else { continue };
            let node = shard.service();
            let who = format!("shard {shard_number} of node {number}");
            if let Err(what) = node.audit() {
                stage.fail(Checker::Bounds, format!("{who}: {what}"));
            }
            self.look_at_bounds(stage, (number, &who), shard);
            self.look_at_slow(stage, (number, shard_number), node);
        }
    }

    fn look_at_bounds(
        &self,
        stage: &mut Stage,
        (number, who): (usize, &str),
        shard: &Shard<SimIo, Node>,
    ) {
        let census = shard.service().census();
        for feed in shard.service().feed_places() {
            if feed.bytes_held > feed.window_bytes {
                stage.fail(Checker::Bounds, format!("{who} holds too much: {feed:?}"));
            }
        }
        let mounts = stage.swarm.nodes[number].mounts.len();
        let bounds = [
            ("listeners in haste", census.hasty, 2 * census.connections + 64),
            ("phases due", census.due, census.feeds * 1_000 + 64),
            ("feeds", census.feeds, mounts * 64),
            ("timer entries", shard.timers_count(), 4 * shard.service().slots_count() + 16),
            ("messages waiting", shard.messages_waiting(), MESSAGES_WAITING_MAX),
        ];
        for (what, count, bound) in bounds {
            if count > bound {
                stage.fail(Checker::Bounds, format!("{who}: {count} {what}, at most {bound}"));
            }
        }
    }

    fn look_at_slow(&mut self, stage: &mut Stage, (number, shard): (usize, usize), node: &Node) {
        let now = stage.now();
        let places = node.listener_places();
        let is_behind = |id: u64| {
            let place = places.iter().find(|place| place.id == id);
            place.is_some_and(|place| place.joined && place.cursor < place.oldest)
        };
        self.behind_since.retain(|key, _| (key.0, key.1) != (number, shard) || is_behind(key.2));
        for place in places.iter().filter(|place| place.joined && place.cursor < place.oldest) {
            let since = *self.behind_since.entry((number, shard, place.id)).or_insert(now);
            // A shard that stands still drops nobody.
            let stall_ms = match stage.swarm.shard_stall {
                Chance::NEVER => 0,
                _ => stage.swarm.shard_stall_ms_max,
            };
            if now > since + BEHIND_MAX + Duration::from_millis(stall_ms) {
                let what = format!("shard {shard} of node {number} keeps who is behind: {place:?}");
                stage.fail(Checker::Fairness, what);
            }
        }
    }
}

/// Everybody has left but the sources: nobody is sent what nobody hears.
pub(crate) fn without_listeners(stage: &mut Stage, number: usize, server: &Server) {
    let shards = || server.shards.iter().flatten();
    for shard in shards() {
        for feed in shard.service().feed_places() {
            if !feed.is_owner || feed.listeners > 0 || !feed.subscribers.is_empty() {
                let listeners = shard.service().listener_places();
                let what = format!("node {number} has no listeners, but {listeners:?} of {feed:?}");
                stage.fail(Checker::Leak, what);
            }
        }
    }
    let admitted = server.control.census().admitted;
    if admitted > 0 {
        let what = format!("node {number} has no listeners, but control counts {admitted}");
        stage.fail(Checker::Leak, what);
    }
}

/// Everybody has left.
pub(crate) fn without_anybody(stage: &mut Stage, number: usize, server: &Server) {
    for (shard_number, shard) in server.shards.iter().enumerate() {
        let Some(shard) = shard else { continue };
        let census = shard.service().census();
        let left = Census { counters: census.counters, ..Census::default() };
        if census != left {
            let census = Census { counters: Default::default(), ..census };
            let what = format!("shard {shard_number} of node {number} still has {census:?}");
            stage.fail(Checker::Leak, what);
        }
    }
    let census = server.control.census();
    let rest = census.sessions + census.takeovers + census.gathers + census.admitted as usize;
    if rest > 0 {
        stage.fail(Checker::Leak, format!("control of node {number} still has {census:?}"));
    }
    let acceptors = (stage.swarm.nodes[number].mounts.len() + 1) * server.shards.len();
    let sockets = stage.world.sockets_open(number);
    if sockets != acceptors {
        let what = format!("node {number} has {sockets} sockets and {acceptors} are acceptors");
        stage.fail(Checker::Leak, what);
    }
    let buffers = stage.world.buffers_outstanding(number);
    if buffers > 0 {
        stage.fail(Checker::Leak, format!("node {number} keeps {buffers} receive buffers"));
    }
}

/// Whether a listener had fallen out of its window.
fn was_behind(place: &ListenerPlace, feeds: &[FeedPlace]) -> bool {
    let same = |feed: &&FeedPlace| (feed.session, feed.titled) == (place.session, place.titled);
    let Some(feed) = feeds.iter().find(same) else { return true };
    // Who takes nothing of a feed that is over is dropped after a while.
    let is_stuck = feed.is_over;
    is_stuck
        || place.joined
            && place.cursor < feed.oldest
            && feed.head - place.cursor + WINDOW_SLACK_BYTES > feed.window_bytes as u64
}
