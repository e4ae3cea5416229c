//! Many listeners of one mount, spread over processes, and what they heard.
//!
//! The swarm is plain sockets and epoll, not our own ring: it cannot share a mistake with the
//! server that it measures, and a socket can choose its source address. A process may open some
//! 20,000 descriptors and a source address has some 28,000 ports for one server, so listeners are
//! spread over *parts* (child processes) and over addresses 127.0.x.y.
//!
//! ```text
//! parent  ──"start" "window" "report"──►  part        words on its stdin
//!         ◄──── PartReport, JSON ───────              a line each: at milestones, and when asked
//! ```
//!
//! *Invariant:* a part ends when its stdin does.

mod listener;
mod part;
mod report;

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::args::Args;
use crate::process::{Guard, myself};
use crate::{clock, machine};

pub(crate) use part::command as part_command;
use report::PartReport;
pub(crate) use report::{Milestone, Summary};

/// Descriptors of a part that are not listeners.
const SPARE_FILES: u64 = 200;
const ANSWER_PATIENCE: Duration = Duration::from_secs(30);

/// What listeners there are to be.
#[derive(Clone, Debug)]
pub(crate) struct SwarmOptions {
    /// The server.
    pub(crate) address: SocketAddr,
    /// The mount's path.
    pub(crate) mount: String,
    /// How many.
    pub(crate) count: usize,
    /// Whether they ask for titles.
    pub(crate) titles: bool,
    /// Connections opened each second; 0: all at once.
    pub(crate) rate: usize,
    /// How many of them are listened to closely.
    pub(crate) samples: usize,
    /// A listener that has heard so much has had its burst.
    pub(crate) burst_bytes: u64,
    /// Where the parts run; empty: anywhere.
    pub(crate) cores: Vec<usize>,
}

impl SwarmOptions {
    /// The options of a command line.
    pub(crate) fn read(args: &mut Args) -> Result<Self> {
        Ok(SwarmOptions {
            address: args.required("address")?,
            mount: args.value("mount", "/live.mp3".to_owned())?,
            count: args.value("count", 1_000)?,
            titles: args.switch("titles")?,
            rate: args.value("rate", 0)?,
            samples: args.value("samples", 20)?,
            burst_bytes: args.value("burst-bytes", 60_000)?,
            cores: args.optional::<usize>("core")?.into_iter().collect(),
        })
    }
}

/// The running swarm; it ends when this is dropped.
pub(crate) struct Swarm {
    parts: Vec<Part>,
}

struct Part {
    // Dropped first, which ends the part by itself.
    stdin: ChildStdin,
    reports: Receiver<PartReport>,
    reached: Vec<Milestone>,
    _guard: Guard,
}

impl Swarm {
    /// Starts the processes; nobody connects yet.
    pub(crate) fn open(options: &SwarmOptions) -> Result<Self> {
        let most = machine::open_files_max().saturating_sub(SPARE_FILES).clamp(1, 19_000) as usize;
        let parts_count = options.count.div_ceil(most).max(1);
        let mut parts = Vec::new();
        for number in 0..parts_count {
            let (first, next) =
                (options.count * number / parts_count, options.count * (number + 1) / parts_count);
            let share = |whole: usize| {
                (whole * (number + 1)).div_ceil(parts_count)
                    - (whole * number).div_ceil(parts_count)
            };
            let mut command = Command::new(myself()?);
            command.args(["swarm-part", "--address", &options.address.to_string()]);
            command.args(["--mount", &options.mount]);
            command.args(["--first", &first.to_string()]);
            command.args(["--count", &(next - first).to_string()]);
            command.args(["--rate", &share(options.rate).to_string()]);
            command.args(["--samples", &share(options.samples).to_string()]);
            command.args(["--burst-bytes", &options.burst_bytes.to_string()]);
            if options.titles {
                command.arg("--titles");
            }
            if !options.cores.is_empty() {
                let core = options.cores[number % options.cores.len()];
                command.args(["--core", &core.to_string()]);
            }
            parts.push(Part::start(&mut command)?);
        }
        Ok(Swarm { parts })
    }

    /// Lets everybody connect.
    pub(crate) fn start(&mut self) -> Result<()> {
        self.say("start")
    }

    /// Waits until every listener has reached a milestone or has failed; false when that took
    /// longer than `patience`, and then it may be waited for again.
    pub(crate) fn wait(&mut self, milestone: Milestone, patience: Duration) -> Result<bool> {
        let give_up_at = clock::now() + patience;
        for part in &mut self.parts {
            while !part.reached.contains(&milestone) {
                let left = give_up_at.saturating_duration_since(clock::now());
                match part.reports.recv_timeout(left) {
                    Ok(report) => part.reached.extend(report.milestone),
                    Err(RecvTimeoutError::Timeout) => return Ok(false),
                    Err(error) => bail!("a part of the swarm has ended: {error}"),
                }
            }
        }
        Ok(true)
    }

    /// Counts bytes from here on.
    pub(crate) fn begin_window(&mut self) -> Result<()> {
        self.say("window")
    }

    /// What all have heard, since [`Swarm::begin_window`] where it is about rates.
    pub(crate) fn report(&mut self) -> Result<Summary> {
        self.say("report")?;
        let mut reports = Vec::new();
        for part in &mut self.parts {
            loop {
                let report = part.reports.recv_timeout(ANSWER_PATIENCE);
                let report = report.context("a part of the swarm does not answer")?;
                match report.milestone {
                    Some(milestone) => part.reached.push(milestone),
                    None => break reports.push(report),
                }
            }
        }
        Ok(Summary::of(&reports))
    }

    fn say(&mut self, word: &str) -> Result<()> {
        for part in &mut self.parts {
            writeln!(part.stdin, "{word}").context("a part of the swarm has ended")?;
        }
        Ok(())
    }
}

impl Part {
    fn start(command: &mut Command) -> Result<Self> {
        let mut guard = Guard::spawn(command.stdin(Stdio::piped()).stdout(Stdio::piped()))?;
        let stdin = guard.child().stdin.take().expect("a pipe");
        let stdout = guard.child().stdout.take().expect("a pipe");
        let (sender, reports) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines() {
                let Ok(line) = line else { return };
                let report = serde_json::from_str(&line).expect("parts are of this program");
                if sender.send(report).is_err() {
                    return;
                }
            }
        });
        Ok(Part { stdin, reports, reached: Vec::new(), _guard: guard })
    }
}

/// `bench swarm`: connects, listens for `--seconds`, prints what was heard.
pub(crate) fn command(mut args: Args) -> Result<()> {
    let options = SwarmOptions::read(&mut args)?;
    let seconds = args.value("seconds", 10)?;
    let patience = Duration::from_secs(args.value("patience", 120)?);
    args.finish()?;
    let mut swarm = Swarm::open(&options)?;
    swarm.start()?;
    if !swarm.wait(Milestone::Heard, patience)? {
        eprintln!("not all have heard something after {} s", patience.as_secs());
    }
    swarm.begin_window()?;
    clock::sleep(Duration::from_secs(seconds));
    let summary = swarm.report()?;
    println!("{}", serde_json::to_string_pretty(&summary)?);
    Ok(())
}
