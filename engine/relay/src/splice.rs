//! TCP with peers (RFC 6062): connections made from a relayed address or taken there, and the pairs
//! whose bytes pass as they are.
//!
//! *Invariant:* of a pair whose one end takes no more, the other is not read: nothing is dropped,
//! and what waits is bounded by `JOINED_BYTES_MAX` and one read.

use std::net::SocketAddr;

use protocol_turn::{AllocationId, Client, ConnectionId, Family, Input};
use shards_runtime::{Context, Io, Op, Socket, Token};

use crate::relay::Relay;
use crate::slot::{self, Slot, outer};
use crate::stream::{JOINED_BYTES_MAX, Receiving, Role, Stream};

impl Relay {
    /// Connects to a peer from an allocation's address; false where there is no room for one more.
    pub(crate) fn connect<I: Io, M: Send>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        allocation: AllocationId,
        connection: ConnectionId,
        peer: SocketAddr,
    ) -> bool {
        let role = Role::Peer { connection: Some(connection), client: None };
        let stream = Stream::new(None, peer, role, cx.now());
        let token = self.insert(Slot::Stream(Box::new(stream)));
        if !self.count_peer(token) {
            self.tally.streams_refused += 1;
            self.slots.remove(token);
            return false;
        }
        self.connections.insert(connection, token);
        let relayed = self.relayed_token(allocation, Family::of(&peer));
        let Some(Slot::Relayed(relayed)) = relayed.and_then(|token| self.slots.get(token)) else {
            unreachable!("the protocol connects from addresses that were opened")
        };
        let local = self.settings.externals[relayed.external].local;
        let from = SocketAddr::new(local, relayed.port.number);
        cx.submit(outer(token), Op::ConnectFrom { from, to: peer });
        true
    }

    /// A connection to a peer was made, or not.
    pub(crate) fn peer_answered<I: Io, M: Send>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        token: Token,
        socket: Option<Socket>,
    ) {
        let stream = match (self.slots.get_mut(token), socket) {
            (Some(Slot::Stream(stream)), _) => stream,
            // Given up meanwhile: nothing was opened, or it is closed again.
            (Some(_), None) => {
                self.slots.remove(token);
                return;
            }
            (Some(_), Some(socket)) => return cx.submit(outer(token), Op::Close(socket)),
            (None, _) => return,
        };
        stream.socket = socket;
        stream.alive_at = cx.now();
        let Role::Peer { connection: Some(connection), .. } = stream.role else { return };
        if socket.is_none() {
            self.connections.remove(&connection);
            self.slots.remove(token);
            self.tally.peer_stream_count -= 1;
        }
        self.tell(cx, Input::Connected { connection, is_connected: socket.is_some() });
    }

    /// A peer's connection may stay.
    pub(crate) fn keep(&mut self, handle: u64, connection: ConnectionId) {
        let token = slot::token_of(handle);
        if let Some(Slot::Stream(stream)) = self.slots.get_mut(token) {
            stream.role = Role::Peer { connection: Some(connection), client: None };
            self.connections.insert(connection, token);
        }
    }

    /// Ties a client's stream to a peer's connection.
    pub(crate) fn join<I: Io, M: Send>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        connection: ConnectionId,
        client: &Client,
    ) {
        let Some(peer_token) = self.connections.get(&connection).copied() else { return };
        let client_token = slot::token_of(client.socket);
        let Some(Slot::Stream(stream)) = self.slots.get_mut(client_token) else { return };
        stream.role = Role::Data { connection, peer: peer_token };
        let Some(Slot::Stream(peer)) = self.slots.get_mut(peer_token) else { return };
        peer.role = Role::Peer { connection: Some(connection), client: Some(client_token) };
        self.receive(cx, peer_token);
    }

    /// The protocol is done with a connection: both its ends are closed, when what they have yet to
    /// send is sent.
    pub(crate) fn disconnect<I: Io, M: Send>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        connection: ConnectionId,
    ) {
        let Some(token) = self.connections.remove(&connection) else { return };
        let Some(Slot::Stream(peer)) = self.slots.get_mut(token) else { return };
        let Role::Peer { client, .. } = peer.role else { return };
        peer.role = Role::Ending;
        if peer.socket.is_none() {
            return self.close(cx, token);
        }
        self.finish(cx, token);
        if let Some(client) = client {
            self.finish(cx, client);
        }
    }

    /// Bytes of one end of a pair go to the other.
    pub(crate) fn splice<I: Io, M: Send>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        connection: ConnectionId,
        (from, to): (Token, Token),
        bytes: &[u8],
    ) {
        let now = cx.now();
        let Some(Slot::Stream(stream)) = self.slots.get_mut(to) else { return };
        stream.output.extend_from_slice(bytes);
        stream.mark(to, &mut self.dirty);
        let is_full = stream.output.len() > JOINED_BYTES_MAX;
        let is_to_client = matches!(stream.role, Role::Data { .. });
        self.tally.packets_in_tick += 1;
        let (to_peer, to_client) = if is_to_client { (0, bytes.len()) } else { (bytes.len(), 0) };
        let held_until = self.turn.spliced(now, connection, to_peer, to_client);
        let Some(Slot::Stream(stream)) = self.slots.get_mut(from) else { return };
        stream.alive_at = now;
        if let Some(until) = held_until {
            stream.held_until = Some(until);
            cx.arm(until, outer(from));
        }
        if (is_full || held_until.is_some()) && stream.receiving == Receiving::Yes {
            stream.receiving = Receiving::Pausing;
            if let Some(socket) = stream.socket {
                cx.submit(outer(from), Op::Pause(socket));
            }
        }
    }

    /// Reads one end of a pair again, if the other takes more and no limit holds it.
    pub(crate) fn resume<I: Io, M: Send>(&mut self, cx: &mut Context<'_, I, M>, token: Token) {
        let Some(Slot::Stream(stream)) = self.slots.get(token) else { return };
        let other = match stream.role {
            Role::Data { peer, .. } => Some(peer),
            Role::Peer { client, .. } => client,
            Role::Client | Role::Ending => None,
        };
        let Some(other) = other else { return };
        let is_held = stream.held_until.is_some_and(|until| cx.now() < until);
        let has_room = match self.slots.get(other) {
            Some(Slot::Stream(other)) => other.output.len() <= JOINED_BYTES_MAX / 2,
            _ => false,
        };
        if has_room && !is_held {
            self.receive(cx, token);
        }
    }

    /// Closes a stream when all that waits for it is sent; what it says is not read any more.
    pub(crate) fn finish<I: Io, M: Send>(&mut self, cx: &mut Context<'_, I, M>, token: Token) {
        let Some(Slot::Stream(stream)) = self.slots.get_mut(token) else { return };
        // Nothing is spliced to or from it, and its end tells nobody.
        stream.role = Role::Ending;
        stream.ends_after_output = true;
        stream.mark(token, &mut self.dirty);
        if stream.receiving == Receiving::Yes {
            stream.receiving = Receiving::Pausing;
            if let Some(socket) = stream.socket {
                cx.submit(outer(token), Op::Pause(socket));
            }
        }
    }
}
