//! What is served: a table of routes, and what each of them answers.

use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use protocol_http::server::{Connection, Event, Found, Route, Router, Server};
use protocol_http::{
    Condition, Method, Ranges, Refused, RequestHead, Status, Validators, Version, evaluate,
    if_range_holds, parse_range,
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
    /// In a box, for most connections never get there.
    pub echo: Option<Box<Echo>>,
}

/// A range of a file in memory.
pub struct Block {
    pub bytes: Rc<Bytes>,
    pub start: u32,
    pub end: u32,
}

type Http = Server<Block>;

impl Site {
    /// A shard's view of these files.
    pub fn new(files: Arc<Files>) -> Site {
        let contents = files.iter().map(|file| Rc::new(file.contents.clone())).collect();
        Site { router: Router::new(ROUTES), files, contents }
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
        let length_bytes = file.contents.len() as u64;
        let (status, range) = part(head, file);
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
                response = response.header("Content-Range", format!("bytes */{length_bytes}"));
            }
            _ => return response.empty(),
        }
        if status == Status::PARTIAL_CONTENT {
            let (first, last) = (range.start, range.end - 1);
            let value = format!("bytes {first}-{last}/{length_bytes}");
            response = response.header("Content-Range", value);
        }
        if response.begin(range.end - range.start) {
            let bytes = Rc::clone(&self.contents[index]);
            // Files of more than 4 GiB are not loaded.
            visit.rest = Some(Block { bytes, start: range.start as u32, end: range.end as u32 });
            visit.go_on(connection, http);
        }
    }
}

impl Visit {
    /// Goes on with a file, as far as the client takes it.
    pub fn go_on(&mut self, connection: &mut Connection, http: &mut Http) {
        while connection.wants_body(http) {
            let Some(Block { bytes, start, end }) = self.rest.take() else { return };
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

/// How much of a file. Conditions come before ranges (RFC 9110 §13.2.2). More than one range is
/// answered with the whole, as §14.2 allows.
fn part(head: &RequestHead<'_>, file: &File) -> (Status, Range<u64>) {
    let whole = 0..file.contents.len() as u64;
    let validators = Validators {
        etag: Some(&file.etag),
        modified_unix_seconds: Some(file.modified_unix_seconds),
    };
    match evaluate(&head.headers, head.method, Some(validators)) {
        Condition::NotModified => return (Status::NOT_MODIFIED, 0..0),
        Condition::Failed => return (Status::PRECONDITION_FAILED, 0..0),
        Condition::Proceed => {}
    }
    // A range is for GET alone (§14.2).
    let Some(value) = head.headers.get("range").filter(|_| head.method == Method::Get) else {
        return (Status::OK, whole);
    };
    if !if_range_holds(&head.headers, validators) {
        return (Status::OK, whole);
    }
    match parse_range(value, whole.end) {
        Ranges::Some { ranges, count: 1 } => {
            (Status::PARTIAL_CONTENT, ranges[0].first..ranges[0].last + 1)
        }
        Ranges::Unsatisfiable => (Status::RANGE_NOT_SATISFIABLE, 0..0),
        _ => (Status::OK, whole),
    }
}
