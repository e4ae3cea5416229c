//! What is served: a table of routes, and what each of them answers.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};
use std::ops::Range;
use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;
use protocol_http::server::{Connection, Event, Found, Response, Route, Router, Server};
use protocol_http::{
    ByteRanges, Method, Ranges, Refused, RequestHead, Selection, Status, VARY_CODING, Validators,
    Version, write_unsatisfied_range,
};
use protocol_ws::Upgrade;
use shards_storage::{Coding, Content, Download, File, FileError, Find};

use super::disk::{Desk, Pending, media_type, refusal};
use super::echo::{Echo, Echoes};
use super::limits::{BLOCK_BYTES_MAX, BODY_BYTES_MAX, MIRROR_BYTES_MAX};

#[derive(Clone, Copy, Debug)]
enum Handler {
    Hello,
    Empty,
    Mirror,
    Length,
    Echo,
    File,
}

const ROUTES: &[Route<Handler>] = &[
    Route::new(Method::Get, "/", Handler::Hello),
    Route::new(Method::Post, "/", Handler::Mirror).with_body(MIRROR_BYTES_MAX),
    Route::new(Method::Put, "/", Handler::Mirror).with_body(MIRROR_BYTES_MAX),
    Route::new(Method::Get, "/empty", Handler::Empty),
    Route::new(Method::Post, "/length", Handler::Length).with_body(BODY_BYTES_MAX),
    Route::new(Method::Put, "/length", Handler::Length).with_body(BODY_BYTES_MAX),
    Route::new(Method::Get, "/echo", Handler::Echo),
    Route::new(Method::Get, "/{*path}", Handler::File),
];

/// One shard's view of what is served.
pub struct Site {
    router: Router<Handler>,
    echoes: Echoes,
    /// Where boundaries between ranges come from: nobody who writes a file can know one.
    boundaries: RandomState,
    boundaries_count: Cell<u64>,
}

/// What a connection is at, besides what its machine knows.
#[derive(Default)]
pub struct Visit {
    /// How long the body of the present request is so far.
    body_bytes: u64,
    /// The body itself, where it is to be said again.
    mirror: Option<Vec<u8>>,
    /// The request waits for its file.
    pending: Option<Box<Pending>>,
    /// What is still to be sent of a small file.
    rest: Option<Block>,
    /// Likewise of a large one.
    download: Option<Box<Download>>,
    /// And the ranges of it behind that, in a box for the reason below.
    parts: Option<Box<Parts>>,
    /// In a box, for most connections never get there.
    pub echo: Option<Box<Echo>>,
}

/// A range of bytes in memory.
pub struct Block {
    pub bytes: Rc<Bytes>,
    pub start: u32,
    pub end: u32,
}

/// Several ranges of a file.
struct Parts {
    ranges: ByteRanges,
    media_type: &'static str,
    content: Content,
}

type Http = Server<Block>;

impl Site {
    /// A shard's view.
    pub fn new() -> Site {
        Site {
            router: Router::new(ROUTES),
            echoes: Echoes::new(),
            boundaries: RandomState::new(),
            boundaries_count: Cell::new(0),
        }
    }

    /// Answers.
    pub fn handle(
        &self,
        event: Event<'_>,
        visit: &mut Visit,
        connection: &mut Connection,
        http: &mut Http,
        desk: &mut Desk<'_>,
    ) {
        match event {
            Event::Request(head) => match head.target.decoded_path() {
                Ok(path) => self.request((&head, &path), visit, connection, http, desk),
                Err(refused) => connection.refuse(http, refused),
            },
            Event::Body(piece) => {
                visit.body_bytes += piece.len() as u64;
                if let Some(mirror) = &mut visit.mirror {
                    mirror.extend_from_slice(piece);
                }
            }
            Event::End if visit.pending.is_some() => {}
            Event::End => {
                if let Some(mirror) = visit.mirror.take() {
                    return text(connection, http, Status::OK, &mirror);
                }
                let number = format!("{}\n", visit.body_bytes);
                text(connection, http, Status::OK, number.as_bytes());
            }
            Event::Refused(refused) => {
                visit.forget();
                connection.refuse(http, refused);
            }
        }
    }

    fn request(
        &self,
        (head, path): (&RequestHead<'_>, &str),
        visit: &mut Visit,
        connection: &mut Connection,
        http: &mut Http,
        desk: &mut Desk<'_>,
    ) {
        if head.target.is_asterisk() {
            let allow = "GET, HEAD, POST, PUT, OPTIONS";
            return connection.respond(http, Status::NO_CONTENT).header("Allow", allow).empty();
        }
        let route = match self.router.find(head.method, path) {
            Found::Route(route, _) => route,
            Found::Options { allow } => {
                return connection.respond(http, Status::NO_CONTENT).header("Allow", allow).empty();
            }
            Found::NotAllowed { allow } => {
                let response = connection.respond(http, Status::METHOD_NOT_ALLOWED);
                return response.header("Allow", allow).empty();
            }
            Found::NoMethod => {
                return text(connection, http, Status::NOT_IMPLEMENTED, b"the method is unknown");
            }
            Found::Nothing => return text(connection, http, Status::NOT_FOUND, b"not found"),
        };
        match route.handler {
            Handler::Hello => text(connection, http, Status::OK, b"Hello, world!"),
            Handler::Empty => text(connection, http, Status::OK, b""),
            Handler::Length | Handler::Mirror if head.lacks_length() => {
                text(connection, http, Status::LENGTH_REQUIRED, b"the body has no length");
            }
            Handler::Length | Handler::Mirror => {
                connection.set_body_bytes_max(route.body_bytes_max);
                visit.body_bytes = 0;
                visit.mirror = matches!(route.handler, Handler::Mirror).then(Vec::new);
            }
            Handler::Echo => self.upgrade((head, desk.now), visit, connection, http),
            Handler::File => {
                let name = path.strip_prefix('/').unwrap_or(path);
                let is_folder = name.ends_with('/');
                let name = if is_folder { &*format!("{name}index.html") } else { name };
                match desk.find(name, &head.headers) {
                    Find::Here(file) => self.file((head, name), &file, visit, connection, http),
                    Find::Asked => visit.pending = Some(Box::new(Pending::new(head, name))),
                    Find::Refused(error) => refuse(connection, http, error),
                }
            }
        }
    }

    /// Answers a request whose file was waited for, if it has come and the wire is free.
    pub fn answer_pending(&self, visit: &mut Visit, connection: &mut Connection, http: &mut Http) {
        let has_come = visit.pending.as_ref().is_some_and(|pending| pending.found.is_some());
        if !has_come || connection.is_sending() || connection.is_closing() {
            return;
        }
        let Some(mut pending) = visit.pending.take() else { return };
        match pending.found.take().expect("it has come") {
            Ok(file) => pending.with_head(|head| {
                self.file((head, &pending.path), &file, visit, connection, http);
            }),
            Err(error) => refuse(connection, http, error),
        }
    }

    fn file(
        &self,
        (head, path): (&RequestHead<'_>, &str),
        file: &File,
        visit: &mut Visit,
        connection: &mut Connection,
        http: &mut Http,
    ) {
        let (etag, modified) = (file.info.etag(), file.info.modified_unix_seconds());
        let media_type = media_type(path);
        let length_bytes = file.info.size_bytes();
        let lines: &[u8] = if file.info.has_variants { VARY_CODING } else { b"" };
        let validators = Validators { etag: Some(&etag), modified_unix_seconds: Some(modified) };
        let selection = Selection::of(head.method, &head.headers, validators, length_bytes);
        let (status, range) = match selection {
            Selection::Whole => (Status::OK, 0..length_bytes),
            Selection::Part(range) => (Status::PARTIAL_CONTENT, range.first..range.last + 1),
            Selection::Parts(ranges) => match self.parts(media_type, file, &ranges) {
                Some(parts) => {
                    let mut value = Vec::with_capacity(80);
                    parts.ranges.write_content_type(&mut value);
                    let response = connection.respond(http, Status::PARTIAL_CONTENT);
                    let response = response.raw_lines(lines).header("ETag", &etag);
                    let response = coding(response, file).header("Content-Type", value);
                    if response.begin(parts.ranges.content_length()) {
                        visit.parts = Some(parts);
                    }
                    return;
                }
                None => (Status::OK, 0..length_bytes),
            },
            Selection::NotModified => (Status::NOT_MODIFIED, 0..0),
            Selection::ConditionFailed => (Status::PRECONDITION_FAILED, 0..0),
            Selection::Unsatisfiable => (Status::RANGE_NOT_SATISFIABLE, 0..0),
        };
        let mut response = connection.respond(http, status).raw_lines(lines);
        if matches!(status, Status::OK | Status::PARTIAL_CONTENT | Status::NOT_MODIFIED) {
            response = response.header("ETag", &etag);
            response = response.header_date("Last-Modified", modified);
        }
        match status {
            Status::OK | Status::PARTIAL_CONTENT => {
                response = coding(response, file).header("Content-Type", media_type);
                response = response.header("Accept-Ranges", "bytes");
            }
            Status::RANGE_NOT_SATISFIABLE => {
                let mut value = Vec::with_capacity(30);
                write_unsatisfied_range(length_bytes, &mut value);
                return response.header("Content-Range", value).empty();
            }
            _ => return response.empty(),
        }
        if let Selection::Part(range) = selection {
            let mut value = Vec::with_capacity(60);
            range.write_content_range(length_bytes, &mut value);
            response = response.header("Content-Range", value);
        }
        if response.begin(range.end - range.start) {
            visit.begin(&file.content, range);
        }
    }

    fn upgrade(
        &self,
        (head, now): (&RequestHead<'_>, Instant),
        visit: &mut Visit,
        connection: &mut Connection,
        http: &mut Http,
    ) {
        let upgrade = match Upgrade::parse(&head.headers) {
            Ok(Some(upgrade)) if head.method == Method::Get && head.version == Version::Http11 => {
                upgrade
            }
            Ok(_) => {
                let response = connection.respond(http, Status::UPGRADE_REQUIRED);
                let lines = b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n";
                return response.raw_lines(lines).body(b"this is a WebSocket");
            }
            Err(protocol_ws::Refused { status, reason }) => {
                return connection.refuse(http, Refused { status: Status(status), reason });
            }
        };
        let mut lines = Vec::with_capacity(160);
        upgrade.write_response_lines(None, &mut lines);
        let agreed = self.echoes.agree(&upgrade, &mut lines);
        connection.respond(http, Status::SWITCHING_PROTOCOLS).raw_lines(&lines).upgrade();
        visit.echo = Some(Box::new(self.echoes.open(agreed.as_ref(), now)));
    }

    /// Several ranges, where they are shorter than the whole.
    fn parts(&self, media_type: &'static str, file: &File, ranges: &Ranges) -> Option<Box<Parts>> {
        self.boundaries_count.set(self.boundaries_count.get() + 1);
        let number = self.boundaries_count.get();
        let half = |which: u64| u128::from(self.boundaries.hash_one((number, which)));
        let seed = half(0) << 64 | half(1);
        let ranges = ByteRanges::new(seed, media_type, file.info.size_bytes(), ranges)?;
        Some(Box::new(Parts { ranges, media_type, content: file.content.clone() }))
    }
}

impl Visit {
    fn begin(&mut self, content: &Content, range: Range<u64>) {
        match content {
            // Small files are far below 4 GiB.
            Content::Whole(bytes) => {
                let (start, end) = (range.start as u32, range.end as u32);
                self.rest = Some(Block { bytes: Rc::clone(bytes), start, end });
            }
            Content::Large(file) => {
                self.download = Some(Box::new(Download::new(Rc::clone(file), range)));
            }
        }
    }

    /// Whether nothing is left to be said, nor will be without being asked.
    pub fn is_idle(&self) -> bool {
        self.pending.is_none()
            && self.rest.is_none()
            && self.download.is_none()
            && self.parts.is_none()
            && self.echo.is_none()
    }

    /// The present request is answered otherwise, or not at all.
    pub fn forget(&mut self) {
        (self.pending, self.rest, self.download, self.parts) = (None, None, None, None);
    }

    /// A file was found, or not.
    pub fn found(&mut self, result: Result<File, FileError>) {
        if let Some(pending) = &mut self.pending {
            pending.found = Some(result);
        }
    }

    /// A block of a large file has come, or will not.
    pub fn arrived(&mut self, result: Result<Bytes, FileError>, connection: &mut Connection) {
        if let Some(download) = &mut self.download
            && download.arrived(result).is_err()
        {
            self.download = None;
            connection.abort();
        }
    }

    /// Goes on with a file, as far as the client takes it.
    pub fn go_on(&mut self, connection: &mut Connection, http: &mut Http, desk: &mut Desk<'_>) {
        while connection.wants_body(http) {
            if let Some(download) = &mut self.download {
                let Some(bytes) = download.take() else {
                    if !download.is_finished() {
                        break;
                    }
                    self.download = None;
                    continue;
                };
                let end = bytes.len() as u32;
                let block = Block { bytes: Rc::new(bytes), start: 0, end };
                connection.send_piece(http, block, u64::from(end));
            } else if let Some(Block { bytes, start, end }) = self.rest.take() {
                let until = end.min(start + BLOCK_BYTES_MAX);
                if until < end {
                    self.rest = Some(Block { bytes: Rc::clone(&bytes), start: until, end });
                }
                let block = Block { bytes, start, end: until };
                connection.send_piece(http, block, (until - start).into());
            } else if let Some(parts) = &mut self.parts {
                let mut head = Vec::with_capacity(160);
                match parts.ranges.next_part(parts.media_type, &mut head) {
                    Some(range) => {
                        let content = parts.content.clone();
                        self.begin(&content, range.first..range.last + 1);
                    }
                    None => self.parts = None,
                }
                connection.send_body(http, &head);
            } else {
                break;
            }
        }
        // The next block is read while this one is sent.
        let tag = desk.tag();
        if let (Some(download), Some(disk)) = (&mut self.download, &mut desk.disk)
            && download.ask(&mut disk.files, tag).is_err()
        {
            self.download = None;
            connection.abort();
        }
    }
}

fn coding<'s>(response: Response<'s, Block>, file: &File) -> Response<'s, Block> {
    match file.info.coding {
        Coding::Identity => response,
        Coding::Brotli => response.raw_lines(b"Content-Encoding: br\r\n"),
        Coding::Gzip => response.raw_lines(b"Content-Encoding: gzip\r\n"),
    }
}

fn refuse(connection: &mut Connection, http: &mut Http, error: FileError) {
    let (status, reason) = refusal(error);
    text(connection, http, status, reason);
}

fn text(connection: &mut Connection, http: &mut Http, status: Status, body: &[u8]) {
    connection.respond(http, status).raw_lines(b"Content-Type: text/plain\r\n").body(body);
}
