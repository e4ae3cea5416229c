//! A server in the simulated world: its shards and its control plane, each on a machine of its own.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use engine_config::Config;
use engine_control::{Control, Input, Output, Setup};
use engine_node::{Acceptor, Message, Node, TurnSeed, signalling};
use shards_mesh::{MeshPort, mesh};
use shards_runtime::{Io, Shard, ShardId};
use shards_sim::{MachineId, SimIo, World};

use crate::caller::OWN_PEER;
use crate::stage::{Checker, Stage};
use crate::swarm::{FeedPlan, MountPlan, SignallingPlan, Swarm};

/// How soon control tries a full queue again.
const RETRY: Duration = Duration::from_millis(2);
/// Messages that control may hold back for one shard while a process is stopped for seconds.
const OUTBOX_MAX: usize = 1 << 14;
/// Seconds that clients have after a drain begins.
pub(crate) const DRAIN_S: u64 = 2;

/// The wall clock when servers start.
const STARTED: Duration = Duration::from_secs(1_767_225_600);

/// One server.
pub(crate) struct Server {
    /// `None` once it has stopped.
    pub(crate) shards: Vec<Option<Shard<SimIo, Node>>>,
    pub(crate) machines: Vec<MachineId>,
    pub(crate) control: ControlPlane,
}

/// A control plane and what its thread would do for it.
pub(crate) struct ControlPlane {
    control: Control,
    io: SimIo,
    port: MeshPort<Message>,
    outbox: Vec<VecDeque<Message>>,
    commands: VecDeque<Input>,
    /// Names that are being looked up, by when they are.
    names: BTreeMap<(Instant, u32), Result<Vec<SocketAddr>, String>>,
    /// Until when it sleeps.
    until: Option<Instant>,
    pub(crate) is_finished: bool,
}

impl Server {
    pub(crate) fn start(stage: &Stage, node: usize) -> Server {
        let plan = &stage.swarm.nodes[node];
        let shards_count = plan.shards_count;
        let config = Arc::new(config(&stage.swarm, node, true));
        let now = stage.now();
        let setup = Setup { shards_count, seed: 7 + node as u64, port: 8_000, started: STARTED };
        let control = Control::new(config, setup, now);
        let snapshot = control.first_snapshot();
        let acceptors = acceptors(stage, node);
        let mut ports = mesh(shards_count + 1, stage.swarm.mesh_queue_messages);
        let control_port = ports.pop().expect("control is the last participant");
        let control_io = stage.world.machine(node, ShardId(shards_count as u16));
        let (mut machines, mut shards) = (Vec::new(), Vec::new());
        let common = TurnSeed {
            seed: [7; 32],
            epoch: now,
            unix_s: STARTED.as_secs(),
            shards_count: shards_count as u16,
            machine: Vec::new(),
        };
        for (number, port) in ports.into_iter().enumerate() {
            let io = stage.world.machine(node, ShardId(number as u16));
            machines.push(io.id());
            let mut service = Node::new(Arc::clone(&snapshot), acceptors.clone(), None, now);
            if stage.swarm.signalling.is_some() && node == 0 {
                let rules = signalling(&snapshot.config, &common, number as u16);
                service = service.with_signalling(rules.expect("no rules for origins"));
            }
            shards.push(Some(Shard::new(io, port, service)));
        }
        machines.push(control_io.id());
        let control = ControlPlane {
            control,
            io: control_io,
            port: control_port,
            outbox: (0..=shards_count).map(|_| VecDeque::new()).collect(),
            commands: VecDeque::new(),
            names: BTreeMap::new(),
            until: Some(now),
            is_finished: false,
        };
        Server { shards, machines, control }
    }

    /// Whether a participant has something to do now; control is the last.
    pub(crate) fn is_ready(&self, world: &World, participant: usize) -> bool {
        let (has_work, until) = match self.shards.get(participant) {
            Some(None) => return false,
            Some(Some(shard)) => (false, shard.sleeps_until()),
            None if self.control.is_finished => return false,
            None => (!self.control.commands.is_empty(), self.control.until),
        };
        has_work
            || until.is_some_and(|until| until <= world.now())
            || world.machine_ready(self.machines[participant])
    }

    /// Until when each participant sleeps.
    pub(crate) fn sleep_until(&self) -> impl Iterator<Item = Instant> {
        let shards = self.shards.iter().flatten().filter_map(Shard::sleeps_until);
        shards.chain(self.control.until)
    }
}

impl ControlPlane {
    /// Tells control something at its next tick.
    pub(crate) fn command(&mut self, input: Input) {
        self.commands.push_back(input);
    }

    pub(crate) fn census(&self) -> engine_control::ControlCensus {
        self.control.census()
    }

    /// One round: all that is there, then sleep.
    pub(crate) fn tick(&mut self, stage: &mut Stage) {
        self.io.wait(self.until, &mut Vec::new());
        self.port.awake();
        let me = self.port.me();
        for from in 0..me {
            let mut messages = Vec::new();
            self.port.receive(from, 256, |message| messages.push(message));
            for message in messages {
                self.handle(stage, Input::Message { from: ShardId(from as u16), message });
            }
        }
        while let Some(command) = self.commands.pop_front() {
            self.handle(stage, command);
        }
        while let Some(name) = self.names.first_entry().filter(|it| it.key().0 <= stage.now()) {
            let id = name.key().1;
            let addresses = name.remove();
            self.handle(stage, Input::Resolved { id, addresses });
        }
        if self.control.deadline().is_some_and(|deadline| stage.now() >= deadline) {
            self.handle(stage, Input::Tick);
        }
        self.publish();
        self.until = if self.port.sleep() { self.wake_at() } else { Some(self.io.now()) };
    }

    fn handle(&mut self, stage: &mut Stage, input: Input) {
        self.control.handle(self.io.now(), self.io.wall_clock(), input);
        while let Some(output) = self.control.poll() {
            match output {
                Output::Send { to, message } => self.send(stage, to.index(), message),
                Output::Resolve { id, host, port } => {
                    let is_lost = stage.prng.chance(stage.swarm.name_failure);
                    let node = host.strip_prefix("node").and_then(|text| text.parse().ok());
                    let addresses = match node.filter(|_| !is_lost) {
                        Some(node) => Ok(vec![SocketAddr::new(World::node_address(node), port)]),
                        None => Err("no such name".to_owned()),
                    };
                    self.names.insert((stage.within_ms(800), id), addresses);
                }
                Output::Keep(_) => {}
                Output::Finished => self.is_finished = true,
            }
        }
    }

    fn send(&mut self, stage: &mut Stage, to: usize, message: Message) {
        let waiting = &mut self.outbox[to];
        waiting.push_back(message);
        if waiting.len() > OUTBOX_MAX {
            stage.fail(Checker::Bounds, format!("control holds too much back for shard {to}"));
        }
    }

    fn publish(&mut self) {
        for (to, waiting) in self.outbox.iter_mut().enumerate() {
            while let Some(message) = waiting.pop_front() {
                if let Err(message) = self.port.send(to, message) {
                    waiting.push_front(message);
                    break;
                }
            }
        }
        let io = &mut self.io;
        self.port.publish(|shard| io.doorbell(ShardId(shard as u16)));
        io.flush();
    }

    fn wake_at(&self) -> Option<Instant> {
        let retry = self.outbox.iter().any(|waiting| !waiting.is_empty());
        let retry = retry.then(|| self.io.now() + RETRY);
        let name = self.names.first_key_value().map(|((at, _), _)| *at);
        [self.control.deadline(), retry, name].into_iter().flatten().min()
    }
}

/// The configuration of a node, with or without its pulls.
pub(crate) fn config(swarm: &Swarm, node: usize, pulls: bool) -> Config {
    let plan = &swarm.nodes[node];
    let mut text = format!(
        "[server]\nnode_id = \"node{node}\"\ndrain_s = {DRAIN_S}\n\
         [[listen]]\naddress = \"{}:8000\"\n\
         [credentials]\nsource_password = \"source\"\nadmin_password = \"admin\"\n\
         [limits]\nsends_per_tick_max = {}\nheader_timeout_ms = 4000\n",
        World::node_address(node),
        swarm.sends_per_tick_max,
    );
    if let Some(SignallingPlan { has_public, ping_ms, .. }) = swarm.signalling {
        let rooms = if has_public { "\"public\"" } else { "" };
        write!(
            text,
            "[symple]\npeer = \"{OWN_PEER}\"\nrooms = [{rooms}]\nchosen_rooms = [\"*\"]\n\
             messages_max = 1000000\nping_ms = {ping_ms}\nqueue_bytes_max = 65536\n"
        )
        .expect("a string takes it");
    }
    for mount in &plan.mounts {
        add_mount(&mut text, swarm, plan.mounts.as_slice(), mount, pulls);
    }
    Config::parse("simulated", &text).unwrap_or_else(|errors| panic!("{errors}\n{text}"))
}

fn add_mount(
    text: &mut String,
    swarm: &Swarm,
    mounts: &[MountPlan],
    mount: &MountPlan,
    pulls: bool,
) {
    let MountPlan { name, burst_bytes, window_bytes, flush_ms, metaint, .. } = mount;
    let (when_full, timeout_ms) = (mount.fallback_when_full, mount.source_timeout_ms);
    let (comes_back, takeover) = (mount.fallback_override, mount.takeover);
    let mut add = |line: String| writeln!(text, "{line}").expect("a string takes it");
    add(format!("[[mount]]\nname = \"{name}\"\nburst_bytes = {burst_bytes}"));
    add(format!("window_bytes = {window_bytes}\nflush_ms = {flush_ms}\nmetaint = {metaint}"));
    add(format!("fallback_override = {comes_back}\ntakeover = {takeover}"));
    add(format!("fallback_when_full = {when_full}\nsource_timeout_ms = {timeout_ms}"));
    if let Some(fallback) = mount.fallback {
        add(format!("fallback = \"{}\"", mounts[fallback].name));
    }
    if let Some(listeners_max) = mount.listeners_max {
        add(format!("listeners_max = {listeners_max}"));
    }
    if let FeedPlan::Pull { node, mount, on_demand, titles, by_name } = &mount.feed
        && pulls
    {
        let host = match by_name {
            true => format!("node{node}"),
            false => World::node_address(*node).to_string(),
        };
        let path = &swarm.nodes[*node].mounts[*mount].name;
        add(format!("pull = [\"http://{host}:8000{path}\"]"));
        add(format!("pull_on_demand = {on_demand}\npull_titles = {titles}"));
    }
}

fn acceptors(stage: &Stage, node: usize) -> Vec<Acceptor> {
    let acceptor = |address, v1_mount| Acceptor {
        address,
        v6_only: true,
        proxy_protocol: false,
        tls: false,
        https_redirect: false,
        v1_mount,
    };
    let mounts = stage.swarm.nodes[node].mounts.iter().enumerate();
    let v1 = mounts.map(|(number, mount)| {
        acceptor(stage.address(node, Some(number)), Some(mount.name.clone()))
    });
    std::iter::once(acceptor(stage.address(node, None), None)).chain(v1).collect()
}
