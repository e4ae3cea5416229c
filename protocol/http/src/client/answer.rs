//! What a connection's bytes, its end and the passing of time mean for the exchange on it.
//!
//! Invariant: a connection is out of the table while it is looked at, and comes back only if it is
//! of further use.

use std::time::Instant;

use super::Client;
use super::connection::{Connection, ConnectionId, Said, State};
use super::event::Output;
use super::exchange::{ClientError, ExchangeId, Response, Wait};
use super::redirect::{self, Redirect};
use crate::body::BodyKind;

impl Client {
    pub(super) fn received(&mut self, now: Instant, id: ConnectionId, bytes: &[u8]) {
        let Some(mut connection) = self.connections.remove(&id) else { return };
        let is_kept = match connection.state {
            State::Idle => {
                self.counters.surplus_answers += 1;
                false
            }
            // Bytes before `Connected`: a driver's mistake, and no answer to anything.
            State::Connecting(exchange) => {
                self.fail(exchange, ClientError::ConnectFailed);
                false
            }
            State::Busy(_) | State::Draining(_) => {
                connection.push(bytes);
                self.read(now, &mut connection)
            }
        };
        if is_kept {
            self.connections.insert(id, connection);
        } else {
            self.drop_connection(id);
        }
    }

    /// Hands out what a connection's bytes say. False when it is of no more use.
    fn read(&mut self, now: Instant, connection: &mut Connection) -> bool {
        loop {
            match (connection.next(self.settings.interim_count_max), connection.state) {
                (Said::Need, _) => {
                    // A head that dribbles in does not get more time; a body does.
                    if connection.has_head {
                        connection.deadline = now.checked_add(self.settings.body_idle);
                    }
                    return true;
                }
                (Said::Malformed(reason), State::Busy(exchange)) => {
                    self.fail(exchange, ClientError::Malformed(reason));
                    return false;
                }
                (Said::Head(response), State::Busy(exchange)) => {
                    if !self.head(connection, exchange, response) {
                        return false;
                    }
                }
                (Said::Body(bytes), State::Busy(exchange)) => {
                    self.outputs.push_back(Output::Body { exchange, bytes });
                }
                (Said::Body(bytes), State::Draining(left)) => {
                    let Some(left) = left.checked_sub(bytes.len() as u64) else { return false };
                    connection.state = State::Draining(left);
                }
                (Said::End, _) => return self.complete(now, connection),
                _ => return false,
            }
        }
    }

    /// A final head came. False when its connection is of no more use.
    fn head(&mut self, connection: &mut Connection, id: ExchangeId, response: Response) -> bool {
        let Some(exchange) = self.exchanges.get_mut(&id) else { return false };
        let redirect = match self.settings.redirects_max {
            0 => Redirect::No,
            _ => redirect::follow(&mut exchange.request, &response),
        };
        match redirect {
            Redirect::No => {
                let limit = exchange.request.body_bytes_max;
                let limit = limit.unwrap_or(self.settings.limits.body_bytes_max);
                connection.decoder.set_body_bytes_max(limit);
                self.outputs.push_back(Output::Head { exchange: id, response });
                true
            }
            Redirect::Refused(reason) => {
                self.fail(id, ClientError::RedirectRefused(reason));
                false
            }
            Redirect::Follow if exchange.redirects_count >= self.settings.redirects_max => {
                self.fail(id, ClientError::TooManyRedirects);
                false
            }
            Redirect::Follow => {
                exchange.redirects_count += 1;
                exchange.connection = None;
                let url = exchange.request.url.clone();
                self.counters.redirects_followed += 1;
                self.outputs.push_back(Output::Redirected { exchange: id, url });
                self.waiting.push_front(id);
                self.has_news = true;
                let drain_bytes_max = self.settings.drain_bytes_max;
                connection.state = State::Draining(drain_bytes_max);
                connection.decoder.set_body_bytes_max(drain_bytes_max);
                let is_short = match response.body {
                    BodyKind::None | BodyKind::Chunked => true,
                    BodyKind::Length(length_bytes) => length_bytes <= drain_bytes_max,
                    BodyKind::UntilClose => false,
                };
                is_short && connection.keep_alive && connection.is_request_whole
            }
        }
    }

    /// An answer is complete. Whether its connection can be used again.
    fn complete(&mut self, now: Instant, connection: &mut Connection) -> bool {
        if let State::Busy(exchange) = connection.state {
            self.exchanges.remove(&exchange);
            self.outputs.push_back(Output::End { exchange });
        }
        if connection.has_surplus() {
            self.counters.surplus_answers += 1;
            return false;
        }
        let requests_max = self.settings.requests_per_connection_max;
        let is_reusable = connection.keep_alive
            && connection.is_request_whole
            && connection.unsent.is_empty()
            && (requests_max == 0 || connection.requests_count < requests_max);
        if is_reusable {
            connection.drop_input();
            connection.state = State::Idle;
            connection.deadline = now.checked_add(self.settings.idle);
            self.has_news = true;
        }
        is_reusable
    }

    /// A connection ended by itself.
    pub(super) fn lost(&mut self, id: ConnectionId, is_proper_end: bool) {
        let Some(mut connection) = self.connections.remove(&id) else { return };
        if is_proper_end {
            self.drop_connection(id);
        }
        self.has_news = true;
        let exchange_id = match connection.state {
            State::Idle | State::Draining(_) => return,
            State::Connecting(exchange) => return self.fail(exchange, ClientError::ConnectFailed),
            State::Busy(exchange) => exchange,
        };
        if is_proper_end && connection.has_head && connection.decoder.finish().is_ok() {
            self.exchanges.remove(&exchange_id);
            return self.outputs.push_back(Output::End { exchange: exchange_id });
        }
        if connection.has_received {
            return self.fail(exchange_id, ClientError::CutOff);
        }
        let Some(exchange) = self.exchanges.get_mut(&exchange_id) else { return };
        // A new connection that ends so has a reason; a kept one may just have been too old.
        let is_stale = connection.requests_count > 1;
        if is_stale && exchange.request.is_idempotent() && exchange.request.is_repeatable() {
            exchange.connection = None;
            exchange.needs_new_connection = true;
            self.counters.requests_repeated += 1;
            return self.waiting.push_front(exchange_id);
        }
        self.fail(exchange_id, ClientError::Unanswered);
    }

    pub(super) fn time_out(&mut self, now: Instant) {
        let is_over = |deadline: Option<Instant>| deadline.is_some_and(|deadline| deadline <= now);
        let exchanges = self.exchanges.iter().filter(|(_, exchange)| is_over(exchange.deadline));
        for (id, connection) in exchanges.map(|(id, one)| (*id, one.connection)).collect::<Vec<_>>()
        {
            if let Some(connection) = connection
                && self.connections.remove(&connection).is_some()
            {
                self.drop_connection(connection);
            }
            self.fail(id, ClientError::TimedOut(Wait::Total));
        }
        let connections = self.connections.iter().filter(|(_, one)| is_over(one.deadline));
        for id in connections.map(|(id, _)| *id).collect::<Vec<_>>() {
            let Some(connection) = self.connections.remove(&id) else { continue };
            self.drop_connection(id);
            let wait = match connection.state {
                State::Connecting(_) => Wait::Connect,
                _ if connection.has_head => Wait::Body,
                _ if connection.is_sending => Wait::Send,
                _ => Wait::Head,
            };
            if let Some(exchange) = connection.exchange() {
                self.fail(exchange, ClientError::TimedOut(wait));
            }
        }
    }
}
