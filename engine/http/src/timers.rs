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

use shards_runtime::{Slab, Token};

/// What is armed for slots that are empty.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    left: Vec<Option<Instant>>,
}

impl Timers {
    /// Somebody is in the slot now: what is armed already.
    pub(crate) fn inherit(&mut self, token: Token) -> Option<Instant> {
        self.left.get_mut(token.slot as usize).and_then(Option::take)
    }

    /// Who was in the slot is gone, and leaves this.
    pub(crate) fn leave(&mut self, token: Token, armed: Option<Instant>) {
        if armed.is_none() {
            return;
        }
        let slot = token.slot as usize;
        if slot >= self.left.len() {
            self.left.resize(slot + 1, None);
        }
        self.left[slot] = armed;
    }

    /// An entry fired: who it is for now. `None`: nobody.
    pub(crate) fn fired<T>(
        &mut self,
        slots: &Slab<T>,
        token: Token,
        now: Instant,
    ) -> Option<Token> {
        let tenant = slots.tenant(token.slot);
        if tenant.is_none()
            && let Some(left) = self.left.get_mut(token.slot as usize)
        {
            *left = left.filter(|at| now < *at);
        }
        tenant
    }
}
