//! HTTP/1.1 (RFC 9110, RFC 9112) that performs no I/O, for both ends of a connection.
//!
//! Bytes go in; heads, ranges of body bytes and the ends of messages come out. A head borrows from
//! the caller's buffer, its header lines are indexed on the stack, and nothing is allocated for a
//! request. The dialects of internet radio are included: the `SOURCE` method, `ICE/1.0` for it, and
//! `ICY 200 OK` on the client's side.
//!
//! # Driving it
//!
//! One [`RequestDecoder`] for each connection is shown the bytes that are still unread; what a step
//! calls `used` is then dropped from their front:
//!
//! ```
//! use protocol_http::{Limits, RequestDecoder, ResponseWriter, Status, Step, Version};
//!
//! let mut decoder = RequestDecoder::new(Limits::default());
//! let mut unread: &[u8] = b"GET /live.mp3?x=1 HTTP/1.1\r\nHost: radio.example\r\n\r\n";
//! let mut out = Vec::new();
//! loop {
//!     match decoder.decode(unread) {
//!         Ok(Step::Need) => break, // receive more behind `unread`; on a timeout answer 408
//!         Ok(Step::Head { head, used }) => {
//!             assert_eq!(head.target.path(), "/live.mp3");
//!             let mut response = ResponseWriter::new(&mut out, Version::Http11, Status::OK);
//!             response.header("Content-Type", "text/plain").content_length(2).finish();
//!             out.extend_from_slice(b"hi");
//!             unread = &unread[used..];
//!         }
//!         Ok(Step::Body { range, used }) => {
//!             let _payload = &unread[range]; // may be empty
//!             unread = &unread[used..];
//!         }
//!         Ok(Step::End { used }) => unread = &unread[used..], // the next request may follow
//!         Err(refused) => {
//!             // Answer `refused.status` and close: where the next message begins is unknown.
//!             ResponseWriter::new(&mut out, Version::Http11, refused.status).close().finish();
//!             break;
//!         }
//!     }
//! }
//! assert!(decoder.is_idle() && out.ends_with(b"\r\n\r\nhi"));
//! ```
//!
//! Deadlines are the driver's: it knows the time. It answers 408 (or closes silently when
//! [`RequestDecoder::is_idle`]) when a head or a body takes too long. A service that turns the
//! connection into something else (a source's raw bytes, a WebSocket) stops calling the decoder
//! after the head; the bytes behind `used` are already the other protocol's.
//!
//! # What it promises
//!
//! * **No input makes it panic**, and every step but [`Step::Need`] goes forward.
//! * **Fragmentation does not matter.** The same bytes give the same heads, bodies and refusals
//!   however they were cut; a head that dribbles in is not parsed again for every byte.
//! * **Bounded** by [`Limits`]: 414, 431 and 413 before anything grows. A body is never buffered.
//! * **One reading.** What two parsers could read differently is refused: bare LF, folded lines,
//!   blanks before a colon, repeated or malformed `Content-Length`, `Content-Length` with
//!   `Transfer-Encoding`, odd chunk sizes, repeated `Host`. The tables in `tests/` name each.
//! * **No splitting.** The writers put no CR, LF or NUL from a value onto the wire.
//!
//! # What it leaves out
//!
//! HTTP/0.9, HTTP/2, transfer codings other than `chunked` (501), `CONNECT` (501), and the contents
//! of trailers (checked, bounded, dropped).

mod accept;
mod body;
mod byteranges;
pub mod client;
mod condition;
mod cookie;
mod cors;
mod date;
mod event_stream;
mod form;
mod headers;
mod limits;
mod media_type;
mod method;
mod multipart;
mod query;
mod range;
mod request;
mod response;
mod selection;
pub mod server;
mod status;
mod step;
mod target;
mod version;
mod write;

pub use accept::{ContentCoding, VARY_CODING, choose_coding};
pub use body::BodyKind;
pub use byteranges::{ByteRanges, write_unsatisfied_range};
pub use condition::{Condition, Validators, evaluate, if_range_holds};
pub use cookie::{CookieError, CookieOptions, Cookies, SameSite, SetCookie};
pub use cors::Preflight;
pub use date::{HTTP_DATE_BYTES, parse_http_date, write_http_date};
pub use event_stream::{
    EVENT_STREAM_KEEP_ALIVE, EVENT_STREAM_KEEP_ALIVE_CHUNK, EVENT_STREAM_TYPE, ServerEvent,
    last_event_id,
};
pub use form::{FormKind, form_pairs};
pub use headers::{HEADERS_COUNT_MAX, Headers, HeadersIter};
pub use limits::Limits;
pub use media_type::MediaType;
pub use method::Method;
pub use multipart::{MultipartDecoder, MultipartLimits, MultipartStep, Part, safe_file_name};
pub use query::{Query, QueryIter, percent_decode, percent_encode, write_percent_encoded};
pub use range::{ByteRange, RANGES_COUNT_MAX, RangeSpec, Ranges, parse_range, parse_range_specs};
pub use request::{RequestDecoder, RequestHead};
pub use response::{ResponseDecoder, ResponseHead};
pub use selection::Selection;
pub use status::{Malformed, Refused, Status};
pub use step::Step;
pub use target::Target;
pub use version::Version;
pub use write::{
    CONTINUE, LAST_CHUNK, RequestWriter, ResponseWriter, write_chunk_head, write_decimal,
};
