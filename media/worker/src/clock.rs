//! The worker's clocks: it is a program, and reads them here alone.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Time that only goes on.
#[allow(clippy::disallowed_methods, reason = "the worker is its own machine")]
pub fn now() -> Instant {
    Instant::now()
}

/// Time since the Unix epoch.
#[allow(clippy::disallowed_methods, reason = "the worker is its own machine")]
pub fn wall() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Since the Unix epoch, in the unit of events.
pub fn wall_us() -> u64 {
    u64::try_from(wall().as_micros()).unwrap_or(u64::MAX)
}

/// Since the Unix epoch, in the unit of recordings.
pub fn wall_ms() -> u64 {
    u64::try_from(wall().as_millis()).unwrap_or(u64::MAX)
}
