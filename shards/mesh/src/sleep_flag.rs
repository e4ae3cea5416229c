//! Who sleeps: the one subtle protocol of the mesh, alone in a file so that loom can check it.
//!
//! ```text
//!   sleeper                          sender
//!   1  asleep := true                1  push into the queue
//!   2  fence(SeqCst)                 2  fence(SeqCst)
//!   3  look into the queues          3  look at asleep
//! ```
//!
//! *Invariant:* at least one of the two looks sees what the other side wrote. Each side writes one
//! place and then reads the other's; release and acquire alone let both reads be done before both
//! writes can be seen (a processor's store buffer does just that), and then a shard sleeps over a
//! message. Two full fences forbid it, whichever comes first in their common order.

use crate::atomic::{AtomicBool, Ordering, fence};

/// Whether one participant sleeps, or is about to.
#[derive(Debug)]
pub struct SleepFlag {
    asleep: AtomicBool,
}

impl SleepFlag {
    /// The flag of somebody awake.
    pub fn new() -> SleepFlag {
        SleepFlag { asleep: AtomicBool::new(false) }
    }

    /// The sleeper's side. True: it may sleep, and whoever publishes from now on rings. False:
    /// `anything_there` found work, and the flag is down again.
    pub fn announce(&self, anything_there: impl FnOnce() -> bool) -> bool {
        self.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if anything_there() {
            self.clear();
            return false;
        }
        true
    }

    /// The sleeper's side: it is awake, for whatever reason.
    pub fn clear(&self) {
        self.asleep.store(false, Ordering::Relaxed);
    }

    /// The sender's side, after its pushes and [`publish_fence`]. True: this sender has to ring,
    /// and no other will for the same sleep.
    pub fn take(&self) -> bool {
        // The load first: writing to a flag that is down would move its cache line for nothing.
        self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::Relaxed)
    }
}

/// The sender's fence, once for all the queues it pushed into.
pub fn publish_fence() {
    fence(Ordering::SeqCst);
}
