//! What is served: a table of routes, and what each of them answers.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use protocol_http::server::{Connection, Event, Found, Route, Router, Server};
use protocol_http::{
    ByteRanges, Method, Ranges, Refused, RequestHead, Selection, Status, Validators, Version,
    write_unsatisfied_range,
};
use protocol_ws::Upgrade;

use super::echo::Echo;
use super::files::{File, Files};
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
    files: Arc<Files>,
    /// The contents again, counted by a number that no other core touches: a send that pins a file
    /// costs no atomic.
    contents: Vec<Rc<Bytes>>,
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
    /// What is still to be sent of a file.
    rest: Option<Block>,
    /// And the ranges of it behind that, in a box for the reason below.
    parts: Option<Box<Parts>>,
    /// In a box, for most connections never get there.
    pub echo: Option<Box<Echo>>,
}

/// A range of a file in memory.
pub struct Block {
    pub bytes: Rc<Bytes>,
    pub start: u32,
    pub end: u32,
}

/// Several ranges of a file in memory.
struct Parts {
    ranges: ByteRanges,
    media_type: &'static str,
    bytes: Rc<Bytes>,
}

type Http = Server<Block>;

impl Site {
    /// A shard's view of these files.
    pub fn new(files: Arc<Files>) -> Site {
        let contents = files.iter().map(|file| Rc::new(file.contents.clone())).collect();
        Site {
            router: Router::new(ROUTES),
            files,
            contents,
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
    ) {
        match event {
            Event::Request(head) => match head.target.decoded_path() {
                Ok(path) => self.request(&head, &path, visit, connection, http),
                Err(refused) => connection.refuse(http, refused),
            },
            Event::Body(piece) => {
                visit.body_bytes += piece.len() as u64;
                if let Some(mirror) = &mut visit.mirror {
                    mirror.extend_from_slice(piece);
                }
            }
            Event::End => {
                if let Some(mirror) = visit.mirror.take() {
                    return text(connection, http, Status::OK, &mirror);
                }
                let number = format!("{}\n", visit.body_bytes);
                text(connection, http, Status::OK, number.as_bytes());
            }
            Event::Refused(refused) => connection.refuse(http, refused),
        }
    }

    fn request(
        &self,
        head: &RequestHead<'_>,
        path: &str,
        visit: &mut Visit,
        connection: &mut Connection,
        http: &mut Http,
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
            Handler::Echo => upgrade(head, visit, connection, http),
            Handler::File => match self.files.find(path) {
                Some(index) => self.file(head, index, visit, connection, http),
                None => text(connection, http, Status::NOT_FOUND, b"there is no such file"),
            },
        }
    }

    fn file(
        &self,
        head: &RequestHead<'_>,
        index: usize,
        visit: &mut Visit,
        connection: &mut Connection,
        http: &mut Http,
    ) {
        let file = self.files.get(index);
        let bytes = &self.contents[index];
        let length_bytes = bytes.len() as u64;
        let validators = Validators {
            etag: Some(&file.etag),
            modified_unix_seconds: Some(file.modified_unix_seconds),
        };
        let selection = Selection::of(head.method, &head.headers, validators, length_bytes);
        let (status, range) = match selection {
            Selection::Whole => (Status::OK, 0..length_bytes),
            Selection::Part(range) => (Status::PARTIAL_CONTENT, range.first..range.last + 1),
            Selection::Parts(ranges) => match self.parts(file, bytes, &ranges) {
                Some(parts) => {
                    let mut media_type = Vec::with_capacity(80);
                    parts.ranges.write_content_type(&mut media_type);
                    let response = connection.respond(http, Status::PARTIAL_CONTENT);
                    let response = response.header("ETag", &file.etag);
                    let response = response.header("Content-Type", media_type);
                    if response.begin(parts.ranges.content_length()) {
                        visit.parts = Some(parts);
                        visit.go_on(connection, http);
                    }
                    return;
                }
                None => (Status::OK, 0..length_bytes),
            },
            Selection::NotModified => (Status::NOT_MODIFIED, 0..0),
            Selection::ConditionFailed => (Status::PRECONDITION_FAILED, 0..0),
            Selection::Unsatisfiable => (Status::RANGE_NOT_SATISFIABLE, 0..0),
        };
        let mut response = connection.respond(http, status);
        if matches!(status, Status::OK | Status::PARTIAL_CONTENT | Status::NOT_MODIFIED) {
            response = response.header("ETag", &file.etag);
            response = response.header_date("Last-Modified", file.modified_unix_seconds);
        }
        match status {
            Status::OK | Status::PARTIAL_CONTENT => {
                response = response.header("Content-Type", file.media_type);
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
            visit.rest = Some(Block::of(bytes, range));
            visit.go_on(connection, http);
        }
    }

    /// Several ranges, where they are shorter than the whole.
    fn parts(&self, file: &File, bytes: &Rc<Bytes>, ranges: &Ranges) -> Option<Box<Parts>> {
        self.boundaries_count.set(self.boundaries_count.get() + 1);
        let number = self.boundaries_count.get();
        let half = |which: u64| u128::from(self.boundaries.hash_one((number, which)));
        let seed = half(0) << 64 | half(1);
        let ranges = ByteRanges::new(seed, file.media_type, bytes.len() as u64, ranges)?;
        Some(Box::new(Parts { ranges, media_type: file.media_type, bytes: Rc::clone(bytes) }))
    }
}

impl Block {
    /// Files of more than 4 GiB are not loaded.
    fn of(bytes: &Rc<Bytes>, range: Range<u64>) -> Block {
        Block { bytes: Rc::clone(bytes), start: range.start as u32, end: range.end as u32 }
    }
}

impl Visit {
    /// Goes on with a file, as far as the client takes it.
    pub fn go_on(&mut self, connection: &mut Connection, http: &mut Http) {
        while connection.wants_body(http) {
            let Some(Block { bytes, start, end }) = self.rest.take() else {
                let Some(parts) = &mut self.parts else { return };
                let mut head = Vec::with_capacity(160);
                match parts.ranges.next_part(parts.media_type, &mut head) {
                    Some(range) => {
                        self.rest = Some(Block::of(&parts.bytes, range.first..range.last + 1));
                    }
                    None => self.parts = None,
                }
                connection.send_body(http, &head);
                continue;
            };
            let until = end.min(start + BLOCK_BYTES_MAX);
            if until < end {
                self.rest = Some(Block { bytes: Rc::clone(&bytes), start: until, end });
            }
            connection.send_piece(http, Block { bytes, start, end: until }, (until - start).into());
        }
    }
}

fn text(connection: &mut Connection, http: &mut Http, status: Status, body: &[u8]) {
    connection.respond(http, status).raw_lines(b"Content-Type: text/plain\r\n").body(body);
}

fn upgrade(
    head: &RequestHead<'_>,
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
    connection.respond(http, Status::SWITCHING_PROTOCOLS).raw_lines(&lines).upgrade();
    visit.echo = Some(Box::new(Echo::new()));
}
