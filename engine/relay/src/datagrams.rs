//! Datagrams, both ways: what came to a clients' socket or a relayed address, and what the protocol
//! sends.
//!
//! *Invariant:* a payload between a datagram and a datagram is not copied, and no memory is asked
//! for: it leaves from the buffer that it came in, with its head in the room before it.

use std::net::SocketAddr;

use bytes::Bytes;
use protocol_stun::CHANNEL_HEADER_BYTES;
use protocol_turn::{Client, Family, Input, Payload, To, Transmit, Transport};
use shards_runtime::{
    Context, Forward, Gather, HEADROOM_BYTES, Icmp, Io, Op, Piece, ReceiveBuffer, Socket, Token,
};

use crate::relay::Relay;
use crate::slot::{self, Slot, outer};

/// Datagrams of one socket that the machine may hold for clients of streams, which are copied; what
/// comes then is dropped.
const SENDS_IN_FLIGHT_MAX: u32 = 4096;

const _: () = assert!(protocol_turn::HEADROOM_BYTES <= HEADROOM_BYTES);
const _: () = assert!(CHANNEL_HEADER_BYTES <= HEADROOM_BYTES);

/// Where the bytes of the protocol's last input lie.
pub(crate) enum Carrier<'a, B> {
    /// In memory that somebody else needs again.
    Bytes(&'a [u8]),
    /// In a received buffer, which may be sent on; the input began so many bytes into it.
    Buffer(Option<B>, usize),
}

impl Relay {
    /// One datagram came, or several of a size.
    pub(crate) fn received_from<I: Io, M: Send>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        token: Token,
        peer: SocketAddr,
        buffer: I::Buffer,
        segment_size: Option<u16>,
    ) {
        match self.slots.get(token) {
            Some(Slot::Clients(_)) => {
                let socket = slot::number_of(token);
                let client = Client { address: peer, socket, transport: Transport::Udp };
                buffer.segments(segment_size, 0, |mut datagram| {
                    self.tally.packets_in_tick += 1;
                    let (room, data) = datagram.with_room();
                    let (start, bytes) = (data.start, &room[data]);
                    self.turn.handle(cx.now(), Input::FromClient { client, bytes });
                    self.pump(cx, Carrier::Buffer(Some(datagram), start));
                });
            }
            Some(Slot::Relayed(relayed)) => {
                let Some(allocation) = relayed.allocation else { return };
                // A channel's head is short; only a Data indication in a run is copied.
                let room = if segment_size.is_some() { CHANNEL_HEADER_BYTES } else { 0 };
                buffer.segments(segment_size, room, |mut datagram| {
                    self.tally.packets_in_tick += 1;
                    let (buffer, data) = datagram.with_room();
                    let input = Input::FromPeer { allocation, peer, buffer, data };
                    self.turn.handle(cx.now(), input);
                    self.pump(cx, Carrier::Buffer(Some(datagram), 0));
                });
            }
            _ => {}
        }
    }

    /// The network said something about a datagram to a peer.
    pub(crate) fn network_said<I: Io, M: Send>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        token: Token,
        peer: SocketAddr,
        icmp: Icmp,
    ) {
        let Some(Slot::Relayed(relayed)) = self.slots.get(token) else { return };
        let Some(allocation) = relayed.allocation else { return };
        let Icmp { kind, code, data } = icmp;
        let icmp = protocol_turn::Icmp { kind, code, data };
        self.tell(cx, Input::Icmp { allocation, peer, icmp });
    }

    /// Sends what the protocol wants to be sent.
    pub(crate) fn transmit<I: Io, M: Send>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        transmit: &Transmit,
        carrier: &mut Carrier<'_, I::Buffer>,
    ) {
        let (token, to, dont_fragment) = match transmit.to {
            To::Client(client) => (slot::token_of(client.socket), client.address, false),
            To::Peer { allocation, peer, dont_fragment } => {
                let token = self.relayed_token(allocation, Family::of(&peer));
                let Some(token) = token else { return };
                (token, peer, dont_fragment)
            }
        };
        let (socket, mut sends_in_flight) = match self.slots.get_mut(token) {
            Some(Slot::Clients(socket)) => (*socket, None),
            Some(Slot::Relayed(relayed)) => (relayed.socket, Some(&mut relayed.sends_in_flight)),
            Some(Slot::Stream(stream)) => {
                let is_said = match (&transmit.payload, carrier) {
                    (Payload::Written(range), _) => stream.say(self.turn.written(range.clone())),
                    (Payload::Input(range), Carrier::Bytes(bytes)) => {
                        stream.say(&bytes[range.clone()])
                    }
                    (Payload::Input(range), Carrier::Buffer(buffer, start)) => {
                        let Some(buffer) = buffer else { return };
                        let (room, _) = buffer.with_room();
                        stream.say(&room[range.start + *start..range.end + *start])
                    }
                };
                self.tally.stream_drops += u64::from(!is_said);
                return stream.mark(token, &mut self.dirty);
            }
            _ => return,
        };
        let bytes = match (&transmit.payload, carrier) {
            (Payload::Input(range), Carrier::Buffer(buffer, start)) => {
                let Some(mut buffer) = buffer.take() else { return };
                buffer.set_data(range.start + *start..range.end + *start);
                return cx.io().forward(Forward { socket, to, buffer, dont_fragment });
            }
            (Payload::Input(range), Carrier::Bytes(bytes)) => &bytes[range.clone()],
            (Payload::Written(range), _) => self.turn.written(range.clone()),
        };
        if let Some(count) = &mut sends_in_flight {
            if **count >= SENDS_IN_FLIGHT_MAX {
                self.tally.send_failures += 1;
                return;
            }
            **count += 1;
        }
        send(cx, token, socket, to, bytes);
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
