//! The two queues between one shard and the storage thread, and the bells at their ends.
//!
//! ```text
//!  shard: push question, fence, `is_awake` was false? ── eventfd ──► storage
//!  storage: push answer, fence, `is_rung` was false?  ── bell ─────► shard
//! ```
//!
//! Invariants: each side takes its own flag down *before* it looks once more and sleeps, so either
//! it sees what was pushed or the pusher sees the flag down and rings. A question is sent only when
//! its answer has room, so the storage thread never waits for a shard.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};

use bytes::Bytes;
use rtrb::{Consumer, Producer, RingBuffer};

use super::{Codings, FileError, FileId, FileInfo, FileLimits, FileVersion, RootId};

/// From a shard. `id` names the question in its answer.
pub(crate) enum Question {
    Open { id: u32, root: RootId, path: Box<str>, codings: Codings, known: Option<FileVersion> },
    Read { id: u32, file: FileId, offset: u64, bytes: u32 },
    Close { file: FileId },
}

/// To a shard.
pub(crate) struct Reply {
    pub id: u32,
    pub answer: Result<Answer, FileError>,
}

/// What was found or read.
pub(crate) enum Answer {
    /// A small file, all of it.
    Whole(FileInfo, Vec<u8>),
    /// The small file that the asker knows already.
    Unchanged,
    /// A large file, which is open now.
    Opened(FileInfo, FileId),
    Block(Vec<u8>),
}

/// What both ends see.
pub(crate) struct Shared {
    /// The storage thread will look at the questions again.
    pub is_awake: AtomicBool,
    /// The shard will look at the answers again.
    pub is_rung: AtomicBool,
    /// The storage thread is gone.
    pub has_stopped: AtomicBool,
    /// The shard is gone.
    pub has_left: AtomicBool,
    /// Wakes the storage thread.
    pub wake: OwnedFd,
}

/// A shard's end of the files, of which it makes [`crate::Files`]. It may move between threads, but
/// one thread at a time uses it.
pub struct FilePort {
    questions: Producer<Question>,
    replies: Consumer<Reply>,
    shared: Arc<Shared>,
    pub(crate) limits: FileLimits,
    /// Room for the answers of those that are not `None`.
    asked: Vec<Option<Asked>>,
    free: Vec<u32>,
    /// Not sent yet, because of `read_bytes_max`; in order.
    waiting: VecDeque<Question>,
    /// Bytes that are being read or have been read and are still held.
    read_bytes: Arc<AtomicUsize>,
    /// The next to be told that the storage has stopped.
    stopped_at: usize,
}

/// A question without an answer.
struct Asked {
    tag: u64,
    reserved_bytes: usize,
}

/// An answer, with the tag of its question.
pub(crate) struct Answered {
    pub tag: u64,
    pub answer: Result<Found, FileError>,
}

/// As [`Answer`], with memory that counts itself.
pub(crate) enum Found {
    Whole(FileInfo, Bytes),
    Unchanged,
    Opened(FileInfo, FileId),
    Block(Bytes),
}

/// The storage thread's end.
pub(crate) struct PortEnd {
    pub questions: Consumer<Question>,
    pub replies: Producer<Reply>,
    pub shared: Arc<Shared>,
    pub limits: FileLimits,
    pub bell: Box<dyn Fn() + Send>,
}

pub(crate) fn new(
    limits: FileLimits,
    wake: OwnedFd,
    bell: Box<dyn Fn() + Send>,
) -> (FilePort, PortEnd) {
    // A close has no answer; there is one for each open file at most.
    let questions_max = limits.questions_max + limits.open_files_max;
    let (questions, question_end) = RingBuffer::new(questions_max);
    let (reply_end, replies) = RingBuffer::new(limits.questions_max);
    let shared = Arc::new(Shared {
        is_awake: AtomicBool::new(false),
        is_rung: AtomicBool::new(false),
        has_stopped: AtomicBool::new(false),
        has_left: AtomicBool::new(false),
        wake,
    });
    let count = u32::try_from(limits.questions_max).expect("a bound of thousands");
    let port = FilePort {
        questions,
        replies,
        shared: Arc::clone(&shared),
        limits,
        asked: (0..count).map(|_| None).collect(),
        free: (0..count).rev().collect(),
        waiting: VecDeque::new(),
        read_bytes: Arc::default(),
        stopped_at: 0,
    };
    (port, PortEnd { questions: question_end, replies: reply_end, shared, limits, bell })
}

impl FilePort {
    /// Asks for a file; `known` is the small one that is known already.
    pub(crate) fn open(
        &mut self,
        (root, path): (RootId, &str),
        codings: Codings,
        known: Option<FileVersion>,
        tag: u64,
    ) -> Result<(), FileError> {
        // It may be a small one, which is read at once.
        let id = self.number(tag, self.limits.small_file_bytes_max as usize)?;
        self.waiting.push_back(Question::Open { id, root, path: path.into(), codings, known });
        self.send_waiting();
        Ok(())
    }

    /// Asks for a part of an open file, which waits until it is within `read_bytes_max`.
    pub(crate) fn read(
        &mut self,
        file: FileId,
        offset: u64,
        bytes: u32,
        tag: u64,
    ) -> Result<(), FileError> {
        let id = self.number(tag, bytes as usize)?;
        self.waiting.push_back(Question::Read { id, file, offset, bytes });
        self.send_waiting();
        Ok(())
    }

    pub(crate) fn close(&mut self, file: FileId) {
        self.send(Question::Close { file });
    }

    /// The next answer, if any. After `None` the bell rings when there is another.
    pub(crate) fn poll(&mut self) -> Option<Answered> {
        self.send_waiting();
        let (reply, asked) = loop {
            let reply = match self.replies.pop() {
                Ok(reply) => reply,
                Err(_) => {
                    self.shared.is_rung.store(false, Ordering::Relaxed);
                    fence(Ordering::SeqCst);
                    let Ok(reply) = self.replies.pop() else { return self.poll_stopped() };
                    reply
                }
            };
            // One that was given up may yet have been answered.
            if let Some(asked) = self.asked[reply.id as usize].take() {
                self.free.push(reply.id);
                break (reply, asked);
            }
        };
        let answer = reply.answer.map(|answer| match answer {
            Answer::Whole(info, bytes) => Found::Whole(info, bytes.into()),
            Answer::Unchanged => Found::Unchanged,
            Answer::Opened(info, file) => Found::Opened(info, file),
            Answer::Block(block) => Found::Block(self.counted(block)),
        });
        if !matches!(answer, Ok(Found::Block(_))) {
            self.read_bytes.fetch_sub(asked.reserved_bytes, Ordering::Relaxed);
        }
        Some(Answered { tag: asked.tag, answer })
    }

    /// Gives the answer that nobody else will, one after the other.
    fn poll_stopped(&mut self) -> Option<Answered> {
        if !self.shared.has_stopped.load(Ordering::Acquire) || !self.replies.is_empty() {
            return None;
        }
        self.waiting.clear();
        while let Some(slot) = self.asked.get_mut(self.stopped_at) {
            if let Some(Asked { tag, .. }) = slot.take() {
                self.free.push(self.stopped_at as u32);
                return Some(Answered { tag, answer: Err(FileError::Stopped) });
            }
            self.stopped_at += 1;
        }
        None
    }

    fn number(&mut self, tag: u64, reserved_bytes: usize) -> Result<u32, FileError> {
        if self.shared.has_stopped.load(Ordering::Acquire) {
            return Err(FileError::Stopped);
        }
        let id = self.free.pop().ok_or(FileError::Busy)?;
        self.asked[id as usize] = Some(Asked { tag, reserved_bytes });
        Ok(id)
    }

    /// A block, whose bytes count until it is dropped.
    fn counted(&self, block: Vec<u8>) -> Bytes {
        struct Counted(Vec<u8>, Arc<AtomicUsize>, usize);
        impl AsRef<[u8]> for Counted {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }
        impl Drop for Counted {
            fn drop(&mut self) {
                self.1.fetch_sub(self.2, Ordering::Relaxed);
            }
        }
        // A block is as long as was asked for.
        let bytes = block.len();
        Bytes::from_owner(Counted(block, Arc::clone(&self.read_bytes), bytes))
    }

    fn send_waiting(&mut self) {
        // Each round sends one.
        while let Some(question) = self.waiting.pop_front() {
            let id = match &question {
                Question::Open { id, .. } | Question::Read { id, .. } => *id as usize,
                Question::Close { .. } => unreachable!("a close does not wait"),
            };
            let bytes = self.asked[id].as_ref().map_or(0, |asked| asked.reserved_bytes);
            let held_bytes = self.read_bytes.load(Ordering::Relaxed);
            // One alone is always read.
            if held_bytes > 0 && held_bytes + bytes > self.limits.read_bytes_max {
                self.waiting.push_front(question);
                return;
            }
            self.read_bytes.fetch_add(bytes, Ordering::Relaxed);
            self.send(question);
        }
    }

    fn send(&mut self, question: Question) {
        let sent = self.questions.push(question);
        assert!(
            sent.is_ok() || self.questions.is_abandoned(),
            "there is room for every question and every close"
        );
        fence(Ordering::SeqCst);
        if !self.shared.is_awake.swap(true, Ordering::Relaxed) {
            self.shared.wake();
        }
    }
}

impl Drop for FilePort {
    fn drop(&mut self) {
        self.shared.has_left.store(true, Ordering::Release);
        self.shared.wake();
    }
}

impl std::fmt::Debug for FilePort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FilePort").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl PortEnd {
    /// Sends an answer. The bell is rung by [`PortEnd::ring`].
    pub(crate) fn answer(&mut self, id: u32, answer: Result<Answer, FileError>) {
        let sent = self.replies.push(Reply { id, answer });
        assert!(sent.is_ok(), "there is room for an answer to every question");
    }

    /// Wakes the shard, if it was not already and has not looked since.
    pub(crate) fn ring(&self) {
        fence(Ordering::SeqCst);
        if !self.shared.is_rung.swap(true, Ordering::Relaxed) {
            (self.bell)();
        }
    }
}

impl Drop for PortEnd {
    fn drop(&mut self) {
        self.shared.has_stopped.store(true, Ordering::Release);
        self.ring();
    }
}

impl Shared {
    /// Wakes the storage thread.
    fn wake(&self) {
        // It fails only when the counter is full, and then the thread is awake.
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }
}
