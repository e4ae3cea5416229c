//! WebRTC on this shard: the driver of `engine-rtc`, with WHIP and WHEP for connections of HTTP,
//! the access log, and the messages of control.

use std::sync::Arc;
use std::time::Instant;

use engine_config::Config;
use engine_rtc::whip::{self, Request, Wish};
use engine_rtc::{
    Asker, End, Ended, Letter, LocalWord, Open, Outcome, Role, Row, Rtc, SessionId, Settings, Taker,
};
use engine_workers::Bridge;
use protocol_http::Status;
use protocol_icy::{AccessLine, access_line};
use protocol_turn::timed_credential;
use shards_runtime::{Context, Io, ShardId, Token};

use crate::calls::AGENT_PREFIX;
use crate::message::{ForwardedRequest, Message};
use crate::node::Node;
use crate::whole::{Answer, Reply};

/// What a publisher is told whose stream would feed a mount that has a source; in Icecast's words.
pub(crate) const MOUNT_IN_USE: &str = "Mountpoint in use";

/// The most sessions of a shard in one list.
const ROWS_MAX: usize = 10_000;

impl From<Letter> for Message {
    fn from(letter: Letter) -> Message {
        Message::Rtc(letter)
    }
}

impl Node {
    /// The same node with WebRTC, where the configuration wants it.
    #[must_use]
    pub fn with_rtc(mut self, settings: Option<&Settings>, now: Instant) -> Node {
        self.rtc = settings.map(|settings| Rtc::new(settings, now));
        self
    }

    /// The same node with worker processes, whose media are streams of WebRTC.
    #[must_use]
    pub fn with_workers(mut self, workers: Option<Bridge>) -> Node {
        self.workers = workers;
        self
    }

    /// The driver, to look at.
    #[doc(hidden)]
    #[must_use]
    pub fn rtc(&self) -> Option<&Rtc> {
        self.rtc.as_ref()
    }

    pub(crate) fn start_rtc<I: Io>(&mut self, cx: &mut Context<'_, I, Message>) {
        if let Some(rtc) = &mut self.rtc
            && let Err(error) = rtc.start(cx)
        {
            // The server tried the addresses before the shards started.
            tracing::error!(%error, "cannot listen for WebRTC");
        }
    }

    /// Tells the driver what has changed in the policy.
    pub(crate) fn rtc_follows_snapshot(&mut self) {
        let Some(rtc) = &mut self.rtc else { return };
        rtc.configure(Arc::clone(&self.snapshot.config));
        if self.drain_until.is_some() {
            rtc.drain();
        }
    }

    pub(crate) fn rtc_letter<I: Io>(
        &mut self,
        cx: &mut Context<'_, I, Message>,
        from: ShardId,
        letter: Letter,
    ) {
        if let Some(rtc) = &mut self.rtc {
            rtc.on_letter(cx, from, letter);
        }
    }

    /// A request under `/whip/` or `/whep/`.
    pub(crate) fn rtc_request<I: Io>(
        &mut self,
        cx: &mut Context<'_, I, Message>,
        token: Token,
        request: &ForwardedRequest,
    ) -> Reply {
        if self.rtc.is_none() {
            return Reply::Now(Answer::new(Status::NOT_FOUND));
        }
        let read = Request {
            method: &request.method,
            path: &request.path,
            authorization: request.header("authorization"),
            content_type: request.header("content-type"),
            if_match: request.header("if-match"),
            body: &request.body,
        };
        let asker = Asker::Connection(token);
        let wish = whip::read(&self.snapshot.config, &read);
        if let Wish::Open { role: Role::Publish, name, .. } = &wish
            && self.is_mount_in_use(name)
        {
            return Reply::Now(whole(engine_rtc::Answer::refusal(403, MOUNT_IN_USE)));
        }
        let Some(rtc) = &mut self.rtc else { return Reply::Now(Answer::new(Status::NOT_FOUND)) };
        match wish {
            Wish::Answered(answer) => return Reply::Now(whole(answer)),
            Wish::Open { role, name, offer, is_known } => {
                let client = request.peer.ip();
                let agent = request.header("user-agent").map(str::to_owned);
                // Nobody but signalling speaks for a caller.
                let agent = agent.filter(|agent| !agent.starts_with(AGENT_PREFIX));
                let open = Open { role, name, offer: &offer, client, agent, is_known };
                rtc.open(cx, asker, open);
            }
            Wish::Manage { session, name, command } => {
                rtc.manage(cx, asker, (session, name), command);
            }
        }
        Reply::Later
    }

    /// What WebRTC has to do when a tick ends: answers, and a line for each session that ended.
    pub(crate) fn end_rtc_tick<I: Io>(&mut self, cx: &mut Context<'_, I, Message>) {
        let Some(rtc) = &mut self.rtc else { return };
        rtc.on_tick_end(cx);
        if let Some(workers) = &mut self.workers {
            workers.on_tick_end(cx, rtc);
            let notices = workers.take_notices();
            notices.into_iter().for_each(|notice| self.worker_tells(cx, notice));
        }
        self.bridge_mounts(cx);
        self.tell_of_streams(cx);
        let Some(rtc) = &mut self.rtc else { return };
        let (outcomes, ended) = (rtc.take_outcomes(), rtc.take_ended());
        for (asker, outcome) in outcomes {
            let token = match asker {
                Asker::Connection(token) => token,
                Asker::Other(number) => {
                    self.call_answered(cx, number, outcome);
                    continue;
                }
            };
            let is_there = self.connections.get(token).is_some_and(|it| it.is_asking());
            match outcome {
                Outcome::Answered(answer) if is_there => self.reply(cx, token, &whole(answer)),
                Outcome::Opened(opened) if is_there => {
                    let config = &self.snapshot.config;
                    let now_s = cx.wall_clock().as_secs();
                    let links = ice_links(config, &opened.session, opened.is_known, now_s);
                    self.reply(cx, token, &whole(whip::created(&opened, links)));
                }
                // Whoever asked is gone, and knows nothing of the session.
                Outcome::Opened(opened) => {
                    if let Some(rtc) = &mut self.rtc {
                        rtc.end_session(cx, opened.session, End::Refused);
                    }
                }
                Outcome::Answered(_) => {}
            }
        }
        for ended in ended {
            // Who was refused has been told, and who hung up knows.
            if !matches!(ended.cause, Ok(End::Refused | End::Deleted)) {
                let reason = cause_of(&ended);
                self.call_ended(cx, ended.session, ended.agent.as_deref(), &reason);
            }
            let line = line_of(&ended, cx.wall_clock().as_secs());
            let Some(log) = &mut self.log else { continue };
            if !log.append(line) {
                self.counters.log_lines_dropped += 1;
            }
        }
    }

    /// Between mounts and streams: what came in this tick goes on.
    fn bridge_mounts<I: Io>(&mut self, cx: &mut Context<'_, I, Message>) {
        while let Some(word) = self.rtc.as_mut().and_then(|rtc| rtc.poll_local(Taker::Mounts)) {
            match word {
                LocalWord::Tracks { tap, tracks } => self.stream_to_feed(cx, tap, &tracks),
                LocalWord::Packet { tap, track, packet } => {
                    self.packet_to_feed(tap, track, &packet);
                }
                LocalWord::Lost(tap) => self.end_feeding(cx, tap),
                LocalWord::Refused(session) => self.players.refused(session),
                // Of sound there are none.
                LocalWord::KeyframeWanted { .. } => {}
            }
        }
        self.feed_mounts(cx);
        self.play_mounts(cx);
    }

    /// Ends all sessions, with their lines.
    pub(crate) fn end_sessions<I: Io>(&mut self, cx: &mut Context<'_, I, Message>) {
        let Some(rtc) = &mut self.rtc else { return };
        rtc.end_all(cx.now());
        self.end_rtc_tick(cx);
    }

    /// The sessions of this shard.
    pub(crate) fn list_sessions(&self, now: Instant) -> Vec<Row> {
        let rows = self.rtc.as_ref().map(|rtc| rtc.rows(now).take(ROWS_MAX).collect());
        rows.unwrap_or_default()
    }

    /// Ends a session by its number; false if it is none of ours.
    pub(crate) fn kill_session(&mut self, now: Instant, session: SessionId) -> bool {
        self.rtc.as_mut().is_some_and(|rtc| rtc.kill(now, session))
    }
}

fn whole(answer: engine_rtc::Answer) -> Answer {
    let engine_rtc::Answer { status, headers, body } = answer;
    Answer { status: Status(status), headers, body: body.into() }
}

/// Values of `Link` that name our TURN (RFC 9725 §4.6), for whom it may be handed to: who has shown
/// a token, or all where `turn.ice_servers` is `public`.
fn ice_links(config: &Config, user: &SessionId, is_known: bool, now_s: u64) -> Vec<String> {
    let turn = &config.turn;
    let is_open = turn.starts() && (is_known || turn.ice_servers == "public");
    let Some(secret) = turn.secrets.first().filter(|_| is_open) else { return Vec::new() };
    let expiry = now_s + turn.ice_ttl_s;
    let (name, credential) =
        timed_credential(secret.expose().as_bytes(), &user.to_string(), expiry);
    let link = |url: String| {
        format!(
            "<{url}>; rel=\"ice-server\"; username=\"{name}\"; credential=\"{credential}\"; \
             credential-type=\"password\""
        )
    };
    config.turn_urls().into_iter().map(link).collect()
}

/// Why a session ended, in a word.
fn cause_of(ended: &Ended) -> String {
    match &ended.cause {
        Ok(end) => format!("{end:?}"),
        Err(cause) => format!("{cause:?}"),
    }
}

/// The line of the access log: a session as a request that took as long as it lasted.
fn line_of(ended: &Ended, unix_seconds: u64) -> String {
    let status = match ended.cause {
        Ok(End::Killed) => 403,
        Ok(End::Refused | End::Replaced) => 409,
        Ok(End::Unfed) => 404,
        Ok(End::Drained) => 503,
        Ok(End::Deleted) | Err(engine_rtc::CloseCause::Remote) => 200,
        Err(engine_rtc::CloseCause::NotConnected | engine_rtc::CloseCause::Lost) => 408,
        Err(engine_rtc::CloseCause::Panicked) => 500,
        Err(_) => 400,
    };
    let (method, protocol) = match ended.role {
        Role::View => ("WATCH", "WebRTC/WHEP"),
        _ => ("PUBLISH", "WebRTC/WHIP"),
    };
    let cause = cause_of(ended);
    let counters = &ended.counters;
    let agent = format!(
        "{}; {cause}; in {} packets {} bytes, out {} packets {} bytes",
        ended.agent.as_deref().unwrap_or("-"),
        counters.packets_in,
        counters.payload_bytes_in,
        counters.packets_out,
        counters.payload_bytes_out,
    );
    access_line(&AccessLine {
        peer: ended.client,
        user: None,
        unix_seconds,
        method,
        path: &format!("/{}/{}", ended.name, ended.session),
        protocol,
        status,
        bytes: counters.payload_bytes_out,
        referer: None,
        agent: Some(&agent),
        duration_s: ended.lasted.as_secs(),
    })
}
