//! Processes under test: started on a core, watched through `/proc`, ended by their id.
//!
//! *Invariant:* no process outlives its [`Guard`]; and should the bench itself be killed, the
//! kernel ends what [`launch`] started.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};

use crate::args::Args;
use crate::clock;

/// Units of the times in `/proc`; the same on every Linux that we run on.
const TICKS_PER_SECOND: u64 = 100;
const PAGE_BYTES: u64 = 4_096;
const GRACE: Duration = Duration::from_secs(3);

/// A child that ends with this value.
#[derive(Debug)]
pub(crate) struct Guard(Child);

impl Guard {
    /// Starts a command.
    pub(crate) fn spawn(command: &mut Command) -> Result<Self> {
        let program = command.get_program().to_string_lossy().into_owned();
        Ok(Guard(command.spawn().with_context(|| format!("cannot start {program}"))?))
    }

    /// The child, for its pipes.
    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.0
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.0.try_wait(), Ok(None))
    }

    /// Processor time used so far by all its threads.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.id()))?;
        cpu_of(&stat).context("/proc/PID/stat has another form")
    }

    /// Likewise to the nanosecond, but without the threads that have ended. For windows that are
    /// too short for the units of [`Guard::cpu`].
    pub(crate) fn cpu_exact(&self) -> Result<Duration> {
        let mut total = Duration::ZERO;
        for task in fs::read_dir(format!("/proc/{}/task", self.id()))? {
            // A thread may end while it is looked at.
            let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else { continue };
            let ns = text.split(' ').next().and_then(|ns| ns.parse().ok());
            total += Duration::from_nanos(ns.context("schedstat has another form")?);
        }
        Ok(total)
    }

    /// Memory that it holds now, bytes.
    pub(crate) fn resident_bytes(&self) -> Result<u64> {
        let statm = fs::read_to_string(format!("/proc/{}/statm", self.id()))?;
        let pages = statm.split(' ').nth(1).context("/proc/PID/statm has another form")?;
        Ok(pages.parse::<u64>()? * PAGE_BYTES)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if self.has_ended() {
            return;
        }
        let _ = kill_process(Pid::from_child(&self.0), Signal::TERM);
        if !clock::wait_until(GRACE, || self.has_ended()) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

/// A command that runs `program` on `core` (`None`: anywhere).
pub(crate) fn pinned(program: &Path, core: Option<usize>) -> Result<Command> {
    let mut command = Command::new(myself()?);
    command.arg("launch");
    if let Some(core) = core {
        command.args(["--core", &core.to_string()]);
    }
    command.arg("--").arg(program);
    Ok(command)
}

/// `bench launch`: becomes another program, on a core.
pub(crate) fn launch(mut args: Args) -> Result<()> {
    let core: Option<usize> = args.optional("core")?;
    let words = args.rest();
    args.finish()?;
    let Some((program, rest)) = words.split_first() else { bail!("launch what?") };
    shards_runtime::pin(core)?;
    set_parent_process_death_signal(Some(Signal::KILL))?;
    Err(Command::new(program).args(rest).exec()).with_context(|| format!("cannot start {program}"))
}

/// The bench's own program.
pub(crate) fn myself() -> Result<PathBuf> {
    std::env::current_exe().context("the bench cannot find itself")
}

/// Whether this process may become another user.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// User and group of an account.
pub(crate) fn ids_of(user: &str) -> Result<(u32, u32)> {
    let accounts = fs::read_to_string("/etc/passwd")?;
    for line in accounts.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        if let [name, _, uid, gid, ..] = fields[..]
            && name == user
        {
            return Ok((uid.parse()?, gid.parse()?));
        }
    }
    bail!("no such user: {user}")
}

/// User and system time: the 14th and 15th field, counted behind the name, which may hold blanks.
fn cpu_of(stat: &str) -> Option<Duration> {
    let (_, behind_name) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = behind_name.split(' ').collect();
    let ticks = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    Some(Duration::from_millis(ticks * 1_000 / TICKS_PER_SECOND))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_found_behind_a_strange_name() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 0 0 0 150 25 0 0 20 0 1 0 5 6 7";
        assert_eq!(cpu_of(stat), Some(Duration::from_millis(1_750)));
        assert_eq!(cpu_of("7 (a"), None);
    }

    #[test]
    fn a_guard_ends_its_child() {
        let mut sleeper = Guard::spawn(Command::new("sleep").arg("1000")).unwrap();
        assert!(!sleeper.has_ended());
        assert!(sleeper.resident_bytes().unwrap() > 0);
        let directory = format!("/proc/{}", sleeper.id());
        drop(sleeper);
        assert!(!Path::new(&directory).exists());
    }
}
