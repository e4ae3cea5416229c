//! The queue between one shard and one log: filled by the shard, emptied by the storage thread.
//!
//! Invariants: the producer adds to `queued_bytes` before a line can be taken, the consumer
//! subtracts after it took it, so the count never wraps; nothing here waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use rtrb::{Consumer, Producer, RingBuffer};

/// A shard's end of a log. It may move between threads, but one thread at a time fills it.
#[derive(Debug)]
pub struct LogPort {
    lines: Producer<Vec<u8>>,
    shared: Arc<Shared>,
    bytes_max: usize,
}

/// The storage thread's end of a [`LogPort`].
#[derive(Debug)]
pub(crate) struct PortEnd {
    lines: Consumer<Vec<u8>>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    queued_bytes: AtomicUsize,
    /// Not yet collected by the storage thread.
    dropped_count: AtomicU64,
}

pub(crate) fn new(lines_max: usize, bytes_max: usize) -> (LogPort, PortEnd) {
    let (producer, consumer) = RingBuffer::new(lines_max);
    let shared = Arc::new(Shared::default());
    let port = LogPort { lines: producer, shared: Arc::clone(&shared), bytes_max };
    (port, PortEnd { lines: consumer, shared })
}

impl LogPort {
    /// Appends a line, given without its line feed, and with none inside it. Never waits: `false`
    /// says that the port is full and that the line was dropped and counted.
    pub fn append(&mut self, line: Vec<u8>) -> bool {
        let line_bytes = line.len();
        let queued_bytes = self.shared.queued_bytes.load(Ordering::Relaxed);
        let room = self.bytes_max.saturating_sub(queued_bytes);
        let kept = line_bytes <= room && !self.lines.is_full() && !self.lines.is_abandoned();
        if !kept {
            self.shared.dropped_count.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        self.shared.queued_bytes.fetch_add(line_bytes, Ordering::Relaxed);
        self.lines.push(line).expect("a port that was not full has room: nobody else fills it");
        true
    }
}

impl PortEnd {
    /// Moves lines to the end of `backlog`, each with its line feed, until about `bytes_max` were
    /// moved or the port is empty. Says whether it is.
    pub(crate) fn take(&mut self, bytes_max: usize, backlog: &mut Vec<u8>) -> bool {
        let mut taken_bytes = 0;
        while taken_bytes < bytes_max {
            let Ok(line) = self.lines.pop() else {
                return true;
            };
            self.shared.queued_bytes.fetch_sub(line.len(), Ordering::Relaxed);
            taken_bytes += line.len() + 1;
            backlog.extend_from_slice(&line);
            backlog.push(b'\n');
        }
        self.lines.is_empty()
    }

    /// How many lines the port has dropped since the last call.
    pub(crate) fn take_dropped_count(&self) -> u64 {
        self.shared.dropped_count.swap(0, Ordering::Relaxed)
    }

    /// How many lines are in the port.
    pub(crate) fn lines_count(&self) -> u64 {
        self.lines.slots() as u64
    }

    /// Whether the shard has dropped its end and nothing is left.
    pub(crate) fn is_over(&self) -> bool {
        // In this order: the last line is pushed before the end is dropped.
        self.lines.is_abandoned() && self.lines.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_port_drops_and_counts() {
        let (mut port, mut end) = new(2, 10);
        assert!(port.append(b"12345".to_vec()));
        assert!(!port.append(b"123456".to_vec()), "too many bytes");
        assert!(port.append(b"12345".to_vec()));
        assert!(!port.append(Vec::new()), "too many lines");
        assert_eq!((end.take_dropped_count(), end.take_dropped_count()), (2, 0));

        let mut backlog = Vec::new();
        assert!(!end.take(1, &mut backlog), "one line is left");
        assert!(port.append(b"1234".to_vec()), "there is room again");
        assert!(end.take(100, &mut backlog));
        assert_eq!(backlog, b"12345\n12345\n1234\n");
    }

    #[test]
    fn a_port_is_over_when_its_shard_is_and_it_is_empty() {
        let (mut port, mut end) = new(2, 10);
        assert!(port.append(b"last".to_vec()));
        assert!(!end.is_over());
        drop(port);
        assert!(!end.is_over());
        assert!(end.take(100, &mut Vec::new()));
        assert!(end.is_over());
    }

    #[test]
    fn a_port_without_a_storage_drops_all() {
        let (mut port, end) = new(2, 10);
        drop(end);
        assert!(!port.append(b"line".to_vec()));
    }
}
