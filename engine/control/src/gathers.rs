//! Requests that need an answer of every shard: who listens, and putting one listener out.
//!
//! A listener is put out only when the list of the named mount has it: whoever may administer one
//! mount has no hand on another's listeners.
//!
//! *Invariant:* a gather ends at its deadline with what is there.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use engine_node::{ListenerRow, Message, MountId};
use shards_runtime::ShardId;

use crate::control::{Asker, Control};

/// How long shards have for their answers.
const GATHER_MAX: Duration = Duration::from_secs(2);
/// How many may be under way.
const GATHERS_COUNT_MAX: usize = 256;

/// One request under way.
pub(crate) struct Gather {
    asker: Asker,
    wish: Wish,
    mount: MountId,
    mount_name: String,
    /// Shards that have not answered.
    missing: BTreeSet<ShardId>,
    rows: Vec<ListenerRow>,
    pub(crate) until: Instant,
}

/// What for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wish {
    /// The list, as XML or as a page.
    List { as_page: bool },
    /// This listener is to go; `at`: the shard that has been told so.
    Kill { id: u64, at: Option<ShardId>, as_page: bool },
}

impl Control {
    /// Asks every shard for its listeners of a mount.
    pub(crate) fn gather(&mut self, asker: Asker, mount: MountId, name: &str, wish: Wish) {
        if self.gathers.len() >= GATHERS_COUNT_MAX {
            let answer = self.answers().busy();
            self.answer_bytes(asker, 503, answer);
            return;
        }
        self.gather_numbers = self.gather_numbers.wrapping_add(1);
        let request = self.gather_numbers;
        let shards = (0..self.setup.shards_count).map(|shard| ShardId(shard as u16));
        let missing = shards.filter(|shard| self.is_listening(*shard)).collect();
        let (mount_name, until) = (name.to_owned(), self.now + GATHER_MAX);
        let gather = Gather { asker, wish, mount, mount_name, missing, rows: Vec::new(), until };
        self.gathers.insert(request, gather);
        self.broadcast(|| Message::ListListeners { request, mount });
    }

    /// A shard's listeners.
    pub(crate) fn listeners_listed(&mut self, from: ShardId, request: u32, rows: Vec<ListenerRow>) {
        let Some(gather) = self.gathers.get_mut(&request) else { return };
        gather.missing.remove(&from);
        let is_over = gather.missing.is_empty();
        match &mut gather.wish {
            Wish::List { .. } => gather.rows.extend(rows),
            Wish::Kill { id, at, .. } => {
                let id = *id;
                if at.is_none() && rows.iter().any(|row| row.id == id) {
                    *at = Some(from);
                    self.send(from, Message::KillListener { request, id });
                    return;
                }
                if at.is_some() {
                    return;
                }
            }
        }
        if is_over {
            self.end_gather(request, false);
        }
    }

    /// A shard put a listener out, or has it no more.
    pub(crate) fn listener_killed(&mut self, request: u32, found: bool) {
        self.end_gather(request, found);
    }

    /// A shard will not answer any more.
    pub(crate) fn gathers_without(&mut self, shard: ShardId) {
        let waiting = |gather: &Gather| gather.missing.contains(&shard);
        let requests = self.gathers.iter().filter(|(_, gather)| waiting(gather));
        for request in requests.map(|(request, _)| *request).collect::<Vec<_>>() {
            self.listeners_listed(shard, request, Vec::new());
        }
    }

    pub(crate) fn expire_gathers(&mut self) {
        let now = self.now;
        let due = self.gathers.iter().filter(|(_, gather)| now >= gather.until);
        for request in due.map(|(request, _)| *request).collect::<Vec<_>>() {
            let gather = &self.gathers[&request];
            let (mount, missing) = (&gather.mount_name, gather.missing.len());
            tracing::warn!(mount, missing, mount_id = gather.mount.0, "shards did not answer");
            self.end_gather(request, false);
        }
    }

    fn end_gather(&mut self, request: u32, was_killed: bool) {
        let Some(gather) = self.gathers.remove(&request) else { return };
        match gather.wish {
            Wish::List { as_page } => {
                self.answer_list(gather.asker, &gather.mount_name, &gather.rows, as_page);
            }
            Wish::Kill { id, as_page, .. } => {
                let mount = gather.mount_name;
                tracing::info!(mount, id, was_killed, "a listener was to be put out");
                let (message, done) = match was_killed {
                    true => (format!("Client {id} removed"), 1),
                    false => (format!("Client {id} not found"), 0),
                };
                self.answer_message(gather.asker, &message, done, as_page);
            }
        }
    }
}
