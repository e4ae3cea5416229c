//! The one place that reads the system's clocks: the ring *is* the clock of its shard.
#![allow(clippy::disallowed_methods, reason = "this is where `now` comes from")]

use std::time::{Duration, Instant, SystemTime};

/// The monotonic clock.
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Time since the Unix epoch; zero on a machine whose clock is before it.
pub(crate) fn wall_clock() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}
