//! A directory of a test's own, a storage for it, and a shard that is the test's thread.

use std::fs;
use std::ops::Range;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use bytes::Bytes;
use shards_storage::{
    Codings, Content, Download, File, FileError, FileEvent, FileLimits, Files, Find, LargeFile,
    RootId, Storage, StorageConfig,
};

/// A directory, gone when the test is over.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Scratch {
        let path = std::env::temp_dir().join(format!("files-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).expect("a directory for the test");
        Scratch(path)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _best_effort = fs::remove_dir_all(&self.0);
    }
}

pub struct Scene {
    pub storage: Option<Storage>,
    pub files: Files,
    pub root: RootId,
    /// The shard's clock, which the test moves.
    pub now: Instant,
    rung: Receiver<()>,
    scratch: Scratch,
}

impl Scene {
    pub fn new(name: &str, limits: FileLimits) -> Scene {
        let scratch = Scratch::new(name);
        let config = StorageConfig {
            io_memory_bytes: 64 * 1024,
            drain_every: Duration::from_millis(10),
            ..StorageConfig::default()
        };
        let storage = Storage::start(config).expect("an executor");
        let root = storage.root(&scratch.0).expect("a root");
        let (bell, rung) = channel();
        let ring = move || _ = bell.send(());
        let files = Files::new(storage.file_port(limits, ring).expect("a port"));
        Scene { storage: Some(storage), files, root, now: Instant::now(), rung, scratch }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.scratch.path(name)
    }

    pub fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).expect("a file for the test");
    }

    /// The next event. Sleeps until the bell rings, and never polls without a reason: a bell that
    /// does not ring fails the test.
    pub fn wait(&mut self) -> FileEvent {
        loop {
            if let Some(event) = self.files.poll(self.now) {
                return event;
            }
            self.rung.recv_timeout(Duration::from_secs(20)).expect("the bell rings");
        }
    }

    pub fn find(&mut self, path: &str) -> Result<File, FileError> {
        self.find_with(path, Codings::default())
    }

    pub fn find_with(&mut self, path: &str, codings: Codings) -> Result<File, FileError> {
        match self.files.find(self.now, self.root, path, codings, 99) {
            Find::Here(file) => Ok(file),
            Find::Refused(error) => Err(error),
            Find::Asked => match self.wait() {
                FileEvent::Found { tag: 99, result } => result,
                other => panic!("{other:?}"),
            },
        }
    }

    /// The next block of a download, or `None` at its end.
    pub fn next_block(&mut self, download: &mut Download) -> Result<Option<Bytes>, FileError> {
        while !download.is_finished() {
            download.ask(&mut self.files, 5)?;
            if let Some(block) = download.take() {
                return Ok(Some(block));
            }
            match self.wait() {
                FileEvent::Block { tag: 5, result } => download.arrived(result)?,
                other => panic!("{other:?}"),
            }
        }
        Ok(None)
    }

    pub fn download(&mut self, file: &File, range: Range<u64>) -> Result<Vec<u8>, FileError> {
        let mut download = Download::new(large(file), range);
        let mut bytes = Vec::new();
        while let Some(block) = self.next_block(&mut download)? {
            assert!(block.len() <= 64 * 1024);
            bytes.extend_from_slice(&block);
        }
        Ok(bytes)
    }
}

pub fn whole(file: &File) -> &[u8] {
    match &file.content {
        Content::Whole(bytes) => bytes,
        Content::Large(_) => panic!("it is large"),
    }
}

pub fn large(file: &File) -> Rc<LargeFile> {
    match &file.content {
        Content::Large(file) => Rc::clone(file),
        Content::Whole(_) => panic!("it is small"),
    }
}
