//! The fan-out: listeners as cursors, served a phase at a time.
//!
//! Every [`PHASE_MS`] a new slot begins, and in each feed one phase of listeners is due. What is
//! due is worked off in order, at most `sends_per_tick_max` sends a tick, so that no tick is long;
//! when a shard is busy, what is due waits and one send carries more. Whoever has fallen behind the
//! window is dropped and counted: nobody else waits for him.
//!
//! * `cursor` is what the kernel has taken; `next` is where the send in flight ends.
//! * A listener that has just come, or is far behind the live edge though its socket takes what it
//!   gets, is `hasty`: it is served before the phases, within the same bound.

use std::time::{Duration, Instant};

use media_mount::{Cursor, Join};
use shards_runtime::{Context, Gather, Io, Op, PIECES_PER_SEND_MAX, Piece, Token};

use crate::connection::State;
use crate::feed::{FeedKey, PHASE_MS, Rendition};
use crate::message::Message;
use crate::mutant::mutant;
use crate::node::Node;
use crate::snapshot::{MountId, Session, SessionId};

/// The most bytes of one send to a listener.
const SEND_BYTES_MAX: usize = 256 * 1024;
/// Bytes of a tick's sends after which the rest waits for the next tick: copying them is what a
/// tick spends its time on when bursts are sent.
const BYTES_PER_TICK: usize = 1024 * 1024;

/// Sends of a tick while the relay has packets. One costs 9 to 10 µs with many listeners, and
/// packets that come meanwhile wait for all of them; listeners have seconds of burst, and ticks
/// follow each other without sleep while sends are due.
const SENDS_BESIDE_PACKETS_MAX: u32 = 8;
/// How long a listener may take to receive the rest of a feed that is over.
const LAST_SEND_MAX: Duration = Duration::from_secs(10);
/// A listener whose socket takes what it gets and who still lacks this much is served again at
/// once, bytes.
const HASTE_BYTES: u64 = 64 * 1024;

/// One who hears a mount.
pub(crate) struct Listener {
    /// Its public number.
    pub(crate) id: u64,
    /// The mount it asked for, or was moved to.
    pub(crate) home: MountId,
    /// What it hears now.
    pub(crate) feed: Token,
    pub(crate) phase: u16,
    pub(crate) position: u32,
    /// Next byte that it has not been sent; meaningless before it has joined.
    pub(crate) cursor: Cursor,
    /// Where the send in flight ends.
    pub(crate) next: Cursor,
    pub(crate) joined: bool,
    /// Joins at the live edge: it was moved here and has had its burst.
    pub(crate) moved: bool,
    /// Its next title block must be the full one.
    pub(crate) title_due: bool,
    /// Media bytes it had had since its last title block when it was moved.
    pub(crate) title_phase: u64,
    pub(crate) titled: bool,
    /// Whether control counts it ([`Message::Left`]).
    pub(crate) admitted: bool,
    pub(crate) hasty: bool,
}

/// What a listener came for.
#[derive(Clone, Copy)]
pub(crate) struct Visit {
    /// The mount it is at home on.
    pub(crate) home: MountId,
    /// Whether it wants titles.
    pub(crate) titled: bool,
    /// Whether control counts it.
    pub(crate) admitted: bool,
}

/// A phase of a feed that is due.
#[derive(Clone, Copy)]
pub(crate) struct Due {
    feed: Token,
    phase: u16,
    position: u32,
}

/// What serving a listener came to.
enum Served {
    /// So many bytes are on their way.
    Sent(usize),
    Nothing,
    Slow,
    /// Its feed is over, it has heard all of it, and there is nowhere to go.
    Over,
}

impl Node {
    /// Puts a connection on a feed of `session`; its head must already be in `output`.
    pub(crate) fn start_listener<I: Io>(
        &mut self,
        cx: &mut Context<'_, I, Message>,
        token: Token,
        session: &Session,
        visit: Visit,
    ) {
        let Visit { home, titled, admitted } = visit;
        let rendition = if titled { Rendition::Titled } else { Rendition::Plain };
        let Some(feed) = self.feed_for(cx, session, rendition) else {
            if admitted {
                cx.send_surely(cx.control(), Message::Left(home));
            }
            self.close(cx, token);
            return;
        };
        let (phase, position) = self.feeds.get_mut(feed).expect("just made").add(token);
        self.listener_numbers += 1;
        let listener = Listener {
            id: self.listener_numbers * cx.participants() as u64 + u64::from(cx.me().0),
            home,
            feed,
            phase,
            position,
            cursor: Cursor::at(0),
            next: Cursor::at(0),
            joined: false,
            moved: false,
            title_due: titled && !mutant!(FirstTitleMissing),
            title_phase: 0,
            titled,
            admitted,
            hasty: true,
        };
        self.counters.listener_connections += 1;
        self.come_home(home, 1);
        let longest_stay = self.longest_stay(home);
        let connection = self.connections.get_mut(token).expect("a live listener");
        connection.state = State::Listener(listener);
        connection.deadline = longest_stay.map(|stay| connection.since + stay);
        self.arm(cx, token);
        self.hasty.push_back(token);
    }

    /// Takes a listener out of its feed and its home; the connection goes on.
    pub(crate) fn end_listener<I: Io>(
        &mut self,
        cx: &mut Context<'_, I, Message>,
        listener: &Listener,
    ) {
        if !mutant!(ListenerKeptInPhase) {
            self.leave_feed(cx.now(), listener);
        }
        self.leave_home(listener.home, 1);
        if listener.admitted && !mutant!(LeftNotSent) {
            cx.send_surely(cx.control(), Message::Left(listener.home));
        }
    }

    fn leave_feed(&mut self, now: Instant, listener: &Listener) {
        let Some(feed) = self.feeds.get_mut(listener.feed) else { return };
        let successor = feed.remove(listener.phase, listener.position, now);
        if let Some(successor) = successor
            && let Some(connection) = self.connections.get_mut(successor)
            && let State::Listener(other) = &mut connection.state
        {
            other.position = listener.position;
        }
    }

    /// Serves what is due, within the tick's bound. Called at the end of each tick.
    pub(crate) fn fan_out<I: Io>(&mut self, cx: &mut Context<'_, I, Message>) {
        self.mark_due(cx.now());
        let mut sends_left = self.snapshot.config.limits.sends_per_tick_max;
        if self.turn.as_ref().is_some_and(|relay| relay.is_busy(cx.now())) {
            sends_left = sends_left.min(SENDS_BESIDE_PACKETS_MAX);
        }
        let mut visits_left = sends_left * 16;
        let mut bytes_left = BYTES_PER_TICK;
        while sends_left > 0 && visits_left > 0 && bytes_left > 0 {
            visits_left -= 1;
            let token = match self.hasty.pop_front() {
                Some(token) => {
                    if let Some(listener) = self.listener_mut(token) {
                        listener.hasty = false;
                    }
                    token
                }
                None => match self.next_due() {
                    Some(token) => token,
                    None => return,
                },
            };
            if let Some(bytes) = self.serve(cx, token) {
                sends_left -= u32::from(!mutant!(TickUnbounded));
                bytes_left = bytes_left.saturating_sub(bytes);
            }
        }
    }

    /// Whether work is left that must not wait for the next slot.
    pub(crate) fn has_due(&self) -> bool {
        !self.hasty.is_empty() || !self.due.is_empty()
    }

    /// When the next phase is due, if anybody listens.
    pub(crate) fn next_slot_at(&self) -> Option<Instant> {
        if self.homes.is_empty() {
            return None;
        }
        Some(self.started + Duration::from_millis((self.slot + 1) * PHASE_MS))
    }

    fn mark_due(&mut self, now: Instant) {
        let current = (now - self.started).as_millis() as u64 / PHASE_MS;
        let first = (self.slot + 1).max(current.saturating_sub(64));
        for slot in first..=current {
            for (token, feed) in self.feeds.iter() {
                for phase in feed.due_phases(slot) {
                    let waits = |due: &Due| due.feed == token && usize::from(due.phase) == phase;
                    if !feed.phase(phase).is_empty() && !self.due.iter().any(waits) {
                        self.due.push_back(Due { feed: token, phase: phase as u16, position: 0 });
                    }
                }
            }
        }
        self.slot = current.max(self.slot);
    }

    /// The next listener of the phases that are due.
    fn next_due(&mut self) -> Option<Token> {
        while let Some(due) = self.due.front_mut() {
            let listener = self.feeds.get(due.feed).and_then(|feed| {
                feed.phase(usize::from(due.phase)).get(due.position as usize).copied()
            });
            if let Some(token) = listener {
                due.position += 1;
                return Some(token);
            }
            self.due.pop_front();
        }
        None
    }

    /// Serves one listener; answers how many bytes it was sent, if it was.
    fn serve<I: Io>(&mut self, cx: &mut Context<'_, I, Message>, token: Token) -> Option<usize> {
        match self.try_serve(cx, token) {
            Served::Sent(bytes) => return Some(bytes),
            Served::Nothing => {}
            Served::Slow => {
                self.counters.slow_listeners += 1;
                if let Some(feed) = self.listener_mut(token).map(|listener| listener.feed)
                    && let Some(feed) = self.feeds.get_mut(feed)
                {
                    feed.slow_listeners += 1;
                }
                self.close(cx, token);
            }
            Served::Over => self.stream_over(cx, token),
        }
        None
    }

    fn try_serve<I: Io>(&mut self, cx: &mut Context<'_, I, Message>, token: Token) -> Served {
        if self.feed_of(token).is_some_and(|feed| feed.rerouted || feed.ended_at.is_some()) {
            self.follow_route(cx, token);
        }
        let now = cx.now();
        let Some(connection) = self.connections.get_mut(token) else { return Served::Nothing };
        let State::Listener(listener) = &mut connection.state else { return Served::Nothing };
        let Some(feed) = self.feeds.get_mut(listener.feed) else { return Served::Over };
        if connection.sending {
            // What is in flight is pinned; but he who is behind the window has lost his place.
            // And what is over moves no window: nobody waits long for who takes nothing of it.
            let behind = listener.joined && listener.cursor.offset() < feed.window.oldest();
            let stuck = feed.ended_at.is_some_and(|at| now >= at + LAST_SEND_MAX);
            let is_slow = (behind || stuck) && !mutant!(SlowNeverDropped);
            return if is_slow { Served::Slow } else { Served::Nothing };
        }
        let mut pieces = Gather::from_vec(std::mem::take(&mut connection.output));
        if !listener.joined
            && let Some(join) = join(listener, feed)
        {
            listener.cursor = match mutant!(CursorOffByOne) {
                true => join.cursor.advance(1),
                false => join.cursor,
            };
            listener.joined = true;
            if !join.prelude.is_empty() {
                pieces.push(Piece::Owned(join.prelude));
            }
        }
        listener.next = listener.cursor;
        if listener.joined && gather(listener, feed, &mut pieces).is_err() {
            return Served::Slow;
        }
        if pieces.is_empty() {
            let over = feed.ended_at.is_some() && listener.cursor.offset() >= feed.window.head();
            let leaves = (over || !listener.joined) && feed.ended_at.is_some();
            // While its home is still routed here, control has not said yet what follows: it may be
            // a fallback.
            let route = self.routes.get(&listener.home).and_then(Option::as_ref);
            let is_decided = route.is_none_or(|session| session.id != feed.key.session);
            return if leaves && is_decided { Served::Over } else { Served::Nothing };
        }
        let socket = connection.socket.expect("a listener is connected");
        self.counters.listener_sends += 1;
        let bytes = pieces.iter().map(|piece| piece.as_slice().len()).sum();
        let Some(pieces) = connection.seal(pieces, false) else { return Served::Over };
        connection.sending = true;
        cx.submit(token, Op::Send(socket, pieces));
        Served::Sent(bytes)
    }

    /// A listener's send is done.
    pub(crate) fn listener_sent(&mut self, token: Token, bytes: usize) {
        self.counters.listener_bytes += bytes as u64;
        let Some(connection) = self.connections.get_mut(token) else { return };
        let State::Listener(listener) = &mut connection.state else { return };
        let progressed = listener.next != listener.cursor;
        listener.cursor = listener.next;
        if mutant!(BytesSkipped) && bytes > 2_000 {
            listener.cursor = listener.cursor.advance(1);
        }
        let Some(feed) = self.feeds.get_mut(listener.feed) else { return };
        feed.bytes_sent += bytes as u64;
        let lacks = feed.window.head().saturating_sub(listener.cursor.offset());
        // What was sent before it had joined was somebody else's: records of a handshake.
        if !listener.joined || progressed && lacks > HASTE_BYTES {
            self.make_hasty(token);
        }
    }

    /// Has a listener served before the phases.
    pub(crate) fn make_hasty(&mut self, token: Token) {
        if let Some(listener) = self.listener_mut(token)
            && !std::mem::replace(&mut listener.hasty, true)
        {
            self.hasty.push_back(token);
        }
    }

    /// Adds listeners to the count of a home.
    pub(crate) fn come_home(&mut self, home: MountId, listeners: u64) {
        let count = self.homes.entry(home).or_default();
        *count += listeners;
        let peak = self.homes_peak.entry(home).or_default();
        *peak = (*peak).max(*count);
    }

    /// Takes listeners off the count of a home.
    pub(crate) fn leave_home(&mut self, home: MountId, listeners: u64) {
        if let Some(count) = self.homes.get_mut(&home) {
            *count -= listeners;
            if *count == 0 {
                self.homes.remove(&home);
            }
        }
    }

    /// Moves a listener whose home is routed to another session than it hears, if it stands where
    /// it can be moved: at the end of its feed, or between two whole units of it.
    fn follow_route<I: Io>(&mut self, cx: &mut Context<'_, I, Message>, token: Token) {
        let Some(connection) = self.connections.get_mut(token) else { return };
        let State::Listener(listener) = &mut connection.state else { return };
        let Some(feed) = self.feeds.get(listener.feed) else { return };
        let Some(Some(session)) = self.routes.get(&listener.home).cloned() else { return };
        if session.id == feed.key.session || connection.sending {
            return;
        }
        let offset = listener.cursor.offset();
        let may_move = if !listener.joined {
            true
        } else if feed.ended_at.is_some() {
            offset >= feed.window.head()
        } else {
            // A titled rendition has no units: its place is counted from the last title, anywhere.
            // The head of a running feed is not always between two units: the next chunk tells.
            listener.titled || feed.window.sync_at_or_before(offset) == Some(offset)
        };
        if !may_move {
            return;
        }
        if !is_compatible(feed.key, &session, &feed.session) {
            return;
        }
        let mut title_phase = listener.title_phase;
        if listener.titled && listener.joined {
            match feed.window.title_phase(listener.cursor) {
                Some(_) if mutant!(TitlePhaseForgotten) => title_phase = 0,
                Some(phase) => title_phase = phase,
                None if feed.ended_at.is_some() => title_phase = 0,
                None => return,
            }
        }
        let rendition = feed.key.rendition;
        let Some(target) = self.feed_for(cx, &session, rendition) else { return };
        let Some(listener) = self.listener_mut(token) else { return };
        let old = Listener { ..*listener };
        self.leave_feed(cx.now(), &old);
        let (phase, position) = self.feeds.get_mut(target).expect("just made").add(token);
        let Some(listener) = self.listener_mut(token) else { return };
        *listener = Listener {
            feed: target,
            phase,
            position,
            moved: old.joined || old.moved,
            joined: false,
            title_due: old.titled,
            title_phase,
            ..old
        };
    }

    /// The feed that a listener hears.
    fn feed_of(&self, token: Token) -> Option<&crate::feed::Feed> {
        match &self.connections.get(token)?.state {
            State::Listener(listener) => self.feeds.get(listener.feed),
            _ => None,
        }
    }

    pub(crate) fn listener_mut(&mut self, token: Token) -> Option<&mut Listener> {
        match &mut self.connections.get_mut(token)?.state {
            State::Listener(listener) => Some(listener),
            _ => None,
        }
    }

    /// The session that a home is routed to now.
    pub(crate) fn route_id(&self, home: MountId) -> Option<SessionId> {
        self.routes.get(&home).and_then(|route| route.as_ref().map(|session| session.id))
    }
}

/// Whether a listener of `from` can go on with `to`: a player keeps its demuxer, so the format must
/// stay; and the metaint it was told must stay too.
fn is_compatible(key: FeedKey, to: &Session, from: &Session) -> bool {
    to.stream.format == from.stream.format
        && (key.rendition == Rendition::Plain || to.stream.metaint == from.stream.metaint)
}

/// Where a listener begins in a feed, or nowhere yet.
fn join(listener: &Listener, feed: &crate::feed::Feed) -> Option<Join> {
    if mutant!(FallbackReplaysBurst) && !listener.titled {
        feed.window.join(feed.burst_bytes)
    } else if listener.moved && !feed.is_live() {
        None
    } else if listener.moved && listener.titled {
        feed.window.join_at_phase(listener.title_phase)
    } else if listener.moved {
        feed.window.join_live()
    } else {
        feed.window.join(feed.burst_bytes)
    }
}

/// Adds all that a listener has not had, up to the bounds of a send.
fn gather(
    listener: &mut Listener,
    feed: &crate::feed::Feed,
    pieces: &mut Gather,
) -> Result<(), media_mount::Behind> {
    let window = &feed.window;
    let room = PIECES_PER_SEND_MAX - 1 - pieces.len();
    if listener.title_due {
        let before = pieces.len();
        listener.next =
            window.read_to_title(listener.next, SEND_BYTES_MAX, room, |block, range| {
                pieces.push(shared(block, range));
            })?;
        let Some(due) = window.title_due(listener.next) else { return Ok(()) };
        pieces.push(Piece::Shared { end: due.block.len() as u32, block: due.block, start: 0 });
        listener.next = due.after;
        listener.title_due = false;
        let room = room.saturating_sub(pieces.len() - before);
        listener.next = window.read(listener.next, SEND_BYTES_MAX, room, |block, range| {
            pieces.push(shared(block, range));
        })?;
        return Ok(());
    }
    listener.next = window.read(listener.next, SEND_BYTES_MAX, room, |block, range| {
        pieces.push(shared(block, range));
    })?;
    Ok(())
}

fn shared(block: &std::rc::Rc<bytes::Bytes>, range: std::ops::Range<usize>) -> Piece {
    Piece::Shared { block: block.clone(), start: range.start as u32, end: range.end as u32 }
}
