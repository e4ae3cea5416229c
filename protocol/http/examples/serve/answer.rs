//! What is answered. It is decided from the head, while the head is there to read, and written when
//! the request has ended; in between it is a few words that can be copied.

use protocol_http::{
    ByteRange, Condition, Method, Ranges, RequestHead, ResponseWriter, Status, Validators, Version,
    evaluate, if_range_holds, parse_range, write_decimal,
};

use super::output::Output;
use super::site::Site;

const HELLO: &[u8] = b"Hello, world!";
const READ: &str = "GET, HEAD, OPTIONS";
const WRITE: &str = "POST, PUT, OPTIONS";

/// A decision, and what of the request matters for writing it down.
#[derive(Clone, Copy)]
pub struct Answer {
    what: What,
    /// To `HEAD`: the same head, and no body.
    is_head: bool,
    /// HTTP/1.0 has to be told that the connection goes on.
    is_http10: bool,
    /// Whether the connection goes on.
    pub keep_alive: bool,
}

#[derive(Clone, Copy)]
enum What {
    Hello,
    Empty,
    BodyLength,
    File(usize, Part),
    Options(&'static str),
    NotAllowed(&'static str),
    Failed(Status, &'static str),
}

/// How much of a file.
#[derive(Clone, Copy)]
enum Part {
    Whole,
    Range(ByteRange),
    Unsatisfiable,
    NotModified,
    ConditionFailed,
}

impl Answer {
    /// Decides.
    pub fn to(head: &RequestHead<'_>, site: &Site) -> Answer {
        Answer {
            what: decide(head, site),
            is_head: head.method == Method::Head,
            is_http10: head.version == Version::Http10,
            keep_alive: head.keep_alive,
        }
    }

    /// A refusal, after which the connection ends.
    pub fn refusal(status: Status, reason: &'static str) -> Answer {
        let what = What::Failed(status, reason);
        Answer { what, is_head: false, is_http10: false, keep_alive: false }
    }

    /// Whether the request's body is of interest.
    pub fn wants_body(&self) -> bool {
        matches!(self.what, What::BodyLength)
    }

    /// Writes it. `body_bytes` is how long the request's body was.
    pub fn write(&self, site: &Site, body_bytes: u64, out: &mut Output) {
        match self.what {
            What::Hello => self.text(Status::OK, site, HELLO, out),
            What::Empty => self.text(Status::OK, site, b"", out),
            What::BodyLength => {
                let mut number = Vec::with_capacity(21);
                write_decimal(body_bytes, &mut number);
                number.push(b'\n');
                self.text(Status::OK, site, &number, out);
            }
            What::File(index, part) => self.file(index, part, site, out),
            What::Options(allow) => {
                self.begin(Status::NO_CONTENT, site, out).header("Allow", allow).finish();
            }
            What::NotAllowed(allow) => {
                let mut head = self.begin(Status::METHOD_NOT_ALLOWED, site, out);
                head.header("Allow", allow).content_length(0).finish();
            }
            What::Failed(status, reason) => {
                let mut head = self.begin(status, site, out);
                if status == Status::UPGRADE_REQUIRED {
                    head.raw_lines(b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n");
                }
                head.header("Content-Type", "text/plain");
                head.content_length(reason.len() as u64).finish();
                self.body(reason.as_bytes(), out);
            }
        }
    }

    /// The lines that every answer has.
    fn begin<'o>(&self, status: Status, site: &Site, out: &'o mut Output) -> ResponseWriter<'o> {
        let mut head = ResponseWriter::new(out.text(), Version::Http11, status);
        head.raw_lines(site.lines());
        match (self.keep_alive, self.is_http10) {
            (true, true) => _ = head.keep_alive(),
            (true, false) => {}
            (false, _) => _ = head.close(),
        }
        head
    }

    fn text(&self, status: Status, site: &Site, body: &[u8], out: &mut Output) {
        let mut head = self.begin(status, site, out);
        head.header("Content-Type", "text/plain").content_length(body.len() as u64).finish();
        self.body(body, out);
    }

    fn body(&self, body: &[u8], out: &mut Output) {
        if !self.is_head {
            out.text().extend_from_slice(body);
        }
    }

    fn file(&self, index: usize, part: Part, site: &Site, out: &mut Output) {
        let (file, block) = site.file(index);
        let length_bytes = file.contents.len() as u64;
        let (status, range) = match part {
            Part::Whole => (Status::OK, 0..length_bytes),
            Part::Range(range) => (Status::PARTIAL_CONTENT, range.first..range.last + 1),
            Part::Unsatisfiable => (Status::RANGE_NOT_SATISFIABLE, 0..0),
            Part::NotModified => (Status::NOT_MODIFIED, 0..0),
            Part::ConditionFailed => (Status::PRECONDITION_FAILED, 0..0),
        };
        let mut head = self.begin(status, site, out);
        if matches!(part, Part::Whole | Part::Range(_) | Part::NotModified) {
            head.header("ETag", &file.etag);
            head.header_date("Last-Modified", file.modified_unix_seconds);
        }
        if matches!(part, Part::Whole | Part::Range(_)) {
            head.header("Content-Type", file.media_type).header("Accept-Ranges", "bytes");
        }
        match part {
            Part::Range(range) => {
                let mut value = Vec::with_capacity(64);
                range.write_content_range(length_bytes, &mut value);
                head.header("Content-Range", value);
            }
            Part::Unsatisfiable => {
                _ = head.header("Content-Range", format!("bytes */{length_bytes}"));
            }
            _ => {}
        }
        // 304 says nothing about a length that it does not send.
        if !matches!(part, Part::NotModified) {
            head.content_length(range.end - range.start);
        }
        head.finish();
        if !self.is_head {
            out.file(block, range);
        }
    }
}

fn decide(head: &RequestHead<'_>, site: &Site) -> What {
    let reads = matches!(head.method, Method::Get | Method::Head);
    let writes = matches!(head.method, Method::Post | Method::Put);
    if head.target.is_asterisk() {
        return What::Options("GET, HEAD, POST, PUT, OPTIONS");
    }
    let path = match head.target.decoded_path() {
        Ok(path) => path,
        Err(refused) => return What::Failed(refused.status, refused.reason),
    };
    let allow = if path == "/length" { WRITE } else { READ };
    match (&*path, head.method) {
        (_, Method::Options) => What::Options(allow),
        (_, Method::Other(_)) => What::Failed(Status::NOT_IMPLEMENTED, "the method is unknown"),
        ("/length", _) if !writes => What::NotAllowed(allow),
        ("/length", _) if head.lacks_length() => {
            What::Failed(Status::LENGTH_REQUIRED, "the body has no length")
        }
        ("/length", _) => What::BodyLength,
        _ if !reads => What::NotAllowed(allow),
        ("/", _) => What::Hello,
        ("/empty", _) => What::Empty,
        ("/echo", _) => What::Failed(Status::UPGRADE_REQUIRED, "this is a WebSocket"),
        (path, _) => match site.find(path) {
            Some(index) => What::File(index, part(head, site, index)),
            None => What::Failed(Status::NOT_FOUND, "there is no such file"),
        },
    }
}

/// Conditions come before ranges (RFC 9110 §13.2.2). More than one range is answered with the
/// whole, as §14.2 allows: `multipart/byteranges` is rarely asked for and never needed.
fn part(head: &RequestHead<'_>, site: &Site, index: usize) -> Part {
    let (file, _) = site.file(index);
    let validators = Validators {
        etag: Some(&file.etag),
        modified_unix_seconds: Some(file.modified_unix_seconds),
    };
    match evaluate(&head.headers, head.method, Some(validators)) {
        Condition::NotModified => return Part::NotModified,
        Condition::Failed => return Part::ConditionFailed,
        Condition::Proceed => {}
    }
    // A range is for GET alone (§14.2).
    let Some(value) = head.headers.get("range").filter(|_| head.method == Method::Get) else {
        return Part::Whole;
    };
    if !if_range_holds(&head.headers, validators) {
        return Part::Whole;
    }
    match parse_range(value, file.contents.len() as u64) {
        Ranges::Some { ranges, count: 1 } => Part::Range(ranges[0]),
        Ranges::Unsatisfiable => Part::Unsatisfiable,
        _ => Part::Whole,
    }
}
