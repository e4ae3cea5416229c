//! What a shard holds of a mount: references to its last chunks.
//!
//! ```text
//!            oldest                                       head
//!              | chunk | chunk | chunk | chunk | chunk | chunk |      offsets rise →
//!  evicted ────┘     ^ sync            ^ sync        ^ sync    └──── push
//!                        ^ a listener's cursor: reads forward only
//! ```
//!
//! Invariants: the chunks are contiguous; within the limits, but always at least the newest chunk;
//! `syncs` holds the sync points of the chunks held and no others; a listener's cursor is never
//! written here, so ten thousand of them cost a window nothing.

use std::collections::VecDeque;
use std::ops::Range;
use std::rc::Rc;

use bytes::Bytes;

use crate::Chunk;
use crate::chunk::Mark;
use crate::timeline::Timeline;

/// Preludes remembered at a time; sync points whose prelude had to go are no longer joined.
const PRELUDES_MAX: usize = 16;
/// Title changes remembered at a time, besides the chunks that they lie in.
const TITLES_MAX: usize = 64;

/// How much a [`Window`] holds.
#[derive(Clone, Copy, Debug)]
pub struct WindowLimits {
    /// Bytes of media. The blocks these lie in may hold up to two blocks more.
    pub bytes_max: usize,
    /// Chunks, which bounds the bookkeeping when chunks are cut short by age.
    pub chunks_max: usize,
}

impl Default for WindowLimits {
    fn default() -> WindowLimits {
        WindowLimits { bytes_max: 512 * 1024, chunks_max: 1024 }
    }
}

/// A listener's place in a mount's stream: the absolute offset of the next byte it gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor(u64);

impl Cursor {
    /// A cursor at an offset.
    pub fn at(offset: u64) -> Cursor {
        Cursor(offset)
    }

    /// The offset of the next byte.
    pub fn offset(self) -> u64 {
        self.0
    }

    /// The cursor after `sent_bytes` more have gone out.
    #[must_use]
    pub fn advance(self, sent_bytes: u64) -> Cursor {
        Cursor(self.0 + sent_bytes)
    }

    /// Bytes of the window that this cursor has yet to get.
    pub fn lag(self, window: &Window) -> u64 {
        window.head().saturating_sub(self.0)
    }
}

/// Where a listener begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Join {
    /// Its first byte of the stream.
    pub cursor: Cursor,
    /// What it must get before that byte, such as the Ogg header pages. Often empty.
    pub prelude: Bytes,
}

/// A chunk did not begin where the window ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Where the window ended.
    pub expected: u64,
    /// Where the chunk begins. Beyond `expected`: the bytes between are lost to this shard, and
    /// the window begins anew at the chunk. Before it: the chunk was refused, as its bytes have
    /// been here before.
    pub found: u64,
}

/// The window no longer holds a cursor's next byte (or, after a mistake of ours, not yet): its
/// listener was too slow and is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Behind {
    /// The oldest offset that is still held.
    pub oldest: u64,
}

/// The last chunks of a mount, or of its titled rendition.
#[derive(Debug)]
pub struct Window {
    limits: WindowLimits,
    chunks: VecDeque<Held>,
    bytes_held: usize,
    syncs: VecDeque<u64>,
    /// Sync points before this have lost their prelude, to its bound.
    joins_from: u64,
    preludes: Timeline<Bytes, PRELUDES_MAX>,
    titles: Timeline<Rc<Bytes>, TITLES_MAX>,
}

/// A chunk as a shard holds it: a send pins its bytes by the `Rc`, which no other core writes.
#[derive(Debug)]
struct Held {
    offset: u64,
    bytes: Rc<Bytes>,
    mark: Mark,
}

impl Held {
    fn end(&self) -> u64 {
        self.offset + self.bytes.len() as u64
    }
}

impl Window {
    /// An empty window. Its first chunk may stand at any offset.
    pub fn new(limits: WindowLimits) -> Window {
        Window {
            limits,
            chunks: VecDeque::new(),
            bytes_held: 0,
            syncs: VecDeque::new(),
            joins_from: 0,
            preludes: Timeline::new(),
            titles: Timeline::new(),
        }
    }

    /// Appends the next chunk and forgets the oldest ones beyond the limits.
    ///
    /// # Errors
    ///
    /// [`Gap`], if the chunk does not begin at [`Window::head`]. If it begins later, it is the
    /// window's only chunk now and every cursor before it is [`Behind`]; if earlier, it is refused.
    pub fn push(&mut self, chunk: Chunk) -> Result<(), Gap> {
        if chunk.bytes.is_empty() {
            return Ok(());
        }
        let expected = self.head();
        let gap = !self.chunks.is_empty() && chunk.offset != expected;
        if gap && chunk.offset < expected {
            return Err(Gap { expected, found: chunk.offset });
        }
        if gap {
            self.chunks.clear();
            self.bytes_held = 0;
        }
        let found = chunk.offset;
        self.hold(chunk);
        self.evict();
        if gap { Err(Gap { expected, found }) } else { Ok(()) }
    }

    /// Puts a prelude in force for sync points at `from_offset` and after, until the next one. It
    /// may come before the chunks that it speaks of. An empty one says that none is needed there.
    pub fn set_prelude(&mut self, from_offset: u64, prelude: Bytes) {
        if let Some(known_from) = self.preludes.set(from_offset, prelude) {
            self.joins_from = known_from;
            self.forget_syncs_before(known_from);
        }
    }

    /// Says which title block is current from `from_offset` on. Needed only where the window
    /// begins behind the block itself: one that is pushed is learnt from its chunk.
    pub fn set_title(&mut self, from_offset: u64, block: Bytes) {
        self.titles.set(from_offset, Rc::new(block));
    }

    /// Where a new listener begins: the oldest sync point at most `burst_bytes` back from the
    /// head; if there is none, the newest sync point of all. `None` while there is no sync point.
    pub fn join(&self, burst_bytes: u64) -> Option<Join> {
        let from = self.head().saturating_sub(burst_bytes);
        self.next_sync(from).or_else(|| self.join_live())
    }

    /// The newest sync point: where a listener goes that is moved here, without a burst.
    pub fn join_live(&self) -> Option<Join> {
        self.syncs.back().map(|sync| self.join_at(*sync))
    }

    /// The first sync point at or after an offset, for a hand-over that waits for one.
    pub fn next_sync(&self, from: u64) -> Option<Join> {
        let index = self.syncs.partition_point(|sync| *sync < from);
        self.syncs.get(index).map(|sync| self.join_at(*sync))
    }

    /// Gives `sink` the pieces that lie at `cursor`, in order and contiguous: at most `bytes_max`
    /// bytes in at most `pieces_max` pieces. Returns the cursor behind the last one; the caller
    /// moves its own by what was really sent.
    ///
    /// # Errors
    ///
    /// [`Behind`], and no piece, if the window does not hold the cursor's next byte.
    pub fn read(
        &self,
        cursor: Cursor,
        bytes_max: usize,
        pieces_max: usize,
        sink: impl FnMut(&Rc<Bytes>, Range<usize>),
    ) -> Result<Cursor, Behind> {
        self.read_until(cursor, bytes_max, pieces_max, |_| false, sink)
    }

    /// As [`Window::read`], but no further than the next title block, unless `cursor` stands
    /// inside it: for a listener whose first block is due. At the block itself it reads nothing.
    ///
    /// # Errors
    ///
    /// As [`Window::read`].
    pub fn read_to_title(
        &self,
        cursor: Cursor,
        bytes_max: usize,
        pieces_max: usize,
        sink: impl FnMut(&Rc<Bytes>, Range<usize>),
    ) -> Result<Cursor, Behind> {
        self.read_until(cursor, bytes_max, pieces_max, Mark::is_title, sink)
    }

    /// The chunks from the one that holds `from_offset`, or from the oldest if that is gone: what
    /// a subscribed shard has not had. Begin where its first listener joins; go on at
    /// [`Chunk::end`] of the last one it took.
    pub fn chunks(&self, from_offset: u64) -> Chunks<'_> {
        Chunks { window: self, index: self.index_of(from_offset) }
    }

    /// The offset of the oldest byte held; the head, if none is.
    pub fn oldest(&self) -> u64 {
        self.chunks.front().map_or(0, |held| held.offset)
    }

    /// The offset just behind the newest byte; zero before the first chunk.
    pub fn head(&self) -> u64 {
        self.chunks.back().map_or(0, |held| held.end())
    }

    /// Bytes of media held.
    pub fn bytes_held(&self) -> usize {
        self.bytes_held
    }

    /// The prelude in force at an offset, which a shard that subscribes from there must be told.
    pub fn prelude_at(&self, offset: u64) -> Bytes {
        self.preludes.at(offset).cloned().unwrap_or_default()
    }

    /// The title block that is current at an offset, which a shard that subscribes from there must
    /// be told.
    pub fn title_at(&self, offset: u64) -> Option<&Rc<Bytes>> {
        self.titles.at(offset)
    }

    /// The title block that begins exactly at an offset.
    pub(crate) fn title_block(&self, offset: u64) -> Option<&Rc<Bytes>> {
        let held = self.chunks.get(self.index_of(offset))?;
        (held.mark.is_title() && held.offset == offset).then_some(&held.bytes)
    }

    /// Whether an offset stands within a title block, behind its first byte.
    pub(crate) fn inside_title(&self, offset: u64) -> bool {
        let held = self.chunks.get(self.index_of(offset));
        held.is_some_and(|held| held.mark.is_title() && held.offset < offset)
    }

    /// Whether an offset is the head, and a title block ends there.
    pub(crate) fn ends_with_title(&self, offset: u64) -> bool {
        let newest = self.chunks.back();
        newest.is_some_and(|held| held.mark.is_title() && held.end() == offset)
    }

    /// The last sync point at or before an offset.
    pub fn sync_at_or_before(&self, offset: u64) -> Option<u64> {
        let after = self.syncs.partition_point(|sync| *sync <= offset);
        after.checked_sub(1).map(|index| self.syncs[index])
    }

    fn join_at(&self, sync: u64) -> Join {
        Join { cursor: Cursor(sync), prelude: self.prelude_at(sync) }
    }

    fn read_until(
        &self,
        cursor: Cursor,
        bytes_max: usize,
        pieces_max: usize,
        stop_before: impl Fn(Mark) -> bool,
        mut sink: impl FnMut(&Rc<Bytes>, Range<usize>),
    ) -> Result<Cursor, Behind> {
        let oldest = self.oldest();
        if cursor.0 < oldest || cursor.0 > self.head() {
            return Err(Behind { oldest });
        }
        let mut at = cursor.0;
        let mut bytes_left = bytes_max;
        for held in self.chunks.range(self.index_of(at)..).take(pieces_max) {
            if bytes_left == 0 {
                break;
            }
            let begin = (at - held.offset) as usize;
            if begin == 0 && stop_before(held.mark) {
                break;
            }
            let piece_bytes = bytes_left.min(held.bytes.len() - begin);
            sink(&held.bytes, begin..begin + piece_bytes);
            bytes_left -= piece_bytes;
            at += piece_bytes as u64;
        }
        Ok(Cursor(at))
    }

    /// The index of the chunk that holds an offset: the oldest's for what is gone, one past the
    /// last for the head and beyond.
    fn index_of(&self, offset: u64) -> usize {
        self.chunks.partition_point(|held| held.end() <= offset)
    }

    fn hold(&mut self, chunk: Chunk) {
        let sync = chunk.sync_offset().filter(|sync| *sync >= self.joins_from);
        self.syncs.extend(sync);
        let held = Held { offset: chunk.offset, bytes: Rc::new(chunk.bytes), mark: chunk.mark };
        if held.mark.is_title() && held.bytes.len() > 1 {
            self.titles.set(held.offset, Rc::clone(&held.bytes));
        }
        self.bytes_held += held.bytes.len();
        self.chunks.push_back(held);
    }

    fn evict(&mut self) {
        while self.chunks.len() > 1
            && (self.bytes_held > self.limits.bytes_max
                || self.chunks.len() > self.limits.chunks_max)
        {
            let gone = self.chunks.pop_front().expect("more than one chunk is held");
            self.bytes_held -= gone.bytes.len();
        }
        let oldest = self.oldest();
        self.forget_syncs_before(oldest);
        self.preludes.forget_before(oldest);
        self.titles.forget_before(oldest);
    }

    fn forget_syncs_before(&mut self, offset: u64) {
        while self.syncs.front().is_some_and(|sync| *sync < offset) {
            self.syncs.pop_front();
        }
    }
}

/// Iterator over [`Window::chunks`].
#[derive(Debug)]
pub struct Chunks<'a> {
    window: &'a Window,
    index: usize,
}

impl Iterator for Chunks<'_> {
    type Item = Chunk;

    fn next(&mut self) -> Option<Chunk> {
        let held = self.window.chunks.get(self.index)?;
        self.index += 1;
        Some(Chunk { offset: held.offset, bytes: Bytes::clone(&held.bytes), mark: held.mark })
    }
}
