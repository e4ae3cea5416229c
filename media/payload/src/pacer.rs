//! Packets of sound that come in lumps, each sent when its time has come.
//!
//! ```text
//! in    ▮▮▮▮▮▮▮▮▮▮                    ▮▮▮▮▮▮▮▮▮▮        a page of Ogg holds up to a second
//! out   ▮  ▮  ▮  ▮  ▮  ▮  ▮  ▮  ▮  ▮  ▮  ▮  ▮  ▮  …     for players who buffer less
//! ```
//!
//! A packet is due when the one before it has been played. The first is due at once, and so is one
//! that comes late: nothing is held back in advance. What turns out to be never needed, because
//! every packet of the last seconds came so much before its time, is given back: by sending
//! sooner, and where that is too much at once, by leaving out.
//!
//! *Invariants:* timestamps grow with every packet by what the one before lasted, or by the time
//! that really passed where there was nothing to play. What waits is bounded.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

/// Samples in a second.
const RATE_HZ: u64 = 48_000;
/// So late a packet begins anew: what is missing before it was silence to whoever listens.
const STALL: Duration = Duration::from_millis(100);
/// How long it is watched whether packets come before their time.
const WATCH: Duration = Duration::from_secs(5);
/// To come so much before its time is worth nothing.
const SLACK: Duration = Duration::from_millis(20);
/// So much may be sent at once; more is left out.
const LUMP_MAX: Duration = Duration::from_millis(200);
/// What waits at most. Beyond, the oldest is left out.
const QUEUE_MAX: Duration = Duration::from_secs(6);

/// A packet whose time has come.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Paced {
    /// When it is played, in samples of 48 kHz.
    pub timestamp: u64,
    /// It is the first after a pause (RFC 7587 §4.2).
    pub is_first: bool,
    /// Its bytes.
    pub payload: Bytes,
}

/// Holds packets back until they are due.
#[derive(Debug)]
pub struct Pacer {
    waiting: VecDeque<Waiting>,
    /// When the next packet to come is due.
    next_due: Option<Instant>,
    timestamp_next: u64,
    /// The least time by which a packet came early, since when.
    slack: Option<(Duration, Instant)>,
    is_first: bool,
    left_out: u64,
}

#[derive(Debug)]
struct Waiting {
    due: Instant,
    packet: Paced,
}

impl Pacer {
    /// One that holds nothing; timestamps begin at `timestamp`.
    #[must_use]
    pub fn new(timestamp: u64) -> Pacer {
        Pacer {
            waiting: VecDeque::new(),
            next_due: None,
            timestamp_next: timestamp,
            slack: None,
            is_first: true,
            left_out: 0,
        }
    }

    /// Takes a packet that lasts so many samples.
    pub fn push(&mut self, now: Instant, payload: Bytes, samples: u32) {
        let expected = self.next_due.unwrap_or(now);
        let late = now.saturating_duration_since(expected);
        if late >= STALL {
            self.timestamp_next += samples_in(late);
            self.is_first = true;
        }
        self.watch(now, expected.saturating_duration_since(now));
        // What was given back counts from this packet on.
        let due = self.next_due.unwrap_or(now).max(now);
        let timestamp = self.timestamp_next;
        let is_first = std::mem::take(&mut self.is_first);
        self.waiting.push_back(Waiting { due, packet: Paced { timestamp, is_first, payload } });
        self.timestamp_next += u64::from(samples);
        self.next_due = Some(due + duration_of(samples));
        while self.held() > QUEUE_MAX {
            self.leave_out(QUEUE_MAX / 2);
        }
    }

    /// The next packet that is due. Poll until there is none.
    pub fn poll(&mut self, now: Instant) -> Option<Paced> {
        let is_due = self.waiting.front().is_some_and(|waiting| waiting.due <= now);
        if is_due { self.waiting.pop_front().map(|waiting| waiting.packet) } else { None }
    }

    /// When [`Pacer::poll`] has something.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.waiting.front().map(|waiting| waiting.due)
    }

    /// Nobody listens: forgets what waits. Timestamps go on with the time that passes.
    pub fn clear(&mut self) {
        self.waiting.clear();
        self.slack = None;
    }

    /// Packets that were left out, because they came too soon or too many.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Watches by how much packets come early, and gives back what nobody needs.
    fn watch(&mut self, now: Instant, early: Duration) {
        let (least, since) = self.slack.get_or_insert((early, now));
        *least = early.min(*least);
        if now < *since + WATCH {
            return;
        }
        let least = *least;
        self.slack = None;
        if least > LUMP_MAX {
            self.leave_out(least);
        } else if least > SLACK {
            self.bring_forward(least);
        }
    }

    /// Leaves out the oldest that wait, so much of them, and brings the rest forward.
    fn leave_out(&mut self, time: Duration) {
        let Some(first) = self.waiting.front() else { return };
        let (first, first_timestamp) = (first.due, first.packet.timestamp);
        let kept_from = first + time;
        let before = self.waiting.len();
        while self.waiting.front().is_some_and(|waiting| waiting.due < kept_from) {
            self.waiting.pop_front();
        }
        self.left_out += (before - self.waiting.len()) as u64;
        let next = self.waiting.front().map(|waiting| waiting.due).or(self.next_due);
        let left_out = next.map_or(time, |next| next.saturating_duration_since(first));
        // Whoever listens is not to wait for what never comes.
        let timestamp = self.waiting.front().map(|waiting| waiting.packet.timestamp);
        let samples = timestamp.unwrap_or(self.timestamp_next) - first_timestamp;
        for waiting in &mut self.waiting {
            waiting.packet.timestamp -= samples;
        }
        self.timestamp_next -= samples;
        match self.waiting.front_mut() {
            Some(waiting) => waiting.packet.is_first = true,
            None => self.is_first = true,
        }
        self.bring_forward(left_out);
    }

    fn bring_forward(&mut self, time: Duration) {
        for waiting in &mut self.waiting {
            waiting.due -= time;
        }
        self.next_due = self.next_due.map(|due| due - time);
    }

    /// How long what waits lasts.
    fn held(&self) -> Duration {
        match (self.waiting.front(), self.next_due) {
            (Some(first), Some(end)) => end.saturating_duration_since(first.due),
            _ => Duration::ZERO,
        }
    }
}

fn samples_in(time: Duration) -> u64 {
    (time.as_micros() as u64).saturating_mul(RATE_HZ) / 1_000_000
}

fn duration_of(samples: u32) -> Duration {
    Duration::from_nanos(u64::from(samples) * 1_000_000_000 / RATE_HZ)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[allow(clippy::disallowed_methods, reason = "a time to start from")]
    fn start_of_time() -> Instant {
        Instant::now()
    }

    const PACKET: Duration = Duration::from_millis(20);

    fn push(pacer: &mut Pacer, now: Instant, count: usize) {
        (0..count).for_each(|_| pacer.push(now, Bytes::from_static(b"x"), 960));
    }

    fn drain(pacer: &mut Pacer, now: Instant) -> Vec<(u64, bool)> {
        let packets = std::iter::from_fn(|| pacer.poll(now));
        packets.map(|packet| (packet.timestamp, packet.is_first)).collect()
    }

    #[test]
    fn a_lump_is_spread_over_the_time_that_it_lasts() {
        let (mut pacer, start) = (Pacer::new(0), start_of_time());
        for lump in 0..3_u32 {
            push(&mut pacer, start + 50 * lump * PACKET, 50);
            for packet in 0..50 {
                let now = start + (50 * lump + packet) * PACKET;
                let number = 50 * lump + packet;
                let expected = [(u64::from(number) * 960, number == 0)];
                assert_eq!(drain(&mut pacer, now), expected, "not before its time, nor later");
            }
        }
        assert_eq!((pacer.left_out(), pacer.deadline()), (0, None));
    }

    #[test]
    fn what_comes_in_time_goes_at_once() {
        let (mut pacer, start) = (Pacer::new(7), start_of_time());
        for number in 0..10_u32 {
            // A little late now and then, which is no pause.
            let now = start + number * PACKET + Duration::from_millis(u64::from(number % 3) * 20);
            push(&mut pacer, now, 1);
            let due = pacer.deadline().expect("it waits");
            assert!(due <= start + number * PACKET + 2 * PACKET);
            let sent = drain(&mut pacer, due);
            assert_eq!(sent, [(7 + u64::from(number) * 960, number == 0)]);
        }
    }

    #[test]
    fn a_pause_shows_in_the_timestamps() {
        let (mut pacer, start) = (Pacer::new(0), start_of_time());
        push(&mut pacer, start, 1);
        assert_eq!(drain(&mut pacer, start), [(0, true)]);
        let later = start + Duration::from_secs(2);
        push(&mut pacer, later, 1);
        assert_eq!(drain(&mut pacer, later), [(96_000, true)]);
    }

    #[test]
    fn what_is_always_early_is_given_back() {
        let (mut pacer, start) = (Pacer::new(0), start_of_time());
        // Two seconds of burst, and then one packet after another.
        push(&mut pacer, start, 100);
        let (mut held_at_end, mut now) = (0, start);
        for _ in 0..600 {
            now += PACKET;
            push(&mut pacer, now, 1);
            drain(&mut pacer, now);
            held_at_end = pacer.waiting.len();
        }
        assert!(held_at_end <= 1, "{held_at_end}");
        assert!((90..=110).contains(&pacer.left_out()), "{}", pacer.left_out());
    }

    #[test]
    fn a_flood_is_bounded() {
        let (mut pacer, start) = (Pacer::new(0), start_of_time());
        push(&mut pacer, start, 10_000);
        assert!(pacer.held() <= QUEUE_MAX);
        assert!(pacer.left_out() > 9_000);
    }

    proptest! {
        #[test]
        fn timestamps_grow_and_nothing_waits_for_ever(
            steps in proptest::collection::vec((0_u64..3_000, 1_usize..80, 1_u32..=48), 1..80),
        ) {
            let (mut pacer, mut now) = (Pacer::new(0), start_of_time());
            let mut last = None;
            for (pause_ms, count, units) in steps {
                now += Duration::from_millis(pause_ms);
                for _ in 0..count {
                    pacer.push(now, Bytes::from_static(b"x"), units * 120);
                }
                while let Some(packet) = pacer.poll(now) {
                    prop_assert!(last.is_none_or(|last| packet.timestamp > last));
                    last = Some(packet.timestamp);
                }
                prop_assert!(pacer.held() <= QUEUE_MAX);
            }
            now += QUEUE_MAX;
            while pacer.poll(now).is_some() {}
            prop_assert!(pacer.deadline().is_none());
        }
    }
}
