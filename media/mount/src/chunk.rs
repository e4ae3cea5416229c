//! The unit of fan-out: an immutable, contiguous piece of a mount's stream.
//!
//! ```text
//!  block (64 KiB, append-only)   |........|=========|........|   free   |
//!  chunk                                   ^ bytes ^   a counted reference into the block
//!                                offset ───┘  ^ sync: first place a decoder may start, if any
//! ```
//!
//! A chunk crosses cores inside a message of at most 64 bytes, which is why it is packed to 48.

use bytes::Bytes;

/// An immutable, contiguous piece of a mount's stream. Cloning it copies no media.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Where its first byte stands in the stream, counted from the stream's very first byte.
    pub offset: u64,
    /// The bytes themselves: a reference into the block they were written to.
    pub bytes: Bytes,
    pub(crate) mark: Mark,
}

/// What is special about a chunk, in eight bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// The sync place within the bytes, or [`NO_SYNC`].
    sync: u32,
    title: bool,
}

const NO_SYNC: u32 = u32::MAX;

impl Mark {
    pub(crate) fn sync(self) -> Option<u32> {
        (self.sync != NO_SYNC).then_some(self.sync)
    }

    pub(crate) fn is_title(self) -> bool {
        self.title
    }
}

const _: () = assert!(size_of::<Chunk>() <= 48, "a chunk must fit a message between cores");

impl Chunk {
    /// A chunk of media. `sync` is the first place within `bytes` where a decoder may start.
    pub fn new(offset: u64, bytes: Bytes, sync: Option<u32>) -> Chunk {
        debug_assert!(sync.is_none_or(|sync| (sync as usize) < bytes.len()));
        let mark = Mark { sync: sync.unwrap_or(NO_SYNC), title: false };
        Chunk { offset, bytes, mark }
    }

    /// One whole ICY title block, of a titled rendition: a length byte and what it announces. A
    /// block of a single zero byte says "unchanged".
    pub fn title(offset: u64, block: Bytes) -> Chunk {
        Chunk { offset, bytes: block, mark: Mark { sync: NO_SYNC, title: true } }
    }

    /// The first place within `bytes` where a decoder may start.
    pub fn sync(&self) -> Option<u32> {
        self.mark.sync()
    }

    /// The same place as an absolute offset.
    pub fn sync_offset(&self) -> Option<u64> {
        self.sync().map(|sync| self.offset + u64::from(sync))
    }

    /// Whether this is a title block, not media.
    pub fn is_title(&self) -> bool {
        self.mark.is_title()
    }

    /// The offset just after its last byte.
    pub fn end(&self) -> u64 {
        self.offset + self.bytes.len() as u64
    }
}
