//! What really happened: which source played what and when, and who may be heard where.

use std::collections::{BTreeMap, BTreeSet};

use crate::content::Rate;
use crate::swarm::{FeedPlan, Swarm};

/// A mount of a node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Place {
    pub(crate) node: usize,
    pub(crate) mount: usize,
}

/// One connection of a source that was made, accepted or not.
pub(crate) struct SourceTruth {
    pub(crate) at: Place,
    pub(crate) rate: Rate,
    /// When each frame was played, ms since the start.
    played_ms: Vec<u64>,
}

/// What the checkers compare with.
pub(crate) struct Truth {
    sources: Vec<SourceTruth>,
    /// Where the listeners and the bytes of a mount may come from besides its own source.
    edges: BTreeMap<Place, BTreeSet<Place>>,
    /// Places whose listeners an operator moved away.
    left: BTreeSet<Place>,
    pulls: BTreeSet<Place>,
    titles: BTreeSet<String>,
    /// How much older than the last byte before a hand-over the first byte behind it may be, ms.
    pub(crate) stale_ms_max: u64,
}

/// A chunk, a flush, the ways of both, a full queue or two, a pause; far less than a burst lasts.
const STALE_MS_MAX: u64 = 4_000;

impl Truth {
    pub(crate) fn new(swarm: &Swarm) -> Truth {
        let mut truth = Truth {
            sources: Vec::new(),
            edges: BTreeMap::new(),
            left: BTreeSet::new(),
            pulls: BTreeSet::new(),
            titles: BTreeSet::new(),
            stale_ms_max: STALE_MS_MAX,
        };
        if swarm.shard_stall.0 > 0 {
            truth.stale_ms_max += swarm.shard_stall_ms_max;
        }
        for (node, plan) in swarm.nodes.iter().enumerate() {
            for (mount, plan) in plan.mounts.iter().enumerate() {
                let at = Place { node, mount };
                if let Some(fallback) = plan.fallback {
                    truth.connect(at, Place { node, mount: fallback });
                }
                if let FeedPlan::Pull { node, mount, .. } = plan.feed {
                    truth.pulls.insert(at);
                    truth.connect(at, Place { node, mount });
                }
            }
        }
        truth
    }

    /// A source begins; the answer is its number, which its frames carry.
    pub(crate) fn begin(&mut self, at: Place, rate: Rate) -> u32 {
        self.sources.push(SourceTruth { at, rate, played_ms: Vec::new() });
        self.sources.len() as u32 - 1
    }

    /// A source has played its next frame.
    pub(crate) fn play(&mut self, source: u32, now_ms: u64) {
        self.sources[source as usize].played_ms.push(now_ms);
    }

    pub(crate) fn source(&self, source: u32) -> Option<&SourceTruth> {
        self.sources.get(source as usize)
    }

    /// When a frame was played; `None`: never.
    pub(crate) fn played_ms(&self, source: u32, frame: u32) -> Option<u64> {
        self.source(source)?.played_ms.get(frame as usize).copied()
    }

    /// When the newest frame was played that a source had played by some time.
    pub(crate) fn newest_by_ms(&self, source: u32, by_ms: u64) -> Option<u64> {
        let played = &self.source(source)?.played_ms;
        let count = played.partition_point(|played_ms| *played_ms <= by_ms);
        count.checked_sub(1).map(|last| played[last])
    }

    /// From now on listeners of one place may be led to another.
    pub(crate) fn connect(&mut self, from: Place, to: Place) {
        self.edges.entry(from).or_default().insert(to);
    }

    /// An operator moves the listeners of a place.
    pub(crate) fn move_away(&mut self, from: Place, to: Place) {
        self.connect(from, to);
        self.left.insert(from);
    }

    /// Whether the listeners of a place were ever moved by an operator.
    pub(crate) fn was_left(&self, place: Place) -> bool {
        self.left.contains(&place)
    }

    /// Whether what plays at `to` may be heard by who asked for `from`.
    pub(crate) fn may_hear(&self, from: Place, to: Place) -> bool {
        self.reach(from).contains(&to)
    }

    /// Whether the listeners of a place may be led elsewhere, and back, without hearing anything.
    pub(crate) fn may_be_led(&self, from: Place) -> bool {
        self.reach(from).len() > 1
    }

    /// Whether what is heard at a place may have come over a pull: it begins anew with a burst.
    pub(crate) fn may_be_pulled(&self, from: Place) -> bool {
        self.reach(from).iter().any(|place| self.pulls.contains(place))
    }

    /// Where the bytes of a place come from when everything runs.
    pub(crate) fn origin(&self, swarm: &Swarm, place: Place) -> Place {
        match swarm.nodes[place.node].mounts[place.mount].feed {
            FeedPlan::Source { .. } => place,
            FeedPlan::Pull { node, mount, .. } => self.origin(swarm, Place { node, mount }),
        }
    }

    /// Whether a place has something to hear as soon as nothing goes wrong, however many listen.
    pub(crate) fn is_dependable(swarm: &Swarm, place: Place) -> bool {
        let plan = &swarm.nodes[place.node].mounts[place.mount];
        if plan.listeners_max.is_some() && plan.fallback.is_some() {
            // Whoever finds it full may be sent to where nothing is.
            return false;
        }
        match plan.feed {
            FeedPlan::Source { .. } => true,
            FeedPlan::Pull { node, mount, .. } => {
                let upstream = &swarm.nodes[node].mounts[mount];
                let is_open = upstream.listeners_max.is_none() && upstream.fallback.is_none();
                // A pull begins with upstream's burst; a smaller window drops who has waited.
                let has_room = plan.window_bytes > upstream.burst_bytes + 8 * 1024;
                is_open && has_room && Truth::is_dependable(swarm, Place { node, mount })
            }
        }
    }

    pub(crate) fn add_title(&mut self, title: &str) {
        self.titles.insert(title.to_owned());
    }

    pub(crate) fn knows_title(&self, title: &str) -> bool {
        title.is_empty() || self.titles.contains(title)
    }

    fn reach(&self, from: Place) -> BTreeSet<Place> {
        let mut reached = BTreeSet::from([from]);
        let mut open = vec![from];
        while let Some(place) = open.pop() {
            for next in self.edges.get(&place).into_iter().flatten() {
                if reached.insert(*next) {
                    open.push(*next);
                }
            }
        }
        reached
    }
}

impl SourceTruth {
    /// Frames played so far.
    pub(crate) fn frames(&self) -> usize {
        self.played_ms.len()
    }
}
