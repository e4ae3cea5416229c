//! The thread that [`Control`] lives on: real clock, the mesh, the resolver.
//!
//! ```text
//!   shards ──mesh──►┐                      ┌──mesh──► shards
//!     main ──mpsc──►├─► Control::handle ──►┤
//! resolver ──mpsc──►┘                      └──mpsc──► resolver
//! ```
//!
//! Looking a name up may take seconds, so it has a thread of its own. Whoever sends by one of the
//! mpsc channels rings the bell afterwards; should it forget, the next second notices.
//!
//! *Invariant:* a message that found its queue full waits in order, and nothing overtakes it.

use std::collections::VecDeque;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, TryRecvError, TrySendError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use engine_config::Config;
use engine_events::{Done, EventCounters, KeeperPort, Order};
use engine_node::Message;
use shards_mesh::MeshPort;
use shards_runtime::ShardId;

use crate::control::{Control, Input, Output};

/// Messages taken from one shard before the others have their turn.
const MESSAGES_PER_ROUND_MAX: usize = 256;
/// How soon a full queue is tried again.
const RETRY: Duration = Duration::from_millis(2);
/// Messages that may wait for one shard. Snapshots replace each other only at the shard, so this is
/// what a shard that does not run for a while can hold back.
const OUTBOX_MAX: usize = 1 << 18;
/// Names that may wait for the resolver; it answers an attempt, and attempts are few.
const NAMES_MAX: usize = 1024;

/// The doorbells, as the control plane uses them.
pub trait Bell: Clone + Send + 'static {
    /// Blocks until somebody rang [`Bell::ring_control`] since the last call, or the time is over
    /// (`None`: for ever). May return early.
    fn wait(&self, timeout: Option<Duration>);
    /// Wakes a shard.
    fn ring(&self, shard: usize);
    /// Wakes whoever sleeps in [`Bell::wait`].
    fn ring_control(&self);
}

/// What the program's main thread tells the control plane.
#[derive(Debug)]
pub enum Command {
    /// There is a new configuration.
    Reload(Arc<Config>),
    /// There are new certificates.
    Tls(Arc<protocol_tls::ServerConfig>),
    /// Stop; a second time: at once.
    Drain,
    /// The keeper has done something.
    Kept(Done),
    /// What the keeper has counted since the start.
    EventCounters(EventCounters),
    /// Access-log lines since the start.
    LogCounters {
        /// Lines written.
        written: u64,
        /// Lines that did not reach the disk.
        lost: u64,
    },
}

/// Runs the control plane until every shard has stopped.
///
/// # Panics
/// When the resolver's thread cannot be started, or a shard took nothing for very long.
pub fn run(
    control: Control,
    port: MeshPort<Message>,
    bell: impl Bell,
    commands: Receiver<Command>,
    keeper: Option<KeeperPort>,
) {
    let (names, answers) = start_resolver(bell.clone());
    let participants = port.participants();
    let outbox = (0..participants).map(|_| VecDeque::new()).collect();
    let mut driver =
        Driver { control, port, bell, commands, keeper, names, answers, outbox, is_over: false };
    while !driver.is_over {
        driver.round();
    }
    driver.publish();
}

struct Driver<B: Bell> {
    control: Control,
    port: MeshPort<Message>,
    bell: B,
    commands: Receiver<Command>,
    keeper: Option<KeeperPort>,
    names: SyncSender<Name>,
    answers: Receiver<Resolved>,
    /// Messages that found their queue full, by shard, in order.
    outbox: Vec<VecDeque<Message>>,
    is_over: bool,
}

/// A name to look up.
struct Name {
    id: u32,
    host: String,
    port: u16,
}

/// What it came to.
struct Resolved {
    id: u32,
    addresses: Result<Vec<SocketAddr>, String>,
}

impl<B: Bell> Driver<B> {
    /// Takes all that is there, then sleeps.
    fn round(&mut self) {
        let mut has_more = self.take_messages();
        has_more |= self.take_commands();
        while let Ok(Resolved { id, addresses }) = self.answers.try_recv() {
            self.handle(Input::Resolved { id, addresses });
        }
        let (now, _) = clocks();
        if self.control.deadline().is_some_and(|deadline| now >= deadline) {
            self.handle(Input::Tick);
        }
        self.publish();
        if has_more || self.is_over {
            return;
        }
        if self.port.sleep() {
            self.bell.wait(self.time_to_sleep());
        }
        self.port.awake();
    }

    fn take_messages(&mut self) -> bool {
        let (mut has_more, me) = (false, self.port.me());
        for from in (0..self.port.participants()).filter(|from| *from != me) {
            let mut messages = Vec::new();
            let count = self.port.receive(from, MESSAGES_PER_ROUND_MAX, |m| messages.push(m));
            has_more |= count == MESSAGES_PER_ROUND_MAX;
            for message in messages {
                self.handle(Input::Message { from: ShardId(from as u16), message });
            }
        }
        has_more
    }

    fn take_commands(&mut self) -> bool {
        match self.commands.try_recv() {
            Ok(command) => {
                self.handle(match command {
                    Command::Reload(config) => Input::Reload(config),
                    Command::Tls(tls) => Input::Tls(tls),
                    Command::Drain => Input::Drain,
                    Command::Kept(done) => Input::Kept(done),
                    Command::EventCounters(counters) => Input::EventCounters(counters),
                    Command::LogCounters { written, lost } => Input::LogCounters { written, lost },
                });
                true
            }
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => false,
        }
    }

    fn handle(&mut self, input: Input) {
        let (now, wall_clock) = clocks();
        self.control.handle(now, wall_clock, input);
        while let Some(output) = self.control.poll() {
            match output {
                Output::Send { to, message } => self.send(to.index(), message),
                Output::Resolve { id, host, port } => self.look_up(Name { id, host, port }),
                Output::Keep(order) => {
                    let refused = match &self.keeper {
                        Some(keeper) => keeper.order(order).err(),
                        None => Some(order),
                    };
                    if let Some(done) = refused.and_then(Order::refused) {
                        self.control.handle(now, wall_clock, Input::Kept(done));
                    }
                }
                Output::Finished => self.is_over = true,
            }
        }
    }

    fn send(&mut self, to: usize, message: Message) {
        let waiting = &mut self.outbox[to];
        let refused = match waiting.is_empty() {
            true => self.port.send(to, message).err(),
            false => Some(message),
        };
        if let Some(message) = refused {
            assert!(waiting.len() < OUTBOX_MAX, "shard {to} takes no messages");
            waiting.push_back(message);
        }
    }

    /// Makes this round's messages visible, and tries again what waits.
    fn publish(&mut self) {
        for (to, waiting) in self.outbox.iter_mut().enumerate() {
            while let Some(message) = waiting.pop_front() {
                if let Err(message) = self.port.send(to, message) {
                    waiting.push_front(message);
                    break;
                }
            }
        }
        let bell = &self.bell;
        self.port.publish(|shard| bell.ring(shard));
    }

    fn look_up(&mut self, name: Name) {
        if let Err(TrySendError::Full(name) | TrySendError::Disconnected(name)) =
            self.names.try_send(name)
        {
            // It fails by its own deadline, and is tried again later.
            tracing::error!(host = name.host, "the resolver takes no more names");
        }
    }

    fn time_to_sleep(&self) -> Option<Duration> {
        if self.outbox.iter().any(|waiting| !waiting.is_empty()) {
            return Some(RETRY);
        }
        let (now, _) = clocks();
        self.control.deadline().map(|deadline| deadline.saturating_duration_since(now))
    }
}

/// Starts the thread that looks names up. It ends with the driver.
fn start_resolver(bell: impl Bell) -> (SyncSender<Name>, Receiver<Resolved>) {
    let (names, to_resolve) = std::sync::mpsc::sync_channel::<Name>(NAMES_MAX);
    let (resolved, answers) = std::sync::mpsc::channel();
    std::thread::Builder::new()
        .name("resolver".to_owned())
        .spawn(move || resolve_names(&to_resolve, &resolved, &bell))
        .expect("a thread for the resolver");
    (names, answers)
}

fn resolve_names(names: &Receiver<Name>, resolved: &Sender<Resolved>, bell: &impl Bell) {
    while let Ok(Name { id, host, port }) = names.recv() {
        let addresses = (host.as_str(), port).to_socket_addrs();
        let addresses = addresses.map(Iterator::collect).map_err(|error| error.to_string());
        if resolved.send(Resolved { id, addresses }).is_err() {
            return;
        }
        bell.ring_control();
    }
}

/// The monotonic clock, and the time since the Unix epoch.
#[allow(clippy::disallowed_methods, reason = "this thread is the control plane's clock")]
fn clocks() -> (Instant, Duration) {
    let wall_clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    (Instant::now(), wall_clock)
}

#[cfg(test)]
mod tests;
