//! Connections for those who wait: kept ones first, new ones within the bounds, and requests onto
//! them.

use std::time::Instant;

use super::Client;
use super::connection::{Connection, ConnectionId, State};
use super::event::Output;
use super::exchange::ExchangeId;
use super::request::RequestBody;
use super::url::Origin;
use crate::method::Method;

impl Client {
    /// Gives connections to those who wait, in their order; who has to wait longer holds up nobody
    /// who asks for another origin.
    pub(super) fn assign(&mut self, now: Instant) {
        if !std::mem::take(&mut self.has_news) {
            return;
        }
        let mut index = 0;
        while let Some(exchange_id) = self.waiting.get(index).copied() {
            let Some(exchange) = self.exchanges.get(&exchange_id) else {
                self.waiting.remove(index);
                continue;
            };
            let origin = exchange.request.url.origin.clone();
            let to_origin = || self.connections.iter().filter(|(_, one)| one.origin == origin);
            let idle = to_origin().filter(|(_, one)| one.is_idle());
            // The one used last is the least likely to be stale.
            let idle = idle.max_by_key(|(_, one)| one.deadline).map(|(id, _)| *id);
            let is_full = to_origin().count() >= self.settings.connections_per_origin_max;
            match idle {
                Some(id) if !exchange.needs_new_connection => {
                    self.waiting.remove(index);
                    self.reuse(now, id, exchange_id);
                    continue;
                }
                Some(id) if is_full => {
                    self.connections.remove(&id);
                    self.drop_connection(id);
                }
                None if is_full => {
                    index += 1;
                    continue;
                }
                _ => {}
            }
            if !self.make_room() {
                index += 1;
                continue;
            }
            self.waiting.remove(index);
            self.connect(now, origin, exchange_id);
        }
    }

    fn reuse(&mut self, now: Instant, id: ConnectionId, exchange: ExchangeId) {
        let Some(mut connection) = self.connections.remove(&id) else { return };
        self.counters.connections_reused += 1;
        self.start(now, id, &mut connection, exchange);
        self.connections.insert(id, connection);
    }

    fn connect(&mut self, now: Instant, origin: Origin, exchange_id: ExchangeId) {
        let id = ConnectionId(self.next_number());
        let mut connection = Connection::new(origin, exchange_id, &self.settings.limits);
        connection.deadline = now.checked_add(self.settings.connect);
        let origin = connection.origin.clone();
        self.counters.connections_begun += 1;
        self.outputs.push_back(Output::Connect { connection: id, origin });
        self.connections.insert(id, connection);
        if let Some(exchange) = self.exchanges.get_mut(&exchange_id) {
            exchange.connection = Some(id);
        }
    }

    /// Whether there may be one more connection; the oldest idle one is closed for it.
    fn make_room(&mut self) -> bool {
        if self.connections.len() < self.settings.connections_max {
            return true;
        }
        let idle = self.connections.iter().filter(|(_, connection)| connection.is_idle());
        let oldest = idle.min_by_key(|(_, connection)| connection.deadline).map(|(id, _)| *id);
        oldest.is_some_and(|id| {
            self.connections.remove(&id);
            self.drop_connection(id);
            true
        })
    }

    pub(super) fn connected(&mut self, now: Instant, id: ConnectionId) {
        let Some(mut connection) = self.connections.remove(&id) else { return };
        if let State::Connecting(exchange) = connection.state {
            self.start(now, id, &mut connection, exchange);
        }
        self.connections.insert(id, connection);
    }

    /// Puts a request onto a connection that is made.
    fn start(
        &mut self,
        now: Instant,
        id: ConnectionId,
        connection: &mut Connection,
        exchange_id: ExchangeId,
    ) {
        let Some(exchange) = self.exchanges.get_mut(&exchange_id) else { return };
        exchange.connection = Some(id);
        exchange.needs_new_connection = false;
        let request = &exchange.request;
        connection.begin(exchange_id);
        connection.decoder.request_sent(if request.is_head() { Method::Head } else { Method::Get });
        request.write_head(&mut connection.unsent);
        connection.body_left_bytes = 0;
        connection.is_request_whole = true;
        match &request.body {
            RequestBody::None => {}
            RequestBody::Whole(body) => connection.unsent.extend_from_slice(body),
            RequestBody::Length(length_bytes) => {
                connection.body_left_bytes = *length_bytes;
                connection.is_request_whole = *length_bytes == 0;
            }
            RequestBody::Chunked => connection.is_request_whole = false,
        }
        connection.has_asked = !connection.is_request_whole;
        if connection.has_asked {
            self.outputs.push_back(Output::BodyWanted { exchange: exchange_id });
        }
        self.flush(now, id, connection);
    }

    pub(super) fn sent(&mut self, now: Instant, id: ConnectionId) {
        let Some(mut connection) = self.connections.remove(&id) else { return };
        connection.is_sending = false;
        if let State::Busy(exchange) = connection.state {
            let has_room = connection.unsent.is_empty() && !connection.is_request_whole;
            if has_room && !std::mem::replace(&mut connection.has_asked, true) {
                self.outputs.push_back(Output::BodyWanted { exchange });
            }
            self.flush(now, id, &mut connection);
        }
        self.connections.insert(id, connection);
    }

    /// Sends what waits, unless a send is under way, and sets the deadline of a busy connection.
    pub(super) fn flush(&mut self, now: Instant, id: ConnectionId, connection: &mut Connection) {
        if !connection.is_sending && !connection.unsent.is_empty() {
            let bytes = std::mem::take(&mut connection.unsent);
            connection.is_sending = true;
            self.outputs.push_back(Output::Send { connection: id, bytes });
        }
        let wait = if connection.has_head || connection.is_sending {
            Some(self.settings.body_idle)
        } else {
            connection.is_request_whole.then_some(self.settings.head)
        };
        connection.deadline = wait.and_then(|wait| now.checked_add(wait));
    }
}
