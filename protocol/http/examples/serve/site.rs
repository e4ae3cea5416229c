//! What a shard serves: its handle on the files, and the header lines of this second.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use protocol_http::write_http_date;

use super::files::{File, Files};

/// One shard's view.
pub struct Site {
    files: Arc<Files>,
    /// The contents again, counted by a number that no other core touches: a send that pins a file
    /// costs no atomic.
    blocks: Vec<Rc<Bytes>>,
    second: u64,
    lines: Vec<u8>,
}

impl Site {
    pub fn new(files: Arc<Files>) -> Site {
        let blocks = files.iter().map(|file| Rc::new(file.contents.clone())).collect();
        let mut site = Site { files, blocks, second: 0, lines: Vec::new() };
        site.render_lines();
        site
    }

    /// Told the time, in seconds since 1970, before every event.
    pub fn set_time(&mut self, second: u64) {
        if second != self.second {
            self.second = second;
            self.render_lines();
        }
    }

    /// `Server` and `Date`, each with its CR LF.
    pub fn lines(&self) -> &[u8] {
        &self.lines
    }

    /// The number of the file with this path.
    pub fn find(&self, path: &str) -> Option<usize> {
        self.files.find(path)
    }

    /// A file, and its contents for a send.
    pub fn file(&self, index: usize) -> (&File, &Rc<Bytes>) {
        (self.files.get(index), &self.blocks[index])
    }

    fn render_lines(&mut self) {
        self.lines.clear();
        self.lines.extend_from_slice(b"Server: serve\r\nDate: ");
        write_http_date(self.second, &mut self.lines);
        self.lines.extend_from_slice(b"\r\n");
    }
}
