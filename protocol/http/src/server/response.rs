//! One answer: the lines of its head, and then how its body comes.

use crate::status::Status;
use crate::write::ResponseWriter;

use super::connection::{Answer, Connection, Stage};
use super::settings::Server;

/// The head of an answer that is being written, with `Server`, `Date` and `Connection` in it
/// already. One of the last calls ends it; the answer to `HEAD` so has the head of the answer to
/// `GET`, whatever is given for its body.
#[derive(Debug)]
#[must_use = "an answer is ended by how its body comes"]
pub struct Response<'s, P> {
    pub(super) connection: &'s mut Connection,
    pub(super) server: &'s mut Server<P>,
    pub(super) status: Status,
}

impl<P> Response<'_, P> {
    /// `Name: value`.
    pub fn header(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.with(|head| _ = head.header(name, value))
    }

    /// `Name: 123`.
    pub fn header_number(self, name: &str, value: u64) -> Self {
        self.with(|head| _ = head.header_number(name, value))
    }

    /// `Name: Sun, 06 Nov 1994 08:49:37 GMT`.
    pub fn header_date(self, name: &str, unix_seconds: u64) -> Self {
        self.with(|head| _ = head.header_date(name, unix_seconds))
    }

    /// Whole lines of the program's own, each with its CR LF.
    pub fn raw_lines(self, lines: &[u8]) -> Self {
        self.with(|head| _ = head.raw_lines(lines))
    }

    /// Ends it with this body, which is copied.
    pub fn body(self, body: &[u8]) {
        let Response { connection, server, status } = self;
        let mut head = ResponseWriter::append_to(server.output.text());
        if has_body(status) {
            head.content_length(body.len() as u64);
        }
        head.finish();
        if has_body(status) && !connection.is_head {
            server.output.text().extend_from_slice(body);
        }
        connection.answered(server);
    }

    /// Ends it without a body. Where the status may have one, its length is said to be zero.
    pub fn empty(self) {
        self.body(b"");
    }

    /// Ends it with a body that is not copied.
    pub fn piece(self, piece: P, piece_bytes: u64) {
        let Response { connection, server, status } = self;
        debug_assert!(has_body(status), "{status:?} has no body");
        ResponseWriter::append_to(server.output.text()).content_length(piece_bytes).finish();
        if piece_bytes > 0 && !connection.is_head {
            server.output.piece(piece, piece_bytes);
        }
        connection.answered(server);
    }

    /// Ends the head; a body of this length follows by [`Connection::send_body`] and
    /// [`Connection::send_piece`]. Whether one is wanted: not to `HEAD`.
    pub fn begin(self, length_bytes: u64) -> bool {
        let Response { connection, server, status } = self;
        let mut head = ResponseWriter::append_to(server.output.text());
        if has_body(status) {
            head.content_length(length_bytes);
        }
        head.finish();
        let follows = length_bytes > 0 && has_body(status) && !connection.is_head;
        match follows {
            true => connection.answer = Answer::Length(length_bytes),
            false => connection.answered(server),
        }
        follows
    }

    /// Ends the head; a body of unknown length follows, in chunks or, to HTTP/1.0, until the
    /// connection closes. [`Connection::end_body`] ends it. Whether one is wanted: not to `HEAD`.
    pub fn stream(self) -> bool {
        let Response { connection, server, status } = self;
        debug_assert!(has_body(status), "{status:?} has no body");
        let mut head = ResponseWriter::append_to(server.output.text());
        let answer = if connection.is_http10 {
            Answer::UntilClose
        } else {
            head.chunked();
            Answer::Chunked
        };
        head.finish();
        if connection.is_head {
            connection.answered(server);
            return false;
        }
        connection.answer = answer;
        true
    }

    /// Ends the head of 101: what follows in both directions is another protocol's.
    pub fn upgrade(self) {
        let Response { connection, server, status } = self;
        debug_assert_eq!(status, Status::SWITCHING_PROTOCOLS);
        ResponseWriter::append_to(server.output.text()).finish();
        connection.answer = Answer::Done;
        connection.stage = Stage::Upgraded;
    }

    fn with(self, write: impl FnOnce(&mut ResponseWriter<'_>)) -> Self {
        write(&mut ResponseWriter::append_to(self.server.output.text()));
        self
    }
}

/// RFC 9110 §6.4.1.
fn has_body(status: Status) -> bool {
    status.0 >= 200 && status != Status::NO_CONTENT && status != Status::NOT_MODIFIED
}
