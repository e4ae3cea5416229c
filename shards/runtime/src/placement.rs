//! Which thread runs which shard, and on which core.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Barrier};
use std::thread::JoinHandle;

use crate::{Io, Service, Shard, ShardId};

/// How many shards, and where.
#[derive(Clone, Debug)]
pub struct Placement {
    /// Number of shards, at least one.
    pub shards_count: usize,
    /// The core of each shard, in order; empty: the scheduler chooses. Shorter lists repeat.
    pub cores: Vec<usize>,
}

/// The running shard threads. A shard's service never leaves its thread.
#[derive(Debug)]
pub struct Shards {
    threads: Vec<JoinHandle<()>>,
}

/// What the shards' threads wait for before their first tick.
struct Start {
    barrier: Barrier,
    all_built: AtomicBool,
}

impl Shards {
    /// Starts one thread for each shard. `make` runs on that thread, already pinned, and builds
    /// the shard. Nobody ticks before all are built, so that every doorbell has somebody behind it;
    /// if one cannot be built, none runs.
    ///
    /// # Errors
    /// When a thread cannot be started, and what kept a shard from being built.
    pub fn start<I, S, F>(placement: &Placement, make: F) -> io::Result<Self>
    where
        I: Io,
        S: Service<I>,
        F: Fn(ShardId) -> io::Result<Shard<I, S>> + Send + Sync + 'static,
    {
        assert!(placement.shards_count > 0, "at least one shard");
        let make = Arc::new(make);
        let start = Arc::new(Start {
            barrier: Barrier::new(placement.shards_count + 1),
            all_built: AtomicBool::new(false),
        });
        let (built, outcomes) = channel();
        let mut threads = Vec::with_capacity(placement.shards_count);
        for number in 0..placement.shards_count {
            let core = match placement.cores.len() {
                0 => None,
                len => Some(placement.cores[number % len]),
            };
            let (make, start, built) = (Arc::clone(&make), Arc::clone(&start), built.clone());
            let body = move || {
                let shard = pin(core).and_then(|()| make(ShardId(number as u16)));
                let (shard, outcome) = match shard {
                    Ok(shard) => (Some(shard), Ok(())),
                    Err(error) => (None, Err(error)),
                };
                // The receiver waits for one outcome of each shard.
                let _ = built.send(outcome);
                start.barrier.wait();
                if let Some(shard) = shard
                    && start.all_built.load(Ordering::Acquire)
                {
                    shard.run();
                }
            };
            threads.push(std::thread::Builder::new().name(format!("shard-{number}")).spawn(body)?);
        }
        drop(built);
        let outcome: io::Result<()> = outcomes.iter().take(placement.shards_count).collect();
        start.all_built.store(outcome.is_ok(), Ordering::Release);
        start.barrier.wait();
        outcome?;
        Ok(Shards { threads })
    }

    /// Whether any shard thread has ended.
    #[must_use]
    pub fn any_ended(&self) -> bool {
        self.threads.iter().any(JoinHandle::is_finished)
    }

    /// Waits for every shard to stop.
    ///
    /// # Panics
    /// When a shard panicked.
    pub fn join(self) {
        for thread in self.threads {
            thread.join().expect("a shard panicked");
        }
    }
}

/// Pins the calling thread to one core; `None` leaves it where it is.
///
/// # Errors
/// When there is no such core, or the process may not use it.
pub fn pin(core: Option<usize>) -> io::Result<()> {
    let Some(core) = core else { return Ok(()) };
    if core >= rustix::thread::CpuSet::MAX_CPU {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("no such core: {core}")));
    }
    let mut set = rustix::thread::CpuSet::new();
    set.set(core);
    rustix::thread::sched_setaffinity(None, &set).map_err(|error| {
        io::Error::new(error.kind(), format!("cannot pin to core {core}: {error}"))
    })
}
