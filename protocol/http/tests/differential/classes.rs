//! The differences that are meant, each with its reason. A list that is complete: an input that
//! shows another one fails the test, and so does an entry that no input shows.

use crate::message::{Kind, Message};

/// Where we stop and the other goes on.
pub struct Stricter {
    /// What we say.
    pub reason: &'static str,
    pub why: &'static str,
}

/// Requests and answers that we refuse and llhttp reads.
pub const STRICTER: &[Stricter] = &[
    Stricter {
        reason: "HTTP/1.1 without Host",
        why: "RFC 9112 §3.2; llhttp leaves it to its user",
    },
    Stricter { reason: "Host is malformed", why: "RFC 9112 §3.2; llhttp leaves it to its user" },
    Stricter { reason: "Host is repeated", why: "RFC 9112 §3.2; llhttp leaves it to its user" },
    Stricter {
        reason: "Transfer-Encoding is repeated",
        why: "llhttp reads the lines as one list; a filter that reads the first sees another body",
    },
    Stricter {
        reason: "Transfer-Encoding needs HTTP/1.1",
        why: "RFC 9112 §6.1 has it treated as faulty framing",
    },
    Stricter {
        reason: "only the transfer coding 'chunked' is implemented",
        why: "we could not decode the body; llhttp hands it out coded",
    },
    Stricter {
        reason: "a line ends in LF without CR",
        why: "llhttp takes empty lines of LF alone between two requests",
    },
    Stricter {
        reason: "the first byte begins no request",
        why: "llhttp takes a CR alone before a request line for an empty line",
    },
    Stricter {
        reason: "the request line is malformed",
        why: "llhttp takes a request line without a version for HTTP/0.9",
    },
    Stricter {
        reason: "the target is neither a path nor an http URL",
        why: "llhttp lets any scheme and `*` with more behind it through",
    },
    Stricter {
        reason: "the transfer coding is not 'chunked'",
        why: "llhttp reads such an answer until the connection closes; we could not decode it",
    },
    Stricter {
        reason: "the reason phrase has a control character",
        why: "RFC 9112 §4 has none in it, and it goes into logs",
    },
    Stricter { reason: "the status code is malformed", why: "RFC 9110 §15: 100 to 999" },
    Stricter {
        reason: "the status line has no version of ours",
        why: "llhttp takes empty lines before an answer, where no RFC has any",
    },
    Stricter {
        reason: "a tab stands behind Transfer-Encoding",
        why: "llhttp takes it for a part of the coding, which it then does not know",
    },
    Stricter {
        reason: "a chunk size overflows",
        why: "sixteen digits are enough; more are zeros in front",
    },
    Stricter {
        reason: "the body is longer than the limit",
        why: "a chunk that overflows the sum of a body's bytes",
    },
];

/// Told to close and to stay, we close; llhttp, of an HTTP/1.0 request, stays.
pub const CLOSED: &str = "the connection is to be closed";

/// Whether that is why nothing more was read behind this message.
pub fn is_told_both(message: &Message) -> bool {
    let lines = message.values("connection");
    let says = |token: &str| lines.iter().any(|line| line.eq_ignore_ascii_case(token.as_bytes()));
    says("close") && says("keep-alive")
}

/// What we read and llhttp refuses.
pub struct Laxer {
    pub why: &'static str,
    pub kind: Kind,
    /// Whether this is the reason for it.
    pub explains: fn(&Parting<'_>) -> bool,
}

/// Where we go on and llhttp does not.
pub struct Parting<'r> {
    /// Our message, the bytes of its head, and the message before it.
    pub message: &'r Message,
    pub head: &'r [u8],
    pub previous: Option<&'r Message>,
    /// llhttp's error, and its reading of the same message, if it began one.
    pub error: &'r str,
    pub their: Option<&'r Message>,
}

pub const LAXER: &[Laxer] = &[
    Laxer {
        why: "a method is any token (RFC 9110 §9.1); llhttp has a list of them",
        kind: Kind::Requests,
        explains: |parting| {
            let known = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "SOURCE"];
            let is_unknown = !known.contains(&parting.message.first.as_str());
            parting.error == "HPE_INVALID_METHOD" && is_unknown
        },
    },
    Laxer {
        why: "encoders send titles as UTF-8 without encoding it",
        kind: Kind::Requests,
        explains: |parting| {
            parting.error == "HPE_INVALID_URL" && !parting.message.target.is_ascii()
        },
    },
    Laxer {
        why: "we drop trailers unread; llhttp reads a length in them as though it were in the head",
        kind: Kind::Requests,
        explains: is_about_trailers,
    },
    Laxer {
        why: "trailers of an answer, likewise",
        kind: Kind::Responses,
        explains: is_about_trailers,
    },
    Laxer {
        why: "of a chunk's extension we refuse what could end its line; llhttp wants its grammar",
        kind: Kind::Requests,
        explains: is_about_extensions,
    },
    Laxer {
        why: "an extension in an answer's body, likewise",
        kind: Kind::Responses,
        explains: is_about_extensions,
    },
    Laxer {
        why: "a tab behind a value is a blank (RFC 9110 §5.6.3); llhttp takes it for a part of it",
        kind: Kind::Requests,
        explains: is_about_tabs,
    },
    Laxer {
        why: "an interim answer that says close is followed by the answer all the same",
        kind: Kind::Responses,
        explains: |parting| {
            let is_interim = parting.previous.is_some_and(|before| before.first.starts_with('1'));
            parting.error == "HPE_CLOSED_CONNECTION" && parting.their.is_none() && is_interim
        },
    },
    Laxer {
        why: "a bare LF ends a line of an answer: old radio servers send it (RFC 9112 §2.2)",
        kind: Kind::Responses,
        explains: |parting| {
            let head = parting.head;
            let is_bare =
                |(at, byte): (usize, &u8)| *byte == b'\n' && (at == 0 || head[at - 1] != b'\r');
            parting.their.is_none() && head.iter().enumerate().any(is_bare)
        },
    },
    Laxer {
        why: "a later minor version is readable as 1.1 (RFC 9110 §2.5)",
        kind: Kind::Responses,
        explains: |parting| {
            let head = parting.head;
            let is_later = head.starts_with(b"HTTP/1.") && matches!(head[7], b'2'..=b'9');
            parting.error == "HPE_INVALID_VERSION" && is_later
        },
    },
    Laxer {
        why: "one length said twice is one length (RFC 9112 §6.3); our requests refuse even that",
        kind: Kind::Responses,
        explains: |parting| {
            let lengths = parting.message.values("content-length");
            parting.error == "HPE_UNEXPECTED_CONTENT_LENGTH"
                && lengths.len() > 1
                && lengths.iter().all(|length| *length == lengths[0])
        },
    },
];

/// The message itself is the same, and what llhttp minds stands behind its last chunk; or it is
/// whole, and a coding behind its last chunk makes llhttp close.
fn is_about_trailers(parting: &Parting<'_>) -> bool {
    let Parting { message, previous, error, their, .. } = parting;
    let minds_length = ["HPE_INVALID_CONTENT_LENGTH", "HPE_INVALID_TRANSFER_ENCODING"];
    let is_same = |their: &Message| their.begins(message) && their.body == message.body;
    let is_refused =
        message.is_chunked() && minds_length.contains(error) && their.is_some_and(is_same);
    let is_closed = *error == "HPE_CLOSED_CONNECTION" && their.is_none();
    is_refused || is_closed && previous.is_some_and(Message::is_chunked)
}

fn is_about_tabs(parting: &Parting<'_>) -> bool {
    let minds = ["HPE_INVALID_CONTENT_LENGTH", "HPE_INVALID_TRANSFER_ENCODING"];
    let has_tab = parting.head.windows(3).any(|three| three == b"\t\r\n");
    minds.contains(&parting.error) && has_tab
}

fn is_about_extensions(parting: &Parting<'_>) -> bool {
    let Parting { message, error, their, .. } = parting;
    *error == "HPE_STRICT"
        && message.is_chunked()
        && their.is_some_and(|their| their.begins(message))
}

/// Heads of requests that `httparse` takes and we refuse.
pub const STRICTER_THAN_HTTPARSE: &[Stricter] = &[
    Stricter { reason: "HTTP/1.1 without Host", why: "RFC 9112 §3.2; httparse knows no names" },
    Stricter { reason: "Host is malformed", why: "the same" },
    Stricter { reason: "Host is repeated", why: "the same" },
    Stricter { reason: "Content-Length is malformed", why: "httparse does not look for a body" },
    Stricter { reason: "Content-Length is repeated", why: "the same" },
    Stricter { reason: "Content-Length stands beside Transfer-Encoding", why: "the same" },
    Stricter { reason: "Transfer-Encoding is repeated", why: "the same" },
    Stricter { reason: "Transfer-Encoding is malformed", why: "the same" },
    Stricter { reason: "Transfer-Encoding needs HTTP/1.1", why: "the same" },
    Stricter { reason: "'chunked' is not the last transfer coding, once", why: "the same" },
    Stricter { reason: "only the transfer coding 'chunked' is implemented", why: "the same" },
    Stricter {
        reason: "a line ends in LF without CR",
        why: "httparse takes a bare LF for a line's end",
    },
    Stricter {
        reason: "the target is neither a path nor an http URL",
        why: "httparse takes any visible characters for a target",
    },
];
