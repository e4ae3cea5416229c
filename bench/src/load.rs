//! The load of `bench http`: requests over many connections, each answer checked, from a process
//! of its own with one thread.
//!
//! Plain sockets with epoll and not our own ring, as in the swarm, and for the same reason. It runs
//! in two ways. *Closed*: each connection asks again when it has its answer; that is how much a
//! server can do. *Open*: requests fall due at a fixed rate whatever the server does, and latency
//! counts from when a request was due, not from when a connection was free for it; so a server that
//! stops for a moment pays for every request that waited (no coordinated omission).
//!
//! While it runs it looks at its sockets without ever sleeping. To wake somebody who sleeps on
//! another core is an interrupt that the server would pay for, and one on another machine costs it
//! nothing.
//!
//! ```text
//! parent  ──"run" "window" "report"──►  load      words on its stdin
//!         ◄──── Report, JSON ────────             a line each: when all are connected, when asked
//! ```
//!
//! *Invariant:* an answer that is not exactly what it should be is an error and is never counted;
//! the process ends when its stdin does.

mod answer;
mod connection;
mod echo;
mod options;
mod part;
mod report;
mod script;
mod secure;

use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::process::{Guard, myself};

pub(crate) use options::{Kind, LoadOptions};
pub(crate) use part::command;
pub(crate) use report::Report;

/// A running load; it ends when this is dropped.
pub(crate) struct Load {
    // Dropped first, which ends the process by itself.
    stdin: ChildStdin,
    reports: Receiver<Report>,
    _guard: Guard,
}

impl Load {
    /// Connects all; each has had one answer when this returns, and then rests.
    pub(crate) fn open(options: &LoadOptions, patience: Duration) -> Result<Self> {
        let mut command = Command::new(myself()?);
        command.arg("load").args(options.words());
        let mut guard = Guard::spawn(command.stdin(Stdio::piped()).stdout(Stdio::piped()))?;
        let stdin = guard.child().stdin.take().expect("a pipe");
        let stdout = guard.child().stdout.take().expect("a pipe");
        let (sender, reports) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines() {
                let Ok(line) = line else { return };
                let report = serde_json::from_str(&line).expect("the load is of this program");
                if sender.send(report).is_err() {
                    return;
                }
            }
        });
        let load = Load { stdin, reports, _guard: guard };
        let report = load.next(patience).context("not all connections had an answer")?;
        match report.complaints.first() {
            Some(complaint) if report.errors > 0 => bail!("while connecting: {complaint}"),
            _ => Ok(load),
        }
    }

    /// Lets requests flow.
    pub(crate) fn run(&mut self) -> Result<()> {
        self.say("run")
    }

    /// Counts from here on.
    pub(crate) fn begin_window(&mut self) -> Result<()> {
        self.say("window")
    }

    /// What happened since [`Load::begin_window`].
    pub(crate) fn report(&mut self) -> Result<Report> {
        self.say("report")?;
        self.next(Duration::from_secs(30))
    }

    /// The next report that comes by itself.
    pub(crate) fn next(&self, patience: Duration) -> Result<Report> {
        self.reports.recv_timeout(patience).context("the load does not answer")
    }

    fn say(&mut self, word: &str) -> Result<()> {
        writeln!(self.stdin, "{word}").context("the load has ended")
    }
}
