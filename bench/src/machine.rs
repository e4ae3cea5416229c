//! What a figure was measured on, and how quiet that machine was.

use std::fs;

use anyhow::{Context, Result};
use rustix::process::{Resource, getrlimit};
use serde::Serialize;

/// The machine. Nothing in it names a host.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Facts {
    /// Model of the processor.
    pub(crate) cpu: String,
    /// Cores that the system sees.
    pub(crate) cores_count: usize,
    /// Main memory.
    pub(crate) memory_mib: u64,
    /// Release of the kernel.
    pub(crate) kernel: String,
    /// Descriptors that one process may open.
    pub(crate) open_files_max: u64,
    /// Longest queue of connections to be accepted.
    pub(crate) somaxconn: String,
    /// Congestion control of TCP.
    pub(crate) congestion_control: String,
    /// Load average of the last minute when the run began.
    pub(crate) load_average: String,
}

impl Facts {
    /// Looks at this machine.
    pub(crate) fn gather() -> Self {
        let cpuinfo = read("/proc/cpuinfo");
        let field = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let memory = field(&read("/proc/meminfo"), "MemTotal").unwrap_or_default();
        let memory_kib = memory.split(' ').next().and_then(|kib| kib.parse::<u64>().ok());
        Facts {
            cpu: field(&cpuinfo, "model name").unwrap_or_else(|| "unknown".into()),
            cores_count: cpuinfo.lines().filter(|line| line.starts_with("processor")).count(),
            memory_mib: memory_kib.unwrap_or(0) / 1_024,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            open_files_max: open_files_max(),
            somaxconn: read("/proc/sys/net/core/somaxconn").trim().to_owned(),
            congestion_control: read("/proc/sys/net/ipv4/tcp_congestion_control").trim().to_owned(),
            load_average: read("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned(),
        }
    }

    /// The model as a part of a directory's name.
    pub(crate) fn slug(&self) -> String {
        let keep = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
        let dashed: String = self.cpu.chars().map(keep).collect();
        let words: Vec<&str> = dashed.split('-').filter(|word| !word.is_empty()).collect();
        words.join("-")
    }
}

/// Descriptors that this process may open.
pub(crate) fn open_files_max() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(1 << 20)
}

/// What one core has done since the machine started, in units of 10 ms.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CoreTime {
    busy: u64,
    stolen: u64,
    total: u64,
}

impl CoreTime {
    /// Reads the clockwork of `core`.
    pub(crate) fn read(core: usize) -> Result<Self> {
        let stat = read("/proc/stat");
        let name = format!("cpu{core} ");
        let line =
            stat.lines().find_map(|line| line.strip_prefix(&name)).context("no such core")?;
        let times: Vec<u64> = line.split(' ').filter_map(|time| time.parse().ok()).collect();
        let [user, nice, system, idle, iowait, irq, softirq, stolen, ..] = times[..] else {
            anyhow::bail!("/proc/stat has another form");
        };
        let busy = user + nice + system + irq + softirq;
        Ok(CoreTime { busy, stolen, total: busy + stolen + idle + iowait })
    }

    /// Share of the time since `earlier` that the core worked, and that another machine took, in
    /// percent.
    pub(crate) fn since(self, earlier: CoreTime) -> (f64, f64) {
        let total = (self.total - earlier.total).max(1) as f64;
        let percent = |now: u64, then: u64| (now - then) as f64 / total * 100.0;
        (percent(self.busy, earlier.busy), percent(self.stolen, earlier.stolen))
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_facts() {
        let facts = Facts::gather();
        assert!(facts.cores_count > 0 && facts.memory_mib > 0 && !facts.kernel.is_empty());
        let now = CoreTime::read(0).unwrap();
        assert!(now.total >= now.busy);
        let slug = Facts { cpu: "AMD EPYC 7B13 (8 cores)".into(), ..facts }.slug();
        assert_eq!(slug, "amd-epyc-7b13-8-cores");
    }
}
