//! WebSocket (RFC 6455) that performs no I/O, for both ends of a connection.
//!
//! The handshake reads and writes header lines; which HTTP carries them is the caller's business.
//! After it, bytes go in and pieces of messages, pings, pongs and the close come out. Payload is
//! unmasked where it lies, in the caller's buffer; nothing is copied, collected or allocated.
//!
//! # Driving it
//!
//! One [`Decoder`] for each connection is shown the bytes that are still unread; what a step calls
//! `used` is then dropped from their front:
//!
//! ```
//! use protocol_ws::{Decoder, Kind, Limits, Opcode, Role, Step, write_close, write_frame};
//!
//! let mut decoder = Decoder::new(Role::Server, Limits::default());
//! let mut received = Vec::new();
//! write_frame(Opcode::Text, true, b"hello", Some([7, 1, 2, 9]), &mut received); // by a client
//! let mut unread = &mut received[..];
//! let mut out = Vec::new();
//! loop {
//!     let used = match decoder.decode(unread) {
//!         Ok(Step::Need) => break, // receive more behind `unread`
//!         Ok(Step::Payload { kind, range, used, is_first, is_last }) => {
//!             assert_eq!((kind, is_first && is_last), (Kind::Text, true)); // a whole message
//!             write_frame(Opcode::from(kind), true, &unread[range], None, &mut out);
//!             used
//!         }
//!         Ok(Step::Ping { range, used }) => {
//!             write_frame(Opcode::Pong, true, &unread[range], None, &mut out);
//!             used
//!         }
//!         Ok(Step::Pong { used, .. }) => used,
//!         Ok(Step::Close { code, used, .. }) => {
//!             write_close(code, "", None, &mut out); // the same code back, then close
//!             used
//!         }
//!         Err(malformed) => {
//!             write_close(Some(malformed.close_code()), "", None, &mut out);
//!             break; // send, then close
//!         }
//!     };
//!     unread = &mut unread[used..];
//! }
//! assert_eq!(out, b"\x81\x05hello");
//! ```
//!
//! # What it promises
//!
//! * **No input makes it panic**, and every step but [`Step::Need`] goes forward.
//! * **Fragmentation does not matter.** The same bytes give the same messages, pings, closes and
//!   errors however they were cut by the network.
//! * **Bounded** by [`Limits`], and before anything is collected: a ws frame that is too long is
//!   refused when its head is there.
//! * **Text is UTF-8**, checked as it comes in; a character may be cut between pieces, and the
//!   message as a whole is right when its last piece is handed out.
//!
//! # What it leaves to its driver
//!
//! Time: when to ping and how long to wait for an answer. Collecting the pieces of a message.
//! Whether an `Origin` may come in. Randomness: a client is handed its nonce and its masks, which
//! must be unpredictable (§10.3). And it negotiates no extension: compression is not there.

mod accept;
mod client;
mod close;
mod connection;
mod decoder;
mod deflate;
mod frame;
mod keepalive;
mod limits;
mod malformed;
mod mask;
mod origin;
mod queue;
mod server;
mod utf8;

pub use client::{Nonce, RefusedByServer};
pub use close::{CLOSE_REASON_BYTES_MAX, CloseCode};
pub use connection::{Connection, ConnectionSettings, Ended, Event, Masks, PONGS_COUNT_MAX};
pub use decoder::{Decoder, Kind, Role, Step};
pub use deflate::{
    AgreedDeflate, ContextCounters, ContextLimits, Contexts, DEFLATING_BYTES, DeflateSettings,
    INFLATING_BYTES,
};
pub use frame::{
    CONTROL_PAYLOAD_BYTES_MAX, FRAME_HEAD_BYTES_MAX, FrameHead, Opcode, write_close, write_frame,
};
pub use keepalive::{Keepalive, KeepaliveDue, KeepaliveTimes};
pub use limits::Limits;
pub use malformed::Malformed;
pub use mask::apply_mask;
pub use origin::{NotAnOriginRule, ORIGIN_RULES_COUNT_MAX, OriginPolicy};
pub use queue::{Item, Pushed, QueueCounters, QueueLimits, SendQueue, WhenFull};
pub use server::{Refused, SUBPROTOCOLS_COUNT_MAX, Upgrade, VERSION};
