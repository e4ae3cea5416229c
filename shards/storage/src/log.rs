//! One log on the storage thread: its ports, its backlog, its file.
//!
//! ```text
//!  ports → take → | backlog: whole lines, but perhaps the end of one first | → write → file
//! ```
//!
//! Invariants: the backlog grows only while it is below its bound; what a write did not take stays
//! at its front; a line of which a part was written is finished in the same file or not at all.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use glommio::io::{BufferedFile, OpenOptions};

use crate::port::PortEnd;
use crate::{Counts, StorageConfig};

/// Who may read a log: it holds listeners' addresses.
const MODE: u32 = 0o640;

pub(crate) struct Log {
    path: PathBuf,
    file: BufferedFile,
    ports: Vec<PortEnd>,
    backlog: Vec<u8>,
    backlog_bytes_max: usize,
    /// The last write ended within a line.
    line_begun: bool,
    failing: bool,
    /// Rounds from one report of a failing disk to the next.
    report_every_rounds: u32,
    rounds_until_report: u32,
    counts: Arc<Counts>,
}

impl Log {
    pub(crate) async fn open(
        path: PathBuf,
        config: &StorageConfig,
        report_every_rounds: u32,
        counts: Arc<Counts>,
    ) -> io::Result<Log> {
        let file = open(&path).await?;
        Ok(Log {
            path,
            file,
            ports: Vec::new(),
            backlog: Vec::new(),
            backlog_bytes_max: config.backlog_bytes_max,
            line_begun: false,
            failing: false,
            report_every_rounds,
            rounds_until_report: 0,
            counts,
        })
    }

    pub(crate) fn attach(&mut self, port: PortEnd) {
        self.ports.push(port);
    }

    /// One round: takes what the ports have, as far as the backlog has room, and writes it. Says
    /// whether there is more that could be written at once.
    pub(crate) async fn round(&mut self) -> bool {
        self.rounds_until_report = self.rounds_until_report.saturating_sub(1);
        let emptied = self.take();
        if self.backlog.is_empty() {
            return false;
        }
        match self.write().await {
            Ok(()) => {
                self.recovered();
                !emptied || !self.backlog.is_empty()
            }
            Err(error) => {
                self.failed(&error);
                false
            }
        }
    }

    /// Goes on in a fresh file of the same path. What the ports have by now is for the old one.
    pub(crate) async fn reopen(&mut self) -> io::Result<()> {
        while self.round().await {}
        let fresh = open(&self.path).await?;
        let old = std::mem::replace(&mut self.file, fresh);
        if self.line_begun {
            // Its beginning went away with the old file.
            let line_end = self.backlog.iter().position(|byte| *byte == b'\n');
            self.backlog.drain(..line_end.map_or(0, |at| at + 1));
            self.line_begun = false;
            self.counts.lines_dropped.fetch_add(1, Ordering::Relaxed);
        }
        close(old, &self.path).await;
        Ok(())
    }

    /// Writes all that can be written, counts the rest as dropped and closes the file.
    pub(crate) async fn close(mut self) {
        while self.round().await {}
        self.take();
        let in_ports: u64 = self.ports.iter().map(PortEnd::lines_count).sum();
        let lost_count = lines_count(&self.backlog) + in_ports;
        if lost_count > 0 {
            self.counts.lines_dropped.fetch_add(lost_count, Ordering::Relaxed);
            let path = self.path.display();
            tracing::error!(%path, lost_count, "log lines could not be written before the end");
        }
        close(self.file, &self.path).await;
    }

    /// Says whether the ports are empty now.
    fn take(&mut self) -> bool {
        let room = self.backlog_bytes_max.saturating_sub(self.backlog.len());
        // Shared out, so that no port starves the others; something, while there is any room.
        let share = room.div_ceil(self.ports.len().max(1));
        let mut emptied = true;
        self.ports.retain_mut(|port| {
            let over = port.is_over(); // Before the last look at its count.
            emptied &= port.take(share, &mut self.backlog);
            self.counts.lines_dropped.fetch_add(port.take_dropped_count(), Ordering::Relaxed);
            !over
        });
        emptied
    }

    /// One write of the whole backlog, of which the file may take a part.
    async fn write(&mut self) -> io::Result<()> {
        // `write_at` keeps the buffer, also when it fails: hence the copy. The file is opened for
        // appending, so the kernel puts the bytes at its end whatever the position says.
        let written_bytes = self.file.write_at(self.backlog.clone(), 0).await?;
        if written_bytes == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        let written = self.backlog.drain(..written_bytes);
        let lines = lines_count(written.as_slice());
        self.line_begun = written.as_slice().last() != Some(&b'\n');
        self.counts.lines_written.fetch_add(lines, Ordering::Relaxed);
        self.counts.bytes_written.fetch_add(written_bytes as u64, Ordering::Relaxed);
        Ok(())
    }

    fn failed(&mut self, error: &io::Error) {
        self.failing = true;
        self.counts.write_errors.fetch_add(1, Ordering::Relaxed);
        if self.rounds_until_report == 0 {
            self.rounds_until_report = self.report_every_rounds;
            let path = self.path.display();
            tracing::error!(%path, %error, "the log cannot be written; lines wait, then are lost");
        }
    }

    fn recovered(&mut self) {
        if std::mem::take(&mut self.failing) {
            tracing::info!(path = %self.path.display(), "the log is written again");
        }
    }
}

fn lines_count(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
}

async fn open(path: &Path) -> io::Result<BufferedFile> {
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(MODE);
    options.buffered_open(path).await.map_err(io::Error::from)
}

async fn close(file: BufferedFile, path: &Path) {
    if let Err(error) = file.close().await {
        tracing::warn!(path = %path.display(), %error, "closing a log failed");
    }
}
