//! What the tests stand on: a server of their own, raw HTTP, numbered MP3 frames, and real peers.

mod http;
mod icecast;
mod media;
mod peers;
mod player;
mod server;
mod tape;

pub use http::{Listener, Reply, basic, connect, exchange, get, request, until};
pub use icecast::Icecast;
pub use media::media;
pub use peers::{Peer, decodes, decodes_for, ffmpeg_source, have, peer, run_to_end};
pub use player::Source;
pub use server::{ADMIN, Folder, PASSWORD, Server, Setup, free_port};
pub use tape::{Run, Tape, from_first_frame, runs_of, runs_with_cuts};

use std::time::{Duration, Instant};

/// How long anything may take before it counts as hanging: long, for the machine may be busy with
/// other tests, and how fast the program is shows elsewhere.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for something to become true.
///
/// # Panics
/// With `what` when it does not within [`PATIENCE`].
#[track_caller]
pub fn wait_for(what: &str, mut is_true: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_true() {
        assert!(Instant::now() < deadline, "still not so after {PATIENCE:?}: {what}");
        rest_ms(20);
    }
}

/// Lets time pass.
pub fn rest_ms(time_ms: u64) {
    std::thread::sleep(Duration::from_millis(time_ms));
}
