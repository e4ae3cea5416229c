//! Datagram sockets that the ring's own table has no room for. The kernel lets that table be no
//! larger than `RLIMIT_NOFILE`, but it does not count as open files what is in it: so there are as
//! many descriptors again, of the ordinary kind, and some of them are used here. Their slots are
//! numbered behind the table's.
//!
//! *Invariant:* a slot has a descriptor from when it was given out until its close is asked for of
//! the kernel, which is then the descriptor's owner.

use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd, RawFd};

/// The slots behind the table.
pub(crate) struct Overflow {
    /// The table's length.
    first: u32,
    files: Vec<Option<OwnedFd>>,
    free: Vec<u32>,
    count_max: u32,
}

impl Overflow {
    pub(crate) fn new(first: u32, count_max: u32) -> Self {
        Overflow { first, files: Vec::new(), free: Vec::new(), count_max }
    }

    /// Keeps a file; none when there are too many, and then the file is closed.
    pub(crate) fn take_in(&mut self, file: OwnedFd) -> Option<u32> {
        let index = match self.free.pop() {
            Some(index) => index,
            None if self.files.len() < self.count_max as usize => {
                self.files.push(None);
                self.files.len() as u32 - 1
            }
            None => return None,
        };
        self.files[index as usize] = Some(file);
        Some(self.first + index)
    }

    /// The descriptor in a slot; none for slots of the table.
    pub(crate) fn descriptor(&self, slot: u32) -> Option<RawFd> {
        let index = slot.checked_sub(self.first)?;
        self.files.get(index as usize)?.as_ref().map(AsRawFd::as_raw_fd)
    }

    /// Gives the descriptor away, to be closed.
    pub(crate) fn give_away(&mut self, slot: u32) -> Option<RawFd> {
        let index = slot.checked_sub(self.first)?;
        self.files.get_mut(index as usize)?.take().map(IntoRawFd::into_raw_fd)
    }

    /// The slot's close is done.
    pub(crate) fn release(&mut self, slot: u32) {
        if let Some(index) = slot.checked_sub(self.first) {
            self.free.push(index);
        }
    }
}
