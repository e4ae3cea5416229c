//! What the shards report each second, added up.
//!
//! A shard's numbers for a session begin anew when its last listener of it left and another came;
//! [`Totals`] keep what was before. Listeners that left since the last report are told one by one
//! ([`engine_node::Message::Left`]), in order with the reports, and are taken off at once.

use std::collections::BTreeMap;

use engine_node::{Counters, HomeStats, MountId, SessionId, SessionStats, ShardStats};
use shards_runtime::ShardId;

/// The last report of each shard, and what they add up to.
pub(crate) struct Reports {
    shards: Vec<ShardReport>,
    totals: BTreeMap<SessionId, Totals>,
}

#[derive(Default)]
struct ShardReport {
    last: Option<Box<ShardStats>>,
    /// Listeners that left each mount since.
    left: BTreeMap<MountId, u64>,
}

/// What a session came to on all shards since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SessionSum {
    pub(crate) bytes_read: u64,
    pub(crate) bytes_sent: u64,
    pub(crate) slow_listeners: u64,
}

/// One session's numbers: of rows that are over, and the last row of each shard.
struct Totals {
    over: SessionSum,
    last: Vec<SessionSum>,
}

impl Reports {
    pub(crate) fn new(shards_count: usize) -> Self {
        let shards = (0..shards_count).map(|_| ShardReport::default()).collect();
        Reports { shards, totals: BTreeMap::new() }
    }

    /// A session began: its numbers are kept until [`Reports::forget`].
    pub(crate) fn begin(&mut self, session: SessionId) {
        let last = vec![SessionSum::default(); self.shards.len()];
        self.totals.insert(session, Totals { over: SessionSum::default(), last });
    }

    /// A session is over.
    pub(crate) fn forget(&mut self, session: SessionId) {
        self.totals.remove(&session);
    }

    /// Takes a shard's report.
    pub(crate) fn take(&mut self, from: ShardId, stats: Box<ShardStats>) {
        for (session, totals) in &mut self.totals {
            // The shard lists its sessions by number.
            let row = stats.sessions.binary_search_by_key(session, |row| row.session);
            totals.take(from.index(), row.ok().map(|row| &stats.sessions[row]));
        }
        let shard = &mut self.shards[from.index()];
        shard.left.clear();
        shard.last = Some(stats);
    }

    /// A listener left a mount.
    pub(crate) fn left(&mut self, from: ShardId, mount: MountId) {
        *self.shards[from.index()].left.entry(mount).or_default() += 1;
    }

    /// Listeners at home on a mount, as far as is known.
    pub(crate) fn at_home(&self, mount: MountId) -> u64 {
        self.shards.iter().map(|shard| shard.at_home(mount)).sum()
    }

    /// The most listeners at home on a mount since the report before the last one of `shard`, as
    /// far as is known.
    pub(crate) fn at_home_peak(&self, mount: MountId, shard: ShardId) -> u64 {
        let of = |(index, report): (usize, &ShardReport)| match index == shard.index() {
            true => report.home(mount).map_or(0, |home| home.listeners_peak),
            false => report.at_home(mount),
        };
        self.shards.iter().enumerate().map(of).sum()
    }

    /// Whether every shard has reported.
    pub(crate) fn is_complete(&self) -> bool {
        self.shards.iter().all(|shard| shard.last.is_some())
    }

    /// Connections of all kinds.
    pub(crate) fn clients_count(&self) -> u64 {
        self.last().map(|stats| stats.clients_count).sum()
    }

    /// All shards' counters, added up.
    pub(crate) fn counters(&self) -> Counters {
        let mut counters = Counters::default();
        self.last().for_each(|stats| counters.add(&stats.counters));
        counters
    }

    /// The last report of each shard that has made one.
    pub(crate) fn last(&self) -> impl Iterator<Item = &ShardStats> {
        self.shards.iter().filter_map(|shard| shard.last.as_deref())
    }

    /// What a session came to.
    pub(crate) fn session(&self, session: SessionId) -> SessionSum {
        let Some(totals) = self.totals.get(&session) else { return SessionSum::default() };
        totals.last.iter().fold(totals.over, |sum, row| sum.plus(*row))
    }
}

impl ShardReport {
    fn at_home(&self, mount: MountId) -> u64 {
        let left = self.left.get(&mount).copied().unwrap_or(0);
        self.home(mount).map_or(0, |home| home.listeners_count.saturating_sub(left))
    }

    fn home(&self, mount: MountId) -> Option<&HomeStats> {
        let homes = &self.last.as_ref()?.homes;
        // The shard lists its homes by mount number.
        let row = homes.binary_search_by_key(&mount, |home| home.mount).ok()?;
        Some(&homes[row])
    }
}

impl Totals {
    fn take(&mut self, shard: usize, row: Option<&SessionStats>) {
        let new = row.map_or(SessionSum::default(), |row| SessionSum {
            bytes_read: row.bytes_read,
            bytes_sent: row.bytes_sent,
            slow_listeners: row.slow_listeners,
        });
        let last = std::mem::replace(&mut self.last[shard], new);
        let began_anew = new.bytes_sent < last.bytes_sent
            || new.slow_listeners < last.slow_listeners
            || new.bytes_read < last.bytes_read;
        if began_anew {
            self.over = self.over.plus(last);
        }
    }
}

impl SessionSum {
    fn plus(self, other: SessionSum) -> SessionSum {
        SessionSum {
            bytes_read: self.bytes_read + other.bytes_read,
            bytes_sent: self.bytes_sent + other.bytes_sent,
            slow_listeners: self.slow_listeners + other.slow_listeners,
        }
    }
}
