//! What goes between a connection, its driver and its program.

use crate::request::RequestHead;
use crate::status::Refused;

/// What the bytes of a connection mean to the program, in order.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "heads live on the stack; boxing would allocate")]
pub enum Event<'i> {
    /// A request. Answer it now, at its [`Event::End`], or later; until then no other comes.
    Request(RequestHead<'i>),
    /// A piece of its body, never empty. None comes once the request is answered.
    Body(&'i [u8]),
    /// The request is complete. Not told of a request that is answered already.
    End,
    /// This is no request that can be served. Answer it, with [`super::Connection::refuse`] or in
    /// words of one's own; the connection ends behind the answer.
    Refused(Refused),
}

/// What the driver is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Send everything that is in [`super::Server::output`], which has to be taken now. Then report
    /// [`super::Connection::sent`].
    Send,
    /// The same, and close behind it: nothing follows. A driver that can let the end leave with the
    /// last bytes does so and reports nothing; one that cannot sends, reports
    /// [`super::Connection::sent`], and is told to close. [`Action::Close`] meanwhile is for a
    /// client that does not take it.
    Finish,
    /// Stop receiving, then report [`ReceiveEnd::Paused`].
    Pause,
    /// Receive again.
    Receive,
    /// Close. Nothing follows.
    Close,
}

/// Why receiving stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceiveEnd {
    /// The driver was told to pause.
    Paused,
    /// The client has ended its direction. It still gets the answers that it has asked for.
    Eof,
    /// The connection failed.
    Failed,
}

/// What a deadline that has passed was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expired {
    /// Nothing: it has moved, and is now [`super::Connection::deadline`].
    NotYet,
    /// A request that does not come in time. Answer 408 ([`super::Connection::refuse`] with
    /// [`Refused::TIMEOUT`]); the connection ends behind it.
    Request,
    /// The program's own answer. Answer 503, or abort the body that does not go on.
    Answer,
    /// The connection's time: `poll` says `Close`.
    Over,
}
