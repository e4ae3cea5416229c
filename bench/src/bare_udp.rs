//! The limit of a relay: a bare ring that receives a datagram and sends it on, with the sockets of
//! a TURN relay (one for all clients, one for each allocation) and no protocol at all.
//!
//! A client's first datagram asks ([`HELLO`] and the peer's address); the answer is the address of
//! a fresh socket. From then on what the client sends goes to the peer from there, and what comes
//! there goes to the client, as it is.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::net::{IpAddr, SocketAddr};

use anyhow::{Result, bail};
use bytes::Bytes;
use shards_ring::{Buffer, RingConfig, RingGroup, UringIo};
use shards_runtime::{
    BindOptions, Completion, Forward, Gather, Io, Op, Piece, ReceiveBuffer, ShardId, Socket, Token,
    pin,
};

use crate::args::Args;

/// What a first datagram begins with; a v4 address and a port follow.
pub(crate) const HELLO: &[u8; 4] = b"HELO";
/// The token of the clients' socket; allocations count from 0.
const CLIENTS: Token = Token { slot: u32::MAX, generation: 0 };
/// As a TURN server's: so many bytes may wait for a relay that is busy.
pub(crate) const QUEUE_BYTES: u32 = 4 << 20;

struct Flow {
    socket: Socket,
    client: SocketAddr,
    peer: SocketAddr,
}

struct BareUdp {
    io: UringIo,
    clients: Socket,
    /// Where it listens, and lends.
    ip: IpAddr,
    flows: Vec<Flow>,
    by_client: HashMap<SocketAddr, u32, BuildHasherDefault<Mix>>,
}

/// `bench bare-udp`: forwards until it is ended.
pub(crate) fn command(mut args: Args) -> Result<()> {
    let address: SocketAddr = args.required("address")?;
    let core = args.optional("core")?;
    let buffers: u16 = args.value("buffers", 1_024)?;
    let joined = args.switch("gro")?;
    let gather_us = args.value("gather-us", RingConfig::default().gather_us)?;
    args.finish()?;
    pin(core)?;
    let config = RingConfig {
        datagram_buffers_count: buffers,
        udp_gro: joined,
        gather_us,
        ..RingConfig::default()
    };
    let mut io = RingGroup::new(2)?.open(ShardId(0), config)?;
    let (clients, _) = io.bind(address, options())?;
    io.submit(CLIENTS, Op::RecvFrom(clients));
    let ip = address.ip();
    let mut bare = BareUdp { io, clients, ip, flows: Vec::new(), by_client: HashMap::default() };
    let mut completions = Vec::new();
    loop {
        bare.io.flush();
        bare.io.wait(None, &mut completions);
        for completion in completions.drain(..) {
            bare.on_completion(completion)?;
        }
    }
}

fn options() -> BindOptions {
    BindOptions {
        receive_queue_bytes: QUEUE_BYTES,
        send_queue_bytes: QUEUE_BYTES,
        ..BindOptions::default()
    }
}

impl BareUdp {
    fn on_completion(&mut self, completion: Completion<Buffer>) -> Result<()> {
        match completion {
            Completion::ReceivedFrom { token, peer, buffer, segment_size } => {
                let to = if token == CLIENTS {
                    match self.by_client.get(&peer) {
                        Some(&flow) => {
                            let Flow { socket, peer, .. } = self.flows[flow as usize];
                            (socket, peer)
                        }
                        None => return self.on_hello(peer, &buffer),
                    }
                } else {
                    (self.clients, self.flows[token.slot as usize].client)
                };
                let (socket, to) = to;
                let io = &mut self.io;
                buffer.segments(segment_size, 0, |buffer| {
                    io.forward(Forward { socket, to, buffer, dont_fragment: false });
                });
            }
            Completion::Sent { result, .. } => {
                result?;
            }
            Completion::Ended { end, .. } => bail!("a socket ended: {end:?}"),
            _ => {}
        }
        Ok(())
    }

    fn on_hello(&mut self, client: SocketAddr, bytes: &[u8]) -> Result<()> {
        let Some(&[a, b, c, d, high, low]) = bytes.strip_prefix(HELLO) else { return Ok(()) };
        let peer = SocketAddr::from(([a, b, c, d], u16::from_be_bytes([high, low])));
        let (socket, relay) = self.io.bind(SocketAddr::new(self.ip, 0), options())?;
        let token = Token { slot: self.flows.len() as u32, generation: 0 };
        self.by_client.insert(client, token.slot);
        self.flows.push(Flow { socket, client, peer });
        self.io.submit(token, Op::RecvFrom(socket));
        let answer = Bytes::copy_from_slice(&relay.port().to_be_bytes());
        let payload = Gather::from_iter([Piece::Owned(answer)]);
        let socket = self.clients;
        self.io.submit(CLIENTS, Op::SendTo { socket, to: client, payload, segment_size: None });
        Ok(())
    }
}

/// As cheap as finding an address can be: the limit shall not pay for a strong hash.
#[derive(Default)]
struct Mix(u64);

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write_u32(&mut self, word: u32) {
        self.write_u64(word.into());
    }

    fn write_u16(&mut self, word: u16) {
        self.write_u64(word.into());
    }

    fn write_isize(&mut self, _: isize) {}
}

/// What a client says first.
pub(crate) fn hello(peer: SocketAddr) -> Vec<u8> {
    let IpAddr::V4(ip) = peer.ip() else { panic!("the bench's peers are v4") };
    [&HELLO[..], &ip.octets(), &peer.port().to_be_bytes()].concat()
}
