//! The half of a connection that writes: heads, bodies, and their framing.

use crate::status::{Refused, Status};
use crate::write::{LAST_CHUNK, ResponseWriter, write_chunk_head};

use super::connection::{Answer, Connection, Reading, Stage};
use super::response::Response;
use super::settings::Server;

impl Connection {
    /// Begins the answer to the present request.
    ///
    /// # Panics
    /// When there is none, or it is answered, or a send is under way: bugs of the program.
    pub fn respond<'s, P>(
        &'s mut self,
        server: &'s mut Server<P>,
        status: Status,
    ) -> Response<'s, P> {
        assert!(self.reading != Reading::Head, "an answer needs a request");
        assert!(self.answer == Answer::None, "a request has one answer");
        assert!(!self.is_sending, "nothing is written while a send is under way");
        // It is not asked to go on, so nobody knows whether its body follows.
        if self.expects_continue && status.0 >= 200 {
            self.keep_alive = false;
        }
        let mut head = server.begin(status);
        if status != Status::SWITCHING_PROTOCOLS {
            match (self.keep_alive, self.is_http10) {
                (true, true) => _ = head.keep_alive(),
                (true, false) => {}
                (false, _) => _ = head.close(),
            }
        }
        Response { connection: self, server, status }
    }

    /// Answers what is no request, or none that can go on, and ends the connection behind it. At
    /// any time: before a request ("too many connections"), in its middle, or instead of an answer.
    /// Where an answer has begun, it is cut off.
    pub fn refuse<P>(&mut self, server: &mut Server<P>, refused: Refused) {
        let Some(refused) = self.break_for(refused) else {
            self.abort();
            return;
        };
        let response = self.respond(server, refused.status).header("Content-Type", "text/plain");
        response.body(refused.reason.as_bytes());
    }

    /// Whether a body that has begun can go on: now is the time to write more of it.
    #[must_use]
    pub fn wants_body<P>(&self, server: &Server<P>) -> bool {
        self.is_in_body() && !self.is_sending && !server.output.is_full()
    }

    /// Whether a body has begun and not ended: what was promised of it is still owed.
    #[must_use]
    pub fn is_in_body(&self) -> bool {
        let has_begun = !matches!(self.answer, Answer::None | Answer::Done);
        has_begun && self.stage == Stage::Requests
    }

    /// Writes more of the body, copying it. The last of a known length ends the answer.
    ///
    /// # Panics
    /// When it is longer than the length that was said.
    pub fn send_body<P>(&mut self, server: &mut Server<P>, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.before_piece(server, bytes.len() as u64);
        server.output.text().extend_from_slice(bytes);
        self.after_piece(server);
    }

    /// Writes more of the body without copying it.
    ///
    /// # Panics
    /// As [`Connection::send_body`].
    pub fn send_piece<P>(&mut self, server: &mut Server<P>, piece: P, piece_bytes: u64) {
        if piece_bytes == 0 {
            return;
        }
        self.before_piece(server, piece_bytes);
        server.output.piece(piece, piece_bytes);
        self.after_piece(server);
    }

    /// Ends a body of unknown length. One of a known length that is not complete is cut off.
    pub fn end_body<P>(&mut self, server: &mut Server<P>) {
        match self.answer {
            Answer::None | Answer::Done => {}
            Answer::Length(_) => self.abort(),
            Answer::Chunked => {
                server.output.text().extend_from_slice(LAST_CHUNK);
                self.answered(server);
            }
            Answer::UntilClose => {
                self.keep_alive = false;
                self.answered(server);
            }
        }
    }

    /// The answer cannot go on as it was promised. The client sees that from the connection's end,
    /// which comes before the body's.
    pub fn abort(&mut self) {
        self.keep_alive = false;
        self.end(false);
    }

    /// The answer is written.
    pub(super) fn answered<P>(&mut self, server: &Server<P>) {
        self.answer = Answer::Done;
        if self.reading == Reading::Body {
            self.decoder.set_body_bytes_max(server.settings.unwanted_bytes_max);
        }
    }

    fn before_piece<P>(&mut self, server: &mut Server<P>, piece_bytes: u64) {
        assert!(!self.is_sending, "nothing is written while a send is under way");
        match &mut self.answer {
            Answer::None | Answer::Done => panic!("no body has begun"),
            Answer::Length(left_bytes) => {
                let left = left_bytes.checked_sub(piece_bytes);
                *left_bytes = left.expect("a body has the length that was said");
            }
            Answer::Chunked => write_chunk_head(piece_bytes as usize, server.output.text()),
            Answer::UntilClose => {}
        }
    }

    fn after_piece<P>(&mut self, server: &mut Server<P>) {
        match self.answer {
            Answer::Length(0) => self.answered(server),
            Answer::Chunked => server.output.text().extend_from_slice(b"\r\n"),
            _ => {}
        }
    }
}

impl<P> Server<P> {
    /// Writes the head of an answer that belongs to no request of a [`Connection`]: `Server`,
    /// `Date`, and what the program adds.
    pub fn write_head(&self, status: Status, out: &mut Vec<u8>, lines: &[u8]) {
        let mut head = ResponseWriter::new(out, crate::Version::Http11, status);
        head.raw_lines(self.lines()).raw_lines(lines).finish();
    }
}
