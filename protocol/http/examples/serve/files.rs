//! The files of the root, read once at the start.
//!
//! A shard must not wait for a disk, so this example keeps in memory what it serves, within a
//! bound. A server of large files reads them through `shards-storage` instead. Symbolic links are
//! left out, so that nothing outside the root can be had.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::time::UNIX_EPOCH;

use bytes::Bytes;

use super::limits::{FILES_BYTES_MAX, FILES_COUNT_MAX};

/// All files, by the path of their URL.
#[derive(Default)]
pub struct Files {
    files: Vec<File>,
    by_path: BTreeMap<String, usize>,
    bytes: u64,
}

/// One file as it was at the start.
pub struct File {
    /// What it holds.
    pub contents: Bytes,
    /// A strong validator made from the contents, with its quotes.
    pub etag: String,
    /// When it last changed, in seconds since 1970.
    pub modified_unix_seconds: u64,
    /// For `Content-Type`.
    pub media_type: &'static str,
}

impl Files {
    /// Reads everything under `root`.
    ///
    /// # Errors
    /// Something cannot be read, or it is more than the limits allow.
    pub fn load(root: &Path) -> io::Result<Files> {
        let mut files = Files::default();
        files.load_folder(root, "/")?;
        Ok(files)
    }

    /// The number of the file with this path, decoded.
    pub fn find(&self, path: &str) -> Option<usize> {
        self.by_path.get(path).copied()
    }

    /// By number.
    pub fn get(&self, index: usize) -> &File {
        &self.files[index]
    }

    /// In the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = &File> {
        self.files.iter()
    }

    fn load_folder(&mut self, folder: &Path, url: &str) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            // Of the entry itself: what a link points to is not looked at.
            let kind = entry.file_type()?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if kind.is_dir() {
                self.load_folder(&entry.path(), &format!("{url}{name}/"))?;
            } else if kind.is_file() {
                self.load_file(&entry, url, &name)?;
            }
        }
        Ok(())
    }

    fn load_file(&mut self, entry: &fs::DirEntry, url: &str, name: &str) -> io::Result<()> {
        let metadata = entry.metadata()?;
        self.bytes += metadata.len();
        if self.files.len() == FILES_COUNT_MAX || self.bytes > FILES_BYTES_MAX {
            return Err(io::Error::other("the root holds more than is kept in memory"));
        }
        let contents = Bytes::from(fs::read(entry.path())?);
        let modified = metadata.modified()?.duration_since(UNIX_EPOCH);
        self.by_path.insert(format!("{url}{name}"), self.files.len());
        if name == "index.html" {
            self.by_path.insert(url.to_owned(), self.files.len());
        }
        self.files.push(File {
            etag: format!("\"{:016x}\"", fnv1a(&contents)),
            contents,
            modified_unix_seconds: modified.map_or(0, |time| time.as_secs()),
            media_type: media_type(name),
        });
        Ok(())
    }
}

/// A hash that tells versions of a file apart; it need not withstand anybody.
fn fnv1a(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

fn media_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "html" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "json" => "application/json",
        "txt" | "md" => "text/plain; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "mp3" => "audio/mpeg",
        "wasm" => "application/wasm",
        _ => "application/octet-stream",
    }
}
