//! The titled rendition of a mount: its media with an ICY title block after every `metaint` bytes.
//!
//! ```text
//!  mount      |        chunk        |      chunk      | …
//!  rendition  |   metaint bytes   |T|   metaint bytes   |T| …     its own offsets, its own Window
//!             ^ sync                ^ sync                ^ sync  (just behind a block)
//!  T          the full block once when the title changed, else the single byte 0
//! ```
//!
//! The media is not copied: the rendition's chunks are slices of the mount's. All titled listeners
//! share the rendition and are plain cursors into it, but for one block: someone who has just
//! joined must be told the current title where the rendition says "unchanged". He reads with
//! [`Window::read_to_title`] up to his first block, sends what [`Window::title_due`] gives instead
//! of it, and reads on with [`Window::read`] behind it.
//!
//! Someone who is moved from one mount to another has counted some of the `metaint` bytes already:
//! [`Window::title_phase`] says how many, [`Window::join_at_phase`] finds where he may go on.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::rc::Rc;

use bytes::Bytes;

use crate::{Chunk, Cursor, Join, Window};

/// What a listener sends in place of the first shared block it meets. It has the cursor move
/// to `after` once `block` is out, as if the shared block had been sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TitleDue {
    /// The full block of the title that is current at this place.
    pub block: Rc<Bytes>,
    /// Just behind the shared block.
    pub after: Cursor,
}

/// Makes the titled rendition from a mount's chunks. Drain [`Titled::poll`] to `None` after every
/// [`Titled::push`].
#[derive(Debug)]
pub struct Titled {
    metaint: u32,
    /// Media bytes until the next block.
    media_left: u32,
    offset: u64,
    /// The current title's block.
    title: Option<Bytes>,
    /// The last block that was put in full.
    announced: Option<Bytes>,
    complete: VecDeque<Chunk>,
}

/// The block that says "unchanged".
const UNCHANGED: Bytes = Bytes::from_static(&[0]);

impl Titled {
    /// A rendition with a block after every `metaint` bytes, whose first byte stands at `offset`.
    /// A `metaint` of some hundred bytes or more keeps the chunks worth their price.
    pub fn new(metaint: NonZeroU32, offset: u64) -> Titled {
        let metaint = metaint.get();
        Titled {
            metaint,
            media_left: metaint,
            offset,
            title: None,
            announced: None,
            complete: VecDeque::new(),
        }
    }

    /// Makes `block` the current title: a complete, length-prefixed ICY block. It stands in full
    /// at the next place for one, unless it says what the last full one said.
    pub fn set_title(&mut self, block: Bytes) {
        self.title = Some(block);
    }

    /// Appends media: the bytes of the mount's next chunk, which are shared and not copied.
    pub fn push(&mut self, media: &Bytes) {
        let mut from = 0;
        while from < media.len() {
            let sync = (self.media_left == self.metaint).then_some(0);
            let piece_bytes = (media.len() - from).min(self.media_left as usize);
            let piece = media.slice(from..from + piece_bytes);
            self.complete(Chunk::new(self.offset, piece, sync));
            from += piece_bytes;
            self.media_left -= piece_bytes as u32;
            if self.media_left == 0 {
                self.media_left = self.metaint;
                let block = self.next_block();
                self.complete(Chunk::title(self.offset, block));
            }
        }
    }

    /// The next chunk of the rendition.
    pub fn poll(&mut self) -> Option<Chunk> {
        self.complete.pop_front()
    }

    /// Where the next byte of the rendition will stand.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    fn next_block(&mut self) -> Bytes {
        match &self.title {
            Some(block) if self.announced.as_ref() != Some(block) => {
                self.announced.insert(block.clone()).clone()
            }
            _ => UNCHANGED,
        }
    }

    fn complete(&mut self, chunk: Chunk) {
        self.offset = chunk.end();
        self.complete.push_back(chunk);
    }
}

impl Window {
    /// The block to send in place of the shared one at `cursor`, for a listener that has had none
    /// yet: the current title in full (the shared block itself, where no title was ever set).
    /// `None` where no block begins at `cursor`.
    pub fn title_due(&self, cursor: Cursor) -> Option<TitleDue> {
        let shared = self.title_block(cursor.offset())?;
        let block = self.title_at(cursor.offset()).unwrap_or(shared).clone();
        Some(TitleDue { block, after: cursor.advance(shared.len() as u64) })
    }

    /// How many media bytes lie between the last title block and `cursor`. `None` inside a block,
    /// which must be finished first, and where the window no longer knows.
    pub fn title_phase(&self, cursor: Cursor) -> Option<u64> {
        let offset = cursor.offset();
        if self.ends_with_title(offset) {
            return Some(0); // The media that would carry the sync mark is yet to come.
        }
        if offset > self.head() || self.inside_title(offset) {
            return None;
        }
        self.sync_at_or_before(offset).map(|sync| offset - sync)
    }

    /// The newest place that is `phase` media bytes behind a title block: where a listener with
    /// that [`Window::title_phase`] goes on, from another rendition of the same `metaint`, so that
    /// its count still holds. Its next block should be its own ([`Window::title_due`]).
    pub fn join_at_phase(&self, phase: u64) -> Option<Join> {
        let sync = self.sync_at_or_before(self.head().checked_sub(phase)?)?;
        Some(Join { cursor: Cursor::at(sync + phase), prelude: self.prelude_at(sync) })
    }
}
