//! The simulated world: one clock, one source of chance, every host and every wire.
//!
//! *Invariants.* All that happens, happens in the order of (time, sequence number), and every draw
//! comes from the one generator: equal seeds and equal callers give equal worlds, which
//! [`World::trace_hash`] proves. Time moves only in [`World::advance_to`].

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use shards_runtime::ShardId;

use crate::connect::Acceptor;
use crate::datagram::{Datagram, DatagramSocket};
use crate::faults::Faults;
use crate::io::SimIo;
use crate::machine::{Machine, MachineId};
use crate::prng::{Chance, Prng};
use crate::stream::Connection;
use crate::trace::Trace;

/// The wall clock when a world starts: 1 January 2026, midnight UTC, as time since the Unix epoch.
const WALL_CLOCK_START: Duration = Duration::from_secs(1_767_225_600);

/// A handle on the world; clones are handles on the same one.
#[derive(Clone)]
pub struct World {
    pub(crate) state: Rc<RefCell<State>>,
}

impl World {
    /// A world that the seed and the faults determine.
    #[must_use]
    pub fn new(seed: u64, faults: Faults) -> World {
        // An `Instant` cannot be made from a number, so the clock starts at an arbitrary one. Only
        // differences to it are ever looked at.
        #[allow(clippy::disallowed_methods, reason = "an arbitrary beginning")]
        let start = Instant::now();
        World {
            state: Rc::new(RefCell::new(State {
                wall_clock_start: WALL_CLOCK_START,
                start,
                now_ns: 0,
                prng: Prng::new(seed),
                faults,
                events: BTreeMap::new(),
                sequence: 0,
                machines: Vec::new(),
                connections: BTreeMap::new(),
                acceptors: BTreeMap::new(),
                datagrams: BTreeMap::new(),
                doorbells: BTreeMap::new(),
                port_next: 32_768,
                trace: Trace::default(),
            })),
        }
    }

    /// Starts the machine of one shard of one node. When the returned `SimIo` is dropped the
    /// process is gone: its sockets close as a kernel closes a dead process's.
    ///
    /// # Panics
    /// When that shard has a machine already.
    #[must_use]
    pub fn machine(&self, node: usize, shard: ShardId) -> SimIo {
        SimIo::start(self, node, shard)
    }

    /// Replaces the faults from now on, for example by [`Faults::none`] to see whether everybody
    /// gets well again. What is under way stays as it was drawn.
    pub fn set_faults(&self, faults: Faults) {
        self.state.borrow_mut().faults = faults;
    }

    /// A generator for the driver's own choices, independent of the world's draws.
    #[must_use]
    pub fn fork_prng(&self) -> Prng {
        self.state.borrow_mut().prng.fork()
    }

    /// The time now.
    #[must_use]
    pub fn now(&self) -> Instant {
        let state = self.state.borrow();
        state.instant(state.now_ns)
    }

    /// What the wall clock shows, as time since the Unix epoch.
    #[must_use]
    pub fn wall_clock(&self) -> Duration {
        self.state.borrow().wall_clock()
    }

    /// Somebody sets the wall clock, forwards or back. No other clock is moved.
    pub fn set_wall_clock(&self, time: Duration) {
        let mut state = self.state.borrow_mut();
        state.wall_clock_start = time.saturating_sub(Duration::from_nanos(state.now_ns));
    }

    /// Time since the world's start.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.state.borrow().now_ns)
    }

    /// When the next thing happens by itself: something arrives, completes, or a machine's wait
    /// ends. `None`: nothing ever will. Times that have passed are not among them: ask
    /// [`World::machine_ready`].
    #[must_use]
    pub fn next_event(&self) -> Option<Instant> {
        let state = self.state.borrow();
        let arrival = state.events.first_key_value().map(|(&(time, _), _)| time);
        let machines = state.machines.iter().filter(|machine| machine.alive);
        let wake = machines.filter_map(|machine| machine.wakes_after(state.now_ns));
        arrival.into_iter().chain(wake).min().map(|time| state.instant(time))
    }

    /// Moves the clock, and everything that happens until then. A clock jump takes it further: look
    /// at [`World::now`] afterwards. The clock never goes back.
    pub fn advance_to(&self, time: Instant) {
        let mut state = self.state.borrow_mut();
        let mut target_ns = state.nanoseconds(time).max(state.now_ns);
        let jump = state.faults.clock_jump;
        if target_ns > state.now_ns && state.prng.chance(jump) {
            let microseconds_max = state.faults.clock_jump_us_max;
            target_ns += state.prng.below(microseconds_max + 1) * 1_000;
        }
        while let Some((&(time, sequence), _)) = state.events.first_key_value()
            && time <= target_ns
        {
            let event = state.events.remove(&(time, sequence)).expect("it was just seen");
            state.now_ns = time;
            state.happen(event);
        }
        state.now_ns = target_ns;
    }

    /// As [`World::advance_to`], by a duration.
    pub fn advance(&self, duration: Duration) {
        self.advance_to(self.now() + duration);
    }

    /// Whether a machine's next [`shards_runtime::Io::wait`] would return at once: something is
    /// done or was asked for, a doorbell rang, or the time that its last wait named is reached.
    #[must_use]
    pub fn machine_ready(&self, id: MachineId) -> bool {
        let state = self.state.borrow();
        state.machines[id.0].is_ready(state.now_ns)
    }

    /// Until when a machine wanted to sleep in its last wait; `None` is for ever.
    #[must_use]
    pub fn machine_until(&self, id: MachineId) -> Option<Instant> {
        let state = self.state.borrow();
        state.machines[id.0].until_ns.map(|time| state.instant(time))
    }

    /// Takes the doorbells rung for a participant of the mesh that has no machine (the control
    /// plane), as a count.
    #[must_use]
    pub fn take_doorbells(&self, node: usize, participant: ShardId) -> u64 {
        self.state.borrow_mut().doorbells.remove(&(node, participant)).unwrap_or(0)
    }

    /// The address of a node as others reach it: 10.0.0.1 for node 0.
    #[must_use]
    pub fn node_address(node: usize) -> IpAddr {
        crate::address::node_v4(node)
    }

    /// Descriptors that a node holds: acceptors, datagram sockets, connections, and connections
    /// accepted but not yet handed out.
    #[must_use]
    pub fn sockets_open(&self, node: usize) -> usize {
        self.sum(node, |machine| machine.sockets.iter().flatten().count())
    }

    /// As [`World::sockets_open`], streams only.
    #[must_use]
    pub fn streams_open(&self, node: usize) -> usize {
        self.sum(node, |machine| {
            machine.sockets.iter().flatten().filter(|socket| socket.is_stream()).count()
        })
    }

    /// Receive buffers that a node's services hold or that wait to be handed out.
    #[must_use]
    pub fn buffers_outstanding(&self, node: usize) -> usize {
        self.sum(node, |machine| {
            machine.stream_pool.outstanding() + machine.datagram_pool.outstanding()
        })
    }

    /// Operations that a node's services wait for.
    #[must_use]
    pub fn operations_in_flight(&self, node: usize) -> usize {
        self.sum(node, Machine::operations_in_flight)
    }

    /// A number over everything that every machine and every peer has seen so far, in order and
    /// with its time.
    #[must_use]
    pub fn trace_hash(&self) -> u64 {
        self.state.borrow().trace.hash()
    }

    fn sum(&self, node: usize, count: impl Fn(&Machine) -> usize) -> usize {
        let state = self.state.borrow();
        state.machines.iter().filter(|it| it.alive && it.node == node).map(count).sum()
    }
}

/// What happens by itself at its time.
#[derive(Debug)]
pub(crate) enum Event {
    /// A connection attempt reaches the far host.
    Syn { connection: u64, attempt: u32 },
    /// The answer to a connection attempt is back.
    Established { connection: u64 },
    /// What this side sent first and has not arrived yet, arrives.
    Segment { connection: u64, side: usize },
    /// This side learns that the connection failed.
    Fail { connection: u64, side: usize, errno: i32 },
    /// The connection fails for both sides.
    Break { connection: u64 },
    /// A datagram arrives.
    Datagram(Datagram),
    /// A socket's host learns that nobody has the port that a datagram was for.
    PortUnreachable { sender: u64, to: std::net::SocketAddr },
    /// A socket's pause is over.
    Retry { machine: usize, socket: u32 },
}

/// Everything there is. The parts of its behaviour live with what they are about: `stream.rs`,
/// `connect.rs`, `datagram.rs`, `machine.rs`.
pub(crate) struct State {
    start: Instant,
    wall_clock_start: Duration,
    pub(crate) now_ns: u64,
    pub(crate) prng: Prng,
    pub(crate) faults: Faults,
    events: BTreeMap<(u64, u64), Event>,
    sequence: u64,
    pub(crate) machines: Vec<Machine>,
    pub(crate) connections: BTreeMap<u64, Connection>,
    pub(crate) acceptors: BTreeMap<u64, Acceptor>,
    pub(crate) datagrams: BTreeMap<u64, DatagramSocket>,
    pub(crate) doorbells: BTreeMap<(usize, ShardId), u64>,
    port_next: u16,
    pub(crate) trace: Trace,
}

impl State {
    pub(crate) fn instant(&self, time_ns: u64) -> Instant {
        self.start + Duration::from_nanos(time_ns)
    }

    pub(crate) fn nanoseconds(&self, time: Instant) -> u64 {
        let since = time.saturating_duration_since(self.start);
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }

    pub(crate) fn wall_clock(&self) -> Duration {
        self.wall_clock_start + Duration::from_nanos(self.now_ns)
    }

    /// A number that nothing had before: for the order of what happens at one time, and for names.
    pub(crate) fn sequence(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    pub(crate) fn schedule(&mut self, time_ns: u64, event: Event) {
        let sequence = self.sequence();
        self.events.insert((time_ns, sequence), event);
    }

    /// How long an interruption lasts: something when `chance` strikes, otherwise nothing.
    pub(crate) fn draw_delay_ns(&mut self, chance: Chance) -> Option<u64> {
        let microseconds_max = self.faults.completion_delay_us_max;
        self.prng.chance(chance).then(|| 1 + self.prng.below(microseconds_max * 1_000 + 1))
    }

    pub(crate) fn draw_latency_ns(&mut self) -> u64 {
        let (low, high) = (self.faults.latency_us_min, self.faults.latency_us_max);
        self.prng.between(low, high) * 1_000
    }

    /// A port that no socket was given before, as long as there is one.
    pub(crate) fn ephemeral_port(&mut self) -> u16 {
        let port = self.port_next;
        self.port_next = if port >= 60_999 { 32_768 } else { port + 1 };
        port
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Syn { connection, attempt } => self.syn_arrives(connection, attempt),
            Event::Established { connection } => self.established(connection),
            Event::Segment { connection, side } => self.segment_arrives(connection, side),
            Event::Fail { connection, side, errno } => self.fail(connection, side, errno),
            Event::Break { connection } => self.break_connection(connection),
            Event::Datagram(datagram) => self.datagram_arrives(datagram),
            Event::PortUnreachable { sender, to } => self.port_unreachable(sender, to),
            Event::Retry { machine, socket } => self.pump(machine, socket),
        }
    }
}
