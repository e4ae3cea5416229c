//! A timing wheel: many deadlines, cheap to set, late by at most one [`SLOT_MS`].
//!
//! It is deliberately forgetful about changes: an entry cannot be moved or cancelled. Whoever arms
//! keeps its real deadline beside its state, holds at most one entry, and on firing compares and
//! arms again if the deadline has moved. A listener whose deadline moves at every send so costs
//! nothing until the entry fires.

use std::time::{Duration, Instant};

use crate::Token;

/// Width of a slot, milliseconds.
pub const SLOT_MS: u64 = 8;
const SLOTS: usize = 1024;
const WORDS: usize = SLOTS / 64;

/// Deadlines by token. Its horizon is `SLOTS * SLOT_MS` (8.2 s); later ones go round again.
#[derive(Debug)]
pub struct Wheel {
    start: Instant,
    /// All slots before this number have been looked at.
    turn: u64,
    slots: Vec<Vec<(u64, Token)>>,
    occupied: [u64; WORDS],
    len: usize,
}

impl Wheel {
    /// An empty wheel whose time begins at `start`.
    #[must_use]
    pub fn new(start: Instant) -> Self {
        Wheel {
            start,
            turn: 0,
            slots: (0..SLOTS).map(|_| Vec::new()).collect(),
            occupied: [0; WORDS],
            len: 0,
        }
    }

    /// Asks for `token` to be fired once at `at` or up to one slot later.
    pub fn arm(&mut self, at: Instant, token: Token) {
        let due = (slot_number(self.start, at) + 1).max(self.turn);
        self.put(due, token);
    }

    /// How many entries are armed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is armed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// When to look again: no entry is due before it. `None` when nothing is armed.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        if self.len == 0 {
            return None;
        }
        let first = (self.turn % SLOTS as u64) as usize;
        for step in 0..=WORDS {
            let word = (first / 64 + step) % WORDS;
            let mut bits = self.occupied[word];
            if step == 0 {
                bits &= !0 << (first % 64);
            } else if step == WORDS {
                bits &= !(!0 << (first % 64));
            }
            if bits != 0 {
                let slot = word * 64 + bits.trailing_zeros() as usize;
                let ahead = (slot + SLOTS - first) % SLOTS;
                return Some(
                    self.start + Duration::from_millis((self.turn + ahead as u64) * SLOT_MS),
                );
            }
        }
        unreachable!("an entry is armed but no slot is marked")
    }

    /// Takes out at most `max` due tokens. Returns whether more are due now.
    pub fn expire(&mut self, now: Instant, max: usize, mut fire: impl FnMut(Token)) -> bool {
        let current = slot_number(self.start, now);
        let mut fired = 0;
        while self.turn <= current {
            if self.len == 0 {
                self.turn = current + 1;
                break;
            }
            let slot = (self.turn % SLOTS as u64) as usize;
            let mut index = 0;
            while index < self.slots[slot].len() {
                if self.slots[slot][index].0 > self.turn {
                    index += 1;
                    continue;
                }
                if fired == max {
                    return true;
                }
                let (_, token) = self.slots[slot].swap_remove(index);
                self.len -= 1;
                fired += 1;
                fire(token);
            }
            if self.slots[slot].is_empty() {
                self.occupied[slot / 64] &= !(1 << (slot % 64));
            }
            self.turn += 1;
        }
        false
    }

    fn put(&mut self, due: u64, token: Token) {
        let slot = (due % SLOTS as u64) as usize;
        self.slots[slot].push((due, token));
        self.occupied[slot / 64] |= 1 << (slot % 64);
        self.len += 1;
    }
}

fn slot_number(start: Instant, at: Instant) -> u64 {
    at.saturating_duration_since(start).as_millis() as u64 / SLOT_MS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(slot: u32) -> Token {
        Token { slot, generation: 0 }
    }

    #[test]
    #[allow(clippy::disallowed_methods, reason = "an arbitrary start of the simulated time")]
    fn fires_never_early_and_at_most_two_slots_late() {
        let start = Instant::now();
        let mut wheel = Wheel::new(start);
        let delays_ms = [0, 1, 7, 8, 9, 500, 8191, 8192, 8193, 60_000];
        for (slot, delay_ms) in delays_ms.iter().enumerate() {
            wheel.arm(start + Duration::from_millis(*delay_ms), token(slot as u32));
        }
        let mut fired = vec![None; delays_ms.len()];
        let mut now_ms = 0;
        while !wheel.is_empty() {
            let wake = wheel.deadline().unwrap();
            let now = wake.max(start + Duration::from_millis(now_ms));
            now_ms = (now - start).as_millis() as u64;
            let more = wheel.expire(now, 3, |token| fired[token.slot as usize] = Some(now_ms));
            now_ms += u64::from(!more);
        }
        for (delay_ms, fired_ms) in delays_ms.iter().zip(fired) {
            let fired_ms = fired_ms.expect("every entry fires");
            assert!(fired_ms >= *delay_ms, "{delay_ms} fired early at {fired_ms}");
            assert!(fired_ms <= delay_ms + 2 * SLOT_MS, "{delay_ms} fired late at {fired_ms}");
        }
    }

    #[test]
    #[allow(clippy::disallowed_methods, reason = "an arbitrary start of the simulated time")]
    fn a_bounded_expiry_says_that_more_is_due() {
        let start = Instant::now();
        let mut wheel = Wheel::new(start);
        for slot in 0..10 {
            wheel.arm(start, token(slot));
        }
        let later = start + Duration::from_secs(1);
        let mut count = 0;
        assert!(wheel.expire(later, 4, |_| count += 1));
        assert!(wheel.expire(later, 4, |_| count += 1));
        assert!(!wheel.expire(later, 4, |_| count += 1));
        assert_eq!(count, 10);
        assert_eq!(wheel.deadline(), None);
    }
}
