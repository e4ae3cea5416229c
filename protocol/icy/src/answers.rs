//! Icecast's answers, byte for byte (Icecast 2.4.4, src/util.c, `util_http_build_header`).
//!
//! ```text
//!  HTTP/1.0 200 OK
//!  Server: …
//!  Connection: Close
//!  Date: …
//!  Content-Type: …
//!  WWW-Authenticate: …          401 only
//!  Cache-Control: no-cache, no-store
//!  Expires: Mon, 26 Jul 1997 05:00:00 GMT
//!  Pragma: no-cache
//!  Access-Control-Allow-Origin: *      and whatever else the operator adds
//!  Content-Length: …            where Icecast says it; else the connection's end is the body's
//! ```
//!
//! Every one ends its connection: encoders and hardware players are written against that.

use protocol_http::{Refused, ResponseWriter, Status, Version};

use crate::text::push_escaped;

/// The realm that players show when they ask for a password.
pub const REALM: &str = "Icecast2 Server";

const HTML: &str = "text/html; charset=utf-8";
const PLAIN: &str = "text/plain; charset=utf-8";
const XML: &str = "text/xml; charset=utf-8";

/// What a source hears when its mount is its own. `Expect: 100-continue` gets 100 and 200 at once:
/// encoders look for both in one buffer.
pub fn source_welcome(expect_continue: bool) -> Vec<u8> {
    let interim: &[u8] = if expect_continue { CONTINUE } else { b"" };
    [interim, b"HTTP/1.0 200 OK\r\n\r\n"].concat()
}

/// What every answer is made with.
#[derive(Debug, Clone, Copy)]
pub struct Answers<'a> {
    /// The `Server` line.
    pub server: &'a str,
    /// Seconds since 1970, for the `Date` line.
    pub unix_seconds: u64,
    /// Header lines of the operator, as (name, value).
    pub extra_headers: &'a [(String, String)],
}

impl Answers<'_> {
    /// Any answer with its length: admin pages, playlists with markup, JSON. `content_type` is
    /// whole, with its charset.
    pub fn page(&self, status: u16, content_type: &str, body: &[u8]) -> Vec<u8> {
        self.page_with(status, content_type, &[], body)
    }

    /// As [`page`](Self::page), with more header lines before the length.
    pub fn page_with(
        &self,
        status: u16,
        content_type: &str,
        lines: &[(&str, &str)],
        body: &[u8],
    ) -> Vec<u8> {
        let mut out = Vec::with_capacity(512 + body.len());
        let mut head = self.begin(status, content_type, &mut out);
        for (name, value) in lines {
            head.header(name, value);
        }
        head.content_length(body.len() as u64).finish();
        out.extend_from_slice(body);
        out
    }

    /// Any answer without its length, as Icecast sends its plain text, its M3U and its errors.
    pub fn page_to_end(&self, status: u16, content_type: &str, body: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(512 + body.len());
        self.begin(status, content_type, &mut out).finish();
        out.extend_from_slice(body);
        out
    }

    /// A page of the program's own XML, written whole.
    pub fn xml(&self, body: &str) -> Vec<u8> {
        self.page(200, XML, body.as_bytes())
    }

    /// `<iceresponse>`: what most admin commands answer. `return_value` is 1 for done, 0 for not.
    pub fn admin_message(&self, message: &str, return_value: u8) -> Vec<u8> {
        let mut body = String::from("<?xml version=\"1.0\"?>\n<iceresponse><message>");
        push_escaped(message, &mut body);
        body.push_str("</message><return>");
        body.push_str(&return_value.to_string());
        body.push_str("</return></iceresponse>\n");
        self.xml(&body)
    }

    /// The small HTML page of commands that succeed.
    pub fn admin_success(&self, message: &str) -> Vec<u8> {
        let mut body =
            String::from("<html><head><title>Admin request successful</title></head><body><p>");
        push_escaped(message, &mut body);
        body.push_str("</p></body></html>");
        self.page_to_end(200, HTML, body.as_bytes())
    }

    /// The small HTML page of errors.
    pub fn html_error(&self, status: u16, message: &str) -> Vec<u8> {
        let mut body =
            format!("<html><head><title>Error {status}</title></head><body><b>{status} - ");
        push_escaped(message, &mut body);
        body.push_str("</b></body></html>\r\n");
        self.page_to_end(status, HTML, body.as_bytes())
    }

    /// Plain text, as 403 has it.
    pub fn plain(&self, status: u16, body: &str) -> Vec<u8> {
        self.page_to_end(status, PLAIN, body.as_bytes())
    }

    /// `/admin/streamlist.txt`, of [`stream_list`](crate::stream_list).
    pub fn stream_list(&self, list: &str) -> Vec<u8> {
        self.plain(200, list)
    }

    /// 401: credentials are missing or wrong.
    pub fn unauthorised(&self) -> Vec<u8> {
        self.plain(401, "You need to authenticate\r\n")
    }

    /// 403: the mount has a source.
    pub fn mount_in_use(&self) -> Vec<u8> {
        self.plain(403, "Mountpoint in use")
    }

    /// 403: a `PUT` without a type.
    pub fn no_content_type(&self) -> Vec<u8> {
        self.plain(403, "No Content-type given")
    }

    /// 403: a type that is no stream.
    pub fn unsupported_type(&self) -> Vec<u8> {
        self.plain(403, "Content-type not supported")
    }

    /// 403: the server has all the sources it may have.
    pub fn too_many_sources(&self) -> Vec<u8> {
        self.plain(403, "too many sources connected")
    }

    /// 403: the mount has all the listeners it may have.
    pub fn listeners_full(&self) -> Vec<u8> {
        self.plain(403, "max listeners reached")
    }

    /// 403: the server has all the clients it may have.
    pub fn server_full(&self) -> Vec<u8> {
        self.plain(403, "Icecast connection limit reached")
    }

    /// 403: the mount is only a fallback of others.
    pub fn mount_unavailable(&self) -> Vec<u8> {
        self.plain(403, "mountpoint unavailable")
    }

    /// 503: too much is waiting for an answer. Icecast says it with 403, which caches and players
    /// may take for good.
    pub fn busy(&self) -> Vec<u8> {
        self.plain(503, "busy, please try again later")
    }

    /// 404: no such mount, page or file.
    pub fn not_found(&self) -> Vec<u8> {
        self.html_error(404, "The file you requested could not be found")
    }

    /// 404: the source went before the first byte.
    pub fn mount_gone(&self) -> Vec<u8> {
        self.html_error(404, "Mount unavailable")
    }

    /// 400: a mount's path that no mount can have.
    pub fn bad_mount(&self) -> Vec<u8> {
        self.html_error(400, "Mountpoint is not valid")
    }

    /// 400: a method that is not served here.
    pub fn unknown_request(&self) -> Vec<u8> {
        self.html_error(400, "unknown request")
    }

    /// 400: an admin request without something it needs.
    pub fn missing_parameter(&self) -> Vec<u8> {
        self.html_error(400, "Missing parameter")
    }

    /// 400: an admin request for a mount that is not there.
    pub fn no_such_source(&self) -> Vec<u8> {
        self.html_error(400, "Source does not exist")
    }

    /// 400: an admin command that is not known; also the answer to libshout's `/admin/!POKE`.
    pub fn unrecognised_command(&self) -> Vec<u8> {
        self.html_error(400, "Unrecognised command")
    }

    /// 408: the head did not come in time.
    pub fn request_timeout(&self) -> Vec<u8> {
        self.html_error(408, "the request did not arrive in time")
    }

    /// 413: a body longer than any request needs.
    pub fn too_large(&self) -> Vec<u8> {
        self.html_error(413, "the request is too large")
    }

    /// 508: a pull that came round to the node that it started from.
    pub fn loop_detected(&self) -> Vec<u8> {
        self.html_error(508, "this node pulls its stream from you")
    }

    /// A request that the HTTP decoder refused. Icecast closes without a word.
    pub fn refused(&self, refused: Refused) -> Vec<u8> {
        self.html_error(refused.status.0, refused.reason)
    }

    /// The head up to the operator's lines.
    pub(crate) fn begin<'o>(
        &self,
        status: u16,
        content_type: &str,
        out: &'o mut Vec<u8>,
    ) -> ResponseWriter<'o> {
        let reason = reason_of(status);
        let mut head = ResponseWriter::with_reason(out, Version::Http10, Status(status), reason);
        head.header("Server", self.server)
            .header("Connection", "Close")
            .header_date("Date", self.unix_seconds)
            .header("Content-Type", content_type);
        if status == 401 {
            head.header("WWW-Authenticate", format!("Basic realm=\"{REALM}\""));
        }
        head.raw_lines(NEVER_STORED);
        for (name, value) in self.extra_headers {
            head.header(name, value);
        }
        head
    }
}

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\nContent-Length: 0\r\n\r\n";

const NEVER_STORED: &[u8] = b"Cache-Control: no-cache, no-store\r\n\
    Expires: Mon, 26 Jul 1997 05:00:00 GMT\r\n\
    Pragma: no-cache\r\n";

/// Icecast's words for a status, the usual ones where it has none.
fn reason_of(status: u16) -> &'static str {
    match status {
        401 => "Authentication Required",
        404 => "File Not Found",
        416 => "Request Range Not Satisfiable",
        508 => "Loop Detected",
        _ => Status(status).reason(),
    }
}
