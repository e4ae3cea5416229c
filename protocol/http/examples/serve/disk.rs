//! Files of a directory, read by the storage thread: small ones whole and then from the shard's
//! cache, large ones block by block as the client takes them.
//!
//! *Invariant:* a file that cannot be sent to its end ends the connection, so that nobody takes a
//! part, or two contents, for the whole.

use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol_http::{
    ContentCoding, Headers, Limits, RequestDecoder, RequestHead, Status, Step, choose_coding,
};
use shards_runtime::Token;
use shards_storage::{
    Codings, File, FileError, FileEvent, FileLimits, FilePort, Files, Find, RootId, Storage,
    StorageConfig,
};

/// What a file's answer depends on (RFC 9110 §13, §14).
const CONDITIONS: [&str; 6] =
    ["if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range", "range"];

/// One shard's end of the directory.
pub struct Disk {
    pub files: Files,
    root: RootId,
    /// The thread ends with the last shard.
    _storage: Arc<Storage>,
}

/// What a request for a file comes with.
pub struct Desk<'d> {
    /// The directory, if there is one.
    pub disk: Option<&'d mut Disk>,
    pub now: Instant,
    /// Whose request it is.
    pub token: Token,
}

/// A request whose file was asked for.
pub struct Pending {
    /// The lines of the head that the answer depends on, as a request of their own.
    head: Vec<u8>,
    /// The file's path.
    pub path: String,
    /// What was found, when it was.
    pub found: Option<Result<File, FileError>>,
}

/// Starts the storage thread for a directory.
///
/// # Errors
/// The directory cannot be opened, or the thread cannot start.
pub fn start(root: &std::path::Path) -> std::io::Result<(Arc<Storage>, RootId)> {
    let config = StorageConfig { drain_every: Duration::from_millis(10), ..Default::default() };
    let storage = Storage::start(config)?;
    let root = storage.root(root)?;
    Ok((Arc::new(storage), root))
}

impl Disk {
    /// The end of one shard, which `bell` wakes.
    ///
    /// # Errors
    /// The process has no descriptor left.
    pub fn new(
        storage: &Arc<Storage>,
        root: RootId,
        bell: impl Fn() + Send + 'static,
    ) -> std::io::Result<Disk> {
        let port: FilePort = storage.file_port(FileLimits::default(), bell)?;
        Ok(Disk { files: Files::new(port), root, _storage: Arc::clone(storage) })
    }

    /// The next answer of the storage thread, and whose it is.
    pub fn poll(&mut self, now: Instant) -> Option<(Token, FileEvent)> {
        let event = self.files.poll(now)?;
        let (FileEvent::Found { tag, .. } | FileEvent::Block { tag, .. }) = &event;
        let token = Token { slot: (*tag >> 32) as u32, generation: *tag as u32 };
        Some((token, event))
    }
}

impl Desk<'_> {
    /// The asker's name for the storage thread.
    pub fn tag(&self) -> u64 {
        u64::from(self.token.slot) << 32 | u64::from(self.token.generation)
    }

    /// Looks for the file that a request asks for.
    pub fn find(&mut self, path: &str, headers: &Headers<'_>) -> Find {
        let tag = self.tag();
        let Some(disk) = self.disk.as_mut() else { return Find::Refused(FileError::NotFound) };
        disk.files.find(self.now, disk.root, path, codings(headers), tag)
    }
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
    /// Keeps what is needed of a request.
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

    /// Reads the request again.
    pub fn with_head(&self, answer: impl FnOnce(&RequestHead<'_>)) {
        match RequestDecoder::new(Limits::default()).decode(&self.head) {
            Ok(Step::Head { head, .. }) => answer(&head),
            _ => unreachable!("it was a request before"),
        }
    }
}

/// What a client is told of a file that is not sent.
pub fn refusal(error: FileError) -> (Status, &'static [u8]) {
    match error {
        FileError::NotFound | FileError::Directory | FileError::Refused => {
            (Status::NOT_FOUND, b"there is no such file")
        }
        FileError::Denied => (Status::FORBIDDEN, b"the file may not be read"),
        FileError::Busy | FileError::Stopped => {
            (Status::SERVICE_UNAVAILABLE, b"too many files are read at once")
        }
        FileError::Changed | FileError::Failed => {
            (Status::INTERNAL_SERVER_ERROR, b"the file cannot be read")
        }
    }
}

/// For `Content-Type`, by the name.
pub fn media_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map_or("", |(_, extension)| extension) {
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
