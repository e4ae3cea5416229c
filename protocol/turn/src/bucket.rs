//! Token buckets: how much may pass in a while, exactly, without a timer.

use crate::client::counted;
use std::hash::{DefaultHasher, Hasher};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// So many each second, and so many at once after a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// What comes back each second; zero is never.
    pub per_s: u64,
    /// What a full bucket holds.
    pub burst: u64,
}

/// A bucket: full at first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    /// Billionths of a token that are missing from a full bucket.
    missing: u128,
    at: Instant,
}

const BILLION: u128 = 1_000_000_000;

impl Bucket {
    pub(crate) fn full(now: Instant) -> Bucket {
        Bucket { missing: 0, at: now }
    }

    /// Whether so many tokens are there.
    pub(crate) fn has(&mut self, now: Instant, rate: Rate, tokens: u64) -> bool {
        let passed = now.saturating_duration_since(self.at).as_nanos();
        self.at = self.at.max(now);
        self.missing = self.missing.saturating_sub(passed.saturating_mul(rate.per_s.into()));
        self.missing + u128::from(tokens) * BILLION <= u128::from(rate.burst) * BILLION
    }

    /// Takes so many tokens, there or not, and says how long to wait until none is owed.
    pub(crate) fn owe(&mut self, now: Instant, rate: Rate, tokens: u64) -> Duration {
        self.has(now, rate, 0);
        self.missing = self.missing.saturating_add(u128::from(tokens) * BILLION);
        let owed = self.missing.saturating_sub(u128::from(rate.burst) * BILLION);
        let ns = owed.div_ceil(u128::from(rate.per_s.max(1)));
        Duration::from_nanos(u64::try_from(ns).unwrap_or(u64::MAX))
    }

    /// Takes so many tokens, if they are there.
    pub(crate) fn take(&mut self, now: Instant, rate: Rate, tokens: u64) -> bool {
        let is_there = self.has(now, rate, tokens);
        if is_there {
            self.missing += u128::from(tokens) * BILLION;
        }
        is_there
    }
}

/// How many buckets the sources share. Two sources in one bucket are rare, and harmless.
const SOURCE_BUCKET_COUNT: usize = 4096;

/// Answers to who has not shown who he is, limited for each source address.
///
/// A source's bucket is found by a keyed hash and shared by whom the hash sends there: no memory
/// for each source, none to be filled by forged ones, and nobody knows whose bucket is whose.
pub(crate) struct SourceLimit {
    buckets: Vec<Bucket>,
    rate: Rate,
    seed: [u8; 32],
}

impl SourceLimit {
    pub(crate) fn new(rate: Rate, seed: [u8; 32], now: Instant) -> SourceLimit {
        SourceLimit { buckets: vec![Bucket::full(now); SOURCE_BUCKET_COUNT], rate, seed }
    }

    /// Whether one more answer may go to this source.
    pub(crate) fn take(&mut self, now: Instant, source: &SocketAddr) -> bool {
        let mut hasher = DefaultHasher::new();
        hasher.write(&self.seed);
        match counted(source) {
            IpAddr::V4(ip) => hasher.write(&ip.octets()),
            IpAddr::V6(ip) => hasher.write(&ip.octets()),
        }
        let index = hasher.finish() as usize % SOURCE_BUCKET_COUNT;
        self.buckets[index].take(now, self.rate, 1)
    }
}

/// Whole seconds as a duration.
pub(crate) const fn seconds(count: u32) -> Duration {
    Duration::from_secs(count as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_burst_and_rate_and_not_more() {
        #[expect(clippy::disallowed_methods, reason = "a test needs some instant to count from")]
        let start = Instant::now();
        let rate = Rate { per_s: 1000, burst: 500 };
        let mut bucket = Bucket::full(start);
        let passed = (0..10_000)
            .filter(|ms| bucket.take(start + Duration::from_millis(*ms), rate, 7))
            .count() as u64;
        assert!((10_499 - 7..=10_500).contains(&(passed * 7)), "{passed}");
        assert!(!bucket.take(start, rate, 501), "an earlier time gives nothing back");
    }
}
