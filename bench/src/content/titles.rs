//! Takes the title blocks out of a stream that was asked for with `Icy-MetaData: 1`.
//!
//! ```text
//! metaint bytes of media │ n │ n × 16 bytes: StreamTitle='…'; padded with NUL │ media …
//! ```

const BLOCK_UNIT_BYTES: usize = 16;

/// Where a titled stream stands.
#[derive(Debug)]
pub(crate) struct Titles {
    metaint: usize,
    media_left: usize,
    /// The block being read, and its whole length.
    block: Vec<u8>,
    block_bytes: Option<usize>,
    blocks: u64,
    last: Option<String>,
    failure: Option<String>,
}

impl Titles {
    /// A stream with a block after every `metaint` bytes of media.
    pub(crate) fn new(metaint: usize) -> Self {
        Titles {
            metaint,
            media_left: metaint,
            block: Vec::new(),
            block_bytes: None,
            blocks: 0,
            last: None,
            failure: None,
        }
    }

    /// Gives the media in `bytes` to `media` and keeps the blocks.
    pub(crate) fn split(&mut self, mut bytes: &[u8], mut media: impl FnMut(&[u8])) {
        while !bytes.is_empty() {
            if self.media_left > 0 {
                let (now, later) = bytes.split_at(self.media_left.min(bytes.len()));
                media(now);
                self.media_left -= now.len();
                bytes = later;
                continue;
            }
            let Some(length) = self.block_bytes else {
                self.block_bytes = Some(usize::from(bytes[0]) * BLOCK_UNIT_BYTES);
                bytes = &bytes[1..];
                self.finish_block();
                continue;
            };
            let (now, later) = bytes.split_at((length - self.block.len()).min(bytes.len()));
            self.block.extend_from_slice(now);
            bytes = later;
            self.finish_block();
        }
    }

    /// Blocks seen, empty ones included.
    pub(crate) fn blocks(&self) -> u64 {
        self.blocks
    }

    /// The latest title, if one came.
    pub(crate) fn last(&self) -> Option<&str> {
        self.last.as_deref()
    }

    /// What was wrong, if anything was.
    pub(crate) fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    fn finish_block(&mut self) {
        if self.block_bytes != Some(self.block.len()) {
            return;
        }
        self.blocks += 1;
        if !self.block.is_empty() {
            match title_of(&self.block) {
                Some(title) => self.last = Some(title),
                None => {
                    self.failure = Some(format!("block {} is not a title block", self.blocks));
                }
            }
        }
        self.block.clear();
        self.block_bytes = None;
        self.media_left = self.metaint;
    }
}

/// The title of a block: what is between `StreamTitle='` and the first `';`.
fn title_of(block: &[u8]) -> Option<String> {
    let padding_at = block.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    let text = String::from_utf8_lossy(&block[..padding_at]);
    let (title, _) = text.strip_prefix("StreamTitle='")?.split_once("';")?;
    Some(title.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_taken_out_in_any_pieces() {
        let mut stream = Vec::new();
        stream.extend([b'a'; 10]);
        stream.push(2);
        stream.extend(b"StreamTitle='One - Two';\0\0\0\0\0\0\0\0");
        stream.extend([b'b'; 10]);
        stream.push(0);
        stream.extend([b'c'; 5]);
        for step in 1..stream.len() {
            let mut titles = Titles::new(10);
            let mut media = Vec::new();
            for piece in stream.chunks(step) {
                titles.split(piece, |bytes| media.extend_from_slice(bytes));
            }
            assert_eq!(media, b"aaaaaaaaaabbbbbbbbbbccccc");
            assert_eq!((titles.blocks(), titles.last()), (2, Some("One - Two")));
            assert_eq!(titles.failure(), None);
        }
    }

    #[test]
    fn a_block_that_is_media_is_noticed() {
        let mut titles = Titles::new(4);
        titles.split(b"aaaa\x01bbbbbbbbbbbbbbbbcccc", |_| {});
        assert!(titles.failure().is_some());
    }
}
