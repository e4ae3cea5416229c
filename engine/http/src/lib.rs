//! A web server on shards: one thread for each core, a table of routes, and nothing to drive.
//!
//! `protocol-http`, `protocol-ws` and `protocol-tls` do no I/O, and `shards-runtime` knows no
//! protocol; this crate is where they meet. A program gives a [`Site`]: routes, each with the
//! function that answers, and what else is wanted of files, TLS, WebSocket and limits.
//!
//! ```no_run
//! use engine_http::{Answer, Handler, Method, Request, Route, Site, Status};
//!
//! const ROUTES: &[Route<Handler<u64>>] = &[
//!     Route::new(Method::Get, "/", Handler::Answer(hello)),
//!     Route::new(Method::Get, "/files/{*path}", Handler::Files),
//! ];
//!
//! /// The state is this shard's own: a number of answers so far.
//! fn hello(answers_count: &mut u64, _: &Request<'_>, answer: Answer<'_>) {
//!     *answers_count += 1;
//!     answer.text(Status::OK, format!("hello, number {answers_count}"));
//! }
//!
//! # fn main() -> std::io::Result<()> {
//! let mut site = Site::new("example", ROUTES);
//! site.root = Some("pages".into());
//! let serving = site.serve("127.0.0.1:0".parse().unwrap(), &[], |_| 0)?;
//! println!("listening on http://{}/", serving.address);
//! serving.shards.join();
//! # Ok(())
//! # }
//! ```
//!
//! # Answers that go on
//!
//! A [`Handler::Stream`] begins an answer and gives its [`Body`], which is asked for the next piece
//! as the client takes them, and sleeps until its [`Waker`] is called. Server-sent events are such
//! a body: a [`Topic`] in the shard's state, which [`Everyone`] publishes on all shards. A thread
//! of the program's reaches them by [`Control`], which also hands out new certificates.
//!
//! # WebSockets that know each other
//!
//! A [`Handler::WebSocket`] gives a [`Conversation`] for each. What is said to it unasked goes by
//! its [`Speaker`], which whoever likes keeps in the shard's state; what concerns another shard is
//! a letter ([`Everyone::send`]), and what has its time the site's [`Timer`].
//!
//! The same files are served by who drives connections himself: [`FileAnswers`], [`FileBody`] and
//! [`Disk`] know nothing of routes.
//!
//! # What it promises
//!
//! * **Nothing here waits**: files are read by a storage thread, which rings the shard.
//! * **Nothing is allocated for a request** whose handler allocates nothing, and what came together
//!   is answered in one send.
//! * **Every connection ends**, and one that is idle costs its slot and nothing else.
//! * **Everything has a limit** ([`Limits`]), a behaviour at it, and a counter ([`Counters`]).

mod body;
mod disk;
mod events;
mod files;
mod limits;
mod mail;
mod orders;
mod program;
mod server;
mod site;
mod speaker;
mod talk;
mod visit;
mod wire;

pub use body::{Body, More, Streamed, Waker};
pub use disk::{Disk, Pending, refusal, start_storage};
pub use events::{AtLimit, Topic, TopicCounters, TopicLimits};
pub use files::{FileAnswer, FileAnswers, FileBody, Next, name_of};
pub use limits::{CONNECTIONS_SPARE, Counters, Limits};
pub use mail::Timer;
pub use orders::{Control, Everyone, Order};
pub use program::{Answer, Block, Conversation, Handler, Message, Request, Upload, whole};
pub use protocol_http::server::{AddressLimits, Route};
pub use protocol_http::{Method, ServerEvent, Status};
pub use protocol_ws::{CloseCode, Ended, Kind, Malformed};
pub use server::Server;
pub use shards_runtime::Placement;
pub use site::{Auth, Serving, Site, tls_of};
pub use speaker::{Frame, Speaker};
pub use talk::{Replies, WebSockets};
