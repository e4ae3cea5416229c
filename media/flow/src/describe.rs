//! A graph as its operator sees it: stages, edges, boundaries, policies and live counters.

use std::fmt;

use serde::Serialize;

use crate::graph::{Graph, State};
use crate::node::{Edge, Route, Stage, StageCounters};
use crate::{Bound, EdgeCounters, Packet, Policy};

/// What a graph is and has done, for an API. `Display` is [`Graph::explain`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Description {
    /// What it is doing.
    pub state: State,
    /// How it ended, if it has, in words.
    pub end: Option<String>,
    /// Its stages, sources first, each after all that feed it.
    pub stages: Vec<StageDescription>,
    /// Its edges, in the order in which they were joined.
    pub edges: Vec<EdgeDescription>,
}

/// What a stage does with a packet that comes to it: its side of the ownership.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Brings packets in.
    Source,
    /// Is lent packets, which go on.
    Inspects,
    /// Is lent packets, and makes others.
    Converts,
    /// Is given packets, and may keep them.
    Retains,
    /// Is lent packets; the last on their way.
    BorrowingSink,
    /// Is given packets; the last on their way.
    RetainingSink,
    /// Holds packets for the driver.
    Outlet,
}

impl Role {
    fn words(self) -> &'static str {
        match self {
            Role::Source => "source",
            Role::Inspects => "borrows, passes on",
            Role::Converts => "borrows, makes new",
            Role::Retains => "retains",
            Role::BorrowingSink => "sink, borrows",
            Role::RetainingSink => "sink, retains",
            Role::Outlet => "outlet",
        }
    }
}

/// A stage.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StageDescription {
    /// Its number, which edges and [`Input::Ready`](crate::Input::Ready) name.
    pub index: usize,
    /// Its name.
    pub name: String,
    /// What it does with packets.
    pub role: Role,
    /// Whether it was closed.
    pub is_closed: bool,
    /// Packets that it made and that wait for room on its edges.
    pub pending: usize,
    /// What it has done.
    pub counters: StageCounters,
}

/// An edge.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EdgeDescription {
    /// The number of the stage where it begins.
    pub from: usize,
    /// The number of the stage to which it leads.
    pub to: usize,
    /// The queue's bound; an edge that lends holds nothing.
    pub bound: Option<Bound>,
    /// What the queue does when it is full.
    pub policy: Option<Policy>,
    /// Whether a packet is retained here for the first time: behind it, it outlives the call that
    /// brought it.
    pub is_boundary: bool,
    /// What it has carried and lost.
    pub counters: EdgeCounters,
}

impl<P: Packet> Graph<P> {
    /// The graph with its live counters.
    pub fn describe(&self) -> Description {
        let retained = self.retained();
        let stage = |index: &usize| {
            let node = &self.nodes[*index];
            StageDescription {
                index: *index,
                name: node.name.clone(),
                role: role(&node.stage),
                is_closed: node.is_closed,
                pending: node.pending.len(),
                counters: node.counters,
            }
        };
        let edge = |edge: &Edge<P>| {
            let (bound, policy) = match &edge.route {
                Route::Lend => (None, None),
                Route::Queue(queue) => (Some(queue.bound), Some(queue.policy)),
            };
            EdgeDescription {
                from: edge.from,
                to: edge.to,
                bound,
                policy,
                is_boundary: policy.is_some() && !retained[edge.from],
                counters: edge.counters(),
            }
        };
        Description {
            state: self.state(),
            end: self.end().map(ToString::to_string),
            stages: self.order.iter().map(stage).collect(),
            edges: self.edges.iter().map(edge).collect(),
        }
    }

    /// The graph as text: each stage with its edges, where packets are retained, and counters.
    pub fn explain(&self) -> String {
        self.describe().to_string()
    }

    /// Of each stage, whether what it sends on has been through a queue on every way.
    fn retained(&self) -> Vec<bool> {
        let mut retained = vec![false; self.nodes.len()];
        for &at in &self.order {
            let node = &self.nodes[at];
            let is_kept = |edge: &usize| {
                let edge = &self.edges[*edge];
                !edge.is_lent() || retained[edge.from]
            };
            retained[at] = match node.stage {
                Stage::Retain(_) => true,
                Stage::Inspect(_) => node.ins.iter().all(is_kept),
                _ => false,
            };
        }
        retained
    }
}

fn role<P: Packet>(stage: &Stage<P>) -> Role {
    match stage {
        Stage::Source => Role::Source,
        Stage::Inspect(_) => Role::Inspects,
        Stage::Convert(_) => Role::Converts,
        Stage::Retain(_) => Role::Retains,
        Stage::Sink(_) => Role::BorrowingSink,
        Stage::Keep(_) => Role::RetainingSink,
        Stage::Outlet => Role::Outlet,
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Policy::Wait => "wait",
            Policy::DropOldest => "drop oldest",
            Policy::ToKeyframe => "drop to next keyframe",
        })
    }
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.end {
            Some(end) => writeln!(f, "graph: {end}")?,
            None => writeln!(f, "graph: {}", format!("{:?}", self.state).to_lowercase())?,
        }
        let name = |index| {
            let stage = self.stages.iter().find(|stage| stage.index == index);
            stage.map_or("", |stage| &stage.name)
        };
        for stage in &self.stages {
            let counters = &stage.counters;
            write!(f, "{} ({}): {} in", stage.name, stage.role.words(), counters.taken)?;
            if self.edges.iter().any(|edge| edge.from == stage.index) {
                write!(f, ", {} out", counters.emitted)?;
            }
            if counters.ended_here > 0 {
                write!(f, ", {} ended here", counters.ended_here)?;
            }
            if counters.refused > 0 {
                write!(f, ", {} refused", counters.refused)?;
            }
            writeln!(f)?;
            for edge in self.edges.iter().filter(|edge| edge.from == stage.index) {
                edge.write(f, name(edge.to))?;
            }
        }
        Ok(())
    }
}

impl EdgeDescription {
    fn write(&self, f: &mut fmt::Formatter<'_>, to: &str) -> fmt::Result {
        let counters = &self.counters;
        let (Some(bound), Some(policy)) = (self.bound, self.policy) else {
            return writeln!(f, "  ──lend──> {to}: {}", counters.left);
        };
        let arrow = if self.is_boundary { "══retain═>" } else { "──queue─>" };
        let (packets, bytes) = (bound.packets_max, bound.bytes_max);
        write!(f, "  {arrow} {to}: at most {packets} packets, {bytes} bytes, {policy}; ")?;
        write!(f, "{} through, {} held", counters.left, counters.held)?;
        writeln!(f, ", {} dropped", counters.dropped())
    }
}
