//! Files, off the hot path: what shards may write without ever waiting for a disk.
//!
//! All file work of the process runs on one glommio executor, a thread of its own, best pinned to
//! a core without a shard. Its first user is the log: a shard appends whole lines to its
//! [`LogPort`], a bounded queue that it alone fills; the executor empties all ports of a log every
//! [`StorageConfig::drain_every`] and appends them to the file in one write.
//!
//! ```text
//!  shard 0 ── LogPort ──┐                    ┌─ access log   (backlog → one write a round)
//!  shard 1 ── LogPort ──┼── storage thread ──┤
//!  shard 2 ── LogPort ──┘                    └─ playlist log
//! ```
//!
//! Its second is files that shards serve: a shard has [`Files`], which find, cache and read them
//! (`src/files.rs`), and is rung when there is an answer.
//!
//! # Driving it
//!
//! ```no_run
//! # fn run() -> std::io::Result<()> {
//! use shards_storage::{FileLimits, Storage, StorageConfig};
//!
//! let storage = Storage::start(StorageConfig { core: Some(0), ..StorageConfig::default() })?;
//! let access = storage.log("access.log".as_ref())?;
//! let mut port = storage.port(access); // one for each shard, moved there
//! let _kept = port.append(b"127.0.0.1 - - ...".to_vec()); // never waits
//! # let ring_the_shard = || {};
//! let root = storage.root("htdocs".as_ref())?;
//! let port = storage.file_port(FileLimits::default(), ring_the_shard)?; // likewise
//! # let _ = (root, port);
//! storage.reopen()?; // on SIGHUP, after the file was renamed
//! let counters = storage.stop();
//! # drop(counters); Ok(())
//! # }
//! ```
//!
//! # What it promises
//!
//! * **A shard never waits.** A full port drops the line and counts it.
//! * **Lines arrive whole**, and in order for each port. No order is promised between ports.
//! * **Bounded**: a port by lines and bytes, a log by its backlog.
//! * **Files are what their names meant when they were opened**, under their root whatever links
//!   say, and whole: one that is changed while it is read ends with an error.
//! * **A disk that is full or fails costs lines, not the service.** The oldest lines are kept up
//!   to the bounds, each round tries again, and it is reported at once and then once a minute.
//!
//! # Why buffered writes
//!
//! Direct I/O wants whole aligned blocks, so a log would rewrite its last block with every round,
//! and no other program could follow its end. A log is small and read soon: it belongs in the page
//! cache. `O_APPEND` keeps it right when another program truncates it. Recordings and archives,
//! which would wash that cache, are what direct I/O is for.

mod files;
mod log;
mod port;
mod thread;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

pub use files::download::Download;
pub use files::port::FilePort;
pub use files::shard::{Content, File, FileEvent, Files, Find, LargeFile};
pub use files::{
    Coding, Codings, FileCounters, FileError, FileInfo, FileLimits, FileVersion, RootId,
};
pub use port::LogPort;

/// How the storage thread is set up and what bounds its logs.
#[derive(Clone, Copy, Debug)]
pub struct StorageConfig {
    /// The core to pin the thread to. `None` leaves it to the scheduler.
    pub core: Option<usize>,
    /// Memory that the executor registers with its three rings, 64 KiB at least. Three times this
    /// counts against `RLIMIT_MEMLOCK`.
    pub io_memory_bytes: usize,
    /// How often ports are emptied and calls of [`Storage`] answered.
    pub drain_every: Duration,
    /// Lines that one port holds.
    pub port_lines_max: usize,
    /// Bytes of lines that one port holds; a longer line is always dropped.
    pub port_bytes_max: usize,
    /// Bytes that one log has taken from its ports and not yet written. Once this is full the
    /// ports fill up behind it.
    pub backlog_bytes_max: usize,
}

impl Default for StorageConfig {
    fn default() -> StorageConfig {
        StorageConfig {
            core: None,
            io_memory_bytes: 128 * 1024,
            drain_every: Duration::from_millis(100),
            port_lines_max: 8192,
            port_bytes_max: 1024 * 1024,
            backlog_bytes_max: 256 * 1024,
        }
    }
}

/// The storage thread, from the side of control: its calls may wait for it, about one
/// [`StorageConfig::drain_every`]. Shards have only [`LogPort`]s.
#[derive(Debug)]
pub struct Storage {
    config: StorageConfig,
    commands: mpsc::Sender<Command>,
    counts: Arc<Counts>,
    logs_count: AtomicUsize,
    roots_count: AtomicUsize,
    thread: Option<JoinHandle<()>>,
}

/// Names a log of one [`Storage`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogId(usize);

/// What has been counted over all logs, since the start. Behind by one round at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Lines in the files.
    pub lines_written_count: u64,
    /// Bytes in the files.
    pub bytes_written: u64,
    /// Lines lost: refused by a full port, or unwritten when the thread stopped.
    pub lines_dropped_count: u64,
    /// Writes that failed. What they held is tried again.
    pub write_errors_count: u64,
}

impl Storage {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// If the executor cannot start. A locked-memory limit that is too low is named, with what to
    /// set; so is a kernel that grants no io_uring.
    pub fn start(config: StorageConfig) -> io::Result<Storage> {
        let (commands, inbox) = mpsc::channel();
        let counts = Arc::new(Counts::default());
        let thread = thread::start(config, inbox, Arc::clone(&counts))?;
        let (logs_count, roots_count) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Ok(Storage { config, commands, counts, logs_count, roots_count, thread: Some(thread) })
    }

    /// Opens a log, which is created where it does not exist and appended to where it does.
    ///
    /// # Errors
    ///
    /// If the file cannot be opened.
    pub fn log(&self, path: &Path) -> io::Result<LogId> {
        let path = path.to_owned();
        let id = self.ask(|answer| Command::Open { path, answer })??;
        self.logs_count.fetch_max(id.0 + 1, Ordering::Relaxed);
        Ok(id)
    }

    /// A new port of a log: one for each shard. It ends when it is dropped; lines that are still
    /// in it are written.
    ///
    /// # Panics
    ///
    /// If `log` is not of this storage, which is a mistake of the caller's code.
    pub fn port(&self, log: LogId) -> LogPort {
        assert!(log.0 < self.logs_count.load(Ordering::Relaxed), "a log of another storage");
        let (port, end) = port::new(self.config.port_lines_max, self.config.port_bytes_max);
        // Should the thread have died, the port drops and counts every line.
        let _dead_thread = self.commands.send(Command::Port { log, end });
        port
    }

    /// Opens a directory to serve files from. Paths are looked up in the directory that has this
    /// name now, also when it is renamed later.
    ///
    /// # Errors
    /// If it cannot be opened, or is no directory.
    pub fn root(&self, path: &Path) -> io::Result<RootId> {
        self.open_root(path, false)
    }

    /// As [`Storage::root`], for files that others write while they are read, by adding to them:
    /// recordings. Of such a file what it had when it was opened is read, and no more; it ends with
    /// an error only where it has become shorter.
    ///
    /// # Errors
    /// As [`Storage::root`].
    pub fn root_of_growing(&self, path: &Path) -> io::Result<RootId> {
        self.open_root(path, true)
    }

    fn open_root(&self, path: &Path, grows: bool) -> io::Result<RootId> {
        let path = path.to_owned();
        let id = self.ask(|answer| Command::Root { path, grows, answer })??;
        self.roots_count.fetch_max(id.0 + 1, Ordering::Relaxed);
        Ok(id)
    }

    /// A shard's end of the files under all roots: one for each shard, which makes [`Files`] of it.
    /// `bell` is called on the storage thread when there is something to [`Files::poll`]; it has to
    /// wake the shard, and never to wait.
    ///
    /// # Errors
    /// If the process has no descriptor left.
    pub fn file_port(
        &self,
        limits: FileLimits,
        bell: impl Fn() + Send + 'static,
    ) -> io::Result<FilePort> {
        let wake = rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC)?;
        let (port, end) = files::port::new(limits, wake, Box::new(bell));
        // Should the thread have died, the end is dropped, and everything is answered so.
        let _dead_thread = self.commands.send(Command::Files { end });
        Ok(port)
    }

    /// Opens every log anew by its path, once its file was renamed: log rotation. Lines appended
    /// before the call are in the renamed file, as far as it could be written.
    ///
    /// # Errors
    ///
    /// The first log that could not be opened; it goes on in its old file.
    pub fn reopen(&self) -> io::Result<()> {
        self.ask(|answer| Command::Reopen { answer })?
    }

    /// What has been counted so far.
    pub fn counters(&self) -> Counters {
        self.counts.read()
    }

    /// Writes what is in the ports, closes the files and ends the thread. Shards should have
    /// stopped appending before.
    pub fn stop(mut self) -> Counters {
        self.end();
        self.counts.read()
    }

    fn ask<T>(&self, command: impl FnOnce(mpsc::Sender<T>) -> Command) -> io::Result<T> {
        let dead = || io::Error::other("the storage thread has died");
        let (answer, answers) = mpsc::channel();
        self.commands.send(command(answer)).map_err(|_| dead())?;
        answers.recv().map_err(|_| dead())
    }

    fn end(&mut self) {
        let _dead_thread = self.commands.send(Command::Stop);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the storage thread had died");
        }
    }
}

impl Drop for Storage {
    fn drop(&mut self) {
        self.end();
    }
}

/// From control to the thread.
enum Command {
    Open { path: std::path::PathBuf, answer: mpsc::Sender<io::Result<LogId>> },
    Port { log: LogId, end: port::PortEnd },
    Reopen { answer: mpsc::Sender<io::Result<()>> },
    Root { path: std::path::PathBuf, grows: bool, answer: mpsc::Sender<io::Result<RootId>> },
    Files { end: files::port::PortEnd },
    Stop,
}

/// The [`Counters`] where they are counted, by the storage thread alone.
#[derive(Debug, Default)]
struct Counts {
    lines_written: AtomicU64,
    bytes_written: AtomicU64,
    lines_dropped: AtomicU64,
    write_errors: AtomicU64,
}

impl Counts {
    fn read(&self) -> Counters {
        Counters {
            lines_written_count: self.lines_written.load(Ordering::Relaxed),
            bytes_written: self.bytes_written.load(Ordering::Relaxed),
            lines_dropped_count: self.lines_dropped.load(Ordering::Relaxed),
            write_errors_count: self.write_errors.load(Ordering::Relaxed),
        }
    }
}
