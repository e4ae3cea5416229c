//! One request and its answer, with whatever redirects and repeats lie between.

use std::fmt;
use std::time::Instant;

use super::connection::ConnectionId;
use super::request::ClientRequest;
use crate::body::BodyKind;
use crate::response::ResponseHead;
use crate::status::Status;
use crate::version::Version;

/// An exchange. A number is never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExchangeId(pub(super) u64);

#[derive(Debug)]
pub(super) struct Exchange {
    pub request: ClientRequest,
    pub connection: Option<ConnectionId>,
    /// When all of it is over.
    pub deadline: Option<Instant>,
    pub redirects_count: u32,
    /// An idle connection has failed it: the next is to be a new one.
    pub needs_new_connection: bool,
}

/// The final head of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The version; `Icy` for `ICY 200 OK`.
    pub version: Version,
    /// The status.
    pub status: Status,
    /// The reason phrase.
    pub reason: String,
    /// The header lines in order.
    pub headers: Vec<(String, Vec<u8>)>,
    /// How the body ends.
    pub body: BodyKind,
}

impl Response {
    /// The value of the first line with this name, in any case.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        let mut lines = self.headers.iter();
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_slice())
    }

    pub(super) fn from_head(head: &ResponseHead<'_>) -> Response {
        let headers = head.headers.iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        Response {
            version: head.version,
            status: head.status,
            reason: head.reason.to_owned(),
            headers: headers.collect(),
            body: head.body,
        }
    }
}

/// Why an exchange has no answer, or not all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientError {
    /// No connection was made.
    ConnectFailed,
    /// The connection ended before a byte of an answer.
    Unanswered,
    /// The connection ended inside the answer.
    CutOff,
    /// The answer cannot be read, or is longer than the limit.
    Malformed(&'static str),
    /// This took too long.
    TimedOut(Wait),
    /// One more redirect than the limit.
    TooManyRedirects,
    /// A redirect leads where it must not.
    RedirectRefused(&'static str),
    /// The caller ended the body before its length.
    BodyTooShort,
}

/// What was waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// A connection.
    Connect,
    /// The server, to take the request.
    Send,
    /// The head of the answer.
    Head,
    /// More of the answer's body.
    Body,
    /// All of it.
    Total,
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClientError::ConnectFailed => f.write_str("no connection was made"),
            ClientError::Unanswered => f.write_str("the connection ended without an answer"),
            ClientError::CutOff => f.write_str("the connection ended inside the answer"),
            ClientError::Malformed(reason) => write!(f, "the answer is malformed: {reason}"),
            ClientError::TimedOut(wait) => f.write_str(match wait {
                Wait::Connect => "the connection took too long",
                Wait::Send => "the server did not take the request in time",
                Wait::Head => "the answer did not begin in time",
                Wait::Body => "the answer's body stood still for too long",
                Wait::Total => "the whole took too long",
            }),
            ClientError::TooManyRedirects => f.write_str("there were too many redirects"),
            ClientError::RedirectRefused(reason) => write!(f, "a redirect was refused: {reason}"),
            ClientError::BodyTooShort => f.write_str("the request's body ended before its length"),
        }
    }
}

impl std::error::Error for ClientError {}
