//! What a connection is at, besides what its machine knows: requests are routed here, and answered
//! by the program, from a file, or with a refusal.

use std::net::IpAddr;
use std::time::Instant;

use bytes::Bytes;
use protocol_http::server::{Connection, Event, Found, Router};
use protocol_http::{Method, Refused, RequestHead, Status, Version};
use protocol_ws::Upgrade;
use shards_runtime::Token;
use shards_storage::{File, FileError, Find, RootId};

use crate::body::{self, Body, Due};
use crate::disk::{Disk, Pending, refusal};
use crate::files::{FileAnswers, FileBody, Next, name_of};
use crate::limits::Counters;
use crate::program::{Answer, Conversation, Handler, Http, Request, Upload};
use crate::site::{Auth, Site};
use crate::speaker::Said;
use crate::talk::{Talk, Talks};

/// What all connections of a shard are served with.
pub(crate) struct Desk<S> {
    pub(crate) state: S,
    router: Router<Handler<S>>,
    auth: Option<Auth>,
    talks: Talks,
    answers: FileAnswers,
    pub(crate) disk: Option<(Disk, RootId)>,
    /// Bodies that were woken.
    pub(crate) due: Due,
    /// What was said to WebSockets.
    pub(crate) said: Said,
    pub(crate) counters: Counters,
}

/// Whose event it is, and when.
#[derive(Clone, Copy)]
pub(crate) struct Caller {
    pub(crate) token: Token,
    pub(crate) peer: IpAddr,
    pub(crate) is_secure: bool,
    pub(crate) now: Instant,
}

/// What a connection is at.
pub(crate) struct Visit<S> {
    /// Takes the body of the present request.
    upload: Option<Box<dyn Upload<S>>>,
    /// The request waits for its file.
    pending: Option<Box<Pending>>,
    /// What is still to be sent of a file.
    file: FileBody,
    /// What is still to come of another answer.
    body: Option<Box<dyn Body<S>>>,
    /// In a box, for most connections never get there.
    pub(crate) talk: Option<Box<Talk<S>>>,
}

impl<S> Default for Visit<S> {
    fn default() -> Visit<S> {
        Visit { upload: None, pending: None, file: FileBody::default(), body: None, talk: None }
    }
}

impl<S> Desk<S> {
    pub(crate) fn new(site: &Site<S>, state: S, disk: Option<(Disk, RootId)>) -> Desk<S> {
        Desk {
            state,
            router: Router::new(&site.routes),
            auth: site.auth,
            talks: Talks::new(&site.websockets),
            answers: FileAnswers::default(),
            disk,
            due: Due::default(),
            said: Said::default(),
            counters: Counters::default(),
        }
    }

    /// Answers.
    pub(crate) fn handle(
        &mut self,
        event: &Event<'_>,
        caller: Caller,
        visit: &mut Visit<S>,
        connection: &mut Connection,
        http: &mut Http,
    ) {
        match event {
            Event::Request(head) => match head.target.decoded_path() {
                Ok(path) => self.request((head, &path), caller, visit, connection, http),
                Err(refused) => connection.refuse(http, refused),
            },
            Event::Body(piece) => {
                if let Some(upload) = &mut visit.upload {
                    upload.piece(&mut self.state, piece);
                }
            }
            Event::End => {
                if let Some(upload) = visit.upload.take() {
                    upload.end(&mut self.state, Answer { connection, http });
                }
            }
            Event::Refused(refused) => {
                visit.forget();
                connection.refuse(http, *refused);
            }
        }
    }

    fn request(
        &mut self,
        (head, path): (&RequestHead<'_>, &str),
        caller: Caller,
        visit: &mut Visit<S>,
        connection: &mut Connection,
        http: &mut Http,
    ) {
        let answer = Answer { connection, http };
        if head.target.is_asterisk() {
            let allow = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
            return answer.with(Status::NO_CONTENT).header("Allow", allow).empty();
        }
        let (route, parameters) = match self.router.find(head.method, path) {
            Found::Route(route, parameters) => (route, parameters),
            Found::Options { allow } => {
                return answer.with(Status::NO_CONTENT).header("Allow", allow).empty();
            }
            Found::NotAllowed { allow } => {
                return answer.with(Status::METHOD_NOT_ALLOWED).header("Allow", allow).empty();
            }
            Found::NoMethod => {
                return answer.text(Status::NOT_IMPLEMENTED, "the method is unknown");
            }
            Found::Nothing => return answer.text(Status::NOT_FOUND, "not found"),
        };
        let Caller { peer, is_secure, .. } = caller;
        let request = Request { head, path, parameters: &parameters, peer, is_secure };
        if route.needs_auth
            && let Some(auth) = self.auth
            && !(auth.is_allowed)(&request)
        {
            self.counters.unauthorised_requests += 1;
            let response = answer.with(Status::UNAUTHORIZED);
            return response.header("WWW-Authenticate", auth.challenge).empty();
        }
        let (handler, body_bytes_max) = (route.handler, route.body_bytes_max);
        match handler {
            Handler::Answer(handler) => handler(&mut self.state, &request, answer),
            Handler::Upload(_) if head.lacks_length() => {
                answer.text(Status::LENGTH_REQUIRED, "the body has no length");
            }
            Handler::Upload(handler) => {
                answer.connection.set_body_bytes_max(body_bytes_max);
                visit.upload = Some(handler(&mut self.state, &request));
            }
            Handler::Stream(handler) => {
                if let Some(mut body) = handler(&mut self.state, &request, answer) {
                    body.begin(self.due.waker(caller.token));
                    visit.body = Some(body);
                    self.counters.streams += 1;
                }
            }
            Handler::WebSocket(handler) => {
                let Answer { connection, http } = answer;
                let Some(upgrade) = upgrade_of(head, connection, http) else { return };
                let conversation = handler(&mut self.state, &request);
                self.upgrade((&upgrade, conversation), caller, visit, connection, http);
            }
            Handler::Files => {
                let name = parameters.get("path").unwrap_or_default();
                let name = name_of(name, "index.html");
                let found = match &mut self.disk {
                    Some((disk, root)) => {
                        disk.find(caller.now, (*root, &name), &head.headers, caller.token)
                    }
                    None => Find::Refused(FileError::NotFound),
                };
                match found {
                    Find::Here(file) => self.file((head, &name), &file, visit, answer),
                    Find::Asked => visit.pending = Some(Box::new(Pending::new(head, &name))),
                    Find::Refused(error) => refuse(answer, error),
                }
            }
        }
    }

    /// Answers a request whose file was waited for, if it has come and the wire is free.
    pub(crate) fn answer_pending(
        &mut self,
        visit: &mut Visit<S>,
        connection: &mut Connection,
        http: &mut Http,
    ) {
        let has_come = visit.pending.as_ref().is_some_and(|pending| pending.is_ready());
        if !has_come || connection.is_sending() || connection.is_closing() {
            return;
        }
        let Some(pending) = visit.pending.take() else { return };
        let told = pending.answer(|head, path, file| {
            let answer = Answer { connection: &mut *connection, http: &mut *http };
            self.file((head, path), file, visit, answer);
        });
        if let Err(error) = told {
            refuse(Answer { connection, http }, error);
        }
    }

    /// Goes on with an answer whose body is not complete, as far as the client takes it.
    pub(crate) fn go_on(
        &mut self,
        (token, now): (Token, Instant),
        visit: &mut Visit<S>,
        connection: &mut Connection,
        http: &mut Http,
    ) {
        if let Some(body) = &mut visit.body
            && !body::go_on(&mut **body, (&mut self.state, now), connection, http)
        {
            visit.body = None;
        }
        if !visit.file.is_empty() {
            let disk = self.disk.as_mut().map(|(disk, _)| disk);
            visit.send_file((disk, token), connection, http);
        }
    }

    fn file(
        &mut self,
        (head, path): (&RequestHead<'_>, &str),
        file: &File,
        visit: &mut Visit<S>,
        answer: Answer<'_>,
    ) {
        let file = self.answers.answer(head, path, file);
        if answer.with(file.status).raw_lines(file.lines).begin(file.body_bytes) {
            visit.file = file.body;
        }
    }

    fn upgrade(
        &mut self,
        (upgrade, mut conversation): (&Upgrade<'_>, Box<dyn Conversation<S>>),
        caller: Caller,
        visit: &mut Visit<S>,
        connection: &mut Connection,
        http: &mut Http,
    ) {
        let mut lines = Vec::with_capacity(160);
        upgrade.write_response_lines(None, &mut lines);
        let agreed = self.talks.agree(upgrade, &mut lines);
        connection.respond(http, Status::SWITCHING_PROTOCOLS).raw_lines(&lines).upgrade();
        conversation.begin(&mut self.state, self.said.speaker(caller.token));
        visit.talk = Some(Box::new(self.talks.open(agreed.as_ref(), conversation, caller.now)));
        self.counters.websockets += 1;
    }
}

impl<S> Visit<S> {
    /// Whether nothing is left to be said, nor will be without being asked.
    pub(crate) fn is_idle(&self) -> bool {
        let Visit { upload: _, pending, file, body, talk } = self;
        pending.is_none() && file.is_empty() && body.is_none() && talk.is_none()
    }

    /// Whether its answer goes on until the client leaves.
    pub(crate) fn is_lasting(&self) -> bool {
        self.body.as_ref().is_some_and(|body| body.is_lasting())
    }

    /// When its body wants to be asked again, which is no matter while the client has not taken
    /// what it was sent.
    pub(crate) fn deadline(&self, connection: &Connection) -> Option<Instant> {
        let body = self.body.as_ref().filter(|_| !connection.is_sending());
        body.and_then(|body| body.deadline())
    }

    /// The present request is answered otherwise, or not at all.
    pub(crate) fn forget(&mut self) {
        (self.upload, self.pending, self.body) = (None, None, None);
        self.file = FileBody::default();
    }

    /// A file was found, or not.
    pub(crate) fn found(&mut self, result: Result<File, FileError>) {
        if let Some(pending) = &mut self.pending {
            pending.found(result);
        }
    }

    /// A block of a large file has come, or will not.
    pub(crate) fn arrived(
        &mut self,
        result: Result<Bytes, FileError>,
        connection: &mut Connection,
    ) {
        if self.file.arrived(result).is_err() {
            self.file = FileBody::default();
            connection.abort();
        }
    }

    fn send_file(
        &mut self,
        (disk, token): (Option<&mut Disk>, Token),
        connection: &mut Connection,
        http: &mut Http,
    ) {
        while connection.wants_body(http) {
            match self.file.take() {
                Next::Block(block) => {
                    let bytes = block.len_bytes();
                    connection.send_piece(http, block, bytes);
                }
                Next::Text(text) => connection.send_body(http, &text),
                Next::Later | Next::End => break,
            }
        }
        if let Some(disk) = disk
            && self.file.read_on(disk, token).is_err()
        {
            self.file = FileBody::default();
            connection.abort();
        }
    }
}

/// The upgrade that a request is; `None`, and it is answered, where it is none.
fn upgrade_of<'h>(
    head: &RequestHead<'h>,
    connection: &mut Connection,
    http: &mut Http,
) -> Option<Upgrade<'h>> {
    match Upgrade::parse(&head.headers) {
        Ok(Some(upgrade)) if head.method == Method::Get && head.version == Version::Http11 => {
            return Some(upgrade);
        }
        Ok(_) => {
            let response = connection.respond(http, Status::UPGRADE_REQUIRED);
            let lines = b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n";
            response.raw_lines(lines).body(b"this is a WebSocket");
        }
        Err(protocol_ws::Refused { status, reason }) => {
            connection.refuse(http, Refused { status: Status(status), reason });
        }
    }
    None
}

fn refuse(answer: Answer<'_>, error: FileError) {
    let (status, reason) = refusal(error);
    answer.text(status, reason);
}
