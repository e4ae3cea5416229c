//! Receive buffers that the kernel picks from by itself (a provided-buffer ring), and the guard
//! that gives one back.
//!
//! ```text
//! mapping   [ ring of entries, padded to a page ][ buffer 0 ][ buffer 1 ] …
//! a buffer  kernel's ──event──► lent (a Buffer exists) ──last drop──► kernel's
//! ```
//!
//! *Invariants:* a buffer is in the ring, or lent, or named by an event not yet taken. Of a lent
//! buffer each byte belongs to at most one [`Buffer`], whose own it is. The mapping lives as long
//! as anybody holds the pool, so a [`Buffer`] may outlive its machine.

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
use shards_runtime::{HEADROOM_BYTES, ReceiveBuffer};

const PAGE_BYTES: usize = 4_096;
const BUFFERS_MAX: u16 = 32_768;
const CACHE_LINE_BYTES: usize = 64;

/// The buffers of one kind.
pub(crate) struct Pool {
    mapping: NonNull<u8>,
    mapping_bytes: usize,
    buffers_at: usize,
    /// What the kernel may fill of each.
    buffer_bytes: u32,
    /// Behind that, never the kernel's.
    tail_bytes: u32,
    /// From one to the next.
    stride_bytes: usize,
    buffers_count: u16,
    group: u16,
    ring_mask: u16,
    tail: Cell<u16>,
    lent_count: Cell<u16>,
    /// How many [`Buffer`]s hold a part of each.
    holders: Box<[Cell<u16>]>,
}

/// How many buffers, and how large.
#[derive(Clone, Copy)]
pub(crate) struct PoolShape {
    pub(crate) buffers_count: u16,
    /// What the kernel may fill of each.
    pub(crate) buffer_bytes: u32,
    /// Room behind that.
    pub(crate) tail_bytes: u32,
}

impl Pool {
    /// Maps the memory and registers it as buffer group `group` with all buffers in the ring.
    pub(crate) fn open(
        submitter: &Submitter<'_>,
        group: u16,
        shape: PoolShape,
    ) -> io::Result<Rc<Self>> {
        let PoolShape { buffers_count, buffer_bytes, tail_bytes } = shape;
        if buffers_count == 0 || buffers_count > BUFFERS_MAX || buffer_bytes == 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "1 to 32,768 buffers"));
        }
        let entries_count = buffers_count.next_power_of_two();
        let ring_bytes = usize::from(entries_count) * size_of::<BufRingEntry>();
        let buffers_at = ring_bytes.next_multiple_of(PAGE_BYTES);
        let stride_bytes = stride(buffer_bytes as usize + tail_bytes as usize);
        let mapping_bytes = buffers_at + usize::from(buffers_count) * stride_bytes;
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
            tail_bytes,
            stride_bytes,
            buffers_count,
            group,
            ring_mask: entries_count - 1,
            tail: Cell::new(0),
            lent_count: Cell::new(0),
            holders: vec![Cell::new(0); usize::from(buffers_count)].into(),
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

    /// Whether more than half of the buffers are lent.
    pub(crate) fn is_low(&self) -> bool {
        self.lent_count.get() > self.buffers_count / 2
    }

    /// Makes the guard for a buffer that an event named, `len` bytes of which are filled.
    ///
    /// The caller is the event loop, which takes each event once; that is what makes a guard the
    /// only one of its buffer.
    pub(crate) fn lend(self: &Rc<Self>, id: u16, len: usize) -> Buffer {
        assert!(id < self.buffers_count, "the kernel names a buffer that it was given");
        self.lent_count.set(self.lent_count.get() + 1);
        self.holders[usize::from(id)].set(1);
        let len = u32::try_from(len).unwrap_or(u32::MAX).min(self.buffer_bytes);
        let own = 0..self.buffer_bytes + self.tail_bytes;
        Buffer {
            pool: Rc::clone(self),
            id,
            own_start: own.start,
            own_end: own.end,
            start: 0,
            end: len,
        }
    }

    fn at(&self, id: u16) -> *mut u8 {
        let offset = self.buffers_at + usize::from(id) * self.stride_bytes;
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

/// From one buffer to the next: whole cache lines, and not a multiple of a page, or the first
/// lines of all buffers would fight for the same few places of the cache.
fn stride(bytes: usize) -> usize {
    let lines = bytes.next_multiple_of(CACHE_LINE_BYTES);
    if lines >= PAGE_BYTES && lines.is_multiple_of(PAGE_BYTES / 4) {
        lines + CACHE_LINE_BYTES
    } else {
        lines
    }
}

/// Received bytes, in the machine's own memory; given back to it on drop.
///
/// It may be kept over ticks, dropped in any order, and even outlive the machine. While it is kept
/// the machine has one buffer less.
pub struct Buffer {
    pool: Rc<Pool>,
    id: u16,
    /// What of the pool's buffer is this one's own, and may be written.
    own_start: u32,
    own_end: u32,
    /// Where in the pool's buffer the data lies: inside of what is its own.
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

    /// Another one for a part of what is this one's own; the caller makes them disjoint.
    fn share(&self, own: Range<u32>, data: Range<u32>) -> Buffer {
        debug_assert!(own.start <= data.start && data.end <= own.end);
        debug_assert!(self.own_start <= own.start && own.end <= self.own_end);
        let holders = &self.pool.holders[usize::from(self.id)];
        holders.set(holders.get() + 1);
        Buffer {
            pool: Rc::clone(&self.pool),
            id: self.id,
            own_start: own.start,
            own_end: own.end,
            start: data.start,
            end: data.end,
        }
    }

    /// All that is its own, as bytes.
    fn own(&mut self) -> &mut [u8] {
        let (start, len) = (self.own_start as usize, (self.own_end - self.own_start) as usize);
        // SAFETY: `own_start..own_end` lies inside the buffer, is this guard's alone (`lend` makes
        // one guard of the whole, `segments` disjoint ones of its parts), and the kernel does not
        // write to a lent buffer; the mapping is initialised.
        unsafe { std::slice::from_raw_parts_mut(self.pool.at(self.id).add(start), len) }
    }
}

impl ReceiveBuffer for Buffer {
    fn with_room(&mut self) -> (&mut [u8], Range<usize>) {
        let data = self.start - self.own_start..self.end - self.own_start;
        (self.own(), data.start as usize..data.end as usize)
    }

    fn set_data(&mut self, range: Range<usize>) {
        let len = (self.own_end - self.own_start) as usize;
        assert!(range.start <= range.end && range.end <= len, "inside the room");
        self.start = self.own_start + range.start as u32;
        self.end = self.own_start + range.end as u32;
    }

    fn segments(
        mut self,
        segment_size: Option<u16>,
        headroom_bytes: usize,
        mut each: impl FnMut(Self),
    ) {
        assert!(headroom_bytes <= HEADROOM_BYTES, "more room than there is");
        let len = self.end - self.start;
        let size = segment_size.map_or(len, u32::from);
        if size == 0 || size >= len {
            return each(self);
        }
        let count = len.div_ceil(size);
        let mut gap = headroom_bytes as u32;
        if (count - 1) * gap > self.own_end - self.end {
            // More segments than any kernel joins: they stay where they are.
            gap = 0;
        }
        if gap > 0 {
            let first = (self.start - self.own_start) as usize;
            let own = self.own();
            // The last one first, or it would be overwritten.
            for index in (1..count).rev() {
                let from = first + (index * size) as usize;
                let end = first + ((index + 1) * size).min(len) as usize;
                own.copy_within(from..end, from + (index * gap) as usize);
            }
        }
        let mut own_start = self.own_start;
        for index in 0..count {
            let start = self.start + index * (size + gap);
            let end = start + size.min(len - index * size);
            let own_end = if index + 1 == count { self.own_end } else { end };
            each(self.share(own_start..own_end, start..end));
            own_start = own_end;
        }
    }
}

impl Deref for Buffer {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        let len = (self.end - self.start) as usize;
        // SAFETY: `start..end` lies inside what is this guard's own, the mapping is initialised
        // (anonymous memory is zeroes), and the kernel does not write to a lent buffer.
        unsafe { std::slice::from_raw_parts(self.pool.at(self.id).add(self.start as usize), len) }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        let len = (self.end - self.start) as usize;
        // SAFETY: as in `deref`, and what is this guard's own is nobody else's; it is borrowed
        // mutably here.
        unsafe {
            std::slice::from_raw_parts_mut(self.pool.at(self.id).add(self.start as usize), len)
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let holders = &self.pool.holders[usize::from(self.id)];
        holders.set(holders.get() - 1);
        if holders.get() == 0 {
            self.pool.lent_count.set(self.pool.lent_count.get() - 1);
            self.pool.give(self.id);
        }
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({} bytes)", self.len())
    }
}
