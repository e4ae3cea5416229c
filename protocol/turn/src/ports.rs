//! Which ports a shard may lend: its own part of the operator's range.
//!
//! The range is cut into pairs of an even and the next odd port, and every shard has each n-th
//! pair: two shards never try for one port, and EVEN-PORT with its neighbour (RFC 8656 §18.7)
//! stays on one shard. Which port comes next is not to be guessed (RFC 8656 §7.2): it is drawn
//! with a keyed hash.
//!
//! Invariant: a port is lent at most once until it is given back.

use sha2::{Digest, Sha256};
use std::ops::RangeInclusive;

/// The ports of one shard, for one protocol and family.
#[derive(Clone, Debug)]
pub struct PortShare {
    /// The first even port that may be in a pair of this shard.
    first: u16,
    /// From one pair of this shard to the next, in ports.
    stride: u32,
    /// A pair in each two bits, the even one lower; set where free.
    free: Vec<u64>,
    free_count: usize,
    seed: [u8; 32],
    drawn_count: u64,
}

/// Which port is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortWish {
    /// Any.
    Any,
    /// An even one.
    Even,
    /// An even one whose neighbour is free as well; both are lent.
    Pair,
}

impl PortShare {
    /// The part of `range` that is shard `index`'s of `count`. Ports without their other half
    /// inside the range belong to nobody's pair but can be lent alone.
    ///
    /// # Panics
    ///
    /// If `index` is not below `count`.
    pub fn new(range: RangeInclusive<u16>, index: u16, count: u16, seed: [u8; 32]) -> PortShare {
        assert!(index < count, "a shard is one of them");
        let (start, end) = (u32::from(*range.start()), u32::from(*range.end()));
        let first = (start & !1) + 2 * u32::from(index);
        let stride = 2 * u32::from(count);
        let pair_count = if first > end { 0 } else { (end - first) / stride + 1 };
        let mut share = PortShare {
            // Only used where there is a pair, and then it is a port.
            first: u16::try_from(first).unwrap_or(u16::MAX),
            stride,
            free: vec![0; (pair_count as usize).div_ceil(PAIRS_PER_WORD)],
            free_count: 0,
            seed,
            drawn_count: 0,
        };
        for bit in 0..pair_count as usize * 2 {
            let port = share.port_at(bit);
            if port != 0 && range.contains(&port) {
                share.free[bit / 64] |= 1 << (bit % 64);
                share.free_count += 1;
            }
        }
        share
    }

    /// How many ports are not lent.
    pub fn free_count(&self) -> usize {
        self.free_count
    }

    /// Lends a port, or a pair by its even port; none if there is none.
    pub fn take(&mut self, wish: PortWish) -> Option<u16> {
        let words_count = self.free.len();
        if words_count == 0 {
            return None;
        }
        let draw = self.draw();
        let (start, turn) = (draw as usize % words_count, (draw >> 32) as u32 % 64);
        let fitting = |word: u64| match wish {
            PortWish::Any => word,
            PortWish::Even => word & EVENS,
            PortWish::Pair => word & word >> 1 & EVENS,
        };
        let found = (0..words_count)
            .map(|step| (start + step) % words_count)
            .find(|at| fitting(self.free[*at]) != 0)?;
        // The first that fits at or behind a place that was drawn.
        let bits = fitting(self.free[found]);
        let bit = (bits.rotate_right(turn).trailing_zeros() + turn) % 64;
        let (bits, count) = if wish == PortWish::Pair { (3 << bit, 2) } else { (1 << bit, 1) };
        self.free[found] &= !bits;
        self.free_count -= count;
        Some(self.port_at(found * 64 + bit as usize))
    }

    /// Takes one port back.
    ///
    /// # Panics
    ///
    /// If it was not lent.
    pub fn give_back(&mut self, port: u16) {
        let bit = self.bit_of(port).expect("a port of this share");
        let (word, bit) = (&mut self.free[bit / 64], 1 << (bit % 64));
        assert_eq!(*word & bit, 0, "a port that was lent");
        *word |= bit;
        self.free_count += 1;
    }

    fn port_at(&self, bit: usize) -> u16 {
        let port = u32::from(self.first) + bit as u32 / 2 * self.stride + bit as u32 % 2;
        u16::try_from(port).unwrap_or(0)
    }

    fn bit_of(&self, port: u16) -> Option<usize> {
        let distance = u32::from(port & !1).checked_sub(u32::from(self.first))?;
        let bit = (distance / self.stride * 2 + u32::from(port & 1)) as usize;
        (distance.is_multiple_of(self.stride) && bit / 64 < self.free.len()).then_some(bit)
    }

    fn draw(&mut self) -> u64 {
        self.drawn_count += 1;
        let digest = Sha256::new()
            .chain_update(b"port")
            .chain_update(self.seed)
            .chain_update(self.first.to_be_bytes())
            .chain_update(self.drawn_count.to_be_bytes())
            .finalize();
        u64::from_be_bytes(digest[..8].try_into().expect("a digest is longer"))
    }
}

const PAIRS_PER_WORD: usize = 32;

/// The lower bit of every pair.
const EVENS: u64 = 0x5555_5555_5555_5555;

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn all_of(share: &mut PortShare, wish: PortWish) -> Vec<u16> {
        std::iter::from_fn(|| share.take(wish)).collect()
    }

    #[test]
    fn shards_share_every_port_of_a_range_and_none_twice() {
        for range in [49_152..=65_535, 1..=1, 3..=4, 50_001..=50_010, 65_535..=65_535, 1..=65_535] {
            for count in [1, 2, 3, 7] {
                let mut seen = BTreeSet::new();
                for index in 0..count {
                    let mut share = PortShare::new(range.clone(), index, count, [1; 32]);
                    let free_count = share.free_count();
                    let ports = all_of(&mut share, PortWish::Any);
                    assert_eq!(ports.len(), free_count);
                    for port in ports {
                        assert!(range.contains(&port) && seen.insert(port), "{port}");
                        share.give_back(port);
                    }
                    assert_eq!(share.free_count(), free_count);
                }
                assert_eq!(seen.len(), range.len(), "{range:?} for {count}");
            }
        }
    }

    #[test]
    fn even_ports_and_pairs() {
        let mut share = PortShare::new(50_001..=50_100, 0, 1, [2; 32]);
        let pairs = all_of(&mut share, PortWish::Pair);
        assert!(pairs.iter().all(|port| port.is_multiple_of(2)));
        assert_eq!((pairs.len(), share.free_count()), (49, 2));
        assert_eq!(all_of(&mut share, PortWish::Even), [50_100]);
        assert_eq!(all_of(&mut share, PortWish::Any), [50_001]);
        share.give_back(pairs[0] + 1);
        assert_eq!(share.take(PortWish::Even), None);
        assert_eq!(share.take(PortWish::Pair), None);
        assert_eq!(share.take(PortWish::Any), Some(pairs[0] + 1));
    }

    #[test]
    fn the_next_port_is_not_the_neighbour_of_the_last() {
        let mut share = PortShare::new(49_152..=65_535, 0, 1, [3; 32]);
        let ports: Vec<u16> = (0..200).filter_map(|_| share.take(PortWish::Any)).collect();
        let neighbours = ports.windows(2).filter(|pair| pair[0].abs_diff(pair[1]) <= 4).count();
        assert!(neighbours < 10, "{neighbours}");
        let mut again = PortShare::new(49_152..=65_535, 0, 1, [4; 32]);
        assert_ne!(again.take(PortWish::Any), Some(ports[0]), "another seed");
    }

    #[test]
    #[should_panic(expected = "a port that was lent")]
    fn a_port_is_not_given_back_twice() {
        let mut share = PortShare::new(50_000..=50_010, 0, 1, [5; 32]);
        share.give_back(50_000);
    }
}
