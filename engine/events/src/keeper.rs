//! The thread that does with files what nobody else may wait for.
//!
//! Invariant: what waits for it is bounded; who finds it busy is told so.

use std::fs;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};

/// Orders that may wait.
const ORDERS_MAX: usize = 1_024;

/// What the keeper is asked for.
#[derive(Debug)]
pub enum Order {
    /// Remove a file and its index, and say what came of it.
    Remove {
        /// Number to answer with.
        request: u32,
        /// The file's path below the folder, from the catalog.
        path: String,
    },
}

impl Order {
    /// What its asker is told where it cannot be done.
    #[must_use]
    pub fn refused(self) -> Option<Done> {
        match self {
            Order::Remove { request, .. } => {
                Some(Done::Removed { request, result: Err("too much is being done".into()) })
            }
        }
    }
}

/// What it has to say.
#[derive(Debug)]
pub enum Done {
    /// To [`Order::Remove`].
    Removed {
        /// The order's number.
        request: u32,
        /// Whether it is gone, or why not.
        result: Result<(), String>,
    },
}

/// Where orders are put.
#[derive(Clone, Debug)]
pub struct KeeperPort(SyncSender<Order>);

impl KeeperPort {
    /// Gives an order, without waiting.
    ///
    /// # Errors
    /// It is given back: too many wait, or the thread has ended.
    pub fn order(&self, order: Order) -> Result<(), Order> {
        self.0.try_send(order).map_err(|error| match error {
            TrySendError::Full(order) | TrySendError::Disconnected(order) => order,
        })
    }
}

/// What it works with.
#[derive(Debug, Default)]
pub struct KeeperSettings {
    /// The folder of recordings, where there is one.
    pub recordings: Option<PathBuf>,
}

/// The thread, which ends when its ports are gone.
#[derive(Debug)]
pub struct Keeper {
    port: KeeperPort,
    thread: JoinHandle<()>,
}

impl Keeper {
    /// Starts it. `tell` is called on its thread, and must not wait.
    ///
    /// # Errors
    /// The system has no more threads.
    pub fn start(
        settings: KeeperSettings,
        tell: impl FnMut(Done) + Send + 'static,
    ) -> std::io::Result<Keeper> {
        let (orders, received) = sync_channel(ORDERS_MAX);
        let run = move || work(&settings, &received, tell);
        let thread = thread::Builder::new().name("keeper".into()).spawn(run)?;
        Ok(Keeper { port: KeeperPort(orders), thread })
    }

    /// Where its orders are put.
    #[must_use]
    pub fn port(&self) -> KeeperPort {
        self.port.clone()
    }

    /// Waits for what was ordered, once all other ports are gone.
    pub fn stop(self) {
        let Keeper { port, thread } = self;
        drop(port);
        if thread.join().is_err() {
            tracing::error!("the keeper had died");
        }
    }
}

fn work(settings: &KeeperSettings, orders: &Receiver<Order>, mut tell: impl FnMut(Done)) {
    while let Ok(order) = orders.recv() {
        match order {
            Order::Remove { request, path } => {
                tell(Done::Removed { request, result: remove(settings, &path) });
            }
        }
    }
}

fn remove(settings: &KeeperSettings, path: &str) -> Result<(), String> {
    let Some(folder) = &settings.recordings else { return Err("nothing is recorded".into()) };
    // It is an entry of the catalog; this holds whatever that has become.
    let is_plain = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.contains('\0');
    if !path.split('/').all(is_plain) {
        return Err("this is no recording".into());
    }
    let file = folder.join(path);
    let gone = |result: std::io::Result<()>| match result {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.kind().to_string()),
        _ => Ok(()),
    };
    gone(fs::remove_file(&file))?;
    gone(fs::remove_file(format!("{}.json", file.display())))
}
