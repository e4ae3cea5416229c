//! A mount's bytes between its source and its listeners, without any I/O.
//!
//! The owner of a mount collects what its source sends in a [`Writer`], which cuts it into
//! immutable [`Chunk`]s. Every shard with a listener keeps a [`Window`] of the last chunks, by
//! reference. A listener is a [`Cursor`]: an absolute offset and nothing else. [`Titled`] makes the
//! second rendition of a mount, in which ICY title blocks stand every `metaint` bytes.
//!
//! # Driving it
//!
//! ```
//! # use media_mount::{Window, WindowLimits, Writer, WriterConfig};
//! # fn run(now: std::time::Instant) -> Result<(), media_mount::Behind> {
//! let mut writer = Writer::new(WriterConfig::default(), 0);
//! let mut window = Window::new(WindowLimits::default());
//!
//! writer.append(now, b"a whole frame", true); // a decoder may start at its first byte
//! while let Some(chunk) = writer.poll(now).or_else(|| writer.flush()) {
//!     window.push(chunk).expect("one writer leaves no gap"); // and so on every subscribed shard
//! }
//!
//! let join = window.join(65_535).expect("there is a sync point");
//! let mut cursor = join.cursor; // send `join.prelude` first, then:
//! cursor = window.read(cursor, 8192, 16, |chunk, range| {
//!     let _piece = (chunk.clone(), range); // pinned by an `Rc`, sent from where it lies
//! })?;
//! assert_eq!(cursor.lag(&window), 0);
//! # Ok(())
//! # }
//! # #[allow(clippy::disallowed_methods)] // An example must begin at some time.
//! # run(std::time::Instant::now()).unwrap();
//! ```
//!
//! # What it promises
//!
//! * **A byte is copied once**, from the caller's slice into a block of the [`Writer`]. Chunks,
//!   windows and the titled rendition hold references to it.
//! * **Whoever joins hears a contiguous run** of what was written, from a sync point, until it is
//!   told that it is [`Behind`]; never a byte twice, never one left out.
//! * **Bounded.** A window holds no more than its [`WindowLimits`] and the blocks these lie in.
//! * **No call waits for a listener.** A window forgets its oldest chunk whoever still wants it.
//!
//! # What it leaves out
//!
//! Finding sync points and preludes (`media-framing`), writing the title block itself
//! (`protocol-icy`), and who is sent what and when (the engine).

mod chunk;
mod timeline;
mod titled;
mod window;
mod writer;

pub use chunk::Chunk;
pub use titled::{TitleDue, Titled};
pub use window::{Behind, Chunks, Cursor, Gap, Join, Window, WindowLimits};
pub use writer::{Writer, WriterConfig};
