//! Letters from one shard to another, and a shard's time.
//!
//! A letter is a function that the other shard runs on its state:
//!
//! ```no_run
//! # use engine_http::Everyone;
//! # struct State { everyone: Everyone<State>, heard: Vec<String> }
//! fn tell(state: &State, shard: usize, word: String) {
//!     state.everyone.send(shard, move |state| state.heard.push(word));
//! }
//! ```
//!
//! *Invariant:* letters arrive, and those of one shard to another in order. What clients can make a
//! shard write is bounded: beyond [`LETTERS_MAX`] that wait it does not listen to its WebSockets.

use std::collections::VecDeque;
use std::time::Instant;

use shards_runtime::ShardId;

use crate::orders::Everyone;

/// Letters that may wait for other shards before this one takes no more from its WebSockets: 1013.
pub(crate) const LETTERS_MAX: usize = 1 << 18;

/// What another shard does with its state.
pub(crate) type Letter<S> = Box<dyn FnOnce(&mut S) + Send>;

/// What a shard knows of itself, and its letters until the end of the tick.
pub(crate) struct Mail<S> {
    pub(crate) me: ShardId,
    pub(crate) shards_count: usize,
    pub(crate) now: Instant,
    pub(crate) letters: VecDeque<(ShardId, Letter<S>)>,
}

/// When a shard's state wants to be woken, and what it does then.
#[derive(Debug)]
pub struct Timer<S> {
    /// When, as of now. Asked at the end of each tick.
    pub deadline: fn(&S) -> Option<Instant>,
    /// It has come to that.
    pub tick: fn(&mut S),
}

impl<S> Everyone<S> {
    /// The number of this shard.
    #[must_use]
    pub fn me(&self) -> usize {
        self.with_mail(|mail| mail.me.index())
    }

    /// How many there are.
    #[must_use]
    pub fn shards_count(&self) -> usize {
        self.with_mail(|mail| mail.shards_count)
    }

    /// What time it is in this tick.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.with_mail(|mail| mail.now)
    }

    /// Has one shard run this on its state: this one at the end of the tick, another soon after.
    /// What one shard sends to another arrives in its order, and nothing is lost.
    ///
    /// # Panics
    /// Where there is no such shard: a bug.
    pub fn send(&self, shard: usize, letter: impl FnOnce(&mut S) + Send + 'static) {
        self.with_mail(|mail| {
            assert!(shard < mail.shards_count, "one of the shards");
            mail.letters.push_back((ShardId(shard as u16), Box::new(letter)));
        });
    }
}

// Not derived: that would ask the same of `S`.
impl<S> Clone for Timer<S> {
    fn clone(&self) -> Timer<S> {
        *self
    }
}

impl<S> Copy for Timer<S> {}
