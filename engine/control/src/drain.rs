//! Stopping: the shards get a time to end in, and the process does not wait longer.

use std::time::{Duration, Instant};

use engine_node::Message;
use shards_runtime::ShardId;

use crate::control::Control;

/// How much longer than its time a shard may take to say that it is done.
const DRAIN_GRACE: Duration = Duration::from_secs(5);

/// A stop under way.
pub(crate) struct Drain {
    until: Instant,
    /// Which shards are done.
    done: Vec<bool>,
    finished: bool,
}

impl Drain {
    pub(crate) fn deadline(&self) -> Option<Instant> {
        (!self.finished).then_some(self.until)
    }
}

impl Control {
    /// Begins to stop, or, asked a second time, stops at once.
    pub(crate) fn start_drain(&mut self) {
        let again = self.drain.is_some();
        let within = if again { 0 } else { self.config.server.drain_s.saturating_mul(1000) };
        let within_ms = u32::try_from(within).unwrap_or(u32::MAX);
        let until = self.now + Duration::from_millis(u64::from(within_ms)) + DRAIN_GRACE;
        tracing::info!(within_ms, "stopping");
        match &mut self.drain {
            Some(drain) => drain.until = until.min(drain.until),
            None => {
                let done = vec![false; self.setup.shards_count];
                self.drain = Some(Drain { until, done, finished: false });
                self.drain_pulls();
            }
        }
        self.broadcast(|| Message::Drain { within_ms });
    }

    /// A shard has closed everything and is gone.
    pub(crate) fn shard_drained(&mut self, from: ShardId) {
        if let Some(drain) = &mut self.drain {
            drain.done[from.index()] = true;
        }
        self.gathers_without(from);
        self.turn_without(from);
        self.peers_without(from);
        self.rtc_without(from);
    }

    /// Ends when all are done, or have had their time.
    pub(crate) fn expire_drain(&mut self) {
        let Some(drain) = self.drain.as_mut().filter(|drain| !drain.finished) else { return };
        let missing = drain.done.iter().filter(|done| !**done).count();
        if missing > 0 && self.now < drain.until {
            return;
        }
        drain.finished = true;
        if missing > 0 {
            tracing::warn!(shards = missing, "stopping without shards that did not end");
        }
        self.finish();
    }

    /// Whether a shard is there to hear anything.
    pub(crate) fn is_listening(&self, shard: ShardId) -> bool {
        self.drain.as_ref().is_none_or(|drain| !drain.done[shard.index()])
    }
}
