//! `sim`: runs seeds, and says which promise was broken.

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use engine_sim::{Seed, Swarm, run};

const USAGE: &str = "\
usage: sim SEED            run one seed and say what it did
       sim --seeds N       run the seeds 1 to N
       sim --seeds A..B    run the seeds from A, and not B
       sim --signalling …  the same with seeds about signalling: SEED, or --seeds
       sim --smoke         run the seeds that every change must pass
       sim --mutants [A]   plant faults, those whose names begin so, and see that each is found";

/// Seeds of `--smoke`, and those about signalling.
const SMOKE_SEEDS: u64 = 350;
const SMOKE_SIGNALLING_SEEDS: u64 = 60;
/// Seeds that were wrong once.
const REGRESSIONS: &str = include_str!("../tests/seeds.txt");

fn main() -> anyhow::Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (draw, rest): (Draw, _) = match &arguments[..] {
        ["--signalling", rest @ ..] => (Swarm::draw_signalling, rest),
        rest => (Swarm::draw, rest),
    };
    match *rest {
        ["--seeds", range] => Ok(run_all(seeds(range)?.map(|seed| (seed, draw)))),
        ["--smoke"] => {
            let of = |draw: Draw| move |seed| (seed, draw);
            let usual = regressions().chain(1..=SMOKE_SEEDS).map(of(Swarm::draw));
            let signalling = (1..=SMOKE_SIGNALLING_SEEDS).map(of(Swarm::draw_signalling));
            Ok(run_all(usual.chain(signalling)))
        }
        ["--mutants"] => mutants(""),
        ["--mutants", beginning] => mutants(beginning),
        ["--help" | "-h"] => {
            println!("{USAGE}");
            Ok(ExitCode::SUCCESS)
        }
        [seed] if !seed.starts_with('-') => {
            let seed = number(seed)?;
            let swarm = draw(seed);
            println!("{swarm:#?}");
            let report = run(Seed(seed), swarm);
            println!("{report}");
            Ok(exit_code(report.violation.is_none()))
        }
        _ => bail!("{USAGE}"),
    }
}

/// What a seed means.
type Draw = fn(u64) -> Swarm;

fn run_all(seeds: impl Iterator<Item = (u64, Draw)>) -> ExitCode {
    let (mut count, mut seconds, mut wrong) = (0, 0, Vec::new());
    for (seed, draw) in seeds {
        let report = run(Seed(seed), draw(seed));
        count += 1;
        seconds += report.tally.seconds;
        if let Some(violation) = &report.violation {
            if wrong.is_empty() {
                println!("{report}");
            } else {
                println!("seed {seed}: {violation}");
            }
            wrong.push(seed);
        }
    }
    println!("{count} seeds, {seconds} virtual seconds, {} wrong {wrong:?}", wrong.len());
    exit_code(wrong.is_empty())
}

#[cfg(feature = "mutants")]
fn mutants(beginning: &str) -> anyhow::Result<ExitCode> {
    Ok(exit_code(engine_sim::mutants::hunt(beginning)))
}

#[cfg(not(feature = "mutants"))]
fn mutants(_: &str) -> anyhow::Result<ExitCode> {
    bail!("built without faults to plant: cargo run -p engine-sim --features mutants -- --mutants")
}

fn regressions() -> impl Iterator<Item = u64> {
    let lines = REGRESSIONS.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    lines.filter(|line| !line.is_empty()).filter_map(|line| number(line).ok())
}

fn seeds(range: &str) -> anyhow::Result<std::ops::Range<u64>> {
    match range.split_once("..") {
        Some((from, to)) => Ok(number(from)?..number(to)?),
        None => Ok(1..number(range)? + 1),
    }
}

fn number(text: &str) -> anyhow::Result<u64> {
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => text.parse(),
    }
    .with_context(|| format!("not a seed: {text}"))
}

fn exit_code(is_well: bool) -> ExitCode {
    if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
