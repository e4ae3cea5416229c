//! A server of Symple v4 that performs no I/O: signalling for browsers, as JSON over WebSocket. It
//! is defined by its implementations, above all the client <https://github.com/nilstate/symple-client>.
//!
//! Peers authenticate, are in rooms, see each other's presence, and send each other messages; one
//! kind of them sets up calls. [`Server`] is what of it is protocol. It opens no socket, reads no
//! clock and draws no numbers; it is driven. How texts get to it and from it is the driver's
//! business, and so are WebSocket's pings and its limit of a message's length.
//!
//! # Driving it
//!
//! After every input, [`Server::poll`] to none:
//!
//! ```
//! # #[allow(clippy::disallowed_methods)]
//! # fn main() {
//! use protocol_symple::{Config, ConnectionKey, Input, Output, Server};
//!
//! let now = std::time::Instant::now(); // the driver's clock
//! let mut server = Server::new(Config::default());
//! let connection = ConnectionKey(1);
//! server.handle(now, Input::Connected { connection, random: [7; 16] });
//! assert!(server.deadline().is_some()); // then `Input::Tick`
//! server.handle(now, Input::Text { connection, text: r#"{"type":"auth","user":"ann"}"# });
//! let Some(Output::Send { to, text }) = server.poll() else { panic!("a welcome") };
//! assert_eq!(to, [connection]);
//! assert!(text.contains(r#""rooms":["ann","public"]"#));
//! assert!(server.poll().is_none());
//! # }
//! ```
//!
//! # Several shards
//!
//! A server on several cores is one [`Server::shard`] on each. A session lives where its connection
//! is, a room where the hash of its name says; the two talk by [`Output::Mail`], which the driver
//! hands to [`Input::Mail`] of the shard that it names: in order between any two shards, however
//! late, and never lost. With one shard there is no mail.
//!
//! # What it promises
//!
//! * **Nothing reaches a peer that shares no room with its sender**, looked at where the receiver
//!   lives, when it is handed over.
//! * **Presence converges.** When all mail has arrived everybody knows the last presence that was
//!   said in a room of his, and that those who were in it are gone.
//! * **A message reaches everybody once**, however many rooms he shares with the sender, on however
//!   many shards they live. Presence may come once for each shard.
//! * **`from` is the truth**: whatever a client writes there is replaced, and so is what its
//!   presence says of who it is.
//! * **No input makes it panic**, and what is malformed or too much ends its own session at most.
//! * **Bounded** by [`Limits`]; what happens at each limit is written beside it, and counted in
//!   [`Counters`].
//!
//! # Where it differs from the reference servers
//!
//! A session that is refused is closed. Rooms that a client chooses need [`RoomRules::chosen`]; the
//! room of a user's own name is closed to others. A text without `|` is a room, or else a session's
//! id: the JavaScript client answers probes so. Newcomers are told the last presence of the others
//! and not only who they are. What is no JSON object with a type is dropped.

mod address;
mod bucket;
mod call;
mod config;
mod mail;
mod rooms;
mod server;
mod sessions;
mod wire;

pub use address::{NAME_BYTES_MAX, PeerId, RoomName, SHARDS_COUNT_MAX, ShardIndex};
pub use call::{Call, Candidate};
pub use config::{Access, Chosen, Config, Limits, RoomRules, Token, VirtualPeer};
pub use mail::Mail;
pub use server::{ConnectionKey, Counters, Input, Output, Peer, Recipient, Server, Verdict};
pub use wire::Fault;
