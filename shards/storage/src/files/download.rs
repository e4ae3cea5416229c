//! A range of a large file on its way to somebody: what was asked for, what has come, what was
//! taken. It asks for a block while the one before it is being sent, and for no more.

use std::ops::Range;
use std::rc::Rc;

use bytes::Bytes;

use super::FileError;
use super::shard::{Files, LargeFile};

/// Blocks that wait to be taken.
const BLOCKS_MAX: usize = 2;

/// A range of a large file, block by block, in order.
#[derive(Debug)]
pub struct Download {
    file: Rc<LargeFile>,
    /// Not asked for yet.
    rest: Range<u64>,
    blocks: [Option<Bytes>; BLOCKS_MAX],
    is_asked: bool,
}

impl Download {
    /// A download of `range`, which has to be within the file.
    #[must_use]
    pub fn new(file: Rc<LargeFile>, range: Range<u64>) -> Download {
        let end = range.end.min(file.size_bytes);
        let rest = range.start.min(end)..end;
        Download { file, rest, blocks: [None, None], is_asked: false }
    }

    /// Asks for the next block, if it is time: to be called at the beginning and after each
    /// [`Download::take`] and [`Download::arrived`]. The answer comes with `tag`.
    ///
    /// # Errors
    /// As [`Files::read`]; after [`FileError::Busy`] it may be called again later.
    pub fn ask(&mut self, files: &mut Files, tag: u64) -> Result<(), FileError> {
        let has_room = self.blocks[BLOCKS_MAX - 1].is_none();
        if self.is_asked || self.rest.is_empty() || !has_room {
            return Ok(());
        }
        files.read(&self.file, self.rest.start, self.rest.end - self.rest.start, tag)?;
        self.is_asked = true;
        Ok(())
    }

    /// Takes the answer to [`Download::ask`].
    ///
    /// # Errors
    /// The file cannot be sent to its end: it was changed, or cannot be read. What was promised of
    /// its length cannot be kept, so the connection has to be closed.
    ///
    /// # Panics
    /// If nothing was asked.
    pub fn arrived(&mut self, result: Result<Bytes, FileError>) -> Result<(), FileError> {
        assert!(std::mem::take(&mut self.is_asked), "an answer follows a question");
        let block = result?;
        if block.is_empty() {
            return Err(FileError::Changed);
        }
        self.rest.start += block.len() as u64;
        let room = self.blocks.iter_mut().find(|block| block.is_none());
        *room.expect("it was asked for because there was room") = Some(block);
        Ok(())
    }

    /// The next block, if it is there.
    pub fn take(&mut self) -> Option<Bytes> {
        let block = self.blocks[0].take();
        self.blocks.rotate_left(1);
        block
    }

    /// Whether every byte was taken.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.rest.is_empty() && self.blocks[0].is_none()
    }
}
