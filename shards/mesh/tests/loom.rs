//! Every interleaving of the sleep protocol, on the very source of the crate (`src/sleep_flag.rs`)
//! compiled against loom's atomics. No special build: `cargo test` runs it in seconds.
//!
//! A queue is modelled by its write index, which is all that the protocol sees of it: stored with
//! release by the sender and loaded with acquire by the receiver, as `rtrb` does.

mod atomic {
    pub(crate) use loom::sync::atomic::{AtomicBool, Ordering, fence};
}

#[path = "../src/sleep_flag.rs"]
mod sleep_flag;

use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use sleep_flag::{SleepFlag, publish_fence};

/// The sleeper's flag, a queue for each of two senders, and the doorbells rung.
struct Model {
    flag: SleepFlag,
    queues: [AtomicUsize; 2],
    doorbells: AtomicUsize,
}

impl Model {
    fn new() -> Arc<Model> {
        Arc::new(Model {
            flag: SleepFlag::new(),
            queues: [AtomicUsize::new(0), AtomicUsize::new(0)],
            doorbells: AtomicUsize::new(0),
        })
    }

    fn anything_there(&self) -> bool {
        self.queues.iter().any(|queue| queue.load(Ordering::Acquire) > 0)
    }

    fn send_and_publish(&self, sender: usize, fence: impl FnOnce()) {
        self.queues[sender].store(1, Ordering::Release);
        fence();
        if self.flag.take() {
            self.doorbells.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Senders against one sleeper; `fence` is the senders' (a test of the test leaves it out).
fn nobody_sleeps_over_a_message(senders: usize, fence: fn()) {
    loom::model(move || {
        let model = Model::new();
        let threads: Vec<_> = (0..senders)
            .map(|sender| {
                let model = Arc::clone(&model);
                loom::thread::spawn(move || model.send_and_publish(sender, fence))
            })
            .collect();
        let slept = model.flag.announce(|| model.anything_there());
        for thread in threads {
            thread.join().unwrap();
        }
        let doorbells = model.doorbells.load(Ordering::Relaxed);
        if slept {
            // With two senders the sleeper may have been rung by either; one is what it needs.
            assert_eq!(doorbells, 1, "one sleep, one doorbell");
        } else {
            assert!(doorbells <= 1, "one announcement, at most one doorbell");
        }
    });
}

#[test]
fn one_sender_and_a_sleeper() {
    nobody_sleeps_over_a_message(1, publish_fence);
}

#[test]
fn two_senders_and_a_sleeper() {
    nobody_sleeps_over_a_message(2, publish_fence);
}

#[test]
#[should_panic(expected = "one sleep, one doorbell")]
fn without_the_fence_a_message_is_slept_over() {
    nobody_sleeps_over_a_message(1, || ());
}

/// A second sleep after a wake for another reason: the flag that a sender took late must not lose
/// the doorbell of the second sleep.
#[test]
fn a_spurious_wake_then_sleep_again() {
    loom::model(|| {
        let model = Model::new();
        let sender = {
            let model = Arc::clone(&model);
            loom::thread::spawn(move || model.send_and_publish(0, publish_fence))
        };
        // The first sleep is ended by something else, a completion say.
        let _ = model.flag.announce(|| model.anything_there());
        model.flag.clear();
        let slept = model.flag.announce(|| model.anything_there());
        sender.join().unwrap();
        if slept {
            assert!(model.doorbells.load(Ordering::Relaxed) > 0, "slept over a message");
        }
    });
}
