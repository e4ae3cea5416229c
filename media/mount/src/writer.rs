//! The owner's side of a mount: collects frames and pages into chunks.
//!
//! ```text
//!  block   | sealed chunk | sealed chunk | open chunk →          room |
//! ```
//!
//! Invariants: offsets never repeat and leave no gap; a chunk never spans two blocks; a block is
//! never written where a chunk has been sealed.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::{BufMut, BytesMut};

use crate::Chunk;

/// How a [`Writer`] cuts.
#[derive(Clone, Copy, Debug)]
pub struct WriterConfig {
    /// An open chunk of this many bytes is complete. It may be longer, as a unit stays whole
    /// where its block has room.
    pub chunk_bytes: usize,
    /// An open chunk is complete this long after its first byte, however short it is.
    pub chunk_age_max: Duration,
    /// Bytes of one allocation, which all chunks cut from it share.
    pub block_bytes: usize,
}

impl Default for WriterConfig {
    fn default() -> WriterConfig {
        WriterConfig {
            chunk_bytes: 4096,
            chunk_age_max: Duration::from_millis(100),
            block_bytes: 64 * 1024,
        }
    }
}

/// Collects what a source sends into chunks. Drain [`Writer::poll`] to `None` after every
/// [`Writer::append`], and when [`Writer::deadline`] has come.
#[derive(Debug)]
pub struct Writer {
    config: WriterConfig,
    /// The open chunk, at the front of what its block has left.
    block: BytesMut,
    /// Where the open chunk begins.
    open_offset: u64,
    open_sync: Option<u32>,
    /// When the open chunk got its first byte; `None` while it is empty.
    opened: Option<Instant>,
    complete: VecDeque<Chunk>,
}

impl Writer {
    /// A writer whose first byte stands at `offset`: zero for a new mount, the old writer's
    /// [`Writer::offset`] where a mount's next source continues the same windows.
    ///
    /// # Panics
    ///
    /// If `block_bytes` is zero or does not fit 32 bits: a mistake of ours, not of a source.
    pub fn new(config: WriterConfig, offset: u64) -> Writer {
        assert!(config.block_bytes > 0, "a block must hold something");
        assert!(u32::try_from(config.block_bytes).is_ok(), "places in a chunk are 32 bits");
        Writer {
            config,
            block: BytesMut::new(),
            open_offset: offset,
            open_sync: None,
            opened: None,
            complete: VecDeque::new(),
        }
    }

    /// Appends one unit: a frame, a page, or any piece of one. `sync`: a decoder may start at its
    /// first byte.
    pub fn append(&mut self, now: Instant, bytes: &[u8], sync: bool) {
        let mut rest = bytes;
        let mut sync = sync;
        while !rest.is_empty() {
            let room = self.room();
            let (piece, after) = rest.split_at(rest.len().min(room));
            if sync && self.open_sync.is_none() {
                self.open_sync = Some(self.block.len() as u32);
            }
            sync = false;
            self.opened.get_or_insert(now);
            self.block.put_slice(piece);
            rest = after;
            if self.block.len() >= self.config.chunk_bytes || piece.len() == room {
                self.seal();
            }
        }
    }

    /// The next chunk that is complete, by size or by age.
    pub fn poll(&mut self, now: Instant) -> Option<Chunk> {
        if self.complete.is_empty() && self.deadline().is_some_and(|deadline| deadline <= now) {
            self.seal();
        }
        self.complete.pop_front()
    }

    /// The next chunk, complete or not: for when a source ends. Drain it to `None` too.
    pub fn flush(&mut self) -> Option<Chunk> {
        if self.complete.is_empty() {
            self.seal();
        }
        self.complete.pop_front()
    }

    /// When the open chunk becomes complete by age; `None` while it is empty.
    pub fn deadline(&self) -> Option<Instant> {
        self.opened.map(|opened| opened + self.config.chunk_age_max)
    }

    /// Where the next byte will stand.
    pub fn offset(&self) -> u64 {
        self.open_offset + self.block.len() as u64
    }

    /// Bytes that fit after the open chunk, never zero: a full block makes way for a fresh one.
    /// (A full block has no open chunk; `append` sealed it.)
    fn room(&mut self) -> usize {
        if self.block.capacity() == self.block.len() {
            debug_assert!(self.block.is_empty());
            self.block = BytesMut::with_capacity(self.config.block_bytes);
        }
        self.block.capacity() - self.block.len()
    }

    fn seal(&mut self) {
        if self.block.is_empty() {
            return;
        }
        let bytes = self.block.split().freeze();
        let chunk = Chunk::new(self.open_offset, bytes, self.open_sync.take());
        self.open_offset = chunk.end();
        self.opened = None;
        self.complete.push_back(chunk);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "a test must begin at some time")]
    use super::*;

    fn config(chunk_bytes: usize, block_bytes: usize) -> WriterConfig {
        WriterConfig { chunk_bytes, chunk_age_max: Duration::from_millis(20), block_bytes }
    }

    #[test]
    fn a_chunk_is_complete_by_size_and_knows_its_first_sync() {
        let now = Instant::now();
        let mut writer = Writer::new(config(12, 100), 7);
        writer.append(now, b"12345678", false);
        assert_eq!(writer.poll(now), None);
        writer.append(now, b"ab", true);
        writer.append(now, b"cd", true);
        let chunk = writer.poll(now).expect("twelve bytes");
        assert_eq!((chunk.offset, &chunk.bytes[..]), (7, &b"12345678abcd"[..]));
        assert_eq!((chunk.sync(), chunk.sync_offset()), (Some(8), Some(15)));
        assert_eq!((writer.poll(now), writer.offset(), writer.deadline()), (None, 19, None));
    }

    #[test]
    fn a_chunk_is_complete_by_age() {
        let now = Instant::now();
        let mut writer = Writer::new(config(10, 100), 0);
        writer.append(now, b"1", false);
        let deadline = writer.deadline().expect("a chunk is open");
        writer.append(now + Duration::from_millis(19), b"2", false);
        assert_eq!(writer.deadline(), Some(deadline));
        assert_eq!(writer.poll(deadline - Duration::from_nanos(1)), None);
        assert_eq!(writer.poll(deadline).expect("old enough").bytes, "12");
        assert_eq!(writer.poll(deadline), None);
    }

    #[test]
    fn a_unit_larger_than_a_block_is_cut_and_syncs_once() {
        let now = Instant::now();
        let mut writer = Writer::new(config(10, 16), 0);
        writer.append(now, &[1; 40], true);
        let chunks: Vec<Chunk> = std::iter::from_fn(|| writer.flush()).collect();
        let shape: Vec<_> = chunks.iter().map(|c| (c.offset, c.bytes.len(), c.sync())).collect();
        assert_eq!(shape, [(0, 16, Some(0)), (16, 16, None), (32, 8, None)]);
    }

    #[test]
    fn chunks_of_a_block_share_its_allocation() {
        let now = Instant::now();
        let mut writer = Writer::new(config(8, 64), 0);
        for _ in 0..8 {
            writer.append(now, b"8 bytes.", true);
        }
        let chunks: Vec<Chunk> = std::iter::from_fn(|| writer.poll(now)).collect();
        assert_eq!(chunks.len(), 8);
        for pair in chunks.windows(2) {
            let end = pair[0].bytes.as_ptr_range().end;
            assert_eq!(end, pair[1].bytes.as_ptr(), "the next chunk lies right behind");
        }
    }

    #[test]
    fn nothing_in_nothing_out() {
        let now = Instant::now();
        let mut writer = Writer::new(config(8, 64), 3);
        writer.append(now, b"", true);
        assert_eq!((writer.poll(now), writer.flush(), writer.offset()), (None, None, 3));
    }
}
