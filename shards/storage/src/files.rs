//! Files that shards serve: opened and read on the storage thread, so that no shard ever waits for
//! a disk.
//!
//! ```text
//!  shard:  Files ── FileCache      small files, asked after at most once a second
//!            │
//!         FilePort ══ requests ══►  storage thread: openat2 under the root, reads what the page
//!            ▲                      cache has at once, and the rest through the ring
//!            ╚═══════ answers ═════ and rings the shard
//! ```
//!
//! Invariants: what is asked and not answered is bounded by the port, and an answer has room before
//! its question is sent; a file that was changed while it is read ends with an error and never as a
//! mixture of two; each answer is about the file that was opened, whatever its name means by now.

pub(crate) mod cache;
pub(crate) mod download;
pub(crate) mod open;
pub(crate) mod path;
pub(crate) mod port;
pub(crate) mod service;
pub(crate) mod shard;

use std::fmt;

/// Names a directory of one `Storage` that files are served from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RootId(pub(crate) usize);

/// Names a file that the storage thread holds open for one port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileId {
    pub index: u32,
    pub generation: u32,
}

/// Which precompressed variants the asker can use, beside the file as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Codings {
    /// `.br`, taken first.
    pub brotli: bool,
    /// `.gz`.
    pub gzip: bool,
}

/// Which variant of a file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// The file as it is.
    Identity,
    /// The one whose name ends with `.br`.
    Brotli,
    /// The one whose name ends with `.gz`.
    Gzip,
}

/// What tells one content from another: equal versions are the same bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileVersion {
    /// The inode's number.
    pub inode: u64,
    /// Bytes in the file.
    pub size_bytes: u64,
    /// When its bytes were last changed, nanoseconds since 1970.
    pub modified_ns: i128,
}

/// A file that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileInfo {
    /// Which content it has.
    pub version: FileVersion,
    /// Which variant it is.
    pub coding: Coding,
    /// Whether the answer depends on what codings were asked for (`Vary`).
    pub has_variants: bool,
}

impl FileInfo {
    /// Bytes in the file.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.version.size_bytes
    }

    /// When its bytes were last changed, seconds since 1970; 0 for what is older.
    #[must_use]
    pub fn modified_unix_seconds(&self) -> u64 {
        u64::try_from(self.version.modified_ns / 1_000_000_000).unwrap_or(0)
    }

    /// A strong entity tag (RFC 9110 §8.8.3) of inode, size and time, with its quotes.
    #[must_use]
    pub fn etag(&self) -> String {
        let FileVersion { inode, size_bytes, modified_ns } = self.version;
        format!("\"{inode:x}-{size_bytes:x}-{modified_ns:x}\"")
    }
}

/// Why there is no file, or no more of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileError {
    /// There is none of this name.
    NotFound,
    /// It is a directory.
    Directory,
    /// The process may not read it.
    Denied,
    /// The path is not one that is served: it leads out of the root, is hidden, or could be read in
    /// two ways. Also what is neither a file nor a directory.
    Refused,
    /// The file was changed while it was read. What was read of it is not all of one content.
    Changed,
    /// A limit: too many questions, files or bytes at once.
    Busy,
    /// The disk failed.
    Failed,
    /// The storage thread has stopped.
    Stopped,
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FileError::NotFound => "there is no such file",
            FileError::Directory => "it is a directory",
            FileError::Denied => "the file may not be read",
            FileError::Refused => "the path is not served",
            FileError::Changed => "the file was changed while it was read",
            FileError::Busy => "too many files are read at once",
            FileError::Failed => "the file cannot be read",
            FileError::Stopped => "the storage has stopped",
        })
    }
}

impl std::error::Error for FileError {}

/// What bounds one shard's reading.
#[derive(Clone, Copy, Debug)]
pub struct FileLimits {
    /// Questions without an answer.
    pub questions_max: usize,
    /// Files that are held open.
    pub open_files_max: usize,
    /// Bytes that are being read, and of large files those that are not yet dropped by who asked.
    pub read_bytes_max: usize,
    /// Bytes of one read of a large file.
    pub block_bytes: u32,
    /// Reads that wait for the disk at once.
    pub disk_reads_max: usize,
    /// A file of at most so many bytes is read whole, and cached.
    pub small_file_bytes_max: u32,
    /// Bytes of cached files.
    pub cache_bytes_max: usize,
    /// Files in the cache.
    pub cache_files_max: usize,
    /// For how long a cached file is served without asking whether it is still the same.
    pub cache_fresh: std::time::Duration,
}

impl Default for FileLimits {
    fn default() -> FileLimits {
        FileLimits {
            questions_max: 4096,
            open_files_max: 1024,
            read_bytes_max: 64 * 1024 * 1024,
            block_bytes: 256 * 1024,
            disk_reads_max: 32,
            small_file_bytes_max: 128 * 1024,
            cache_bytes_max: 32 * 1024 * 1024,
            cache_files_max: 4096,
            cache_fresh: std::time::Duration::from_secs(1),
        }
    }
}

/// What one shard's reading came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileCounters {
    /// Files found in the cache.
    pub cache_hits: u64,
    /// Questions put to the storage thread.
    pub questions: u64,
    /// Questions refused at a limit.
    pub refused: u64,
    /// Files that were changed while they were read.
    pub changed: u64,
    /// Bytes read.
    pub read_bytes: u64,
}
