//! What a load says of itself: a line of JSON.

use anyhow::Result;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Latencies beyond this are counted as this.
const LATENCY_NS_MAX: u64 = 60_000_000_000;

/// An account of a window.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Report {
    /// Length of the window, s.
    pub(crate) window_s: f64,
    /// Answers that were all right.
    pub(crate) answers: u64,
    /// Everything that was not: wrong, cut off, refused.
    pub(crate) errors: u64,
    /// Why some failed.
    pub(crate) complaints: Vec<String>,
    /// TLS handshakes that began from nothing.
    pub(crate) handshakes_full: u64,
    /// TLS handshakes that resumed a session.
    pub(crate) handshakes_resumed: u64,
    /// How late the next request was at the end, when requests fall due at a rate, ms.
    pub(crate) behind_ms: f64,
    /// From when a request was due (or was sent, in a closed loop) to the last byte of its answer.
    pub(crate) latency: Latency,
}

/// Quantiles, µs.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Latency {
    /// The middle one.
    pub(crate) p50_us: f64,
    /// 90 %.
    pub(crate) p90_us: f64,
    /// 99 %.
    pub(crate) p99_us: f64,
    /// 99.9 %.
    pub(crate) p999_us: f64,
    /// The longest.
    pub(crate) max_us: f64,
    /// The average.
    pub(crate) mean_us: f64,
}

/// What is counted while a window lasts.
pub(crate) struct Counts {
    pub(crate) answers: u64,
    pub(crate) errors: u64,
    pub(crate) complaints: Vec<String>,
    pub(crate) handshakes_full: u64,
    pub(crate) handshakes_resumed: u64,
    latencies: Histogram<u64>,
}

impl Counts {
    /// Nothing yet.
    pub(crate) fn new() -> Result<Self> {
        Ok(Counts {
            answers: 0,
            errors: 0,
            complaints: Vec::new(),
            handshakes_full: 0,
            handshakes_resumed: 0,
            latencies: Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3)?,
        })
    }

    /// So many answers came, after so long.
    pub(crate) fn answered(&mut self, count: u64, latency_ns: u64) {
        self.answers += count;
        self.latencies.saturating_record_n(latency_ns.max(1), count);
    }

    /// Something failed.
    pub(crate) fn complain(&mut self, why: String) {
        self.errors += 1;
        if self.complaints.len() < 3 {
            self.complaints.push(why);
        }
    }

    /// Counts from nothing.
    pub(crate) fn clear(&mut self) {
        self.latencies.reset();
        (self.answers, self.errors) = (0, 0);
        (self.handshakes_full, self.handshakes_resumed) = (0, 0);
        self.complaints.clear();
    }

    /// The account so far.
    pub(crate) fn report(&self, window_s: f64, behind_ms: f64) -> Report {
        let us = |ns: u64| ns as f64 / 1e3;
        let at = |quantile: f64| us(self.latencies.value_at_quantile(quantile));
        Report {
            window_s,
            answers: self.answers,
            errors: self.errors,
            complaints: self.complaints.clone(),
            handshakes_full: self.handshakes_full,
            handshakes_resumed: self.handshakes_resumed,
            behind_ms,
            latency: Latency {
                p50_us: at(0.5),
                p90_us: at(0.9),
                p99_us: at(0.99),
                p999_us: at(0.999),
                max_us: us(self.latencies.max()),
                mean_us: self.latencies.mean() / 1e3,
            },
        }
    }
}

impl Report {
    /// Answers each second.
    pub(crate) fn rate(&self) -> f64 {
        self.answers as f64 / self.window_s.max(1e-9)
    }

    /// The first thing that must not be.
    pub(crate) fn fault(&self) -> Option<String> {
        let why = self.complaints.first().map_or("", String::as_str);
        (self.errors > 0).then(|| format!("{} errors: {why}", self.errors))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_begins_from_nothing() {
        let mut counts = Counts::new().unwrap();
        counts.complain("before".into());
        counts.answered(16, 9_000);
        counts.clear();
        for us in 1..=1_000 {
            counts.answered(1, us * 1_000);
        }
        let report = counts.report(2.0, 0.0);
        assert_eq!((report.answers, report.errors, report.rate()), (1_000, 0, 500.0));
        assert!((report.latency.p50_us - 500.0).abs() < 5.0);
        assert!((report.latency.p999_us - 999.0).abs() < 5.0);
        assert!(report.fault().is_none());
    }
}
