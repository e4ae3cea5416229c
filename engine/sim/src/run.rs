//! One run: who acts next, and what the run goes through.
//!
//! ```text
//!   chaos ──► calm ──────────────────► leaving ───────────► gone ──────────► drain
//!   faults    no faults, sources up,   no listeners:        nobody: every    a few clients,
//!             everyone hears all       nothing is sent      table is empty   then the end
//! ```
//!
//! * *Invariant:* everything runs on one thread, in an order that the seed alone decides.

use std::time::{Duration, Instant};

use engine_control::Input;
use shards_sim::{Chance, Faults, Prng, World};

use crate::caller::Caller;
use crate::inspect::{Before, Inspector, without_anybody, without_listeners};
use crate::listener::Listener;
use crate::operator::Operator;
use crate::server::{DRAIN_S, Server, config};
use crate::source::Source;
use crate::stage::{Checker, Phase, Stage};
use crate::swarm::{FeedPlan, Swarm};
use crate::truth::Place;

/// How long the calm lasts, ms: settled at 25 s, then everybody hears for a while.
const CALM_MS: u64 = 40_000;
/// How long nothing happens before leaks are looked for, ms: feeds linger for two seconds, ended
/// ones for five, vanished listeners' sockets fail with the next sends.
const LEAVING_MS: u64 = 9_000;
/// As [`LEAVING_MS`]; connections have up to thirty seconds to take an answer.
const GONE_MS: u64 = 36_000;
/// How often whole servers are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How much longer than its time a drain may take, ms.
const DRAIN_MS_MAX: u64 = DRAIN_S * 1_000 + 3_000;

/// A run in progress.
pub(crate) struct Run {
    pub(crate) stage: Stage,
    pub(crate) servers: Vec<Server>,
    sources: Vec<Source>,
    listeners: Vec<Listener>,
    callers: Vec<Caller>,
    operator: Operator,
    inspector: Inspector,
    /// Node and participant, and until when each is not run.
    participants: Vec<(usize, usize, Instant)>,
    look_at: Instant,
    pause_at: Instant,
    reload_at: Instant,
}

impl Run {
    pub(crate) fn new(seed: u64, swarm: Swarm) -> Run {
        let world = World::new(seed, swarm.faults.clone());
        let prng = Prng::new(seed ^ 0xD21_7E12);
        let mut stage = Stage::new(world, prng, swarm);
        let now = stage.now();
        let servers: Vec<Server> =
            (0..stage.swarm.nodes.len()).map(|node| Server::start(&stage, node)).collect();
        let participants = servers.iter().enumerate().flat_map(|(node, server)| {
            (0..server.machines.len()).map(move |participant| (node, participant, now))
        });
        let participants = participants.collect();
        let sources = sources(&mut stage);
        let listeners_count = stage.swarm.listeners_count;
        let listeners =
            (0..listeners_count).map(|number| Listener::new(number, stage.within_ms(6_000)));
        let listeners = listeners.collect();
        let callers_count = stage.swarm.signalling.as_ref().map_or(0, |plan| plan.callers_count);
        let callers = (0..callers_count).map(|number| Caller::new(number, stage.within_ms(3_000)));
        let callers = callers.collect();
        Run {
            participants,
            servers,
            sources,
            listeners,
            callers,
            operator: Operator::new(now + Duration::from_millis(500)),
            inspector: Inspector::default(),
            look_at: now,
            pause_at: now,
            reload_at: now + Duration::from_secs(3),
            stage,
        }
    }

    /// Goes through all of it, or up to the first broken promise.
    pub(crate) fn go(&mut self) {
        self.go_on_for(self.stage.swarm.chaos_s * 1_000);
        self.calm_down();
        self.enter(Phase::Leaving);
        // A pull is a listener of the node that it pulls from.
        self.reload(false);
        self.go_on_for(LEAVING_MS);
        self.check(without_listeners);
        self.enter(Phase::Gone);
        self.go_on_for(GONE_MS);
        self.check(without_anybody);
        self.drain();
        self.stage.tally.seconds = self.stage.now_ms() / 1_000;
    }

    fn calm_down(&mut self) {
        self.stage.world.set_faults(Faults::none());
        self.stage.swarm.hold = Chance::NEVER;
        self.stage.swarm.control_stall = Chance::NEVER;
        self.stage.swarm.shard_stall = Chance::NEVER;
        self.stage.swarm.pause = Chance::NEVER;
        self.stage.swarm.name_failure = Chance::NEVER;
        self.enter(Phase::Calm);
        let now = self.stage.now();
        self.participants.iter_mut().for_each(|(_, _, held_until)| *held_until = now);
        self.inspector.forget_who_is_behind();
        // Pulls begin anew, or their waits would outlast the calm.
        self.reload(false);
        self.go_on_for(2_000);
        self.reload(true);
        self.go_on_for(CALM_MS - 2_000);
        for listener in &self.listeners {
            listener.inspect(&mut self.stage);
        }
        for caller in &self.callers {
            caller.inspect(&mut self.stage);
        }
        let (now, has_public) = (self.stage.now(), self.stage.swarm.has_public());
        if let Some(what) = self.stage.talk.inspect(now, has_public) {
            self.stage.fail(Checker::Liveness, what);
        }
    }

    /// Some come once more, and the servers stop under them.
    fn drain(&mut self) {
        self.enter(Phase::Chaos);
        let is_busy = self.stage.prng.below(2) == 0;
        if is_busy {
            self.go_on_for(5_000);
        }
        for server in &mut self.servers {
            server.control.command(Input::Drain);
        }
        self.stage.note(|| "the servers are to stop".to_owned());
        self.go_on_for(DRAIN_MS_MAX);
        for (number, server) in self.servers.iter().enumerate() {
            let running = server.shards.iter().flatten().count();
            if running > 0 || !server.control.is_finished {
                let census = server.shards.iter().flatten().next().map(|it| it.service().census());
                let what = format!("{running} shards of node {number} do not stop: {census:?}");
                self.stage.fail(Checker::Liveness, what);
            }
            if self.stage.world.streams_open(number) > 0 {
                let what = format!("node {number} has stopped and left connections open");
                self.stage.fail(Checker::Leak, what);
            }
        }
    }

    fn enter(&mut self, phase: Phase) {
        self.stage.phase = phase;
        self.stage.phase_since = self.stage.now();
        self.stage.note(|| format!("phase: {phase:?}"));
        let now = self.stage.now();
        // Whoever waits for something sees that the times have changed.
        for source in &mut self.sources {
            source.next_at = source.next_at.min(now + Duration::from_millis(50));
        }
        for listener in &mut self.listeners {
            listener.next_at = listener.next_at.min(now + Duration::from_millis(50));
        }
        self.stage.talk.is_settled = false;
        for caller in &mut self.callers {
            caller.next_at = caller.next_at.min(now + Duration::from_millis(50));
        }
    }

    fn check(&mut self, check: fn(&mut Stage, usize, &Server)) {
        for (number, server) in self.servers.iter().enumerate() {
            check(&mut self.stage, number, server);
        }
    }

    /// Gives every node its configuration again; without pulls, or with everything.
    fn reload(&mut self, pulls: bool) {
        for (number, server) in self.servers.iter_mut().enumerate() {
            let config = config(&self.stage.swarm, number, pulls);
            server.control.command(Input::Reload(config.into()));
        }
    }

    fn go_on_for(&mut self, milliseconds: u64) {
        let until = self.stage.after_ms(milliseconds);
        while self.stage.now() < until && self.stage.violation.is_none() {
            self.move_clients();
            self.look();
            self.interfere();
            match self.draw_participant() {
                Some(index) => self.tick(index),
                None => self.let_time_pass(until),
            }
        }
    }

    fn move_clients(&mut self) {
        let now = self.stage.now();
        for source in self.sources.iter_mut().filter(|source| source.next_at <= now) {
            source.step(&mut self.stage);
        }
        for listener in self.listeners.iter_mut().filter(|listener| listener.next_at <= now) {
            listener.step(&mut self.stage);
        }
        for caller in self.callers.iter_mut().filter(|caller| caller.next_at <= now) {
            caller.step(&mut self.stage);
        }
        if self.operator.next_at <= now {
            self.operator.step(&mut self.stage);
        }
    }

    fn look(&mut self) {
        if self.stage.now() < self.look_at {
            return;
        }
        self.look_at = self.stage.now() + LOOK_EVERY;
        for (number, server) in self.servers.iter().enumerate() {
            self.inspector.look(&mut self.stage, number, server);
        }
    }

    /// What the driver itself does to everybody: stops all processes, reloads.
    fn interfere(&mut self) {
        let now = self.stage.now();
        if now >= self.pause_at {
            self.pause_at = now + Duration::from_secs(1);
            if self.stage.prng.chance(self.stage.swarm.pause) {
                let milliseconds = self.stage.prng.between(100, 2_500);
                self.stage.note(|| format!("everything stands still for {milliseconds} ms"));
                self.stage.world.advance(Duration::from_millis(milliseconds));
            }
        }
        if now >= self.reload_at && self.stage.phase == Phase::Chaos {
            self.reload_at = self.stage.within_ms(20_000);
            if self.stage.swarm.operations.reloads {
                let pulls = self.stage.prng.below(4) > 0;
                self.stage.note(|| format!("reload, pulls: {pulls}"));
                self.reload(pulls);
            }
        }
    }

    /// Whose turn it is, among those who have something to do.
    fn draw_participant(&mut self) -> Option<usize> {
        let now = self.stage.now();
        let (servers, world) = (&self.servers, &self.stage.world);
        let is_ready =
            |(_, (node, participant, held_until)): &(usize, &(usize, usize, Instant))| {
                *held_until <= now && servers[*node].is_ready(world, *participant)
            };
        let ready = self.participants.iter().enumerate().filter(is_ready);
        let ready: Vec<usize> = ready.map(|(index, _)| index).collect();
        self.stage.prng.pick(&ready).copied()
    }

    fn tick(&mut self, index: usize) {
        let (node, participant, _) = self.participants[index];
        self.stage.tally.ticks += 1;
        let server = &mut self.servers[node];
        let is_control = participant == server.shards.len();
        match server.shards.get_mut(participant) {
            None => server.control.tick(&mut self.stage),
            Some(slot) => {
                let shard = slot.as_mut().expect("a stopped shard is not ready");
                let before = Before::of(shard.service());
                let goes_on = shard.tick();
                let at = (node, participant);
                self.inspector.after_tick(&mut self.stage, at, &before, shard.service());
                if !goes_on {
                    *slot = None;
                }
            }
        }
        let tick_us = self.stage.prng.between(1, self.stage.swarm.tick_us_max);
        self.stage.world.advance(Duration::from_micros(tick_us));
        let hold_us = if is_control && self.stage.prng.chance(self.stage.swarm.control_stall) {
            1_000 * self.stage.prng.below(self.stage.swarm.control_stall_ms_max)
        } else if !is_control && self.stage.prng.chance(self.stage.swarm.shard_stall) {
            1_000 * self.stage.prng.below(self.stage.swarm.shard_stall_ms_max)
        } else if self.stage.prng.chance(self.stage.swarm.hold) {
            self.stage.prng.below(self.stage.swarm.hold_us_max)
        } else {
            0
        };
        self.participants[index].2 = self.stage.now() + Duration::from_micros(hold_us);
    }

    fn let_time_pass(&mut self, until: Instant) {
        let now = self.stage.now();
        let clients = self.sources.iter().map(|source| source.next_at);
        let clients = clients.chain(self.listeners.iter().map(|listener| listener.next_at));
        let clients = clients.chain(self.callers.iter().map(|caller| caller.next_at));
        let asleep = self.servers.iter().flat_map(Server::sleep_until);
        let held = self.participants.iter().map(|(_, _, held_until)| *held_until);
        let times = clients
            .chain(held)
            .chain(asleep)
            .chain([self.operator.next_at, self.look_at, self.pause_at, until])
            .chain(self.stage.world.next_event());
        let next = times.filter(|time| *time > now).min().expect("the end of the phase is ahead");
        self.stage.world.advance_to(next);
    }
}

fn sources(stage: &mut Stage) -> Vec<Source> {
    let mut sources = Vec::new();
    let nodes = stage.swarm.nodes.clone();
    for (node, plan) in nodes.iter().enumerate() {
        for (mount, plan) in plan.mounts.iter().enumerate() {
            let FeedPlan::Source { rate, dialect, up_ms_max, down_ms_max, has_rival } = plan.feed
            else {
                continue;
            };
            let (at, manner) = (Place { node, mount }, (rate, dialect));
            let times = (up_ms_max, down_ms_max);
            let soon = stage.within_ms(3_000);
            sources.push(Source::new(at, manner, times, false, soon));
            if has_rival {
                let later = stage.within_ms(10_000);
                sources.push(Source::new(at, manner, (4_000, 15_000), true, later));
            }
        }
    }
    sources
}
