//! `conform`: suites of others that judge us. Each is a program `scripts/conform/SUITE`, which
//! fetches what it needs, runs, and writes the report that is committed beside the crate it judges.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Runs the suite that is named first; the rest is for it. False where it found something.
pub fn run(arguments: &[String]) -> Result<bool> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("conform");
    let known = suites(&folder)?;
    let Some((name, rest)) = arguments.split_first() else {
        bail!("which suite? There are: {}", known.join(", "));
    };
    if !known.contains(name) {
        bail!("no suite `{name}`; there are: {}", known.join(", "));
    }
    let program: PathBuf = folder.join(name);
    let status = Command::new(&program).args(rest).status();
    let status = status.with_context(|| format!("running {}", program.display()))?;
    Ok(status.success())
}

/// The names of all, which have no ending; what they share has one.
fn suites(folder: &Path) -> Result<Vec<String>> {
    let entries = std::fs::read_dir(folder).context("reading scripts/conform")?;
    let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let mut names: Vec<String> = names.collect::<Result<_>>()?;
    names.retain(|name| !name.contains('.'));
    names.sort();
    Ok(names)
}
