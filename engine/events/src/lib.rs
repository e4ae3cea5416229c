//! What is kept of streams: recordings, and what happened.
//!
//! ```text
//! worker ─► shard ─► control ── Catalog: the list of recordings
//!                       └─────► Keeper: a thread that removes files
//! ```
//!
//! A [`Catalog`] is a value without I/O: control has it, and answers lists from memory. A
//! [`Keeper`] is the thread that does what may wait for a disk.

mod catalog;
mod happening;
mod keeper;
mod scan;
mod time;
mod told;

pub use catalog::{Catalog, ENTRIES_MAX, PAGE_MAX, Page, Totals, Wanted, path_of, row};
pub use happening::{Happening, KEPT_BYTES_MAX, KEPT_MAX, Ring};
pub use keeper::{Done, Keeper, KeeperPort, KeeperSettings, Order};
pub use scan::scan;
pub use told::{Change, NAMES, Told};
