//! One measurement: a server that is running, a load, and what the server's process used meanwhile.
//!
//! ```text
//! all connect, one answer each ─ warm up ─┤ window: CPU, answers, latency ├
//! ```

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;

use super::peers::{Peer, Running};
use super::site::Site;
use super::works::Work;
use crate::clock;
use crate::load::{Load, Report};
use crate::machine::CoreTime;
use crate::process::{Guard, pinned};

/// What is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    /// The work.
    pub(crate) work: &'static Work,
    /// Who does it.
    pub(crate) peer: Peer,
    /// Requests that fall due each second; 0: as many as it can do.
    pub(crate) rate: u64,
}

/// For how long, and where.
#[derive(Clone, Debug)]
pub(crate) struct Timing {
    /// From the first request to the window.
    pub(crate) warm_up: Duration,
    /// The window.
    pub(crate) window: Duration,
    /// How long connecting may take.
    pub(crate) patience: Duration,
    /// Where the server runs.
    pub(crate) server_core: usize,
    /// Where the load runs.
    pub(crate) load_core: Option<usize>,
    /// Whether the load sleeps.
    pub(crate) is_patient: bool,
}

/// What came out.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Trial {
    /// The work's name.
    pub(crate) work: &'static str,
    /// Who did it.
    pub(crate) peer: Peer,
    /// Requests that fell due each second; 0: no limit.
    pub(crate) rate: u64,
    /// The server's processor time as a share of the window.
    pub(crate) cpu_share: f64,
    /// Answers for each second of the server's processor time.
    pub(crate) answers_per_cpu_second: f64,
    /// How much of the window the server's core worked, percent.
    pub(crate) core_busy_percent: f64,
    /// How much another machine took from it, percent.
    pub(crate) core_stolen_percent: f64,
    /// What the load says.
    pub(crate) report: Report,
}

impl Trial {
    /// Whether it belongs to a work at its most, or to latency.
    pub(crate) fn is(&self, work: &str, peer: Peer) -> bool {
        self.work == work && self.peer == peer
    }

    /// A line for who watches.
    pub(crate) fn brief(&self) -> String {
        let Trial { work, peer, answers_per_cpu_second, report, cpu_share, .. } = self;
        let fault = report.fault().map(|fault| format!("; {fault}")).unwrap_or_default();
        format!(
            "{work}, {}: {answers_per_cpu_second:.0} / CPU-second, {:.0} / s, CPU {:.0} %, p99 \
             {:.0} µs{fault}",
            peer.name(),
            report.rate(),
            cpu_share * 100.0,
            report.latency.p99_us,
        )
    }
}

/// Measures once.
pub(crate) fn run(case: &Case, server: &Running, site: &Site, timing: &Timing) -> Result<Trial> {
    let measure = if case.work.by_wrk { with_wrk } else { with_load };
    measure(case, server, site, timing)
        .with_context(|| format!("{}, {}; {}", case.work.name, case.peer.name(), server.output()))
}

fn with_load(case: &Case, server: &Running, site: &Site, timing: &Timing) -> Result<Trial> {
    let mut options = case.work.load(case.peer, server.address(case.work)?, case.rate, site);
    options.core = timing.load_core;
    options.is_patient = timing.is_patient;
    let mut load = Load::open(&options, timing.patience)?;
    load.run()?;
    clock::sleep(timing.warm_up);
    let watch = Watch::start(server, timing.server_core)?;
    load.begin_window()?;
    clock::sleep(timing.window);
    watch.finish(case, server, || load.report())
}

/// All of wrk's run is the window: it cannot be told when to begin to count.
fn with_wrk(case: &Case, server: &Running, _: &Site, timing: &Timing) -> Result<Trial> {
    let seconds = timing.window.as_secs().max(1);
    let mut command = pinned(std::path::Path::new("wrk"), timing.load_core)?;
    command.args(["-t1", &format!("-c{}", case.work.connections), &format!("-d{seconds}s")]);
    command.arg(format!("http://{}{}", server.address(case.work)?, case.work.path()));
    let watch = Watch::start(server, timing.server_core)?;
    let mut wrk = Guard::spawn(command.stdin(Stdio::null()).stdout(Stdio::piped()))?;
    let stdout = wrk.child().stdout.take().context("no pipe")?;
    let text = std::io::read_to_string(stdout)?;
    watch.finish(case, server, || read_wrk(&text))
}

/// `  364041 requests in 2.00s, 45.48MB read`, and lines about errors when there were some.
fn read_wrk(text: &str) -> Result<Report> {
    let line =
        text.lines().find(|line| line.contains(" requests in ")).context("wrk has failed")?;
    let words: Vec<&str> = line.split_whitespace().collect();
    let answers = words.first().and_then(|word| word.parse().ok()).context("wrk said no count")?;
    let time = words.get(3).map(|word| word.trim_end_matches("s,")).context("wrk said no time")?;
    let wrong = |line: &&str| line.contains("Socket errors") || line.contains("Non-2xx");
    let complaints: Vec<String> = text.lines().filter(wrong).map(str::to_owned).collect();
    Ok(Report {
        window_s: time.parse().context("wrk's time")?,
        answers,
        errors: complaints.len() as u64,
        complaints,
        ..Report::default()
    })
}

/// What the server has used so far.
struct Watch {
    core: usize,
    core_time: CoreTime,
    cpu: Duration,
    start: std::time::Instant,
}

impl Watch {
    fn start(server: &Running, core: usize) -> Result<Self> {
        let core_time = CoreTime::read(core)?;
        Ok(Watch { core, core_time, cpu: server.process().cpu_exact()?, start: clock::now() })
    }

    fn finish(
        self,
        case: &Case,
        server: &Running,
        report: impl FnOnce() -> Result<Report>,
    ) -> Result<Trial> {
        let cpu_s = (server.process().cpu_exact()? - self.cpu).as_secs_f64();
        let cpu_share = cpu_s / self.start.elapsed().as_secs_f64();
        let (core_busy_percent, core_stolen_percent) =
            CoreTime::read(self.core)?.since(self.core_time);
        let report = report()?;
        Ok(Trial {
            work: case.work.name,
            peer: case.peer,
            rate: case.rate,
            cpu_share,
            // Each by its own clock: the two windows are not equal to the microsecond.
            answers_per_cpu_second: report.rate() / cpu_share.max(1e-9),
            core_busy_percent,
            core_stolen_percent,
            report,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::read_wrk;

    #[test]
    fn wrk_is_understood() {
        let text = "Running 2s test @ http://x/\n  1 threads and 100 connections\n\
                    \x20 364041 requests in 2.10s, 45.48MB read\nRequests/sec: 173352.85\n";
        let report = read_wrk(text).unwrap();
        assert_eq!((report.answers, report.window_s, report.errors), (364_041, 2.1, 0));
        let with_errors = format!("{text}  Non-2xx or 3xx responses: 5\n");
        assert_eq!(read_wrk(&with_errors).unwrap().errors, 1);
        assert!(read_wrk("unable to connect").is_err());
    }
}
