//! What is said to all shards at once: by a thread of the program, or by a handler on one of them.
//!
//! Each shard has the program's state for itself, so what concerns them all is a function that
//! every shard runs on its own:
//!
//! ```no_run
//! # use engine_http::Everyone;
//! # struct State { everyone: Everyone<State>, title: String }
//! fn set_title(state: &State, title: String) {
//!     state.everyone.run(move |state| state.title.clone_from(&title));
//! }
//! ```

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use protocol_tls::ServerConfig;
use shards_ring::Control as Plane;
use shards_runtime::ShardId;

use crate::limits::ORDERS_MAX;
use crate::mail::{Letter, Mail};

/// What every shard does with its state.
type Task<S> = Arc<dyn Fn(&mut S) + Send + Sync>;

/// What shards are told, by each other and by [`Control`].
pub struct Order<S>(pub(crate) Kind<S>);

pub(crate) enum Kind<S> {
    Run(Task<S>),
    /// From now on, for new connections.
    Tls(Arc<ServerConfig>),
    /// From one shard to another.
    Letter(Letter<S>),
}

/// All shards, as a handler on one of them sees them: to be kept in the shard's state.
pub struct Everyone<S>(Rc<RefCell<Orders<S>>>);

/// What waits to be said at the end of the tick.
pub(crate) struct Orders<S> {
    waiting: VecDeque<Task<S>>,
    refused_count: u64,
    mail: Mail<S>,
}

/// A running site, as a thread of the program sees it.
pub struct Control<S>(pub(crate) Plane<Order<S>>);

impl<S> Everyone<S> {
    /// As the shard of this number, of so many, sees them.
    pub(crate) fn new((me, shards_count): (ShardId, usize), now: Instant) -> Everyone<S> {
        let mail = Mail { me, shards_count, now, letters: VecDeque::new() };
        let orders = Orders { waiting: VecDeque::new(), refused_count: 0, mail };
        Everyone(Rc::new(RefCell::new(orders)))
    }

    pub(crate) fn with_mail<T>(&self, with: impl FnOnce(&mut Mail<S>) -> T) -> T {
        with(&mut self.0.borrow_mut().mail)
    }

    /// Has every shard run this on its state, this one too: here at the end of the tick, there soon
    /// after. What one shard has said arrives everywhere in its order.
    ///
    /// False, and nobody runs it: as much as may wait waits already.
    pub fn run(&self, task: impl Fn(&mut S) + Send + Sync + 'static) -> bool {
        let mut orders = self.0.borrow_mut();
        if orders.waiting.len() >= ORDERS_MAX {
            orders.refused_count += 1;
            return false;
        }
        orders.waiting.push_back(Arc::new(task));
        true
    }

    pub(crate) fn next(&self) -> Option<Task<S>> {
        self.0.borrow_mut().waiting.pop_front()
    }

    pub(crate) fn waiting_count(&self) -> usize {
        self.0.borrow().waiting.len()
    }

    pub(crate) fn refused_count(&self) -> u64 {
        self.0.borrow().refused_count
    }
}

impl<S> Control<S> {
    /// Has every shard run this on its state. It waits for shards that have much to read.
    ///
    /// # Errors
    /// A shard has taken nothing for ten seconds.
    pub fn run(&mut self, task: impl Fn(&mut S) + Send + Sync + 'static) -> io::Result<()> {
        let task: Task<S> = Arc::new(task);
        self.0.tell(|| Order(Kind::Run(Arc::clone(&task))))
    }

    /// Gives connections that come from now on these certificates; those that are open keep what
    /// they have. Make it with [`crate::tls_of`] of the one before it, so that its tickets still
    /// open.
    ///
    /// # Errors
    /// As [`Control::run`].
    pub fn set_tls(&mut self, config: Arc<ServerConfig>) -> io::Result<()> {
        self.0.tell(|| Order(Kind::Tls(Arc::clone(&config))))
    }
}

// None of these is derived: that would ask the same of `S`.
impl<S> Clone for Everyone<S> {
    fn clone(&self) -> Everyone<S> {
        Everyone(Rc::clone(&self.0))
    }
}

impl<S> fmt::Debug for Order<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::Run(_) => "Run",
            Kind::Letter(_) => "Letter",
            Kind::Tls(_) => "Tls",
        })
    }
}

impl<S> fmt::Debug for Everyone<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Everyone").field("waiting_count", &self.waiting_count()).finish()
    }
}

impl<S> fmt::Debug for Control<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Control")
    }
}
