//! Status codes, and the two ways in which bytes can be wrong.

use std::fmt;

/// A status code (RFC 9110 §15).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Status(
    /// The number, 100 to 599 for every constant here.
    pub u16,
);

macro_rules! statuses {
    ($($name:ident $code:literal $reason:literal;)*) => {
        impl Status {
            $(
                #[doc = concat!("`", $code, " ", $reason, "`")]
                pub const $name: Status = Status($code);
            )*

            /// The usual reason phrase, or `Unknown`.
            pub const fn reason(self) -> &'static str {
                match self.0 {
                    $($code => $reason,)*
                    _ => "Unknown",
                }
            }
        }
    };
}

statuses! {
    CONTINUE 100 "Continue";
    SWITCHING_PROTOCOLS 101 "Switching Protocols";
    OK 200 "OK";
    CREATED 201 "Created";
    ACCEPTED 202 "Accepted";
    NO_CONTENT 204 "No Content";
    PARTIAL_CONTENT 206 "Partial Content";
    MOVED_PERMANENTLY 301 "Moved Permanently";
    FOUND 302 "Found";
    SEE_OTHER 303 "See Other";
    NOT_MODIFIED 304 "Not Modified";
    TEMPORARY_REDIRECT 307 "Temporary Redirect";
    PERMANENT_REDIRECT 308 "Permanent Redirect";
    BAD_REQUEST 400 "Bad Request";
    UNAUTHORIZED 401 "Unauthorized";
    FORBIDDEN 403 "Forbidden";
    NOT_FOUND 404 "Not Found";
    METHOD_NOT_ALLOWED 405 "Method Not Allowed";
    NOT_ACCEPTABLE 406 "Not Acceptable";
    REQUEST_TIMEOUT 408 "Request Timeout";
    CONFLICT 409 "Conflict";
    GONE 410 "Gone";
    LENGTH_REQUIRED 411 "Length Required";
    PRECONDITION_FAILED 412 "Precondition Failed";
    CONTENT_TOO_LARGE 413 "Content Too Large";
    URI_TOO_LONG 414 "URI Too Long";
    UNSUPPORTED_MEDIA_TYPE 415 "Unsupported Media Type";
    RANGE_NOT_SATISFIABLE 416 "Range Not Satisfiable";
    EXPECTATION_FAILED 417 "Expectation Failed";
    MISDIRECTED_REQUEST 421 "Misdirected Request";
    UNPROCESSABLE_CONTENT 422 "Unprocessable Content";
    UPGRADE_REQUIRED 426 "Upgrade Required";
    TOO_MANY_REQUESTS 429 "Too Many Requests";
    HEADERS_TOO_LARGE 431 "Request Header Fields Too Large";
    INTERNAL_SERVER_ERROR 500 "Internal Server Error";
    NOT_IMPLEMENTED 501 "Not Implemented";
    BAD_GATEWAY 502 "Bad Gateway";
    SERVICE_UNAVAILABLE 503 "Service Unavailable";
    GATEWAY_TIMEOUT 504 "Gateway Timeout";
    VERSION_NOT_SUPPORTED 505 "HTTP Version Not Supported";
}

/// A request that is not served: the client is at fault. Answer `status`, then close.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// What to answer.
    pub status: Status,
    /// Why, for the log and for the body of the answer. Holds nothing that the client sent.
    pub reason: &'static str,
}

impl Refused {
    /// A request that does not come in time.
    pub const TIMEOUT: Refused =
        Refused::new(Status::REQUEST_TIMEOUT, "the request takes too long");
    /// An answer that is not there in time.
    pub const UNAVAILABLE: Refused =
        Refused::new(Status::SERVICE_UNAVAILABLE, "there is no answer at the moment");
    /// More connections than are served.
    pub const TOO_MANY_CONNECTIONS: Refused =
        Refused::new(Status::SERVICE_UNAVAILABLE, "too many connections");
    /// More requests than an address may make.
    pub const TOO_MANY_REQUESTS: Refused =
        Refused::new(Status::TOO_MANY_REQUESTS, "too many requests");

    pub(crate) const fn new(status: Status, reason: &'static str) -> Refused {
        Refused { status, reason }
    }

    pub(crate) const fn bad(reason: &'static str) -> Refused {
        Refused::new(Status::BAD_REQUEST, reason)
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.status.0, self.status.reason(), self.reason)
    }
}

impl std::error::Error for Refused {}

/// A response that cannot be read: the server at the other end is at fault. Close.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed {
    /// Why, for the log. Holds nothing that the server sent.
    pub reason: &'static str,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason)
    }
}

impl std::error::Error for Malformed {}
