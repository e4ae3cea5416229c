//! What a program gives: a table of routes, and the functions that the routes name.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::ops::Deref;
use std::rc::Rc;

use bytes::Bytes;
use protocol_http::server::{Connection, Parameters, Response};
use protocol_http::{RequestHead, Status};
use protocol_ws::{Ended, Kind};
use shards_runtime::Piece;

use crate::body::Streamed;
use crate::speaker::Speaker;
use crate::talk::Replies;

/// A connection's machine, with what the driver sends besides text.
pub(crate) type Http = protocol_http::server::Server<Block>;

/// What a route does with its requests. `S` is the program's own state, one on each shard.
pub enum Handler<S> {
    /// Answers when the head is there. A body that comes with it is dropped.
    Answer(fn(&mut S, &Request<'_>, Answer<'_>)),
    /// Takes the body, which has to say its length or be chunked (411), and answers at its end.
    /// The route's `body_bytes_max` is in force (413).
    Upload(fn(&mut S, &Request<'_>) -> Box<dyn Upload<S>>),
    /// Begins an answer ([`Response::stream`], [`Response::begin`]) whose body comes in pieces, now
    /// and later. `None`: it is answered already. A body that comes with the request is dropped.
    Stream(fn(&mut S, &Request<'_>, Answer<'_>) -> Streamed<S>),
    /// Speaks WebSocket; who does not ask for that is told so (426).
    WebSocket(fn(&mut S, &Request<'_>) -> Box<dyn Conversation<S>>),
    /// Sends the file under the site's root that the pattern's `{*path}` names; of a path that ends
    /// with a slash, the `index.html` there.
    Files,
}

/// A request: its head, and what the way here has told of it.
pub struct Request<'r> {
    /// The head.
    pub head: &'r RequestHead<'r>,
    /// Its path, decoded and without query.
    pub path: &'r str,
    /// What the path has in the places of the pattern's parameters.
    pub parameters: &'r Parameters<'r>,
    /// Who asks.
    pub peer: IpAddr,
    /// Whether it came by TLS.
    pub is_secure: bool,
}

/// The answer that a request waits for.
#[must_use = "a request that is not answered ends with 503 when its time is over"]
pub struct Answer<'a> {
    pub(crate) connection: &'a mut Connection,
    pub(crate) http: &'a mut Http,
}

/// Takes the body of one request, piece by piece.
pub trait Upload<S> {
    /// The next bytes of it, never none.
    fn piece(&mut self, state: &mut S, bytes: &[u8]);
    /// It is complete: the answer.
    fn end(self: Box<Self>, state: &mut S, answer: Answer<'_>);
}

/// One end of a WebSocket. A function of the arguments of `message` is one.
pub trait Conversation<S> {
    /// It is open. Who has something to say unasked keeps the speaker.
    fn begin(&mut self, state: &mut S, speaker: Speaker) {
        let _ = (state, speaker);
    }

    /// A whole message came in. What is said goes out in this order.
    fn message(&mut self, state: &mut S, message: Message<'_>, replies: &mut Replies<'_>);

    /// It is over, and why; `None`: the connection broke. Told once of each that began. Its speaker
    /// is still heard where the client is only refused.
    fn end(&mut self, state: &mut S, why: Option<Ended>) {
        let _ = (state, why);
    }
}

/// A message of a WebSocket.
#[derive(Debug)]
pub struct Message<'m> {
    /// Text or binary.
    pub kind: Kind,
    /// The payload, mostly where it was received; text is UTF-8.
    pub payload: Cow<'m, [u8]>,
}

/// Bytes in memory that are sent without being copied.
#[derive(Clone, Debug)]
pub struct Block {
    pub(crate) bytes: Rc<Bytes>,
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Block {
    /// How many bytes it has.
    #[must_use]
    pub fn len_bytes(&self) -> u64 {
        u64::from(self.end - self.start)
    }

    /// The bytes.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[self.start as usize..self.end as usize]
    }
}

impl From<Block> for Piece {
    fn from(Block { bytes, start, end }: Block) -> Piece {
        Piece::Shared { block: bytes, start, end }
    }
}

impl From<Bytes> for Block {
    /// All of them.
    ///
    /// # Panics
    /// From 4 GiB on.
    fn from(bytes: Bytes) -> Block {
        let end = u32::try_from(bytes.len()).expect("a block is shorter than 4 GiB");
        Block { bytes: Rc::new(bytes), start: 0, end }
    }
}

impl<'r> Deref for Request<'r> {
    type Target = RequestHead<'r>;

    fn deref(&self) -> &RequestHead<'r> {
        self.head
    }
}

impl<'a> Answer<'a> {
    /// Plain text, which is copied.
    pub fn text(self, status: Status, body: impl AsRef<[u8]>) {
        let response = self.with(status).raw_lines(b"Content-Type: text/plain\r\n");
        response.body(body.as_ref());
    }

    /// Any other: its lines, ended by `body`, `empty`, or `piece` for what is not to be copied.
    pub fn with(self, status: Status) -> Response<'a, Block> {
        self.connection.respond(self.http, status)
    }
}

/// An [`Upload`] that holds the body until it is whole and then calls a function.
struct Whole<F> {
    body: Vec<u8>,
    then: F,
}

/// Takes a body whole, and has `then` answer. It is held in memory, at most the route's bound.
pub fn whole<S>(then: impl FnOnce(&mut S, Vec<u8>, Answer<'_>) + 'static) -> Box<dyn Upload<S>> {
    Box::new(Whole { body: Vec::new(), then })
}

impl<S, F: FnOnce(&mut S, Vec<u8>, Answer<'_>)> Upload<S> for Whole<F> {
    fn piece(&mut self, _: &mut S, bytes: &[u8]) {
        self.body.extend_from_slice(bytes);
    }

    fn end(self: Box<Self>, state: &mut S, answer: Answer<'_>) {
        (self.then)(state, self.body, answer);
    }
}

impl<S, F: FnMut(&mut S, Message<'_>, &mut Replies<'_>)> Conversation<S> for F {
    fn message(&mut self, state: &mut S, message: Message<'_>, replies: &mut Replies<'_>) {
        self(state, message, replies);
    }
}

// Not derived: that would ask the same of `S`.
impl<S> Clone for Handler<S> {
    fn clone(&self) -> Handler<S> {
        *self
    }
}

impl<S> Copy for Handler<S> {}

impl<S> fmt::Debug for Handler<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Handler::Answer(_) => "Answer",
            Handler::Upload(_) => "Upload",
            Handler::Stream(_) => "Stream",
            Handler::WebSocket(_) => "WebSocket",
            Handler::Files => "Files",
        })
    }
}
