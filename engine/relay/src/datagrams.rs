//! Datagrams, both ways: what came to a clients' socket or a relayed address, and what the protocol
//! sends.

use std::net::SocketAddr;

use bytes::Bytes;
use protocol_turn::{Client, Family, Input, Payload, To, Transmit, Transport};
use shards_runtime::{Context, Gather, Io, Op, Piece, Socket, Token};

use crate::relay::Relay;
use crate::slot::{self, Slot, outer};

/// Datagrams of one socket that the machine may hold; what comes then is dropped.
const SENDS_IN_FLIGHT_MAX: u32 = 4096;

impl Relay {
    /// One datagram came, or several of a size.
    pub(crate) fn received_from<I: Io, M: Send>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        token: Token,
        peer: SocketAddr,
        mut buffer: I::Buffer,
        segment_size: Option<u16>,
    ) {
        let size = segment_size.map_or(buffer.len(), usize::from).max(1);
        match self.slots.get(token) {
            Some(Slot::Clients(_)) => {
                let socket = slot::number_of(token);
                let client = Client { address: peer, socket, transport: Transport::Udp };
                for bytes in buffer.chunks(size) {
                    self.tally.packets_in_tick += 1;
                    self.turn.handle(cx.now(), Input::FromClient { client, bytes });
                    self.pump(cx, bytes);
                }
            }
            Some(Slot::Relayed(relayed)) => {
                let Some(allocation) = relayed.allocation else { return };
                let mut rest = &mut buffer[..];
                loop {
                    let at = size.min(rest.len());
                    let (buffer, next) = rest.split_at_mut(at);
                    self.tally.packets_in_tick += 1;
                    let input = Input::FromPeer { allocation, peer, buffer, data: 0..at };
                    self.turn.handle(cx.now(), input);
                    self.pump(cx, buffer);
                    if next.is_empty() {
                        break;
                    }
                    rest = next;
                }
            }
            _ => {}
        }
    }

    /// Sends what the protocol wants to be sent.
    pub(crate) fn transmit<I: Io, M: Send>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        transmit: &Transmit,
        input: &[u8],
    ) {
        let bytes = match &transmit.payload {
            Payload::Input(range) => &input[range.clone()],
            Payload::Written(range) => self.turn.written(range.clone()),
        };
        match transmit.to {
            To::Client(client) => {
                let token = slot::token_of(client.socket);
                match self.slots.get_mut(token) {
                    Some(Slot::Clients(socket)) => {
                        send(cx, token, *socket, client.address, bytes);
                    }
                    Some(Slot::Stream(stream)) => {
                        self.tally.stream_drops += u64::from(!stream.say(bytes));
                        stream.mark(token, &mut self.dirty);
                    }
                    _ => {}
                }
            }
            To::Peer { allocation, peer, .. } => {
                let Some(token) = self.relayed_token(allocation, Family::of(&peer)) else { return };
                let bytes = Bytes::copy_from_slice(bytes);
                let Some(Slot::Relayed(relayed)) = self.slots.get_mut(token) else { return };
                if relayed.sends_in_flight >= SENDS_IN_FLIGHT_MAX {
                    self.tally.send_failures += 1;
                    return;
                }
                relayed.sends_in_flight += 1;
                send(cx, token, relayed.socket, peer, &bytes);
            }
        }
    }

    /// A datagram left, or did not.
    pub(crate) fn datagram_sent(&mut self, token: Token, is_sent: bool) {
        self.tally.send_failures += u64::from(!is_sent);
        if let Some(Slot::Relayed(relayed)) = self.slots.get_mut(token) {
            relayed.sends_in_flight -= 1;
        }
    }
}

fn send<I: Io, M: Send>(
    cx: &mut Context<'_, I, M>,
    token: Token,
    socket: Socket,
    to: SocketAddr,
    bytes: &[u8],
) {
    let mut payload = Gather::new();
    payload.push(Piece::Owned(Bytes::copy_from_slice(bytes)));
    cx.submit(outer(token), Op::SendTo { socket, to, payload, segment_size: None });
}
