//! From received bytes to what a connection will be: heads are read here, and routed.
//!
//! ```text
//! a path of `routes`   → taken whole and answered: `whole`
//! PUT, SOURCE          credentials → claim (control) → source
//! GET of a mount       → listener, at once or when control admits it
//! GET of a file        → `files`, at once or when the storage thread has it
//! OPTIONS              → answered here
//! anything else        → taken whole, and control answers in Icecast's words
//! ```

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use protocol_http::server::{Found, Route, Router};
use protocol_http::{
    BodyKind, Limits, Method, Preflight, Refused, RequestDecoder, RequestHead, ResponseWriter,
    Status, Step, Version,
};
use protocol_icy::{Answers, SourceRequest, V1Step};
use shards_runtime::{Context, Io, Token};
use shards_storage::FileError;

use crate::access::{Verification, verify_password, verify_source};
use crate::connection::{Asking, Connection, Parked, Record, State};
use crate::fanout::Visit;
use crate::files::{self, Place, Shelf, lacks_slash, place_of, with_slash};
use crate::keep::{asks_to_be_kept, redirect_to_https};
use crate::message::{ForwardedRequest, Message, Question, StreamOffer};
use crate::node::Node;
use crate::proxy::{ProxyStep, forwarded_for, proxy_header};
use crate::routes::Handler;
use crate::snapshot::{MountEntry, MountId, Snapshot};
use crate::source::{Body as SourceBody, Offer};
use crate::websocket::asks_for_upgrade;
use crate::whole::{Answer, Taking, not_allowed, options};

/// What a head turned out to ask for; it borrows nothing, so that the input may be consumed.
enum Wish {
    /// Feed this mount.
    Source { mount: String, request: Box<SourceRequest>, body: BodyKind },
    /// Hear this mount.
    Listen { entry: Arc<MountEntry>, titled: bool, head_only: bool, looped: bool },
    /// Send it a file of a directory.
    File(Place),
    /// The same, once it was looked for.
    FileFound(files::Step),
    /// Have it answered when it is here whole.
    Take(Taking),
    /// Answered already, by a path of ours.
    Ours(Answer),
    /// Answered already, with this status.
    Answered { status: u16, bytes: Vec<u8> },
}

impl Wish {
    /// Whether the client wants its connection kept, where an answer may let it go on.
    fn asks_to_be_kept(&self, head: &RequestHead<'_>) -> Option<bool> {
        match self {
            Wish::Take(Taking { handler, .. }) => Some(match handler.ends_connections() {
                true => asks_to_be_kept(head),
                false => head.keep_alive,
            }),
            // A body that nobody takes would be read as the next request.
            Wish::Ours(_) | Wish::File(_) => Some(head.keep_alive && has_no_body(head)),
            _ => None,
        }
    }
}

impl Node {
    /// Bounds of a connection's decoder. Bodies are bounded by whoever takes them.
    pub(crate) fn http_limits(&self) -> Limits {
        Limits {
            head_bytes_max: self.snapshot.config.limits.head_bytes_max,
            body_bytes_max: u64::MAX,
            host_required: false,
            ..Limits::default()
        }
    }

    /// What every Icecast answer is made with.
    pub(crate) fn answers<I: Io>(&self, cx: &Context<'_, I, Message>) -> Answers<'_> {
        Answers {
            server: &self.snapshot.config.server.server_id,
            unix_seconds: cx.wall_clock().as_secs(),
            extra_headers: &self.snapshot.config.http.cors_headers,
        }
    }

    /// A connection that is reading a head or a body has more input.
    pub(crate) fn input_grew<I: Io>(&mut self, cx: &mut Context<'_, I, Message>, token: Token) {
        let Some(connection) = self.connections.get_mut(token) else { return };
        match &connection.state {
            State::Head(head) if head.expects_proxy_header => self.proxy_input(cx, token),
            State::Head(_) => self.head_input(cx, token, &[]),
            State::V1(_) => self.v1_input(cx, token),
            State::Body(_) => self.body_input(cx, token),
            State::Pull(_) => self.pull_input(cx, token),
            _ => {}
        }
    }

    fn proxy_input<I: Io>(&mut self, cx: &mut Context<'_, I, Message>, token: Token) {
        let Some(connection) = self.connections.get_mut(token) else { return };
        let Connection { state: State::Head(head), input, peer, .. } = connection else { return };
        let trusted = &self.snapshot.config.server.trusted_proxies;
        if !trusted.iter().any(|network| network.contains(peer.ip())) {
            tracing::warn!(peer = %peer, "PROXY protocol socket: not a trusted proxy");
            self.close(cx, token);
            return;
        }
        match proxy_header(input) {
            ProxyStep::Need => {}
            ProxyStep::Header { peer: client, used } => {
                if let Some(client) = client {
                    *peer = client;
                }
                head.expects_proxy_header = false;
                input.drain(..used);
                let mut rest = std::mem::take(input);
                if !rest.is_empty() {
                    self.arrived(cx, token, &mut rest);
                }
            }
            ProxyStep::Malformed(reason) => {
                tracing::warn!(peer = %peer, reason, "malformed PROXY protocol header");
                self.close(cx, token);
            }
        }
    }

    /// Reads on in a head. A head mostly comes whole: then nothing of it is kept or copied.
    pub(crate) fn head_input<I: Io>(
        &mut self,
        cx: &mut Context<'_, I, Message>,
        token: Token,
        fresh: &[u8],
    ) {
        let Some(connection) = self.connections.get_mut(token) else { return };
        let is_secure = connection.is_secure();
        let is_open = connection.redirects && !is_secure;
        let Connection { state: State::Head(head), input, peer, record, keep_alive, .. } =
            connection
        else {
            return;
        };
        let counted = connection.counted;
        let mut kept = std::mem::take(input);
        let bytes = if kept.is_empty() {
            fresh
        } else {
            kept.extend_from_slice(fresh);
            &kept
        };
        let (wish, used) = match head.decoder.decode(bytes) {
            Ok(Step::Need) => {
                *input = if kept.is_empty() { fresh.to_vec() } else { kept };
                return;
            }
            Ok(Step::Head { head, used }) => {
                let trusted = &self.snapshot.config.server.trusted_proxies;
                let far = |ip: IpAddr| trusted.iter().any(|network| network.contains(ip));
                if let Some(client) = forwarded_for(peer.ip(), head.headers.iter(), far) {
                    *peer = SocketAddr::new(client, peer.port());
                }
                *record = Some(Box::new(record_of(&head)));
                let answers = Answers {
                    server: &self.snapshot.config.server.server_id,
                    unix_seconds: cx.wall_clock().as_secs(),
                    extra_headers: &self.snapshot.config.http.cors_headers,
                };
                keep_alive.requests_count += 1;
                self.counters.kept_requests += u64::from(keep_alive.requests_count > 1);
                if counted.is_some_and(|ip| !self.addresses.request(ip, cx.now())) {
                    self.counters.address_requests_refused += 1;
                    let bytes = answers.refused(Refused::TOO_MANY_REQUESTS);
                    (Wish::Answered { status: 429, bytes }, used)
                } else {
                    let mut wish = wish_of(&head, *peer, &self.snapshot, &self.router, &answers);
                    if let Wish::Take(taking) = &mut wish {
                        taking.request.is_secure = is_secure;
                    }
                    if let Some(is_kept) = wish.asks_to_be_kept(&head) {
                        keep_alive.is_wanted = is_kept;
                        let redirect = is_open.then(|| redirect_to_https(&head, &answers));
                        if let Some((status, bytes)) = redirect.flatten() {
                            self.counters.https_redirects += 1;
                            wish = Wish::Answered { status, bytes };
                        }
                    }
                    if let (Wish::File(place), Some(files)) = (&wish, &mut self.files) {
                        let (section, name) = place.file(&self.snapshot.config);
                        wish = Wish::FileFound(files.find(cx, (section, &name), &head, token));
                    }
                    (wish, used)
                }
            }
            Ok(Step::Body { .. } | Step::End { .. }) => unreachable!("a head comes first"),
            Err(refused) => {
                self.counters.refused_requests += 1;
                tracing::info!(peer = %peer, %refused, "refused a request");
                let (status, answer) = (refused.status, self.answers(cx).refused(refused));
                self.refuse(cx, token, status.0, answer);
                return;
            }
        };
        *input = bytes[used..].to_vec();
        match wish {
            Wish::Answered { status, bytes } => self.refuse(cx, token, status, bytes),
            Wish::Source { mount, request, body } => {
                self.source_wish(cx, token, mount, *request, body);
            }
            Wish::Listen { looped: true, .. } => {
                let answer = self.answers(cx).loop_detected();
                self.refuse(cx, token, 508, answer);
            }
            Wish::Listen { entry, titled, head_only, .. } => {
                self.listen_wish(cx, token, &entry, titled, head_only);
            }
            Wish::Take(taking) => self.take(cx, token, taking),
            Wish::Ours(answer) => self.reply(cx, token, &answer),
            Wish::FileFound(step) => self.file_wish(cx, token, Shelf::Directories, step),
            // Of a world without disks.
            Wish::File(_) => {
                let step = files::Step::Refused(FileError::NotFound);
                self.file_wish(cx, token, Shelf::Directories, step);
            }
        }
    }

    fn source_wish<I: Io>(
        &mut self,
        cx: &mut Context<'_, I, Message>,
        token: Token,
        mount: String,
        request: SourceRequest,
        body: BodyKind,
    ) {
        let peer = self.connections.get(token).expect("it asked").peer;
        let verification = verify_source(&self.snapshot, &mount, request.credentials.as_ref());
        if verification != Verification::Good {
            self.counters.unauthorised_requests += 1;
            if verification == Verification::Wrong {
                tracing::warn!(%peer, mount, "a source gave wrong credentials");
            }
            let answer = self.answers(cx).unauthorised();
            self.refuse(cx, token, 401, answer);
            return;
        }
        if !mount.starts_with('/') || mount.len() > 1 && mount.ends_with('/') {
            let answer = self.answers(cx).bad_mount();
            self.refuse(cx, token, 400, answer);
            return;
        }
        let connection = self.connections.get_mut(token).expect("it asked");
        let State::Head(head) = &mut connection.state else { return };
        let is_put = connection.record.as_ref().is_some_and(|record| &*record.method == "PUT");
        if is_put && request.content_type.is_none() {
            let answer = self.answers(cx).no_content_type();
            self.refuse(cx, token, 403, answer);
            return;
        }
        let body = match body {
            BodyKind::Chunked | BodyKind::Length(1..) => {
                let fresh = RequestDecoder::new(Limits::default());
                SourceBody::Framed(Box::new(std::mem::replace(&mut head.decoder, fresh)))
            }
            _ => SourceBody::Raw,
        };
        let welcome = protocol_icy::source_welcome(request.expect_continue);
        let stream = StreamOffer {
            content_type: request.content_type.unwrap_or_else(|| "audio/mpeg".to_owned()),
            info: request.stream,
            peer,
            agent: request.user_agent,
            is_v1: false,
        };
        let metaint_in = request.metaint_in;
        let offer = Offer { mount, stream, body, metaint_in, welcome, pull_order: None };
        if let Some(record) = &mut self.connections.get_mut(token).expect("it asked").record {
            record.status = 200;
        }
        self.claim(cx, token, offer);
    }

    fn listen_wish<I: Io>(
        &mut self,
        cx: &mut Context<'_, I, Message>,
        token: Token,
        entry: &MountEntry,
        titled: bool,
        head_only: bool,
    ) {
        if entry.settings.no_mount {
            let answer = self.answers(cx).mount_unavailable();
            self.refuse(cx, token, 403, answer);
            return;
        }
        let must_be_admitted = entry.settings.listeners_max.is_some() || entry.route.is_none();
        if must_be_admitted && !head_only {
            let agent = self.connections.get(token).and_then(|c| c.agent().map(str::to_owned));
            let question = Question::Admit { mount: entry.id, agent };
            self.ask(cx, token, question, Asking::Admit { titled });
            return;
        }
        match (&entry.route, head_only) {
            (Some(session), false) => {
                self.change_state(cx, token, State::Answering);
                let visit = Visit { home: entry.id, titled, admitted: false };
                self.greet_listener(cx, token, session, visit);
            }
            (Some(session), true) => {
                let head = self.listener_head(cx, token, session, titled);
                self.refuse(cx, token, 200, head);
            }
            (None, _) => {
                let answer = self.answers(cx).not_found();
                self.refuse(cx, token, 404, answer);
            }
        }
    }

    /// Control lets a listener in.
    pub(crate) fn admitted<I: Io>(
        &mut self,
        cx: &mut Context<'_, I, Message>,
        token: Token,
        home: MountId,
    ) {
        let connection = self.connections.get_mut(token).expect("it asks");
        let State::Asking(Asking::Admit { titled }) = connection.state else {
            unreachable!("only a listener is admitted");
        };
        if let Some(Some(session)) = self.routes.get(&home).cloned() {
            self.change_state(cx, token, State::Answering);
            self.greet_listener(cx, token, &session, Visit { home, titled, admitted: true });
            return;
        }
        self.change_state(cx, token, State::Parked(Parked { home, titled }));
        self.parked.entry(home).or_default().push(token);
        let connection = self.connections.get_mut(token).expect("it asks");
        connection.deadline = Some(cx.now() + PARKED_MAX);
        self.arm(cx, token);
    }

    fn v1_input<I: Io>(&mut self, cx: &mut Context<'_, I, Message>, token: Token) {
        loop {
            let Some(connection) = self.connections.get_mut(token) else { return };
            let Connection { state: State::V1(v1), input, .. } = connection else { return };
            match v1.decoder.decode(input) {
                Ok(V1Step::Need) => return,
                Ok(V1Step::Password { credentials, mount, used }) => {
                    input.drain(..used);
                    if let Some(mount) = mount {
                        v1.mount = mount;
                    }
                    let mount = v1.mount.clone();
                    let peer = connection.peer;
                    let verified = verify_password(&self.snapshot, &mount, &credentials.password);
                    if verified != Verification::Good {
                        self.counters.unauthorised_requests += 1;
                        tracing::warn!(%peer, mount, "an ICY source gave a wrong password");
                        self.refuse(cx, token, 401, protocol_icy::V1_INVALID_PASSWORD);
                        return;
                    }
                    self.answer_bytes(cx, token, bytes::Bytes::from_static(protocol_icy::V1_OK));
                }
                Ok(V1Step::Head { request, used }) => {
                    input.drain(..used);
                    let offer = Offer {
                        mount: v1.mount.clone(),
                        stream: StreamOffer {
                            content_type: request
                                .content_type
                                .unwrap_or_else(|| "audio/mpeg".to_owned()),
                            info: request.stream,
                            peer: connection.peer,
                            agent: request.user_agent,
                            is_v1: true,
                        },
                        body: SourceBody::Raw,
                        metaint_in: request.metaint_in,
                        welcome: Vec::new(),
                        pull_order: None,
                    };
                    connection.record = Some(Box::new(Record {
                        method: "SOURCE".into(),
                        path: offer.mount.as_str().into(),
                        protocol: "ICY/1.1",
                        referer: None,
                        agent: offer.stream.agent.as_deref().map(Box::from),
                        is_pull: false,
                        wants_length: false,
                        status: 200,
                    }));
                    self.claim(cx, token, offer);
                    return;
                }
                Err(reason) => {
                    let peer = connection.peer;
                    tracing::info!(%peer, %reason, "refused an ICY source");
                    self.counters.refused_requests += 1;
                    self.close(cx, token);
                    return;
                }
            }
        }
    }

    /// Whether one more client is too many, by the count of the last second.
    pub(crate) fn is_full(&self) -> bool {
        let elsewhere = self.snapshot.clients_count.saturating_sub(self.clients_reported);
        let everywhere = elsewhere + self.connections.len() as u64;
        everywhere > u64::from(self.snapshot.config.limits.clients_max)
    }
}

/// How long a listener waits for an on-demand pull to bring its mount up.
const PARKED_MAX: Duration = Duration::from_secs(15);

/// Whether listeners can have this mount: it is up, routed to a fallback, or about to be pulled.
fn is_mount(entry: &MountEntry) -> bool {
    entry.route.is_some() || entry.on_demand || entry.settings.no_mount
}

fn record_of(head: &RequestHead<'_>) -> Record {
    let text = |name| head.headers.get(name).map(|v| String::from_utf8_lossy(v).into());
    Record {
        method: head.method.as_str().into(),
        path: head.target.path().into(),
        protocol: head.version.as_str(),
        referer: text("referer"),
        agent: text("user-agent"),
        is_pull: head.headers.get("via").is_some(),
        wants_length: protocol_icy::wants_length(head.headers.iter()),
        status: 0,
    }
}

fn has_no_body(head: &RequestHead<'_>) -> bool {
    matches!(head.body, BodyKind::None | BodyKind::Length(0))
}

/// Sorts a head into what it asks for.
fn wish_of(
    head: &RequestHead<'_>,
    peer: SocketAddr,
    snapshot: &Snapshot,
    router: &Router<Handler>,
    answers: &Answers<'_>,
) -> Wish {
    let path = match head.target.decoded_path() {
        Ok(path) => path.into_owned(),
        Err(refused) => {
            return Wish::Answered { status: refused.status.0, bytes: answers.refused(refused) };
        }
    };
    let route = match router.find(head.method, &path) {
        Found::Route(route, _) => match route.handler {
            Handler::Icecast => None,
            Handler::Home if !asks_for_upgrade(&head.headers) => None,
            _ => Some(*route),
        },
        Found::NotAllowed { allow } => return Wish::Ours(not_allowed(allow)),
        Found::Options { allow } => return Wish::Ours(options(head, allow)),
        Found::NoMethod | Found::Nothing => None,
    };
    if let Some(route) = route {
        return take(head, path, peer, &route);
    }
    let mount = match head.method {
        Method::Get | Method::Head => snapshot.find(&path).filter(|entry| is_mount(entry)),
        _ => None,
    };
    match head.method {
        Method::Source | Method::Put => source_of(head, path),
        Method::Options => Wish::Answered { status: 204, bytes: options_answer(head, answers) },
        Method::Get | Method::Head if mount.is_some() => Wish::Listen {
            entry: mount.expect("just asked").clone(),
            titled: protocol_icy::wants_titles(head.headers.iter()),
            head_only: head.method == Method::Head,
            looped: protocol_icy::passed_through(
                head.headers.iter(),
                &snapshot.config.server.node_id,
            ),
        },
        _ => {
            // Behind the mounts, so that no file and no page ever hides one.
            let config = &snapshot.config;
            if let Some(place) = place_of(config, &path) {
                return match head.method {
                    Method::Get | Method::Head => Wish::File(place),
                    _ => Wish::Ours(not_allowed("GET, HEAD, OPTIONS")),
                };
            }
            if lacks_slash(config, &path) {
                return Wish::Ours(with_slash(head.target.path()));
            }
            if let Some(answer) = engine_web::answer(head, &path) {
                return Wish::Ours(answer.into());
            }
            let body_bytes_max = snapshot.config.limits.body_bytes_max as u64;
            let route = Route::any("/{*path}", Handler::Icecast).with_body(body_bytes_max);
            take(head, path, peer, &route)
        }
    }
}

fn take(head: &RequestHead<'_>, path: String, peer: SocketAddr, route: &Route<Handler>) -> Wish {
    let Route { handler, needs_auth, body_bytes_max, .. } = *route;
    let request = Box::new(forwarded(head, path, peer));
    let (body, expect_continue) = (head.body, head.expect_continue);
    Wish::Take(Taking { handler, needs_auth, body_bytes_max, request, body, expect_continue })
}

fn source_of(head: &RequestHead<'_>, mount: String) -> Wish {
    let request = Box::new(SourceRequest::from_headers(head.headers.iter(), head.expect_continue));
    Wish::Source { mount, request, body: head.body }
}

fn forwarded(head: &RequestHead<'_>, path: String, peer: SocketAddr) -> ForwardedRequest {
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    ForwardedRequest {
        method: head.method.as_str().to_owned(),
        path,
        query: head.target.query().map(str::to_owned),
        headers: head
            .headers
            .iter()
            .map(|(name, value)| (name.to_ascii_lowercase(), text(value)))
            .collect(),
        body: Vec::new(),
        peer,
        is_secure: false,
    }
}

/// A preflight's answer, or the plain one that keeps libshout from taking us for TLS. No `Allow`:
/// libshout reads it and would change its ways.
fn options_answer(head: &RequestHead<'_>, answers: &Answers<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    let mut response = ResponseWriter::new(&mut out, Version::Http11, Status::NO_CONTENT);
    response.header("Server", answers.server).header_date("Date", answers.unix_seconds).close();
    for (name, value) in answers.extra_headers {
        response.header(name, value);
    }
    if let Some(preflight) = Preflight::from_head(head) {
        preflight.answer(&mut response, "GET, HEAD, PUT, SOURCE, OPTIONS", 86_400);
    }
    response.finish();
    out
}
