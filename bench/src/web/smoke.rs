//! The HTTP part of `bench smoke`: a few hundred answers of each kind, every byte compared, with no
//! regard to how long they take.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::peers::{Options, Peer, Running, serve_beside_myself};
use super::site::Site;
use super::works::{self, Work};
use crate::load::{Kind, Load};

const CONNECTIONS: usize = 20;
const REQUESTS: u64 = 500;
/// For what takes long and shows nothing new with more of it.
const REQUESTS_FEW: u64 = 60;
const PATIENCE: Duration = Duration::from_secs(60);

/// Starts ours and the bare ring, and asks each for everything that it can do.
pub(crate) fn smoke(build: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let options =
        Options { serve: serve_beside_myself()?, peers: "target/peers".into(), core: None };
    // Always: one that an earlier build left here may be another commit's.
    build(&options.serve)?;
    let site = Site::new()?;
    let has_tls = options.serve_has_tls();
    for peer in [Peer::Bare, Peer::Serve] {
        for secure in [false, true] {
            let does = |work: &&Work| work.secure == secure && work.peers.contains(&peer);
            let works: Vec<&Work> =
                works::ALL.iter().filter(|work| !work.by_wrk).filter(does).collect();
            if works.is_empty() || secure && !has_tls {
                continue;
            }
            let server = Running::start(peer, secure, &options, &site)?;
            for work in works {
                let count = try_work(work, peer, &server, &site).with_context(|| {
                    format!("{}, {}; {}", work.name, peer.name(), server.output())
                })?;
                println!("{}: {}: {count} answers, all right", peer.name(), work.title);
            }
        }
    }
    Ok(())
}

fn try_work(work: &Work, peer: Peer, server: &Running, site: &Site) -> Result<u64> {
    // At a rate as well: the machine may be slow, so nothing is said about how late requests are.
    let mut count = 0;
    for rate in [0, 2_000] {
        let mut options = work.load(peer, server.address(work)?, rate, site);
        options.connections = CONNECTIONS.min(work.connections);
        let is_slow = work.kind == Kind::Close && work.secure;
        options.requests = if is_slow { REQUESTS_FEW } else { REQUESTS };
        options.is_patient = true;
        let mut load = Load::open(&options, PATIENCE)?;
        load.run()?;
        let report = load.next(PATIENCE)?;
        if let Some(fault) = report.fault() {
            bail!("{fault}");
        }
        if report.answers < options.requests {
            bail!("only {} answers", report.answers);
        }
        if work.resumes && report.handshakes_full > 0 {
            bail!("{} sessions were not resumed", report.handshakes_full);
        }
        if work.kind == Kind::Close && work.secure && !work.resumes && report.handshakes_resumed > 0
        {
            bail!("{} sessions were resumed that nobody asked for", report.handshakes_resumed);
        }
        count += report.answers;
    }
    Ok(count)
}
