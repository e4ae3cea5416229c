//! What the tests of the ring share: a small machine, and waiting with a limit.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use shards_ring::{Buffer, RingConfig, RingGroup, UringIo};
use shards_runtime::{Completion, Gather, Io, Op, Piece, ShardId, Socket, Token};

/// No test waits longer than this for anything.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub fn small() -> RingConfig {
    RingConfig {
        submissions_max: 64,
        completions_max: 256,
        sockets_max: 64,
        stream_buffers_count: 32,
        datagram_buffers_count: 32,
        ..RingConfig::default()
    }
}

pub fn open(config: RingConfig) -> UringIo {
    RingGroup::new(2).unwrap().open(ShardId(0), config).unwrap()
}

pub fn token(slot: u32) -> Token {
    Token { slot, generation: 7 }
}

pub fn local() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

pub fn owned(bytes: impl Into<Bytes>) -> Gather {
    Gather::from_iter([Piece::Owned(bytes.into())])
}

/// Waits until `pick` answers, handing it completion after completion.
pub fn wait_for<T>(
    io: &mut UringIo,
    mut pick: impl FnMut(Completion<Buffer>) -> Option<T>,
) -> Option<T> {
    wait_at_most(io, PATIENCE, &mut pick)
}

pub fn wait_at_most<T>(
    io: &mut UringIo,
    time: Duration,
    mut pick: impl FnMut(Completion<Buffer>) -> Option<T>,
) -> Option<T> {
    let until = io.now() + io.since_wait() + time;
    let mut found = None;
    let mut completions = Vec::new();
    while found.is_none() && io.now() < until {
        io.wait(Some(until), &mut completions);
        for completion in completions.drain(..) {
            let picked = pick(completion);
            assert!(picked.is_none() || found.is_none(), "picked twice in one wait");
            found = found.or(picked);
        }
    }
    found
}

/// Accepts one connection.
pub fn accepted(io: &mut UringIo) -> (Socket, SocketAddr) {
    wait_for(io, |completion| match completion {
        Completion::Accepted { socket, peer, .. } => Some((socket, peer)),
        other => panic!("{other:?}"),
    })
    .expect("somebody connects")
}

/// Closes a socket and waits for it; other completions with its token must not come after.
pub fn close(io: &mut UringIo, socket: Socket) {
    let mine = token(1_000_000);
    io.submit(mine, Op::Close(socket));
    wait_for(io, |completion| match completion {
        Completion::Closed { token } if token == mine => Some(()),
        _ => None,
    })
    .expect("a close ends");
}

/// Numbers without meaning, the same in each run.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}
