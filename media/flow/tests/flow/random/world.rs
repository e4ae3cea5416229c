//! A graph drawn from a seed, and a driver that does as it likes with it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

use media_flow::*;

use super::stages::{Delay, Filter, Gate, Multiply, Notes, Trace, mix, packet};
use crate::lab::{number, poll_all, start};

/// Chance from a seed.
pub struct Chance(u64);

impl Chance {
    fn below(&mut self, count: u64) -> u64 {
        self.0 = self.0.wrapping_add(1);
        mix(self.0) % count
    }

    fn index(&mut self, count: usize) -> usize {
        self.below(count as u64) as usize
    }
}

/// A stage, with what the plan must know of its type.
#[derive(Clone, Copy, Debug)]
pub enum Any {
    Source(Node<Source>),
    Borrowing(Node<Borrowing>),
    Retaining(Node<Retaining>),
    Sink(Node<BorrowingSink>),
    Keep(Node<RetainingSink>),
    Outlet(Node<Outlet>),
}

/// What a stage is to the model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum What {
    Source,
    Filter,
    Multiply,
    Delay,
    Sink,
}

pub struct Joined {
    pub from: usize,
    pub to: usize,
    pub port: usize,
    /// None: it lends.
    pub policy: Option<Policy>,
}

pub struct World {
    pub graph: Graph<MediaPacket>,
    pub what: Vec<What>,
    pub edges: Vec<Joined>,
    pub traces: Rc<RefCell<Vec<Trace>>>,
    pub closes: Rc<RefCell<Vec<usize>>>,
    pub is_lossless: bool,
    sources: Vec<(Node<Source>, VecDeque<u64>)>,
    outlets: Vec<Node<Outlet>>,
    gates: Vec<(usize, Rc<Cell<usize>>)>,
    chance: Chance,
    now: Instant,
    next_number: u64,
}

struct Draft {
    plan: Plan<MediaPacket>,
    nodes: Vec<Any>,
    what: Vec<What>,
    edges: Vec<Joined>,
    gates: Vec<(usize, Rc<Cell<usize>>)>,
    traces: Rc<RefCell<Vec<Trace>>>,
    closes: Rc<RefCell<Vec<usize>>>,
    is_lossless: bool,
}

impl Draft {
    fn add(&mut self, chance: &mut Chance, what: What) {
        let index = self.nodes.len();
        self.traces.borrow_mut().push(Trace::default());
        let notes = Notes { index, traces: self.traces.clone(), closes: self.closes.clone() };
        let name = &format!("{what:?} {index}");
        let node = match what {
            What::Source => Any::Source(self.plan.source(name)),
            What::Filter => Any::Borrowing(self.plan.inspect(name, Filter(notes))),
            What::Multiply => {
                let stage = Multiply { notes, taken_count: 0, finish_count: 0 };
                Any::Borrowing(self.plan.convert(name, stage))
            }
            What::Delay => {
                let held_max = 1 + chance.index(4);
                let delay = Duration::from_millis(chance.below(30));
                let stage = Delay { notes, held: VecDeque::new(), held_max, delay };
                Any::Retaining(self.plan.retain(name, stage))
            }
            What::Sink => match chance.below(3) {
                0 => Any::Sink(self.plan.sink(name, Filter(notes))),
                1 => {
                    let room = Rc::new(Cell::new(0));
                    self.gates.push((index, room.clone()));
                    Any::Keep(self.plan.keep(name, Gate { notes, room }))
                }
                _ => Any::Outlet(self.plan.outlet(name)),
            },
        };
        self.nodes.push(node);
        self.what.push(what);
    }

    fn join(&mut self, chance: &mut Chance, from: usize, to: usize) {
        let policy = match (self.is_lossless, chance.below(3)) {
            (true, _) | (_, 0) => Policy::Wait,
            (_, 1) => Policy::DropOldest,
            _ => Policy::ToKeyframe,
        };
        let bound = Bound { packets_max: 1 + chance.index(6), bytes_max: 32 + chance.index(100) };
        let is_lent = chance.below(2) == 0;
        let is_lent = match self.nodes[from] {
            Any::Source(from) => self.join_from(from, to, is_lent, bound, policy),
            Any::Borrowing(from) => self.join_from(from, to, is_lent, bound, policy),
            Any::Retaining(from) => self.join_from(from, to, is_lent, bound, policy),
            _ => unreachable!("a sink feeds nothing"),
        };
        let port = self.edges.iter().filter(|edge| edge.to == to).count();
        self.edges.push(Joined { from, to, port, policy: (!is_lent).then_some(policy) });
    }

    fn join_from<A: Feeds>(
        &mut self,
        from: Node<A>,
        to: usize,
        is_lent: bool,
        bound: Bound,
        policy: Policy,
    ) -> bool {
        match self.nodes[to] {
            Any::Borrowing(to) if is_lent => self.plan.lend(from, to),
            Any::Sink(to) if is_lent => self.plan.lend(from, to),
            Any::Borrowing(to) => self.plan.queue(from, to, bound, policy),
            Any::Sink(to) => self.plan.queue(from, to, bound, policy),
            Any::Retaining(to) => self.plan.queue(from, to, bound, policy),
            Any::Keep(to) => self.plan.queue(from, to, bound, policy),
            Any::Outlet(to) => self.plan.queue(from, to, bound, policy),
            Any::Source(_) => unreachable!("a source is not fed"),
        };
        is_lent && matches!(self.nodes[to], Any::Borrowing(_) | Any::Sink(_))
    }
}

impl World {
    /// None where the seed drew what is no graph: one packet lent twice to a stage.
    pub fn draw(seed: u64) -> Option<World> {
        let mut chance = Chance(mix(seed));
        let mut draft = Draft {
            plan: Plan::new(),
            nodes: Vec::new(),
            what: Vec::new(),
            edges: Vec::new(),
            gates: Vec::new(),
            traces: Rc::default(),
            closes: Rc::default(),
            is_lossless: chance.below(2) == 0,
        };
        for _ in 0..1 + chance.below(3) {
            draft.add(&mut chance, What::Source);
        }
        let source_count = draft.nodes.len();
        for _ in 0..chance.below(7) {
            let what = [What::Filter, What::Multiply, What::Delay][chance.index(3)];
            draft.add(&mut chance, what);
        }
        let feeder_count = draft.nodes.len();
        for _ in 0..1 + chance.below(4) {
            draft.add(&mut chance, What::Sink);
        }
        for to in source_count..draft.nodes.len() {
            let first = chance.index(to.min(feeder_count));
            draft.join(&mut chance, first, to);
            let second = chance.index(to.min(feeder_count));
            if second != first && chance.below(3) == 0 {
                draft.join(&mut chance, second, to);
            }
        }
        for from in 0..feeder_count {
            if draft.edges.iter().all(|edge| edge.from != from) {
                draft.add(&mut chance, What::Sink);
                let sink = draft.nodes.len() - 1;
                draft.join(&mut chance, from, sink);
            }
        }
        let graph = match draft.plan.build() {
            Err(PlanError::LentTwice(_)) => return None,
            graph => graph.expect("a graph"),
        };
        let sources = draft.nodes.iter().filter_map(|node| match node {
            Any::Source(source) => Some((*source, VecDeque::new())),
            _ => None,
        });
        let outlets = draft.nodes.iter().filter_map(|node| match node {
            Any::Outlet(outlet) => Some(*outlet),
            _ => None,
        });
        Some(World {
            graph,
            sources: sources.collect(),
            outlets: outlets.collect(),
            what: draft.what,
            edges: draft.edges,
            traces: draft.traces,
            closes: draft.closes,
            is_lossless: draft.is_lossless,
            gates: draft.gates,
            chance,
            now: start(),
            next_number: 0,
        })
    }

    /// Does as chance has it, then drains or stops.
    pub fn run(&mut self) {
        for _ in 0..400 {
            match self.chance.below(12) {
                0..5 => self.push(),
                5..7 => drop(self.poll_some()),
                7..9 => self.take(),
                9 => self.open_gate(),
                10 => self.pass_time(),
                _ if self.chance.below(8) == 0 => self.graph.handle(self.now, Input::Pause),
                _ => self.graph.handle(self.now, Input::Resume),
            }
        }
        self.graph.handle(self.now, Input::Resume);
        if self.chance.below(5) == 0 {
            self.graph.handle(self.now, Input::Stop);
            assert_eq!(poll_all(&mut self.graph), [Output::Ended]);
            return;
        }
        self.graph.handle(self.now, Input::Drain);
        for _ in 0..20_000 {
            poll_all(&mut self.graph);
            if self.graph.end().is_some() {
                return;
            }
            self.take();
            self.open_gate();
            self.pass_time();
        }
        panic!("it does not drain:\n{}", self.graph.explain());
    }

    fn push(&mut self) {
        let at = self.chance.index(self.sources.len());
        let (source, waiting) = &mut self.sources[at];
        if waiting.is_empty() {
            waiting.push_back(self.next_number);
            self.next_number += 1;
        }
        let number = waiting[0];
        let new = packet(number);
        let credit = self.graph.credit(*source);
        let is_sure = credit.packets > 0 && credit.bytes >= new.size_bytes();
        // Before the call: stages behind it write down what they do within it.
        let traces = self.traces.clone();
        traces.borrow_mut()[source.index()].emitted.push(number);
        match self.graph.push(self.now, *source, new) {
            Ok(()) => drop(waiting.pop_front()),
            Err(_) => {
                assert!(!is_sure, "credit was not kept");
                traces.borrow_mut()[source.index()].emitted.pop();
            }
        }
    }

    fn poll_some(&mut self) -> usize {
        let count = self.chance.index(5);
        (0..count).map_while(|_| self.graph.poll()).count()
    }

    fn take(&mut self) {
        if self.outlets.is_empty() {
            return;
        }
        let outlet = self.outlets[self.chance.index(self.outlets.len())];
        let Some(packet) = self.graph.take(self.now, outlet) else { return };
        // Which port it came by, an outlet does not say; the model knows by its number.
        let number = number(&packet.payload);
        self.traces.borrow_mut()[outlet.index()].took.push((usize::MAX, number));
    }

    fn open_gate(&mut self) {
        if !self.gates.is_empty() {
            let (node, room) = &self.gates[self.chance.index(self.gates.len())];
            room.set(room.get() + 1 + (self.next_number % 3) as usize);
            self.graph.handle(self.now, Input::Ready(*node));
        }
    }

    fn pass_time(&mut self) {
        if self.chance.below(2) == 0 {
            self.now += Duration::from_millis(self.chance.below(20));
        } else if let Some(deadline) = self.graph.deadline() {
            self.now = self.now.max(deadline);
        }
        self.graph.handle(self.now, Input::Tick);
        while let Some(output) = self.graph.poll() {
            if output == Output::Ended {
                return;
            }
        }
        let is_due = self.graph.deadline().is_some_and(|deadline| deadline <= self.now);
        assert!(!is_due, "polled to none, and yet due: a driver would spin");
        assert_eq!(self.graph.poll(), None, "nothing comes of nothing");
    }
}
