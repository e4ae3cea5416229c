//! The atomics that `sleep_flag.rs` is built on. `tests/loom.rs` compiles the same file against
//! loom's instead.

pub(crate) use std::sync::atomic::{AtomicBool, Ordering, fence};
