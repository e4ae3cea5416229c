//! The contexts of one shard, lent to its connections.
//!
//! Invariant: no more are lent than the limits allow; one that is dropped is lent no longer.

use std::cell::RefCell;
use std::rc::Rc;

use flate2::{Compress, Compression, Decompress};

/// About what a context for compressing takes, at most: the window twice, hash chains, symbols.
pub const DEFLATING_BYTES: usize = 400 * 1024;

/// About what a context for inflating takes, at most: the window and the code tables.
pub const INFLATING_BYTES: usize = 64 * 1024;

/// Contexts that are not lent and kept for the next, of each kind.
const SPARE_COUNT_MAX: usize = 4;

/// How many contexts there may be, and how hard they work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContextLimits {
    /// Contexts for compressing. Beyond it messages are sent as they are.
    pub deflating_max: usize,
    /// Contexts for inflating. Beyond it connections do not agree on compression, and a compressed
    /// message that comes on one which did ends it with 1013.
    pub inflating_max: usize,
    /// 1 is fast, 9 is thorough.
    pub level: u32,
}

impl Default for ContextLimits {
    /// 64 for compressing and 1,024 for inflating: at most 90 MiB; level 3.
    fn default() -> ContextLimits {
        ContextLimits { deflating_max: 64, inflating_max: 1024, level: 3 }
    }
}

/// Counters of one shard's contexts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ContextCounters {
    /// Lent now, for compressing.
    pub deflating: usize,
    /// Lent now, for inflating.
    pub inflating: usize,
    /// Times that none was left for compressing.
    pub deflating_refused: u64,
    /// Times that none was left for inflating.
    pub inflating_refused: u64,
}

/// All contexts of a shard; a clone is the same ones.
#[derive(Debug, Clone)]
pub struct Contexts(Rc<RefCell<Pool>>);

#[derive(Debug)]
struct Pool {
    limits: ContextLimits,
    counters: ContextCounters,
    spare_deflating: Vec<(u8, Compress)>,
    spare_inflating: Vec<(u8, Decompress)>,
}

impl Contexts {
    /// None lent yet.
    pub fn new(limits: ContextLimits) -> Contexts {
        Contexts(Rc::new(RefCell::new(Pool {
            limits,
            counters: ContextCounters::default(),
            spare_deflating: Vec::new(),
            spare_inflating: Vec::new(),
        })))
    }

    /// What is lent, and what was refused.
    pub fn counters(&self) -> ContextCounters {
        self.0.borrow().counters
    }

    /// Whether another connection may agree on compression.
    pub fn has_room(&self) -> bool {
        let pool = self.0.borrow();
        pool.counters.inflating < pool.limits.inflating_max
    }

    pub(super) fn lend_deflating(&self, window_bits: u8) -> Option<Lent<Compress>> {
        let mut pool = self.0.borrow_mut();
        if pool.counters.deflating >= pool.limits.deflating_max {
            pool.counters.deflating_refused += 1;
            return None;
        }
        pool.counters.deflating += 1;
        let level = Compression::new(pool.limits.level.clamp(1, 9));
        let context = take(&mut pool.spare_deflating, window_bits)
            .unwrap_or_else(|| Compress::new_with_window_bits(level, false, window_bits));
        Some(Lent { context: Some(context), window_bits, lender: self.clone() })
    }

    pub(super) fn lend_inflating(&self, window_bits: u8) -> Option<Lent<Decompress>> {
        let mut pool = self.0.borrow_mut();
        if pool.counters.inflating >= pool.limits.inflating_max {
            pool.counters.inflating_refused += 1;
            return None;
        }
        pool.counters.inflating += 1;
        let context = take(&mut pool.spare_inflating, window_bits)
            .unwrap_or_else(|| Decompress::new_with_window_bits(false, window_bits));
        Some(Lent { context: Some(context), window_bits, lender: self.clone() })
    }
}

fn take<T>(spare: &mut Vec<(u8, T)>, window_bits: u8) -> Option<T> {
    let at = spare.iter().position(|(bits, _)| *bits == window_bits)?;
    Some(spare.swap_remove(at).1)
}

/// A context that goes back where it came from.
#[derive(Debug)]
pub(super) struct Lent<T: Returns> {
    context: Option<T>,
    window_bits: u8,
    lender: Contexts,
}

impl<T: Returns> Lent<T> {
    pub(super) fn get(&mut self) -> &mut T {
        self.context.as_mut().expect("it is there until the drop")
    }

    pub(super) fn window_bits(&self) -> u8 {
        self.window_bits
    }
}

impl<T: Returns> Drop for Lent<T> {
    fn drop(&mut self) {
        if let Some(context) = self.context.take() {
            context.give_back(self.window_bits, &self.lender);
        }
    }
}

/// What is lent knows which shelf it belongs on.
pub(super) trait Returns: Sized {
    fn give_back(self, window_bits: u8, lender: &Contexts);
}

impl Returns for Compress {
    fn give_back(mut self, window_bits: u8, lender: &Contexts) {
        let mut pool = lender.0.borrow_mut();
        pool.counters.deflating -= 1;
        if pool.spare_deflating.len() < SPARE_COUNT_MAX {
            self.reset();
            pool.spare_deflating.push((window_bits, self));
        }
    }
}

impl Returns for Decompress {
    fn give_back(mut self, window_bits: u8, lender: &Contexts) {
        let mut pool = lender.0.borrow_mut();
        pool.counters.inflating -= 1;
        if pool.spare_inflating.len() < SPARE_COUNT_MAX {
            self.reset(false);
            pool.spare_inflating.push((window_bits, self));
        }
    }
}
