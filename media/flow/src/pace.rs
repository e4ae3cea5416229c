//! A stage that lets packets go at their decode time: a file is played as if it were live.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::packet::{Frame, MediaPacket};
use crate::stage::{Finish, Out, Port, Retain, StageError};

/// A step in time that is longer than this is a new beginning: a loop, or another file.
const STEP_MAX: Duration = Duration::from_secs(10);

/// Holds packets until it is their time, counted from the first one's arrival. In the order in
/// which they came: packets of several tracks are expected interleaved. The time is that of
/// decoding, which never goes back where pictures are coded out of their order.
#[derive(Debug)]
pub struct Pace<F = crate::NoFrame> {
    held: VecDeque<MediaPacket<F>>,
    held_max: usize,
    /// A moment, and the time that belongs to it.
    anchor: Option<(Instant, Duration)>,
    last: Duration,
}

impl<F> Pace<F> {
    /// One that holds so many packets, at least 1. Others wait in the queue before it.
    pub fn new(held_max: usize) -> Pace<F> {
        let held_max = held_max.max(1);
        Pace {
            held: VecDeque::with_capacity(held_max),
            held_max,
            anchor: None,
            last: Duration::ZERO,
        }
    }

    fn due_at(&self) -> Option<Instant> {
        let (moment, time) = self.anchor?;
        let packet = self.held.front()?;
        let decode = packet.time_base.duration(packet.decode);
        if decode.abs_diff(self.last) > STEP_MAX {
            return Some(moment + self.last.saturating_sub(time));
        }
        Some(moment + decode.saturating_sub(time))
    }
}

impl<F: Frame> Retain<MediaPacket<F>> for Pace<F> {
    fn has_room(&self, _port: Port) -> bool {
        self.held.len() < self.held_max
    }

    fn handle(
        &mut self,
        now: Instant,
        _port: Port,
        packet: MediaPacket<F>,
        _out: &mut Out<'_, MediaPacket<F>>,
    ) -> Result<(), StageError> {
        if self.anchor.is_none() {
            self.last = packet.time_base.duration(packet.decode);
            self.anchor = Some((now, self.last));
        }
        self.held.push_back(packet);
        Ok(())
    }

    fn deadline(&self) -> Option<Instant> {
        self.due_at()
    }

    fn on_deadline(
        &mut self,
        now: Instant,
        out: &mut Out<'_, MediaPacket<F>>,
    ) -> Result<(), StageError> {
        if let Some(packet) = self.held.pop_front() {
            let decode = packet.time_base.duration(packet.decode);
            if decode.abs_diff(self.last) > STEP_MAX {
                self.anchor = Some((now, decode));
            }
            self.last = decode;
            out.emit(packet);
        }
        Ok(())
    }

    fn finish(
        &mut self,
        _now: Instant,
        _out: &mut Out<'_, MediaPacket<F>>,
    ) -> Result<Finish, StageError> {
        Ok(if self.held.is_empty() { Finish::Done } else { Finish::More })
    }
}
