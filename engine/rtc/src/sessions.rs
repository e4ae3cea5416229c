//! Sessions: opened for an offer, pumped, moved, managed, ended.

use std::time::{Duration, Instant};

use media_rtc::{Fragment, Input, OfferError, Output, Role, Session, Transport};
use shards_runtime::{Context, Io, ShardId, Token};

use crate::answer::Answer;
use crate::asks::{Asker, Open, Opened, Outcome};
use crate::directory::{Claim, Who};
use crate::entry::{Entry, Publishing};
use crate::ids::SessionId;
use crate::letter::{Command, Letter, Manage};
use crate::messages::Channels;
use crate::rtc::{Owner, Place, Rtc, number_of};
use crate::stats::End;
use crate::viewing::Viewing;
use crate::whip;
use crate::wire::Run;

/// Outputs of one session in one go: what is left comes in the next round.
const OUTPUTS_MAX: usize = 4_096;

/// Names for ICE of one session that lead to it; the oldest goes.
const UFRAGS_MAX: usize = 8;

impl Rtc {
    /// Opens a session for an offer; what comes of it is said by [`Rtc::take_outcomes`]. Whoever
    /// asks has made sure that the client may.
    pub fn open<I: Io, M: Send + From<Letter>>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        asker: Asker,
        open: Open<'_>,
    ) {
        if let Err(answer) = self.try_open(cx, asker, open) {
            self.asks.say(asker, Outcome::Answered(answer));
        }
    }

    /// What came of requests since this was last asked.
    pub fn take_outcomes(&mut self) -> Vec<(Asker, Outcome)> {
        self.asks.take_outcomes()
    }

    fn try_open<I: Io, M: Send + From<Letter>>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        asker: Asker,
        open: Open<'_>,
    ) -> Result<(), Answer> {
        let now = cx.now();
        let Open { role, name, offer, client, agent, is_known } = open;
        let configured = self.config.streams.iter().find(|stream| *stream.name == *name);
        if configured.is_none() && !self.config.rtc.any_stream {
            return Err(Answer::refusal(404, "there is no such stream"));
        }
        let viewers_max = configured.and_then(|stream| stream.viewers_per_shard_max);
        let takes_over = match configured.and_then(|stream| stream.to_mount.as_deref()) {
            // One source at a time, as the mount says.
            Some(mount) => self.config.mount_named(mount).takeover,
            None => configured.is_none_or(|stream| stream.takeover),
        };
        let is_full = self.sessions.len() >= self.config.rtc.sessions_per_shard_max;
        let viewers = self.watched.get(&name).map_or(0, |watched| watched.viewers.len());
        let has_too_many =
            role == Role::View && viewers_max.is_some_and(|viewers_max| viewers >= viewers_max);
        if is_full || has_too_many || self.is_draining || !self.asks.has_room() {
            self.stats.sessions_refused += 1;
            return Err(Answer::busy("there is no room for another session"));
        }
        let credentials = self.names.credentials();
        let made = Session::answer(now, &self.session_config, &credentials, role, offer);
        let (session, answer) = made.map_err(|error| {
            self.stats.offers_refused += 1;
            refusal(&error)
        })?;
        let id = self.names.session();
        let entry = Entry {
            id,
            session: Box::new(session),
            role,
            name: name.clone(),
            client,
            agent: agent.clone(),
            since: now,
            ufrags: vec![credentials.ufrag().to_owned()],
            paths: Vec::new(),
            is_settled: false,
            is_dirty: false,
            is_live: false,
            timer_at: None,
            publishing: Publishing::default(),
            viewing: Viewing::default(),
            channels: Channels::default(),
            end: None,
            cause: None,
        };
        let Some(_) = self.insert(Box::new(entry)) else {
            return Err(Answer::busy("there is no room for another session"));
        };
        self.stats.sessions += 1;
        let tag = credentials.ufrag().to_owned();
        let opened = Opened { session: id, role, name: name.clone(), answer, tag, is_known };
        if role == Role::View {
            self.look(cx, asker, opened);
        } else {
            self.asks.wait_for_claim(now, asker, opened);
            let home = self.home_of(&name);
            let who = Some(Who { client, agent });
            let claim = Claim { name, session: id, takes_over, who };
            self.post(cx, home, Letter::Claim(Box::new(claim)));
        }
        Ok(())
    }

    /// Has something done with a session, wherever it is; the answer is said by
    /// [`Rtc::take_outcomes`].
    pub fn manage<I: Io, M: Send + From<Letter>>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        asker: Asker,
        (session, name): (SessionId, crate::directory::Name),
        command: Command,
    ) {
        if !self.asks.has_room() || session.shard().0 >= self.shards_count {
            let answer = match self.asks.has_room() {
                true => Answer::refusal(404, "there is no such session"),
                false => Answer::busy("too many requests wait"),
            };
            return self.asks.say(asker, Outcome::Answered(answer));
        }
        let ask = self.asks.wait_for_answer(cx.now(), asker);
        let manage = Manage { asker: (self.me, ask), session, name, command };
        self.post(cx, session.shard(), Letter::Manage(Box::new(manage)));
    }

    /// A request about a session that is here, or of which is known where it is.
    pub(crate) fn managed_here<I: Io, M: Send + From<Letter>>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        manage: Manage,
    ) {
        let (shard, ask) = manage.asker;
        let answer = match self.by_id.get(&manage.session).copied() {
            Some(Place::At(at)) if at != self.me => {
                return self.post(cx, at, Letter::Manage(Box::new(manage)));
            }
            Some(Place::Here(token)) => self.carry_out(cx.now(), token, &manage),
            _ => Answer::refusal(404, "there is no such session"),
        };
        let answer = answer.with("Access-Control-Expose-Headers", whip::EXPOSED);
        self.post(cx, shard, Letter::Managed { ask, answer: Box::new(answer) });
    }

    fn carry_out(&mut self, now: Instant, token: Token, manage: &Manage) -> Answer {
        let not_found = || Answer::refusal(404, "there is no such session");
        let Some(entry) = self.sessions.get_mut(token) else { return not_found() };
        if entry.name != manage.name {
            return not_found();
        }
        let answer = match &manage.command {
            Command::Delete => {
                self.end(now, token, End::Deleted);
                Answer::new(200)
            }
            Command::Candidate(text) => match entry.session.candidate(text) {
                Ok(()) => Answer::new(204),
                Err(error) => refusal(&error),
            },
            Command::Offer(offer) => {
                let credentials = self.names.credentials();
                let answered = entry.session.offer(now, offer, &credentials);
                self.learn_ufrag(token);
                match answered {
                    Ok(sdp) => {
                        let mut answer = Answer::new(200).with("Content-Type", "application/sdp");
                        answer.body = sdp;
                        answer
                    }
                    Err(error) => refusal(&error),
                }
            }
            Command::Layers => self.layers(now, token),
            Command::Layer(wish) => self.prefer(now, token, wish),
            Command::Patch { if_match, text } => {
                self.patch(now, token, if_match.as_deref(), text).unwrap_or_else(|answer| answer)
            }
        };
        self.mark(token);
        answer
    }

    /// A fragment (RFC 9725 §4.3): candidates, or a restart of ICE.
    fn patch(
        &mut self,
        now: Instant,
        token: Token,
        if_match: Option<&str>,
        text: &str,
    ) -> Result<Answer, Answer> {
        let gone = || Answer::refusal(404, "there is no such session");
        let entry = self.sessions.get_mut(token).ok_or_else(gone)?;
        let tag = entry.session.credentials().ufrag().to_owned();
        let if_match = if_match
            .ok_or_else(|| Answer::refusal(428, "If-Match with the session's ETag is needed"))?;
        if !whip::matches_tag(if_match, &tag) {
            let answer = Answer::refusal(412, "the ETag is not the session's");
            return Err(answer.with("ETag", format!("\"{tag}\"")));
        }
        let fragment = Fragment::read(text, &self.session_config.limits);
        let fragment = fragment.map_err(|error| refusal(&error))?;
        let credentials = self.names.credentials();
        let patched = entry.session.patch(now, &fragment, &credentials);
        let restarted = patched.map_err(|error| refusal(&error))?;
        let Some(body) = restarted else { return Ok(Answer::new(204)) };
        let tag = entry.session.credentials().ufrag().to_owned();
        self.learn_ufrag(token);
        let mut answer = Answer::new(200)
            .with("Content-Type", whip::FRAGMENT)
            .with("ETag", format!("\"{tag}\""));
        answer.body = body;
        Ok(answer)
    }

    /// After a restart another name leads to the session.
    fn learn_ufrag(&mut self, token: Token) {
        let Some(entry) = self.sessions.get_mut(token) else { return };
        let ufrag = entry.session.credentials().ufrag().to_owned();
        if entry.ufrags.contains(&ufrag) {
            return;
        }
        if entry.ufrags.len() >= UFRAGS_MAX {
            let oldest = entry.ufrags.remove(0);
            self.by_ufrag.remove(&oldest);
        }
        entry.ufrags.push(ufrag.clone());
        self.by_ufrag.insert(ufrag, Place::Here(token));
    }

    /// Gives a session its place in the tables.
    fn insert(&mut self, entry: Box<Entry>) -> Option<Token> {
        let (id, ufrags) = (entry.id, entry.ufrags.clone());
        let token = self.sessions.insert(entry).ok()?;
        self.by_id.insert(id, Place::Here(token));
        for ufrag in ufrags {
            self.by_ufrag.insert(ufrag, Place::Here(token));
        }
        self.mark(token);
        Some(token)
    }

    /// The session's packets land on another shard: it goes there.
    pub(crate) fn move_to<I: Io, M: Send + From<Letter>>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        token: Token,
        to: ShardId,
    ) {
        let Some(mut entry) = self.sessions.remove(token) else { return };
        if let Some(at) = entry.timer_at.take() {
            self.timers.remove(&(at, number_of(token)));
        }
        entry.is_settled = true;
        entry.is_dirty = false;
        self.by_id.insert(entry.id, Place::At(to));
        for ufrag in &entry.ufrags {
            self.by_ufrag.insert(ufrag.clone(), Place::At(to));
        }
        self.ufrags_away.insert(entry.id, entry.ufrags.clone());
        for heard in &entry.paths {
            if heard.at == self.me {
                self.by_path.insert(heard.path, Owner::Away(to, entry.id));
            }
        }
        self.post(cx, to, Letter::Move(entry));
    }

    /// A session comes to live here.
    pub(crate) fn moved_here<I: Io, M: Send + From<Letter>>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        mut entry: Box<Entry>,
    ) {
        self.stats.sessions_moved += 1;
        let (id, maker) = (entry.id, entry.id.shard());
        let paths: Vec<_> = entry.paths.iter().filter(|it| it.at == self.me).copied().collect();
        // What other shards were told of its paths, they are told again with this shard's number.
        for heard in entry.paths.iter_mut().filter(|heard| heard.at != self.me) {
            heard.is_proved = false;
        }
        match self.insert(entry) {
            Some(token) => {
                for heard in paths.iter().filter(|heard| heard.is_proved) {
                    self.by_path.insert(heard.path, Owner::Here(token));
                }
            }
            None => {
                self.stats.sessions_refused += 1;
                self.post(cx, maker, Letter::Forget(id));
            }
        }
    }

    /// A session that was made here is over.
    pub(crate) fn forget(&mut self, session: SessionId) {
        self.by_id.remove(&session);
        for ufrag in self.ufrags_away.remove(&session).unwrap_or_default() {
            self.by_ufrag.remove(&ufrag);
        }
    }

    /// Ends a session, on whatever shard it is.
    pub fn end_session<I: Io, M: Send + From<Letter>>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        session: SessionId,
        end: End,
    ) {
        self.post(cx, session.shard(), Letter::End(session, end));
    }

    /// Ends a session on whatever shard it is; asked where it was made.
    pub(crate) fn end_wherever<I: Io, M: Send + From<Letter>>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        session: SessionId,
        end: End,
    ) {
        self.local_lost(session);
        match self.by_id.get(&session).copied() {
            Some(Place::Here(token)) => self.end(cx.now(), token, end),
            Some(Place::At(at)) if at != self.me => self.post(cx, at, Letter::End(session, end)),
            _ => {}
        }
    }

    /// Ends a session of ours: it says goodbye, and is gone when it has.
    pub(crate) fn end(&mut self, now: Instant, token: Token, end: End) {
        let Some(entry) = self.sessions.get_mut(token) else { return };
        if entry.end.is_none() && entry.cause.is_none() {
            entry.end = Some(end);
            entry.session.close(now);
            self.mark(token);
        }
    }

    /// It may have something to say.
    pub(crate) fn mark(&mut self, token: Token) {
        if let Some(entry) = self.sessions.get_mut(token)
            && !std::mem::replace(&mut entry.is_dirty, true)
        {
            self.dirty.push(token);
        }
    }

    /// Its timer fired.
    pub(crate) fn tick(&mut self, now: Instant, token: Token) {
        let interval = self.keyframe_interval();
        let Some(entry) = self.sessions.get_mut(token) else { return };
        for (track, rid) in entry.publishing.due_keyframes(now, interval) {
            entry.session.request_keyframe(now, track, rid);
            self.stats.keyframes_requested += 1;
        }
        if entry.session.deadline().is_some_and(|deadline| deadline <= now) {
            entry.session.handle(now, Input::Tick);
        }
        self.mark(token);
    }

    pub(crate) fn keyframe_interval(&self) -> Duration {
        Duration::from_millis(self.config.rtc.keyframe_interval_ms)
    }

    /// Lets everybody speak who may have something to say.
    pub(crate) fn pump_dirty<I: Io, M: Send + From<Letter>>(&mut self, cx: &mut Context<'_, I, M>) {
        let dirty = std::mem::take(&mut self.dirty);
        for token in dirty {
            self.pump(cx, token);
        }
    }

    /// Lets one speak.
    pub(crate) fn pump<I: Io, M: Send + From<Letter>>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        token: Token,
    ) {
        let Some(entry) = self.sessions.get_mut(token) else { return };
        entry.is_dirty = false;
        let mut run: Option<Run> = None;
        let mut has_new_tracks = false;
        for count in 0.. {
            let Some(entry) = self.sessions.get_mut(token) else { return };
            if count >= OUTPUTS_MAX {
                self.mark(token);
                break;
            }
            let Some(output) = entry.session.poll() else { break };
            match output {
                Output::Transmit(transmit) => {
                    let (to, transport) = (transmit.destination, transmit.transport);
                    let heard = entry.path_to(to, transport).map(|heard| {
                        let before = *heard;
                        heard.is_proved = true;
                        before
                    });
                    if let Some(heard) = heard.filter(|heard| !heard.is_proved) {
                        self.prove(cx, token, heard.path, heard.at);
                    }
                    match (transport, heard) {
                        (Transport::Udp, heard) => {
                            let listener = match heard {
                                Some(heard) => Some(usize::from(heard.path.listener)),
                                None => self.wire.listener_for(to),
                            };
                            if let Some(listener) = listener {
                                self.wire.gather(cx, &mut run, listener, (to, transmit.bytes));
                            }
                        }
                        (Transport::Tcp, Some(heard)) if heard.at == self.me => {
                            self.send_framed(cx, heard.path, &transmit.bytes);
                        }
                        (Transport::Tcp, Some(heard)) => {
                            let framed = Box::new((heard.path, transmit.bytes));
                            self.post(cx, heard.at, Letter::Send(framed));
                        }
                        (Transport::Tcp, None) => {}
                    }
                }
                Output::Packet(track, packet) => {
                    if entry.publishing.batch.is_empty() && !self.flowing.contains(&token) {
                        self.flowing.push(token);
                    }
                    entry.publishing.batch.push((track, packet));
                }
                Output::KeyframeWanted(track) => self.viewer_wants_keyframe(cx, token, track),
                Output::Track(_) | Output::TrackEnded(_) => has_new_tracks = true,
                Output::Connected => {
                    if !std::mem::replace(&mut entry.is_live, true) {
                        self.connected(cx, token);
                    }
                }
                Output::Closed(cause) => entry.cause = Some(cause),
                Output::Estimate { bits_per_second } => {
                    let Entry { viewing, session, .. } = &mut **entry;
                    viewing.set_estimate(bits_per_second, session);
                }
                Output::ChannelOpened(channel, label) => entry.channels.opened(channel, &label),
                Output::ChannelClosed(channel) => entry.channels.closed(channel),
                Output::Message { channel, is_text, bytes } => {
                    self.message(cx, token, channel, (is_text, bytes));
                }
                Output::Disconnected => {}
            }
        }
        self.wire.send(cx, run);
        if has_new_tracks {
            self.tracks_changed(cx, token);
        }
        self.settle(cx, token);
    }

    /// After it has spoken: its timer is set, or it is gone.
    fn settle<I: Io, M: Send + From<Letter>>(&mut self, cx: &mut Context<'_, I, M>, token: Token) {
        let interval = self.keyframe_interval();
        let Some(entry) = self.sessions.get_mut(token) else { return };
        if entry.cause.is_some() || entry.session.is_closed() {
            return self.remove(cx, token);
        }
        let Some(deadline) = entry.deadline(interval) else { return };
        if entry.timer_at.is_none_or(|at| deadline < at) {
            let number = number_of(token);
            if let Some(at) = entry.timer_at.replace(deadline) {
                self.timers.remove(&(at, number));
            }
            self.timers.insert((deadline, number));
        }
    }

    fn remove<I: Io, M: Send + From<Letter>>(&mut self, cx: &mut Context<'_, I, M>, token: Token) {
        let Some(entry) = self.sessions.remove(token) else { return };
        if let Some(at) = entry.timer_at {
            self.timers.remove(&(at, number_of(token)));
        }
        self.by_id.remove(&entry.id);
        for ufrag in &entry.ufrags {
            self.by_ufrag.remove(ufrag);
        }
        if entry.id.shard() != self.me {
            self.post(cx, entry.id.shard(), Letter::Forget(entry.id));
        }
        self.forget_paths(cx, token, &entry.paths);
        if entry.role == Role::View {
            self.unwatch(token, &entry);
        } else {
            self.feeds.remove(&entry.id);
            let home = self.home_of(&entry.name);
            let (name, session) = (entry.name.clone(), entry.id);
            self.post(cx, home, Letter::Gone { name, session });
        }
        self.write_down(entry.ended(cx.now()));
    }
}

/// The answer to an offer or fragment that was not taken.
fn refusal(error: &OfferError) -> Answer {
    let status = match error {
        OfferError::TooLong => 413,
        OfferError::Malformed(_) => 400,
        OfferError::Closed => 404,
        OfferError::Panicked => 500,
        _ => 422,
    };
    Answer::refusal(status, error)
}
