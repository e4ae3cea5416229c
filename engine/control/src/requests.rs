//! Requests that control answers: administration, statistics, pages.
//!
//! `admin` says what a request wants and who may want it, `operations` and `gathers` do it,
//! `render` writes it down; here they are joined.
//!
//! *Invariant:* nothing is done or shown before [`Control::may`] has agreed.

use std::borrow::Cow;

use bytes::Bytes;
use engine_config::{Mount, Secret};
use engine_node::{ForwardedRequest, ListenerRow, Verdict, same};
use protocol_http::Query;
use protocol_icy::{Credentials, V1TitleUpdate};

use crate::admin::{self, Authority, Command};
use crate::control::{Asker, Control};
use crate::gathers::Wish;
use crate::operations::{Fault, NO_SUCH_SOURCE};
use crate::render::{self, Body};

impl Control {
    /// Answers a request, now or when the shards have said what is needed.
    pub(crate) fn request(&mut self, asker: Asker, request: ForwardedRequest) {
        self.counters.requests += 1;
        let asker = Asker { head_only: admin::is_head(&request), ..asker };
        let request = self.with_charset(request);
        let command = match admin::parse(&request) {
            Ok(command) => command,
            Err(error) => {
                let answer = error.answer(&self.answers());
                self.answer_bytes(asker, error.status(), answer);
                return;
            }
        };
        let credentials = admin::credentials_of(&request);
        if !self.may(admin::authority(&command), credentials.as_ref()) {
            if credentials.is_some() {
                let (peer, path) = (request.peer, &request.path);
                tracing::warn!(%peer, path, "request refused: wrong credentials");
            }
            self.unauthorised(asker);
            return;
        }
        self.execute(asker, &request, command);
    }

    /// Answers with these bytes, head included.
    pub(crate) fn answer_bytes(&mut self, asker: Asker, status: u16, mut bytes: Vec<u8>) {
        if asker.head_only {
            bytes = render::without_body(bytes);
        }
        self.answer(asker, Verdict::Answer { status, bytes: Bytes::from(bytes) });
    }

    /// Answers a command that has been done, or not.
    pub(crate) fn answer_message(&mut self, asker: Asker, message: &str, done: u8, as_page: bool) {
        match as_page {
            true => self.answer_page(asker, render::message_page(&self.view(), message)),
            false => self.answer_xml(asker, render::message_xml(message, done)),
        }
    }

    /// Answers with the listeners of a mount.
    pub(crate) fn answer_list(
        &mut self,
        asker: Asker,
        mount: &str,
        rows: &[ListenerRow],
        as_page: bool,
    ) {
        match as_page {
            true => self.answer_page(asker, render::list_clients_page(&self.view(), mount, rows)),
            false => self.answer_xml(asker, render::list_clients_xml(mount, rows)),
        }
    }

    fn execute(&mut self, asker: Asker, request: &ForwardedRequest, command: Command) {
        let as_page = admin::wants_page(request);
        match command {
            Command::ListClients { mount } => {
                self.gather_of(asker, &mount, Wish::List { as_page });
            }
            Command::KillClient { mount, id } => {
                self.gather_of(asker, &mount, Wish::Kill { id, at: None, as_page });
            }
            Command::KillSource { mount } => {
                let done = self.kill_source(&mount);
                self.answer_done(asker, done.map(|()| "Source Removed".into()), as_page);
            }
            Command::MoveClients { from, to } => {
                let done = self.move_clients(&from, &to);
                let message = format!("Clients moved from {from} to {to}");
                self.answer_done(asker, done.map(|()| message.into()), as_page);
            }
            Command::Fallbacks { mount, fallback } => {
                match self.set_fallback(&mount, fallback.as_deref().unwrap_or_default()) {
                    Ok(()) => self.answer_success(asker, "Fallback configured"),
                    Err(fault) => self.answer_fault(asker, fault),
                }
            }
            Command::UpdateTitle(update) => {
                let done = self.set_title(&update.mount, update.title);
                self.answer_done(asker, done.map(Into::into), as_page);
            }
            Command::UpdateTitleV1(update) => self.title_v1(asker, update),
            Command::ListRtc => self.ask_about_rtc(asker, None),
            Command::KillRtc { session: Some(session) } => {
                self.ask_about_rtc(asker, Some(session));
            }
            Command::KillRtc { session: None } => {
                self.answer_message(asker, "Session not found", 0, false);
            }
            Command::ListTurn => self.ask_about_turn(asker, None),
            Command::ApiPeers => self.ask_about_peers(asker),
            Command::RemoveRecording { path } => self.remove_recording(asker, path),
            Command::KillTurn { id } => self.ask_about_turn(asker, Some(id)),
            Command::MoveClientsForm { mount } => match self.heard_mount(&mount) {
                None => self.answer_fault(asker, NO_SUCH_SOURCE),
                Some(_) if as_page => {
                    let page = render::move_clients_page(&self.view(), &mount);
                    self.answer_page(asker, page);
                }
                Some(_) => {
                    let form = render::move_clients_form_xml(&self.view(), &mount);
                    self.answer_xml(asker, form);
                }
            },
            Command::UpdateTitleForm { mount } => match self.directory.find(&mount) {
                None => self.answer_fault(asker, NO_SUCH_SOURCE),
                Some(_) => self.answer_page(asker, render::update_title_page(&self.view(), &mount)),
            },
            shown => self.show(asker, request, shown, as_page),
        }
    }

    /// Commands that only look.
    fn show(&mut self, asker: Asker, request: &ForwardedRequest, command: Command, as_page: bool) {
        if matches!(command, Command::Stats { .. } | Command::StatusJson { .. }) {
            self.counters.stats_requests += 1;
        }
        let view = self.view();
        match command {
            Command::Stats { mount } => {
                let mount = mount.as_deref();
                if mount.is_some_and(|name| self.directory.find(name).is_none()) {
                    self.answer_fault(asker, NO_SUCH_SOURCE);
                } else if as_page {
                    self.answer_page(asker, render::stats_page(&view, mount));
                } else {
                    self.answer_xml(asker, render::stats_xml(&view, mount));
                }
            }
            Command::ListMounts if as_page => {
                self.answer_page(asker, render::list_mounts_page(&view));
            }
            Command::ListMounts => self.answer_xml(asker, render::list_mounts_xml(&view)),
            Command::StatusPage => self.answer_page(asker, render::status_page(&view)),
            Command::VersionPage => self.answer_page(asker, render::version_page(&view)),
            Command::StatusJson { mount } => {
                let json = render::status_json(&view, mount.as_deref());
                self.answer_body(asker, 200, Body::Json, &json);
            }
            Command::Metrics => {
                self.answer_body(asker, 200, Body::Metrics, &render::metrics(&view));
            }
            Command::Health => {
                let health = render::health(&view, self.is_ready());
                self.answer_body(asker, 200, Body::Json, &health);
            }
            Command::Ready => {
                let is_ready = self.is_ready();
                let status = if is_ready { 200 } else { 503 };
                let health = render::health(&view, is_ready);
                self.answer_body(asker, status, Body::Json, &health);
            }
            Command::ApiStatus => self.answer_body(asker, 200, Body::Json, &self.api_status()),
            Command::ApiReady => {
                let status = if self.is_ready() { 200 } else { 503 };
                self.answer_body(asker, status, Body::Json, &self.api_status());
            }
            Command::ApiStreams => self.answer_body(asker, 200, Body::Json, &self.api_streams()),
            Command::ApiRecordings(wanted) => {
                let list = self.api_recordings(&wanted);
                self.answer_body(asker, 200, Body::Json, &list);
            }
            Command::ApiConfig => self.answer_body(asker, 200, Body::Json, &self.api_config()),
            Command::IceServers { user } => match self.ice_servers(&user) {
                Some(servers) => self.answer_body(asker, 200, Body::Json, &servers),
                None => {
                    let answer = self.answers().not_found();
                    self.answer_bytes(asker, 404, answer);
                }
            },
            Command::StreamList => {
                self.answer_body(asker, 200, Body::Text, &render::stream_list_txt(&view));
            }
            Command::Playlist { mount, kind } => {
                let seen =
                    render::Seen { host: request.header("host"), is_secure: request.is_secure };
                let playlist = render::playlist(&view, &mount, kind, seen);
                self.answer_body(asker, 200, Body::Playlist(kind), &playlist);
            }
            Command::BuildM3u { mount, credentials } => {
                let playlist = render::playlist_with_login(&view, &mount, &credentials);
                self.answer_body(asker, 200, Body::SavedPlaylist, &playlist);
            }
            _ => {
                let answer = self.answers().not_found();
                self.answer_bytes(asker, 404, answer);
            }
        }
    }

    fn gather_of(&mut self, asker: Asker, name: &str, wish: Wish) {
        match self.heard_mount(name).map(|mount| mount.id) {
            Some(id) => self.gather(asker, id, name, wish),
            None => self.answer_fault(asker, NO_SUCH_SOURCE),
        }
    }

    /// `/admin.cgi`: the password is one of the parameters, and the mount may be none of them.
    fn title_v1(&mut self, asker: Asker, update: V1TitleUpdate) {
        let V1TitleUpdate { mount: named, password, title } = update;
        let knows = |settings: &Mount| {
            let right =
                settings.password.as_ref().or(self.config.credentials.source_password.as_ref());
            right.is_some_and(|right| same(right.expose(), &password))
        };
        let found = self.v1_mount(named.as_deref(), |mount| knows(&mount.settings));
        let known_mount = match &found {
            Ok(name) => self.directory.find(name).is_some_and(|mount| knows(&mount.settings)),
            // Whether a mount is there is told only to those who may feed it.
            Err(_) => knows(&self.config.mount_named(named.as_deref().unwrap_or_default())),
        };
        if !known_mount {
            self.unauthorised(asker);
            return;
        }
        match found.and_then(|name| self.set_title(&name, Some(title))) {
            Ok(message) => self.answer_success(asker, message),
            Err(fault) => self.answer_fault(asker, fault),
        }
    }

    /// Whether credentials are enough. Every comparison is made in constant time.
    fn may(&self, authority: Authority<'_>, given: Option<&Credentials>) -> bool {
        let known = &self.config.credentials;
        let admin = || agrees(given, &known.admin_user, known.admin_password.as_ref());
        match authority {
            Authority::Public | Authority::PasswordInside => true,
            Authority::Admin => admin(),
            // Where it is off, it is as if there were nothing: not found.
            Authority::AsConfiguredForIce => self.config.turn.ice_servers != "admin" || admin(),
            Authority::Relay => agrees(given, &known.relay_user, known.relay_password.as_ref()),
            Authority::AdminOrSourceOf(mount) => {
                let settings = self.config.mount_named(mount);
                let password = settings.password.as_ref().or(known.source_password.as_ref());
                let source = agrees(given, &settings.username, password);
                admin() | source
            }
        }
    }

    /// An encoder's title is in the mount's character set unless the request says another.
    fn with_charset(&self, mut request: ForwardedRequest) -> ForwardedRequest {
        let (Some(query), "GET") = (&request.query, request.method.as_str()) else {
            return request;
        };
        let query_of = Query::new(query.as_bytes());
        let mount = query_of.get_str("mount").unwrap_or(Cow::Borrowed(""));
        let charset = self.directory.find(&mount).and_then(|mount| mount.settings.charset.as_ref());
        if let (Some(charset), None) = (charset, query_of.get("charset")) {
            request.query = Some(format!("{query}&charset={charset}"));
        }
        request
    }

    fn unauthorised(&mut self, asker: Asker) {
        let answer = self.answers().unauthorised();
        self.answer_bytes(asker, 401, answer);
    }

    fn answer_done(&mut self, asker: Asker, done: Result<Cow<'static, str>, Fault>, as_page: bool) {
        match done {
            Ok(message) => self.answer_message(asker, &message, 1, as_page),
            Err(fault) => self.answer_fault(asker, fault),
        }
    }

    fn answer_success(&mut self, asker: Asker, message: &str) {
        let answer = self.answers().admin_success(message);
        self.answer_bytes(asker, 200, answer);
    }

    fn answer_fault(&mut self, asker: Asker, fault: Fault) {
        let answer = self.answers().html_error(400, fault);
        self.answer_bytes(asker, 400, answer);
    }

    pub(crate) fn answer_xml(&mut self, asker: Asker, body: String) {
        self.answer_body(asker, 200, Body::Xml, &body);
    }

    fn answer_page(&mut self, asker: Asker, body: String) {
        self.answer_body(asker, 200, Body::Html, &body);
    }

    pub(crate) fn answer_body(&mut self, asker: Asker, status: u16, kind: Body, body: &str) {
        let answer = render::answer(&self.answers(), status, kind, body);
        self.answer_bytes(asker, status, answer);
    }
}

/// Whether these are the user and the password; a password that is not set refuses everyone.
fn agrees(given: Option<&Credentials>, user: &str, password: Option<&Secret>) -> bool {
    let (Some(given), Some(password)) = (given, password) else { return false };
    same(user, &given.user) & same(password.expose(), &given.password)
}
