//! Raw results and their tables, under `bench/runs/DATE-HOST/`.
//!
//! *Invariant:* a file of an earlier run is never overwritten.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::args::Args;
use crate::clock;
use crate::machine::Facts;
use crate::servers::{Kind, ServerOptions};

const DIRECTORY: &str = "bench/runs";
const README: &str = "bench/README.md";
const BEGIN: &str = "<!-- latest run -->\n";
const END: &str = "<!-- end of latest run -->\n";

/// Everything that one command measured.
#[derive(Serialize)]
struct Record<'a, T> {
    command: String,
    date: String,
    time_utc: String,
    commit: String,
    servers: Vec<String>,
    machine: &'a Facts,
    results: &'a T,
}

/// Where results go.
#[derive(Clone, Debug)]
pub(crate) struct Recorder {
    directory: PathBuf,
    facts: Facts,
    command: String,
}

impl Recorder {
    /// Looks at the machine before anything runs on it.
    pub(crate) fn new(args: &mut Args) -> Result<Self> {
        let words: Vec<String> = std::env::args().skip(1).map(without_directory).collect();
        Ok(Recorder {
            directory: args.value("out", PathBuf::from(DIRECTORY))?,
            facts: Facts::gather(),
            command: format!("bench {}", words.join(" ")),
        })
    }

    /// Writes `NAME.json` and `NAME.md` and prints the latter.
    pub(crate) fn write<T: Serialize>(
        &self,
        name: &str,
        results: &T,
        tables: &str,
        (options, kinds): (&ServerOptions, &[Kind]),
    ) -> Result<()> {
        let versions = kinds.iter().map(|kind| (kind.name(), options.version(*kind)));
        let servers = versions.map(|(name, it)| format!("{name}: {it}")).collect();
        self.write_with_plot(name, results, tables, (servers, None))
    }

    /// Likewise for servers that say their versions themselves, and with a plot beside the table.
    pub(crate) fn write_with_plot<T: Serialize>(
        &self,
        name: &str,
        results: &T,
        tables: &str,
        (servers, plot): (Vec<String>, Option<&str>),
    ) -> Result<()> {
        let (date, time_utc) = clock::date_and_time();
        let directory = self.directory.join(format!("{date}-{}", self.facts.slug()));
        fs::create_dir_all(&directory)?;
        let record = Record {
            command: self.command.clone(),
            date,
            time_utc,
            commit: commit(),
            servers,
            machine: &self.facts,
            results,
        };
        let stem = free_name(&directory, name);
        let mut text = self.page(&record, tables);
        if let Some(plot) = plot {
            fs::write(directory.join(format!("{stem}.svg")), plot)?;
            text.push_str(&format!("\n![{name}]({stem}.svg)\n"));
        }
        fs::write(directory.join(format!("{stem}.json")), serde_json::to_string_pretty(&record)?)?;
        fs::write(directory.join(format!("{stem}.md")), &text)?;
        println!("{text}");
        Ok(())
    }

    fn page<T>(&self, record: &Record<'_, T>, tables: &str) -> String {
        let Facts { cpu, cores_count, memory_mib, kernel, load_average, .. } = &self.facts;
        let Record { date, time_utc, commit, command, .. } = record;
        let servers = record.servers.join("; ");
        format!(
            "`{command}`\n\n{date} {time_utc} UTC, commit {commit}. {cpu}, {cores_count} cores, \
             {memory_mib} MiB, Linux {kernel}, load {load_average} before. {servers}.\n\n{tables}"
        )
    }
}

/// `bench readme`: puts the newest figures of each command into the README.
pub(crate) fn readme(mut args: Args) -> Result<()> {
    let directory = args.value("out", PathBuf::from(DIRECTORY))?;
    args.finish()?;
    let newest = newest_pages(&directory)?;
    let mut text = String::new();
    for (name, path) in newest {
        let heading = name.replace('-', " ");
        let page = fs::read_to_string(&path)?;
        text.push_str(&format!("\n### {heading}\n\n{}", with_plot_from(&path, &page)));
    }
    let readme = fs::read_to_string(README).context(README)?;
    let (before, rest) = readme.split_once(BEGIN).context("README.md has lost its mark")?;
    let (_, after) = rest.split_once(END).context("README.md has lost its second mark")?;
    fs::write(README, format!("{before}{BEGIN}{text}\n{END}{after}"))?;
    Ok(())
}

/// A page names its plot, which lies beside it; the README lies elsewhere.
fn with_plot_from(path: &Path, page: &str) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let run = path.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
    page.replace(&format!("]({stem}.svg)"), &format!("](runs/{run}/{stem}.svg)"))
}

/// The newest page of each command: runs are named by date, and repeats by number.
fn newest_pages(directory: &Path) -> Result<Vec<(String, PathBuf)>> {
    let mut newest: Vec<(String, (PathBuf, u32), PathBuf)> = Vec::new();
    for run in fs::read_dir(directory).context("no run yet")? {
        let run = run?.path();
        for page in fs::read_dir(&run)? {
            let page = page?.path();
            let stem = page.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            if page.extension().is_none_or(|extension| extension != "md") {
                continue;
            }
            let (name, number) = match stem.rsplit_once('-') {
                Some((name, number)) if number.parse::<u32>().is_ok() => {
                    (name.to_owned(), number.parse()?)
                }
                _ => (stem, 1),
            };
            let order = (run.clone(), number);
            match newest.iter_mut().find(|entry| entry.0 == name) {
                Some(entry) if entry.1 < order => *entry = (name, order, page),
                Some(_) => {}
                None => newest.push((name, order, page)),
            }
        }
    }
    newest.sort();
    Ok(newest.into_iter().map(|(name, _, page)| (name, page)).collect())
}

/// `radio`, or `radio-2` when that is taken, and so on.
fn free_name(directory: &Path, name: &str) -> String {
    let taken = |stem: &str| directory.join(format!("{stem}.json")).exists();
    let mut names =
        std::iter::once(name.to_owned()).chain((2..).map(|number: u32| format!("{name}-{number}")));
    names.find(|stem| !taken(stem)).expect("numbers do not end")
}

/// A command line is published; where things lie on this machine is not.
fn without_directory(word: String) -> String {
    match word.rsplit_once('/') {
        Some((_, file)) if word.starts_with('/') => file.to_owned(),
        _ => word,
    }
}

fn commit() -> String {
    let output = Command::new("git").args(["describe", "--always", "--dirty"]).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let text = text.unwrap_or_default();
    if text.is_empty() { "unknown".into() } else { text.trim().to_owned() }
}

/// A table in Markdown.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let line = |cells: Vec<&str>| format!("| {} |\n", cells.join(" | "));
    let mut text = line(head.to_vec());
    text.push_str(&line(vec!["---"; head.len()]));
    for row in rows {
        text.push_str(&line(row.iter().map(String::as_str).collect()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_and_names() {
        let text = table(&["a", "b"], &[vec!["1".into(), "2".into()]]);
        assert_eq!(text, "| a | b |\n| --- | --- |\n| 1 | 2 |\n");
        assert_eq!(without_directory("/some/where/skywave".into()), "skywave");
        assert_eq!(without_directory("target/release/skywave".into()), "target/release/skywave");
        assert_eq!(free_name(Path::new("/nowhere"), "radio"), "radio");
        let page = with_plot_from(Path::new("bench/runs/day/http-2.md"), "![http](http-2.svg)");
        assert_eq!(page, "![http](runs/day/http-2.svg)");
    }
}
