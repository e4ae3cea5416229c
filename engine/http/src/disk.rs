//! A shard's end of the files: they are read by the storage thread, small ones whole and then from
//! the shard's cache, large ones block by block as the client takes them.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol_http::{
    ContentCoding, Headers, Limits, RequestDecoder, RequestHead, Status, Step, choose_coding,
};
use shards_runtime::Token;
use shards_storage::{
    Codings, File, FileCounters, FileError, FileEvent, FileLimits, FilePort, Files, Find, RootId,
    Storage, StorageConfig,
};

/// What a file's answer depends on (RFC 9110 §13, §14).
const CONDITIONS: [&str; 6] =
    ["if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range", "range"];

/// One shard's end of the files.
pub struct Disk {
    pub(crate) files: Files,
}

/// A request whose file was asked for.
#[derive(Debug)]
pub struct Pending {
    /// The lines of the head that the answer depends on, as a request of their own.
    head: Vec<u8>,
    /// The file's path.
    path: String,
    /// What was found, when it was.
    found: Option<Result<File, FileError>>,
}

/// Starts a storage thread that answers within milliseconds, for a directory.
///
/// # Errors
/// The directory cannot be opened, or the thread cannot start.
pub fn start_storage(root: &Path) -> std::io::Result<(Arc<Storage>, RootId)> {
    let config = StorageConfig { drain_every: Duration::from_millis(10), ..Default::default() };
    let storage = Storage::start(config)?;
    let root = storage.root(root)?;
    Ok((Arc::new(storage), root))
}

impl Disk {
    /// The end of one shard, on its thread.
    #[must_use]
    pub fn new(port: FilePort) -> Disk {
        Disk { files: Files::new(port) }
    }

    /// The end of one shard, which `bell` wakes from the storage thread.
    ///
    /// # Errors
    /// The process has no descriptor left.
    pub fn of(
        storage: &Storage,
        limits: FileLimits,
        bell: impl Fn() + Send + 'static,
    ) -> std::io::Result<Disk> {
        Ok(Disk::new(storage.file_port(limits, bell)?))
    }

    /// Looks for the file that a request asks for, by its decoded path without a slash in front.
    /// [`Find::Asked`]: keep a [`Pending`]; the answer comes by [`Disk::poll`], with this token.
    pub fn find(
        &mut self,
        now: Instant,
        (root, path): (RootId, &str),
        headers: &Headers<'_>,
        token: Token,
    ) -> Find {
        self.files.find(now, root, path, codings(headers), tag(token))
    }

    /// The next answer of the storage thread, and whose it is; to be asked in each tick until there
    /// is none.
    pub fn poll(&mut self, now: Instant) -> Option<(Token, FileEvent)> {
        let event = self.files.poll(now)?;
        let (FileEvent::Found { tag, .. } | FileEvent::Block { tag, .. }) = &event;
        let token = Token { slot: (*tag >> 32) as u32, generation: *tag as u32 };
        Some((token, event))
    }

    /// What this shard's reading came to.
    #[must_use]
    pub fn counters(&self) -> FileCounters {
        self.files.counters()
    }
}

/// The asker's name for the storage thread.
pub(crate) fn tag(token: Token) -> u64 {
    u64::from(token.slot) << 32 | u64::from(token.generation)
}

/// The variants that are better for this client than the file as it is.
fn codings(headers: &Headers<'_>) -> Codings {
    use ContentCoding::{Brotli, Gzip, Identity};
    let best = choose_coding(headers, &[Brotli, Gzip, Identity]);
    Codings {
        brotli: best == Some(Brotli),
        gzip: best == Some(Gzip)
            || best == Some(Brotli) && choose_coding(headers, &[Gzip, Identity]) == Some(Gzip),
    }
}

impl Pending {
    /// Keeps what is needed of a request for the file of this path.
    #[must_use]
    pub fn new(head: &RequestHead<'_>, path: &str) -> Pending {
        let mut text = format!("{} / HTTP/1.1\r\nHost: h\r\n", head.method.as_str()).into_bytes();
        for name in CONDITIONS {
            for value in head.headers.get_all(name) {
                text.extend_from_slice(name.as_bytes());
                text.extend_from_slice(b": ");
                text.extend_from_slice(value);
                text.extend_from_slice(b"\r\n");
            }
        }
        text.extend_from_slice(b"\r\n");
        Pending { head: text, path: path.to_owned(), found: None }
    }

    /// The answer of the storage thread has come.
    pub fn found(&mut self, result: Result<File, FileError>) {
        self.found = Some(result);
    }

    /// Whether it has.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.found.is_some()
    }

    /// Reads the request again, for what was found: head, path, file.
    ///
    /// # Errors
    /// There is no such file.
    ///
    /// # Panics
    /// When nothing has come yet.
    pub fn answer<T>(
        self,
        answer: impl FnOnce(&RequestHead<'_>, &str, &File) -> T,
    ) -> Result<T, FileError> {
        let file = self.found.expect("the answer has come")?;
        match RequestDecoder::new(Limits::default()).decode(&self.head) {
            Ok(Step::Head { head, .. }) => Ok(answer(&head, &self.path, &file)),
            _ => unreachable!("it was a request before"),
        }
    }
}

/// What a client is told of a file that is not sent.
#[must_use]
pub fn refusal(error: FileError) -> (Status, &'static str) {
    match error {
        FileError::NotFound | FileError::Directory | FileError::Refused => {
            (Status::NOT_FOUND, "there is no such file")
        }
        FileError::Denied => (Status::FORBIDDEN, "the file may not be read"),
        FileError::Busy | FileError::Stopped => {
            (Status::SERVICE_UNAVAILABLE, "too many files are read at once")
        }
        FileError::Changed | FileError::Failed => {
            (Status::INTERNAL_SERVER_ERROR, "the file cannot be read")
        }
    }
}
