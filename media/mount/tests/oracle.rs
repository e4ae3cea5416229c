//! The oracle: everything that was ever written, byte for byte. Whatever order of writing, losing,
//! joining and reading proptest finds, a listener has heard a contiguous run of it from a sync
//! point, and is behind only if the window really has moved past it.
#![allow(clippy::disallowed_methods, reason = "a test must begin at some time")]

use std::time::{Duration, Instant};

use media_mount::{Cursor, Window, WindowLimits, Writer, WriterConfig};
use proptest::prelude::*;

const CONFIG: WriterConfig =
    WriterConfig { chunk_bytes: 40, chunk_age_max: Duration::from_millis(50), block_bytes: 256 };
const LIMITS: WindowLimits = WindowLimits { bytes_max: 600, chunks_max: 20 };
const BASE: u64 = 1_000_000;

#[derive(Clone, Debug)]
enum Action {
    Append {
        bytes: usize,
        sync: bool,
    },
    Wait {
        ms: u64,
    },
    Flush,
    /// The next chunk does not reach the window: a shard that was too slow for the owner's.
    Lose,
    Join {
        burst_bytes: u64,
    },
    JoinNext {
        back_bytes: u64,
    },
    Read {
        listener: usize,
        bytes_max: usize,
        pieces_max: usize,
        sent_percent: usize,
    },
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        8 => (0..90_usize, any::<bool>()).prop_map(|(bytes, sync)| Action::Append { bytes, sync }),
        1 => (300..900_usize).prop_map(|bytes| Action::Append { bytes, sync: true }),
        2 => (1..80_u64).prop_map(|ms| Action::Wait { ms }),
        1 => Just(Action::Flush),
        1 => Just(Action::Lose),
        2 => (0..800_u64).prop_map(|burst_bytes| Action::Join { burst_bytes }),
        1 => (0..800_u64).prop_map(|back_bytes| Action::JoinNext { back_bytes }),
        8 => (any::<usize>(), 0..300_usize, 0..9_usize, 0..=100_usize).prop_map(
            |(listener, bytes_max, pieces_max, sent_percent)| Action::Read {
                listener,
                bytes_max,
                pieces_max,
                sent_percent
            }
        ),
    ]
}

struct Listener {
    start: u64,
    cursor: Cursor,
    heard: Vec<u8>,
}

struct World {
    now: Instant,
    /// All that was ever written, from `BASE` on, and where units began that are sync points.
    truth: Vec<u8>,
    syncs: Vec<u64>,
    writer: Writer,
    window: Window,
    /// A second shard, fed from the window as a subscriber is.
    far: Window,
    far_next: u64,
    lose_next: bool,
    listeners: Vec<Listener>,
}

impl World {
    fn new() -> World {
        World {
            now: Instant::now(),
            truth: Vec::new(),
            syncs: Vec::new(),
            writer: Writer::new(CONFIG, BASE),
            window: Window::new(LIMITS),
            far: Window::new(LIMITS),
            far_next: 0,
            lose_next: false,
            listeners: Vec::new(),
        }
    }

    fn step(&mut self, action: Action) {
        match action {
            Action::Append { bytes, sync } => self.append(bytes, sync),
            Action::Wait { ms } => self.now += Duration::from_millis(ms),
            Action::Flush => {
                while let Some(chunk) = self.writer.flush() {
                    self.deliver(chunk);
                }
            }
            Action::Lose => self.lose_next = true,
            Action::Join { burst_bytes } => self.join(burst_bytes),
            Action::JoinNext { back_bytes } => {
                let from = self.window.head().saturating_sub(back_bytes);
                if let Some(join) = self.window.next_sync(from) {
                    assert!(join.cursor.offset() >= from);
                    self.listen(join.cursor);
                }
            }
            Action::Read { listener, bytes_max, pieces_max, sent_percent } => {
                if !self.listeners.is_empty() {
                    let index = listener % self.listeners.len();
                    self.read(index, bytes_max, pieces_max, sent_percent);
                }
            }
        }
        while let Some(chunk) = self.writer.poll(self.now) {
            self.deliver(chunk);
        }
        assert!(self.writer.deadline().is_none_or(|deadline| deadline > self.now));
        assert!(self.window.bytes_held() <= LIMITS.bytes_max);
        assert!(self.window.chunks(0).count() <= LIMITS.chunks_max);
        self.feed_far();
    }

    fn append(&mut self, bytes: usize, sync: bool) {
        let offset = BASE + self.truth.len() as u64;
        assert_eq!(self.writer.offset(), offset);
        if sync && bytes > 0 {
            self.syncs.push(offset);
        }
        let from = self.truth.len();
        self.truth.extend((from..from + bytes).map(|place| (place * 7 + place / 251) as u8));
        self.writer.append(self.now, &self.truth[from..], sync);
    }

    fn deliver(&mut self, chunk: media_mount::Chunk) {
        if std::mem::take(&mut self.lose_next) {
            return;
        }
        let (head, offset) = (self.window.head(), chunk.offset);
        let fresh = head == 0;
        let gap = self.window.push(chunk).err();
        assert_eq!(gap.is_some(), !fresh && head != offset, "a gap is reported, and only a gap");
    }

    fn feed_far(&mut self) {
        for chunk in self.window.chunks(self.far_next) {
            self.far_next = chunk.end();
            let _gap_is_the_owners = self.far.push(chunk);
        }
        assert_eq!(self.far.head(), self.window.head());
    }

    fn join(&mut self, burst_bytes: u64) {
        let Some(join) = self.window.join(burst_bytes) else {
            return assert_eq!(self.window.join_live(), None);
        };
        let (start, head) = (join.cursor.offset(), self.window.head());
        let newest = self.window.join_live().expect("one sync point at least").cursor.offset();
        assert!(head - start <= burst_bytes || start == newest, "too far back");
        assert_eq!(self.far.join(burst_bytes), Some(join));
        self.listen(Cursor::at(start));
    }

    fn listen(&mut self, cursor: Cursor) {
        let start = cursor.offset();
        assert!(self.syncs.binary_search(&start).is_ok(), "{start} is no sync point");
        self.listeners.push(Listener { start, cursor, heard: Vec::new() });
    }

    fn read(&mut self, index: usize, bytes_max: usize, pieces_max: usize, sent_percent: usize) {
        let listener = &mut self.listeners[index];
        let (mut got, mut pieces) = (Vec::new(), 0);
        // Every second listener is served by the far shard.
        let window = if index.is_multiple_of(2) { &self.window } else { &self.far };
        let result = window.read(listener.cursor, bytes_max, pieces_max, |bytes, range| {
            assert!(!range.is_empty());
            got.extend_from_slice(&bytes[range]);
            pieces += 1;
        });
        let Ok(after) = result else {
            assert!(listener.cursor.offset() < window.oldest(), "behind without a reason");
            self.listeners.swap_remove(index);
            return;
        };
        assert!(got.len() <= bytes_max && pieces <= pieces_max);
        assert_eq!(after, listener.cursor.advance(got.len() as u64));
        let progress = bytes_max > 0 && pieces_max > 0 && listener.cursor.lag(window) > 0;
        assert_eq!(!got.is_empty(), progress, "what is there is given");
        let sent = got.len() * sent_percent / 100; // A socket takes what it likes.
        listener.heard.extend_from_slice(&got[..sent]);
        listener.cursor = listener.cursor.advance(sent as u64);
        let from = (listener.start - BASE) as usize;
        let truth = &self.truth[from..from + listener.heard.len()];
        assert!(listener.heard == truth, "not what was written from {from} on");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_listener_hears_a_contiguous_run_from_a_sync_point(
        actions in prop::collection::vec(action(), 1..250)
    ) {
        let mut world = World::new();
        for action in actions {
            world.step(action);
        }
    }
}
