//! What the shards of a process share: everybody's doorbell.
//!
//! A shard rings a sibling with one `MSG_RING` entry into the sibling's ring, and the control plane
//! with one write to its eventfd. The control plane has no ring: it writes to the eventfd of the
//! shard, on which the shard's ring keeps a poll.
//!
//! *Invariant:* a published ring descriptor stays open as long as the group lives, so its number
//! never means another file, and ringing a shard that is gone does nothing.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use shards_runtime::ShardId;

use crate::{RingConfig, UringIo};

/// The participants of one process: its shards, and the control plane as the last.
#[derive(Clone, Debug)]
pub struct RingGroup {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    participants: Vec<Participant>,
}

#[derive(Debug)]
struct Participant {
    /// A duplicate of the ring's descriptor, from when the shard has opened.
    ring: OnceLock<OwnedFd>,
    /// Rung by the control plane; for the last participant, by everybody.
    bell: OwnedFd,
}

impl RingGroup {
    /// A group of `participants` minus one shards and the control plane.
    ///
    /// # Errors
    /// When the process has no descriptors left.
    ///
    /// # Panics
    /// When there is not at least one shard.
    pub fn new(participants: usize) -> io::Result<Self> {
        assert!(participants >= 2, "one shard and the control plane at least");
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let participants = (0..participants)
            .map(|_| Ok(Participant { ring: OnceLock::new(), bell: eventfd(0, flags)? }))
            .collect::<io::Result<_>>()?;
        Ok(RingGroup { shared: Arc::new(Shared { participants }) })
    }

    /// Opens the machine of one shard. To be called on the thread that runs it: the ring belongs
    /// to that thread.
    ///
    /// # Errors
    /// What the kernel refused; [`UringIo::probe`] says more.
    ///
    /// # Panics
    /// When `shard` is the control plane, not in the group, or opened already.
    pub fn open(&self, shard: ShardId, config: RingConfig) -> io::Result<UringIo> {
        assert!(shard.index() < self.control_index(), "a shard of this group");
        UringIo::open(self.clone(), shard, &config)
    }

    /// The control plane's end.
    #[must_use]
    pub fn control(&self) -> ControlBell {
        ControlBell { group: self.clone() }
    }

    pub(crate) fn publish(&self, shard: ShardId, ring: BorrowedFd<'_>) -> io::Result<()> {
        let fresh = self.shared.participants[shard.index()].ring.set(ring.try_clone_to_owned()?);
        assert!(fresh.is_ok(), "a shard opens once");
        Ok(())
    }

    /// The ring of a shard that has opened.
    pub(crate) fn ring(&self, shard: ShardId) -> Option<RawFd> {
        let participant = self.shared.participants.get(shard.index())?;
        participant.ring.get().map(|ring| ring.as_raw_fd())
    }

    pub(crate) fn is_control(&self, participant: ShardId) -> bool {
        participant.index() == self.control_index()
    }

    pub(crate) fn bell(&self, participant: ShardId) -> RawFd {
        self.shared.participants[participant.index()].bell.as_raw_fd()
    }

    fn control_index(&self) -> usize {
        self.shared.participants.len() - 1
    }
}

/// The control plane's end of the doorbells; may be used from any thread.
#[derive(Clone, Debug)]
pub struct ControlBell {
    group: RingGroup,
}

impl ControlBell {
    /// Blocks until a shard has rung since the last call, or `timeout` has passed (`None`: for
    /// ever). May return early.
    pub fn wait(&self, timeout: Option<Duration>) {
        let bell = self.bell();
        let timeout = timeout.and_then(|time| Timespec::try_from(time).ok());
        let mut polled = [PollFd::from_borrowed_fd(bell, PollFlags::IN)];
        // A signal ends it early, which is allowed.
        if poll(&mut polled, timeout.as_ref()).is_ok() {
            let _ = rustix::io::read(bell, &mut [0; 8]);
        }
    }

    /// Wakes a shard that sleeps in its `wait`. Ringing one that has not opened yet is remembered,
    /// one that is gone is nothing.
    pub fn ring(&self, shard: ShardId) {
        if let Some(participant) = self.group.shared.participants.get(shard.index()) {
            // It fails only when the counter is full, and then the shard has been rung.
            let _ = rustix::io::write(&participant.bell, &1u64.to_ne_bytes());
        }
    }

    /// Wakes whoever sleeps in [`ControlBell::wait`]: for a signal handler's thread.
    pub fn ring_control(&self) {
        self.ring(ShardId(self.group.control_index() as u16));
    }

    fn bell(&self) -> BorrowedFd<'_> {
        self.group.shared.participants[self.group.control_index()].bell.as_fd()
    }
}
