//! The two queues shared with the kernel, and the one system call.
//!
//! *Invariant:* entries reach the kernel in the order they were pushed, and none is lost: what
//! does not fit in the submission queue waits in `backlog`.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

use io_uring::types::{SubmitArgs, Timespec};
use io_uring::{EnterFlags, IoUring, opcode, squeue};

use crate::config::RingConfig;
use crate::operations::user_data;

/// What the kernel said about one operation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event {
    pub(crate) user_data: u64,
    pub(crate) result: i32,
    pub(crate) flags: u32,
}

/// How long [`Kernel::enter`] may sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sleep {
    /// Not at all, but collect what is due.
    No,
    /// Until something is done.
    Forever,
    /// Until something is done, at most this long.
    For(Duration),
}

/// What a sleep may wait for besides the first event, so that one call brings several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gather {
    /// It ends at once with so many events.
    pub(crate) events_count: u32,
    /// It goes on for so long with fewer; then one ends it.
    pub(crate) time_us: u32,
}

impl Gather {
    /// The first event ends a sleep.
    pub(crate) const NOTHING: Gather = Gather { events_count: 1, time_us: 0 };
}

pub(crate) struct Kernel {
    ring: IoUring,
    backlog: VecDeque<squeue::Entry>,
    enters_count: u64,
}

impl Kernel {
    pub(crate) fn open(config: &RingConfig) -> io::Result<Self> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_submit_all()
            .setup_cqsize(config.completions_max.max(config.submissions_max))
            .build(config.submissions_max)?;
        ring.submitter().register_files_sparse(config.sockets_max)?;
        Ok(Kernel { ring, backlog: VecDeque::new(), enters_count: 0 })
    }

    pub(crate) fn ring(&self) -> &IoUring {
        &self.ring
    }

    pub(crate) fn enters_count(&self) -> u64 {
        self.enters_count
    }

    /// Queues an entry; when the queue is full, hands the queue over first.
    ///
    /// # Safety
    /// Memory that the entry names must stay valid, and be left alone where the kernel writes to
    /// it, until the event with the entry's user data has come without a promise of more.
    pub(crate) unsafe fn push(&mut self, entry: squeue::Entry) {
        if self.backlog.is_empty() {
            // SAFETY: the caller's promise is the one that `push` of the queue asks for.
            if unsafe { self.ring.submission().push(&entry) }.is_ok() {
                return;
            }
            self.submit();
            // SAFETY: as above.
            if unsafe { self.ring.submission().push(&entry) }.is_ok() {
                return;
            }
        }
        self.backlog.push_back(entry);
    }

    /// Whether so many entries more can be queued side by side, for one call to take them all; what
    /// is queued is handed over where that makes the room.
    pub(crate) fn has_room_for(&mut self, count: usize) -> bool {
        let has_room =
            |queue: &squeue::SubmissionQueue<'_>| queue.capacity() - queue.len() >= count;
        if self.backlog.is_empty() && !has_room(&self.ring.submission()) {
            self.submit();
        }
        self.backlog.is_empty() && has_room(&self.ring.submission())
    }

    /// Hands over what is queued and, in the same call, lets the kernel run what is due; no system
    /// call when nothing is queued. Whoever comes to collect then mostly finds the queue filled.
    pub(crate) fn submit(&mut self) {
        loop {
            self.refill();
            let queued = self.ring.submission().len();
            if queued == 0 {
                return;
            }
            self.call(queued, 0, EnterFlags::GETEVENTS, &SubmitArgs::new());
            if self.ring.submission().len() == queued {
                return;
            }
        }
    }

    /// Hands over what is queued and collects what is due, sleeping as allowed.
    pub(crate) fn enter(&mut self, sleep: Sleep) {
        self.enter_gathering(sleep, Gather::NOTHING);
    }

    /// As [`Kernel::enter`], but a sleep may wait for more than one event.
    pub(crate) fn enter_gathering(&mut self, sleep: Sleep, gather: Gather) {
        self.refill();
        let queued = self.ring.submission().len();
        let flags = EnterFlags::GETEVENTS;
        match sleep {
            Sleep::No => self.call(queued, 0, flags, &SubmitArgs::new()),
            Sleep::Forever => {
                let args = SubmitArgs::new().min_wait_usec(gather.time_us);
                self.call(queued, gather.events_count, flags, &args);
            }
            Sleep::For(time) => {
                // The kernel looks at the end of the sleep only when it has gathered.
                let gather_us = u128::from(gather.time_us).min(time.as_micros()) as u32;
                let events_count = if gather_us == 0 { 1 } else { gather.events_count };
                let time = Timespec::from(time);
                let args = SubmitArgs::new().min_wait_usec(gather_us).timespec(&time);
                self.call(queued, events_count, flags, &args);
            }
        }
    }

    /// Whether a sleep can gather events (Linux 6.12).
    pub(crate) fn can_gather(&self) -> bool {
        self.ring.params().is_feature_min_timeout()
    }

    /// Whether every event that the kernel has made is among those that can be taken.
    pub(crate) fn has_told_all(&mut self) -> bool {
        !self.ring.submission().cq_overflow()
    }

    /// Whether the kernel has taken every entry.
    pub(crate) fn is_handed_over(&mut self) -> bool {
        self.backlog.is_empty() && self.ring.submission().is_empty()
    }

    /// Whether something is queued, or events wait for room: [`Kernel::enter`] is needed although
    /// there are events to take.
    pub(crate) fn has_to_enter(&mut self) -> bool {
        let queue = self.ring.submission();
        !queue.is_empty() || queue.cq_overflow() || !self.backlog.is_empty()
    }

    /// Whether events are there to be taken.
    pub(crate) fn has_events(&mut self) -> bool {
        !self.ring.completion().is_empty()
    }

    /// Appends all events that are there.
    pub(crate) fn take(&mut self, events: &mut Vec<Event>) {
        events.extend(self.ring.completion().map(|entry| Event {
            user_data: entry.user_data(),
            result: entry.result(),
            flags: entry.flags(),
        }));
    }

    /// Puts a file into a free slot of the socket table, now, and answers which. Events of other
    /// operations that came meanwhile are appended; one of them may be what made the slot free.
    pub(crate) fn install(
        &mut self,
        file: BorrowedFd<'_>,
        others: &mut Vec<Event>,
    ) -> io::Result<u32> {
        let mut files: [RawFd; 1] = [file.as_raw_fd()];
        let slot = files.as_mut_ptr();
        // Offset -1 asks the kernel to choose a free slot and to write its number into the list.
        let entry = opcode::FilesUpdate::new(slot, 1).offset(-1).build();
        // SAFETY: `files` outlives the loop below, which ends only with this entry's event; until
        // then nothing touches it but the kernel.
        unsafe { self.push(entry.user_data(user_data::INSTALL)) };
        let mut sleep = Sleep::No;
        loop {
            self.enter(sleep);
            self.take(others);
            let found = others.iter().position(|event| event.user_data == user_data::INSTALL);
            match found.map(|at| others.remove(at).result) {
                None => sleep = Sleep::Forever,
                Some(code) if code < 0 => return Err(io::Error::from_raw_os_error(-code)),
                // SAFETY: the kernel is done with `files`, which is still alive here. The read is
                // volatile because the compiler never saw the write.
                Some(_) => return Ok(unsafe { slot.read_volatile() } as u32),
            }
        }
    }

    fn refill(&mut self) {
        while let Some(entry) = self.backlog.front() {
            // SAFETY: whoever pushed the entry promised to keep its memory until its event.
            if unsafe { self.ring.submission().push(entry) }.is_err() {
                return;
            }
            self.backlog.pop_front();
        }
    }

    fn call(&mut self, queued: usize, wanted: u32, flags: EnterFlags, args: &SubmitArgs<'_, '_>) {
        self.enters_count += 1;
        let flags = (flags | EnterFlags::EXT_ARG).bits();
        // SAFETY: `args` is the kernel's own structure for EXT_ARG and outlives the call, as does
        // the time it may point to (its lifetime says so).
        let result =
            unsafe { self.ring.submitter().enter(queued as u32, wanted, flags, Some(args)) };
        match result.map_err(|error| error.raw_os_error().unwrap_or(0)) {
            Ok(_) => {}
            // Time is up, a signal came, or the kernel is short of memory or of room for
            // completions: what was queued is still queued, and the caller comes again.
            Err(libc::ETIME | libc::EINTR | libc::EAGAIN | libc::EBUSY | libc::EBADR) => {}
            Err(code) => panic!("the ring is broken: {}", io::Error::from_raw_os_error(code)),
        }
    }
}

impl AsRawFd for Kernel {
    fn as_raw_fd(&self) -> RawFd {
        self.ring.as_raw_fd()
    }
}
