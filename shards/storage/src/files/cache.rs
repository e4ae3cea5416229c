//! Which small files a shard remembers, and for how long: the policy alone, without a file.
//!
//! Second chance: files stand in a row in the order they came. Who needs room takes the first
//! that was not used since it was looked at last; one that was goes to the end of the row once
//! more.
//!
//! Invariants: the bytes and the count of what is remembered are at most the limits; a value that
//! is not fresh is never given out without being called stale.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// What bounds a [`FileCache`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct CacheLimits {
    pub bytes_max: usize,
    pub count_max: usize,
    pub fresh: Duration,
}

/// Values by name, with a cost and an age.
#[derive(Debug)]
pub(crate) struct FileCache<V> {
    entries: HashMap<Rc<str>, Entry<V>>,
    row: VecDeque<Rc<str>>,
    bytes: usize,
    limits: CacheLimits,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    bytes: usize,
    checked: Instant,
    was_used: bool,
}

/// What is known of a name.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Lookup<V> {
    Fresh(V),
    /// It has to be asked whether this is still so.
    Stale(V),
    Unknown,
}

impl<V: Clone> FileCache<V> {
    pub(crate) fn new(limits: CacheLimits) -> FileCache<V> {
        FileCache { entries: HashMap::new(), row: VecDeque::new(), bytes: 0, limits }
    }

    pub(crate) fn look_up(&mut self, name: &str, now: Instant) -> Lookup<V> {
        let Some(entry) = self.entries.get_mut(name) else { return Lookup::Unknown };
        entry.was_used = true;
        let value = entry.value.clone();
        match now.saturating_duration_since(entry.checked) < self.limits.fresh {
            true => Lookup::Fresh(value),
            false => Lookup::Stale(value),
        }
    }

    /// Remembers a value as of `now`, if it is not too large for the whole cache.
    pub(crate) fn put(&mut self, name: &str, value: V, bytes: usize, now: Instant) {
        self.forget(name);
        if bytes > self.limits.bytes_max || self.limits.count_max == 0 {
            return;
        }
        self.make_room(bytes);
        let name: Rc<str> = name.into();
        self.row.push_back(Rc::clone(&name));
        self.entries.insert(name, Entry { value, bytes, checked: now, was_used: false });
        self.bytes += bytes;
    }

    /// It was asked, and is still so.
    pub(crate) fn confirm(&mut self, name: &str, now: Instant) {
        if let Some(entry) = self.entries.get_mut(name) {
            entry.checked = now;
        }
    }

    pub(crate) fn forget(&mut self, name: &str) {
        if let Some(entry) = self.entries.remove(name) {
            self.bytes -= entry.bytes;
            self.row.retain(|other| &**other != name);
        }
    }

    fn make_room(&mut self, bytes: usize) {
        // Each entry is passed over once at most.
        while self.bytes + bytes > self.limits.bytes_max
            || self.entries.len() >= self.limits.count_max
        {
            let name = self.row.pop_front().expect("what takes room stands in the row");
            let entry = self.entries.get_mut(&name).expect("the row has no other names");
            if std::mem::take(&mut entry.was_used) {
                self.row.push_back(name);
            } else {
                self.bytes -= entry.bytes;
                self.entries.remove(&name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "some instant to count from")]

    use super::*;

    const LIMITS: CacheLimits =
        CacheLimits { bytes_max: 100, count_max: 3, fresh: Duration::from_secs(1) };

    #[test]
    fn a_value_is_fresh_for_a_while_and_then_has_to_be_confirmed() {
        let begin = Instant::now();
        let mut cache = FileCache::new(LIMITS);
        cache.put("a", 1, 10, begin);
        let soon = begin + Duration::from_millis(999);
        let later = begin + Duration::from_secs(1);
        assert_eq!(cache.look_up("a", soon), Lookup::Fresh(1));
        assert_eq!(cache.look_up("a", later), Lookup::Stale(1));
        cache.confirm("a", later);
        assert_eq!(cache.look_up("a", later), Lookup::Fresh(1));
        cache.forget("a");
        assert_eq!(cache.look_up("a", later), Lookup::Unknown);
    }

    #[test]
    fn who_was_not_used_goes_first() {
        let now = Instant::now();
        let mut cache = FileCache::new(LIMITS);
        cache.put("a", 1, 10, now);
        cache.put("b", 2, 10, now);
        cache.put("c", 3, 10, now);
        assert_eq!(cache.look_up("a", now), Lookup::Fresh(1));
        cache.put("d", 4, 10, now);
        assert_eq!(cache.look_up("b", now), Lookup::Unknown);
        assert_eq!(cache.look_up("a", now), Lookup::Fresh(1));
        cache.put("e", 5, 90, now);
        assert_eq!(cache.look_up("e", now), Lookup::Fresh(5));
        assert!(cache.bytes <= 100 && cache.entries.len() <= 3);
    }

    #[test]
    fn the_bounds_hold_whatever_is_put_and_used() {
        let now = Instant::now();
        let mut cache = FileCache::new(LIMITS);
        let mut state = 1_u64;
        for _ in 0..10_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let name = format!("{}", state >> 60);
            let bytes = (state >> 40) as usize % 120;
            match state >> 33 & 3 {
                0 => _ = cache.look_up(&name, now),
                1 => cache.forget(&name),
                _ => cache.put(&name, 0, bytes, now),
            }
            let sum: usize = cache.entries.values().map(|entry| entry.bytes).sum();
            assert_eq!(cache.bytes, sum);
            assert_eq!(cache.row.len(), cache.entries.len());
            assert!(cache.bytes <= 100 && cache.entries.len() <= 3);
        }
    }
}
