//! A server's connections from their first byte to their close, without I/O.
//!
//! [`Connection`] is the machine of one connection; what all connections of a shard have in common
//! (settings, this second's `Date`, counters, the buffer that answers are written into) is their
//! [`Server`]. The driver has the socket, the program has the routes, and this module has what lies
//! between: keep-alive with its limits, pipelining answered in one send, `100 Continue`, `HEAD`,
//! streamed bodies, back-pressure in both directions, deadlines, and the lingering close.
//!
//! ```text
//!  received bytes ──► Input ──► next() ──► Event::Request, Body, End ──► the program
//!                                                                            │
//!  driver ◄── poll(): Send, Finish, Pause, Receive, Close ◄── Output ◄── respond() ◄─┘
//! ```
//!
//! # Driving it
//!
//! After every event of the socket: show it ([`Connection::input`], [`Connection::sent`],
//! [`Connection::receive_ended`], [`Connection::expired`]), take events until there are none, and
//! do what [`Connection::poll`] says until it says nothing. Then sleep to [`Connection::deadline`].
//!
//! ```
//! use std::time::Instant;
//! use protocol_http::Status;
//! use protocol_http::server::{Action, Connection, Event, Server, Settings};
//!
//! # #[allow(clippy::disallowed_methods)] fn clock() -> Instant { Instant::now() }
//! let now = clock();
//! let mut server: Server<()> = Server::new("example", Settings::default());
//! let mut connection = Connection::new(&server, now);
//!
//! let mut received = *b"GET /a HTTP/1.1\r\nHost: h\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n";
//! let mut input = connection.input(&mut received);
//! while let Some(event) = connection.next(&mut server, &mut input) {
//!     match event {
//!         Event::Request(head) if head.target.path() == "/a" => {
//!             connection.respond(&mut server, Status::OK).body(b"hello");
//!         }
//!         Event::Request(_) => connection.respond(&mut server, Status::NOT_FOUND).body(b"none"),
//!         Event::Body(_) | Event::End => {}
//!         Event::Refused(refused) => connection.refuse(&mut server, refused),
//!     }
//! }
//! connection.keep(input);
//! // Both answers leave in one send.
//! assert!(matches!(connection.poll(&mut server, now), Some(Action::Send)));
//! let sent = String::from_utf8(server.output().take_text()).unwrap();
//! assert_eq!(sent.matches("HTTP/1.1 ").count(), 2);
//! assert!(connection.poll(&mut server, now).is_none());
//! assert!(connection.deadline() > now);
//! ```
//!
//! # What it promises
//!
//! * One request at a time: the next is not looked at before the last is answered, and while a send
//!   is under way none is. What waits is bounded ([`Settings::input_bytes_max`]); behind the bound
//!   receiving pauses.
//! * A connection that waits holds no buffer, and is at most [`CONNECTION_BYTES_MAX`] large.
//! * In every state there is a deadline, so every connection ends.
//! * Nothing is allocated for a request that comes whole.

mod action;
mod addresses;
mod answer;
mod connection;
mod input;
mod output;
mod response;
mod router;
mod settings;

pub use action::{Action, Event, Expired, ReceiveEnd};
pub use addresses::{AddressLimits, Addresses};
pub use connection::{CONNECTION_BYTES_MAX, Connection};
pub use input::Input;
pub use output::{Output, Part};
pub use response::Response;
pub use router::{Found, Parameters, Route, Router};
pub use settings::{Counters, Server, Settings};
