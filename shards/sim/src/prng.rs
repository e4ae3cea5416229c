//! The one source of chance in a simulated world: xoshiro256\*\*, seeded through splitmix64.
//!
//! *Invariant:* equal seeds give equal sequences on every platform and in every version; it is our
//! own so that no dependency's update changes what a seed means.

/// A probability in thousandths: 0 never, 1,000 always.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Chance(pub u32);

impl Chance {
    /// It never happens.
    pub const NEVER: Chance = Chance(0);
    /// It always happens.
    pub const ALWAYS: Chance = Chance(1_000);
}

/// A seeded generator of numbers that look random.
#[derive(Clone, Debug)]
pub struct Prng {
    state: [u64; 4],
}

impl Prng {
    /// A generator that this seed determines.
    #[must_use]
    pub fn new(seed: u64) -> Prng {
        let mut mixer = seed;
        Prng { state: std::array::from_fn(|_| splitmix(&mut mixer)) }
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        let [a, b, c, d] = self.state;
        let answer = b.wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let (c, d) = (c ^ a, d ^ b);
        self.state = [a ^ d, b ^ c, c ^ (b << 17), d.rotate_left(45)];
        answer
    }

    /// A number from 0 to `bound` − 1; 0 when `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        // The high half of a wide product is even enough: no bound here is near 2^64.
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// As [`Prng::below`], for an index or a length.
    pub fn index(&mut self, bound: usize) -> usize {
        self.below(bound as u64) as usize
    }

    /// A number from `low` to `high`, both possible.
    ///
    /// # Panics
    /// When `low` is above `high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        assert!(low <= high, "nothing lies between {low} and {high}");
        low + self.below(high - low + 1)
    }

    /// Whether something of this probability happens now. What never happens draws nothing, so that
    /// switching one fault off leaves the rest of a run as it was for as long as possible.
    pub fn chance(&mut self, chance: Chance) -> bool {
        chance.0 > 0 && self.below(1_000) < u64::from(chance.0)
    }

    /// One of several, or `None` of none.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> Option<&'a T> {
        choices.get(self.index(choices.len()))
    }

    /// A generator of its own, for a part whose draws must not shift those of the rest.
    #[must_use]
    pub fn fork(&mut self) -> Prng {
        Prng::new(self.next_u64())
    }
}

/// Spreads a 64-bit number; also the hash behind `SO_REUSEPORT` and the trace.
pub(crate) fn splitmix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_means_the_same_for_ever() {
        // The reference values of splitmix64 for seed 0.
        let mut mixer = 0;
        assert_eq!(splitmix(&mut mixer), 0xe220_a839_7b1d_cdaf);
        assert_eq!(splitmix(&mut mixer), 0x6e78_9e6a_a1b9_65f4);
        // Xoshiro256** from the state 1, 2, 3, 4.
        let mut prng = Prng { state: [1, 2, 3, 4] };
        let first: Vec<u64> = (0..4).map(|_| prng.next_u64()).collect();
        assert_eq!(first, [11_520, 0, 1_509_978_240, 1_215_971_899_390_074_240]);
    }

    #[test]
    fn draws_stay_in_their_bounds() {
        let mut prng = Prng::new(7);
        let mut happened = 0;
        for _ in 0..10_000 {
            assert!(prng.below(3) < 3);
            assert!((5..=6).contains(&prng.between(5, 6)));
            assert!(!prng.chance(Chance::NEVER));
            assert!(prng.chance(Chance::ALWAYS));
            happened += u32::from(prng.chance(Chance(100)));
        }
        assert!((800..1_200).contains(&happened), "{happened} of about 1,000");
        assert_eq!(prng.below(0), 0);
        assert_eq!(prng.pick::<u8>(&[]), None);
    }
}
