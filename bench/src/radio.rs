//! `bench radio`: what a listener costs, in rounds in which the servers take turns.
//!
//! A figure is the median of its rounds; what is claimed is a ratio of two medians of one run.

use std::time::Duration;

use anyhow::Result;

use crate::args::Args;
use crate::record::{Recorder, table};
use crate::servers::{Kind, ServerOptions};
use crate::trial::{self, Case, Timing, Trial};

struct Plan {
    cases: Vec<Case>,
    rounds: usize,
    timing: Timing,
}

/// The command.
pub(crate) fn command(mut args: Args) -> Result<()> {
    let recorder = Recorder::new(&mut args)?;
    let options = ServerOptions::read(&mut args, "0")?;
    let kinds: Vec<Kind> = args.list("servers", "skywave,icecast,bare")?;
    let plan = Plan::read(&mut args, &kinds)?;
    args.finish()?;
    let mut trials = Vec::new();
    for round in 0..plan.rounds {
        for step in 0..plan.cases.len() {
            // Every other round goes backwards, so that nobody always follows the same one.
            let index = if round % 2 == 0 { step } else { plan.cases.len() - 1 - step };
            let case = &plan.cases[index];
            let trial = trial::run(case, &options, &plan.timing)?;
            eprintln!("round {}: {}", round + 1, brief(&trial));
            trials.push(trial);
        }
    }
    let text = tables(&plan.cases, &trials);
    recorder.write("radio", &trials, &text, (&options, &kinds))
}

impl Plan {
    fn read(args: &mut Args, kinds: &[Kind]) -> Result<Self> {
        let listeners: usize = args.value("listeners", 10_000)?;
        // More than this it does not serve at the full rate on one core.
        let icecast_listeners = args.value("icecast-listeners", listeners.min(5_000))?;
        // It accepts with a queue of 5 and one at a time: all at once would measure TCP's patience.
        let icecast_rate = args.value("icecast-rate", 200)?;
        let rate = args.value("rate", 0)?;
        let titles = args.switch("titles")?;
        let mut cases = Vec::new();
        for (index, write_bytes) in args.list("source-write", "417,1400")?.into_iter().enumerate() {
            for &server in kinds {
                let (listeners, rate) = match server {
                    Kind::Icecast => (icecast_listeners, icecast_rate),
                    Kind::Skywave | Kind::Bare => (listeners, rate),
                };
                let case = Case { server, write_bytes, titles: false, listeners, rate };
                if server == Kind::Bare && index > 0 {
                    continue;
                }
                if titles && server == Kind::Skywave {
                    cases.push(Case { titles, ..case.clone() });
                }
                cases.push(case);
            }
        }
        let timing = Timing {
            lead_bytes: 0,
            warm_up: Duration::from_secs(args.value("warm-up", 6)?),
            patience: Duration::from_secs(args.value("patience", 180)?),
            settle: Duration::from_secs(args.value("settle", 5)?),
            window: Duration::from_secs(args.value("seconds", 30)?),
            swarm_cores: args.list("swarm-cores", "1")?,
        };
        Ok(Plan { cases, rounds: args.value("rounds", 3)?, timing })
    }
}

fn brief(trial: &Trial) -> String {
    let Case { server, write_bytes, titles, listeners, .. } = &trial.case;
    let titled = if *titles { " titled" } else { "" };
    let cpu = trial.cpu_us_per_listener_second;
    let fault = trial.swarm.fault().unwrap_or_else(|| "no fault".into());
    format!("{}{titled} {write_bytes} B, {listeners}: {cpu:.2} µs; {fault}", server.name())
}

/// All tables: what was measured, ticks, ratios with what they are to reach.
fn tables(cases: &[Case], trials: &[Trial]) -> String {
    let head = [
        "server",
        "source writes",
        "listeners",
        "CPU µs / listener-second (range)",
        "kbit/s heard (least)",
        "receives / listener-second (sends by its own count)",
        "B / listener, connecting",
        "B / listener, steady",
        "all heard after",
        "refused, dropped",
        "heard wrong",
        "core busy, stolen",
    ];
    let mut text = table(&head, &cases.iter().map(|case| row(case, trials)).collect::<Vec<_>>());
    let ticks: Vec<Vec<String>> = cases.iter().filter_map(|case| tick_row(case, trials)).collect();
    if !ticks.is_empty() {
        let head = ["server", "source writes", "tick p50 µs", "p99", "p99.9", "longest"];
        text.push_str(&format!("\nUpper bounds, worst round.\n\n{}", table(&head, &ticks)));
    }
    let ratios = ratios(cases, trials);
    if !ratios.is_empty() {
        let head = ["CPU for each listener-second", "ratio", "to reach", "reached"];
        text.push_str(&format!("\n{}", table(&head, &ratios)));
    }
    text
}

fn row(case: &Case, trials: &[Trial]) -> Vec<String> {
    let of = |value: fn(&Trial) -> f64| sorted(case, trials, value);
    let middle = |value: fn(&Trial) -> f64| median(&of(value));
    let cpu = of(|trial| trial.cpu_us_per_listener_second);
    let all_heard = of(|trial| trial.swarm.all_heard_s.unwrap_or(f64::INFINITY));
    let all_heard = match median(&all_heard) {
        time if time.is_finite() => format!("{time:.2} s"),
        _ => "not all".into(),
    };
    let total = |value: fn(&Trial) -> f64| of(value).iter().sum::<f64>();
    vec![
        name(case),
        if case.server == Kind::Bare { "–".into() } else { format!("{} B", case.write_bytes) },
        case.listeners.to_string(),
        format!("{:.1} ({:.1}–{:.1})", median(&cpu), cpu[0], cpu[cpu.len() - 1]),
        format!(
            "{:.1} ({:.1})",
            middle(|trial| trial.swarm.kbit_per_second.p50),
            of(|trial| trial.swarm.kbit_per_second.min)[0]
        ),
        sends(case, trials),
        format!("{:.0}", middle(Trial::peak_bytes_per_listener)),
        format!("{:.0}", middle(Trial::bytes_per_listener)),
        all_heard,
        format!(
            "{:.0}, {:.0}",
            total(|trial| trial.swarm.refused as f64),
            total(|trial| trial.swarm.dropped as f64)
        ),
        format!(
            "{:.0} of {:.0}",
            total(|trial| trial.swarm.content.failures as f64),
            total(|trial| trial.swarm.content.sampled as f64)
        ),
        format!(
            "{:.0} %, {:.1} %",
            middle(|trial| trial.core_busy_percent),
            middle(|trial| trial.core_stolen_percent)
        ),
    ]
}

fn sends(case: &Case, trials: &[Trial]) -> String {
    let receives = sorted(case, trials, |trial| trial.swarm.receives_per_listener_second);
    let sends = sorted(case, trials, |trial| trial.sends_per_listener_second.unwrap_or(f64::NAN));
    let (receives, sends) = (median(&receives), median(&sends));
    if sends.is_nan() { format!("{receives:.2}") } else { format!("{receives:.2} ({sends:.2})") }
}

fn tick_row(case: &Case, trials: &[Trial]) -> Option<Vec<String>> {
    let ticks: Vec<_> = rounds(case, trials).filter_map(|trial| trial.ticks).collect();
    if ticks.is_empty() {
        return None;
    }
    let worst = |value: fn(&trial::Ticks) -> f64| {
        let worst = ticks.iter().map(value).fold(0.0, f64::max);
        if worst.is_finite() { format!("{worst:.0}") } else { "beyond the last bucket".into() }
    };
    Some(vec![
        name(case),
        format!("{} B", case.write_bytes),
        worst(|ticks| ticks.p50_us),
        worst(|ticks| ticks.p99_us),
        worst(|ticks| ticks.p999_us),
        worst(|ticks| ticks.max_us.unwrap_or(f64::INFINITY)),
    ])
}

/// Each pair that a promise is about, where both were measured.
fn ratios(cases: &[Case], trials: &[Trial]) -> Vec<Vec<String>> {
    let cost = |case: &Case| median(&sorted(case, trials, |t| t.cpu_us_per_listener_second));
    let find = |wanted: &dyn Fn(&Case) -> bool| cases.iter().find(|case| wanted(case));
    let ours = |case: &Case| case.server == Kind::Skywave;
    let mut rows = Vec::new();
    let mut add = |what: String, ratio: f64, most: f64| {
        let reached = if ratio <= most { "yes" } else { "no" };
        rows.push(vec![what, format!("{ratio:.3}"), format!("≤ {most:.3}"), reached.into()]);
    };
    for case in cases.iter().filter(|case| ours(case)) {
        let bytes = case.write_bytes;
        let same = |other: &Case| other.write_bytes == bytes && !other.titles;
        if case.titles {
            if let Some(plain) = find(&|other| ours(other) && same(other)) {
                let what = format!("titles to none, {bytes} B");
                add(what, cost(case) / cost(plain), 1.15);
            }
            continue;
        }
        if let Some(icecast) = find(&|other| other.server == Kind::Icecast && same(other)) {
            let what = format!("skywave to icecast2, {bytes} B");
            add(what, cost(case) / cost(icecast), 1.0 / 6.0);
        }
        if let Some(bare) = find(&|other| other.server == Kind::Bare) {
            let what = format!("skywave to the bare ring, {bytes} B");
            add(what, cost(case) / cost(bare), 1.25);
        }
        if let Some(first) = find(&|other| ours(other) && !other.titles)
            && first.write_bytes != bytes
        {
            // «The same»: within what two runs of one thing differ by.
            let what = format!("{bytes} B to {} B", first.write_bytes);
            add(what, cost(case) / cost(first), 1.1);
        }
    }
    rows
}

fn name(case: &Case) -> String {
    let titles = if case.titles { ", titles" } else { "" };
    format!("{}{titles}", case.server.name())
}

fn rounds<'a>(case: &'a Case, trials: &'a [Trial]) -> impl Iterator<Item = &'a Trial> {
    trials.iter().filter(move |trial| trial.case == *case)
}

fn sorted(case: &Case, trials: &[Trial], value: fn(&Trial) -> f64) -> Vec<f64> {
    let mut values: Vec<f64> = rounds(case, trials).map(value).collect();
    values.sort_by(f64::total_cmp);
    values
}

/// The middle value, or the lower one of the two in the middle.
fn median(sorted: &[f64]) -> f64 {
    sorted.get(sorted.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}
