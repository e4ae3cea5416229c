//! What is kept of streams, and told of them: recordings, and what happened.
//!
//! ```text
//! worker ─► shard ─► control ─┬─ Catalog: the list of recordings
//!                             ├─ Happening: numbered, encoded once ─► every shard's Window
//!                             └─► Keeper: a thread with the log, the webhooks, and removals
//! ```
//!
//! [`Catalog`], [`Happening`] and [`Window`] are values without I/O: lists are answered from
//! memory, and a subscriber costs a reference. The [`Keeper`] is the thread that does what may wait
//! for a disk; each webhook has another one, which waits for a server.

mod catalog;
mod happening;
mod journal;
mod keeper;
mod scan;
mod time;
mod told;
mod webhook;

pub use catalog::{Catalog, ENTRIES_MAX, PAGE_MAX, Page, Totals, Wanted, path_of, row};
pub use happening::{Happening, KEPT_BYTES_MAX, KEPT_MAX, Window};
pub use journal::JournalSettings;
pub use keeper::{Done, Keeper, KeeperPort, KeeperSettings, Order};
pub use scan::scan;
pub use told::{Change, NAMES, Told};
pub use webhook::{EventCounters, WebhookSettings, sign};
