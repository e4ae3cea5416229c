//! WebRTC without I/O: sessions with browsers, and what passes a publisher's packets on to viewers.
//!
//! A [`Session`] is one peer connection: it answers an offer, is given datagrams and the time, and
//! says what to send. Packets of RTP come out of a publisher's session once, as [`RtpPacket`]s that
//! share their payload, and go into as many viewers' sessions as there are. Nothing is decoded.
//!
//! # Driving it
//!
//! ```no_run
//! use media_rtc::{Input, Output, Role, Session, SessionConfig};
//! # use std::time::Instant;
//! # fn what_happened() -> (Instant, Input<'static>) { panic!("the driver's") }
//! # fn credentials() -> media_rtc::IceCredentials { panic!("the driver's") }
//! # let (now, offer) = (panic!("the driver's"), "");
//!
//! let config = SessionConfig::default(); // with candidates: where we can be reached
//! let (mut session, answer) =
//!     Session::answer(now, &config, &credentials(), Role::Publish, offer)?;
//! drop(answer); // to the peer, by HTTP or signalling
//! loop {
//!     while let Some(output) = session.poll() {
//!         match output {
//!             Output::Transmit(transmit) => drop(transmit), // these bytes to there
//!             Output::Packet(track, packet) => drop((track, packet)), // to the viewers
//!             Output::Closed(cause) => drop(cause),
//!             _ => {}
//!         }
//!     }
//!     let (now, input) = what_happened(); // or `Input::Tick` at `session.deadline()`
//!     session.handle(now, input);
//! }
//! # #[allow(unreachable_code, reason = "the loop of an example")]
//! # Ok::<(), media_rtc::OfferError>(())
//! ```
//!
//! # What it promises
//!
//! * **No input makes it panic, or takes more than [`Limits`] say.** str0m, which does ICE, DTLS,
//!   SRTP and SCTP, fails fast on bugs of its own: each call into it is guarded, and a panic ends
//!   that session only ([`CloseCause::Panicked`]).
//! * **ICE-lite**: it answers checks and asks none. The peer's candidates are looked at and passed
//!   over.
//! * **Payload is shared, not copied**, until it is encrypted for a viewer.

mod codec;
mod config;
mod counters;
mod framing;
mod keyframe;
mod offer;
mod packet;
mod projection;
mod rate;
mod red;
mod session;
mod track;

pub use codec::{Codec, CodecParameters, MediaKind};
pub use config::{
    BitrateBounds, IceCredentials, Identity, Limits, LocalCandidate, Role, SessionConfig, Transport,
};
pub use counters::Counters;
pub use framing::{FRAME_BYTES_MAX, FrameTooLong, Framer};
pub use keyframe::starts_at as keyframe_starts_at;
pub use offer::{Fragment, OfferError};
pub use packet::{Rid, RtpPacket};
pub use projection::{Projection, ProjectionCounters};
pub use session::{
    ChannelId, CloseCause, Input, MessageError, Output, Projected, SendError, Session, TrackId,
    TrackInfo, Transmit, Vp8Numbers,
};
pub use track::{Track, TrackCounters, TrackLimits};
