//! How fast something flows: bits in the last second, in eight slots.

use std::time::{Duration, Instant};

const SLOTS: usize = 8;
const SLOT: Duration = Duration::from_millis(125);

/// A sliding sum. Memory and work are constant.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rate {
    slots: [u64; SLOTS],
    /// The newest slot's place and beginning.
    newest: usize,
    began_at: Option<Instant>,
    last_at: Option<Instant>,
    /// Slots that have been lived through, up to all.
    filled: usize,
}

impl Rate {
    pub fn add(&mut self, now: Instant, bytes: usize) {
        self.turn(now);
        self.slots[self.newest] += bytes as u64 * 8;
        self.last_at = Some(now);
    }

    /// Bits per second. What began less than a second ago is taken by what there is.
    pub fn bits_per_second(&self) -> u64 {
        let sum: u64 = self.slots.iter().sum();
        sum * SLOTS as u64 / self.filled.clamp(1, SLOTS) as u64
    }

    /// Whether something came within `idle` before `now`.
    pub fn is_alive(&self, now: Instant, idle: Duration) -> bool {
        self.last_at.is_some_and(|last| now.saturating_duration_since(last) < idle)
    }

    fn turn(&mut self, now: Instant) {
        let Some(began_at) = self.began_at else {
            (self.began_at, self.filled) = (Some(now), 1);
            return;
        };
        let passed = now.saturating_duration_since(began_at).as_millis() / SLOT.as_millis();
        if passed == 0 {
            return;
        }
        let turned = usize::try_from(passed).unwrap_or(SLOTS).min(SLOTS);
        for _ in 0..turned {
            self.newest = (self.newest + 1) % SLOTS;
            self.slots[self.newest] = 0;
        }
        self.filled = (self.filled + turned).min(SLOTS);
        self.began_at = Some(began_at + SLOT * u32::try_from(passed).unwrap_or(u32::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::disallowed_methods, reason = "a test's clock begins somewhere")]
    fn the_last_second_counts() {
        let (start, mut rate) = (Instant::now(), Rate::default());
        for step in 0..400u64 {
            rate.add(start + Duration::from_millis(step * 10), 1_250);
        }
        let now = start + Duration::from_secs(4);
        assert!((900_000..1_100_000).contains(&rate.bits_per_second()), "a megabit each second");
        assert!(rate.is_alive(now, Duration::from_secs(1)));
        assert!(!rate.is_alive(now + Duration::from_secs(2), Duration::from_secs(1)));
        rate.add(now + Duration::from_secs(10), 125);
        assert_eq!(rate.bits_per_second(), 1_000, "what is old is gone");
    }
}
