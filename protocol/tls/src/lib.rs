//! TLS 1.2 and 1.3 (RFC 5246, RFC 8446) that performs no I/O: rustls behind two small types.
//!
//! A [`ServerConfig`] is made from PEM texts, is immutable and is shared by all shards as one
//! `Arc`. A [`Session`] is one connection: bytes of the wire go in with [`Session::receive`],
//! plaintext and bytes for the wire come out; [`Session::seal`] turns plaintext into records.
//!
//! ```text
//!            ciphertext ──► receive ──► plaintext        appended to the caller's buffers,
//!                              │                         which is all that the memory of an
//!                              ├──────► out              idle session does not have
//!             plaintext ──► seal ─────► out  ──► Send
//! ```
//!
//! ```
//! # fn serve(config: &std::sync::Arc<protocol_tls::ServerConfig>, buffer: &mut [u8])
//! # -> Result<(), protocol_tls::Failed> {
//! use protocol_tls::Session;
//!
//! let mut session = Session::server(config); // at accept, if `is_tls(first byte)`
//! let (mut plaintext, mut out) = (Vec::new(), Vec::new());
//! let result = session.receive(buffer, &mut plaintext, &mut out); // at each receive
//! // Send `out` first, whatever the result is: an alert is in there.
//! if !result?.is_handshaking {
//!     session.seal(b"HTTP/1.1 200 OK\r\n\r\n", &mut out)?;
//! }
//! # Ok(()) }
//! ```
//!
//! # What it promises
//!
//! * **Bounded**: one receive makes at most as many bytes of plaintext as it was given; a session
//!   keeps at most one incomplete record ([`BUFFERED_BYTES_MAX`]); a handshake has a budget.
//! * **Lock-free**: ticket keys are immutable ([`TicketKeys`]) and rotate by handing shards a new
//!   configuration, as a reload of certificates does. Sessions under way keep the one they have.
//! * **Errors name whose fault it was** ([`Fault`]), and the alert is in `out` already.
//!
//! # What it takes from outside by itself
//!
//! rustls draws randomness from its provider, aws-lc, and reads the wall clock for the age of
//! tickets and the validity of certificates. Neither decides what a session does otherwise; a
//! simulation hands in its own clock with [`ServerSettings::clock`], and compares plaintext, not
//! ciphertext.

mod client;
mod config_error;
mod counters;
mod failed;
mod identity;
mod machine;
mod names;
mod server;
mod session;
mod tickets;
mod version;

pub use client::{ClientConfig, ClientSettings};
pub use config_error::ConfigError;
pub use counters::Counters;
pub use failed::{Failed, Fault};
pub use identity::{Identity, Warning};
pub use rustls::pki_types::UnixTime;
pub use rustls::time_provider::TimeProvider;
pub use server::{ServerConfig, ServerSettings};
pub use session::{BUFFERED_BYTES_MAX, Handshake, Received, Session};
pub use tickets::TicketKeys;
pub use version::Version;

/// Whether a connection that begins with this byte speaks TLS: the content type of a handshake
/// record (RFC 8446 §5.1). No method of HTTP begins with it, so one port can take both.
#[must_use]
pub fn is_tls(first_byte: u8) -> bool {
    first_byte == 0x16
}
