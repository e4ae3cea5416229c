//! The stages of random graphs: pure functions of a packet's number, which write down all they do.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

use media_flow::*;

use crate::lab;

/// SplitMix64: one number makes the next.
pub fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// All of a packet follows from its number, so a log of numbers says everything.
pub fn packet(number: u64) -> MediaPacket {
    MediaPacket {
        track: track(number),
        is_keyframe: is_keyframe(number),
        ..lab::packet(number, 8 + (mix(number ^ 3) % 24) as usize)
    }
}

pub fn track(number: u64) -> TrackId {
    TrackId((mix(number ^ 1) % 2) as u8)
}

pub fn is_keyframe(number: u64) -> bool {
    mix(number ^ 2).is_multiple_of(3)
}

/// What one stage did.
#[derive(Debug, Default, PartialEq)]
pub struct Trace {
    pub took: Vec<(Port, u64)>,
    pub emitted: Vec<u64>,
    pub ended_ports: Vec<Port>,
    pub is_closed: bool,
}

/// A stage's own part of what all stages share.
#[derive(Clone)]
pub struct Notes {
    pub index: usize,
    pub traces: Rc<RefCell<Vec<Trace>>>,
    pub closes: Rc<RefCell<Vec<usize>>>,
}

impl Notes {
    fn took(&self, port: Port, number: u64) {
        self.traces.borrow_mut()[self.index].took.push((port, number));
    }

    pub fn emitted(&self, number: u64) {
        self.traces.borrow_mut()[self.index].emitted.push(number);
    }

    fn emit(&self, out: &mut Out<'_, MediaPacket>, packet: MediaPacket) {
        self.emitted(lab::number(&packet.payload));
        out.emit(packet);
    }

    fn close(&self) {
        let trace = &mut self.traces.borrow_mut()[self.index];
        assert!(!trace.is_closed, "closed twice");
        trace.is_closed = true;
        self.closes.borrow_mut().push(self.index);
    }
}

/// Lets three of four pass.
pub struct Filter(pub Notes);

pub fn passes(stage: usize, number: u64) -> bool {
    !mix(number ^ stage as u64).is_multiple_of(4)
}

impl Inspect<MediaPacket> for Filter {
    fn handle(
        &mut self,
        _: Instant,
        port: Port,
        view: MediaView<'_>,
    ) -> Result<Verdict, StageError> {
        let number = lab::number(view.payload);
        self.0.took(port, number);
        if !passes(self.0.index, number) {
            return Ok(Verdict::Drop);
        }
        self.0.emitted(number);
        Ok(Verdict::Pass)
    }

    fn close(&mut self, _: Instant, _: &End) {
        self.0.close();
    }
}

/// Makes none to three of each, and at the end two that it had not given.
pub struct Multiply {
    pub notes: Notes,
    pub taken_count: u64,
    pub finish_count: u64,
}

pub fn products(stage: usize, number: u64) -> impl Iterator<Item = u64> {
    let seed = mix(number ^ stage as u64);
    (0..seed % 4).map(move |index| mix(seed ^ index))
}

pub fn tail(stage: usize, taken_count: u64) -> [u64; 2] {
    [1, 2].map(|index| mix(mix(stage as u64 ^ taken_count) ^ index))
}

impl Convert<MediaPacket> for Multiply {
    fn burst_max(&self) -> usize {
        3
    }

    fn handle(
        &mut self,
        _: Instant,
        port: Port,
        view: MediaView<'_>,
        out: &mut Out<'_, MediaPacket>,
    ) -> Result<(), StageError> {
        let number = lab::number(view.payload);
        self.notes.took(port, number);
        self.taken_count += 1;
        for product in products(self.notes.index, number) {
            self.notes.emit(out, packet(product));
        }
        Ok(())
    }

    fn finish(&mut self, _: Instant, out: &mut Out<'_, MediaPacket>) -> Result<Finish, StageError> {
        let tail = tail(self.notes.index, self.taken_count);
        self.notes.emit(out, packet(tail[self.finish_count as usize]));
        self.finish_count += 1;
        Ok(if self.finish_count == 2 { Finish::Done } else { Finish::More })
    }

    fn close(&mut self, _: Instant, _: &End) {
        self.notes.close();
    }
}

/// Keeps each packet for a time; has room for some.
pub struct Delay {
    pub notes: Notes,
    pub held: VecDeque<(Instant, MediaPacket)>,
    pub held_max: usize,
    pub delay: Duration,
}

impl Retain<MediaPacket> for Delay {
    fn has_room(&self, _: Port) -> bool {
        self.held.len() < self.held_max
    }

    fn handle(
        &mut self,
        now: Instant,
        port: Port,
        packet: MediaPacket,
        _: &mut Out<'_, MediaPacket>,
    ) -> Result<(), StageError> {
        self.notes.took(port, lab::number(&packet.payload));
        assert!(self.held.len() < self.held_max, "it had no room");
        self.held.push_back((now + self.delay, packet));
        Ok(())
    }

    fn on_port_end(&mut self, port: Port) {
        self.notes.traces.borrow_mut()[self.notes.index].ended_ports.push(port);
    }

    fn deadline(&self) -> Option<Instant> {
        self.held.front().map(|(due, _)| *due)
    }

    fn on_deadline(
        &mut self,
        now: Instant,
        out: &mut Out<'_, MediaPacket>,
    ) -> Result<(), StageError> {
        let (due, packet) = self.held.pop_front().expect("it had a deadline");
        assert!(due <= now, "called before its deadline");
        self.notes.emit(out, packet);
        Ok(())
    }

    fn finish(&mut self, _: Instant, _: &mut Out<'_, MediaPacket>) -> Result<Finish, StageError> {
        Ok(if self.held.is_empty() { Finish::Done } else { Finish::More })
    }

    fn close(&mut self, _: Instant, _: &End) {
        self.notes.close();
    }
}

/// A sink behind a gate: takes one packet for each opening.
pub struct Gate {
    pub notes: Notes,
    pub room: Rc<Cell<usize>>,
}

impl Retain<MediaPacket> for Gate {
    fn burst_max(&self) -> usize {
        0
    }

    fn has_room(&self, _: Port) -> bool {
        self.room.get() > 0
    }

    fn handle(
        &mut self,
        _: Instant,
        port: Port,
        packet: MediaPacket,
        _: &mut Out<'_, MediaPacket>,
    ) -> Result<(), StageError> {
        self.room.set(self.room.get() - 1);
        self.notes.took(port, lab::number(&packet.payload));
        Ok(())
    }

    fn on_port_end(&mut self, port: Port) {
        self.notes.traces.borrow_mut()[self.notes.index].ended_ports.push(port);
    }

    fn close(&mut self, _: Instant, _: &End) {
        self.notes.close();
    }
}
