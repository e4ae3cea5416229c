//! One measurement: a server, a source, a swarm, and what the server's process used meanwhile.
//!
//! ```text
//! server ready ─ source warms up ─ all connect ─ settle ─┤ window: CPU, bytes, ticks ├─ memory
//! ```
//!
//! *Invariant:* what is published as cost is taken from the window only; nothing but the listeners
//! happens in it.

use std::time::Duration;

use anyhow::{Result, bail};
use serde::Serialize;

use crate::clock;
use crate::machine::CoreTime;
use crate::metrics::Metrics;
use crate::servers::{Kind, MOUNT, Server, ServerOptions};
use crate::swarm::{Milestone, Summary, Swarm, SwarmOptions};

const SAMPLES: usize = 20;
/// So much has every listener that has had its burst: Icecast's and our 65,535 bytes less a chunk.
pub(crate) const BURST_BYTES: u64 = 60_000;

/// What is measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Case {
    /// Which server.
    pub(crate) server: Kind,
    /// Size of the source's writes.
    pub(crate) write_bytes: usize,
    /// Whether listeners ask for titles.
    pub(crate) titles: bool,
    /// How many they are.
    pub(crate) listeners: usize,
    /// Connections each second; 0: all at once.
    pub(crate) rate: usize,
}

/// For how long, and where.
#[derive(Clone, Debug)]
pub(crate) struct Timing {
    /// Sent by the source at once, before real time begins.
    pub(crate) lead_bytes: u64,
    /// From the source's start to the first listener.
    pub(crate) warm_up: Duration,
    /// How long the listeners may take to connect.
    pub(crate) patience: Duration,
    /// From the last listener's burst to the window.
    pub(crate) settle: Duration,
    /// The window.
    pub(crate) window: Duration,
    /// Where the swarm runs; empty: anywhere.
    pub(crate) swarm_cores: Vec<usize>,
}

/// What came out.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Trial {
    /// What was measured.
    pub(crate) case: Case,
    /// Length of the window, s.
    pub(crate) window_s: f64,
    /// The server's processor time in the window for each listener and second, µs.
    pub(crate) cpu_us_per_listener_second: f64,
    /// Memory before the first listener, bytes.
    pub(crate) resident_before_bytes: u64,
    /// The most while they connected; looked at every few milliseconds.
    pub(crate) resident_peak_bytes: u64,
    /// At the end of the window.
    pub(crate) resident_after_bytes: u64,
    /// Sends for each listener and second, as the server counts them.
    pub(crate) sends_per_listener_second: Option<f64>,
    /// Length of ticks in the window, µs, where the server tells.
    pub(crate) ticks: Option<Ticks>,
    /// How much of the window the server's first core worked, percent.
    pub(crate) core_busy_percent: f64,
    /// How much another machine took from it, percent.
    pub(crate) core_stolen_percent: f64,
    /// What the listeners say.
    pub(crate) swarm: Summary,
}

/// Quantiles of the length of ticks, µs: upper bounds of their histogram's buckets.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Ticks {
    /// Half of all ticks.
    pub(crate) p50_us: f64,
    /// 99 %.
    pub(crate) p99_us: f64,
    /// 99.9 %.
    pub(crate) p999_us: f64,
    /// All. JSON has no infinity: missing when the longest was beyond the last bucket.
    pub(crate) max_us: Option<f64>,
}

impl Trial {
    /// Memory for each listener while they connected, bytes.
    pub(crate) fn peak_bytes_per_listener(&self) -> f64 {
        self.per_listener(self.resident_peak_bytes)
    }

    /// Memory for each listener at the end, bytes.
    pub(crate) fn bytes_per_listener(&self) -> f64 {
        self.per_listener(self.resident_after_bytes)
    }

    fn per_listener(&self, resident_bytes: u64) -> f64 {
        let grown = resident_bytes as f64 - self.resident_before_bytes as f64;
        grown / self.case.listeners.max(1) as f64
    }
}

/// Measures once.
pub(crate) fn run(case: &Case, options: &ServerOptions, timing: &Timing) -> Result<Trial> {
    // The source is a thread of this process, and belongs to the load.
    shards_runtime::pin(timing.swarm_cores.first().copied())?;
    let server = Server::start(case.server, options)?;
    let source = server.source(case.write_bytes, timing.lead_bytes)?;
    clock::sleep(timing.warm_up);
    if case.titles {
        server.set_title("Bench%20-%20The%20only%20title")?;
    }
    let mut swarm = Swarm::open(&swarm_options(case, &server, timing))?;
    let resident_before_bytes = server.process().resident_bytes()?;
    swarm.start()?;
    let resident_peak_bytes = watch_connects(&mut swarm, &server, timing)?;
    clock::sleep(timing.settle);

    let core = options.cores.first().copied().unwrap_or(0);
    let metrics = server.metrics()?;
    let (core_before, cpu_before) = (CoreTime::read(core)?, server.process().cpu()?);
    let start = clock::now();
    swarm.begin_window()?;
    clock::sleep(timing.window);
    let (cpu_after, window_s) = (server.process().cpu()?, start.elapsed().as_secs_f64());
    let (busy, stolen) = CoreTime::read(core)?.since(core_before);
    let resident_after_bytes = server.process().resident_bytes()?;
    let summary = swarm.report()?;
    let later_metrics = server.metrics()?;
    if source.as_ref().is_some_and(|source| source.has_failed()) {
        bail!("the source was cut off; {}", server.output());
    }
    let listener_seconds = summary.listening.max(1) as f64 * window_s;
    let told = metrics.zip(later_metrics);
    Ok(Trial {
        case: case.clone(),
        window_s,
        cpu_us_per_listener_second: (cpu_after - cpu_before).as_secs_f64() * 1e6 / listener_seconds,
        resident_before_bytes,
        resident_peak_bytes: resident_peak_bytes.max(resident_after_bytes),
        resident_after_bytes,
        sends_per_listener_second: told.as_ref().and_then(|(before, after)| {
            let name = "skywave_listener_sends_total";
            Some((after.sum(name)? - before.sum(name)?) / listener_seconds)
        }),
        ticks: told.and_then(|(before, after)| Ticks::between(&before, &after)),
        core_busy_percent: busy,
        core_stolen_percent: stolen,
        swarm: summary,
    })
}

fn swarm_options(case: &Case, server: &Server, timing: &Timing) -> SwarmOptions {
    SwarmOptions {
        address: server.address(),
        mount: MOUNT.into(),
        count: case.listeners,
        titles: case.titles,
        rate: case.rate,
        samples: SAMPLES.min(case.listeners),
        burst_bytes: BURST_BYTES,
        cores: timing.swarm_cores.clone(),
    }
}

/// Waits for all bursts (or for patience to end) and answers the most memory seen meanwhile.
fn watch_connects(swarm: &mut Swarm, server: &Server, timing: &Timing) -> Result<u64> {
    let give_up_at = clock::now() + timing.patience;
    let mut peak = 0;
    while !swarm.wait(Milestone::Burst, Duration::from_millis(5))? {
        peak = peak.max(server.process().resident_bytes()?);
        if clock::now() > give_up_at {
            break;
        }
    }
    Ok(peak)
}

impl Ticks {
    fn between(before: &Metrics, after: &Metrics) -> Option<Self> {
        let ticks = after.histogram_since(before, "skywave_tick_us")?;
        let max_us = ticks.quantile(1.0);
        Some(Ticks {
            p50_us: ticks.quantile(0.5),
            p99_us: ticks.quantile(0.99),
            p999_us: ticks.quantile(0.999),
            max_us: max_us.is_finite().then_some(max_us),
        })
    }
}
