//! What is sent and what must be heard: an endless MP3 whose every byte follows from its place,
//! and the ears that check it.

pub(crate) mod frame;
mod run;
mod titles;

pub(crate) use run::Run;
pub(crate) use titles::Titles;
