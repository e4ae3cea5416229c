//! One participant's end of the mesh.

use std::sync::Arc;

use crossbeam_utils::CachePadded;
use rtrb::{Consumer, Producer, PushError, RingBuffer};

use crate::sleep_flag::{SleepFlag, publish_fence};

/// Builds the mesh: one port for each participant, in order of their numbers. Each of the
/// `participants` × (`participants` − 1) queues holds `capacity` messages.
///
/// # Panics
/// When there are no participants, or queues would hold nothing.
#[must_use]
pub fn mesh<M: Send>(participants: usize, capacity: usize) -> Vec<MeshPort<M>> {
    assert!(participants > 0, "a mesh of nobody");
    assert!(capacity > 0, "a queue that holds nothing");
    let flags: Arc<[CachePadded<SleepFlag>]> =
        (0..participants).map(|_| CachePadded::new(SleepFlag::new())).collect();
    let mut ports: Vec<MeshPort<M>> = (0..participants)
        .map(|me| MeshPort {
            me,
            outgoing: Vec::with_capacity(participants),
            incoming: Vec::with_capacity(participants),
            touched: Vec::with_capacity(participants),
            is_touched: vec![false; participants],
            flags: Arc::clone(&flags),
            counters: MeshCounters::default(),
        })
        .collect();
    for sender in 0..participants {
        for receiver in 0..participants {
            let (producer, consumer) = if sender == receiver {
                (None, None)
            } else {
                let (producer, consumer) = RingBuffer::new(capacity);
                (Some(producer), Some(consumer))
            };
            ports[sender].outgoing.push(producer);
            ports[receiver].incoming.push(consumer);
        }
    }
    ports
}

/// One participant's end of the mesh. It can be moved to its thread, and not be shared.
#[derive(Debug)]
pub struct MeshPort<M> {
    me: usize,
    /// By receiver; none at `me`.
    outgoing: Vec<Option<Producer<M>>>,
    /// By sender; none at `me`.
    incoming: Vec<Option<Consumer<M>>>,
    /// Receivers sent to since the last publish, each once.
    touched: Vec<usize>,
    is_touched: Vec<bool>,
    flags: Arc<[CachePadded<SleepFlag>]>,
    counters: MeshCounters,
}

/// What a port counted since the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MeshCounters {
    /// Messages sent.
    pub sent: u64,
    /// Messages received.
    pub received: u64,
    /// Messages given back because the receiver's queue was full.
    pub full: u64,
    /// Siblings that had to be woken.
    pub doorbells: u64,
}

impl<M> MeshPort<M> {
    /// This participant's number.
    #[must_use]
    pub fn me(&self) -> usize {
        self.me
    }

    /// How many participants there are, this one among them.
    #[must_use]
    pub fn participants(&self) -> usize {
        self.flags.len()
    }

    /// Puts a message into a sibling's queue. Never waits. The sibling may see it at once; it is
    /// sure to see it after [`MeshPort::publish`].
    ///
    /// # Errors
    /// The queue is full; the message comes back. Nobody rings when there is room again, so whoever
    /// keeps it must try again by its own clock.
    ///
    /// # Panics
    /// When `to` is this participant or nobody: a bug of the caller.
    pub fn send(&mut self, to: usize, message: M) -> Result<(), M> {
        assert_ne!(to, self.me, "a participant sends to itself");
        let queue = self.outgoing[to].as_mut().expect("only `me` has no queue");
        match queue.push(message) {
            Ok(()) => {
                self.counters.sent += 1;
                if !self.is_touched[to] {
                    self.is_touched[to] = true;
                    self.touched.push(to);
                }
                Ok(())
            }
            Err(PushError::Full(message)) => {
                self.counters.full += 1;
                Err(message)
            }
        }
    }

    /// Ends a tick's sending: calls `wake` once for each receiver of this tick that sleeps and that
    /// no other sender woke already. Costs one fence, or nothing when nothing was sent.
    pub fn publish(&mut self, mut wake: impl FnMut(usize)) {
        if self.touched.is_empty() {
            return;
        }
        publish_fence();
        for to in self.touched.drain(..) {
            self.is_touched[to] = false;
            if self.flags[to].take() {
                self.counters.doorbells += 1;
                wake(to);
            }
        }
    }

    /// Takes at most `max` messages of one sibling, in the order sent, and says how many it took.
    /// The sibling sees the room of all of them at once. From `me` there is never anything.
    ///
    /// # Panics
    /// When there is no participant `from`: a bug of the caller.
    pub fn receive(&mut self, from: usize, max: usize, mut f: impl FnMut(M)) -> usize {
        let Some(queue) = self.incoming[from].as_mut() else { return 0 };
        let count = queue.slots().min(max);
        if count == 0 {
            return 0;
        }
        self.counters.received += count as u64;
        let chunk = queue.read_chunk(count).expect("slots only grow under their one reader");
        // The iterator's drop stores the read index, once.
        chunk.into_iter().for_each(&mut f);
        count
    }

    /// Announces that this participant goes to sleep and looks at its queues once more. True:
    /// sleep, a doorbell comes with the next message. False: something is there already, and nobody
    /// was told anything.
    #[must_use]
    pub fn sleep(&mut self) -> bool {
        debug_assert!(self.touched.is_empty(), "asleep on messages that were not published");
        let incoming = &self.incoming;
        self.flags[self.me].announce(|| incoming.iter().flatten().any(|queue| !queue.is_empty()))
    }

    /// Says that this participant is awake, whatever woke it: no doorbells until the next
    /// [`MeshPort::sleep`], but for one that is under way.
    pub fn awake(&mut self) {
        self.flags[self.me].clear();
    }

    /// What this port counted.
    #[must_use]
    pub fn counters(&self) -> MeshCounters {
        self.counters
    }
}
