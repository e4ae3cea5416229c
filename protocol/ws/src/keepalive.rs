//! Whether somebody is still there: a ping after a silence, and the end after a longer one.
//!
//! Whatever the other end sends is a sign of life; an answer to the ping is only the least of it.

use std::time::{Duration, Instant};

/// How long a silence may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeepaliveTimes {
    /// Silence after which a ping is sent.
    pub ping_after: Duration,
    /// Silence after the ping before the other end is given up.
    pub give_up_after: Duration,
}

impl Default for KeepaliveTimes {
    /// 20 seconds, and 20 more.
    fn default() -> KeepaliveTimes {
        let seconds = Duration::from_secs(20);
        KeepaliveTimes { ping_after: seconds, give_up_after: seconds }
    }
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeepaliveDue {
    /// Send a ping.
    Ping,
    /// Nobody answers. It is said once.
    GiveUp,
}

/// The timer of one connection.
#[derive(Debug, Clone)]
pub struct Keepalive {
    times: KeepaliveTimes,
    state: State,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// Something was heard then.
    Heard(Instant),
    /// A ping was sent then, and nothing was heard since.
    Pinged(Instant),
    GivenUp,
}

impl Keepalive {
    /// A connection that was heard of just now.
    pub fn new(times: KeepaliveTimes, now: Instant) -> Keepalive {
        Keepalive { times, state: State::Heard(now) }
    }

    /// Something came.
    pub fn heard(&mut self, now: Instant) {
        if !matches!(self.state, State::GivenUp) {
            self.state = State::Heard(now);
        }
    }

    /// What is due at this time; called again, nothing.
    pub fn handle(&mut self, now: Instant) -> Option<KeepaliveDue> {
        if self.deadline()? > now {
            return None;
        }
        match self.state {
            State::Heard(_) => {
                self.state = State::Pinged(now);
                Some(KeepaliveDue::Ping)
            }
            _ => {
                self.state = State::GivenUp;
                Some(KeepaliveDue::GiveUp)
            }
        }
    }

    /// When [`handle`](Keepalive::handle) has something to say, if nothing is heard before.
    pub fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Heard(at) => at.checked_add(self.times.ping_after),
            State::Pinged(at) => at.checked_add(self.times.give_up_after),
            State::GivenUp => None,
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test needs some time to begin at")]
mod tests {
    use super::*;

    #[test]
    fn silence_is_asked_about_and_then_given_up() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut keepalive = Keepalive::new(KeepaliveTimes::default(), start);
        assert_eq!(keepalive.deadline(), Some(after(20)));
        assert_eq!(keepalive.handle(after(19)), None);
        keepalive.heard(after(19));
        assert_eq!(keepalive.handle(after(20)), None, "heard of");
        assert_eq!(keepalive.handle(after(39)), Some(KeepaliveDue::Ping));
        assert_eq!(keepalive.handle(after(39)), None, "said once");
        keepalive.heard(after(58));
        assert_eq!(keepalive.handle(after(78)), Some(KeepaliveDue::Ping));
        assert_eq!(keepalive.deadline(), Some(after(98)));
        assert_eq!(keepalive.handle(after(98)), Some(KeepaliveDue::GiveUp));
        keepalive.heard(after(99));
        assert_eq!((keepalive.handle(after(500)), keepalive.deadline()), (None, None));
    }
}
