//! `bench http`: what an HTTP request costs: ours, a bare ring's, and that of servers that people
//! use, in rounds in which they take turns.
//!
//! The figure is answers for each second of the server's processor time, so that neither the load
//! nor the machine's other core caps it; a figure is the median of its rounds, and what is claimed
//! is a ratio of two medians of one run.

mod goals;
mod memory;
mod peers;
mod plot;
mod site;
mod smoke;
mod tables;
mod trial;
mod works;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};
use serde::Serialize;

use crate::args::Args;
use crate::record::Recorder;
use memory::Memory;
use peers::{Options, Peer, Running};
use site::Site;
use trial::{Case, Timing, Trial};
use works::{LATENCY, LATENCY_PEERS, Work};

pub(crate) use smoke::smoke;

/// Load at which latency is measured, as a share of what the slowest can do.
const LATENCY_LOAD: f64 = 0.7;

/// Everything that was measured.
#[derive(Serialize)]
struct Results {
    rounds: usize,
    window_s: f64,
    /// What each can do at most, answers a second, where latency was measured.
    saturation: Vec<(Peer, f64)>,
    trials: Vec<Trial>,
    memory: Vec<Memory>,
    /// Why some were not measured.
    missing: Vec<String>,
}

struct Plan {
    works: Vec<&'static Work>,
    peers: Vec<Peer>,
    with_latency: bool,
    with_memory: bool,
    rounds: usize,
    timing: Timing,
    options: Options,
}

/// The command.
pub(crate) fn command(mut args: Args) -> Result<()> {
    if args.switch("prepare")? {
        let status = Command::new("bench/prepare.sh").status()?;
        if !status.success() {
            eprintln!("not everything is there; what is missing is not measured");
        }
    }
    let recorder = Recorder::new(&mut args)?;
    let mut plan = Plan::read(&mut args)?;
    args.finish()?;
    let mut missing = Vec::new();
    let options = &plan.options;
    plan.peers.retain(|&peer| match options.lacks(peer) {
        None => true,
        Some(what) => {
            eprintln!("{}: {what} is missing; see bench/prepare.sh", peer.name());
            missing.push(format!("{}: no {what}", peer.name()));
            false
        }
    });
    let site = Site::new()?;
    let mut results = Results {
        rounds: plan.rounds,
        window_s: plan.timing.window.as_secs_f64(),
        saturation: Vec::new(),
        trials: Vec::new(),
        memory: Vec::new(),
        missing,
    };
    plan.measure(&site, &mut results)?;
    let tables = tables::all(&results);
    let plot = plot::draw(&results.trials);
    let named = plan.peers.iter().filter(|peer| **peer != Peer::LibuvGathered);
    let version = |peer: &Peer| format!("{}: {}", peer.name(), plan.options.version(*peer));
    let versions = named.map(version).collect();
    recorder.write_with_plot("http", &results, &tables, (versions, Some(&plot)))
}

impl Plan {
    fn read(args: &mut Args) -> Result<Self> {
        let only: Option<String> = args.optional("only")?;
        let only: Option<Vec<&str>> = only.as_ref().map(|text| text.split(',').collect());
        let is_wanted = |name: &str| only.as_ref().is_none_or(|names| names.contains(&name));
        let known = |name: &&str| {
            works::ALL.iter().any(|work| work.name == *name) || ["latency", "memory"].contains(name)
        };
        if let Some(name) = only.iter().flatten().find(|name| !known(name)) {
            let names: Vec<&str> = works::ALL.iter().map(|work| work.name).collect();
            bail!("there is no work {name}, only {}, latency, memory", names.join(", "));
        }
        let peers: String = args.value("servers", Peer::ALL.map(Peer::word).join(","))?;
        let mut list = Vec::new();
        for word in peers.split(',') {
            let Ok(peer) = word.parse() else { bail!("there is no server {word}") };
            list.push(peer);
        }
        let server_core = args.value("server-core", 0)?;
        Ok(Plan {
            works: works::ALL.iter().filter(|work| is_wanted(work.name)).collect(),
            with_latency: is_wanted("latency"),
            with_memory: is_wanted("memory"),
            peers: list,
            rounds: args.value("rounds", 5)?,
            timing: Timing {
                warm_up: Duration::from_millis(args.value("warm-up-ms", 200)?),
                window: Duration::from_secs_f64(args.value("seconds", 2.0)?),
                patience: Duration::from_secs(60),
                server_core,
                load_core: Some(args.value("load-core", 1)?),
                is_patient: args.switch("patient")?,
            },
            options: Options {
                serve: args.value("serve", peers::serve_beside_myself()?)?,
                peers: args.value("peers", PathBuf::from("target/peers"))?,
                core: Some(server_core),
            },
        })
    }

    fn measure(&self, site: &Site, results: &mut Results) -> Result<()> {
        let mut cases = self.cases(results);
        if self.with_latency {
            cases.extend(self.latency_cases(site, results)?);
        }
        for round in 0..self.rounds {
            // Each round has its own processes: where their memory happens to lie is part of luck.
            let mut running = BTreeMap::new();
            for step in 0..cases.len() {
                // Every other round goes backwards, so that nobody always follows the same one.
                let index = if round % 2 == 0 { step } else { cases.len() - 1 - step };
                let case = &cases[index];
                let server = self.server(case, site, &mut running)?;
                let trial = trial::run(case, server, site, &self.timing)?;
                eprintln!("round {}: {}", round + 1, trial.brief());
                results.trials.push(trial);
            }
        }
        if self.with_memory {
            results.memory = memory::measure(&self.peers, &self.options, site, &self.timing)?;
        }
        Ok(())
    }

    fn cases(&self, results: &mut Results) -> Vec<Case> {
        let mut cases = Vec::new();
        let lacks_tls = !self.options.serve_has_tls();
        for &work in &self.works {
            let peers = work.peers.iter().filter(|peer| self.peers.contains(peer));
            for &peer in peers {
                if work.secure && peer == Peer::Serve && lacks_tls {
                    results.missing.push(format!("{}: serve has no TLS", work.title));
                } else {
                    cases.push(Case { work, peer, rate: 0 });
                }
            }
        }
        cases
    }

    /// First how much each can do, then all at the same load.
    fn latency_cases(&self, site: &Site, results: &mut Results) -> Result<Vec<Case>> {
        let peers = LATENCY_PEERS.iter().copied().filter(|peer| self.peers.contains(peer));
        let peers: Vec<Peer> = peers.collect();
        let timing = Timing { window: self.timing.window / 2, ..self.timing.clone() };
        for &peer in &peers {
            let case = Case { work: &LATENCY, peer, rate: 0 };
            let mut running = BTreeMap::new();
            let server = self.server(&case, site, &mut running)?;
            let trial = trial::run(&case, server, site, &timing)?;
            results.saturation.push((peer, trial.report.rate()));
        }
        let least = results.saturation.iter().map(|(_, rate)| *rate).fold(f64::INFINITY, f64::min);
        let rate = if least.is_finite() { (least * LATENCY_LOAD) as u64 } else { 0 };
        Ok(peers.into_iter().map(|peer| Case { work: &LATENCY, peer, rate }).collect())
    }

    fn server<'r>(
        &self,
        case: &Case,
        site: &Site,
        running: &'r mut BTreeMap<(Peer, bool), Running>,
    ) -> Result<&'r Running> {
        match running.entry((case.peer, case.work.secure)) {
            Entry::Occupied(there) => Ok(there.into_mut()),
            Entry::Vacant(free) => {
                let server = Running::start(case.peer, case.work.secure, &self.options, site)?;
                Ok(free.insert(server))
            }
        }
    }
}
