//! Requests that are taken whole, and who answers them.
//!
//! ```text
//! head ── route ── body, within the route's bound ── dispatch ─┬─► control (Question::Http)
//!                                                              └─► the shard: Reply
//! ```
//!
//! What a shard answers is an [`Answer`]: status, header lines of its own, body. `Server`, `Date`,
//! the operator's CORS lines, the length and what becomes of the connection are added here. Who
//! cannot answer at once says [`Reply::Later`], and [`Node::reply`] comes when it can; until then
//! the connection is parked under a deadline like one that waits for control.

use std::time::Duration;

use bytes::Bytes;
use engine_rtc::{FRAGMENT, SDP};
use protocol_http::{
    BodyKind, Limits, Preflight, RequestDecoder, RequestHead, ResponseWriter, Status, Step, Version,
};
use shards_runtime::{Context, Io, Token};

use crate::access::may_ask;
use crate::connection::{Asking, Body, Connection, State};
use crate::message::{ForwardedRequest, Message, Question};
use crate::node::Node;
use crate::routes::Handler;

/// What a request is answered with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Answer {
    /// The status.
    pub(crate) status: Status,
    /// Header lines beside those that every answer has.
    pub(crate) headers: Vec<(&'static str, String)>,
    /// The body. To `HEAD` only its length goes out, and of a 204 or 304 nothing.
    pub(crate) body: Bytes,
}

/// What a handler of the shard says.
pub(crate) enum Reply {
    /// This.
    Now(Answer),
    /// It comes by [`Node::reply`].
    Later,
}

/// A request of which the head is here and the body is to come.
pub(crate) struct Taking {
    /// Who answers.
    pub(crate) handler: Handler,
    /// Only for who proves who he is.
    pub(crate) needs_auth: bool,
    /// Longest body.
    pub(crate) body_bytes_max: u64,
    /// The request without its body.
    pub(crate) request: Box<ForwardedRequest>,
    /// How the body comes.
    pub(crate) body: BodyKind,
    /// The client waits to be asked for it.
    pub(crate) expect_continue: bool,
}

impl Answer {
    /// An answer without lines and body.
    pub(crate) fn new(status: Status) -> Answer {
        Answer { status, headers: Vec::new(), body: Bytes::new() }
    }

    /// An answer to programs.
    pub(crate) fn json(status: Status, body: impl Into<Bytes>) -> Answer {
        let answer = Answer::new(status).with_header("Content-Type", "application/json");
        Answer { body: body.into(), ..answer.with_header("Cache-Control", "no-store") }
    }

    /// An answer that says why in a line.
    pub(crate) fn text(status: Status, line: &str) -> Answer {
        let answer = Answer::new(status).with_header("Content-Type", "text/plain; charset=utf-8");
        Answer { body: Bytes::from(format!("{line}\n")), ..answer }
    }

    /// The same with one more line.
    #[must_use]
    pub(crate) fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Answer {
        self.headers.push((name, value.into()));
        self
    }

    /// The whole answer as it goes out.
    fn encode(&self, head: &HeadOf<'_>) -> Vec<u8> {
        let mut out = Vec::with_capacity(256 + self.body.len());
        let mut response = ResponseWriter::new(&mut out, Version::Http11, self.status);
        response.header("Server", head.server).header_date("Date", head.unix_seconds);
        for (name, value) in head.extra_headers {
            response.header(name, value);
        }
        for (name, value) in &self.headers {
            response.header(name, value);
        }
        match head.is_kept {
            true => response.keep_alive(),
            false => response.close(),
        };
        let has_body = !matches!(self.status, Status::NO_CONTENT | Status::NOT_MODIFIED);
        if has_body {
            response.content_length(head.length_bytes);
        }
        response.finish();
        if has_body && !head.is_head {
            out.extend_from_slice(&self.body);
        }
        out
    }
}

impl From<engine_web::Answer> for Answer {
    fn from(answer: engine_web::Answer) -> Answer {
        let engine_web::Answer { status, headers, body } = answer;
        Answer { status, headers, body: Bytes::from_static(body) }
    }
}

/// What an answer is written with.
struct HeadOf<'a> {
    server: &'a str,
    unix_seconds: u64,
    extra_headers: &'a [(String, String)],
    is_kept: bool,
    is_head: bool,
    length_bytes: u64,
}

/// The answer to a method that a path of ours does not have.
pub(crate) fn not_allowed(allow: &str) -> Answer {
    Answer::new(Status::METHOD_NOT_ALLOWED).with_header("Allow", allow)
}

/// The answer to `OPTIONS` for a path of ours, a browser's preflight included.
pub(crate) fn options(head: &RequestHead<'_>, allow: &str) -> Answer {
    let mut answer = Answer::new(Status::NO_CONTENT).with_header("Allow", allow);
    // Only what WHIP and WHEP have takes bodies here.
    for (method, name, kind) in [("POST", "Accept-Post", SDP), ("PATCH", "Accept-Patch", FRAGMENT)]
    {
        if allow.split(", ").any(|allowed| allowed == method) {
            answer = answer.with_header(name, kind);
        }
    }
    let Some(preflight) = Preflight::from_head(head) else { return answer };
    let answer = answer
        .with_header("Access-Control-Allow-Methods", allow)
        .with_header("Access-Control-Max-Age", "86400");
    match preflight.allowed_headers() {
        Some(names) => answer.with_header("Access-Control-Allow-Headers", names),
        None => answer,
    }
}

/// The answer to who only wants to know whether somebody is there.
fn api_health() -> Answer {
    const BODY: &str = concat!(
        r#"{"status":"ok","product":"skywave","service":"skywave","version":""#,
        env!("CARGO_PKG_VERSION"),
        "\"}\n"
    );
    Answer::json(Status::OK, BODY)
}

/// The answer to who asks the API for what it has not.
fn no_api() -> Answer {
    Answer::json(Status::NOT_FOUND, "{\"status\":\"error\",\"error\":\"not_found\"}\n")
}

/// The answer to who may not ask.
fn unauthorised() -> Answer {
    let body = "{\"status\":\"error\",\"error\":\"unauthorized\"}\n";
    let answer = Answer::json(Status::UNAUTHORIZED, body);
    answer.with_header("WWW-Authenticate", "Bearer realm=\"skywave\"")
}

impl Node {
    /// Has a whole request answered by whom the table says.
    fn dispatch<I: Io>(
        &mut self,
        cx: &mut Context<'_, I, Message>,
        token: Token,
        handler: Handler,
        request: ForwardedRequest,
    ) {
        match handler {
            Handler::Icecast | Handler::Control | Handler::Operators => {
                self.counters.forwarded_requests += 1;
                self.ask(cx, token, Question::Http(Box::new(request)), Asking::Answer);
            }
            Handler::Symple | Handler::Home => self.upgrade(cx, token, &request),
            Handler::NoApi => self.reply(cx, token, &no_api()),
            Handler::ApiHealth => self.answered(cx, token, Reply::Now(api_health())),
            Handler::Artifacts => self.artifact_request(cx, token, &request),
            Handler::Events => {
                if let Some(reply) = self.subscribe(cx, token, &request) {
                    self.answered(cx, token, reply);
                }
            }
            Handler::Rtc => {
                let reply = self.rtc_request(cx, token, &request);
                self.answered(cx, token, reply);
            }
        }
    }

    /// Does what a handler of the shard says.
    fn answered<I: Io>(&mut self, cx: &mut Context<'_, I, Message>, token: Token, reply: Reply) {
        match reply {
            Reply::Now(answer) => self.reply(cx, token, &answer),
            Reply::Later => _ = self.park_asking(cx, token, Asking::Answer),
        }
    }

    /// Answers a request on this shard, at once or when it was [`Reply::Later`].
    pub(crate) fn reply<I: Io>(
        &mut self,
        cx: &mut Context<'_, I, Message>,
        token: Token,
        answer: &Answer,
    ) {
        let may_keep = self.may_keep(token);
        let Some(connection) = self.connections.get(token) else { return };
        let is_head = connection.record.as_ref().is_some_and(|it| &*it.method == "HEAD");
        let config = &self.snapshot.config;
        let bytes = answer.encode(&HeadOf {
            server: &config.server.server_id,
            unix_seconds: cx.wall_clock().as_secs(),
            extra_headers: &config.http.cors_headers,
            is_kept: may_keep,
            is_head,
            length_bytes: answer.body.len() as u64,
        });
        match may_keep {
            true => self.answer_kept(cx, token, answer.status.0, bytes),
            false => self.refuse(cx, token, answer.status.0, bytes),
        }
    }

    /// A request's head is here: its body is read, if there is one.
    pub(crate) fn take<I: Io>(
        &mut self,
        cx: &mut Context<'_, I, Message>,
        token: Token,
        taking: Taking,
    ) {
        let Taking { handler, needs_auth, body_bytes_max, request, body, expect_continue } = taking;
        if needs_auth && !may_ask(&self.snapshot.config, &request, handler != Handler::Operators) {
            self.counters.unauthorised_requests += 1;
            if let Some(connection) = self.connections.get_mut(token) {
                // Its body, if any, is not read.
                connection.keep_alive.is_wanted &= matches!(body, BodyKind::None);
            }
            return self.reply(cx, token, &unauthorised());
        }
        if matches!(body, BodyKind::Length(length) if length > body_bytes_max) {
            return self.too_large(cx, token, handler);
        }
        if matches!(body, BodyKind::None | BodyKind::Length(0)) {
            return self.dispatch(cx, token, handler, *request);
        }
        let timeout = Duration::from_millis(self.snapshot.config.limits.body_timeout_ms);
        let connection = self.connections.get_mut(token).expect("it asked");
        let State::Head(head) = &mut connection.state else { return };
        let decoder = std::mem::replace(&mut head.decoder, RequestDecoder::new(Limits::default()));
        let body = Body { decoder, handler, body_bytes_max, request: *request };
        connection.state = State::Body(Box::new(body));
        connection.deadline = Some(cx.now() + timeout);
        self.arm(cx, token);
        if expect_continue {
            self.answer_bytes(cx, token, Bytes::from_static(protocol_http::CONTINUE));
        }
        self.body_input(cx, token);
    }

    /// More of a body may be here.
    pub(crate) fn body_input<I: Io>(&mut self, cx: &mut Context<'_, I, Message>, token: Token) {
        loop {
            let Some(connection) = self.connections.get_mut(token) else { return };
            let Connection { state: State::Body(body), input, .. } = connection else { return };
            match body.decoder.decode(input) {
                Ok(Step::Need) => return,
                Ok(Step::Body { range, used }) => {
                    body.request.body.extend_from_slice(&input[range]);
                    input.drain(..used);
                    if body.request.body.len() as u64 > body.body_bytes_max {
                        let handler = body.handler;
                        return self.too_large(cx, token, handler);
                    }
                }
                Ok(Step::End { used }) => {
                    input.drain(..used);
                    connection.keep_alive.has_whole_body = true;
                    let state = std::mem::replace(&mut connection.state, State::Answering);
                    let State::Body(body) = state else { unreachable!("matched above") };
                    return self.dispatch(cx, token, body.handler, body.request);
                }
                Ok(Step::Head { .. }) => unreachable!("its head is done"),
                Err(refused) => {
                    let (status, answer) = (refused.status, self.answers(cx).refused(refused));
                    return self.refuse(cx, token, status.0, answer);
                }
            }
        }
    }

    fn too_large<I: Io>(
        &mut self,
        cx: &mut Context<'_, I, Message>,
        token: Token,
        handler: Handler,
    ) {
        if handler == Handler::Icecast {
            let answer = self.answers(cx).too_large();
            return self.refuse(cx, token, 413, answer);
        }
        // What is left of the body would be taken for the next request.
        if let Some(connection) = self.connections.get_mut(token) {
            connection.keep_alive.is_wanted = false;
        }
        self.reply(cx, token, &Answer::new(Status::CONTENT_TOO_LARGE));
    }
}
