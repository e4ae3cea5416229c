//! `bench connect-storm` and `bench big`: many connect, and all must be served.

use std::time::Duration;

use anyhow::{Result, bail};

use crate::args::Args;
use crate::record::{Recorder, table};
use crate::servers::{Kind, ServerOptions};
use crate::trial::{self, Case, Timing, Trial};

/// `bench connect-storm`: all at once, until each has had its burst.
pub(crate) fn connect_storm(mut args: Args) -> Result<()> {
    let recorder = Recorder::new(&mut args)?;
    let mut options = ServerOptions::read(&mut args, "0")?;
    options.has_small_pages = true;
    let kinds: Vec<Kind> = args.list("servers", "skywave,icecast,bare")?;
    let listeners = args.value("listeners", 10_000)?;
    let rounds: usize = args.value("rounds", 3)?;
    let timing = Timing {
        lead_bytes: 0,
        warm_up: Duration::from_secs(args.value("warm-up", 6)?),
        patience: Duration::from_secs(args.value("patience", 240)?),
        settle: Duration::ZERO,
        window: Duration::from_secs(args.value("seconds", 5)?),
        swarm_cores: args.list("swarm-cores", "1")?,
    };
    args.finish()?;
    let mut trials = Vec::new();
    for _ in 0..rounds {
        for &server in &kinds {
            let case = Case { server, write_bytes: 417, titles: false, listeners, rate: 0 };
            trials.push(trial::run(&case, &options, &timing)?);
        }
    }
    recorder.write("connect-storm", &trials, &tables(&trials), (&options, &kinds))?;
    let ours = trials.iter().filter(|trial| trial.case.server == Kind::Skywave);
    judge(ours)
}

/// `bench big`: more listeners than one table of descriptors holds, on several shards.
pub(crate) fn big(mut args: Args) -> Result<()> {
    let recorder = Recorder::new(&mut args)?;
    let options = ServerOptions::read(&mut args, "0,1")?;
    let case = Case {
        server: Kind::Skywave,
        write_bytes: 417,
        titles: false,
        listeners: args.value("listeners", 38_000)?,
        rate: args.value("rate", 5_000)?,
    };
    let timing = Timing {
        lead_bytes: 0,
        warm_up: Duration::from_secs(args.value("warm-up", 6)?),
        patience: Duration::from_secs(args.value("patience", 120)?),
        settle: Duration::from_secs(args.value("settle", 5)?),
        window: Duration::from_secs(args.value("seconds", 60)?),
        swarm_cores: Vec::new(),
    };
    args.finish()?;
    let trials = vec![trial::run(&case, &options, &timing)?];
    recorder.write("big", &trials, &tables(&trials), (&options, &[Kind::Skywave]))?;
    judge(trials.iter())
}

/// None may be refused, dropped, or hear something wrong.
fn judge<'a>(mut trials: impl Iterator<Item = &'a Trial>) -> Result<()> {
    match trials.find_map(|trial| trial.swarm.fault()) {
        Some(fault) => bail!("{fault}"),
        None => Ok(()),
    }
}

fn tables(trials: &[Trial]) -> String {
    let head = [
        "server",
        "listeners",
        "all heard after",
        "all with burst after",
        "first byte p50, p99, longest",
        "refused",
        "dropped",
        "B / listener, most",
        "B / listener, later",
        "kbit/s heard (least)",
        "heard wrong",
    ];
    table(&head, &trials.iter().map(row).collect::<Vec<_>>())
}

fn row(trial: &Trial) -> Vec<String> {
    let swarm = &trial.swarm;
    let seconds = |time: Option<f64>| time.map_or("not all".into(), |time| format!("{time:.2} s"));
    let first = swarm.first_byte_ms;
    vec![
        trial.case.server.name().into(),
        trial.case.listeners.to_string(),
        seconds(swarm.all_heard_s),
        seconds(swarm.all_burst_s),
        format!("{:.0}, {:.0}, {:.0} ms", first.p50, first.p99, first.max),
        swarm.refused.to_string(),
        swarm.dropped.to_string(),
        format!("{:.0}", trial.peak_bytes_per_listener()),
        format!("{:.0}", trial.bytes_per_listener()),
        format!("{:.1} ({:.1})", swarm.kbit_per_second.p50, swarm.kbit_per_second.min),
        format!("{} of {}", swarm.content.failures, swarm.content.sampled),
    ]
}
