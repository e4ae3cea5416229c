//! The service that each shard runs: events of the machine in, operations out.
//!
//! A connection does one thing after the other. While a send is under way nothing is decoded, and
//! what comes in waits; when it is done, all requests that wait are answered in one send. That is
//! what makes pipelining cheap, and it bounds what a connection can hold: one send, and
//! `INPUT_BYTES_MAX` of input, behind which receiving pauses.
//!
//! *Invariant:* a connection's slot is free when the machine has said `Closed`, and not before.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

use protocol_http::Status;
use shards_runtime::{Completion, Context, End, Io, Op, Service, ShardId, Slab, Socket, Token};

use super::answer::Answer;
use super::connection::{Connection, Receiving, Stage, Wait};
use super::files::Files;
use super::limits::{CONNECTIONS_SPARE, INPUT_BYTES_MAX};
use super::output::Output;
use super::site::Site;

/// The acceptor's own token; no connection has that slot.
const ACCEPTOR: Token = Token { slot: u32::MAX, generation: 0 };

/// What every event comes with. The shards have nothing to say to each other.
type Cx<'c, I> = Context<'c, I, Infallible>;

/// One shard's server.
pub struct Server {
    acceptor: Socket,
    connections: Slab<Connection>,
    connections_max: usize,
    site: Site,
    /// Empty between two events: what is written for a connection is sent before the next.
    out: Output,
}

impl Server {
    /// A server for what this listening socket accepts.
    pub fn new(acceptor: Socket, connections_max: usize, files: Arc<Files>) -> Server {
        Server {
            acceptor,
            // Each socket needs a token until it has closed, also one beyond the limits; how many
            // there can be is the machine's own bound.
            connections: Slab::new(u32::MAX as usize),
            connections_max,
            site: Site::new(files),
            out: Output::default(),
        }
    }

    /// Connections that have not closed.
    #[allow(dead_code, reason = "tests ask for it")]
    pub fn connections_count(&self) -> usize {
        self.connections.len()
    }

    fn accepted<I: Io>(&mut self, cx: &mut Cx<'_, I>, socket: Socket) {
        let mut connection = Connection::new(socket, cx.now());
        let before = self.connections.len();
        if before >= self.connections_max && before < self.connections_max + CONNECTIONS_SPARE {
            let full = Answer::refusal(Status::SERVICE_UNAVAILABLE, "too many connections");
            full.write(&self.site, 0, &mut self.out);
            connection.end(false);
        }
        let Ok(token) = self.connections.insert(connection) else {
            unreachable!("there is a slot for every socket");
        };
        if before >= self.connections_max + CONNECTIONS_SPARE {
            return self.close(cx, token);
        }
        cx.submit(token, Op::Recv(socket));
        self.settle(cx, token);
    }

    fn received<I: Io>(&mut self, cx: &mut Cx<'_, I>, token: Token, buffer: &mut [u8]) {
        let Some(connection) = self.connections.get_mut(token) else { return };
        if connection.is_sending || !connection.input.is_empty() {
            connection.input.extend_from_slice(buffer);
            self.work_on_input(token);
        } else {
            // Nearly always: whole requests, read where the kernel put them.
            let used = connection.work(buffer, &self.site, &mut self.out);
            connection.input.extend_from_slice(&buffer[used..]);
        }
        self.settle(cx, token);
    }

    fn receive_ended<I: Io>(&mut self, cx: &mut Cx<'_, I>, token: Token, end: &End) {
        let Some(connection) = self.connections.get_mut(token) else { return };
        connection.receiving = match end {
            End::Paused => Receiving::Paused,
            End::Eof => Receiving::Ended,
            End::Failed(_) => return self.close(cx, token),
        };
        self.settle(cx, token);
    }

    fn sent<I: Io>(&mut self, cx: &mut Cx<'_, I>, token: Token, is_sent: bool) {
        let Some(connection) = self.connections.get_mut(token) else { return };
        connection.is_sending = false;
        if !is_sent {
            return self.close(cx, token);
        }
        self.work_on_input(token);
        self.settle(cx, token);
    }

    /// Goes through what waits, unless a send is under way.
    fn work_on_input(&mut self, token: Token) {
        let Some(connection) = self.connections.get_mut(token) else { return };
        if connection.is_sending || connection.input.is_empty() && connection.rest.is_none() {
            return;
        }
        let mut input = std::mem::take(&mut connection.input);
        let used = connection.work(&mut input, &self.site, &mut self.out);
        // An empty buffer is given back: an idle connection holds none.
        if used < input.len() {
            input.drain(..used);
            connection.input = input;
        }
    }

    /// Ends the handling of an event: sends what was written, or closes what is at its end; keeps
    /// the input within its bound; sets the deadline.
    fn settle<I: Io>(&mut self, cx: &mut Cx<'_, I>, token: Token) {
        let Some(connection) = self.connections.get_mut(token) else { return };
        let socket = connection.socket;
        if matches!(connection.stage, Stage::Closing) {
            return;
        }
        if !self.out.is_empty() {
            connection.is_sending = true;
            cx.submit(token, Op::Send(socket, self.out.take()));
        }
        if !connection.is_sending {
            let lingers = matches!(connection.stage, Stage::Last { lingers: true });
            let is_last = matches!(connection.stage, Stage::Last { .. });
            if is_last && !lingers || connection.receiving == Receiving::Ended {
                return self.close(cx, token);
            }
        }
        let is_over = connection.input.len() > INPUT_BYTES_MAX;
        match connection.receiving {
            Receiving::Yes if is_over => {
                connection.receiving = Receiving::Pausing;
                cx.submit(token, Op::Pause(socket));
            }
            Receiving::Paused if !is_over => {
                connection.receiving = Receiving::Yes;
                cx.submit(token, Op::Recv(socket));
            }
            _ => {}
        }
        connection.set_deadline(cx.now());
        self.arm(cx, token);
    }

    /// One entry of the timer at a time is enough where deadlines only move back.
    fn arm<I: Io>(&mut self, cx: &mut Cx<'_, I>, token: Token) {
        let Some(connection) = self.connections.get_mut(token) else { return };
        if connection.armed.is_none_or(|at| connection.deadline < at) {
            connection.armed = Some(connection.deadline);
            cx.arm(connection.deadline, token);
        }
    }

    fn timed_out<I: Io>(&mut self, cx: &mut Cx<'_, I>, token: Token) {
        let Some(connection) = self.connections.get_mut(token) else { return };
        match (&mut connection.stage, connection.wait) {
            (Stage::Http(http), Wait::Request) => {
                http.time_out(&self.site, &mut self.out);
                connection.end(false);
            }
            (Stage::Echo(echo), Wait::Frame) => {
                if !echo.ask_whether_there(&mut self.out) {
                    connection.end(true);
                }
            }
            _ => return self.close(cx, token),
        }
        self.settle(cx, token);
    }

    fn close<I: Io>(&mut self, cx: &mut Cx<'_, I>, token: Token) {
        let Some(connection) = self.connections.get_mut(token) else { return };
        if matches!(connection.stage, Stage::Closing) {
            return;
        }
        connection.stage = Stage::Closing;
        connection.input = Vec::new();
        cx.submit(token, Op::Close(connection.socket));
    }
}

impl<I: Io> Service<I> for Server {
    type Message = Infallible;

    fn on_start(&mut self, cx: &mut Cx<'_, I>) {
        cx.submit(ACCEPTOR, Op::Accept(self.acceptor));
    }

    fn on_completion(&mut self, cx: &mut Cx<'_, I>, completion: Completion<I::Buffer>) {
        self.site.set_time(cx.wall_clock().as_secs());
        match completion {
            Completion::Accepted { socket, .. } => self.accepted(cx, socket),
            Completion::Received { token, mut buffer } => self.received(cx, token, &mut buffer),
            Completion::Ended { token, end } => self.receive_ended(cx, token, &end),
            Completion::Sent { token, result } => self.sent(cx, token, result.is_ok()),
            Completion::Closed { token } => _ = self.connections.remove(token),
            // The acceptor goes on by itself; the rest was never asked for.
            Completion::AcceptFailed { .. }
            | Completion::ReceivedFrom { .. }
            | Completion::Icmp { .. }
            | Completion::Connected { .. } => {}
        }
        assert!(self.out.is_empty(), "what was written for a connection is sent");
    }

    fn on_message(&mut self, _: &mut Cx<'_, I>, _: ShardId, message: Infallible) {
        match message {}
    }

    fn on_timer(&mut self, cx: &mut Cx<'_, I>, token: Token) {
        let now = cx.now();
        let Some(connection) = self.connections.get_mut(token) else { return };
        connection.armed = connection.armed.filter(|at| now < *at);
        if connection.deadline <= now {
            self.timed_out(cx, token);
        } else {
            self.arm(cx, token);
        }
    }

    fn on_tick_end(&mut self, _: &mut Cx<'_, I>) {}

    fn deadline(&self) -> Option<Instant> {
        None
    }
}
