//! The running graph as its driver sees it: push, take, handle, poll, deadline.

use std::collections::VecDeque;
use std::fmt;
use std::time::Instant;

use crate::node::{Edge, Node, Route, Stage, StageCounters};
use crate::plan::{self, Outlet, Source};
use crate::{EdgeCounters, End, Fault, Packet};

/// Steps of one [`Graph::poll`], so that its longest call is bounded.
const STEPS_PER_POLL_MAX: usize = 256;

/// What a driver tells a graph, besides packets.
#[derive(Clone, Copy, Debug)]
pub enum Input {
    /// Time has passed: [`Graph::deadline`] was reached.
    Tick,
    /// Sources get no credit until [`Input::Resume`]; what is in flight goes on.
    Pause,
    /// Ends a pause.
    Resume,
    /// This source will bring no more. When all have ended the graph drains.
    EndSource(plan::Node<Source>),
    /// All sources end: what is in flight is delivered, stages finish, then the graph ends.
    Drain,
    /// The graph ends now. What is in flight is discarded and counted.
    Stop,
    /// The stage of this number may have room again, or be able to finish: it is asked.
    Ready(usize),
}

/// What a graph asks of its driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// A source that had refused a packet of this size has room for it.
    Credit(plan::Node<Source>),
    /// Packets wait at an outlet where none did: [`Graph::take`] until there are none.
    Ready(plan::Node<Outlet>),
    /// There is more to do. Poll again, at once or after other work.
    Yield,
    /// All stages are closed; [`Graph::end`] says why. The last output.
    Ended,
}

/// What a graph is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Taking packets.
    Running,
    /// Refusing packets, until it is resumed.
    Paused,
    /// All sources have ended.
    Draining,
    /// All stages are closed.
    Ended,
}

/// What a source may push and be sure that it is taken. Between calls it only grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credit {
    /// So many packets, …
    pub packets: usize,
    /// … of so many bytes together.
    pub bytes: usize,
}

/// A packet that a source did not take, given back.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused<P> {
    /// A queue that waits has no room. [`Output::Credit`] tells when to try again.
    Full(P),
    /// The graph is paused. [`Output::Credit`] tells when to try again.
    Paused(P),
    /// The source or the graph has ended.
    Ended(P),
}

impl<P> Refused<P> {
    /// The packet.
    pub fn into_packet(self) -> P {
        match self {
            Refused::Full(packet) | Refused::Paused(packet) | Refused::Ended(packet) => packet,
        }
    }
}

/// A running graph. It is built of a [`Plan`](crate::Plan).
pub struct Graph<P: Packet> {
    pub(crate) nodes: Vec<Node<P>>,
    pub(crate) edges: Vec<Edge<P>>,
    /// Of each edge, the nodes whose packets may come to it without a queue between.
    pub(crate) origins: Vec<Vec<usize>>,
    /// Sources first, each stage after all that feed it.
    pub(crate) order: Vec<usize>,
    /// Nodes that may have work, each at most once.
    pub(crate) work: VecDeque<usize>,
    outputs: VecDeque<Output>,
    /// The last that the driver said.
    pub(crate) now: Option<Instant>,
    is_paused: bool,
    end: Option<End>,
}

impl<P: Packet> fmt::Debug for Graph<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.describe(), f)
    }
}

impl<P: Packet> Graph<P> {
    pub(crate) fn new(
        stages: Vec<(String, Stage<P>)>,
        edges: Vec<Edge<P>>,
        order: Vec<usize>,
    ) -> Graph<P> {
        let numbers = |is_of: &dyn Fn(&Edge<P>) -> bool| {
            (0..edges.len()).filter(|edge| is_of(&edges[*edge])).collect::<Vec<usize>>()
        };
        let node = |(index, (name, stage)): (usize, (String, Stage<P>))| {
            let ins = numbers(&|edge| edge.to == index);
            Node::new(name, stage, ins, numbers(&|edge| edge.from == index))
        };
        let nodes: Vec<Node<P>> = stages.into_iter().enumerate().map(node).collect();
        let mut graph = Graph {
            origins: Vec::new(),
            order,
            work: VecDeque::with_capacity(nodes.len()),
            outputs: VecDeque::with_capacity(nodes.len() + 1),
            now: None,
            is_paused: false,
            end: None,
            nodes,
            edges,
        };
        graph.origins = graph.find_origins();
        graph
    }

    /// Takes a packet of a source: what borrows it runs now, the rest in [`Graph::poll`].
    ///
    /// # Errors
    /// [`Refused`] gives the packet back.
    pub fn push(
        &mut self,
        now: Instant,
        source: plan::Node<Source>,
        packet: P,
    ) -> Result<(), Refused<P>> {
        let at = self.source(source);
        self.advance(now);
        let size = packet.size_bytes();
        let refusal: fn(P) -> Refused<P> = if self.end.is_some() || self.nodes[at].is_ended {
            Refused::Ended
        } else if self.is_paused {
            Refused::Paused
        } else if !self.has_room(at, size) {
            Refused::Full
        } else {
            self.nodes[at].starved = None;
            self.nodes[at].counters.taken += 1;
            self.nodes[at].counters.emitted += 1;
            if let Err((stage, cause)) = self.pass(now, at, packet) {
                self.fail(stage, cause);
            }
            return Ok(());
        };
        self.nodes[at].counters.refused += 1;
        self.nodes[at].starved = Some(size);
        Err(refusal(packet))
    }

    /// What this source may push now. Without queues that wait on its ways there is no limit.
    pub fn credit(&self, source: plan::Node<Source>) -> Credit {
        let at = self.source(source);
        if self.end.is_some() || self.is_paused || self.nodes[at].is_ended {
            return Credit { packets: 0, bytes: 0 };
        }
        let mut credit = Credit { packets: usize::MAX, bytes: usize::MAX };
        self.narrow(at, &mut credit);
        credit
    }

    /// Takes the next packet of an outlet, if there is one.
    pub fn take(&mut self, now: Instant, outlet: plan::Node<Outlet>) -> Option<P> {
        self.advance(now);
        let at = outlet.index;
        assert!(matches!(self.nodes[at].stage, Stage::Outlet), "an outlet of another graph");
        let packet = self.next_packet(at);
        match &packet {
            Some(_) => self.nodes[at].counters.taken += 1,
            None => self.nodes[at].is_announced = false,
        }
        self.wake(at);
        packet.map(|(_, packet)| packet)
    }

    /// Whether nothing will come out of an outlet any more.
    pub fn is_closed(&self, outlet: plan::Node<Outlet>) -> bool {
        self.nodes[outlet.index].is_closed
    }

    /// Takes what the driver has to say. Its consequences come with [`Graph::poll`].
    pub fn handle(&mut self, now: Instant, input: Input) {
        self.advance(now);
        if self.end.is_some() {
            return;
        }
        match input {
            Input::Tick => self.wake_due(now),
            Input::Pause => self.is_paused = true,
            Input::Resume => {
                self.is_paused = false;
                self.each_source(|graph, source| graph.wake(source));
            }
            Input::EndSource(source) => self.end_source(self.source(source)),
            Input::Drain => self.each_source(Graph::end_source),
            Input::Stop => self.close_all(End::Stopped),
            Input::Ready(node) => {
                if node < self.nodes.len() {
                    self.wake(node);
                }
            }
        }
    }

    /// What is to be done, until there is nothing. Moves queued packets on, by at most some
    /// hundred calls of stages at a time.
    pub fn poll(&mut self) -> Option<Output> {
        for _ in 0..STEPS_PER_POLL_MAX {
            if let Some(output) = self.outputs.pop_front() {
                return Some(output);
            }
            let at = self.work.pop_front()?;
            self.nodes[at].is_queued = false;
            if self.end.is_none()
                && let Err((stage, cause)) = self.step(at)
            {
                self.fail(stage, cause);
            }
        }
        Some(self.outputs.pop_front().unwrap_or(Output::Yield))
    }

    /// When [`Input::Tick`] is wanted. None: nothing happens before the driver's next call.
    pub fn deadline(&self) -> Option<Instant> {
        if self.end.is_some() {
            return None;
        }
        let callable = self.nodes.iter().filter(|node| node.may_act());
        callable.filter_map(|node| node.stage.deadline()).min()
    }

    /// What it is doing.
    pub fn state(&self) -> State {
        let is_over = |node: &Node<P>| !matches!(node.stage, Stage::Source) || node.is_ended;
        match (&self.end, self.is_paused) {
            (Some(_), _) => State::Ended,
            (None, _) if self.nodes.iter().all(is_over) => State::Draining,
            (None, true) => State::Paused,
            (None, false) => State::Running,
        }
    }

    /// How it ended, if it has.
    pub fn end(&self) -> Option<&End> {
        self.end.as_ref()
    }

    /// What a stage has done.
    pub fn counters<K>(&self, node: plan::Node<K>) -> StageCounters {
        self.nodes[node.index].counters
    }

    /// What the edge between two stages has carried and lost, if there is one.
    pub fn edge_counters<A, B>(
        &self,
        from: plan::Node<A>,
        to: plan::Node<B>,
    ) -> Option<EdgeCounters> {
        let is_it = |edge: &&Edge<P>| edge.from == from.index && edge.to == to.index;
        self.edges.iter().find(is_it).map(Edge::counters)
    }

    fn source(&self, source: plan::Node<Source>) -> usize {
        let node = self.nodes.get(source.index);
        let is_source = node.is_some_and(|node| matches!(node.stage, Stage::Source));
        assert!(is_source, "a source of another graph");
        source.index
    }

    fn each_source(&mut self, mut f: impl FnMut(&mut Graph<P>, usize)) {
        for at in 0..self.nodes.len() {
            if matches!(self.nodes[at].stage, Stage::Source) {
                f(self, at);
            }
        }
    }

    fn end_source(&mut self, at: usize) {
        self.nodes[at].is_ended = true;
        self.wake(at);
    }

    /// Time does not go back.
    fn advance(&mut self, now: Instant) {
        self.now = Some(self.now.map_or(now, |before| before.max(now)));
    }

    fn wake_due(&mut self, now: Instant) {
        for at in 0..self.nodes.len() {
            if self.nodes[at].is_due(now) {
                self.wake(at);
            }
        }
    }

    pub(crate) fn wake(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        if !node.is_queued && !node.is_closed {
            node.is_queued = true;
            self.work.push_back(at);
        }
    }

    /// Tells a source that was refused, once, that it need not wait any longer.
    pub(crate) fn offer_credit(&mut self, at: usize) {
        let Some(size) = self.nodes[at].starved else { return };
        if !self.is_paused && !self.nodes[at].is_ended && self.has_room(at, size) {
            self.nodes[at].starved = None;
            self.outputs.push_back(Output::Credit(plan::Node::at(at)));
        }
    }

    /// Tells the driver, once, that an outlet has packets.
    pub(crate) fn announce(&mut self, at: usize) {
        if !self.nodes[at].is_announced {
            self.nodes[at].is_announced = true;
            self.outputs.push_back(Output::Ready(plan::Node::at(at)));
        }
    }

    fn fail(&mut self, at: usize, cause: Fault) {
        let stage = self.nodes[at].name.clone();
        self.close_all(End::Failed { stage, cause });
    }

    /// Closes what is still open, in order, and forgets what is in flight.
    pub(crate) fn close_all(&mut self, end: End) {
        let now = self.now.expect("time is known from the first call on");
        for at in 0..self.order.len() {
            let at = self.order[at];
            if !self.nodes[at].is_closed {
                self.nodes[at].close(now, &end);
            }
        }
        for edge in &mut self.edges {
            if let Route::Queue(queue) = &mut edge.route {
                queue.discard();
            }
        }
        self.end = Some(end);
        self.outputs.clear();
        self.outputs.push_back(Output::Ended);
    }
}
