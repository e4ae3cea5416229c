//! Listeners: how many a mount has, whether one more may come, and where to.
//!
//! Two counts are kept and the larger one holds: listeners let in one by one (exact, told by each
//! [`engine_node::Message::Left`]), and listeners at home by the shards' reports (all of them, up
//! to a second old). When nobody was let in for a while the first is set right by the second, so
//! that an answer that was lost with its connection does not keep a place for ever.

use std::time::Duration;

use engine_node::{MountId, Verdict};
use shards_runtime::ShardId;

use crate::control::{Asker, Control};
use crate::directory::{FALLBACK_HOPS_MAX, MountState};

/// Longer than a listener waits for its mount to come up, and than its shard takes to report it.
const RECOUNT_AFTER: Duration = Duration::from_secs(20);

/// Where a listener who asked for a mount is to go.
enum Place {
    /// At home here.
    At(MountId),
    /// It and its fallbacks are full.
    Full,
    /// It is not up, and nothing will bring it up.
    Down,
}

impl Control {
    /// Lets a listener in, or not.
    pub(crate) fn admit(&mut self, asker: Asker, asked: MountId, agent: Option<String>) {
        let name = self.directory.get(asked).map(|mount| mount.name.to_string());
        let (name, agent) = (name.unwrap_or_default(), agent.unwrap_or_default());
        match self.place_for(asked) {
            Place::At(home) => {
                let now = self.now;
                let mount = self.directory.get_mut(home).expect("a place is a mount");
                mount.admitted += 1;
                mount.admitted_at = Some(now);
                self.pulls_due = true;
                self.answer(asker, Verdict::Admitted(home));
            }
            Place::Full => {
                tracing::info!(mount = name, agent, "listener refused: the mount is full");
                let answer = self.answers().listeners_full();
                self.answer(asker, Verdict::ListenerRefused(answer));
            }
            Place::Down => {
                tracing::debug!(mount = name, agent, "listener refused: the mount is not up");
                let answer = self.answers().not_found();
                self.answer(asker, Verdict::ListenerRefused(answer));
            }
        }
    }

    /// A listener that was let in has left.
    pub(crate) fn listener_left(&mut self, from: ShardId, mount: MountId) {
        self.reports.left(from, mount);
        self.pulls_due = true;
        if let Some(mount) = self.directory.get_mut(mount) {
            mount.admitted = mount.admitted.saturating_sub(1);
        }
    }

    /// Listeners at home on a mount, those included who wait for it to come up.
    pub(crate) fn listeners_count(&self, mount: &MountState) -> u64 {
        mount.admitted.max(self.reports.at_home(mount.id))
    }

    /// Listeners of one mount are at home on another from now on.
    pub(crate) fn move_admitted(&mut self, from: MountId, to: MountId) {
        let moved = self.directory.get_mut(from).map(|mount| std::mem::take(&mut mount.admitted));
        let now = self.now;
        if let Some(mount) = self.directory.get_mut(to)
            && let Some(moved @ 1..) = moved
        {
            mount.admitted += moved;
            mount.admitted_at = Some(now);
        }
    }

    /// Sets counts of those let in right where they must be settled by now.
    pub(crate) fn recount_listeners(&mut self) {
        if !self.reports.is_complete() {
            return;
        }
        let settled = |mount: &&MountState| {
            let at = mount.admitted_at;
            mount.admitted > 0 && at.is_none_or(|at| self.now >= at + RECOUNT_AFTER)
        };
        let wrong = |mount: &MountState| {
            let at_home = self.reports.at_home(mount.id);
            (mount.admitted > at_home).then_some((mount.id, at_home))
        };
        let wrong: Vec<_> = self.directory.iter().filter(settled).filter_map(wrong).collect();
        for (id, at_home) in wrong {
            self.directory.get_mut(id).expect("listed above").admitted = at_home;
            self.pulls_due = true;
        }
    }

    fn place_for(&self, asked: MountId) -> Place {
        let mut next = self.directory.get(asked);
        let mut full_count = 0;
        while let Some(mount) = next {
            let limit = mount.settings.listeners_max.map(u64::from);
            if limit.is_none_or(|limit| self.listeners_count(mount) < limit) {
                return match self.can_be_heard(mount) {
                    true => Place::At(mount.id),
                    false if full_count > 0 => Place::Full,
                    false => Place::Down,
                };
            }
            full_count += 1;
            if !mount.settings.fallback_when_full || full_count > FALLBACK_HOPS_MAX {
                break;
            }
            next = mount.fallback.as_deref().and_then(|name| self.directory.find(name));
        }
        if full_count > 0 { Place::Full } else { Place::Down }
    }

    /// Whether a mount, or a fallback of it, runs, or will run because somebody listens.
    fn can_be_heard(&self, mount: &MountState) -> bool {
        if self.directory.route(mount.id).is_some() {
            return true;
        }
        let will_run = |mount: &&MountState| mount.is_on_demand();
        self.drain.is_none() && self.directory.chain(mount.id).iter().any(will_run)
    }
}
