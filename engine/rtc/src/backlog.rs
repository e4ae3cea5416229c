//! What a shard of viewers has not taken yet: bounded, and what does not fit is gone.

use std::collections::VecDeque;
use std::sync::Arc;

use shards_runtime::ShardId;

use crate::letter::Batch;

/// Batches that wait for one shard. At this many all of them are dropped: who comes so late is
/// better served by the next keyframe than by the past.
const BATCHES_MAX: usize = 64;

/// A shard with viewers of a publisher.
#[derive(Debug)]
pub(crate) struct Subscriber {
    pub(crate) shard: ShardId,
    waiting: VecDeque<Arc<Batch>>,
    has_gap: bool,
}

impl Subscriber {
    pub(crate) fn new(shard: ShardId) -> Subscriber {
        Subscriber { shard, waiting: VecDeque::new(), has_gap: false }
    }

    /// Takes a batch, and offers what waits to `send` for as long as that takes it. Answers how
    /// many batches were dropped.
    pub(crate) fn offer(
        &mut self,
        batch: Option<&Arc<Batch>>,
        mut send: impl FnMut(Arc<Batch>) -> Result<(), ()>,
    ) -> u64 {
        let mut dropped = 0;
        if let Some(batch) = batch {
            if self.waiting.len() >= BATCHES_MAX {
                dropped = self.waiting.len() as u64;
                self.waiting.clear();
                self.has_gap = true;
            }
            self.waiting.push_back(batch.clone());
        }
        while let Some(batch) = self.waiting.front() {
            let batch = match self.has_gap {
                true => Arc::new(Batch {
                    session: batch.session,
                    has_gap: true,
                    packets: batch.packets.clone(),
                }),
                false => batch.clone(),
            };
            if send(batch).is_err() {
                break;
            }
            self.has_gap = false;
            self.waiting.pop_front();
        }
        dropped
    }

    pub(crate) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Names;

    #[test]
    fn a_slow_shard_loses_the_past_and_is_told_so() {
        let session = Names::new([1; 32], 0).session();
        let batch = || Arc::new(Batch { session, has_gap: false, packets: Vec::new() });
        let mut subscriber = Subscriber::new(ShardId(1));
        let dropped: u64 = (0..100).map(|_| subscriber.offer(Some(&batch()), |_| Err(()))).sum();
        assert_eq!(dropped, BATCHES_MAX as u64);
        let mut got = Vec::new();
        let dropped = subscriber.offer(None, |batch| {
            got.push(batch.has_gap);
            Ok(())
        });
        assert_eq!((dropped, got.len(), subscriber.is_waiting()), (0, 36, false));
        assert!(got[0] && got[1..].iter().all(|has_gap| !has_gap));
    }
}
