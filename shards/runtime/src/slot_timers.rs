//! Entries of the timer that belong to a slot and not to the connection in it.
//!
//! An entry cannot be taken back, and most connections are gone long before their deadlines. Were
//! each connection to arm its own, a server of short connections would hold a minute's worth of
//! entries for nobody. So who comes into a slot inherits the entry that is armed for it, and arms
//! another only where it needs an earlier one.
//!
//! *Invariant:* for each slot the timer holds the entry that is known here, and earlier known ones
//! that were overtaken; their number does not grow with that of connections.

use std::time::Instant;

use crate::{Slab, Token};

/// What is armed for slots that are empty.
#[derive(Debug, Default)]
pub struct SlotTimers {
    left: Vec<Option<Instant>>,
}

impl SlotTimers {
    /// Somebody is in the slot now: what is armed already.
    #[must_use]
    pub fn inherit(&mut self, token: Token) -> Option<Instant> {
        self.left.get_mut(token.slot as usize).and_then(Option::take)
    }

    /// Who was in the slot is gone, and leaves this.
    pub fn leave(&mut self, token: Token, armed: Option<Instant>) {
        if armed.is_none() {
            return;
        }
        let slot = token.slot as usize;
        if slot >= self.left.len() {
            self.left.resize(slot + 1, None);
        }
        self.left[slot] = armed;
    }

    /// An entry fired: who it is for now, whoever it was armed for. `None`: nobody. It may come too
    /// early, as every entry may.
    pub fn fired<T>(&mut self, slots: &Slab<T>, token: Token, now: Instant) -> Option<Token> {
        let tenant = slots.tenant(token.slot);
        if tenant.is_none()
            && let Some(left) = self.left.get_mut(token.slot as usize)
        {
            *left = left.filter(|at| now < *at);
        }
        tenant
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    #[allow(clippy::disallowed_methods, reason = "a test has a clock")]
    fn who_comes_into_a_slot_has_the_entry_that_is_armed_for_it() {
        let (mut timers, mut slots) = (SlotTimers::default(), Slab::new(2));
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let first = slots.insert(()).unwrap();
        assert_eq!(timers.inherit(first), None);
        slots.remove(first);
        timers.leave(first, Some(now + second));
        let next = slots.insert(()).unwrap();
        assert_eq!(timers.inherit(next), Some(now + second));
        // The entry of the first is the next one's now.
        assert_eq!(timers.fired(&slots, first, now + second), Some(next));
        slots.remove(next);
        timers.leave(next, Some(now + second));
        // An earlier one that was overtaken changes nothing; the known one is over when it fires.
        assert_eq!(timers.fired(&slots, next, now), None);
        assert_eq!(timers.fired(&slots, next, now + second), None);
        let last = slots.insert(()).unwrap();
        assert_eq!(timers.inherit(last), None);
    }
}
