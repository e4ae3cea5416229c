//! WebSocket (RFC 6455) with permessage-deflate (RFC 7692) that performs no I/O, for both ends of a
//! connection.
//!
//! The handshake reads and writes header lines; which HTTP carries them is the caller's business.
//! After it, a [`Connection`] is all that an end has to do: bytes go in, whole messages come out;
//! messages go in, bytes to send come out.
//!
//! # Driving it
//!
//! ```
//! # #[allow(clippy::disallowed_methods)]
//! # fn main() {
//! use std::rc::Rc;
//! use std::time::Instant;
//!
//! use protocol_ws::{Connection, ConnectionSettings, Event, Kind, Opcode, write_frame};
//!
//! let now = Instant::now(); // the driver's clock
//! let settings = Rc::new(ConnectionSettings::default());
//! let mut connection: Connection = Connection::server(&settings, now);
//! let mut received = Vec::new();
//! write_frame(Opcode::Text, true, b"hello", Some([7, 1, 2, 9]), &mut received); // by a client
//! let mut at = 0;
//! loop {
//!     let (used, event) = connection.receive(now, &mut received[at..]);
//!     at += used;
//!     match event {
//!         Event::Message(kind, payload) => {
//!             assert_eq!(kind, Kind::Text);
//!             let echo = payload.into_owned();
//!             connection.send(now, kind, echo);
//!         }
//!         Event::Need if used == 0 => break, // receive more behind what is unread
//!         _ => {}
//!     }
//! }
//! assert_eq!(connection.poll().as_deref(), Some(&b"\x81\x05hello"[..])); // send it
//! assert!(connection.deadline().is_some()); // then `handle_time`: pings, and giving up
//! # }
//! ```
//!
//! Whoever wants pieces as they come, without a copy, drives a [`Decoder`] instead and does the
//! rest himself.
//!
//! # What it promises
//!
//! * **No input makes it panic**, and every step but "need" goes forward.
//! * **Fragmentation does not matter.** The same bytes give the same messages, pings, closes and
//!   errors however they were cut by the network.
//! * **Bounded** by [`Limits`], before anything is collected: a ws frame that is too long is
//!   refused when its head is there, a message that grows too long by being inflated while it is
//!   inflated. What waits to be sent is bounded by [`QueueLimits`], contexts by [`ContextLimits`].
//! * **Text is UTF-8**, checked as it comes in; a message with a wrong byte is refused in the piece
//!   that brings it.
//!
//! # What it leaves to its driver
//!
//! Randomness: a client is handed its nonce and its masks, which must be unpredictable (§10.3). Who
//! may come in, beyond [`OriginPolicy`].

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
