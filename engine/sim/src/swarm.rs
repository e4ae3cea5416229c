//! What a run is made of, drawn from its seed: how many nodes and shards, which mounts, what
//! clients do, what goes wrong and how often.
//!
//! Swarm testing: each run has only some of the difficulties and much of them, so that it gets far
//! in what it tries.

use shards_sim::{Chance, Faults, Prng};

use crate::content::{RATES, Rate};

/// What one run is made of.
#[derive(Clone, Debug)]
pub struct Swarm {
    pub(crate) nodes: Vec<NodePlan>,
    pub(crate) faults: Faults,
    /// Listeners at a time, over all nodes.
    pub(crate) listeners_count: usize,
    pub(crate) titled: Chance,
    /// Listeners that cannot or do not want to keep up.
    pub(crate) slow: Chance,
    /// How long the run is hard, seconds.
    pub(crate) chaos_s: u64,
    /// How long a listener stays at most, milliseconds.
    pub(crate) stay_ms_max: u64,
    /// How often somebody asks for something under `/admin/`, milliseconds at most.
    pub(crate) admin_ms_max: u64,
    pub(crate) operations: Operations,
    /// A participant that has ticked is not run for a while.
    pub(crate) hold: Chance,
    pub(crate) hold_us_max: u64,
    /// The control plane is not run for long.
    pub(crate) control_stall: Chance,
    pub(crate) control_stall_ms_max: u64,
    /// A shard is not run for so long that it falls behind what it is subscribed to.
    pub(crate) shard_stall: Chance,
    pub(crate) shard_stall_ms_max: u64,
    /// How long a tick takes at most, µs.
    pub(crate) tick_us_max: u64,
    /// All processes stop for up to some seconds, drawn once a second.
    pub(crate) pause: Chance,
    pub(crate) sends_per_tick_max: u32,
    pub(crate) mesh_queue_messages: usize,
    pub(crate) name_failure: Chance,
    /// Peers of signalling, where there are some.
    pub(crate) signalling: Option<SignallingPlan>,
}

/// Signalling on the first node.
#[derive(Clone, Debug)]
pub(crate) struct SignallingPlan {
    pub(crate) callers_count: usize,
    /// Rooms that they choose from.
    pub(crate) rooms_count: u64,
    /// Everybody is in one room, always.
    pub(crate) has_public: bool,
    pub(crate) rooms_are_left: bool,
    pub(crate) ping_ms: u64,
}

/// What operators do in a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operations {
    pub(crate) kills: bool,
    pub(crate) moves: bool,
    pub(crate) fallbacks: bool,
    pub(crate) reloads: bool,
}

/// One server.
#[derive(Clone, Debug)]
pub(crate) struct NodePlan {
    pub(crate) shards_count: usize,
    pub(crate) mounts: Vec<MountPlan>,
}

/// One configured mount.
#[derive(Clone, Debug)]
pub(crate) struct MountPlan {
    pub(crate) name: String,
    /// Index of another mount of the same node.
    pub(crate) fallback: Option<usize>,
    pub(crate) fallback_override: bool,
    pub(crate) fallback_when_full: bool,
    pub(crate) takeover: bool,
    pub(crate) listeners_max: Option<u32>,
    pub(crate) burst_bytes: usize,
    pub(crate) window_bytes: usize,
    pub(crate) flush_ms: u64,
    pub(crate) metaint: usize,
    pub(crate) source_timeout_ms: u64,
    pub(crate) feed: FeedPlan,
}

/// Where a mount's bytes come from.
#[derive(Clone, Debug)]
pub(crate) enum FeedPlan {
    Source {
        rate: Rate,
        dialect: Dialect,
        /// How long a source stays at most while the run is hard, ms.
        up_ms_max: u64,
        /// How long it stays away at most, ms.
        down_ms_max: u64,
        /// Another source wants the mount now and then.
        has_rival: bool,
    },
    Pull {
        node: usize,
        mount: usize,
        on_demand: bool,
        titles: bool,
        by_name: bool,
    },
}

/// How a source speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Dialect {
    Put,
    PutChunked,
    PutExpect,
    Source,
    V1,
}

const DIALECTS: [Dialect; 5] =
    [Dialect::Put, Dialect::PutChunked, Dialect::PutExpect, Dialect::Source, Dialect::V1];

/// The latest time at which a connection is reset, µs.
const RESET_US_MAX: u64 = 8_000_000;
/// The most that one direction of a connection holds.
const PIPE_BYTES_MAX: u64 = 48 * 1024;

impl Swarm {
    /// The swarm of a seed.
    #[must_use]
    pub fn draw(seed: u64) -> Swarm {
        let mut prng = Prng::new(seed ^ 0x5157_4152_4d00);
        let prng = &mut prng;
        let nodes_count = *prng.pick(&[1, 1, 1, 2, 2, 3]).expect("not empty");
        let mut nodes = Vec::new();
        for number in 0..nodes_count {
            let node = draw_node(prng, number, &nodes);
            nodes.push(node);
        }
        let mut faults = Faults::draw(prng);
        // The driver pauses everything by itself, and often enough.
        faults.clock_jump = Chance::NEVER;
        // A reset that is under way comes soon, or the calm would have some.
        faults.connection_reset_us_max = faults.connection_reset_us_max.min(RESET_US_MAX);
        // Of who has vanished nothing is seen before his buffers are full: in the calm at last.
        faults.pipe_bytes_max = faults.pipe_bytes_max.min(PIPE_BYTES_MAX);
        faults.pipe_bytes_min = faults.pipe_bytes_min.min(PIPE_BYTES_MAX);
        Swarm {
            nodes,
            faults,
            listeners_count: prng.between(3, 16) as usize,
            titled: level(prng, &[200, 500, 800]),
            slow: level(prng, &[100, 300, 600]),
            chaos_s: prng.between(15, 40),
            stay_ms_max: prng.between(500, 40_000),
            admin_ms_max: prng.between(100, 5_000),
            operations: Operations {
                kills: prng.below(2) == 0,
                moves: prng.below(3) == 0,
                fallbacks: prng.below(3) == 0,
                reloads: prng.below(2) == 0,
            },
            hold: level(prng, &[10, 100, 500]),
            hold_us_max: 1 << prng.between(4, 18),
            control_stall: level(prng, &[1, 5]),
            control_stall_ms_max: prng.between(100, 14_000),
            shard_stall: level(prng, &[1, 2]),
            shard_stall_ms_max: prng.between(100, 8_000),
            tick_us_max: prng.between(2, 200),
            pause: level(prng, &[10, 50]),
            sends_per_tick_max: *prng.pick(&[1, 2, 4, 256]).expect("not empty"),
            mesh_queue_messages: *prng.pick(&[4, 8, 64, 64, 1_024]).expect("not empty"),
            name_failure: level(prng, &[100, 500]),
            signalling: None,
        }
    }

    /// The swarm of a seed that is about signalling: one node of several shards, peers, and little
    /// else.
    #[must_use]
    pub fn draw_signalling(seed: u64) -> Swarm {
        let mut prng = Prng::new(seed ^ 0x53_594d_504c_4500);
        let prng = &mut prng;
        let mut swarm = Swarm::draw(prng.next_u64());
        swarm.nodes.truncate(1);
        let node = &mut swarm.nodes[0];
        node.shards_count = prng.between(1, 4) as usize;
        node.mounts.truncate(1);
        swarm.listeners_count = prng.index(3);
        swarm.chaos_s = prng.between(10, 25);
        swarm.stay_ms_max = prng.between(2_000, 40_000);
        swarm.signalling = Some(SignallingPlan {
            callers_count: prng.between(3, 12) as usize,
            rooms_count: prng.between(1, 5),
            has_public: prng.below(3) > 0,
            rooms_are_left: prng.below(2) == 0,
            ping_ms: prng.between(1_000, 5_000),
        });
        swarm
    }

    pub(crate) fn has_public(&self) -> bool {
        self.signalling.as_ref().is_some_and(|plan| plan.has_public)
    }

    pub(crate) fn rooms_are_left(&self) -> bool {
        self.signalling.as_ref().is_some_and(|plan| plan.rooms_are_left)
    }
}

fn draw_node(prng: &mut Prng, number: usize, before: &[NodePlan]) -> NodePlan {
    let mounts_count = prng.between(1, 4) as usize;
    // Titled listeners go from mount to mount only where the interval is the same, and find their
    // place there only where the window holds several.
    let metaint = *prng.pick(&[400, 1_000, 1_700, 4_000]).expect("not empty");
    let mut mounts: Vec<MountPlan> = Vec::new();
    for index in 0..mounts_count {
        let source = FeedPlan::Source {
            rate: *prng.pick(&RATES).expect("not empty"),
            dialect: *prng.pick(&DIALECTS).expect("not empty"),
            up_ms_max: prng.between(500, 30_000),
            down_ms_max: prng.between(10, 6_000),
            has_rival: prng.below(3) == 0,
        };
        let is_pull = number > 0 && prng.below(2) == 0;
        let node = prng.index(number);
        let feed = match before.get(node).filter(|_| is_pull) {
            None => source,
            Some(upstream) => FeedPlan::Pull {
                node,
                mount: prng.index(upstream.mounts.len()),
                on_demand: prng.below(2) == 0,
                titles: prng.below(2) == 0,
                by_name: prng.below(2) == 0,
            },
        };
        let window_bytes = *prng.pick(&[16_384, 24_000, 32_768, 49_152]).expect("not empty");
        // A fallback stands before its mount, so that no chain leads back.
        let has_fallback = index > 0 && prng.below(3) > 0;
        mounts.push(MountPlan {
            name: format!("/m{index}"),
            fallback: has_fallback.then(|| prng.index(index)),
            fallback_override: prng.below(2) == 0,
            fallback_when_full: prng.below(2) == 0,
            takeover: prng.below(3) == 0,
            listeners_max: (prng.below(3) == 0).then(|| prng.between(1, 6) as u32),
            burst_bytes: prng.index(window_bytes * 3 / 4),
            window_bytes,
            flush_ms: *prng.pick(&[10, 50, 200, 500]).expect("not empty"),
            metaint,
            source_timeout_ms: prng.between(500, 5_000),
            feed,
        });
    }
    NodePlan { shards_count: prng.between(1, 4) as usize, mounts }
}

fn level(prng: &mut Prng, levels: &[u32]) -> Chance {
    if prng.below(2) == 0 {
        return Chance::NEVER;
    }
    Chance(prng.pick(levels).copied().unwrap_or_default())
}
