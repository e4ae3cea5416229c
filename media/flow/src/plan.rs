//! A graph before it runs: stages and edges, and what is checked when it is built.

use std::collections::BTreeSet;
use std::error::Error;
use std::fmt;
use std::marker::PhantomData;

use crate::graph::Graph;
use crate::node::{Edge, Route, Stage};
use crate::queue::Queue;
use crate::{Bound, Convert, Inspect, Packet, Policy, Retain};

/// The most stages of a graph, and a quarter of the most edges.
pub const STAGES_MAX: usize = 256;

/// A stage of a plan and of the graph that it becomes. Its kind is in its type, so that what
/// cannot be joined does not compile. A stage that keeps packets wants a queue:
///
/// ```
/// # use media_flow::{Bound, MediaPacket, Pace, Plan, Policy};
/// # let mut plan: Plan<MediaPacket> = Plan::new();
/// let (file, pace) = (plan.source("file"), plan.keep("pace", Pace::new(8)));
/// plan.queue(file, pace, Bound { packets_max: 8, bytes_max: 1 << 20 }, Policy::Wait);
/// ```
///
/// and is not lent any packets:
///
/// ```compile_fail,E0277
/// # use media_flow::{MediaPacket, Pace, Plan};
/// # let mut plan: Plan<MediaPacket> = Plan::new();
/// let (file, pace) = (plan.source("file"), plan.keep("pace", Pace::new(8)));
/// plan.lend(file, pace);
/// ```
pub struct Node<K> {
    pub(crate) index: usize,
    kind: PhantomData<K>,
}

impl<K> Node<K> {
    pub(crate) fn at(index: usize) -> Node<K> {
        Node { index, kind: PhantomData }
    }

    /// Its number, as in the [`Description`](crate::Description).
    pub fn index(self) -> usize {
        self.index
    }
}

impl<K> Clone for Node<K> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K> Copy for Node<K> {}

impl<K> PartialEq for Node<K> {
    fn eq(&self, other: &Self) -> bool {
        self.index == other.index
    }
}

impl<K> Eq for Node<K> {}

impl<K> fmt::Debug for Node<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Node({})", self.index)
    }
}

/// The kind of a [`Node`] by which the driver pushes packets in.
#[derive(Debug)]
pub enum Source {}
/// The kind of a stage that is lent packets.
#[derive(Debug)]
pub enum Borrowing {}
/// The kind of a stage that is given packets.
#[derive(Debug)]
pub enum Retaining {}
/// The kind of a sink that is lent packets.
#[derive(Debug)]
pub enum BorrowingSink {}
/// The kind of a sink that is given packets.
#[derive(Debug)]
pub enum RetainingSink {}
/// The kind of a sink from which the driver takes packets.
#[derive(Debug)]
pub enum Outlet {}

/// Kinds from which an edge may lead.
pub trait Feeds {}
impl Feeds for Source {}
impl Feeds for Borrowing {}
impl Feeds for Retaining {}

/// Kinds to which packets may be lent.
pub trait Borrows {}
impl Borrows for Borrowing {}
impl Borrows for BorrowingSink {}

/// Kinds to which a queue may lead.
pub trait Takes {}
impl Takes for Borrowing {}
impl Takes for Retaining {}
impl Takes for BorrowingSink {}
impl Takes for RetainingSink {}
impl Takes for Outlet {}

/// Stages and edges that become a [`Graph`].
pub struct Plan<P: Packet> {
    stages: Vec<(String, Stage<P>)>,
    edges: Vec<Edge<P>>,
}

impl<P: Packet> Default for Plan<P> {
    fn default() -> Self {
        Plan::new()
    }
}

impl<P: Packet> Plan<P> {
    /// Nothing yet.
    pub fn new() -> Plan<P> {
        Plan { stages: Vec::new(), edges: Vec::new() }
    }

    /// Where the driver pushes packets in.
    pub fn source(&mut self, name: &str) -> Node<Source> {
        self.add(name, Stage::Source)
    }

    /// A stage that looks at packets which go on.
    pub fn inspect(&mut self, name: &str, stage: impl Inspect<P> + 'static) -> Node<Borrowing> {
        self.add(name, Stage::Inspect(Box::new(stage)))
    }

    /// A stage that reads packets and makes others.
    pub fn convert(&mut self, name: &str, stage: impl Convert<P> + 'static) -> Node<Borrowing> {
        self.add(name, Stage::Convert(Box::new(stage)))
    }

    /// A stage that keeps packets.
    pub fn retain(&mut self, name: &str, stage: impl Retain<P> + 'static) -> Node<Retaining> {
        self.add(name, Stage::Retain(Box::new(stage)))
    }

    /// A sink that is done with a packet when its call returns. Its verdicts mean nothing.
    pub fn sink(&mut self, name: &str, stage: impl Inspect<P> + 'static) -> Node<BorrowingSink> {
        self.add(name, Stage::Sink(Box::new(stage)))
    }

    /// A sink that keeps packets. What it emits is a mistake, and ends the graph.
    pub fn keep(&mut self, name: &str, stage: impl Retain<P> + 'static) -> Node<RetainingSink> {
        self.add(name, Stage::Keep(Box::new(stage)))
    }

    /// A sink from which the driver takes packets, when it can.
    pub fn outlet(&mut self, name: &str) -> Node<Outlet> {
        self.add(name, Stage::Outlet)
    }

    /// Lends packets: the stage runs inside the call that brought the packet. Nothing is held.
    pub fn lend<A: Feeds, B: Borrows>(&mut self, from: Node<A>, to: Node<B>) -> &mut Plan<P> {
        self.join(from.index, to.index, Route::Lend)
    }

    /// Gives packets through a queue. The first queue on a packet's way is where it is retained.
    pub fn queue<A: Feeds, B: Takes>(
        &mut self,
        from: Node<A>,
        to: Node<B>,
        bound: Bound,
        policy: Policy,
    ) -> &mut Plan<P> {
        self.join(from.index, to.index, Route::Queue(Queue::new(bound, policy)))
    }

    /// Checks the plan and makes it a graph, whose memory is all reserved now.
    ///
    /// # Errors
    /// [`PlanError`], which names the stage.
    pub fn build(self) -> Result<Graph<P>, PlanError> {
        self.check_stages()?;
        self.check_edges()?;
        let order = self.order()?;
        self.check_lent_once()?;
        Ok(Graph::new(self.stages, self.edges, order))
    }

    fn add<K>(&mut self, name: &str, stage: Stage<P>) -> Node<K> {
        self.stages.push((name.to_owned(), stage));
        Node::at(self.stages.len() - 1)
    }

    fn join(&mut self, from: usize, to: usize, route: Route<P>) -> &mut Plan<P> {
        let port = self.edges.iter().filter(|edge| edge.to == to).count();
        self.edges.push(Edge { from, to, port, route, lent: Default::default() });
        self
    }

    fn name(&self, index: usize) -> String {
        self.stages[index].0.clone()
    }

    fn check_stages(&self) -> Result<(), PlanError> {
        if self.stages.len() > STAGES_MAX || self.edges.len() > STAGES_MAX * 4 {
            return Err(PlanError::TooLarge);
        }
        if self.stages.is_empty() {
            return Err(PlanError::Empty);
        }
        let mut names = BTreeSet::new();
        for (index, (name, stage)) in self.stages.iter().enumerate() {
            if !names.insert(name) {
                return Err(PlanError::NameTwice(name.clone()));
            }
            let is_fed = self.edges.iter().any(|edge| edge.to == index);
            let feeds = self.edges.iter().any(|edge| edge.from == index);
            if !is_fed && !matches!(stage, Stage::Source) {
                return Err(PlanError::NotFed(name.clone()));
            }
            if !feeds && !stage.is_sink() {
                return Err(PlanError::FeedsNothing(name.clone()));
            }
        }
        Ok(())
    }

    fn check_edges(&self) -> Result<(), PlanError> {
        let mut pairs = BTreeSet::new();
        for edge in &self.edges {
            // A node of another plan has a number that means something else here, or nothing.
            let known = |index| index < self.stages.len();
            if !known(edge.from) || !known(edge.to) {
                return Err(PlanError::Stranger);
            }
            let (from, to) = (&self.stages[edge.from].1, &self.stages[edge.to].1);
            let is_lent = matches!(edge.route, Route::Lend);
            if from.is_sink() || matches!(to, Stage::Source) || is_lent && !to.borrows() {
                return Err(PlanError::Stranger);
            }
            let between = || (self.name(edge.from), self.name(edge.to));
            if !pairs.insert((edge.from, edge.to)) {
                let (from, to) = between();
                return Err(PlanError::JoinedTwice { from, to });
            }
            if let Route::Queue(queue) = &edge.route
                && (queue.bound.packets_max == 0 || queue.bound.bytes_max == 0)
            {
                let (from, to) = between();
                return Err(PlanError::NoBound { from, to });
            }
        }
        Ok(())
    }

    /// Sources first, each stage after all that feed it.
    fn order(&self) -> Result<Vec<usize>, PlanError> {
        let mut order: Vec<usize> = Vec::with_capacity(self.stages.len());
        while order.len() < self.stages.len() {
            let is_next = |index: &usize| {
                let mut feeders = self.edges.iter().filter(|edge| edge.to == *index);
                !order.contains(index) && feeders.all(|edge| order.contains(&edge.from))
            };
            let Some(next) = (0..self.stages.len()).find(is_next) else {
                let caught = (0..self.stages.len()).find(|index| !order.contains(index));
                return Err(PlanError::Cycle(caught.map_or_else(String::new, |at| self.name(at))));
            };
            order.push(next);
        }
        Ok(order)
    }

    /// One packet is lent to a stage once: else room for it would have to be counted twice.
    fn check_lent_once(&self) -> Result<(), PlanError> {
        for origin in 0..self.stages.len() {
            let mut lent = BTreeSet::new();
            let mut from = vec![origin];
            while let Some(at) = from.pop() {
                for edge in self.edges.iter().filter(|edge| edge.from == at && edge.is_lent()) {
                    if !lent.insert(edge.to) {
                        return Err(PlanError::LentTwice(self.name(edge.to)));
                    }
                    if matches!(self.stages[edge.to].1, Stage::Inspect(_)) {
                        from.push(edge.to);
                    }
                }
            }
        }
        Ok(())
    }
}

/// Why a plan is no graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlanError {
    /// More than [`STAGES_MAX`] stages, or four times as many edges.
    TooLarge,
    /// No stages at all.
    Empty,
    /// Two stages have this name.
    NameTwice(String),
    /// No edge leads to this stage.
    NotFed(String),
    /// No edge leads on from this stage, and it is no sink.
    FeedsNothing(String),
    /// An edge was joined with a node of another plan.
    Stranger,
    /// Two edges join the same two stages.
    JoinedTwice {
        /// Where they begin.
        from: String,
        /// Where they end.
        to: String,
    },
    /// A queue that could never hold a packet.
    NoBound {
        /// Where it begins.
        from: String,
        /// Where it ends.
        to: String,
    },
    /// This stage feeds itself, or is fed by stages that do.
    Cycle(String),
    /// This stage would be lent one packet by two ways.
    LentTwice(String),
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PlanError::TooLarge => write!(f, "more than {STAGES_MAX} stages, or too many edges"),
            PlanError::Empty => f.write_str("a plan without stages"),
            PlanError::NameTwice(name) => write!(f, "two stages are called `{name}`"),
            PlanError::NotFed(name) => write!(f, "no edge leads to `{name}`"),
            PlanError::FeedsNothing(name) => {
                write!(f, "no edge leads on from `{name}`, which is no sink")
            }
            PlanError::Stranger => f.write_str("an edge joins a node of another plan"),
            PlanError::JoinedTwice { from, to } => {
                write!(f, "two edges lead from `{from}` to `{to}`")
            }
            PlanError::NoBound { from, to } => {
                write!(f, "the queue from `{from}` to `{to}` could hold no packet")
            }
            PlanError::Cycle(name) => write!(f, "`{name}` is fed by a circle of stages"),
            PlanError::LentTwice(name) => {
                write!(
                    f,
                    "`{name}` would be lent each packet twice; put a queue on one of the ways"
                )
            }
        }
    }
}

impl Error for PlanError {}
