//! STUN (RFC 8489, and clients of RFC 5389) and the framing of TURN's channels (RFC 8656), as a
//! codec that performs no I/O.
//!
//! A STUN message is a header of 20 bytes and a list of attributes; TURN and ICE are nothing but
//! more methods and more attributes of it. This crate reads and writes them all, proves who wrote
//! them, and cuts them out of a byte stream. What to answer is decided elsewhere (`protocol-turn`
//! for a relay).
//!
//! # Driving it
//!
//! A message is read in place and written into a buffer of the caller:
//!
//! ```
//! use protocol_stun::{AttributeKind, Builder, Class, Message, Method, TransactionId};
//!
//! let mut request = [0; 64];
//! let id = TransactionId([7; 12]);
//! let used = Builder::new(&mut request, Class::Request, Method::BINDING, id).finish()?;
//!
//! let message = Message::decode(&request[..used]).expect("it was just written");
//! assert_eq!((message.class(), message.method()), (Class::Request, Method::BINDING));
//!
//! let mut answer = [0; 64];
//! let seen_from = "192.0.2.1:32853".parse().unwrap();
//! let mut builder = Builder::answer(&mut answer, Class::Success, &message);
//! builder.xor_address(AttributeKind::XOR_MAPPED_ADDRESS, seen_from);
//! let used = builder.fingerprint().finish()?;
//! assert!(Message::decode(&answer[..used]).is_ok_and(|answer| answer.has_good_fingerprint()));
//! # Ok::<(), protocol_stun::Full>(())
//! ```
//!
//! Over TCP, [`Frame::decode`] says how many bytes the next message needs and where it lies;
//! [`Reassembly`] keeps the bytes in between for who has no buffer of his own.
//!
//! # What it promises
//!
//! * **No input makes it panic**, and every decoder advances. A message is checked as a whole
//!   before any of it is shown: its length, every attribute's bounds, the place of its
//!   fingerprint.
//! * **What is not protected is not seen**: attributes behind MESSAGE-INTEGRITY are skipped
//!   (RFC 8489 §14.5), as is every second attribute of a kind ([`Message::find`]).
//! * **Nothing leaks**: padding that we write is zero; integrity is compared in constant time.
//! * **Nothing is reserved** but by [`Reassembly`] (one frame) and [`Key`] (one password).
//!
//! # What it leaves out
//!
//! The messages of RFC 3489 (without the magic cookie) are [`Malformed`]. Names and passwords are
//! bytes: the OpaqueString profile of RFC 8265 is the caller's. Retransmission (RFC 8489 §6.2) is
//! a client's and not here.

mod address;
mod attribute;
mod builder;
mod channel;
mod crc;
mod error_code;
mod header;
mod integrity;
mod message;
mod password;
mod stream;

pub use attribute::{AttributeKind, Family, Icmp};
pub use builder::{Builder, Full};
pub use channel::{CHANNEL_HEADER_BYTES, CHANNEL_MAX, CHANNEL_MIN, ChannelData};
pub use error_code::ErrorCode;
pub use header::{Class, HEADER_BYTES, MAGIC_COOKIE, Method, TransactionId};
pub use integrity::{Integrity, Key, user_hash};
pub use message::{Attribute, Attributes, Malformed, Message};
pub use password::{NONCE_COOKIE, PasswordAlgorithm, SecurityFeatures};
pub use stream::{Frame, Reassembly, Step};
