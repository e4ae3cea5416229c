//! What happens to streams, told to who listens: `/api/events` and the rooms of signalling.
//!
//! ```text
//! worker ─► Bridge ─┬─► Symple: the stream's room, at once
//!                   └─► control: numbers it, encodes it once ─► every shard: Window ─► subscribers
//! ```
//!
//! A subscriber is a cursor in the shard's window, as a listener is one in a mount's: all of
//! them are sent the same frames, and who is slow misses what has left it and is told so.
//!
//! *Invariant:* a tick serves at most [`SERVED_MAX`] subscribers, each with at most
//! [`FRAMES_MAX`] frames; no subscriber has more than one send in flight.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use engine_config::Config;
use engine_events::{Happening, Told, Window};
use engine_workers::Notice;
use media_link::Event;
use protocol_http::{
    EVENT_STREAM_KEEP_ALIVE, EVENT_STREAM_TYPE, Query, ResponseWriter, Status, Version,
};
use protocol_symple::{Input, Recipient, RoomName};
use serde_json::{Map, Value, json};
use shards_runtime::{Context, Io, Piece, Token};

use crate::connection::State;
use crate::message::{ForwardedRequest, Message};
use crate::node::Node;
use crate::whole::{Answer, Reply};

/// Subscribers of a shard. Then: 503.
const SUBSCRIBERS_MAX: usize = 4_096;
/// Subscribers that a tick serves; the others are served in the next.
const SERVED_MAX: usize = 64;
/// Frames of one send.
const FRAMES_MAX: usize = 64;
/// What a shard's workers may tell in a second. Whatever made them say more, it is no use.
const TOLD_PER_SECOND_MAX: u32 = 256;
/// After so much silence a subscriber is sent a comment; after as much again without its taking
/// that it is gone.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// What clients are told first: how soon to come back when they are cut off.
const RETRY: &[u8] = b"retry: 2000\n\n";

/// Events on a shard.
#[derive(Default)]
pub(crate) struct Events {
    window: Window,
    subscribers: Vec<Token>,
    due: VecDeque<Token>,
    told_in_second: u32,
}

/// Somebody who listens to events.
pub(crate) struct Subscriber {
    /// The number of what it hears next.
    cursor: u64,
    /// Only of this stream.
    stream: Option<String>,
    /// Only of these names, where there are any.
    names: Vec<String>,
    is_due: bool,
}

impl Subscriber {
    fn wants(&self, happening: &Happening) -> bool {
        self.stream.as_ref().is_none_or(|stream| *stream == happening.stream)
            && (self.names.is_empty() || self.names.iter().any(|name| name == happening.name))
    }
}

impl Events {
    /// Whether somebody waits to be served.
    pub(crate) fn has_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// Another second begins.
    pub(crate) fn next_second(&mut self) {
        self.told_in_second = 0;
    }
}

impl Node {
    /// A worker of this shard tells something.
    pub(crate) fn worker_tells<I: Io>(&mut self, cx: &mut Context<'_, I, Message>, notice: Notice) {
        let told = match notice {
            Notice::Told { stream, event: Event::Warning(alert) } => {
                return tracing::warn!(stream, "{}", alert.text);
            }
            Notice::Told { stream, event } => Told::of(&stream, event),
            Notice::SourceLost { stream, cause } => Some(Told::source_lost(&stream, &cause)),
        };
        if let Some(told) = told {
            self.tell(cx, told);
        }
    }

    /// Tells the room of the stream, and control, which tells everybody else.
    pub(crate) fn tell<I: Io>(&mut self, cx: &mut Context<'_, I, Message>, told: Told) {
        // What changes the list is never left out: the list would be wrong for good.
        if told.change.is_none() && self.events.told_in_second >= TOLD_PER_SECOND_MAX {
            self.counters.events_dropped += 1;
            return;
        }
        self.events.told_in_second += 1;
        if let Some(name) = told.name {
            tracing::debug!(stream = told.stream, name, "told");
            self.counters.events_told += 1;
            self.tell_room(cx, name, &told);
        }
        cx.send_surely(cx.control(), Message::Happened(Box::new(told)));
    }

    fn tell_room<I: Io>(&mut self, cx: &mut Context<'_, I, Message>, name: &str, told: &Told) {
        let Some(signalling) = &mut self.signalling else { return };
        let config = &self.snapshot.config;
        let Some((_, peer)) = config.symple.peer_parts() else { return };
        let rooms = rooms_of(config, &told.stream);
        if rooms.is_empty() {
            return;
        }
        let mut message = Map::new();
        message.insert("type".to_owned(), json!("message"));
        message.insert("subtype".to_owned(), Value::from(name));
        message.insert("data".to_owned(), told.data.clone());
        let input = Input::Speak { peer, to: Recipient::Rooms(&rooms), message };
        signalling.server.handle(cx.now(), input);
        self.carry_out(cx);
    }

    /// Control has numbered something.
    pub(crate) fn happening_came(&mut self, happening: Arc<Happening>) {
        self.events.window.push(happening);
        for token in &self.events.subscribers {
            let Some(connection) = self.connections.get_mut(*token) else { continue };
            let State::Subscriber(subscriber) = &mut connection.state else { continue };
            if !std::mem::replace(&mut subscriber.is_due, true) {
                self.events.due.push_back(*token);
            }
        }
    }

    /// A request for `/api/events`; nothing where it has been answered.
    pub(crate) fn subscribe<I: Io>(
        &mut self,
        cx: &mut Context<'_, I, Message>,
        token: Token,
        request: &ForwardedRequest,
    ) -> Option<Reply> {
        let answer = |status| Some(Reply::Now(Answer::new(status)));
        if request.method == "HEAD" {
            let answer = Answer::new(Status::OK).with_header("Content-Type", EVENT_STREAM_TYPE);
            return Some(Reply::Now(answer));
        }
        if self.events.subscribers.len() >= SUBSCRIBERS_MAX || self.drain_until.is_some() {
            self.counters.event_subscribers_refused += 1;
            return answer(Status::SERVICE_UNAVAILABLE);
        }
        let query = Query::new(request.query.as_deref().unwrap_or_default().as_bytes());
        let said = |name: &str| query.get_str(name).map(|text| text.into_owned());
        let last_id = request.header("last-event-id").map(str::to_owned);
        // What a page that is loaded anew cannot say in a header.
        let last_id = last_id.or_else(|| said("last_event_id")).filter(|id| !id.is_empty());
        let names = said("events").unwrap_or_default();
        let subscriber = Subscriber {
            cursor: self.events.window.resume(last_id.as_deref()),
            stream: said("stream"),
            names: names.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect(),
            is_due: true,
        };
        let config = &self.snapshot.config;
        let mut head = Vec::with_capacity(512);
        let mut response = ResponseWriter::new(&mut head, Version::Http11, Status::OK);
        response
            .header("Server", &config.server.server_id)
            .header_date("Date", cx.wall_clock().as_secs());
        for (name, value) in &config.http.cors_headers {
            response.header(name, value);
        }
        response
            .header("Content-Type", EVENT_STREAM_TYPE)
            .header("Cache-Control", "no-store")
            // A proxy that gathers would keep events for itself.
            .header("X-Accel-Buffering", "no")
            .close()
            .finish();
        head.extend_from_slice(RETRY);
        self.change_state(cx, token, State::Subscriber(Box::new(subscriber)));
        self.events.subscribers.push(token);
        self.events.due.push_back(token);
        let connection = self.connections.get_mut(token)?;
        (connection.keep_alive.is_wanted, connection.keep_alive.is_granted) = (false, false);
        connection.deadline = Some(cx.now() + KEEP_ALIVE);
        if let Some(record) = &mut connection.record {
            record.status = Status::OK.0;
        }
        connection.push(Piece::Owned(head.into()));
        self.arm(cx, token);
        self.send_output(cx, token);
        None
    }

    /// Sends subscribers what they have not heard.
    pub(crate) fn serve_subscribers<I: Io>(&mut self, cx: &mut Context<'_, I, Message>) {
        for _ in 0..SERVED_MAX {
            let Some(token) = self.events.due.pop_front() else { return };
            self.serve_subscriber(cx, token);
        }
    }

    fn serve_subscriber<I: Io>(&mut self, cx: &mut Context<'_, I, Message>, token: Token) {
        let Some(connection) = self.connections.get_mut(token) else { return };
        let State::Subscriber(subscriber) = &mut connection.state else { return };
        subscriber.is_due = false;
        if connection.sending {
            // It is served when that is done.
            return;
        }
        let window = &self.events.window;
        let missed = window.tail().saturating_sub(subscriber.cursor);
        let mut pieces = Vec::new();
        if missed > 0 {
            self.counters.events_missed += missed;
            pieces.push(Bytes::from(format!(": {missed} events were missed\n\n")));
            subscriber.cursor = window.tail();
        }
        for happening in window.from(subscriber.cursor).take(FRAMES_MAX) {
            subscriber.cursor = happening.number + 1;
            if subscriber.wants(happening) {
                pieces.push(happening.frame.clone());
            }
        }
        // Those that it does not want cost no send.
        if subscriber.cursor < window.head() && pieces.is_empty() {
            subscriber.is_due = true;
            self.events.due.push_back(token);
        }
        if pieces.is_empty() {
            return;
        }
        self.counters.event_frames_sent += pieces.len() as u64;
        connection.deadline = Some(cx.now() + KEEP_ALIVE);
        pieces.into_iter().for_each(|piece| connection.push(Piece::Owned(piece)));
        self.send_output(cx, token);
    }

    /// A subscriber has taken what it was sent.
    pub(crate) fn subscriber_sent<I: Io>(
        &mut self,
        cx: &mut Context<'_, I, Message>,
        token: Token,
    ) {
        let Some(connection) = self.connections.get_mut(token) else { return };
        if connection.has_records() || !connection.output.is_empty() {
            return self.send_output(cx, token);
        }
        let State::Subscriber(subscriber) = &mut connection.state else { return };
        if subscriber.cursor < self.events.window.head() && !subscriber.is_due {
            subscriber.is_due = true;
            self.events.due.push_back(token);
        }
    }

    /// A subscriber was silent for long.
    pub(crate) fn subscriber_timer<I: Io>(
        &mut self,
        cx: &mut Context<'_, I, Message>,
        token: Token,
    ) {
        let Some(connection) = self.connections.get_mut(token) else { return };
        if connection.sending {
            self.counters.slow_readers += 1;
            return self.close(cx, token);
        }
        connection.deadline = Some(cx.now() + KEEP_ALIVE);
        connection.push(Piece::Owned(Bytes::from_static(EVENT_STREAM_KEEP_ALIVE)));
        self.arm(cx, token);
        self.send_output(cx, token);
    }

    /// A subscriber is one no more.
    pub(crate) fn subscriber_left(&mut self, token: Token) {
        self.events.subscribers.retain(|other| *other != token);
    }

    /// Ends all subscriptions: the server goes down, and they would hold it up.
    pub(crate) fn end_subscriptions<I: Io>(&mut self, cx: &mut Context<'_, I, Message>) {
        for token in std::mem::take(&mut self.events.subscribers) {
            self.close(cx, token);
        }
    }
}

/// The rooms that hear what happens to a stream: the one that is configured for it; else those that
/// everybody is in, unless not everybody may watch it.
fn rooms_of(config: &Config, stream: &str) -> Vec<RoomName> {
    let of_stream = config.streams.iter().find(|it| it.name == stream);
    if let Some(room) = of_stream.and_then(|it| it.events_room.as_deref()) {
        return RoomName::new(room).into_iter().collect();
    }
    let has_token = of_stream.is_some_and(|it| it.watch_token.is_some());
    if has_token || !config.rtc.watch_tokens.is_empty() {
        return Vec::new();
    }
    config.symple.rooms.iter().filter_map(|room| RoomName::new(room)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_not_watch_is_not_told_either() {
        let text = "[[stream]]\nname = \"hall\"\n\
            [[stream]]\nname = \"safe\"\nwatch_token = \"t\"\n\
            [[stream]]\nname = \"door\"\nwatch_token = \"t\"\nevents_room = \"guards\"\n";
        let config = Config::parse("f", text).expect("in order");
        let rooms = |stream| {
            let rooms = rooms_of(&config, stream);
            rooms.iter().map(|room| room.as_str().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(rooms("hall"), ["public"]);
        assert_eq!(rooms("unknown"), ["public"]);
        assert!(rooms("safe").is_empty());
        assert_eq!(rooms("door"), ["guards"]);
        let config = Config::parse("f", "[rtc]\nwatch_tokens = [\"t\"]\n").expect("in order");
        assert!(rooms_of(&config, "hall").is_empty());
    }
}
