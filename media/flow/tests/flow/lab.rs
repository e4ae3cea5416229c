//! What the tests share: packets with names of their own, stages that log, a clock that stands.

use std::cell::RefCell;
use std::num::NonZeroU32;
use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;
use media_flow::*;

pub type Log<T> = Rc<RefCell<Vec<T>>>;

#[allow(clippy::disallowed_methods, reason = "a test needs some moment to count from")]
pub fn start() -> Instant {
    Instant::now()
}

pub fn milliseconds() -> TimeBase {
    TimeBase::per_second(NonZeroU32::new(1000).expect("not zero"))
}

/// A packet whose first eight bytes are its number.
pub fn packet(number: u64, size: usize) -> MediaPacket {
    let mut payload = number.to_be_bytes().to_vec();
    payload.resize(size.max(8), 0);
    MediaPacket {
        track: TrackId(0),
        kind: Kind::Data,
        time_base: milliseconds(),
        presentation: number as i64,
        decode: number as i64,
        duration: 0,
        is_keyframe: true,
        payload: Bytes::from(payload),
        frame: None,
    }
}

pub fn number(payload: &[u8]) -> u64 {
    u64::from_be_bytes(payload[..8].try_into().expect("eight bytes"))
}

pub fn bound(packets_max: usize) -> Bound {
    Bound { packets_max, bytes_max: 1 << 20 }
}

/// Polls to none, and says what came.
pub fn poll_all<P: Packet>(graph: &mut Graph<P>) -> Vec<Output> {
    let outputs: Vec<Output> = std::iter::from_fn(|| graph.poll()).take(10_000).collect();
    assert!(outputs.len() < 10_000, "it never comes to rest");
    outputs
}

pub fn take_all(graph: &mut Graph<MediaPacket>, now: Instant, outlet: Node<Outlet>) -> Vec<u64> {
    std::iter::from_fn(|| graph.take(now, outlet)).map(|packet| number(&packet.payload)).collect()
}

/// What every test stage writes down: what it took, and that it was closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Took(&'static str, u64),
    Closed(&'static str, String),
}

/// Inspects and logs; drops numbers for which the rule says so.
pub struct Watch {
    pub name: &'static str,
    pub log: Log<Event>,
    pub passes: fn(u64) -> bool,
}

impl Watch {
    pub fn new(name: &'static str, log: &Log<Event>) -> Watch {
        Watch { name, log: log.clone(), passes: |_| true }
    }
}

impl Inspect<MediaPacket> for Watch {
    fn handle(&mut self, _: Instant, _: Port, view: MediaView<'_>) -> Result<Verdict, StageError> {
        let number = number(view.payload);
        self.log.borrow_mut().push(Event::Took(self.name, number));
        Ok(if (self.passes)(number) { Verdict::Pass } else { Verdict::Drop })
    }

    fn close(&mut self, _: Instant, end: &End) {
        self.log.borrow_mut().push(Event::Closed(self.name, end.to_string()));
    }
}

/// Makes a packet into several, numbered tenfold.
pub struct Split {
    pub log: Log<Event>,
    pub count: usize,
    pub burst_max: usize,
}

impl Convert<MediaPacket> for Split {
    fn burst_max(&self) -> usize {
        self.burst_max
    }

    fn handle(
        &mut self,
        _: Instant,
        _: Port,
        view: MediaView<'_>,
        out: &mut Out<'_, MediaPacket>,
    ) -> Result<(), StageError> {
        for index in 0..self.count {
            out.emit(packet(number(view.payload) * 10 + index as u64, 8));
        }
        Ok(())
    }

    fn close(&mut self, _: Instant, end: &End) {
        self.log.borrow_mut().push(Event::Closed("split", end.to_string()));
    }
}

/// Keeps so many packets back until it must finish.
pub struct Hold {
    pub log: Log<Event>,
    pub held: Vec<MediaPacket>,
    pub count: usize,
}

impl Hold {
    pub fn new(count: usize, log: &Log<Event>) -> Hold {
        Hold { log: log.clone(), held: Vec::new(), count }
    }
}

impl Retain<MediaPacket> for Hold {
    fn handle(
        &mut self,
        _: Instant,
        _: Port,
        packet: MediaPacket,
        out: &mut Out<'_, MediaPacket>,
    ) -> Result<(), StageError> {
        self.held.push(packet);
        if self.held.len() > self.count {
            out.emit(self.held.remove(0));
        }
        Ok(())
    }

    fn finish(&mut self, _: Instant, out: &mut Out<'_, MediaPacket>) -> Result<Finish, StageError> {
        if !self.held.is_empty() {
            out.emit(self.held.remove(0));
        }
        Ok(if self.held.is_empty() { Finish::Done } else { Finish::More })
    }

    fn close(&mut self, _: Instant, end: &End) {
        self.log.borrow_mut().push(Event::Closed("hold", end.to_string()));
    }
}
