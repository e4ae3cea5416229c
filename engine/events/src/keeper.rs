//! The thread that does with files what nobody else may wait for: it writes the log of events,
//! hands them to webhooks, and removes recordings.
//!
//! Invariant: what waits for it is bounded; who finds it busy is told so.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};

use crate::happening::Happening;
use crate::journal::{Journal, JournalSettings};
use crate::webhook::{Counts, EventCounters, Webhook, WebhookSettings};

/// Orders that may wait.
const ORDERS_MAX: usize = 1_024;

/// What the keeper is asked for.
#[derive(Debug)]
pub enum Order {
    /// Write it down, and tell webhooks.
    Note(Arc<Happening>),
    /// Remove a file and its index, and say what came of it.
    Remove {
        /// Number to answer with.
        request: u32,
        /// The file's path below the folder, from the catalog.
        path: String,
    },
}

impl Order {
    /// What its asker is told where it cannot be done; nobody asks for a note.
    #[must_use]
    pub fn refused(self) -> Option<Done> {
        match self {
            Order::Note(_) => None,
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
pub struct KeeperPort {
    orders: SyncSender<Order>,
    counts: Arc<Counts>,
}

impl KeeperPort {
    /// Gives an order, without waiting.
    ///
    /// # Errors
    /// It is given back: too many wait, or the thread has ended.
    pub fn order(&self, order: Order) -> Result<(), Order> {
        self.orders.try_send(order).map_err(|error| match error {
            TrySendError::Full(order) | TrySendError::Disconnected(order) => {
                let is_note = matches!(order, Order::Note(_));
                self.counts.log_lost.fetch_add(u64::from(is_note), Ordering::Relaxed);
                order
            }
        })
    }
}

/// What it works with.
#[derive(Debug, Default)]
pub struct KeeperSettings {
    /// The folder of recordings, where there is one.
    pub recordings: Option<PathBuf>,
    /// The log of events, where there is one.
    pub journal: Option<JournalSettings>,
    /// Who is told of events.
    pub webhooks: Vec<WebhookSettings>,
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
        let counts = Arc::new(Counts::default());
        let KeeperSettings { recordings, journal, webhooks } = settings;
        let start = |settings| Webhook::start(settings, counts.clone());
        let webhooks = webhooks.into_iter().map(start).collect::<Result<_, _>>()?;
        let journal = journal.map(Journal::new);
        let desk = Desk { recordings, journal, webhooks, counts: counts.clone() };
        let run = move || desk.work(&received, tell);
        let thread = thread::Builder::new().name("keeper".into()).spawn(run)?;
        Ok(Keeper { port: KeeperPort { orders, counts }, thread })
    }

    /// Where its orders are put.
    #[must_use]
    pub fn port(&self) -> KeeperPort {
        self.port.clone()
    }

    /// What it has counted so far.
    #[must_use]
    pub fn counters(&self) -> EventCounters {
        self.port.counts.read()
    }

    /// Waits for what was ordered, once all other ports are gone. What webhooks have not taken by
    /// then is lost.
    pub fn stop(self) {
        let Keeper { port, thread } = self;
        drop(port);
        if thread.join().is_err() {
            tracing::error!("the keeper had died");
        }
    }
}

struct Desk {
    recordings: Option<PathBuf>,
    journal: Option<Journal>,
    webhooks: Vec<Webhook>,
    counts: Arc<Counts>,
}

impl Desk {
    fn work(mut self, orders: &Receiver<Order>, mut tell: impl FnMut(Done)) {
        while let Ok(order) = orders.recv() {
            match order {
                Order::Note(happening) => self.note(&happening),
                Order::Remove { request, path } => {
                    tell(Done::Removed { request, result: self.remove(&path) });
                }
            }
        }
    }

    fn note(&mut self, happening: &Arc<Happening>) {
        self.webhooks.iter().for_each(|webhook| webhook.tell(happening));
        let Some(journal) = &mut self.journal else { return };
        let is_written = journal.write(&happening.envelope());
        let count = if is_written { &self.counts.logged } else { &self.counts.log_lost };
        count.fetch_add(1, Ordering::Relaxed);
    }

    fn remove(&self, path: &str) -> Result<(), String> {
        let Some(folder) = &self.recordings else { return Err("nothing is recorded".into()) };
        // It is an entry of the catalog; this holds whatever that has become.
        let is_plain =
            |part: &str| !part.is_empty() && !part.starts_with('.') && !part.contains('\0');
        if !path.split('/').all(is_plain) {
            return Err("this is no recording".into());
        }
        let file = folder.join(path);
        let gone = |result: std::io::Result<()>| match result {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error.kind().to_string())
            }
            _ => Ok(()),
        };
        gone(fs::remove_file(&file))?;
        gone(fs::remove_file(format!("{}.json", file.display())))
    }
}
