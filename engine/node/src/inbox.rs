//! What other participants of the mesh say to this shard.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use shards_runtime::{Context, Io, Op, ShardId, Token};

use crate::connection::{Asking, State};
use crate::fanout::{Listener, Visit};
use crate::feed::Role;
use crate::message::{EndCause, ListenerRow, Message, PullFailure, Verdict};
use crate::mutant::mutant;
use crate::node::Node;
use crate::snapshot::{MountId, Session, SessionId, Snapshot};
use crate::stats::{HomeStats, SessionStats, ShardStats};

impl Node {
    /// Handles one message.
    pub(crate) fn message<I: Io>(
        &mut self,
        cx: &mut Context<'_, I, Message>,
        from: ShardId,
        message: Message,
    ) {
        match message {
            Message::Subscribe(session) => self.subscribed(cx, from, session),
            Message::Unsubscribe(session) => self.unsubscribed(from, session),
            Message::Publish { session, chunk } => {
                if !self.push_chunk(session, chunk) {
                    self.counters.feed_gaps += 1;
                }
            }
            Message::Prelude { session, from_offset, prelude } => {
                if let Some(feed) = self.plain_feed(session) {
                    feed.set_prelude(from_offset, prelude);
                }
            }
            Message::Title { session, block, head } => {
                if let Some(feed) = self.plain_feed(session) {
                    feed.live_from = feed.live_from.min(head);
                }
                self.set_title_block(session, block);
            }
            Message::FeedEnd(session) => self.feed_ended(cx.now(), session),
            Message::Symple(mail) => self.symple_letter(cx, *mail),
            Message::StreamIs { name, is_live } => self.stream_is(cx.now(), name, is_live),
            Message::ListPeers { request } => {
                let rows = Box::new(self.list_peers(cx));
                cx.send_surely(cx.control(), Message::Peers { request, rows });
            }
            Message::Snapshot(snapshot) => self.snapshot_came(cx, snapshot),
            Message::Verdict { ask, verdict } => self.verdict(cx, ask, *verdict),
            Message::SetTitle { session, title } => self.set_title(cx, session, *title),
            Message::KillSource(session) => {
                if let Some(token) = self.sources.get(&session).copied() {
                    self.end_source(cx, token, EndCause::Killed);
                }
            }
            Message::KillListener { request, id } => {
                let found = self.connections.iter().find(|(_, connection)| {
                    matches!(&connection.state, State::Listener(listener) if listener.id == id)
                });
                let found = found.map(|(token, _)| token);
                if let Some(token) = found {
                    self.close(cx, token);
                }
                let answer = Message::KillResult { request, found: found.is_some() };
                cx.send_surely(cx.control(), answer);
            }
            Message::ListListeners { request, mount } => {
                let listeners = Box::new(self.list_listeners(cx, mount));
                cx.send_surely(cx.control(), Message::Listeners { request, listeners });
            }
            Message::ListAllocations { request } => {
                let rows = Box::new(self.list_allocations(cx));
                cx.send_surely(cx.control(), Message::Allocations { request, rows });
            }
            Message::KillAllocation { request, id } => {
                let found = self.kill_allocation(cx, id);
                cx.send_surely(cx.control(), Message::AllocationKilled { request, found });
            }
            Message::Rtc(letter) => self.rtc_letter(cx, from, letter),
            Message::TurnUsers(changes) => self.turn_users_changed(&changes),
            Message::ListSessions { request } => {
                let rows = Box::new(self.list_sessions(cx.now()));
                cx.send_surely(cx.control(), Message::Sessions { request, rows });
            }
            Message::KillSession { request, session } => {
                let found = self.kill_session(cx.now(), session);
                cx.send_surely(cx.control(), Message::SessionKilled { request, found });
            }
            Message::MoveListeners { from, to } => self.move_listeners(from, to),
            Message::StartPull(order) => self.start_pull(cx, *order),
            Message::StopPull(mount) => self.stop_pull(cx, mount),
            Message::NothingComes(home) => self.turn_away(cx, home),
            Message::Event(happening) => self.happening_came(happening),
            Message::Drain { within_ms } => self.start_drain(cx, within_ms),
            Message::Ask { .. }
            | Message::SourceEnded { .. }
            | Message::StreamNews { .. }
            | Message::Left(_)
            | Message::PullFailed { .. }
            | Message::Stats(_)
            | Message::Listeners { .. }
            | Message::KillResult { .. }
            | Message::Allocations { .. }
            | Message::AllocationKilled { .. }
            | Message::Peers { .. }
            | Message::Sessions { .. }
            | Message::SessionKilled { .. }
            | Message::Happened(_)
            | Message::Drained => unreachable!("a message for control came to a shard"),
        }
    }

    /// A shard has no listeners of a feed of ours any more.
    fn unsubscribed(&mut self, from: ShardId, session: SessionId) {
        self.early_subscribers.retain(|early| *early != (session, from));
        if let Some(feed) = self.plain_feed(session) {
            feed.unsubscribe(from);
        }
    }

    /// A shard wants a feed of ours; if its session is over, it is told so, and if its source is
    /// only about to come, it waits.
    pub(crate) fn subscribed<I: Io>(
        &mut self,
        cx: &mut Context<'_, I, Message>,
        from: ShardId,
        session: SessionId,
    ) {
        let is_granted = session <= self.newest_granted;
        match self.plain_feed(session) {
            Some(feed) if matches!(feed.role, Role::Owner(_)) => {
                feed.subscribe(from);
                let (block, head) = (feed.title_block.clone(), feed.window.head());
                cx.send_surely(from, Message::Title { session, block, head });
            }
            _ if is_granted || mutant!(EarlySubscriberRefused) => {
                cx.send_surely(from, Message::FeedEnd(session))
            }
            _ => self.early_subscribers.push((session, from)),
        }
    }

    /// The policy changed.
    fn snapshot_came<I: Io>(&mut self, cx: &mut Context<'_, I, Message>, snapshot: Arc<Snapshot>) {
        assert!(snapshot.version > self.snapshot.version, "snapshots come in order");
        if mutant!(SnapshotMissed) && snapshot.version.is_multiple_of(5) {
            return;
        }
        let config = Arc::clone(&self.snapshot.config);
        let as_pointer = |tls: &Option<Arc<_>>| tls.as_ref().map(Arc::as_ptr);
        let has_other_tls = as_pointer(&self.snapshot.tls) != as_pointer(&snapshot.tls);
        self.snapshot = snapshot;
        self.addresses.set_limits(crate::node::address_limits(&self.snapshot.config.limits));
        self.routes_follow_snapshot(cx);
        if !Arc::ptr_eq(&self.snapshot.config, &config) || has_other_tls {
            self.turn_follows_snapshot();
            self.signalling_follows_snapshot(cx.now());
            self.rtc_follows_snapshot();
            self.feeders_follow_snapshot(cx);
        }
        self.players_follow_sources(cx);
    }

    /// Compares where each home is routed with where it was: parked listeners may start, and
    /// feeds whose listeners have to move are marked.
    pub(crate) fn routes_follow_snapshot<I: Io>(&mut self, cx: &mut Context<'_, I, Message>) {
        let snapshot = self.snapshot.clone();
        let mut changed = Vec::new();
        let mut routes = BTreeMap::new();
        for entry in snapshot.mounts.values() {
            let route = entry.route.as_ref().map(|session| session.id);
            if self.route_id(entry.id) != route {
                changed.push(entry.id);
            }
            routes.insert(entry.id, entry.route.clone());
        }
        let old = std::mem::replace(&mut self.routes, routes);
        for home in changed {
            let was = old.get(&home).and_then(Option::as_ref);
            self.mark_rerouted(was);
            self.wake_parked(cx, home);
        }
    }

    fn mark_rerouted(&mut self, was: Option<&Session>) {
        let Some(was) = was.filter(|_| !mutant!(RouteNotFollowed)) else { return };
        for feed in self.feeds.values_mut() {
            feed.rerouted |= feed.key.session == was.id;
        }
    }

    fn wake_parked<I: Io>(&mut self, cx: &mut Context<'_, I, Message>, home: MountId) {
        if mutant!(ParkedForgotten) {
            return;
        }
        let Some(Some(session)) = self.routes.get(&home).cloned() else { return };
        for token in self.parked.remove(&home).unwrap_or_default() {
            let Some(connection) = self.connections.get_mut(token) else { continue };
            let State::Parked(parked) = &connection.state else { continue };
            let titled = parked.titled;
            connection.state = State::Answering;
            self.greet_listener(cx, token, &session, Visit { home, titled, admitted: true });
        }
    }

    /// Tells those who wait for a mount that it does not come up.
    fn turn_away<I: Io>(&mut self, cx: &mut Context<'_, I, Message>, home: MountId) {
        for token in self.parked.get(&home).cloned().unwrap_or_default() {
            let answer = self.answers(cx).not_found();
            self.refuse(cx, token, 404, answer);
        }
    }

    /// A parked listener leaves without having heard anything.
    pub(crate) fn unpark<I: Io>(
        &mut self,
        cx: &mut Context<'_, I, Message>,
        token: Token,
        parked: &crate::connection::Parked,
    ) {
        if let Some(waiting) = self.parked.get_mut(&parked.home) {
            waiting.retain(|other| *other != token);
            if waiting.is_empty() {
                self.parked.remove(&parked.home);
            }
        }
        cx.send_surely(cx.control(), Message::Left(parked.home));
    }

    /// Control answered a connection's question.
    fn verdict<I: Io>(&mut self, cx: &mut Context<'_, I, Message>, token: Token, verdict: Verdict) {
        let token = match mutant!(LateVerdictFollowed) {
            true => self.tenant_of(token.slot).unwrap_or(token),
            false => token,
        };
        let asks = self.connections.get(token).map(|c| matches!(c.state, State::Asking(_)));
        if asks != Some(true) {
            self.late_verdict(cx, verdict);
            return;
        }
        match verdict {
            Verdict::Granted(session) => {
                if let Some(offer) = self.take_offer(token) {
                    self.start_source(cx, token, *offer, session);
                }
            }
            Verdict::SourceRefused(answer) => {
                if let Some(offer) = self.take_offer(token)
                    && let Some(order) = offer.pull_order
                {
                    self.refuse_pull(cx, token, &offer.mount, order, PullFailure::Refused);
                    return;
                }
                self.refuse(cx, token, status_of(&answer), answer);
            }
            Verdict::Admitted(home) => self.admitted(cx, token, home),
            Verdict::ListenerRefused(answer) => {
                self.refuse(cx, token, status_of(&answer), answer);
            }
            Verdict::Answer { status, bytes } => self.answer(cx, token, status, bytes),
        }
    }

    /// Whoever asked is gone: what control gave is given back.
    fn late_verdict<I: Io>(&mut self, cx: &mut Context<'_, I, Message>, verdict: Verdict) {
        match verdict {
            Verdict::Granted(session) => self.session_void(cx, session, EndCause::Closed),
            Verdict::Admitted(home) => cx.send_surely(cx.control(), Message::Left(home)),
            Verdict::SourceRefused(_) | Verdict::ListenerRefused(_) | Verdict::Answer { .. } => {}
        }
    }

    /// Ends the asking of a claim and takes out what was offered.
    fn take_offer(&mut self, token: Token) -> Option<Box<crate::source::Offer>> {
        let connection = self.connections.get_mut(token)?;
        match std::mem::replace(&mut connection.state, State::Answering) {
            State::Asking(Asking::Claim(offer)) => {
                self.asks_in_flight -= 1;
                Some(offer)
            }
            other => {
                connection.state = other;
                None
            }
        }
    }

    fn list_listeners<I: Io>(
        &self,
        cx: &Context<'_, I, Message>,
        mount: MountId,
    ) -> Vec<ListenerRow> {
        let now = cx.now();
        let row = |connection: &crate::connection::Connection, listener: &Listener| ListenerRow {
            id: listener.id,
            peer: connection.peer,
            agent: connection.agent().map(str::to_owned),
            connected_s: (now - connection.since).as_secs(),
            lag_bytes: self.feeds.get(listener.feed).map_or(0, |feed| {
                if listener.joined { listener.cursor.lag(&feed.window) } else { 0 }
            }),
        };
        let at_home =
            self.connections.iter().filter_map(|(_, connection)| match &connection.state {
                State::Listener(listener) if listener.home == mount => {
                    Some(row(connection, listener))
                }
                _ => None,
            });
        at_home.collect()
    }

    fn move_listeners(&mut self, from: MountId, to: MountId) {
        let Some(Some(target)) = self.routes.get(&to).cloned() else { return };
        let mut moved = 0;
        let homes: Vec<Token> = self.connections.iter().map(|(token, _)| token).collect();
        for token in homes {
            let Some(listener) = self.listener_mut(token) else { continue };
            if listener.home != from {
                continue;
            }
            let feed = listener.feed;
            let Some(feed) = self.feeds.get_mut(feed) else { continue };
            if feed.session.stream.format != target.stream.format {
                continue;
            }
            feed.rerouted = true;
            if let Some(listener) = self.listener_mut(token) {
                listener.home = to;
                moved += 1;
            }
        }
        if moved > 0 {
            self.leave_home(from, moved);
            self.come_home(to, moved);
        }
    }

    /// What this shard tells control each second.
    pub(crate) fn collect_stats<I: Io>(&mut self, cx: &mut Context<'_, I, Message>) -> ShardStats {
        let mut sessions: BTreeMap<_, SessionStats> = BTreeMap::new();
        for (_, feed) in self.feeds.iter() {
            let session = feed.key.session;
            let row = sessions.entry(session).or_insert(SessionStats {
                session,
                listeners_count: 0,
                bytes_sent: 0,
                slow_listeners: 0,
                bytes_read: 0,
            });
            row.listeners_count += feed.listeners_count() as u64;
            row.bytes_sent += feed.bytes_sent;
            row.slow_listeners += feed.slow_listeners;
        }
        let window_bytes = self.feeds.iter().map(|(_, feed)| feed.window.bytes_held() as u64).sum();
        let bytes_read: Vec<_> = self.sources.keys().copied().collect();
        for session in bytes_read {
            let bytes_read = self.source_mut(session).map_or(0, |source| source.bytes_read);
            if let Some(row) = sessions.get_mut(&session) {
                row.bytes_read = bytes_read;
            }
        }
        self.clients_reported = self.connections.len() as u64;
        if let Some(files) = &self.files {
            let files = files.counters();
            self.counters.file_cache_hits = files.cache_hits;
            self.counters.file_bytes_read = files.read_bytes;
        }
        let io = cx.io().counters();
        let load = cx.load();
        ShardStats {
            counters: self.counters,
            tick_us: load.tick_us.clone(),
            ticks_count: load.ticks_count,
            busy_us: load.busy_us,
            io,
            clients_count: self.clients_reported,
            listeners_count: self.homes.values().sum(),
            sources_count: self.sources.len() as u64,
            window_bytes,
            sessions: sessions.into_values().collect(),
            symple: self.symple_stats(),
            turn: self.turn.as_ref().map(|turn| Box::new(turn.stats())),
            rtc: self.rtc.as_ref().map(|rtc| Box::new(rtc.stats())),
            homes: self.take_homes(),
        }
    }

    /// Listeners at home on each mount, now and at most; the next count of the most begins.
    fn take_homes(&mut self) -> Vec<HomeStats> {
        let peaks = std::mem::replace(&mut self.homes_peak, self.homes.clone());
        let row = |(mount, listeners_peak)| {
            let listeners_count = self.homes.get(&mount).copied().unwrap_or(0);
            HomeStats { mount, listeners_count, listeners_peak }
        };
        peaks.into_iter().map(row).collect()
    }

    /// Stops accepting; the rest has until the deadline.
    fn start_drain<I: Io>(&mut self, cx: &mut Context<'_, I, Message>, within_ms: u32) {
        for number in 0..self.acceptors.len() {
            if let Some(socket) = self.acceptors[number].1.take() {
                cx.submit(Self::acceptor_token(number), Op::Close(socket));
            }
        }
        self.drain_until = Some(cx.now() + Duration::from_millis(u64::from(within_ms)));
        self.shut_signalling_down(cx);
        self.end_subscriptions(cx);
        self.turn_follows_snapshot();
        self.rtc_follows_snapshot();
    }

    /// While draining: closes everything at the deadline, and stops when nothing is left.
    pub(crate) fn drain<I: Io>(&mut self, cx: &mut Context<'_, I, Message>) {
        let Some(until) = self.drain_until else { return };
        let has_sessions = self.rtc.as_ref().is_some_and(|rtc| rtc.sessions_count() > 0);
        let has_allocations = self.turn.as_ref().is_some_and(|turn| turn.allocation_count() > 0);
        let is_busy = has_allocations || has_sessions;
        if self.connections.is_empty() && (!is_busy || cx.now() >= until) {
            self.drain_until = None;
            self.end_allocations(cx);
            self.end_sessions(cx);
            cx.send_surely(cx.control(), Message::Drained);
            cx.stop();
            return;
        }
        if cx.now() < until {
            return;
        }
        self.drain_until = Some(cx.now() + Duration::from_millis(100));
        let tokens: Vec<Token> = self.connections.iter().map(|(token, _)| token).collect();
        for token in tokens {
            match self.connections.get(token).map(|connection| &connection.state) {
                Some(State::Source(_)) => self.end_source(cx, token, EndCause::Drained),
                Some(_) => self.close(cx, token),
                None => {}
            }
        }
    }
}

/// The status in the first line of an answer, for the access log.
fn status_of(answer: &[u8]) -> u16 {
    let code = answer.split(|byte| *byte == b' ').nth(1);
    code.and_then(|code| std::str::from_utf8(code).ok()?.parse().ok()).unwrap_or(0)
}
