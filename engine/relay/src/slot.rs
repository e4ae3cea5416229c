//! What a socket of the relay is for; each has a slot, and its token names it.

use protocol_turn::{AllocationId, Family, RelayTransport};
use shards_runtime::{Socket, Token};

use crate::stream::Stream;

/// The relay's tokens stand above those of the service that has it, and below its acceptors'.
const SLOT_BASE: u32 = 0x4000_0000;
const SLOT_END: u32 = 0x8000_0000;

/// A socket of the relay.
pub(crate) enum Slot {
    /// Where clients' datagrams come.
    Clients(Socket),
    /// Where clients connect, and whether they speak TLS.
    Acceptor { socket: Socket, is_tls: bool },
    /// A relayed address.
    Relayed(Relayed),
    /// A connection: a client's or a peer's.
    Stream(Box<Stream>),
    /// It is being closed; then its port is free.
    Closing(Option<Port>),
}

/// A relayed address that is open; also one that is kept for a second allocation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Relayed {
    pub(crate) socket: Socket,
    /// Nobody's while it is kept.
    pub(crate) allocation: Option<AllocationId>,
    pub(crate) port: Port,
    pub(crate) external: usize,
    /// Sends that the machine has not finished.
    pub(crate) sends_in_flight: u32,
}

/// A port that was lent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Port {
    pub(crate) transport: RelayTransport,
    pub(crate) family: Family,
    pub(crate) number: u16,
}

/// A slab's token as the machine knows it.
pub(crate) fn outer(token: Token) -> Token {
    Token { slot: token.slot + SLOT_BASE, ..token }
}

/// The machine's token as the slab knows it; none if it is not the relay's.
pub(crate) fn inner(token: Token) -> Option<Token> {
    let is_ours = (SLOT_BASE..SLOT_END).contains(&token.slot);
    is_ours.then(|| Token { slot: token.slot - SLOT_BASE, ..token })
}

/// A slab's token as one number, for the protocol's names of sockets.
pub(crate) fn number_of(token: Token) -> u64 {
    u64::from(token.generation) << 32 | u64::from(token.slot)
}

/// Back from [`number_of`].
pub(crate) fn token_of(number: u64) -> Token {
    Token { slot: number as u32, generation: (number >> 32) as u32 }
}
