//! The relay without its `main`, so that tests start it too.

mod args;
mod service;
mod start;

pub use args::Args;
pub use start::start;
