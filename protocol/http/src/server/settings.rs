//! What the connections of one shard have in common.

use std::time::Duration;

use crate::date::write_http_date;
use crate::limits::Limits;
use crate::status::Status;
use crate::version::Version;
use crate::write::ResponseWriter;

use super::output::Output;

/// Bounds and times of a connection. The defaults suit a public server.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Of heads and bodies, and how many requests a connection may carry.
    pub limits: Limits,
    /// Between two requests: closed without a word.
    pub idle: Duration,
    /// From the first byte of a head to its last: 408. A byte now and then does not help.
    pub head: Duration,
    /// For a body to come, beside what [`Settings::body_rate_min_bytes`] grants: 408.
    pub body: Duration,
    /// Bytes of a body that buy one more second.
    pub body_rate_min_bytes: u32,
    /// For the program to answer, or to go on with a body: [`super::Expired::Answer`].
    pub answer: Duration,
    /// For a send to be taken by the client: closed.
    pub send: Duration,
    /// For a refused client that still sends to read why: closed.
    pub linger: Duration,
    /// Bytes of unread requests that may wait. Beyond it receiving pauses, and TCP holds the client
    /// back.
    pub input_bytes_max: usize,
    /// Once a send has so many bytes no further request is looked at until it is taken.
    pub output_bytes_max: usize,
    /// Pieces of one send that are not text, at most.
    pub output_pieces_max: usize,
    /// How much of the body of a request that is answered already is taken and dropped to keep the
    /// connection. One that is longer ends it.
    pub unwanted_bytes_max: u64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            limits: Limits::default(),
            idle: Duration::from_secs(60),
            head: Duration::from_secs(10),
            body: Duration::from_secs(10),
            body_rate_min_bytes: 4 * 1024,
            answer: Duration::from_secs(60),
            send: Duration::from_secs(30),
            linger: Duration::from_secs(1),
            input_bytes_max: 64 * 1024,
            output_bytes_max: 256 * 1024,
            output_pieces_max: 24,
            unwanted_bytes_max: 64 * 1024,
        }
    }
}

/// What happened, all since the start. Each limit has one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Requests begun.
    pub requests: u64,
    /// Bytes that were no request to be served: 4xx and 5xx of the decoder.
    pub refused: u64,
    /// Heads that took too long.
    pub slow_heads: u64,
    /// Bodies that took too long.
    pub slow_bodies: u64,
    /// Sends that were not taken in time.
    pub slow_readers: u64,
    /// Connections closed because nothing was asked for long.
    pub idle_closed: u64,
    /// Answers that the program did not give in time.
    pub answers_late: u64,
    /// Connections that carried as many requests as they may.
    pub requests_exhausted: u64,
    /// Times that receiving was paused because too much waited unread.
    pub input_paused: u64,
}

/// Settings, counters, the lines of every head, and the output of the event that is being handled.
/// `P` is what the driver sends besides text: a range of a file, a block in memory.
#[derive(Debug)]
pub struct Server<P> {
    pub(super) settings: Settings,
    /// What happened.
    pub counters: Counters,
    pub(super) output: Output<P>,
    name: String,
    second: u64,
    /// `Server` and `Date`.
    lines: Vec<u8>,
    /// The status line of 200 with them.
    ok: Vec<u8>,
}

impl<P> Server<P> {
    /// A server that calls itself `name` in the line `Server`; an empty name writes none.
    #[must_use]
    pub fn new(name: &str, settings: Settings) -> Server<P> {
        let output = Output::new(settings.output_bytes_max, settings.output_pieces_max);
        let (lines, ok) = (Vec::new(), Vec::new());
        let counters = Counters::default();
        let name = name.to_owned();
        let mut server = Server { settings, counters, output, name, second: 0, lines, ok };
        server.render();
        server
    }

    /// Told the time, in seconds since 1970, before every event. Does nothing within a second.
    pub fn set_time(&mut self, unix_seconds: u64) {
        if unix_seconds != self.second {
            self.second = unix_seconds;
            self.render();
        }
    }

    /// The settings.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Other settings, from now on; the decoders of open connections keep their limits.
    pub fn set_settings(&mut self, settings: Settings) {
        self.output.set_bounds(settings.output_bytes_max, settings.output_pieces_max);
        self.settings = settings;
    }

    /// What is to be sent for the connection that is being handled.
    pub fn output(&mut self) -> &mut Output<P> {
        &mut self.output
    }

    /// `Server` and this second's `Date`, each with its CR LF.
    #[must_use]
    pub fn lines(&self) -> &[u8] {
        &self.lines
    }

    /// Begins a head.
    pub(super) fn begin(&mut self, status: Status) -> ResponseWriter<'_> {
        let text = self.output.text();
        if status == Status::OK {
            text.extend_from_slice(&self.ok);
            return ResponseWriter::append_to(text);
        }
        let mut head = ResponseWriter::new(text, Version::Http11, status);
        head.raw_lines(&self.lines);
        head
    }

    fn render(&mut self) {
        self.lines.clear();
        if !self.name.is_empty() {
            self.lines.extend_from_slice(b"Server: ");
            self.lines.extend_from_slice(self.name.as_bytes());
            self.lines.extend_from_slice(b"\r\n");
        }
        self.lines.extend_from_slice(b"Date: ");
        write_http_date(self.second, &mut self.lines);
        self.lines.extend_from_slice(b"\r\n");
        self.ok.clear();
        ResponseWriter::new(&mut self.ok, Version::Http11, Status::OK).raw_lines(&self.lines);
    }
}
