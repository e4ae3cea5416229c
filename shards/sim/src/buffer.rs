//! Received bytes, and the pool that bounds how many buffers of them are out.
//!
//! *Invariant:* dropping a buffer touches nothing but a counter, so it may happen anywhere.

use std::cell::Cell;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

/// A received buffer; dropping it gives it back to the machine.
#[derive(Debug)]
pub struct SimBuffer {
    bytes: Vec<u8>,
    outstanding: Rc<Cell<usize>>,
}

impl Deref for SimBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl DerefMut for SimBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Drop for SimBuffer {
    fn drop(&mut self) {
        self.outstanding.set(self.outstanding.get() - 1);
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

    /// Fills a buffer. The caller has asked [`Pool::has_room`].
    pub(crate) fn take(&self, bytes: Vec<u8>) -> SimBuffer {
        assert!(self.has_room());
        self.outstanding.set(self.outstanding.get() + 1);
        SimBuffer { bytes, outstanding: Rc::clone(&self.outstanding) }
    }
}
