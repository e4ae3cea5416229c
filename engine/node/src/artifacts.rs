//! `/artifacts/…`: recordings, clips and snapshots, as files that the storage thread reads.
//!
//! ```text
//! GET ── park ── find ──► storage: opened under the folder of recordings
//!                           └─► head (conditions, one range) ── block by block ──► client
//! ```
//!
//! A recording that is being written is a file that grows: who asks for it gets what is there at
//! that moment, which plays to its last fragment.
//!
//! *Invariant:* a connection holds at most two blocks that it has not sent, and a file that cannot
//! be sent to the length that was said ends its connection.

use std::collections::BTreeMap;
use std::ops::Range;

use protocol_http::{
    Limits, Method, RequestDecoder, ResponseWriter, Selection, Status, Step, Validators, Version,
    write_unsatisfied_range,
};
use shards_runtime::{Context, Io, Piece, Token};
use shards_storage::{Codings, Content, Download, File, FileError, FileEvent, Files, Find, RootId};

use crate::connection::State;
use crate::lifecycle::ANSWER_TIMEOUT;
use crate::message::{ForwardedRequest, Message};
use crate::node::Node;
use crate::whole::{Answer, Reply};

/// Where they are below this server's root.
const PREFIX: &str = "/artifacts/";

/// What a file's answer depends on (RFC 9110 §13, §14).
const CONDITIONS: [&str; 6] =
    ["if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range", "range"];

/// A shard's end of the folder of recordings.
pub struct Artifacts {
    files: Files,
    root: RootId,
    /// Requests whose file was asked for, parked like those that wait for control.
    asked: BTreeMap<u64, Asked>,
}

/// What is needed of a request when its file is found.
struct Asked {
    path: String,
    /// The lines that the answer depends on, as a request of their own.
    head: Vec<u8>,
}

/// A file on its way to a client.
pub(crate) struct Sending {
    download: Download,
}

impl Artifacts {
    /// The files below `root`.
    #[must_use]
    pub fn new(files: Files, root: RootId) -> Artifacts {
        Artifacts { files, root, asked: BTreeMap::new() }
    }
}

impl Node {
    /// The same node with a folder of recordings.
    #[must_use]
    pub fn with_artifacts(mut self, artifacts: Option<Artifacts>) -> Node {
        self.artifacts = artifacts;
        self
    }

    /// A request below `/artifacts/`.
    pub(crate) fn artifact_request<I: Io>(
        &mut self,
        cx: &Context<'_, I, Message>,
        token: Token,
        request: &ForwardedRequest,
    ) -> Reply {
        let not_found = || Reply::Now(refusal(FileError::NotFound));
        let Some(artifacts) = &mut self.artifacts else { return not_found() };
        let Some(path) = request.path.strip_prefix(PREFIX) else { return not_found() };
        // Indexes and drafts are nobody's business.
        if media_type(path).is_none() {
            return not_found();
        }
        let tag = tag_of(token);
        let found = artifacts.files.find(cx.now(), artifacts.root, path, Codings::default(), tag);
        let asked = Asked { path: path.to_owned(), head: head_of(request) };
        match found {
            Find::Asked => {
                artifacts.asked.insert(tag, asked);
                Reply::Later
            }
            Find::Refused(error) => Reply::Now(refusal(error)),
            Find::Here(File { info, content: Content::Whole(bytes) }) => {
                Reply::Now(answer_whole(&asked, &info, &bytes))
            }
            Find::Here(File { content: Content::Large(_), .. }) => {
                unreachable!("a large file is opened anew for everybody")
            }
        }
    }

    /// Takes what the storage thread has read.
    pub(crate) fn poll_artifacts<I: Io>(&mut self, cx: &mut Context<'_, I, Message>) {
        // At most what was asked for, which is bounded.
        while let Some(event) = self.artifacts.as_mut().and_then(|it| it.files.poll(cx.now())) {
            match event {
                FileEvent::Found { tag, result } => self.file_found(cx, tag, result),
                FileEvent::Block { tag, result } => {
                    let token = token_of(tag);
                    let Some(connection) = self.connections.get_mut(token) else { continue };
                    let State::Sending(sending) = &mut connection.state else { continue };
                    if let Err(error) = sending.download.arrived(result) {
                        tracing::info!(%error, "a file is not sent to its end");
                        self.close(cx, token);
                        continue;
                    }
                    self.send_file(cx, token);
                }
            }
        }
    }

    fn file_found<I: Io>(
        &mut self,
        cx: &mut Context<'_, I, Message>,
        tag: u64,
        result: Result<File, FileError>,
    ) {
        let token = token_of(tag);
        let Some(artifacts) = &mut self.artifacts else { return };
        let Some(asked) = artifacts.asked.remove(&tag) else { return };
        // Who has not waited is gone, or has been told.
        if !self.connections.get(token).is_some_and(|it| it.is_asking()) {
            return;
        }
        let File { info, content } = match result {
            Ok(file) => file,
            Err(error) => return self.reply(cx, token, &refusal(error)),
        };
        let file = match content {
            Content::Whole(bytes) => {
                return self.reply(cx, token, &answer_whole(&asked, &info, &bytes));
            }
            Content::Large(file) => file,
        };
        let (answer, range) = weigh(&asked, &info);
        let is_head = asked.head.starts_with(b"HEAD");
        if is_head || range.is_empty() {
            return self.reply_with_length(cx, token, &answer, range.end - range.start);
        }
        let is_kept = self.may_keep(token);
        let config = &self.snapshot.config;
        let mut head = Vec::with_capacity(512);
        let mut response = ResponseWriter::new(&mut head, Version::Http11, answer.status);
        response
            .header("Server", &config.server.server_id)
            .header_date("Date", cx.wall_clock().as_secs());
        for (name, value) in &config.http.cors_headers {
            response.header(name, value);
        }
        for (name, value) in &answer.headers {
            response.header(name, value);
        }
        match is_kept {
            true => response.keep_alive(),
            false => response.close(),
        };
        response.content_length(range.end - range.start).finish();
        let download = Download::new(file, range);
        self.change_state(cx, token, State::Sending(Box::new(Sending { download })));
        let Some(connection) = self.connections.get_mut(token) else { return };
        connection.keep_alive.is_granted = is_kept;
        if let Some(record) = &mut connection.record {
            record.status = answer.status.0;
        }
        connection.push(Piece::Owned(head.into()));
        self.send_file(cx, token);
    }

    /// Sends what has come of a file, and asks for more.
    pub(crate) fn send_file<I: Io>(&mut self, cx: &mut Context<'_, I, Message>, token: Token) {
        let Some(artifacts) = &mut self.artifacts else { return };
        let Some(connection) = self.connections.get_mut(token) else { return };
        if connection.sending {
            return;
        }
        let State::Sending(sending) = &mut connection.state else { return };
        let block = sending.download.take();
        // A limit of the storage is met again by and by: then the deadline ends it.
        let asked = sending.download.ask(&mut artifacts.files, tag_of(token));
        let is_over = sending.download.is_finished();
        if let (None, Err(error)) = (&block, asked) {
            tracing::info!(%error, "a file is not sent to its end");
            return self.close(cx, token);
        }
        if let Some(block) = block {
            connection.push(Piece::Owned(block));
        }
        let has_something = !connection.output.is_empty();
        if has_something {
            connection.deadline = Some(cx.now() + ANSWER_TIMEOUT);
        }
        if is_over {
            connection.close_after_output = !connection.keep_alive.is_granted;
            self.change_state(cx, token, State::Answering);
        }
        self.arm(cx, token);
        if has_something || is_over {
            self.send_output(cx, token);
        }
    }
}

/// Weighs a request's conditions and its range: the answer's head, and what of the file follows.
fn weigh(asked: &Asked, info: &shards_storage::FileInfo) -> (Answer, Range<u64>) {
    let (etag, modified) = (info.etag(), info.modified_unix_seconds());
    let length_bytes = info.size_bytes();
    let validators = Validators { etag: Some(&etag), modified_unix_seconds: Some(modified) };
    let selection = match RequestDecoder::new(Limits::default()).decode(&asked.head) {
        Ok(Step::Head { head, .. }) => {
            Selection::of(head.method, &head.headers, validators, length_bytes)
        }
        _ => Selection::Whole,
    };
    let (status, range) = match selection {
        // Several ranges in one answer are for players that no longer exist.
        Selection::Whole | Selection::Parts(_) => (Status::OK, 0..length_bytes),
        Selection::Part(range) => (Status::PARTIAL_CONTENT, range.first..range.last + 1),
        Selection::NotModified => (Status::NOT_MODIFIED, 0..0),
        Selection::ConditionFailed => (Status::PRECONDITION_FAILED, 0..0),
        Selection::Unsatisfiable => (Status::RANGE_NOT_SATISFIABLE, 0..0),
    };
    let mut answer = Answer::new(status);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap_or_default();
    match selection {
        Selection::Unsatisfiable => {
            let mut value = Vec::new();
            write_unsatisfied_range(length_bytes, &mut value);
            return (answer.with_header("Content-Range", text(value)), range);
        }
        Selection::ConditionFailed => return (answer, range),
        Selection::Part(part) => {
            let mut value = Vec::new();
            part.write_content_range(length_bytes, &mut value);
            answer = answer.with_header("Content-Range", text(value));
        }
        _ => {}
    }
    let mut date = Vec::new();
    protocol_http::write_http_date(modified, &mut date);
    answer = answer
        .with_header("ETag", etag)
        .with_header("Last-Modified", text(date))
        // A recording that grows is another one by then, and a token may have opened it.
        .with_header("Cache-Control", "private, no-cache")
        .with_header("X-Content-Type-Options", "nosniff");
    if status != Status::NOT_MODIFIED {
        answer = answer
            .with_header("Content-Type", media_type(&asked.path).unwrap_or_default())
            .with_header("Accept-Ranges", "bytes");
    }
    (answer, range)
}

/// The answer with a small file.
fn answer_whole(asked: &Asked, info: &shards_storage::FileInfo, bytes: &bytes::Bytes) -> Answer {
    let (mut answer, range) = weigh(asked, info);
    // It is as long as was said: the file was read whole.
    answer.body = bytes.slice(range.start as usize..range.end as usize);
    answer
}

/// What a client is told of a file that is not sent.
fn refusal(error: FileError) -> Answer {
    let (status, error) = match error {
        FileError::NotFound | FileError::Directory | FileError::Refused => {
            (Status::NOT_FOUND, "not_found")
        }
        FileError::Denied => (Status::FORBIDDEN, "forbidden"),
        FileError::Busy | FileError::Stopped => (Status::SERVICE_UNAVAILABLE, "busy"),
        FileError::Changed | FileError::Failed => (Status::INTERNAL_SERVER_ERROR, "unreadable"),
    };
    Answer::json(status, format!("{{\"status\":\"error\",\"error\":\"{error}\"}}\n"))
}

/// For `Content-Type`, by the name; of other names nothing is served.
fn media_type(path: &str) -> Option<&'static str> {
    match path.rsplit_once('.')?.1 {
        "mp4" => Some("video/mp4"),
        "webm" => Some("video/webm"),
        "ogg" => Some("audio/ogg"),
        "jpg" => Some("image/jpeg"),
        _ => None,
    }
}

/// The lines of a request that its answer depends on, as a request of their own.
fn head_of(request: &ForwardedRequest) -> Vec<u8> {
    let method = if request.method == "HEAD" { Method::Head } else { Method::Get };
    let mut head = format!("{} / HTTP/1.1\r\nHost: h\r\n", method.as_str()).into_bytes();
    for (name, value) in request.headers.iter().filter(|(name, _)| CONDITIONS.contains(&&**name)) {
        head.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    head.extend_from_slice(b"\r\n");
    head
}

fn tag_of(token: Token) -> u64 {
    u64::from(token.slot) << 32 | u64::from(token.generation)
}

fn token_of(tag: u64) -> Token {
    Token { slot: (tag >> 32) as u32, generation: tag as u32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_media_are_served() {
        for (path, kind) in [("a.mp4", Some("video/mp4")), ("clips/b.webm", Some("video/webm"))] {
            assert_eq!(media_type(path), kind);
        }
        for path in ["a.mp4.json", "a.mp4.json.draft", "mp4", ".mp4.", "a.html"] {
            assert_eq!(media_type(path), None, "{path}");
        }
    }
}
