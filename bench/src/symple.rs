//! `bench symple`: what a message of signalling costs for each peer that it is delivered to: ours,
//! and Node's with `ws`, running the same protocol, in rounds in which they take turns.
//!
//! ```text
//! all connect, say who they are, are in a room ─ settle ─┤ window: messages at a rate, to rooms
//!                                                         │ server's CPU ÷ deliveries
//! ```
//!
//! *Invariant:* every delivery is read and looked at; a trial in which one is missing has failed.

mod crowd;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Serialize;

use crate::args::Args;
use crate::machine::CoreTime;
use crate::process::{Guard, myself, pinned};
use crate::record::Recorder;
use crate::servers::{Scratch, free_address};
use crate::{clock, http};
use crowd::{Crowd, CrowdOptions};

const NODE_SERVER: &str = "bench/baselines/node-symple/server.js";
const READY_PATIENCE: Duration = Duration::from_secs(20);

/// Of Node's cost for each delivery ours is to be at most this.
const GOAL: f64 = 0.25;

/// Nothing that a client is held to may be what is measured.
const CONFIG: &str = "[symple]\nrooms = []\nchosen_rooms = [\"*\"]\nmessages_max = 1000000\n\
                      auth_timeout_ms = 60000\n";

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Peer {
    Skywave,
    Node,
}

#[derive(Serialize)]
struct Results {
    peers_count: usize,
    room_peers_count: usize,
    messages_per_s: u64,
    window_s: f64,
    trials: Vec<Trial>,
}

#[derive(Serialize)]
struct Trial {
    peer: Peer,
    messages: u64,
    deliveries: u64,
    cpu_s: f64,
    cpu_us_per_delivery: f64,
    resident_bytes: u64,
    /// From a message's send to its deliveries, µs.
    latency_p50_us: u64,
    latency_p99_us: u64,
    core_busy_percent: f64,
    core_stolen_percent: f64,
}

struct Plan {
    crowd: CrowdOptions,
    rounds: usize,
    settle: Duration,
    window: Duration,
    server_core: usize,
    load_core: usize,
    skywave: PathBuf,
    modules: PathBuf,
}

/// The command.
pub(crate) fn command(mut args: Args) -> Result<()> {
    let recorder = Recorder::new(&mut args)?;
    let peers: PathBuf = args.value("peers", PathBuf::from("target/peers"))?;
    let plan = Plan {
        crowd: CrowdOptions {
            peers_count: args.value("clients", 10_000)?,
            room_peers_count: args.value("room", 10)?,
            messages_per_s: args.value("rate", 1_000)?,
        },
        rounds: args.value("rounds", 5)?,
        settle: Duration::from_secs(2),
        window: Duration::from_secs_f64(args.value("seconds", 5.0)?),
        server_core: args.value("server-core", 0)?,
        load_core: args.value("load-core", 1)?,
        skywave: args.value("skywave", myself()?.with_file_name("skywave"))?,
        modules: peers.join("node/node_modules"),
    };
    args.finish()?;
    if !plan.modules.join("ws").exists() {
        bail!("ws is missing below {}; see bench/prepare.sh", plan.modules.display());
    }
    shards_runtime::pin(Some(plan.load_core))?;
    let mut trials = Vec::new();
    for round in 0..plan.rounds {
        let mut order = [Peer::Skywave, Peer::Node];
        // Every other round goes backwards, so that nobody always follows the same one.
        if round % 2 == 1 {
            order.reverse();
        }
        for peer in order {
            let trial = plan.trial(peer)?;
            eprintln!(
                "round {}: {peer:?}: {:.2} µs / delivery, {} deliveries, p99 {} µs",
                round + 1,
                trial.cpu_us_per_delivery,
                trial.deliveries,
                trial.latency_p99_us
            );
            trials.push(trial);
        }
    }
    let results = Results {
        peers_count: plan.crowd.peers_count,
        room_peers_count: plan.crowd.room_peers_count,
        messages_per_s: plan.crowd.messages_per_s,
        window_s: plan.window.as_secs_f64(),
        trials,
    };
    let versions = vec![first_line(&plan.skywave), node_version(&plan.modules)];
    recorder.write_with_plot("symple", &results, &table(&results), (versions, None))
}

/// A small size of it, of ours alone: every delivery arrives.
pub(crate) fn check(skywave: &Path) -> Result<()> {
    let plan = Plan {
        crowd: CrowdOptions { peers_count: 60, room_peers_count: 10, messages_per_s: 200 },
        rounds: 1,
        settle: Duration::from_millis(100),
        window: Duration::from_secs(1),
        server_core: 0,
        load_core: 0,
        skywave: skywave.to_owned(),
        modules: PathBuf::new(),
    };
    let trial = plan.trial(Peer::Skywave)?;
    println!("symple: {} messages, {} deliveries, none missing", trial.messages, trial.deliveries);
    Ok(())
}

impl Plan {
    fn trial(&self, peer: Peer) -> Result<Trial> {
        let address = free_address()?;
        let scratch = Scratch::new("symple")?;
        let mut command = match peer {
            Peer::Skywave => {
                let config = scratch.path().join("skywave.toml");
                std::fs::write(&config, CONFIG)?;
                let mut command = pinned(&self.skywave, Some(self.server_core))?;
                command.arg("--config").arg(config).args(["--listen", &address.to_string()]);
                command.args(["--shards", "1", "--cores", &self.server_core.to_string()]);
                command
            }
            Peer::Node => {
                let mut command = pinned(Path::new("node"), Some(self.server_core))?;
                command.arg(NODE_SERVER);
                command.args([address.ip().to_string(), address.port().to_string()]);
                command.arg(&self.modules);
                command
            }
        };
        let log = std::fs::File::create(scratch.path().join("output.txt"))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let mut guard = Guard::spawn(&mut command)?;
        let ready = clock::wait_until(READY_PATIENCE, || {
            guard.has_ended() || http::status(address, "/").is_ok_and(|code| code == 200)
        });
        let output =
            || std::fs::read_to_string(scratch.path().join("output.txt")).unwrap_or_default();
        if !ready || guard.has_ended() {
            bail!("{peer:?} does not come up:\n{}", output());
        }
        let measured = self.measure(peer, address, &guard);
        measured.with_context(|| format!("{peer:?}, which said:\n{}", output()))
    }

    fn measure(&self, peer: Peer, address: std::net::SocketAddr, guard: &Guard) -> Result<Trial> {
        let mut crowd = Crowd::connect(address, &self.crowd)?;
        crowd.rest(self.settle)?;
        // Once for all that is only slow the first time.
        crowd.talk(self.window / 4)?;
        let (core_before, cpu_before) = (CoreTime::read(self.server_core)?, guard.cpu_exact()?);
        let heard = crowd.talk(self.window)?;
        let (cpu_after, core_after) = (guard.cpu_exact()?, CoreTime::read(self.server_core)?);
        let (busy, stolen) = core_after.since(core_before);
        let expected = heard.messages * (self.crowd.room_peers_count as u64 - 1);
        if heard.deliveries != expected {
            bail!("{} deliveries of {expected} arrived", heard.deliveries);
        }
        let cpu_s = (cpu_after - cpu_before).as_secs_f64();
        Ok(Trial {
            peer,
            messages: heard.messages,
            deliveries: heard.deliveries,
            cpu_s,
            cpu_us_per_delivery: cpu_s * 1e6 / heard.deliveries.max(1) as f64,
            resident_bytes: guard.resident_bytes()?,
            latency_p50_us: heard.latency_us.value_at_quantile(0.5),
            latency_p99_us: heard.latency_us.value_at_quantile(0.99),
            core_busy_percent: busy,
            core_stolen_percent: stolen,
        })
    }
}

fn table(results: &Results) -> String {
    let of = |peer: Peer, of: fn(&Trial) -> f64| {
        let mut values: Vec<f64> =
            results.trials.iter().filter(|it| it.peer == peer).map(of).collect();
        values.sort_by(f64::total_cmp);
        values
    };
    let median = |values: &[f64]| values.get(values.len() / 2).copied().unwrap_or(f64::NAN);
    let mut out = format!(
        "{} peers in rooms of {}, {} messages a second, each to a room, in windows of {} s; the \
         median of the rounds, and the least and the most. One core for the server.\n\n\
         | server | CPU µs / delivered message | latency p50 / p99 µs | memory MiB |\n\
         |---|---|---|---|\n",
        results.peers_count, results.room_peers_count, results.messages_per_s, results.window_s
    );
    for peer in [Peer::Skywave, Peer::Node] {
        let cost = of(peer, |trial| trial.cpu_us_per_delivery);
        let (Some(least), Some(most)) = (cost.first(), cost.last()) else { continue };
        out.push_str(&format!(
            "| {peer:?} | {:.2} ({least:.2} to {most:.2}) | {:.0} / {:.0} | {:.0} |\n",
            median(&cost),
            median(&of(peer, |trial| trial.latency_p50_us as f64)),
            median(&of(peer, |trial| trial.latency_p99_us as f64)),
            median(&of(peer, |trial| trial.resident_bytes as f64)) / 1_048_576.0,
        ));
    }
    let cost = |peer| median(&of(peer, |trial| trial.cpu_us_per_delivery));
    let ratio = cost(Peer::Skywave) / cost(Peer::Node);
    let reached = if ratio <= GOAL { "reached" } else { "not reached" };
    out + &format!("\nOurs to Node's: {ratio:.3}; the goal of {GOAL} is {reached}.\n")
}

fn first_line(program: &Path) -> String {
    let output = Command::new(program).arg("--version").output();
    let text = output.map(|it| String::from_utf8_lossy(&it.stdout).into_owned());
    text.unwrap_or_default().lines().next().unwrap_or("unknown").to_owned()
}

fn node_version(modules: &Path) -> String {
    let text = std::fs::read(modules.join("ws/package.json")).unwrap_or_default();
    let package: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
    let ws = package["version"].as_str().unwrap_or("?");
    format!("Node {}, ws {ws}", first_line(Path::new("node")))
}
