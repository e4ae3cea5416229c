//! The storage thread: one glommio executor, one loop of rounds.
//!
//! Invariants: commands are answered between rounds, in order; time is counted in rounds, so no
//! clock is read; a round is bounded, because each log writes its backlog once.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::thread::JoinHandle;
use std::time::Duration;

use glommio::{LocalExecutor, LocalExecutorBuilder, Placement, Task, timer};
use rustix::process::{Resource, getrlimit};

use crate::files::RootId;
use crate::files::open::open_root;
use crate::files::service::{Root, Roots, Service};
use crate::log::Log;
use crate::{Command, Counts, LogId, StorageConfig};

/// How often the same trouble is reported.
const REPORT_EVERY: Duration = Duration::from_secs(60);
/// What glommio insists on, in the words of an error that says nothing to an operator.
const LOCKED_BYTES_MIN: u64 = 512 * 1024;

/// Starts the thread and waits until its executor stands or has failed.
pub(crate) fn start(
    config: StorageConfig,
    inbox: Receiver<Command>,
    counts: Arc<Counts>,
) -> io::Result<JoinHandle<()>> {
    let (started, starting) = mpsc::channel();
    let run = move || match executor(&config) {
        Ok(executor) => {
            let _starter_is_waiting = started.send(Ok(()));
            executor.run(Rounds::new(config, counts).run(inbox));
        }
        Err(error) => {
            let _starter_is_waiting = started.send(Err(error));
        }
    };
    let thread = std::thread::Builder::new().name("storage".into()).spawn(run)?;
    match starting.recv() {
        Ok(Ok(())) => Ok(thread),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(io::Error::other("the storage thread died while it started")),
    }
}

/// Says what to set where the machine refuses.
fn executor(config: &StorageConfig) -> io::Result<LocalExecutor> {
    let limit_bytes = getrlimit(Resource::Memlock).current.unwrap_or(u64::MAX);
    if limit_bytes < LOCKED_BYTES_MIN {
        return Err(io::Error::other(format!(
            "the limit on locked memory (RLIMIT_MEMLOCK) is {limit_bytes} bytes and storage needs \
             {LOCKED_BYTES_MIN}: raise it with `ulimit -l`, or `LimitMEMLOCK=` of the systemd unit"
        )));
    }
    let placement = config.core.map_or(Placement::Unbound, Placement::Fixed);
    let builder = LocalExecutorBuilder::new(placement).io_memory(config.io_memory_bytes);
    builder.make().map_err(|error| {
        let error = io::Error::from(error);
        let text = format!(
            "storage cannot start its io_uring executor: {error} (does the core exist, and do the \
             sysctl kernel.io_uring_disabled and the seccomp filters permit io_uring?)"
        );
        io::Error::new(error.kind(), text)
    })
}

/// Should the thread die, its tasks are never dropped: their shards have to be told.
impl Drop for Rounds {
    fn drop(&mut self) {
        for (service, _) in &self.services {
            service.stop();
        }
    }
}

struct Rounds {
    config: StorageConfig,
    counts: Arc<Counts>,
    logs: Vec<Log>,
    roots: Roots,
    services: Vec<(Rc<Service>, Task<()>)>,
    report_every_rounds: u32,
    rounds_until_report: u32,
    reported_dropped_count: u64,
}

impl Rounds {
    fn new(config: StorageConfig, counts: Arc<Counts>) -> Rounds {
        let rounds = REPORT_EVERY.as_millis() / config.drain_every.as_millis().max(1);
        Rounds {
            config,
            counts,
            logs: Vec::new(),
            roots: Roots::default(),
            services: Vec::new(),
            report_every_rounds: u32::try_from(rounds).unwrap_or(u32::MAX),
            rounds_until_report: 0,
            reported_dropped_count: 0,
        }
    }

    async fn run(mut self, inbox: Receiver<Command>) {
        loop {
            loop {
                match inbox.try_recv() {
                    Ok(Command::Stop) | Err(TryRecvError::Disconnected) => {
                        return self.stop().await;
                    }
                    Ok(command) => self.execute(command).await,
                    Err(TryRecvError::Empty) => break,
                }
            }
            let mut more = false;
            for log in &mut self.logs {
                more |= log.round().await;
            }
            self.report_dropped();
            if !more {
                timer::sleep(self.config.drain_every).await;
            }
        }
    }

    async fn stop(mut self) {
        for (service, task) in std::mem::take(&mut self.services) {
            service.stop();
            let _was_running = task.cancel().await;
        }
        for log in std::mem::take(&mut self.logs) {
            log.close().await;
        }
    }

    /// Whoever waits for an answer is there until it comes, so no answer is lost.
    async fn execute(&mut self, command: Command) {
        match command {
            Command::Open { path, answer } => {
                let counts = Arc::clone(&self.counts);
                let log = Log::open(path, &self.config, self.report_every_rounds, counts).await;
                let id = LogId(self.logs.len());
                let _asker_is_waiting = answer.send(log.map(|log| {
                    self.logs.push(log);
                    id
                }));
            }
            Command::Port { log, end } => self.logs[log.0].attach(end),
            Command::Reopen { answer } => {
                let mut result = Ok(());
                for log in &mut self.logs {
                    result = result.and(log.reopen().await);
                }
                let _asker_is_waiting = answer.send(result);
            }
            Command::Root { path, grows, answer } => {
                let id = RootId(self.roots.borrow().len());
                let _asker_is_waiting = answer.send(open_root(&path).map(|directory| {
                    self.roots.borrow_mut().push(Root { directory, grows });
                    id
                }));
            }
            Command::Files { end } => {
                let service = Service::new(end, Rc::clone(&self.roots));
                let task = glommio::spawn_local(Rc::clone(&service).run());
                self.services.push((service, task));
            }
            Command::Stop => unreachable!("the loop above ends with it"),
        }
    }

    /// Lost lines are worth a word even where the disk never failed but was too slow.
    fn report_dropped(&mut self) {
        self.rounds_until_report = self.rounds_until_report.saturating_sub(1);
        let dropped_count = self.counts.lines_dropped.load(Ordering::Relaxed);
        if self.rounds_until_report > 0 || dropped_count == self.reported_dropped_count {
            return;
        }
        let lost_count = dropped_count - self.reported_dropped_count;
        tracing::warn!(lost_count, "log lines were lost: their ports were full");
        self.reported_dropped_count = dropped_count;
        self.rounds_until_report = self.report_every_rounds;
    }
}
