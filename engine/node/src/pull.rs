//! A pull: a connection to an upstream server whose stream becomes a source of ours.
//!
//! Control resolves names, chooses upstreams, waits between attempts and follows redirects; a shard
//! makes one attempt and says how it ended.

use std::io;

use protocol_http::{ResponseDecoder, Step};
use protocol_icy::{PullAnswer, pull_request};
use shards_runtime::{Context, Io, Op, Socket, Token};

use crate::connection::{Connection, State};
use crate::message::{Message, PullFailure, PullOrder, StreamOffer};
use crate::node::Node;
use crate::snapshot::MountId;
use crate::source::{Body, Offer};

/// A pull that is not a source yet.
pub(crate) struct Pull {
    order: PullOrder,
    decoder: ResponseDecoder,
}

impl Node {
    /// Begins one attempt.
    pub(crate) fn start_pull<I: Io>(&mut self, cx: &mut Context<'_, I, Message>, order: PullOrder) {
        let address = order.address;
        let (mount, number, timeout) = (order.mount, order.order, order.timeout);
        let decoder = ResponseDecoder::new(self.http_limits());
        let state = State::Pull(Box::new(Pull { order, decoder }));
        let connection = Connection::new(address, cx.now(), state);
        let Some(token) = self.seat(connection) else {
            let failure = Box::new(PullFailure::Refused);
            let failed = Message::PullFailed { mount, order: number, failure };
            cx.send_surely(cx.control(), failed);
            return;
        };
        self.pulls.insert(mount, token);
        let connection = self.connections.get_mut(token).expect("just made");
        connection.deadline = Some(cx.now() + timeout);
        self.arm(cx, token);
        cx.submit(token, Op::Connect(address));
    }

    /// The attempt's connection is made, or not.
    pub(crate) fn pull_connected<I: Io>(
        &mut self,
        cx: &mut Context<'_, I, Message>,
        token: Token,
        result: io::Result<Socket>,
    ) {
        let connection = self.connections.get_mut(token).expect("a connecting slot is kept");
        match (result, &mut connection.state) {
            (Ok(socket), State::Pull(pull)) => {
                connection.socket = Some(socket);
                let request = pull_request(&protocol_icy::PullRequest {
                    path: &pull.order.path,
                    host: &pull.order.host,
                    agent: &self.snapshot.config.server.server_id,
                    titles: pull.order.titles,
                    credentials: pull.order.credentials.as_ref(),
                    via: &self.snapshot.config.server.node_id,
                });
                self.receive(cx, token);
                self.answer_bytes(cx, token, request.into());
            }
            (Err(error), State::Pull(_)) => {
                // There is no socket to close: the slot is free as soon as the failure is told.
                let failure = PullFailure::Unreachable(error.to_string());
                self.tell_pull_failed(cx, token, failure);
                self.change_state(cx, token, State::Closing);
                drop(self.unseat(token));
            }
            // It was given up while connecting.
            (Ok(socket), _) => {
                connection.socket = Some(socket);
                cx.submit(token, Op::Close(socket));
            }
            (Err(_), _) => {
                drop(self.unseat(token));
            }
        }
    }

    /// More of upstream's head came in.
    pub(crate) fn pull_input<I: Io>(&mut self, cx: &mut Context<'_, I, Message>, token: Token) {
        let Some(connection) = self.connections.get_mut(token) else { return };
        let Connection { state: State::Pull(pull), input, .. } = connection else { return };
        let (answer, used) = match pull.decoder.decode(input) {
            Ok(Step::Head { head, used }) => {
                (PullAnswer::from_head(head.status, head.headers.iter()), used)
            }
            Ok(Step::Need) => return,
            Ok(_) => unreachable!("a head comes first"),
            Err(refused) => {
                let failure = PullFailure::Malformed(refused.reason.to_owned());
                self.give_up_pull(cx, token, failure);
                return;
            }
        };
        input.drain(..used);
        let node_id = &self.snapshot.config.server.node_id;
        let failure = if answer.passed(node_id) || answer.status == 508 {
            Some(PullFailure::Loop)
        } else if let (300..=399, Some(location)) = (answer.status, &answer.location) {
            Some(PullFailure::Redirected(location.clone()))
        } else if answer.status != 200 {
            Some(PullFailure::Status(answer.status))
        } else {
            None
        };
        if let Some(failure) = failure {
            self.give_up_pull(cx, token, failure);
            return;
        }
        let Some(connection) = self.connections.get_mut(token) else { return };
        let State::Pull(pull) = std::mem::replace(&mut connection.state, State::Answering) else {
            return;
        };
        let offer = Offer {
            mount: pull.order.mount_name.clone(),
            stream: StreamOffer {
                content_type: answer.content_type.unwrap_or_else(|| "audio/mpeg".to_owned()),
                info: answer.info,
                peer: pull.order.address,
                agent: None,
                is_v1: false,
            },
            body: Body::Answer(Box::new(pull.decoder)),
            metaint_in: answer.metaint.filter(|_| pull.order.titles),
            welcome: Vec::new(),
            pull_order: Some(pull.order.order),
        };
        self.claim(cx, token, offer);
    }

    /// An attempt failed before it was a source.
    pub(crate) fn pull_failed<I: Io>(
        &mut self,
        cx: &mut Context<'_, I, Message>,
        token: Token,
        why: &str,
    ) {
        self.give_up_pull(cx, token, PullFailure::Unreachable(why.to_owned()));
    }

    fn give_up_pull<I: Io>(
        &mut self,
        cx: &mut Context<'_, I, Message>,
        token: Token,
        failure: PullFailure,
    ) {
        self.tell_pull_failed(cx, token, failure);
        self.close(cx, token);
    }

    fn tell_pull_failed<I: Io>(
        &mut self,
        cx: &mut Context<'_, I, Message>,
        token: Token,
        failure: PullFailure,
    ) {
        let Some(connection) = self.connections.get(token) else { return };
        let State::Pull(pull) = &connection.state else { return };
        let failed = Message::PullFailed {
            mount: pull.order.mount,
            order: pull.order.order,
            failure: Box::new(failure),
        };
        cx.send_surely(cx.control(), failed);
    }

    /// A pull ended while it waited for its mount.
    pub(crate) fn abandon_pull<I: Io>(
        &mut self,
        cx: &mut Context<'_, I, Message>,
        token: Token,
        mount: &str,
        order: u32,
    ) {
        let Some(mount) = self.snapshot.find(mount).map(|entry| entry.id) else { return };
        if self.pulls.get(&mount) == Some(&token) {
            self.pulls.remove(&mount);
        }
        let failure = Box::new(PullFailure::Unreachable("it ended too soon".to_owned()));
        cx.send_surely(cx.control(), Message::PullFailed { mount, order, failure });
    }

    /// Control did not give a pull its mount.
    pub(crate) fn refuse_pull<I: Io>(
        &mut self,
        cx: &mut Context<'_, I, Message>,
        token: Token,
        mount: &str,
        order: u32,
        failure: PullFailure,
    ) {
        if let Some(entry) = self.snapshot.find(mount) {
            let mount = entry.id;
            // A late refusal is not for the attempt that has followed.
            if self.pulls.get(&mount) == Some(&token) {
                self.pulls.remove(&mount);
            }
            let failed = Message::PullFailed { mount, order, failure: Box::new(failure) };
            cx.send_surely(cx.control(), failed);
        }
        self.close(cx, token);
    }

    /// Ends the pull of a mount, whatever it is doing.
    pub(crate) fn stop_pull<I: Io>(&mut self, cx: &mut Context<'_, I, Message>, mount: MountId) {
        if let Some(token) = self.pulls.remove(&mount) {
            self.close(cx, token);
        }
    }

    /// A pull's connection is something else from now on.
    pub(crate) fn end_pull(&mut self, token: Token, pull: &Pull) {
        if self.pulls.get(&pull.order.mount) == Some(&token) {
            self.pulls.remove(&pull.order.mount);
        }
    }
}
