//! What a worker may not do: take the machine's memory, gain rights, outlive its server.

use rustix::process::{Resource, Rlimit, Signal};

/// Address space; FFmpeg's libraries and thread stacks are mapped into it, mostly untouched.
const ADDRESS_SPACE_BYTES: u64 = 8 << 30;
const FILES_MAX: u64 = 256;

/// Takes the limits. What the system refuses is told and not fatal: some containers allow less.
pub fn enter() -> Vec<String> {
    let mut refused = Vec::new();
    let mut note = |what: &str, result: Result<(), rustix::io::Errno>| {
        if let Err(error) = result {
            refused.push(format!("{what}: {error}"));
        }
    };
    note("no new privileges", rustix::thread::set_no_new_privs(true));
    note(
        "end with the server",
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL)),
    );
    for (what, resource, most) in [
        ("address space", Resource::As, ADDRESS_SPACE_BYTES),
        ("core dumps", Resource::Core, 0),
        ("descriptors", Resource::Nofile, FILES_MAX),
    ] {
        let had = rustix::process::getrlimit(resource);
        let most = had.maximum.map_or(most, |maximum| maximum.min(most));
        let limit = Rlimit { current: Some(most), maximum: Some(most) };
        note(what, rustix::process::setrlimit(resource, limit));
    }
    refused
}
