//! TCP as a service sees it: connections of two pipes, each with a way to travel and bounded room.
//!
//! ```text
//!   side 0 (connector)  ──pipe 0: flight → arrived──▶  side 1 (acceptor)
//!                       ◀──pipe 1: arrived ← flight──
//! ```
//!
//! *Invariants.* No byte is lost, doubled or reordered before its side's end or failure. A pipe
//! never holds more than its room, so a reader that does not read holds its writer back.

use std::net::SocketAddr;

use shards_runtime::{Completion, End, Token};

use crate::errno;
use crate::machine::{Lane, Sending};
use crate::pipe::{Pipe, Segment};
use crate::world::{Event, State};

/// What one receive buffer of a machine holds, bytes.
pub(crate) const STREAM_BUFFER_BYTES: usize = 4_096;

/// How long a kernel keeps sending to a host that does not answer, ns (`tcp_retries2`: 924.6 s).
const GIVE_UP_NS: u64 = 924_600_000_000;

pub(crate) struct Connection {
    pub(crate) sides: [Side; 2],
    /// By the side that sends.
    pub(crate) pipes: [Pipe; 2],
    pub(crate) latency_ns: u64,
    pub(crate) established: bool,
    /// The node that connects; `None` is outside.
    pub(crate) host: Option<usize>,
    /// Who was asked for.
    pub(crate) to: SocketAddr,
}

pub(crate) struct Side {
    pub(crate) address: SocketAddr,
    pub(crate) owner: Owner,
    /// The error number that ended the connection for this side.
    pub(crate) failed: Option<i32>,
    /// The host is gone without a word.
    pub(crate) vanished: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Owner {
    /// A machine that waits for the connection.
    Connecting { machine: usize, token: Token },
    /// A socket of a machine.
    Machine { machine: usize, socket: u32 },
    /// A peer outside the shards.
    Peer,
    /// Waiting to be accepted.
    Backlog { acceptor: u64 },
    /// Closed, or not there yet.
    Nobody,
}

impl State {
    /// Sends bytes on their way; the caller asked for room.
    pub(crate) fn transmit(&mut self, connection: u64, side: usize, bytes: Vec<u8>) {
        if !bytes.is_empty() {
            self.travel(connection, side, Segment::Bytes(bytes));
        }
    }

    /// Ends one direction: the other side reads what is under way, and then the end.
    pub(crate) fn finish(&mut self, connection: u64, side: usize) {
        let Some(it) = self.connections.get_mut(&connection) else { return };
        if !std::mem::replace(&mut it.pipes[side].fin_sent, true) {
            self.travel(connection, side, Segment::Fin);
        }
    }

    fn travel(&mut self, connection: u64, side: usize, segment: Segment) {
        let now_ns = self.now_ns;
        let Some(it) = self.connections.get_mut(&connection) else { return };
        let due_ns = it.pipes[side].depart(segment, now_ns + it.latency_ns);
        self.schedule(due_ns, Event::Segment { connection, side });
    }

    pub(crate) fn segment_arrives(&mut self, connection: u64, side: usize) {
        let Some(it) = self.connections.get_mut(&connection) else { return };
        let pipe = &mut it.pipes[side];
        // A reset may have emptied the flight since.
        let Some(segment) = pipe.arrive() else { return };
        let far = 1 - side;
        match segment {
            Segment::Bytes(bytes) => {
                if it.sides[far].owner == Owner::Nobody {
                    // Bytes for a closed socket are answered with a reset.
                    let due_ns = self.now_ns + it.latency_ns;
                    let errno = errno::ECONNRESET;
                    self.schedule(due_ns, Event::Fail { connection, side, errno });
                    return;
                }
                pipe.keep(bytes);
                self.time_out_if_vanished(connection, far);
            }
            Segment::Fin => pipe.fin_arrived = true,
        }
        self.pump_side(connection, far);
    }

    /// One side's connection is over, by an error.
    pub(crate) fn fail(&mut self, connection: u64, side: usize, errno: i32) {
        let Some(it) = self.connections.get_mut(&connection) else { return };
        if let Owner::Connecting { machine, token } = it.sides[side].owner {
            it.sides[side].owner = Owner::Nobody;
            it.sides[side].failed = Some(errno);
            self.forget_if_done(connection);
            self.connect_failed(machine, token, errno);
            return;
        }
        it.sides[side].failed.get_or_insert(errno);
        self.pump_side(connection, side);
    }

    /// Both sides' connection is over, now.
    pub(crate) fn break_connection(&mut self, connection: u64) {
        let established = self.connections.get(&connection).is_some_and(|it| it.established);
        if established {
            self.fail(connection, 0, errno::ECONNRESET);
            self.fail(connection, 1, errno::ECONNRESET);
        }
    }

    /// A side lets go of its connection. As in Linux, bytes that came and were not read turn the
    /// end into a reset, and then what is still under way may be lost.
    pub(crate) fn close_side(&mut self, connection: u64, side: usize, reset: bool) {
        let Some(it) = self.connections.get_mut(&connection) else { return };
        it.sides[side].owner = Owner::Nobody;
        let far = 1 - side;
        let unread = it.pipes[far].readable() > 0;
        if !it.established || it.sides[side].failed.is_some() {
            // Nothing to say, or nobody to say it to.
        } else if reset || unread {
            self.reset_far_end(connection, side);
        } else {
            self.finish(connection, side);
        }
        self.forget_if_done(connection);
    }

    /// A side's host disappears: it answers nothing any more, and says nothing.
    pub(crate) fn vanish_side(&mut self, connection: u64, side: usize) {
        let Some(it) = self.connections.get_mut(&connection) else { return };
        it.sides[side].vanished = true;
        let pipe = &it.pipes[1 - side];
        if pipe.holds_bytes() {
            self.time_out_if_vanished(connection, side);
        }
        self.forget_if_done(connection);
    }

    /// Gives a machine's socket what arrived: up to a buffer at a time, while there are buffers.
    pub(crate) fn pump_receive(&mut self, machine: usize, socket: u32) {
        let mut drained = false;
        let mut from = None;
        while let Some((connection, side)) = self.receive_once(machine, socket) {
            drained = true;
            from = Some((connection, 1 - side));
        }
        if let Some((connection, side)) = from.filter(|_| drained) {
            // There is room for the far end's send again.
            self.pump_sender(connection, side);
        }
    }

    /// Takes as much of a machine's send as there is room for.
    pub(crate) fn pump_send(&mut self, machine: usize, socket: u32) {
        while self.send_once(machine, socket) {}
    }

    /// Whoever sends from this side may have room now.
    pub(crate) fn pump_sender(&mut self, connection: u64, side: usize) {
        if let Some((machine, socket)) = self.machine_of(connection, side) {
            self.pump_send(machine, socket);
        }
    }

    /// Completes one receive; the answer names the pipe that got room, `None` when nothing moved.
    fn receive_once(&mut self, machine: usize, socket: u32) -> Option<(u64, usize)> {
        let now_ns = self.now_ns;
        let stream = self.machines[machine].stream(socket)?;
        let token = stream.receiving?;
        if stream.receive_hold_ns > now_ns {
            return None;
        }
        let (connection, side) = (stream.connection, stream.side);
        let it = &self.connections[&connection];
        let pipe = &it.pipes[1 - side];
        let available = pipe.readable();
        if available == 0 {
            let end = match (it.sides[side].failed, pipe.fin_arrived) {
                (Some(number), _) => End::Failed(errno::error(number)),
                (None, true) => End::Eof,
                (None, false) => return None,
            };
            self.end_receiving(machine, socket, end);
            return None;
        }
        if self.receive_is_interrupted(machine, socket) {
            return None;
        }
        let bytes_max = self.draw_receive_bytes(available.min(STREAM_BUFFER_BYTES));
        let pipe = &mut self.connections.get_mut(&connection).expect("it was just there").pipes;
        let bytes = pipe[1 - side].read(bytes_max);
        let buffer = self.machines[machine].stream_pool.take(bytes);
        let completion = Completion::Received { token, buffer };
        self.complete(machine, Some(socket), Lane::Receiving, completion);
        Some((connection, side))
    }

    /// Answers the receive in flight with its end, if there is one.
    pub(crate) fn end_receiving(&mut self, machine: usize, socket: u32, end: End) {
        let stream = self.machines[machine].stream_mut(socket);
        let Some(token) = stream.and_then(|stream| stream.receiving.take()) else { return };
        self.complete(machine, Some(socket), Lane::Receiving, Completion::Ended { token, end });
    }

    /// No buffer, or a multishot that ends: either way receiving goes on later.
    fn receive_is_interrupted(&mut self, machine: usize, socket: u32) -> bool {
        let (exhausted, end) = (self.faults.buffers_exhausted, self.faults.multishot_end);
        let no_buffer = self.draw_delay_ns(exhausted);
        let delay_ns = no_buffer.or_else(|| self.draw_delay_ns(end));
        let it = &mut self.machines[machine];
        if no_buffer.is_some() || !it.stream_pool.has_room() {
            it.counters.buffers_exhausted += 1;
        }
        if let Some(delay_ns) = delay_ns {
            let until_ns = self.now_ns + delay_ns;
            let stream = self.machines[machine].stream_mut(socket).expect("the caller's stream");
            stream.receive_hold_ns = until_ns;
            self.schedule(until_ns, Event::Retry { machine, socket });
            return true;
        }
        if !it.stream_pool.has_room() {
            it.starved.insert(socket);
            return true;
        }
        false
    }

    fn draw_receive_bytes(&mut self, available: usize) -> usize {
        let fragment = self.faults.receive_fragment;
        if !self.prng.chance(fragment) {
            return available;
        }
        // Half of the fragments are single bytes: those find the most.
        if self.prng.below(2) == 0 { 1 } else { 1 + self.prng.index(available) }
    }

    /// Moves a part of a send; true when it may be worth another try.
    fn send_once(&mut self, machine: usize, socket: u32) -> bool {
        let now_ns = self.now_ns;
        let Some(stream) = self.machines[machine].stream(socket) else { return false };
        let Some(sending) = &stream.sending else { return false };
        if stream.send_hold_ns > now_ns {
            return false;
        }
        let (connection, side, left) = (stream.connection, stream.side, sending.left());
        let it = &self.connections[&connection];
        let failed = it.sides[side].failed;
        let room = it.pipes[side].room();
        if left == 0 {
            self.end_sending(machine, socket, Ok(()));
            return false;
        }
        if let Some(number) = failed {
            // The first send after a reset says so; Linux answers the later ones with EPIPE.
            let later = std::mem::replace(&mut self.stream(machine, socket).send_failed, true);
            let number = if later { errno::EPIPE } else { number };
            self.end_sending(machine, socket, Err(number));
            return false;
        }
        if room == 0 {
            return false;
        }
        let failure = self.faults.send_failure;
        if self.prng.chance(failure) {
            self.break_connection(connection);
            return false;
        }
        self.send_part(machine, socket, left.min(room));
        true
    }

    fn send_part(&mut self, machine: usize, socket: u32, bytes_max: usize) {
        let short = self.faults.send_short;
        let pause_ns = if bytes_max > 1 { self.draw_delay_ns(short) } else { None };
        let count = if pause_ns.is_some() { 1 + self.prng.index(bytes_max - 1) } else { bytes_max };
        let now_ns = self.now_ns;
        let stream = self.stream(machine, socket);
        let (connection, side) = (stream.connection, stream.side);
        let sending = stream.sending.as_mut().expect("the caller's send");
        let bytes = sending.take(count);
        if sending.left() > 0 && !sending.counted {
            sending.counted = true;
            self.machines[machine].counters.sends_continued += 1;
        }
        if let Some(pause_ns) = pause_ns {
            self.stream(machine, socket).send_hold_ns = now_ns + pause_ns;
            self.schedule(now_ns + pause_ns, Event::Retry { machine, socket });
        }
        self.transmit(connection, side, bytes);
    }

    /// Answers the send in flight, if there is one.
    pub(crate) fn end_sending(&mut self, machine: usize, socket: u32, result: Result<(), i32>) {
        let stream = self.machines[machine].stream_mut(socket);
        let Some(sending) = stream.and_then(|stream| stream.sending.take()) else { return };
        let Sending { token, total, is_last, .. } = sending;
        if is_last {
            return self.close(machine, token, socket);
        }
        let result = result.map(|()| total).map_err(errno::error);
        self.complete(machine, Some(socket), Lane::Sending, Completion::Sent { token, result });
    }

    fn pump_side(&mut self, connection: u64, side: usize) {
        if let Some((machine, socket)) = self.machine_of(connection, side) {
            self.pump(machine, socket);
        }
    }

    fn machine_of(&self, connection: u64, side: usize) -> Option<(usize, u32)> {
        match self.connections.get(&connection)?.sides[side].owner {
            Owner::Machine { machine, socket } => Some((machine, socket)),
            _ => None,
        }
    }

    /// The far end reads what has arrived and learns of the reset after it; of what is under way
    /// only a part gets there.
    fn reset_far_end(&mut self, connection: u64, side: usize) {
        let now_ns = self.now_ns;
        let it = self.connections.get_mut(&connection).expect("the caller's connection");
        let pipe = &mut it.pipes[side];
        pipe.lose_after(self.prng.index(pipe.segments_in_flight() + 1));
        let due_ns = pipe.last_due_ns.max(now_ns + it.latency_ns);
        let event = Event::Fail { connection, side: 1 - side, errno: errno::ECONNRESET };
        self.schedule(due_ns, event);
    }

    fn time_out_if_vanished(&mut self, connection: u64, side: usize) {
        if self.connections.get(&connection).is_some_and(|it| it.sides[side].vanished) {
            let event = Event::Fail { connection, side: 1 - side, errno: errno::ETIMEDOUT };
            self.schedule(self.now_ns + GIVE_UP_NS, event);
        }
    }

    fn forget_if_done(&mut self, connection: u64) {
        let is_done = self.connections.get(&connection).is_some_and(|it| {
            it.sides.iter().all(|side| side.owner == Owner::Nobody || side.vanished)
        });
        if is_done {
            self.connections.remove(&connection);
        }
    }
}
