//! What an idle keep-alive connection holds in the server: resident memory with so many of them,
//! each of which has had one answer, less what it was before they came.
//!
//! The server has served a hundred connections before, so that what it sets up once (buffers that
//! all share, code that is loaded when it is first used) is not counted. The kernel's own memory
//! for sockets is not in it.

use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;

use super::peers::{Options, Peer, Running};
use super::site::Site;
use super::trial::Timing;
use super::works::{ALL, Work};
use crate::clock;
use crate::load::Load;

const PLAIN_COUNT: usize = 10_000;
const SECURE_COUNT: usize = 2_000;
/// For a server to give back what it wants to.
const REST: Duration = Duration::from_millis(500);

/// What came out.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Memory {
    /// Whose.
    pub(crate) peer: Peer,
    /// Whether the connections are TLS.
    pub(crate) secure: bool,
    /// How many connections.
    pub(crate) connections: usize,
    /// Resident before they came.
    pub(crate) before_bytes: u64,
    /// Resident with all of them.
    pub(crate) after_bytes: u64,
}

impl Memory {
    /// For each connection, bytes.
    pub(crate) fn per_connection(&self) -> f64 {
        (self.after_bytes as f64 - self.before_bytes as f64) / self.connections as f64
    }
}

/// Measures everybody, plain and with TLS.
pub(crate) fn measure(
    peers: &[Peer],
    options: &Options,
    site: &Site,
    timing: &Timing,
) -> Result<Vec<Memory>> {
    let mut results = Vec::new();
    let lacks_tls = !options.serve_has_tls();
    for (name, count) in [("hello", PLAIN_COUNT), ("tls", SECURE_COUNT)] {
        let work = ALL.iter().find(|work| work.name == name).context("no such work")?;
        for &peer in peers.iter().filter(|peer| work.peers.contains(peer)) {
            if work.secure && peer == Peer::Serve && lacks_tls {
                continue;
            }
            let one = measure_one((work, peer, count), options, site, timing);
            let one = one.with_context(|| format!("memory of {}", peer.name()))?;
            eprintln!("{}, {name}: {:.0} B / connection", peer.name(), one.per_connection());
            results.push(one);
        }
    }
    Ok(results)
}

fn measure_one(
    (work, peer, connections): (&Work, Peer, usize),
    options: &Options,
    site: &Site,
    timing: &Timing,
) -> Result<Memory> {
    let server = Running::start(peer, work.secure, options, site)?;
    let mut load_options = work.load(peer, server.address(work)?, 0, site);
    load_options.core = timing.load_core;
    let mut warm = Load::open(&load_options, timing.patience)?;
    warm.run()?;
    clock::sleep(timing.warm_up);
    drop(warm);
    clock::sleep(REST);
    let before_bytes = server.process().resident_bytes()?;
    load_options.connections = connections;
    let load = Load::open(&load_options, timing.patience)?;
    clock::sleep(REST);
    let after_bytes = server.process().resident_bytes()?;
    drop(load);
    Ok(Memory { peer, secure: work.secure, connections, before_bytes, after_bytes })
}
