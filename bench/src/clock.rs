//! The one place of the bench that reads clocks and sleeps: a load generator is its own clock.
#![allow(clippy::disallowed_methods, reason = "measuring real time is what a bench is for")]

use std::time::{Duration, Instant, SystemTime};

/// The monotonic clock.
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Seconds since the Unix epoch.
pub(crate) fn unix_s() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Sleeps for that long.
pub(crate) fn sleep(time: Duration) {
    std::thread::sleep(time);
}

/// Asks `done` every few milliseconds until it says yes; false when `patience` ran out first.
pub(crate) fn wait_until(patience: Duration, mut done: impl FnMut() -> bool) -> bool {
    let give_up_at = now() + patience;
    loop {
        if done() {
            return true;
        }
        if now() >= give_up_at {
            return false;
        }
        sleep(Duration::from_millis(5));
    }
}

/// Today and the time, UTC, as `2026-11-21` and `10-35-59`.
pub(crate) fn date_and_time() -> (String, String) {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let seconds = since_epoch.as_secs();
    let (year, month, day) = civil_date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    (format!("{year:04}-{month:02}-{day:02}"), format!("{hour:02}-{minute:02}-{second:02}"))
}

/// The Gregorian date of a day counted from 1970-01-01.
fn civil_date(mut days: u64) -> (u64, u64, u64) {
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let mut year = 1970;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let february = 28 + u64::from(leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year, month, days + 1)
}

#[cfg(test)]
mod tests {
    use super::civil_date;

    #[test]
    fn days_become_dates() {
        assert_eq!(civil_date(0), (1970, 1, 1));
        assert_eq!(civil_date(11_016), (2000, 2, 29));
        assert_eq!(civil_date(20_778), (2026, 11, 21));
        assert_eq!(civil_date(20_818), (2026, 12, 31));
    }
}
