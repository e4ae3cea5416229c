//! What is in force from an offset on: a mount's preludes, a rendition's titles.
//!
//! Invariants: offsets rise strictly; at most `MAX` entries; the entry in force at the window's
//! oldest byte is kept, however old it is.

use std::collections::VecDeque;

/// Values, each in force from its offset until the next one's.
#[derive(Debug)]
pub(crate) struct Timeline<T, const MAX: usize> {
    entries: VecDeque<(u64, T)>,
}

impl<T, const MAX: usize> Timeline<T, MAX> {
    pub(crate) fn new() -> Self {
        Timeline { entries: VecDeque::new() }
    }

    /// Puts `value` in force from `from_offset` on, in place of whatever was announced for there
    /// or later. Returns the offset before which nothing is known any more, when the bound made
    /// the oldest entry go.
    pub(crate) fn set(&mut self, from_offset: u64, value: T) -> Option<u64> {
        while self.entries.back().is_some_and(|(from, _)| *from >= from_offset) {
            self.entries.pop_back();
        }
        self.entries.push_back((from_offset, value));
        if self.entries.len() <= MAX {
            return None;
        }
        self.entries.pop_front();
        self.entries.front().map(|(from, _)| *from)
    }

    /// What is in force at an offset.
    pub(crate) fn at(&self, offset: u64) -> Option<&T> {
        let after = self.entries.partition_point(|(from, _)| *from <= offset);
        after.checked_sub(1).map(|index| &self.entries[index].1)
    }

    /// Forgets what is no longer in force at `oldest` or later.
    pub(crate) fn forget_before(&mut self, oldest: u64) {
        while self.entries.get(1).is_some_and(|(from, _)| *from <= oldest) {
            self.entries.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Timeline;

    #[test]
    fn the_last_entry_at_or_before_an_offset_is_in_force() {
        let mut timeline = Timeline::<char, 8>::new();
        assert_eq!(timeline.at(0), None);
        timeline.set(10, 'a');
        timeline.set(20, 'b');
        assert_eq!(timeline.at(9), None);
        assert_eq!(timeline.at(10), Some(&'a'));
        assert_eq!(timeline.at(19), Some(&'a'));
        assert_eq!(timeline.at(20), Some(&'b'));
        timeline.forget_before(19);
        assert_eq!(timeline.at(19), Some(&'a'));
        timeline.forget_before(20);
        assert_eq!(timeline.at(19), None);
    }

    #[test]
    fn a_later_word_replaces_what_was_announced_for_there_or_after() {
        let mut timeline = Timeline::<char, 8>::new();
        timeline.set(10, 'a');
        timeline.set(20, 'b');
        timeline.set(20, 'c');
        assert_eq!(timeline.at(25), Some(&'c'));
        timeline.set(5, 'd');
        assert_eq!(timeline.at(25), Some(&'d'));
    }

    #[test]
    fn the_bound_drops_the_oldest_and_says_from_where_it_knows() {
        let mut timeline = Timeline::<char, 2>::new();
        assert_eq!(timeline.set(10, 'a'), None);
        assert_eq!(timeline.set(20, 'b'), None);
        assert_eq!(timeline.set(30, 'c'), Some(20));
        assert_eq!(timeline.at(19), None);
    }
}
