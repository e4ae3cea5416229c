//! Who has how many allocations, here and at the servers beside this one; and each user's share of
//! the bandwidth.
//!
//! Several servers with one seed count a user's allocations together: each tells the others what
//! has changed ([`crate::Server::take_user_changes`]). What is granted at the same moment at two of
//! them, before either heard of the other's, may be more than the quota; nothing later is.
//!
//! Invariants: a user stands in `by_name` exactly while he has an allocation here; `elsewhere` and
//! `changes` hold no zeros, so all three are bounded by the allocations there are.

use crate::bucket::Bucket;
use crate::credentials::counted_name;
use std::collections::BTreeMap;
use std::time::Instant;

/// How many allocations a user has more, or fewer, at one server than when it last said so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserChange {
    /// The name that quotas count by.
    pub user: Box<[u8]>,
    /// How many more; below zero, fewer.
    pub change: i64,
}

#[derive(Default)]
pub(crate) struct Users {
    by_name: BTreeMap<Box<[u8]>, usize>,
    users: Vec<User>,
    free: Vec<usize>,
    /// Allocations at the other servers.
    elsewhere: BTreeMap<Box<[u8]>, i64>,
    /// What the others have not been told yet; none where there are no others.
    changes: Option<BTreeMap<Box<[u8]>, i64>>,
}

struct User {
    allocation_count: usize,
    bucket: Bucket,
}

impl Users {
    /// From here on, others are told.
    pub(crate) fn tell_others(&mut self) {
        self.changes.get_or_insert_default();
    }

    /// How many allocations the user behind a name has at all servers.
    pub(crate) fn count(&self, name: &[u8]) -> usize {
        let user = counted_name(name);
        let here = self.by_name.get(user).map_or(0, |at| self.users[*at].allocation_count);
        let elsewhere = self.elsewhere.get(user).copied().unwrap_or(0);
        here + usize::try_from(elsewhere).unwrap_or(0)
    }

    /// One allocation more; the answer is where the user stands.
    pub(crate) fn enter(&mut self, name: &[u8], now: Instant) -> usize {
        let user = counted_name(name);
        let index = self.by_name.get(user).copied().unwrap_or_else(|| {
            let fresh = User { allocation_count: 0, bucket: Bucket::full(now) };
            let index = match self.free.pop() {
                Some(index) => {
                    self.users[index] = fresh;
                    index
                }
                None => {
                    self.users.push(fresh);
                    self.users.len() - 1
                }
            };
            self.by_name.insert(user.into(), index);
            index
        });
        self.users[index].allocation_count += 1;
        self.note(user, 1);
        index
    }

    /// One allocation fewer.
    pub(crate) fn leave(&mut self, name: &[u8], index: usize) {
        let user = counted_name(name);
        self.users[index].allocation_count -= 1;
        if self.users[index].allocation_count == 0 {
            self.by_name.remove(user);
            self.free.push(index);
        }
        self.note(user, -1);
    }

    pub(crate) fn bucket(&mut self, index: usize) -> &mut Bucket {
        &mut self.users[index].bucket
    }

    pub(crate) fn take_changes(&mut self) -> Vec<UserChange> {
        let changes = self.changes.as_mut().map(std::mem::take).unwrap_or_default();
        changes.into_iter().map(|(user, change)| UserChange { user, change }).collect()
    }

    pub(crate) fn changed_elsewhere(&mut self, changes: &[UserChange]) {
        for UserChange { user, change } in changes {
            add(&mut self.elsewhere, user, *change);
        }
    }

    fn note(&mut self, user: &[u8], change: i64) {
        if let Some(changes) = &mut self.changes {
            add(changes, user, change);
        }
    }
}

fn add(counts: &mut BTreeMap<Box<[u8]>, i64>, user: &[u8], change: i64) {
    let count = counts.get(user).map_or(change, |count| count + change);
    if count == 0 {
        counts.remove(user);
    } else {
        counts.insert(user.into(), count);
    }
}
