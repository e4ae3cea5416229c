//! Request methods (RFC 9110 §9), with the two of Icecast.

/// A method. Names are case-sensitive: `get` is `Other("get")`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the word itself")]
pub enum Method<'b> {
    Get,
    Head,
    Post,
    Put,
    Delete,
    Options,
    Patch,
    /// Icecast's way to offer a stream, older than `PUT`.
    Source,
    /// Icecast's request for its statistics stream.
    Stats,
    /// Any other token; a service answers 405 or 501.
    Other(&'b str),
}

impl<'b> Method<'b> {
    /// The method that a token names.
    pub fn from_token(token: &'b str) -> Method<'b> {
        match token {
            "GET" => Method::Get,
            "HEAD" => Method::Head,
            "POST" => Method::Post,
            "PUT" => Method::Put,
            "DELETE" => Method::Delete,
            "OPTIONS" => Method::Options,
            "PATCH" => Method::Patch,
            "SOURCE" => Method::Source,
            "STATS" => Method::Stats,
            other => Method::Other(other),
        }
    }

    /// The word as it stands on the wire.
    pub fn as_str(&self) -> &'b str {
        match self {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Delete => "DELETE",
            Method::Options => "OPTIONS",
            Method::Patch => "PATCH",
            Method::Source => "SOURCE",
            Method::Stats => "STATS",
            Method::Other(token) => token,
        }
    }

    /// Whether such a request usually carries a body (`POST`, `PUT`, `PATCH`, `SOURCE`).
    pub fn carries_body(&self) -> bool {
        matches!(self, Method::Post | Method::Put | Method::Patch | Method::Source)
    }
}
