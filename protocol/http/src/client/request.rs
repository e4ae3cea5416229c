//! What a client asks, checked before anything is sent.

use std::time::Duration;

use crate::client::url::Url;
use crate::headers::is_token_byte;
use crate::method::Method;
use crate::version::Version;
use crate::write::RequestWriter;

/// The body of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestBody {
    /// None at all.
    None,
    /// All of it, at hand. It can be sent again: on another connection, or after a redirect.
    Whole(Vec<u8>),
    /// So many bytes, given with `send_body`.
    Length(u64),
    /// In chunks, given with `send_body`, until `end_body`.
    Chunked,
}

/// A request for a [`Client`](super::Client).
#[derive(Debug, Clone)]
pub struct ClientRequest {
    pub(super) method: String,
    pub(super) url: Url,
    pub(super) headers: Vec<(String, Vec<u8>)>,
    pub(super) body: RequestBody,
    pub(super) body_bytes_max: Option<u64>,
    pub(super) total: Option<Duration>,
}

/// Why a request is not sent: the caller's mistake, and found before a byte is on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestError {
    /// The method is no token, or `CONNECT`.
    Method,
    /// A header's name is no token, or one of those that the client writes itself: `Host`,
    /// `Connection`, `Content-Length`, `Transfer-Encoding`, `Upgrade`, `TE`, `Trailer`, `Expect`.
    HeaderName,
    /// A header's value has a control character.
    HeaderValue,
    /// The client has as many exchanges as it may: try again when one has ended.
    TooMany,
}

impl std::fmt::Display for RequestError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            RequestError::Method => "the method cannot be sent",
            RequestError::HeaderName => "a header's name cannot be sent",
            RequestError::HeaderValue => "a header's value has a control character",
            RequestError::TooMany => "there are too many exchanges already",
        })
    }
}

impl std::error::Error for RequestError {}

/// What would change where a message ends, or to whom it is for.
const OWN_LINES: [&str; 8] = [
    "host",
    "connection",
    "content-length",
    "transfer-encoding",
    "upgrade",
    "te",
    "trailer",
    "expect",
];

/// What describes a body, and goes with it when a redirect drops the body (RFC 9110 §15.4).
const BODY_LINES: [&str; 6] = [
    "content-type",
    "content-encoding",
    "content-language",
    "content-location",
    "content-range",
    "digest",
];

/// What another origin must not be told.
const CREDENTIAL_LINES: [&str; 4] = ["authorization", "cookie", "cookie2", "proxy-authorization"];

impl ClientRequest {
    /// A request without headers and body.
    pub fn new(method: Method<'_>, url: Url) -> ClientRequest {
        ClientRequest {
            method: method.as_str().to_owned(),
            url,
            headers: Vec::new(),
            body: RequestBody::None,
            body_bytes_max: None,
            total: None,
        }
    }

    /// `GET`.
    pub fn get(url: Url) -> ClientRequest {
        ClientRequest::new(Method::Get, url)
    }

    /// Adds a header line.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> ClientRequest {
        self.headers.push((name.to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Gives it a body.
    pub fn body(mut self, body: RequestBody) -> ClientRequest {
        self.body = body;
        self
    }

    /// Takes so many bytes of body in the answer instead of the client's own limit; `u64::MAX` for
    /// a stream without end.
    pub fn body_bytes_max(mut self, body_bytes_max: u64) -> ClientRequest {
        self.body_bytes_max = Some(body_bytes_max);
        self
    }

    /// Gives it so long in all, redirects and repeats included, instead of the client's own limit.
    pub fn total(mut self, total: Duration) -> ClientRequest {
        self.total = Some(total);
        self
    }

    pub(super) fn check(&self) -> Result<(), RequestError> {
        let is_token = |text: &str| !text.is_empty() && text.bytes().all(is_token_byte);
        if !is_token(&self.method) || self.method == "CONNECT" {
            return Err(RequestError::Method);
        }
        for (name, value) in &self.headers {
            if !is_token(name) || is_one_of(name, &OWN_LINES) {
                return Err(RequestError::HeaderName);
            }
            if value.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
                return Err(RequestError::HeaderValue);
            }
        }
        Ok(())
    }

    /// Appends the head.
    pub(super) fn write_head(&self, out: &mut Vec<u8>) {
        let method = Method::from_token(&self.method);
        let mut head = RequestWriter::new(out, method, self.url.target(), Version::Http11);
        head.header("Host", self.url.origin.authority());
        for (name, value) in &self.headers {
            head.header(name, value);
        }
        match &self.body {
            // A method that usually has a body says that there is none (RFC 9110 §8.6).
            RequestBody::None if method.carries_body() => _ = head.content_length(0),
            RequestBody::None => {}
            RequestBody::Whole(body) => _ = head.content_length(body.len() as u64),
            RequestBody::Length(length_bytes) => _ = head.content_length(*length_bytes),
            RequestBody::Chunked => _ = head.header("Transfer-Encoding", "chunked"),
        }
        head.finish();
    }

    pub(super) fn is_head(&self) -> bool {
        self.method == "HEAD"
    }

    /// Whether doing it twice does what doing it once does (RFC 9110 §9.2.2).
    pub(super) fn is_idempotent(&self) -> bool {
        matches!(self.method.as_str(), "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PUT" | "DELETE")
    }

    /// Whether all of it is at hand, to be sent again.
    pub(super) fn is_repeatable(&self) -> bool {
        matches!(self.body, RequestBody::None | RequestBody::Whole(_))
    }

    /// Turns it into a `GET` without a body.
    pub(super) fn drop_body(&mut self) {
        self.method = "GET".to_owned();
        self.body = RequestBody::None;
        self.headers.retain(|(name, _)| !is_one_of(name, &BODY_LINES));
    }

    pub(super) fn drop_credentials(&mut self) {
        self.headers.retain(|(name, _)| !is_one_of(name, &CREDENTIAL_LINES));
    }
}

fn is_one_of(name: &str, names: &[&str]) -> bool {
    names.iter().any(|one| name.eq_ignore_ascii_case(one))
}
