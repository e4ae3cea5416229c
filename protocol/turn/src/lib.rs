//! A TURN server (RFC 8656, and clients of RFC 5766) that performs no I/O.
//!
//! TURN lends a client behind a NAT an address of ours: what a *peer* sends to this *relayed
//! address* reaches the client, and the other way round. [`Server`] is what of it is protocol:
//! credentials, allocations, permissions, channels, and their times. It opens no socket, reads no
//! clock and draws no numbers; it is driven. STUN's Binding is answered on the way.
//!
//! # Driving it
//!
//! After every input, [`Server::poll`] to none: payloads are named by their place in the buffer
//! that was the input.
//!
//! ```no_run
//! # use std::time::Instant;
//! use protocol_turn::{Config, Credentials, Input, Limits, Output, Server};
//!
//! # fn what_happened() -> (Instant, Input<'static>) { panic!("the driver's") }
//! # fn start() -> (Instant, u64) { panic!("the driver's") }
//! let (now, unix_s) = start();
//! let config = Config::new("example.org", Credentials::new().with_secret(b"shared with the app"));
//! let seed = [7; 32]; // chance, the same on every shard of a port
//! let mut turn = Server::new(config, Limits::default(), seed, now, unix_s).expect("credentials");
//! loop {
//!     let (now, input) = what_happened(); // or `Input::Tick` at `turn.deadline()`
//!     turn.handle(now, input);
//!     while let Some(output) = turn.poll() {
//!         match output {
//!             Output::Transmit(transmit) => drop(transmit), // these bytes to there
//!             Output::Bind(bind) => drop(bind), // open a relayed address, then `Input::Bound`
//!             Output::Release(release) => drop(release), // close it, and write a log line
//!             Output::ReleaseFamily(..) | Output::Forget(_) => {} // close one of them
//!             _ => {} // TCP with peers, where `Config::has_tcp_allocations`
//!         }
//!     }
//! }
//! ```
//!
//! Streams (TCP, TLS) are cut with `protocol_stun::Frame`; each frame is one input.
//!
//! # What it promises
//!
//! * **Nothing reaches a peer without a permission**, and none is given for the addresses of
//!   [`DENIED`] unless the operator allows them ([`PeerPolicy`]); our own ports are never peers.
//! * **No input makes it panic.** What is malformed is dropped and counted ([`Counters`]); what is
//!   refused is answered with the RFC's error.
//! * **Nothing is kept of a stranger**: before a nonce came back and the password was right, there
//!   is no state, no answer over four times its question, and only so many for each source.
//! * **Bounded** by [`Limits`]; what happens at each limit is written beside it.
//! * **Payload is not copied.** Data of a client leaves from where it lies; data of a peer is
//!   framed in the [`HEADROOM_BYTES`] before it. Only without that room there is a copy.
//! * **Same inputs, same outputs.** Nonces and tokens come from the seed.
//!
//! # What it leaves out
//!
//! Mobility (RFC 8016), third-party authorization (RFC 7635), and CHANGE-REQUEST (RFC 5780).
//! Credentials are held here ([`Config::credentials`], [`Server::configure`]); nobody is asked
//! while a request waits. The two addresses of a dual allocation have one lifetime. Channel numbers
//! up to 0x7FFF are taken, as RFC 5766 has it.

mod allocation;
mod bucket;
mod client;
mod config;
mod counters;
mod credentials;
mod exchange;
mod nonce;
mod policy;
mod ports;
mod server;
mod table;
mod users;

pub use bucket::Rate;
pub use client::{Client, Transport};
pub use config::{Config, ConfigError, Limits};
pub use counters::{Counters, DropCause, Usage};
pub use credentials::{Credentials, timed_credential};
pub use exchange::{
    AllocationId, Bind, ConnectionId, End, HEADROOM_BYTES, Input, Output, Payload, Port,
    RelayTransport, Release, ReservationId, To, Transmit,
};
pub use policy::{DENIED, NoPrefix, PeerPolicy, Prefix};
pub use ports::{PortShare, PortWish};
pub use protocol_stun::{Family, Icmp};
pub use server::{Server, Summary};
pub use users::UserChange;
