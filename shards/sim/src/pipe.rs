//! One direction of a TCP connection: what travels, and what has arrived and waits to be read.
//!
//! *Invariant:* segments arrive in the order sent, and those under way and those waiting never hold
//! more than the room together.

use std::collections::VecDeque;

/// One direction of a connection: from the sender's hand to the receiver's.
#[derive(Default)]
pub(crate) struct Pipe {
    flight: VecDeque<Segment>,
    flight_bytes: usize,
    arrived: VecDeque<u8>,
    room_bytes: usize,
    /// When the last segment sent so far arrives; later ones do not overtake it.
    pub(crate) last_due_ns: u64,
    /// The sender said that nothing follows.
    pub(crate) fin_sent: bool,
    /// And it has arrived.
    pub(crate) fin_arrived: bool,
}

/// What travels.
pub(crate) enum Segment {
    Bytes(Vec<u8>),
    Fin,
}

impl Pipe {
    pub(crate) fn new(room_bytes: usize) -> Pipe {
        Pipe { room_bytes, ..Pipe::default() }
    }

    pub(crate) fn room(&self) -> usize {
        self.room_bytes.saturating_sub(self.flight_bytes + self.arrived.len())
    }

    /// Sends a segment on its way and says when it arrives: not before that, nor before another.
    pub(crate) fn depart(&mut self, segment: Segment, due_ns: u64) -> u64 {
        if let Segment::Bytes(bytes) = &segment {
            self.flight_bytes += bytes.len();
        }
        self.flight.push_back(segment);
        self.last_due_ns = self.last_due_ns.max(due_ns);
        self.last_due_ns
    }

    /// Takes the segment that arrives now.
    pub(crate) fn arrive(&mut self) -> Option<Segment> {
        let segment = self.flight.pop_front()?;
        if let Segment::Bytes(bytes) = &segment {
            self.flight_bytes -= bytes.len();
        }
        Some(segment)
    }

    /// Keeps bytes that have arrived until they are read.
    pub(crate) fn keep(&mut self, bytes: Vec<u8>) {
        self.arrived.extend(bytes);
    }

    /// Loses what is under way, but for so many segments.
    pub(crate) fn lose_after(&mut self, segments_kept: usize) {
        for lost in self.flight.drain(segments_kept..) {
            if let Segment::Bytes(bytes) = lost {
                self.flight_bytes -= bytes.len();
            }
        }
    }

    pub(crate) fn segments_in_flight(&self) -> usize {
        self.flight.len()
    }

    pub(crate) fn holds_bytes(&self) -> bool {
        self.flight_bytes + self.arrived.len() > 0
    }

    pub(crate) fn readable(&self) -> usize {
        self.arrived.len()
    }

    pub(crate) fn read(&mut self, bytes_max: usize) -> Vec<u8> {
        let count = bytes_max.min(self.arrived.len());
        let (front, back) = self.arrived.as_slices();
        let from_front = count.min(front.len());
        let mut bytes = Vec::with_capacity(count);
        bytes.extend_from_slice(&front[..from_front]);
        bytes.extend_from_slice(&back[..count - from_front]);
        self.arrived.drain(..count);
        bytes
    }
}
