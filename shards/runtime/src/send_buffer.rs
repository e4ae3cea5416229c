//! Buffers for what is sent once, used again and again.
//!
//! A shard writes an answer into a buffer of its pool, hands the buffer to a send, and the machine
//! drops it when the send is done: then it is back in the pool. Nothing is allocated, copied, or
//! counted by an atomic.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

/// Buffers that a pool keeps when they are not in use.
const KEPT_COUNT_MAX: usize = 256;
/// A buffer that grew beyond this is not kept.
const KEPT_BYTES_MAX: usize = 32 * 1024;

/// A shard's pool.
#[derive(Clone, Debug, Default)]
pub struct SendBuffers {
    kept: Rc<RefCell<Vec<Vec<u8>>>>,
}

/// Bytes for one send; in a [`crate::Gather`] as [`crate::Piece::Buffer`].
pub struct SendBuffer {
    bytes: Vec<u8>,
    home: SendBuffers,
}

impl SendBuffers {
    /// An empty pool.
    #[must_use]
    pub fn new() -> SendBuffers {
        SendBuffers::default()
    }

    /// Memory to write into, empty.
    #[must_use]
    pub fn take(&self) -> Vec<u8> {
        self.kept.borrow_mut().pop().unwrap_or_default()
    }

    /// What was written, for a send.
    #[must_use]
    pub fn fill(&self, bytes: Vec<u8>) -> SendBuffer {
        SendBuffer { bytes, home: self.clone() }
    }

    /// Memory that was taken and is not sent.
    pub fn give(&self, mut bytes: Vec<u8>) {
        if bytes.capacity() == 0 || bytes.capacity() > KEPT_BYTES_MAX {
            return;
        }
        let mut kept = self.kept.borrow_mut();
        if kept.len() < KEPT_COUNT_MAX {
            bytes.clear();
            kept.push(bytes);
        }
    }
}

impl SendBuffer {
    /// The bytes.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for SendBuffer {
    fn drop(&mut self) {
        self.home.give(std::mem::take(&mut self.bytes));
    }
}

impl Clone for SendBuffer {
    fn clone(&self) -> Self {
        SendBuffer { bytes: self.bytes.clone(), home: self.home.clone() }
    }
}

impl fmt::Debug for SendBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SendBuffer({} bytes)", self.bytes.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_when_its_send_is_done() {
        let pool = SendBuffers::new();
        let mut bytes = pool.take();
        bytes.extend_from_slice(b"hello");
        let at = bytes.as_ptr();
        let buffer = pool.fill(bytes);
        assert_eq!(buffer.as_slice(), b"hello");
        assert_eq!(pool.take().capacity(), 0, "it is in use");
        drop(buffer);
        let again = pool.take();
        assert!(again.is_empty());
        assert_eq!(again.as_ptr(), at);
        // One that grew large is not kept for ever.
        drop(pool.fill(Vec::with_capacity(KEPT_BYTES_MAX + 1)));
        assert_eq!(pool.take().capacity(), 0);
    }
}
