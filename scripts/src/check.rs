//! The steps of `cargo xtask check`, each a command of its own, and the line that ends a run.
//!
//! *Invariant:* the last line of a run is `N passed, M failed` and nothing else. A test counts one,
//! and so does each step that has no tests in it.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::process::{cargo, is_there, npm, succeeds, succeeds_and_tells};
use crate::tidy;

/// One step: a name, what it shows, what `check` passes to it, and the work.
pub struct Step {
    name: &'static str,
    arguments_in_check: &'static [&'static str],
    work: fn(&[String]) -> Result<Outcome>,
}

/// What a step counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    passed_count: usize,
    failed_count: usize,
}

/// In the order of what fails soonest.
const STEPS: &[Step] = &[
    Step { name: "fmt", arguments_in_check: &[], work: fmt },
    Step { name: "clippy", arguments_in_check: &[], work: clippy },
    Step { name: "tidy", arguments_in_check: &[], work: tidy_step },
    Step { name: "test", arguments_in_check: &[], work: test },
    Step { name: "web", arguments_in_check: &[], work: web },
    Step { name: "sim", arguments_in_check: &["--smoke"], work: sim },
    Step { name: "fuzz-replay", arguments_in_check: &[], work: fuzz_replay },
    Step { name: "instructions", arguments_in_check: &[], work: instructions },
    Step { name: "bench", arguments_in_check: &["--smoke"], work: bench },
    Step { name: "doc", arguments_in_check: &[], work: doc },
];

const NEXTEST: &[&str] =
    &["nextest", "run", "--color=never", "--config-file", "scripts/nextest.toml"];

/// The step with this name.
pub fn step(name: &str) -> Option<&'static Step> {
    STEPS.iter().find(|step| step.name == name)
}

/// `check`: all steps, or those after `--only`. False where one failed.
pub fn run(arguments: &[String]) -> Result<bool> {
    let (steps, keep_going) = chosen(arguments)?;
    let mut report = Vec::new();
    for step in steps {
        println!("── {} ──", step.name);
        let started_at = now();
        let outcome = (step.work)(&strings(step.arguments_in_check))?;
        report.push((step.name, outcome, started_at.elapsed()));
        if outcome.failed_count > 0 && !keep_going {
            println!("check stopped at `{}`: `cargo xtask {0}` runs it alone", step.name);
            break;
        }
    }
    Ok(summarise(&report))
}

/// One step by its own name, with the caller's arguments.
pub fn run_alone(step: &Step, arguments: &[String]) -> Result<bool> {
    let outcome = (step.work)(arguments)?;
    if step.name == "test" || step.name == "fuzz-replay" {
        println!("{}", closing_line(outcome));
    }
    Ok(outcome.failed_count == 0)
}

fn chosen(arguments: &[String]) -> Result<(Vec<&'static Step>, bool)> {
    let mut keep_going = false;
    let mut names: Option<Vec<String>> = None;
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let list = match argument.as_str() {
            "--keep-going" => {
                keep_going = true;
                continue;
            }
            "--only" => rest.next().map(String::as_str),
            other => other.strip_prefix("--only="),
        };
        let Some(list) = list else { bail!("check takes --only A,B and --keep-going only") };
        names = Some(list.split(',').map(str::to_owned).collect());
    }
    let Some(names) = names else { return Ok((STEPS.iter().collect(), keep_going)) };
    if let Some(unknown) = names.iter().find(|name| step(name).is_none()) {
        let known: Vec<_> = STEPS.iter().map(|step| step.name).collect();
        bail!("no step `{unknown}`; there are {}", known.join(", "));
    }
    let chosen = STEPS.iter().filter(|step| names.iter().any(|name| name == step.name));
    Ok((chosen.collect(), keep_going))
}

fn summarise(report: &[(&str, Outcome, Duration)]) -> bool {
    let mut sum = Outcome { passed_count: 0, failed_count: 0 };
    println!();
    for (name, outcome, took) in report {
        let verdict = if outcome.failed_count == 0 { "ok" } else { "FAILED" };
        println!("{name:12} {verdict:7} {:4} s", took.as_secs());
        sum.passed_count += outcome.passed_count;
        sum.failed_count += outcome.failed_count;
    }
    println!("{}", closing_line(sum));
    sum.failed_count == 0
}

fn closing_line(outcome: Outcome) -> String {
    format!("{} passed, {} failed", outcome.passed_count, outcome.failed_count)
}

fn one(passed: bool) -> Outcome {
    Outcome { passed_count: usize::from(passed), failed_count: usize::from(!passed) }
}

fn fmt(_: &[String]) -> Result<Outcome> {
    Ok(one(succeeds(&mut cargo(["fmt", "--all", "--check"]))?))
}

fn clippy(_: &[String]) -> Result<Outcome> {
    let mut command = cargo(["clippy", "--workspace", "--all-targets", "--quiet", "--"]);
    Ok(one(succeeds(command.args(["-D", "warnings"]))?))
}

fn tidy_step(_: &[String]) -> Result<Outcome> {
    Ok(one(tidy::run()?))
}

/// nextest has no documentation tests; so where it runs the others, cargo runs those.
fn test(arguments: &[String]) -> Result<Outcome> {
    let picks_package =
        arguments.iter().any(|text| text.starts_with("-p") || text.starts_with("--package"));
    let mut shared = vec!["--no-fail-fast"];
    if !picks_package {
        shared.push("--workspace");
    }
    shared.extend(arguments.iter().map(String::as_str));
    if !is_there(&mut cargo(["nextest", "--version"])) {
        return counted(&["test"], &shared);
    }
    let units = counted(NEXTEST, &shared)?;
    if !arguments.is_empty() {
        return Ok(units);
    }
    let documents = counted(&["test", "--doc", "--quiet"], &shared)?;
    Ok(Outcome {
        passed_count: units.passed_count + documents.passed_count,
        failed_count: units.failed_count + documents.failed_count,
    })
}

/// The pages for browsers: their types, their modules alone, and the built pages in Chromium, at
/// the signalling example and at the server.
fn web(_: &[String]) -> Result<Outcome> {
    let mut sum = Outcome { passed_count: 0, failed_count: 0 };
    for script in ["check", "build"] {
        let passed = succeeds(&mut npm(script))?;
        sum.passed_count += usize::from(passed);
        sum.failed_count += usize::from(!passed);
    }
    // The server has the pages in it, so that they come first.
    let signalling = ["build", "--quiet", "-p", "protocol-symple", "--example", "signalling"];
    let server = ["build", "--quiet", "-p", "engine-server"];
    let worker = ["build", "--quiet", "-p", "media-worker"];
    let examples = ["build", "--quiet", "-p", "engine-workers", "--examples"];
    let is_ready = sum.failed_count == 0
        && succeeds(&mut cargo(signalling))?
        && succeeds(&mut cargo(server))?
        && succeeds(&mut cargo(worker))?
        && succeeds(&mut cargo(examples))?;
    if !is_ready {
        sum.failed_count = sum.failed_count.max(1);
        return Ok(sum);
    }
    for script in ["test", "test:pages"] {
        let (passed, text) = succeeds_and_tells(&mut npm(script))?;
        let outcome = tally_of_vitest(passed, &text);
        sum.passed_count += outcome.passed_count;
        sum.failed_count += outcome.failed_count;
    }
    Ok(sum)
}

fn sim(arguments: &[String]) -> Result<Outcome> {
    let mut command = cargo(["run", "--release", "--quiet", "-p", "engine-sim", "--bin", "sim"]);
    // Planted faults are compiled in only for their own run.
    if arguments.iter().any(|argument| argument == "--mutants") {
        command.args(["--features", "mutants"]);
    }
    Ok(one(succeeds(command.arg("--").args(arguments))?))
}

/// `cargo test` replays with a few mutations of each file; this is the place for many.
fn fuzz_replay(_: &[String]) -> Result<Outcome> {
    let mut command = cargo(["test", "--quiet", "-p", "scripts", "--test", "fuzz_replay"]);
    if std::env::var_os("SKYWAVE_FUZZ_MUTATIONS").is_none() {
        command.env("SKYWAVE_FUZZ_MUTATIONS", "500");
    }
    let (passed, text) = succeeds_and_tells(&mut command)?;
    Ok(tally(passed, &text))
}

fn instructions(arguments: &[String]) -> Result<Outcome> {
    let (passed_count, failed_count) = crate::instructions::run(arguments)?;
    Ok(Outcome { passed_count, failed_count })
}

fn bench(arguments: &[String]) -> Result<Outcome> {
    let mut command = cargo(["run", "--release", "--quiet", "-p", "bench", "--"]);
    for argument in arguments {
        command.arg(if argument == "--smoke" { "smoke" } else { argument });
    }
    Ok(one(succeeds(&mut command)?))
}

fn doc(_: &[String]) -> Result<Outcome> {
    let mut command = cargo(["doc", "--workspace", "--no-deps", "--quiet"]);
    Ok(one(succeeds(command.env("RUSTDOCFLAGS", "-D warnings"))?))
}

fn counted(command: &[&str], shared: &[&str]) -> Result<Outcome> {
    let (passed, text) = succeeds_and_tells(cargo(command).args(shared))?;
    Ok(tally(passed, &text))
}

/// Reads the summaries of cargo's and nextest's test runs. A run that fails without a failed test
/// (it did not compile, it was killed) counts as one that failed.
fn tally(succeeded: bool, text: &str) -> Outcome {
    let mut outcome = Outcome { passed_count: 0, failed_count: 0 };
    let lines = || text.lines().map(str::trim_start);
    // nextest shows what a failed test printed, and that has a result line of its own.
    let counts = match lines().any(|line| line.starts_with("Summary [")) {
        true => "Summary [",
        false => "test result:",
    };
    for line in lines().filter(|line| line.starts_with(counts)) {
        outcome.passed_count += number_before(line, "passed");
        for verdict in ["failed", "timed out", "exec failed"] {
            outcome.failed_count += number_before(line, verdict);
        }
    }
    if !succeeded && outcome.failed_count == 0 {
        outcome.failed_count = 1;
    }
    outcome
}

/// Reads vitest's `Tests  1 failed | 12 passed (13)`.
fn tally_of_vitest(succeeded: bool, text: &str) -> Outcome {
    let lines = text.lines().map(str::trim_start);
    let counts = lines.filter_map(|line| line.strip_prefix("Tests  ")).next_back();
    let counts = counts.unwrap_or_default().replace('|', ",");
    let passed_count = number_before(&counts, "passed");
    let failed_count = number_before(&counts, "failed");
    Outcome { passed_count, failed_count: failed_count.max(usize::from(!succeeded)) }
}

/// The number in `12 passed`; 0 where the line has no such verdict.
fn number_before(line: &str, verdict: &str) -> usize {
    line.split([':', ',', ';', '.', '(', ')'])
        .filter_map(|part| part.trim().split_once(' '))
        .filter(|(_, rest)| *rest == verdict)
        .find_map(|(number, _)| number.parse().ok())
        .unwrap_or(0)
}

fn strings(of: &[&str]) -> Vec<String> {
    of.iter().map(|text| (*text).to_owned()).collect()
}

#[allow(clippy::disallowed_methods, reason = "how long a step took is for the reader only")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_summaries_are_read() {
        let cargo = "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out\n\
                     test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured";
        assert_eq!(tally(false, cargo), Outcome { passed_count: 15, failed_count: 2 });
        let nextest = "     Summary [   0.391s] 14 tests run: 12 passed (1 slow), 1 failed, \
                       1 timed out, 3 skipped";
        assert_eq!(tally(false, nextest), Outcome { passed_count: 12, failed_count: 2 });
        let again = format!("test result: FAILED. 0 passed; 1 failed\n{nextest}");
        assert_eq!(tally(false, &again), Outcome { passed_count: 12, failed_count: 2 });
    }

    #[test]
    fn the_summary_of_the_pages_tests_is_read() {
        let text = " Test Files  1 failed | 3 passed (4)\n      Tests  1 failed | 41 passed (42)\n";
        assert_eq!(tally_of_vitest(false, text), Outcome { passed_count: 41, failed_count: 1 });
        let text = " Test Files  4 passed (4)\n      Tests  42 passed (42)\n";
        assert_eq!(tally_of_vitest(true, text), Outcome { passed_count: 42, failed_count: 0 });
        assert_eq!(tally_of_vitest(false, "no summary"), one(false));
    }

    #[test]
    fn what_does_not_compile_has_failed() {
        assert_eq!(tally(false, "error[E0425]: cannot find"), one(false));
        assert_eq!(tally(true, "").failed_count, 0);
    }

    #[test]
    fn only_names_steps() {
        let (steps, keep_going) = chosen(&strings(&["--only", "doc,fmt"])).expect("both exist");
        let names: Vec<_> = steps.iter().map(|step| step.name).collect();
        assert_eq!((names, keep_going), (vec!["fmt", "doc"], false), "in the order of `check`");
        assert!(chosen(&strings(&["--only", "fmt,nothing"])).is_err());
        assert!(chosen(&strings(&["--quick"])).is_err());
        assert!(chosen(&strings(&["--only"])).is_err());
    }

    #[test]
    fn the_closing_line_is_plain() {
        assert_eq!(closing_line(one(true)), "1 passed, 0 failed");
    }
}
