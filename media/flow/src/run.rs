//! How packets move: lent inline as far as that goes, then through queues, a step at a time.
//!
//! A packet that leaves a stage goes to *all* its edges at once, when every queue that waits on
//! its inline ways has room; until then it stays in the stage's `pending`, and the stage is not
//! called. So no queue is ever filled beyond its bound, and no edge sees a packet twice.

use std::time::Instant;

use crate::graph::{Credit, Graph};
use crate::node::{Call, Node, Route, Stage};
use crate::{End, Fault, Packet, Verdict};

/// Which stage failed, and with what.
type Failure = (usize, Fault);

impl<P: Packet> Graph<P> {
    /// Of each edge, who may send into it without a queue between: to be woken when it has room.
    pub(crate) fn find_origins(&self) -> Vec<Vec<usize>> {
        let mut of_nodes: Vec<Vec<usize>> = vec![Vec::new(); self.nodes.len()];
        for &at in &self.order {
            let node = &self.nodes[at];
            let mut origins = vec![at];
            if matches!(node.stage, Stage::Inspect(_)) {
                let lent = node.ins.iter().map(|edge| &self.edges[*edge]).filter(|e| e.is_lent());
                origins.extend(lent.flat_map(|edge| of_nodes[edge.from].iter().copied()));
            }
            origins.sort_unstable();
            origins.dedup();
            of_nodes[at] = origins;
        }
        self.edges.iter().map(|edge| of_nodes[edge.from].clone()).collect()
    }

    /// Whether a packet of this size may leave a stage now.
    pub(crate) fn has_room(&self, from: usize, size: usize) -> bool {
        self.nodes[from].outs.iter().all(|edge| {
            let edge = &self.edges[*edge];
            match (&edge.route, &self.nodes[edge.to].stage) {
                (Route::Queue(queue), _) => queue.accepts(size),
                // Nothing overtakes what a stage has made, or has inspected, before.
                (Route::Lend, _) if !self.nodes[edge.to].pending.is_empty() => false,
                (Route::Lend, Stage::Inspect(_)) => self.has_room(edge.to, size),
                (Route::Lend, _) => true,
            }
        })
    }

    pub(crate) fn narrow(&self, from: usize, credit: &mut Credit) {
        for edge in &self.nodes[from].outs {
            let edge = &self.edges[*edge];
            let (packets, bytes) = match (&edge.route, &self.nodes[edge.to].stage) {
                (Route::Queue(queue), _) if queue.waits() => queue.room(),
                (Route::Lend, _) if !self.nodes[edge.to].pending.is_empty() => (0, 0),
                (Route::Lend, Stage::Inspect(_)) => {
                    self.narrow(edge.to, credit);
                    continue;
                }
                // What it makes of a packet may have to wait before it can read the next one.
                (Route::Lend, Stage::Convert(_)) => (1, usize::MAX),
                _ => continue,
            };
            credit.packets = credit.packets.min(packets);
            credit.bytes = credit.bytes.min(bytes);
        }
        if credit.packets == 0 || credit.bytes == 0 {
            *credit = Credit { packets: 0, bytes: 0 };
        }
    }

    /// Sends a packet to all edges of a stage. The last of them gets it, the others share it.
    pub(crate) fn pass(&mut self, now: Instant, from: usize, packet: P) -> Result<(), Failure> {
        let Some(last) = self.nodes[from].outs.len().checked_sub(1) else { return Ok(()) };
        for index in 0..last {
            self.offer(now, self.nodes[from].outs[index], &packet)?;
        }
        let edge = self.nodes[from].outs[last];
        if !self.edges[edge].is_lent() {
            return self.enqueue(edge, packet);
        }
        let to = self.edges[edge].to;
        if self.lend(now, edge, &packet)? { self.pass(now, to, packet) } else { Ok(()) }
    }

    /// Shows a packet to an edge: it is shared where it is queued, and only there.
    fn offer(&mut self, now: Instant, edge: usize, packet: &P) -> Result<(), Failure> {
        if !self.edges[edge].is_lent() {
            return self.enqueue(edge, packet.share());
        }
        let to = self.edges[edge].to;
        if self.lend(now, edge, packet)? {
            for index in 0..self.nodes[to].outs.len() {
                self.offer(now, self.nodes[to].outs[index], packet)?;
            }
        }
        Ok(())
    }

    /// Runs the borrowing stage behind an edge; whether the packet goes on behind it.
    fn lend(&mut self, now: Instant, edge: usize, packet: &P) -> Result<bool, Failure> {
        let edge = &mut self.edges[edge];
        edge.lent.0 += 1;
        edge.lent.1 += packet.size_bytes() as u64;
        let (to, port) = (edge.to, edge.port);
        let goes_on = self.show(now, to, port, packet).map_err(|fault| (to, fault))?;
        if !self.nodes[to].pending.is_empty() {
            self.wake(to);
        }
        Ok(goes_on)
    }

    /// Lends a packet to a stage, whichever way it came.
    fn show(&mut self, now: Instant, at: usize, port: usize, packet: &P) -> Result<bool, Fault> {
        let node = &mut self.nodes[at];
        node.counters.taken += 1;
        match &mut node.stage {
            Stage::Inspect(stage) => {
                let verdict = stage.handle(now, port, packet.view()).map_err(Fault::Stage)?;
                let goes_on = verdict == Verdict::Pass;
                node.counters.emitted += u64::from(goes_on);
                node.counters.ended_here += u64::from(!goes_on);
                return Ok(goes_on);
            }
            Stage::Sink(stage) => {
                stage.handle(now, port, packet.view()).map_err(Fault::Stage)?;
            }
            Stage::Convert(_) => {
                node.emit(|stage, out| match stage {
                    Stage::Convert(stage) => stage.handle(now, port, packet.view(), out),
                    _ => Ok(()),
                })?;
            }
            Stage::Source | Stage::Retain(_) | Stage::Keep(_) | Stage::Outlet => {}
        }
        Ok(false)
    }

    fn enqueue(&mut self, edge: usize, packet: P) -> Result<(), Failure> {
        let (from, to) = (self.edges[edge].from, self.edges[edge].to);
        let size_bytes = packet.size_bytes();
        let queue = self.edges[edge].queue().expect("an edge that does not lend is a queue");
        if queue.push(packet).is_err() {
            let to = self.nodes[to].name.clone();
            return Err((from, Fault::Oversized { to, size_bytes }));
        }
        if queue.is_empty() {
            return Ok(());
        }
        if matches!(self.nodes[to].stage, Stage::Outlet) {
            self.announce(to);
        } else {
            self.wake(to);
        }
        Ok(())
    }

    /// The next packet of a stage's queues, in turn, of those ports for which it has room.
    pub(crate) fn next_packet(&mut self, at: usize) -> Option<(usize, P)> {
        let count = self.nodes[at].ins.len();
        for turn in 0..count {
            let node = &self.nodes[at];
            let port = (node.next_in + turn) % count;
            let edge = node.ins[port];
            let has_room = match &node.stage {
                Stage::Retain(stage) | Stage::Keep(stage) => stage.has_room(port),
                _ => true,
            };
            let packet =
                self.edges[edge].queue().filter(|_| has_room).and_then(|queue| queue.pop());
            if let Some(packet) = packet {
                self.nodes[at].next_in = (port + 1) % count;
                self.wake_origins(edge);
                return Some((port, packet));
            }
        }
        None
    }

    fn wake_origins(&mut self, edge: usize) {
        for index in 0..self.origins[edge].len() {
            self.wake(self.origins[edge][index]);
        }
    }

    /// One step of a stage: send what it made, or let it take one packet, or finish it.
    pub(crate) fn step(&mut self, at: usize) -> Result<(), Failure> {
        let now = self.now.expect("time is known from the first call on");
        if matches!(self.nodes[at].stage, Stage::Source) {
            self.offer_credit(at);
        }
        if !self.send_pending(now, at)? || self.nodes[at].is_closed {
            return Ok(());
        }
        if matches!(self.nodes[at].stage, Stage::Outlet) {
            self.close_if_done(now, at);
            return Ok(());
        }
        self.end_ports(at);
        let fault = |fault| (at, fault);
        if self.nodes[at].is_due(now) {
            self.nodes[at].work(now, Call::Deadline).map_err(fault)?;
            self.wake(at);
        } else if let Some((port, packet)) = self.next_packet(at) {
            self.give(now, at, port, packet).map_err(fault)?;
            self.wake(at);
        } else if self.is_starved_for_good(at) && !self.nodes[at].is_finished {
            let emitted_count = self.nodes[at].work(now, Call::Finish).map_err(fault)?;
            if emitted_count > 0 || self.nodes[at].is_finished {
                self.wake(at);
            }
        } else {
            self.close_if_done(now, at);
        }
        Ok(())
    }

    /// Gives a stage a packet that came by a queue.
    fn give(&mut self, now: Instant, at: usize, port: usize, packet: P) -> Result<(), Fault> {
        if let Stage::Retain(_) | Stage::Keep(_) = self.nodes[at].stage {
            let node = &mut self.nodes[at];
            node.counters.taken += 1;
            node.emit(|stage, out| match stage {
                Stage::Retain(stage) | Stage::Keep(stage) => stage.handle(now, port, packet, out),
                _ => Ok(()),
            })?;
        } else if self.show(now, at, port, &packet)? {
            self.nodes[at].pending.push_back(packet);
        }
        Ok(())
    }

    /// Sends on what a stage has made, as far as there is room; whether all of it.
    fn send_pending(&mut self, now: Instant, at: usize) -> Result<bool, Failure> {
        if self.nodes[at].pending.is_empty() {
            return Ok(true);
        }
        while let Some(packet) = self.nodes[at].pending.front() {
            if !self.has_room(at, packet.size_bytes()) {
                return Ok(false);
            }
            let packet = self.nodes[at].pending.pop_front();
            self.pass(now, at, packet.expect("it was looked at"))?;
        }
        // Who lends to this stage had to wait until it was empty.
        for index in 0..self.nodes[at].ins.len() {
            let edge = self.nodes[at].ins[index];
            if self.edges[edge].is_lent() {
                self.wake_origins(edge);
            }
        }
        Ok(true)
    }

    /// Whether nothing more comes by a port.
    fn is_port_over(&self, at: usize, port: usize) -> bool {
        let edge = &self.edges[self.nodes[at].ins[port]];
        let is_empty = match &edge.route {
            Route::Lend => true,
            Route::Queue(queue) => queue.is_empty(),
        };
        is_empty && self.nodes[edge.from].is_closed
    }

    fn end_ports(&mut self, at: usize) {
        for port in 0..self.nodes[at].ins.len() {
            if !self.nodes[at].ended_ports[port] && self.is_port_over(at, port) {
                self.nodes[at].ended_ports[port] = true;
                if let Stage::Retain(stage) | Stage::Keep(stage) = &mut self.nodes[at].stage {
                    stage.on_port_end(port);
                }
            }
        }
    }

    /// Whether no packet will come to a stage any more.
    fn is_starved_for_good(&self, at: usize) -> bool {
        match self.nodes[at].stage {
            Stage::Source => self.nodes[at].is_ended,
            _ => (0..self.nodes[at].ins.len()).all(|port| self.is_port_over(at, port)),
        }
    }

    fn close_if_done(&mut self, now: Instant, at: usize) {
        let is_finished =
            self.nodes[at].is_finished || matches!(self.nodes[at].stage, Stage::Outlet);
        if !is_finished || !self.is_starved_for_good(at) {
            return;
        }
        self.nodes[at].close(now, &End::Drained);
        for index in 0..self.nodes[at].outs.len() {
            self.wake(self.edges[self.nodes[at].outs[index]].to);
        }
        if self.nodes.iter().all(|node| node.is_closed) {
            self.close_all(End::Drained);
        }
    }
}

impl<P: Packet> Node<P> {
    /// Whether it may be called: what it made before is on its way.
    pub(crate) fn may_act(&self) -> bool {
        self.pending.is_empty() && !self.is_closed
    }

    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.may_act() && self.stage.deadline().is_some_and(|deadline| deadline <= now)
    }
}
