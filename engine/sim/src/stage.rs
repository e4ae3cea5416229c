//! What everybody in a run shares: the world, chance, the truth, and what went wrong first.

use std::collections::VecDeque;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use shards_sim::{Prng, World};

use crate::swarm::Swarm;
use crate::talk::Talk;
use crate::truth::{Place, Truth};

/// Lines of the trace that are kept.
const TRACE_LINES_MAX: usize = 60;

/// Which of the promises was broken.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Checker {
    /// The program itself said so.
    Assert,
    /// A listener heard what it should not have.
    Safety,
    /// Somebody was dropped or refused without reason.
    Fairness,
    /// Somebody was forgotten.
    Liveness,
    /// Something grew beyond its bound, or does not add up.
    Bounds,
    /// Something was left behind.
    Leak,
}

/// A broken promise.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// Which kind.
    pub checker: Checker,
    /// What happened, in words.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.checker, self.what)
    }
}

/// What a run goes through.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Phase {
    /// Faults, clients that come and go, operators.
    Chaos,
    /// No faults; sources stay, listeners that come stay.
    Calm,
    /// Listeners leave and nobody comes.
    Leaving,
    /// Sources leave too.
    Gone,
}

/// Shared by all who act in a run.
pub(crate) struct Stage {
    pub(crate) world: World,
    pub(crate) prng: Prng,
    pub(crate) swarm: Swarm,
    pub(crate) truth: Truth,
    pub(crate) talk: Talk,
    pub(crate) phase: Phase,
    /// When this phase began.
    pub(crate) phase_since: Instant,
    pub(crate) violation: Option<Violation>,
    pub(crate) tally: Tally,
    trace: VecDeque<String>,
    hosts: u32,
}

/// What a run came to; proof that it tried something.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Tally {
    /// Ticks of shards and control planes.
    pub ticks: u64,
    /// Sources that got a mount.
    pub sources_granted: u64,
    /// Sources that were refused.
    pub sources_refused: u64,
    /// Listeners that got a stream.
    pub listeners_heard: u64,
    /// Listeners that were refused.
    pub listeners_refused: u64,
    /// Media and title bytes that listeners read.
    pub bytes_heard: u64,
    /// Times that a listener went from one source to another.
    pub hand_overs: u64,
    /// Listeners dropped for being slow.
    pub slow_listeners: u64,
    /// Admin requests answered.
    pub requests_answered: u64,
    /// Peers of signalling that were welcomed.
    pub peers_welcomed: u64,
    /// Messages that they heard.
    pub messages_heard: u64,
    /// Their calls that came to an end.
    pub calls: u64,
    /// Errors that they were told, and that a server stops.
    pub errors_told: u64,
    /// Virtual seconds.
    pub seconds: u64,
}

impl Stage {
    pub(crate) fn new(world: World, prng: Prng, swarm: Swarm) -> Stage {
        Stage {
            truth: Truth::new(&swarm),
            talk: Talk::default(),
            phase_since: world.now(),
            world,
            prng,
            swarm,
            phase: Phase::Chaos,
            violation: None,
            tally: Tally::default(),
            trace: VecDeque::new(),
            hosts: 0,
        }
    }

    pub(crate) fn now(&self) -> Instant {
        self.world.now()
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.world.elapsed().as_millis() as u64
    }

    /// A time up to so many milliseconds from now, drawn.
    pub(crate) fn within_ms(&mut self, milliseconds_max: u64) -> Instant {
        let microseconds = self.prng.between(100, milliseconds_max.max(1) * 1_000);
        self.now() + Duration::from_micros(microseconds)
    }

    pub(crate) fn after_ms(&self, milliseconds: u64) -> Instant {
        self.now() + Duration::from_millis(milliseconds)
    }

    /// The address of a client that nobody had before.
    pub(crate) fn host(&mut self) -> SocketAddr {
        self.hosts += 1;
        let [_, a, b, c] = self.hosts.to_be_bytes();
        SocketAddr::from((Ipv4Addr::new(172, 16 + a, b, c), 0))
    }

    /// Where a node accepts connections; ICY v1 sources of a mount at a port of its own.
    pub(crate) fn address(&self, node: usize, v1_mount: Option<usize>) -> SocketAddr {
        let port = v1_mount.map_or(8_000, |mount| 8_101 + 2 * mount as u16);
        SocketAddr::new(World::node_address(node), port)
    }

    pub(crate) fn name(&self, place: Place) -> &str {
        &self.swarm.nodes[place.node].mounts[place.mount].name
    }

    /// A room that peers of signalling choose.
    pub(crate) fn draw_room(&mut self) -> String {
        let rooms_count = self.swarm.signalling.as_ref().map_or(1, |plan| plan.rooms_count);
        format!("r{}", self.prng.below(rooms_count))
    }

    /// Notes what happened, for who has to find out why.
    pub(crate) fn note(&mut self, what: impl FnOnce() -> String) {
        if self.trace.len() == TRACE_LINES_MAX {
            self.trace.pop_front();
        }
        let milliseconds = self.now_ms();
        self.trace.push_back(format!("{milliseconds:>7} ms  {}", what()));
    }

    /// A promise was broken; only the first counts.
    pub(crate) fn fail(&mut self, checker: Checker, what: String) {
        if self.violation.is_none() {
            self.note(|| format!("{checker:?}: {what}"));
            self.violation = Some(Violation { checker, what });
        }
    }

    pub(crate) fn take_trace(&mut self) -> Vec<String> {
        std::mem::take(&mut self.trace).into()
    }
}
