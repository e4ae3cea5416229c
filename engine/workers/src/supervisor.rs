//! The thread that starts worker processes and waits for their end.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

use rtrb::{Consumer, Producer, RingBuffer};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::desk::{Desk, WORKERS_MAX, WorkerId};

/// The exit status with which a worker says that its job cannot be done, now or later.
const REFUSED: i32 = 3;

/// How long workers may take to end when the server does, before they are killed.
const FAREWELL: Duration = Duration::from_secs(5);

/// How workers are started.
#[derive(Clone, Debug)]
pub struct SupervisorSettings {
    /// The program.
    pub program: PathBuf,
    /// Its arguments; none for `skywave-worker`.
    pub arguments: Vec<String>,
    /// The pause before a worker that crashed is started again; it doubles with each crash …
    pub pause_min: Duration,
    /// … up to this.
    pub pause_max: Duration,
    /// A worker that lived so long begins with the shortest pause again.
    pub healthy_after: Duration,
}

impl SupervisorSettings {
    /// For this program, with pauses from half a second to half a minute.
    pub fn new(program: impl Into<PathBuf>) -> SupervisorSettings {
        SupervisorSettings {
            program: program.into(),
            arguments: Vec::new(),
            pause_min: Duration::from_millis(500),
            pause_max: Duration::from_secs(30),
            healthy_after: Duration::from_secs(30),
        }
    }
}

/// What a desk asks for.
#[derive(Debug)]
pub(crate) enum Order {
    /// Start a worker, and start it again when it crashes.
    Hire(WorkerId),
    /// Do not start it again.
    Dismiss(WorkerId),
}

/// How a worker process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Departure {
    /// With its work done.
    Done,
    /// It will not be able to do it.
    Refused,
    /// Otherwise, in words; it is started again after the pause.
    Crashed {
        /// How.
        cause: String,
        /// When.
        again_in: Duration,
    },
}

/// What a desk is told.
#[derive(Debug)]
pub(crate) enum Arrival {
    /// A worker runs; this is the other end of its link.
    Started(WorkerId, OwnedFd),
    /// It has ended.
    Departed(WorkerId, Departure),
}

/// The thread, which ends with [`Supervisor::stop`].
#[derive(Debug)]
pub struct Supervisor {
    thread: Option<JoinHandle<()>>,
    is_stopping: Arc<AtomicBool>,
}

impl Supervisor {
    /// Starts the thread; the desks are for that many shards.
    ///
    /// # Errors
    /// The system has no more threads.
    pub fn start(
        settings: SupervisorSettings,
        shards_count: usize,
    ) -> io::Result<(Supervisor, Vec<Desk>)> {
        let is_stopping = Arc::new(AtomicBool::new(false));
        let (exits_in, exits) = channel();
        let mut offices = Vec::new();
        let mut ends = Vec::new();
        for _ in 0..shards_count {
            let (orders_in, orders) = RingBuffer::new(WORKERS_MAX * 4);
            let (arrivals_in, arrivals) = RingBuffer::new(WORKERS_MAX * 4);
            offices.push(Office { orders, arrivals: arrivals_in });
            ends.push((orders_in, arrivals));
        }
        let stopping = is_stopping.clone();
        let run = move || {
            let floor = Floor {
                settings,
                offices,
                workers: BTreeMap::new(),
                exits_in,
                exits,
                is_stopping: stopping,
            };
            floor.run();
        };
        let thread = thread::Builder::new().name("workers".into()).spawn(run)?;
        let waker = thread.thread().clone();
        let desk = |(orders, arrivals)| Desk::new(orders, arrivals, waker.clone());
        let desks = ends.into_iter().map(desk).collect();
        Ok((Supervisor { thread: Some(thread), is_stopping }, desks))
    }

    /// Ends all workers and the thread. Those whose links are closed end by themselves; who has not
    /// within some seconds is killed.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.is_stopping.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // A panic of that thread has been reported by it.
            thread.join().ok();
        }
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.end();
    }
}

/// The supervisor's ends of the queues to one desk.
struct Office {
    orders: Consumer<Order>,
    arrivals: Producer<Arrival>,
}

/// A worker that was asked for.
struct Worker {
    /// Names its process, whatever number that has.
    process: Option<OwnedFd>,
    started_at: Instant,
    pause: Duration,
    due_at: Option<Instant>,
    is_dismissed: bool,
}

type Key = (usize, WorkerId);

struct Floor {
    settings: SupervisorSettings,
    offices: Vec<Office>,
    workers: BTreeMap<Key, Worker>,
    exits_in: Sender<(Key, io::Result<ExitStatus>)>,
    exits: Receiver<(Key, io::Result<ExitStatus>)>,
    is_stopping: Arc<AtomicBool>,
}

#[allow(clippy::disallowed_methods, reason = "this thread is a clock of its own")]
fn now() -> Instant {
    Instant::now()
}

impl Floor {
    fn run(mut self) {
        while !self.is_stopping.load(Ordering::Acquire) {
            self.take_orders();
            self.take_exits();
            let due = |(key, worker): (&Key, &Worker)| worker.due_at.map(|at| (at, *key));
            let next = self.workers.iter().filter_map(due).min();
            match next {
                Some((at, key)) if at <= now() => self.spawn(key),
                Some((at, _)) => thread::park_timeout(at.saturating_duration_since(now())),
                None => thread::park(),
            }
        }
        self.farewell();
    }

    fn take_orders(&mut self) {
        for desk in 0..self.offices.len() {
            while let Ok(order) = self.offices[desk].orders.pop() {
                match order {
                    Order::Hire(id) => {
                        let worker = Worker {
                            process: None,
                            started_at: now(),
                            pause: self.settings.pause_min,
                            due_at: Some(now()),
                            is_dismissed: false,
                        };
                        self.workers.insert((desk, id), worker);
                    }
                    Order::Dismiss(id) => {
                        let Some(worker) = self.workers.get_mut(&(desk, id)) else { continue };
                        worker.is_dismissed = true;
                        worker.due_at = None;
                        if worker.process.is_none() {
                            self.workers.remove(&(desk, id));
                        }
                    }
                }
            }
        }
    }

    fn spawn(&mut self, key: Key) {
        let Some(worker) = self.workers.get_mut(&key) else { return };
        worker.due_at = None;
        worker.started_at = now();
        match start(&self.settings) {
            Ok((child, process, socket)) => {
                worker.process = Some(process);
                self.watch(key, child);
                self.tell(key, Arrival::Started(key.1, socket));
            }
            Err(error) => self.ended(key, Err(error)),
        }
    }

    /// Waits for a process in a thread of its own, which is the one that reaps it.
    fn watch(&mut self, key: Key, mut child: Child) {
        let (exits, waker) = (self.exits_in.clone(), thread::current());
        let wait = move || {
            let status = child.wait();
            // The supervisor may be gone: then nobody asks.
            exits.send((key, status)).ok();
            waker.unpark();
        };
        let spawned = thread::Builder::new().name("worker wait".into()).spawn(wait);
        if let Err(error) = spawned {
            // Dropped with its closure the child is not waited for; its link is about to close.
            self.ended(key, Err(error));
        }
    }

    fn take_exits(&mut self) {
        while let Ok((key, status)) = self.exits.try_recv() {
            self.ended(key, status);
        }
    }

    fn ended(&mut self, key: Key, status: io::Result<ExitStatus>) {
        let Some(worker) = self.workers.get_mut(&key) else { return };
        worker.process = None;
        let is_done = status.as_ref().is_ok_and(ExitStatus::success);
        let is_refused = status.as_ref().is_ok_and(|status| status.code() == Some(REFUSED));
        let departure = if is_done || worker.is_dismissed {
            Departure::Done
        } else if is_refused {
            Departure::Refused
        } else {
            if now().saturating_duration_since(worker.started_at) >= self.settings.healthy_after {
                worker.pause = self.settings.pause_min;
            }
            let again_in = worker.pause;
            worker.due_at = Some(now() + again_in);
            worker.pause = (again_in * 2).min(self.settings.pause_max);
            let cause = match status {
                Ok(status) => status.to_string(),
                Err(error) => error.to_string(),
            };
            Departure::Crashed { cause, again_in }
        };
        if !matches!(departure, Departure::Crashed { .. }) {
            self.workers.remove(&key);
        }
        tracing::debug!(worker = ?key, ?departure, "a worker ended");
        self.tell(key, Arrival::Departed(key.1, departure));
    }

    fn tell(&mut self, (desk, _): Key, arrival: Arrival) {
        // A desk that takes nothing is a shard that has ended: a socket that is dropped here ends
        // its worker.
        if self.offices[desk].arrivals.push(arrival).is_err() {
            tracing::warn!(desk, "a shard does not take its workers' news");
        }
    }

    fn farewell(mut self) {
        let deadline = now() + FAREWELL;
        let mut is_killed = false;
        loop {
            self.take_exits_quietly();
            if self.workers.values().all(|worker| worker.process.is_none()) {
                return;
            }
            if now() >= deadline {
                if is_killed {
                    return;
                }
                is_killed = true;
                for worker in self.workers.values() {
                    if let Some(process) = &worker.process {
                        // One that has just ended by itself is as good.
                        pidfd_send_signal(process, Signal::KILL).ok();
                    }
                }
            }
            thread::park_timeout(Duration::from_millis(50));
        }
    }

    fn take_exits_quietly(&mut self) {
        while let Ok((key, _)) = self.exits.try_recv() {
            self.workers.remove(&key);
        }
    }
}

/// Starts a process with one end of a socket pair as its standard input.
fn start(settings: &SupervisorSettings) -> io::Result<(Child, OwnedFd, OwnedFd)> {
    let (ours, theirs) = UnixStream::pair()?;
    let mut child = Command::new(&settings.program)
        .args(&settings.arguments)
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        // Signals of a terminal are for the server, which ends its workers in order.
        .process_group(0)
        .spawn()?;
    let process = Pid::from_child(&child);
    match pidfd_open(process, PidfdFlags::empty()) {
        Ok(process) => Ok((child, process, OwnedFd::from(ours))),
        Err(error) => {
            // Without its link it ends by itself; it is waited for here.
            child.kill()?;
            child.wait()?;
            Err(error.into())
        }
    }
}

/// What wakes the supervisor from a shard: it does not wait.
pub(crate) fn wake(thread: &Thread) {
    thread.unpark();
}
