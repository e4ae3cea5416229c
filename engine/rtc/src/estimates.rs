//! What the ways to a local publisher's viewers take, all shards' together, so that an encoder can
//! follow it.
//!
//! An encoder follows the viewer in the *middle*. Following the slowest would let one bad way spoil
//! the picture of all, and following the fastest would let nobody else see it whole; whoever takes
//! less than the middle loses pictures up to a keyframe, as ever, and costs nobody else anything.
//! Of two viewers the faster counts.
//!
//! The publisher's shard asks, and each shard with viewers answers with a [`Spread`]: a few hundred
//! bytes, however many they are.

use std::collections::BTreeMap;

use shards_runtime::{Context, Io, ShardId};

use crate::ids::SessionId;
use crate::letter::Letter;
use crate::rtc::{Rtc, token_of};

/// Viewers of one publisher that are looked at on a shard; more say nothing else.
const VIEWERS_MAX: usize = 1_024;

/// Steps that a doubling has.
const STEPS_PER_DOUBLING: f64 = 8.0;
/// The first step begins here, bits each second.
const FIRST_BPS: f64 = 50_000.0;
/// The last one begins at 94 Mbit/s.
const STEPS_COUNT: usize = 88;

/// How many ways take how much, in steps of a twelfth.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Spread([u32; STEPS_COUNT]);

impl Default for Spread {
    fn default() -> Spread {
        Spread([0; STEPS_COUNT])
    }
}

impl Spread {
    /// One way more.
    pub fn add(&mut self, bits_per_second: u64) {
        let doublings = (bits_per_second as f64 / FIRST_BPS).max(1.0).log2();
        let step = (doublings * STEPS_PER_DOUBLING) as usize;
        self.0[step.min(STEPS_COUNT - 1)] += 1;
    }

    /// Another's as well.
    pub fn merge(&mut self, other: &Spread) {
        for (own, other) in self.0.iter_mut().zip(other.0) {
            *own = own.saturating_add(other);
        }
    }

    /// Where the step of the middle one begins, bits each second; none where there is nobody.
    pub fn middle(&self) -> Option<u64> {
        let count: u64 = self.0.iter().map(|count| u64::from(*count)).sum();
        let mut at_most = 0;
        let step = self.0.iter().position(|of_step| {
            at_most += u64::from(*of_step);
            at_most > count / 2
        });
        let begin = |step: usize| FIRST_BPS * (step as f64 / STEPS_PER_DOUBLING).exp2();
        step.map(|step| begin(step) as u64)
    }
}

/// What shards with viewers of one publisher said last.
pub(crate) type Spreads = BTreeMap<ShardId, Spread>;

impl Rtc {
    /// What the way to the middle one of a local publisher's viewers takes, bits each second, as
    /// far as it is known; none while nothing is. Other shards are asked anew, and what they say
    /// counts the next time: to be asked about once a second.
    pub fn viewers_estimate<I: Io, M: Send + From<Letter>>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        session: SessionId,
    ) -> Option<u64> {
        let mut spread = self.spread_of(session);
        let (shards, spreads) = self.locals.spreads_of(session)?;
        spreads.retain(|shard, _| shards.contains(shard));
        spreads.values().for_each(|of_shard| spread.merge(of_shard));
        for shard in shards {
            self.post(cx, shard, Letter::EstimatesWanted(session));
        }
        spread.middle()
    }

    /// The publisher's shard asks.
    pub(crate) fn estimates_wanted<I: Io, M: Send + From<Letter>>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        from: ShardId,
        session: SessionId,
    ) {
        let spread = Box::new(self.spread_of(session));
        self.post(cx, from, Letter::Estimates { session, spread });
    }

    /// A shard with viewers answers.
    pub(crate) fn estimates(&mut self, from: ShardId, session: SessionId, spread: Spread) {
        if let Some((shards, spreads)) = self.locals.spreads_of(session)
            && shards.contains(&from)
        {
            spreads.insert(from, spread);
        }
    }

    /// What the ways to this shard's viewers take, as far as is known.
    fn spread_of(&self, session: SessionId) -> Spread {
        let mut spread = Spread::default();
        let viewers = self.feeds.get(&session).into_iter().flat_map(|feed| &feed.viewers);
        for number in viewers.take(VIEWERS_MAX) {
            let entry = self.sessions.get(token_of(*number));
            if let Some(estimate) = entry.and_then(|entry| entry.session.estimate_bps()) {
                spread.add(estimate);
            }
        }
        spread
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(ways: &[u64]) -> Spread {
        let mut spread = Spread::default();
        ways.iter().for_each(|way| spread.add(*way));
        spread
    }

    fn is_about(spread: &Spread, bits_per_second: u64) -> bool {
        let middle = spread.middle().expect("somebody is there");
        (bits_per_second * 91 / 100..=bits_per_second).contains(&middle)
    }

    #[test]
    fn the_middle_one_counts_and_neither_the_slowest_nor_the_fastest() {
        assert_eq!(of(&[]).middle(), None);
        assert!(is_about(&of(&[700_000]), 700_000));
        assert!(is_about(&of(&[100_000, 3_000_000]), 3_000_000), "of two, the faster");
        assert!(is_about(&of(&[100_000, 1_000_000, 9_000_000]), 1_000_000));
        let mut many = vec![80_000; 40];
        many.extend([2_000_000; 60]);
        assert!(is_about(&of(&many), 2_000_000), "forty of a hundred throttle nobody");
        many.extend([80_000; 40]);
        assert!(is_about(&of(&many), 80_000), "the most do");
    }

    #[test]
    fn what_no_step_has_counts_as_the_first_or_the_last() {
        assert_eq!(of(&[0]).middle(), Some(50_000));
        assert!(of(&[u64::MAX]).middle() > Some(90_000_000));
    }

    #[test]
    fn shards_are_added_up() {
        let mut all = of(&[100_000; 3]);
        all.merge(&of(&[4_000_000; 5]));
        assert!(is_about(&all, 4_000_000));
        assert_eq!(all, of(&[[100_000; 3].as_slice(), &[4_000_000; 5]].concat()));
    }
}
