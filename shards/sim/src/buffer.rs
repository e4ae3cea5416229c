//! Received bytes, and the pool that bounds how many buffers of them are out.
//!
//! *Invariant:* dropping a buffer touches nothing but a counter, so it may happen anywhere.

use std::cell::Cell;
use std::ops::{Deref, DerefMut, Range};
use std::rc::Rc;

use shards_runtime::{HEADROOM_BYTES, ReceiveBuffer, TAILROOM_BYTES};

/// A received buffer; dropping it gives it back to the machine.
#[derive(Debug)]
pub struct SimBuffer {
    /// The data and the room around it.
    bytes: Vec<u8>,
    data: Range<usize>,
    lease: Rc<Lease>,
}

/// One of the machine's buffers, lent to one holder or, cut into segments, to several.
#[derive(Debug)]
struct Lease {
    outstanding: Rc<Cell<usize>>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.outstanding.set(self.outstanding.get() - 1);
    }
}

impl SimBuffer {
    fn new(data: &[u8], (before, behind): (usize, usize), lease: Rc<Lease>) -> SimBuffer {
        let mut bytes = vec![0; before];
        bytes.extend_from_slice(data);
        bytes.resize(bytes.len() + behind, 0);
        SimBuffer { bytes, data: before..before + data.len(), lease }
    }
}

impl ReceiveBuffer for SimBuffer {
    fn with_room(&mut self) -> (&mut [u8], Range<usize>) {
        (&mut self.bytes, self.data.clone())
    }

    fn set_data(&mut self, range: Range<usize>) {
        assert!(range.start <= range.end && range.end <= self.bytes.len(), "inside the room");
        self.data = range;
    }

    fn segments(
        self,
        segment_size: Option<u16>,
        headroom_bytes: usize,
        mut each: impl FnMut(Self),
    ) {
        assert!(headroom_bytes <= HEADROOM_BYTES, "more room than there is");
        let size = segment_size.map_or(self.len(), usize::from);
        if size == 0 || size >= self.len() {
            return each(self);
        }
        let last = self.len().div_ceil(size) - 1;
        for (index, data) in self.chunks(size).enumerate() {
            let before = if index == 0 { self.data.start } else { headroom_bytes };
            let behind = if index == last { self.bytes.len() - self.data.end } else { 0 };
            each(SimBuffer::new(data, (before, behind), Rc::clone(&self.lease)));
        }
    }
}

impl Deref for SimBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[self.data.clone()]
    }
}

impl DerefMut for SimBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.data.clone()]
    }
}

/// A machine's receive buffers.
#[derive(Debug)]
pub(crate) struct Pool {
    outstanding: Rc<Cell<usize>>,
    buffers_max: usize,
}

impl Pool {
    pub(crate) fn new(buffers_max: usize) -> Pool {
        Pool { outstanding: Rc::default(), buffers_max }
    }

    pub(crate) fn has_room(&self) -> bool {
        self.outstanding.get() < self.buffers_max
    }

    pub(crate) fn outstanding(&self) -> usize {
        self.outstanding.get()
    }

    /// Fills a buffer with bytes of a stream. The caller has asked [`Pool::has_room`].
    pub(crate) fn take(&self, bytes: Vec<u8>) -> SimBuffer {
        SimBuffer { data: 0..bytes.len(), bytes, lease: self.lend() }
    }

    /// As [`Pool::take`], with a datagram and the room around it.
    pub(crate) fn take_datagram(&self, bytes: &[u8]) -> SimBuffer {
        SimBuffer::new(bytes, (HEADROOM_BYTES, TAILROOM_BYTES), self.lend())
    }

    fn lend(&self) -> Rc<Lease> {
        assert!(self.has_room());
        self.outstanding.set(self.outstanding.get() + 1);
        Rc::new(Lease { outstanding: Rc::clone(&self.outstanding) })
    }
}
