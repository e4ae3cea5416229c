//! How fast a session may speak.

use std::time::{Duration, Instant};

/// A bucket of tokens that fills up again evenly.
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    tokens: u32,
    /// When the last token came in.
    filled_at: Instant,
}

impl Bucket {
    pub(crate) fn full(tokens_max: u32, now: Instant) -> Bucket {
        Bucket { tokens: tokens_max, filled_at: now }
    }

    /// Takes one; false when there is none.
    pub(crate) fn take(&mut self, tokens_max: u32, within: Duration, now: Instant) -> bool {
        let each = (within / tokens_max.max(1)).max(Duration::from_nanos(1));
        let passed = now.saturating_duration_since(self.filled_at);
        let come = u32::try_from(passed.as_nanos() / each.as_nanos()).unwrap_or(u32::MAX);
        if come >= tokens_max - self.tokens.min(tokens_max) {
            self.tokens = tokens_max;
            self.filled_at = now;
        } else {
            self.tokens += come;
            self.filled_at += each * come;
        }
        let is_left = self.tokens > 0;
        self.tokens = self.tokens.saturating_sub(1);
        is_left
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test needs some time to begin at")]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_evenly() {
        let (start, within) = (Instant::now(), Duration::from_secs(10));
        let mut bucket = Bucket::full(100, start);
        for _ in 0..100 {
            assert!(bucket.take(100, within, start));
        }
        assert!(!bucket.take(100, within, start));
        let later = start + Duration::from_millis(350);
        let taken = (0..10).filter(|_| bucket.take(100, within, later)).count();
        assert_eq!(taken, 3, "one for each 100 ms, and none is kept beyond");
        assert!(!bucket.take(100, within, later + Duration::from_millis(49)));
        assert!(bucket.take(100, within, later + Duration::from_millis(51)));
        let much_later = later + Duration::from_secs(3600);
        let taken = (0..200).filter(|_| bucket.take(100, within, much_later)).count();
        assert_eq!(taken, 100);
    }
}
