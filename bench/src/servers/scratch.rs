//! A directory of one server's run, removed at its end.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The directory; it is gone when this is dropped.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// Makes a new one below the system's directory for such.
    pub(crate) fn new(name: &str) -> Result<Self> {
        let name = name.replace(' ', "-");
        for number in 0..10_000 {
            let own = format!("bench-{name}-{}-{number}", std::process::id());
            let path = std::env::temp_dir().join(own);
            match std::fs::create_dir(&path) {
                Ok(()) => return Ok(Scratch(path)),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error).context("no scratch directory"),
            }
        }
        anyhow::bail!("no scratch directory: all names are taken")
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
