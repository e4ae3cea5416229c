//! What a request for a file is answered with: conditions and ranges decided, the head's lines
//! written, and a body that is taken piece by piece as the client takes it.
//!
//! *Invariant:* a file that cannot be sent to its end ends the connection, so that nobody takes a
//! part, or two contents, for the whole.

use std::hash::{BuildHasher, RandomState};
use std::ops::Range;
use std::rc::Rc;

use bytes::Bytes;
use protocol_http::{
    ByteRanges, Ranges, RequestHead, ResponseWriter, Selection, Status, VARY_CODING, Validators,
    write_unsatisfied_range,
};
use shards_runtime::Token;
use shards_storage::{Coding, Content, Download, File, FileError};

use crate::disk::{Disk, tag};
use crate::limits::BLOCK_BYTES_MAX;
use crate::program::Block;

/// Writes answers for one shard.
#[derive(Debug, Default)]
pub struct FileAnswers {
    /// Where boundaries between ranges come from: nobody who writes a file can know one.
    boundaries: RandomState,
    boundaries_count: u64,
    /// The lines of the present answer.
    lines: Vec<u8>,
}

/// The answer to a request for a file.
#[derive(Debug)]
pub struct FileAnswer<'l> {
    /// The status: 200, 206, 304, 412 or 416.
    pub status: Status,
    /// Whole lines of the head, without those that every answer has and without its length.
    pub lines: &'l [u8],
    /// How long the body is. Of a 304 there is none, nor a length.
    pub body_bytes: u64,
    /// The body, for whoever is to get it: not for `HEAD`.
    pub body: FileBody,
}

/// What is still to be sent of a file; at first, and in the end, nothing.
#[derive(Debug, Default)]
pub struct FileBody {
    /// Of a small file.
    rest: Option<Block>,
    /// Of a large one.
    download: Option<Box<Download>>,
    /// The ranges behind that.
    parts: Option<Box<Parts>>,
}

/// The next of a body.
#[derive(Debug)]
pub enum Next {
    /// Bytes of the file.
    Block(Block),
    /// What stands between ranges.
    Text(Vec<u8>),
    /// They are being read: they come by [`FileBody::arrived`].
    Later,
    /// That was all.
    End,
}

/// Several ranges of a file.
#[derive(Debug)]
struct Parts {
    ranges: ByteRanges,
    media_type: &'static str,
    content: Content,
}

impl FileAnswers {
    /// Decides what is answered to this head for the file that its path meant.
    pub fn answer(&mut self, head: &RequestHead<'_>, path: &str, file: &File) -> FileAnswer<'_> {
        let (etag, modified) = (file.info.etag(), file.info.modified_unix_seconds());
        let media_type = media_type(path);
        let length_bytes = file.info.size_bytes();
        let validators = Validators { etag: Some(&etag), modified_unix_seconds: Some(modified) };
        let selection = Selection::of(head.method, &head.headers, validators, length_bytes);
        let mut body = FileBody::default();
        let (status, range) = match selection {
            Selection::Whole => (Status::OK, 0..length_bytes),
            Selection::Part(range) => (Status::PARTIAL_CONTENT, range.first..range.last + 1),
            Selection::Parts(ranges) => {
                body.parts = self.parts(media_type, file, &ranges);
                let is_shorter = body.parts.is_some();
                let status = if is_shorter { Status::PARTIAL_CONTENT } else { Status::OK };
                (status, 0..length_bytes)
            }
            Selection::NotModified => (Status::NOT_MODIFIED, 0..0),
            Selection::ConditionFailed => (Status::PRECONDITION_FAILED, 0..0),
            Selection::Unsatisfiable => (Status::RANGE_NOT_SATISFIABLE, 0..0),
        };
        self.lines.clear();
        let mut lines = ResponseWriter::append_to(&mut self.lines);
        if file.info.has_variants {
            lines.raw_lines(VARY_CODING);
        }
        let mut body_bytes = range.end - range.start;
        match status {
            Status::OK | Status::PARTIAL_CONTENT => {
                lines.header("ETag", &etag);
                lines.header_date("Last-Modified", modified);
                match file.info.coding {
                    Coding::Identity => {}
                    Coding::Brotli => _ = lines.raw_lines(b"Content-Encoding: br\r\n"),
                    Coding::Gzip => _ = lines.raw_lines(b"Content-Encoding: gzip\r\n"),
                }
                if let Some(parts) = &body.parts {
                    let mut value = Vec::with_capacity(80);
                    parts.ranges.write_content_type(&mut value);
                    lines.header("Content-Type", value);
                    body_bytes = parts.ranges.content_length();
                } else {
                    lines.header("Content-Type", media_type).header("Accept-Ranges", "bytes");
                    body.begin(&file.content, range);
                }
            }
            Status::NOT_MODIFIED => {
                lines.header("ETag", &etag);
                lines.header_date("Last-Modified", modified);
            }
            Status::RANGE_NOT_SATISFIABLE => {
                let mut value = Vec::with_capacity(30);
                write_unsatisfied_range(length_bytes, &mut value);
                lines.header("Content-Range", value);
            }
            _ => {}
        }
        if let Selection::Part(range) = selection {
            let mut value = Vec::with_capacity(60);
            range.write_content_range(length_bytes, &mut value);
            lines.header("Content-Range", value);
        }
        FileAnswer { status, lines: &self.lines, body_bytes, body }
    }

    /// Several ranges, where they are shorter than the whole.
    fn parts(
        &mut self,
        media_type: &'static str,
        file: &File,
        ranges: &Ranges,
    ) -> Option<Box<Parts>> {
        self.boundaries_count += 1;
        let number = self.boundaries_count;
        let half = |which: u64| u128::from(self.boundaries.hash_one((number, which)));
        let seed = half(0) << 64 | half(1);
        let ranges = ByteRanges::new(seed, media_type, file.info.size_bytes(), ranges)?;
        Some(Box::new(Parts { ranges, media_type, content: file.content.clone() }))
    }
}

impl FileBody {
    /// Whether nothing is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rest.is_none() && self.download.is_none() && self.parts.is_none()
    }

    /// Takes the next of it out. [`FileBody::read_on`] afterwards.
    pub fn take(&mut self) -> Next {
        loop {
            if let Some(download) = &mut self.download {
                if let Some(bytes) = download.take() {
                    return Next::Block(Block::from(bytes));
                }
                if !download.is_finished() {
                    return Next::Later;
                }
                self.download = None;
            } else if let Some(Block { bytes, start, end }) = self.rest.take() {
                let until = end.min(start + BLOCK_BYTES_MAX);
                if until < end {
                    self.rest = Some(Block { bytes: Rc::clone(&bytes), start: until, end });
                }
                return Next::Block(Block { bytes, start, end: until });
            } else if let Some(parts) = &mut self.parts {
                let mut head = Vec::with_capacity(160);
                match parts.ranges.next_part(parts.media_type, &mut head) {
                    Some(range) => {
                        let content = parts.content.clone();
                        self.begin(&content, range.first..range.last + 1);
                    }
                    None => self.parts = None,
                }
                return Next::Text(head);
            } else {
                return Next::End;
            }
        }
    }

    /// Has the next block read while this one is sent.
    ///
    /// # Errors
    /// It cannot be sent to its end: the connection has to be closed.
    pub fn read_on(&mut self, disk: &mut Disk, token: Token) -> Result<(), FileError> {
        match &mut self.download {
            Some(download) => download.ask(&mut disk.files, tag(token)),
            None => Ok(()),
        }
    }

    /// A block has come, or will not.
    ///
    /// # Errors
    /// As [`FileBody::read_on`].
    pub fn arrived(&mut self, result: Result<Bytes, FileError>) -> Result<(), FileError> {
        match &mut self.download {
            Some(download) => download.arrived(result),
            None => Ok(()),
        }
    }

    fn begin(&mut self, content: &Content, range: Range<u64>) {
        match content {
            // Small files are far below 4 GiB.
            Content::Whole(bytes) => {
                let (start, end) = (range.start as u32, range.end as u32);
                self.rest = (start < end).then(|| Block { bytes: Rc::clone(bytes), start, end });
            }
            Content::Large(file) => {
                self.download = Some(Box::new(Download::new(Rc::clone(file), range)));
            }
        }
    }
}

/// The file that a path means: of one that ends with a slash, the index there.
#[must_use]
pub fn name_of<'p>(path: &'p str, index: &str) -> std::borrow::Cow<'p, str> {
    match path.is_empty() || path.ends_with('/') {
        true => format!("{path}{index}").into(),
        false => path.into(),
    }
}

/// For `Content-Type`, by the name.
fn media_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "html" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "json" => "application/json",
        "txt" | "md" => "text/plain; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "avif" => "image/avif",
        "ico" => "image/vnd.microsoft.icon",
        "woff2" => "font/woff2",
        "xml" => "application/xml",
        "pdf" => "application/pdf",
        "mp3" => "audio/mpeg",
        "ogg" | "oga" | "opus" => "audio/ogg",
        "flac" => "audio/flac",
        "aac" => "audio/aac",
        "m4a" => "audio/mp4",
        "mp4" => "video/mp4",
        "webm" => "video/webm",
        "mkv" => "video/matroska",
        "m3u8" => "application/vnd.apple.mpegurl",
        "wasm" => "application/wasm",
        _ => "application/octet-stream",
    }
}
