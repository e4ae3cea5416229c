//! The log of events: a line of JSON each, in files of bounded size and number.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Where the log is, and how much of it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalSettings {
    /// The present file; those before it have `.1`, `.2` … behind their name.
    pub path: PathBuf,
    /// A file that would be longer is followed by another.
    pub file_bytes_max: u64,
    /// Files at most, the present one among them.
    pub files_max: u32,
}

/// The log.
#[derive(Debug)]
pub(crate) struct Journal {
    settings: JournalSettings,
    file: Option<File>,
    size_bytes: u64,
    is_failing: bool,
}

impl Journal {
    pub(crate) fn new(settings: JournalSettings) -> Journal {
        Journal { settings, file: None, size_bytes: 0, is_failing: false }
    }

    /// Writes a line; false where it is lost, which is reported once until it works again.
    pub(crate) fn write(&mut self, line: &str) -> bool {
        match self.try_write(line) {
            Ok(()) => {
                self.is_failing = false;
                true
            }
            Err(error) => {
                // Opened anew with the next line: a disk may have room again.
                self.file = None;
                if !std::mem::replace(&mut self.is_failing, true) {
                    tracing::warn!(%error, "the log of events cannot be written");
                }
                false
            }
        }
    }

    fn try_write(&mut self, line: &str) -> io::Result<()> {
        let line_bytes = line.len() as u64 + 1;
        if self.file.is_none() {
            self.open()?;
        }
        if self.size_bytes > 0 && self.size_bytes + line_bytes > self.settings.file_bytes_max {
            self.rotate()?;
        }
        let Some(file) = &mut self.file else { return Err(io::Error::other("it is not open")) };
        // One write, so that a reader sees whole lines.
        file.write_all(format!("{line}\n").as_bytes())?;
        self.size_bytes += line_bytes;
        Ok(())
    }

    fn open(&mut self) -> io::Result<()> {
        let path = &self.settings.path;
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        self.size_bytes = file.metadata()?.len();
        self.file = Some(file);
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.file = None;
        let path = &self.settings.path;
        if self.settings.files_max <= 1 {
            gone(fs::remove_file(path))?;
        } else {
            gone(fs::remove_file(numbered(path, self.settings.files_max - 1)))?;
            for number in (1..self.settings.files_max - 1).rev() {
                gone(fs::rename(numbered(path, number), numbered(path, number + 1)))?;
            }
            gone(fs::rename(path, numbered(path, 1)))?;
        }
        self.open()
    }
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

/// One that is not there need not be moved.
fn gone(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_bounded_and_keeps_the_newest_lines_whole() {
        let folder = std::env::temp_dir().join(format!("journal-{}", std::process::id()));
        let path = folder.join("deep").join("events.jsonl");
        let settings = JournalSettings { path: path.clone(), file_bytes_max: 40, files_max: 3 };
        let mut journal = Journal::new(settings.clone());
        for number in 0..20 {
            assert!(journal.write(&format!("{{\"number\":{number:02}}}")));
        }
        let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
        assert_eq!(read(&path), "{\"number\":18}\n{\"number\":19}\n");
        assert_eq!(read(&numbered(&path, 1)), "{\"number\":16}\n{\"number\":17}\n");
        assert_eq!(read(&numbered(&path, 2)), "{\"number\":14}\n{\"number\":15}\n");
        assert!(!numbered(&path, 3).exists());
        // Another start goes on in the same file.
        assert!(Journal::new(settings).write("{\"x\":1}"));
        assert_eq!(read(&path).lines().count(), 3);
        fs::remove_dir_all(folder).ok();
    }

    #[test]
    fn a_disk_that_fails_costs_lines_and_not_the_thread() {
        let path = PathBuf::from("/proc/none/events.jsonl");
        let mut journal = Journal::new(JournalSettings { path, file_bytes_max: 40, files_max: 3 });
        assert!(!journal.write("{}"));
        assert!(!journal.write("{}"));
    }
}
