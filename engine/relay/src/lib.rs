//! The relay: `protocol-turn` on a shard.
//!
//! [`Relay`] is what stands between the protocol, which does no I/O, and the machine, which knows
//! no TURN: it opens relayed addresses, carries datagrams and streams both ways, and closes what
//! has ended. A service that has one hands it the completions of its sockets ([`Relay::owns`]) and
//! calls [`Relay::on_tick_end`] when a tick ends; `engine/node` does so in the server, and the
//! whole service of `protocol/turn/examples/relay.rs` is nothing else.
//!
//! ```text
//! client ──datagram──► clients' socket ─┐                     ┌─► relayed socket ──► peer
//!        ──stream, TLS──► cut to frames ─┴─► protocol_turn ────┴─► client's socket, stream
//!                                            opens, closes
//! ```
//!
//! * **A client belongs to one shard**, and so do its relayed addresses: no packet crosses a core.
//!   The kernel spreads clients over shards by their address
//!   ([`shards_runtime::BindOptions::spread_by_address`]).
//! * **Streams never hold up anybody**: what a slow stream cannot take is bounded; data beyond it
//!   is dropped as a network would, answers are not, and who takes none of them is closed.
//! * **Nothing here decides whom a peer may hear from**: only the protocol names a peer.

mod datagrams;
mod lend;
mod relay;
mod settings;
mod slot;
mod splice;
mod stats;
mod stream;
mod streams;

pub use relay::Relay;
pub use settings::{
    External, Listener, Listening, NoExternal, Settings, SettingsError, machine_addresses,
};
pub use stats::{Ended, Stats};
