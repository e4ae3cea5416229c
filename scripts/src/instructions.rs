//! `instructions`: how many instructions pieces of work take, counted by valgrind, against what is
//! committed. Unlike time they are the same however busy the machine is.
//!
//! The counts are those of one kind of processor and one compiler: where either changes, they are
//! counted anew with `--update`.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::process::{cargo, is_there, root, succeeds};

/// Where the budgets are.
const BUDGETS: &str = "scripts/instructions.txt";
/// How far above its budget a piece of work may be, in thousandths.
const TOLERANCE: u64 = 30;
/// Each piece of work is done so many times, and so many times more.
const COUNTS: (u64, u64) = (50, 250);

/// Counts all pieces of work; answers how many are within their budgets, and how many are not.
pub fn run(arguments: &[String]) -> Result<(usize, usize)> {
    let updates = match arguments {
        [] => false,
        [flag] if flag == "--update" => true,
        _ => bail!("usage: cargo xtask instructions [--update]"),
    };
    if !is_there(Command::new("valgrind").arg("--version")) {
        bail!("valgrind is missing: the package is called valgrind");
    }
    if !succeeds(&mut cargo(["build", "--release", "--quiet", "-p", "bench"]))? {
        bail!("bench does not compile");
    }
    let program = target_folder()?.join("release/bench");
    let text = fs::read_to_string(root().join(BUDGETS)).context(BUDGETS)?;
    let (mut passed, mut failed, mut renewed) = (0, 0, String::new());
    for line in text.lines() {
        let Some((work, budget)) = entry(line)? else {
            writeln!(renewed, "{line}")?;
            continue;
        };
        let (few, many) = COUNTS;
        let count = (collected(&program, work, few + many)? - collected(&program, work, few)?)
            .div_ceil(many);
        writeln!(renewed, "{work} {count}")?;
        let is_within = count * 1000 <= budget * (1000 + TOLERANCE);
        let verdict = match (is_within, count * 1000 < budget * (1000 - TOLERANCE)) {
            (false, _) => "TOO MANY",
            (true, true) => "fewer than that: renew it",
            (true, false) => "",
        };
        println!("{work:>12} {count:>9} of {budget:>9} {verdict}");
        *(if is_within { &mut passed } else { &mut failed }) += 1;
    }
    if updates {
        fs::write(root().join(BUDGETS), renewed).context(BUDGETS)?;
        return Ok((passed + failed, 0));
    }
    if failed > 0 {
        println!(
            "if they are needed: cargo xtask instructions --update, and say why in the commit"
        );
    }
    Ok((passed, failed))
}

/// A line of the budgets: a piece of work and its instructions. Empty lines and comments are none.
fn entry(line: &str) -> Result<Option<(&str, u64)>> {
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let pair = line.split_once(' ').and_then(|(work, count)| Some((work, count.parse().ok()?)));
    pair.map(Some).with_context(|| format!("{BUDGETS}: {line}"))
}

/// Instructions of a whole run.
fn collected(program: &PathBuf, work: &str, count: u64) -> Result<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args(["instructions", "--work", work, "--count", &count.to_string()])
        .stdin(Stdio::null())
        .output()
        .context("valgrind")?;
    let text = String::from_utf8_lossy(&output.stderr);
    let collected = text.lines().find_map(|line| line.split_once("Collected : "));
    let number = collected.and_then(|(_, number)| number.trim().parse().ok());
    match number {
        Some(number) if output.status.success() => Ok(number),
        _ => bail!("{work} under valgrind: {}\n{text}", output.status),
    }
}

fn target_folder() -> Result<PathBuf> {
    let output = cargo(["metadata", "--format-version", "1", "--no-deps"]).output()?;
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let folder = metadata["target_directory"].as_str().context("cargo metadata names no target")?;
    Ok(PathBuf::from(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_are_read() {
        assert_eq!(entry("head 1200").expect("well formed"), Some(("head", 1200)));
        assert_eq!(entry("# a comment").expect("well formed"), None);
        assert!(entry("head many").is_err());
    }
}
