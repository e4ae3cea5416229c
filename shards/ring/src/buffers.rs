//! Receive buffers that the kernel picks from by itself (a provided-buffer ring), and the guard
//! that gives one back.
//!
//! ```text
//! mapping   [ ring of entries, padded to a page ][ buffer 0 ][ buffer 1 ] …
//! a buffer  kernel's ──event──► lent (a Buffer exists) ──drop──► kernel's
//! ```
//!
//! *Invariant:* a buffer is in the ring, or lent to exactly one [`Buffer`], or named by an event
//! not yet taken. The mapping lives as long as anybody holds the pool, so a [`Buffer`] may outlive
//! its machine.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::ops::{Deref, DerefMut, Range};
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::Submitter;
use io_uring::types::BufRingEntry;
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};

const PAGE_BYTES: usize = 4_096;
const BUFFERS_MAX: u16 = 32_768;

/// The buffers of one kind.
pub(crate) struct Pool {
    mapping: NonNull<u8>,
    mapping_bytes: usize,
    buffers_at: usize,
    buffer_bytes: u32,
    buffers_count: u16,
    group: u16,
    ring_mask: u16,
    tail: Cell<u16>,
    lent_count: Cell<u16>,
}

impl Pool {
    /// Maps the memory and registers it as buffer group `group` with all buffers in the ring.
    pub(crate) fn open(
        submitter: &Submitter<'_>,
        group: u16,
        buffers_count: u16,
        buffer_bytes: u32,
    ) -> io::Result<Rc<Self>> {
        if buffers_count == 0 || buffers_count > BUFFERS_MAX || buffer_bytes == 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "1 to 32,768 buffers"));
        }
        let entries_count = buffers_count.next_power_of_two();
        let ring_bytes = usize::from(entries_count) * size_of::<BufRingEntry>();
        let buffers_at = ring_bytes.next_multiple_of(PAGE_BYTES);
        let mapping_bytes = buffers_at + usize::from(buffers_count) * buffer_bytes as usize;
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // Populated now, so that no receive pays for a page fault and the cost is known at start.
        let flags = MapFlags::PRIVATE | MapFlags::POPULATE;
        // SAFETY: a fresh private mapping at an address that the kernel chooses touches nothing.
        let mapping =
            unsafe { mmap_anonymous(std::ptr::null_mut(), mapping_bytes, access, flags)? };
        let pool = Rc::new(Pool {
            mapping: NonNull::new(mapping.cast()).expect("a mapping is never at null"),
            mapping_bytes,
            buffers_at,
            buffer_bytes,
            buffers_count,
            group,
            ring_mask: entries_count - 1,
            tail: Cell::new(0),
            lent_count: Cell::new(0),
        });
        let address = pool.mapping.as_ptr().expose_provenance() as u64;
        // SAFETY: the mapping is page-aligned and large enough for the entries, and it stays until
        // the last holder of the pool is gone; the machine, which is one, unregisters it first.
        unsafe { submitter.register_buf_ring_with_flags(address, entries_count, group, 0)? };
        (0..buffers_count).for_each(|id| pool.give(id));
        Ok(pool)
    }

    pub(crate) fn group(&self) -> u16 {
        self.group
    }

    /// Buffers that are not lent. The kernel may have used some of them already.
    pub(crate) fn free_count(&self) -> usize {
        usize::from(self.buffers_count - self.lent_count.get())
    }

    /// Makes the guard for a buffer that an event named, `len` bytes of which are filled.
    ///
    /// The caller is the event loop, which takes each event once; that is what makes a guard the
    /// only one of its buffer.
    pub(crate) fn lend(self: &Rc<Self>, id: u16, len: usize) -> Buffer {
        assert!(id < self.buffers_count, "the kernel names a buffer that it was given");
        self.lent_count.set(self.lent_count.get() + 1);
        let len = u32::try_from(len).unwrap_or(u32::MAX).min(self.buffer_bytes);
        Buffer { pool: Rc::clone(self), id, start: 0, end: len }
    }

    fn at(&self, id: u16) -> *mut u8 {
        let offset = self.buffers_at + usize::from(id) * self.buffer_bytes as usize;
        // SAFETY: `id` is below `buffers_count` (asserted in `lend`, and the loop in `open`), so
        // the offset lies inside the mapping.
        unsafe { self.mapping.as_ptr().add(offset) }
    }

    /// Puts a buffer into the ring; the kernel may fill it from now on.
    fn give(&self, id: u16) {
        let tail = self.tail.get();
        let ring = self.mapping.as_ptr().cast::<BufRingEntry>();
        // SAFETY: the masked tail is an index into the ring, which holds fewer free buffers than
        // entries, so the kernel has consumed this entry long ago and does not look at it before
        // the tail moves. Only the thread that owns the `Rc` gets here.
        unsafe {
            let entry = &mut *ring.add(usize::from(tail & self.ring_mask));
            entry.set_addr(self.at(id).expose_provenance() as u64);
            entry.set_len(self.buffer_bytes);
            entry.set_bid(id);
        }
        let tail = tail.wrapping_add(1);
        self.tail.set(tail);
        // SAFETY: the tail lies in the reserved field of the first entry, is aligned for `u16`, and
        // is read by the kernel and written by this thread alone. Release: the entry is complete
        // before the kernel can see that it is there.
        unsafe {
            let shared = BufRingEntry::tail(ring).cast_mut();
            AtomicU16::from_ptr(shared).store(tail, Ordering::Release);
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and the machine and every guard are gone, for each of them
        // holds the pool; the machine drops its share only when nothing is in flight.
        let unmapped = unsafe { munmap(self.mapping.as_ptr().cast(), self.mapping_bytes) };
        debug_assert!(unmapped.is_ok());
    }
}

/// Received bytes, in the machine's own memory; given back to it on drop.
///
/// It may be kept over ticks, dropped in any order, and even outlive the machine. While it is kept
/// the machine has one buffer less.
pub struct Buffer {
    pool: Rc<Pool>,
    id: u16,
    start: u32,
    end: u32,
}

impl Buffer {
    /// Keeps only `range` of the bytes.
    pub(crate) fn narrow(mut self, range: Range<usize>) -> Self {
        assert!(range.start <= range.end && range.end <= self.len(), "inside what was received");
        self.end = self.start + range.end as u32;
        self.start += range.start as u32;
        self
    }
}

impl Deref for Buffer {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        let len = (self.end - self.start) as usize;
        // SAFETY: `start..end` lies inside the buffer (checked in `lend` and `narrow`), the mapping
        // is initialised (anonymous memory is zeroes), and the kernel does not write to a lent
        // buffer.
        unsafe { std::slice::from_raw_parts(self.pool.at(self.id).add(self.start as usize), len) }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        let len = (self.end - self.start) as usize;
        // SAFETY: as in `deref`, and there is one guard for a lent buffer, borrowed mutably here.
        unsafe {
            std::slice::from_raw_parts_mut(self.pool.at(self.id).add(self.start as usize), len)
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.pool.lent_count.set(self.pool.lent_count.get() - 1);
        self.pool.give(self.id);
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({} bytes)", self.len())
    }
}
