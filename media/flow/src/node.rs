//! A stage with its place in a running graph.

use std::collections::VecDeque;
use std::time::Instant;

use serde::Serialize;

use crate::queue::Queue;
use crate::{Convert, EdgeCounters, End, Fault, Finish, Inspect, Out, Packet, Retain, StageError};

/// What a node runs.
pub(crate) enum Stage<P: Packet> {
    Source,
    Inspect(Box<dyn Inspect<P>>),
    Convert(Box<dyn Convert<P>>),
    Retain(Box<dyn Retain<P>>),
    Sink(Box<dyn Inspect<P>>),
    Keep(Box<dyn Retain<P>>),
    Outlet,
}

impl<P: Packet> Stage<P> {
    pub(crate) fn is_sink(&self) -> bool {
        matches!(self, Stage::Sink(_) | Stage::Keep(_) | Stage::Outlet)
    }

    pub(crate) fn borrows(&self) -> bool {
        matches!(self, Stage::Inspect(_) | Stage::Convert(_) | Stage::Sink(_))
    }

    /// The most packets of one call that wait here for room.
    fn burst_max(&self) -> usize {
        match self {
            Stage::Convert(stage) => stage.burst_max(),
            Stage::Retain(stage) => stage.burst_max(),
            // One that came by a queue, was inspected, and goes on.
            Stage::Inspect(_) => 1,
            Stage::Source | Stage::Sink(_) | Stage::Keep(_) | Stage::Outlet => 0,
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self {
            Stage::Convert(stage) => stage.deadline(),
            Stage::Retain(stage) | Stage::Keep(stage) => stage.deadline(),
            _ => None,
        }
    }

    fn close(&mut self, now: Instant, end: &End) {
        match self {
            Stage::Inspect(stage) | Stage::Sink(stage) => stage.close(now, end),
            Stage::Convert(stage) => stage.close(now, end),
            Stage::Retain(stage) | Stage::Keep(stage) => stage.close(now, end),
            Stage::Source | Stage::Outlet => {}
        }
    }
}

/// What a stage has done, in packets since the graph was built.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StageCounters {
    /// Packets that it was lent or given; of a source, that the driver pushed.
    pub taken: u64,
    /// Packets that it emitted or passed on.
    pub emitted: u64,
    /// Packets that it chose not to pass on.
    pub ended_here: u64,
    /// Pushes that a source refused: for want of credit, while paused, or after its end.
    pub refused: u64,
    /// Emitted, but on no edge yet when the graph was stopped or failed.
    pub discarded: u64,
}

/// Work that a call of a stage does besides taking a packet.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    Deadline,
    Finish,
}

pub(crate) struct Node<P: Packet> {
    pub(crate) name: String,
    pub(crate) stage: Stage<P>,
    /// Emitted, and waiting for room on all edges at once.
    pub(crate) pending: VecDeque<P>,
    pub(crate) burst_max: usize,
    /// Edges, in the order in which they were joined.
    pub(crate) ins: Vec<usize>,
    pub(crate) outs: Vec<usize>,
    /// Which of `ins` is asked first for the next packet.
    pub(crate) next_in: usize,
    /// Of each of `ins`, whether the stage was told that no more comes by it.
    pub(crate) ended_ports: Vec<bool>,
    pub(crate) counters: StageCounters,
    pub(crate) is_queued: bool,
    pub(crate) is_closed: bool,
    /// All given that it held.
    pub(crate) is_finished: bool,
    /// Of a source: no more will come.
    pub(crate) is_ended: bool,
    /// Of a source: the size of a packet that was refused.
    pub(crate) starved: Option<usize>,
    /// Of an outlet: the driver knows that there are packets.
    pub(crate) is_announced: bool,
}

impl<P: Packet> Node<P> {
    pub(crate) fn new(name: String, stage: Stage<P>, ins: Vec<usize>, outs: Vec<usize>) -> Self {
        let burst_max = stage.burst_max();
        Node {
            name,
            pending: VecDeque::with_capacity(burst_max),
            burst_max,
            ended_ports: vec![false; ins.len()],
            stage,
            ins,
            outs,
            next_in: 0,
            counters: StageCounters::default(),
            is_queued: false,
            is_closed: false,
            is_finished: false,
            is_ended: false,
            starved: None,
            is_announced: false,
        }
    }

    /// Runs a stage's call with room for its burst, and says how many packets it made.
    pub(crate) fn emit(
        &mut self,
        call: impl FnOnce(&mut Stage<P>, &mut Out<'_, P>) -> Result<(), StageError>,
    ) -> Result<usize, Fault> {
        let burst_max = self.burst_max;
        let mut out = Out { pending: &mut self.pending, burst_max, emitted_count: 0 };
        let result = call(&mut self.stage, &mut out);
        let emitted_count = out.emitted_count;
        self.counters.emitted += emitted_count.min(burst_max) as u64;
        result.map_err(Fault::Stage)?;
        if emitted_count > burst_max {
            return Err(Fault::Burst { emitted_count, burst_max });
        }
        Ok(emitted_count)
    }

    /// One round of a stage's own work; how many packets it made. At a deadline it must do some.
    pub(crate) fn work(&mut self, now: Instant, what: Call) -> Result<usize, Fault> {
        let mut finish = Finish::Done;
        let emitted_count = self.emit(|stage, out| {
            match (stage, what) {
                (Stage::Convert(stage), Call::Deadline) => stage.on_deadline(now, out)?,
                (Stage::Convert(stage), Call::Finish) => finish = stage.finish(now, out)?,
                (Stage::Retain(stage) | Stage::Keep(stage), Call::Deadline) => {
                    stage.on_deadline(now, out)?;
                }
                (Stage::Retain(stage) | Stage::Keep(stage), Call::Finish) => {
                    finish = stage.finish(now, out)?;
                }
                _ => {}
            }
            Ok(())
        })?;
        let is_due = self.stage.deadline().is_some_and(|deadline| deadline <= now);
        match what {
            Call::Deadline if is_due && emitted_count == 0 => return Err(Fault::NoProgress),
            Call::Deadline => {}
            Call::Finish => self.is_finished = finish == Finish::Done,
        }
        Ok(emitted_count)
    }

    pub(crate) fn close(&mut self, now: Instant, end: &End) {
        assert!(!self.is_closed, "a stage is closed once");
        self.is_closed = true;
        self.counters.discarded += self.pending.len() as u64;
        self.pending.clear();
        self.stage.close(now, end);
    }
}

/// How an edge carries packets.
pub(crate) enum Route<P> {
    Lend,
    Queue(Queue<P>),
}

pub(crate) struct Edge<P> {
    pub(crate) from: usize,
    pub(crate) to: usize,
    /// Its number among the edges that lead to `to`.
    pub(crate) port: usize,
    pub(crate) route: Route<P>,
    /// Packets and bytes lent; a queue counts for itself.
    pub(crate) lent: (u64, u64),
}

impl<P> Edge<P> {
    pub(crate) fn is_lent(&self) -> bool {
        matches!(self.route, Route::Lend)
    }

    pub(crate) fn queue(&mut self) -> Option<&mut Queue<P>> {
        match &mut self.route {
            Route::Lend => None,
            Route::Queue(queue) => Some(queue),
        }
    }

    pub(crate) fn counters(&self) -> EdgeCounters {
        match &self.route {
            Route::Queue(queue) => queue.counters,
            Route::Lend => EdgeCounters {
                entered: self.lent.0,
                entered_bytes: self.lent.1,
                left: self.lent.0,
                left_bytes: self.lent.1,
                ..EdgeCounters::default()
            },
        }
    }
}
