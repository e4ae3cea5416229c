//! The servers that are measured: how each is started, when it is ready, what it says of itself.
//!
//! *Invariant:* a server listens on a free port of 127.0.0.1 and writes only below its own scratch
//! directory; both are gone when [`Server`] is dropped.

mod icecast;
mod scratch;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Serialize;

use crate::args::Args;
use crate::metrics::Metrics;
use crate::process::{Guard, myself, pinned};
use crate::source::{Source, SourceOptions};
use crate::{clock, http};
pub(crate) use scratch::Scratch;

/// Of every account of every server that the bench starts.
pub(crate) const PASSWORD: &str = "bench";
/// The mount of every bench.
pub(crate) const MOUNT: &str = "/live.mp3";
const READY_PATIENCE: Duration = Duration::from_secs(20);

/// Which server.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// Ours.
    Skywave,
    /// Debian's `icecast2`.
    Icecast,
    /// The bare ring.
    Bare,
}

impl FromStr for Kind {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "skywave" => Ok(Kind::Skywave),
            "icecast" => Ok(Kind::Icecast),
            "bare" => Ok(Kind::Bare),
            _ => Err(()),
        }
    }
}

impl Kind {
    /// Its name in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Skywave => "skywave",
            Kind::Icecast => "icecast2",
            Kind::Bare => "bare ring",
        }
    }
}

/// Where our own binary is and how it is run.
#[derive(Clone, Debug)]
pub(crate) struct ServerOptions {
    /// The `skywave` binary.
    pub(crate) skywave: PathBuf,
    /// Cores of the server: one shard on each.
    pub(crate) cores: Vec<usize>,
    /// Time between two sends of the bare ring; as our mount's.
    pub(crate) flush_ms: u64,
    /// Whether our own servers do without huge pages, so that memory is not counted in steps of
    /// 2 MiB.
    pub(crate) has_small_pages: bool,
}

impl ServerOptions {
    /// The options of a command line.
    pub(crate) fn read(args: &mut Args, cores: &str) -> Result<Self> {
        Ok(ServerOptions {
            skywave: args.value("skywave", beside_myself()?)?,
            cores: args.list("server-cores", cores)?,
            flush_ms: args.value("flush-ms", 1_500)?,
            has_small_pages: false,
        })
    }

    /// What a server says when it is asked for its version.
    pub(crate) fn version(&self, kind: Kind) -> String {
        let answer = match kind {
            Kind::Skywave => Command::new(&self.skywave).arg("--version").output(),
            Kind::Icecast => Command::new(icecast::PROGRAM).arg("-v").output(),
            Kind::Bare => return "this bench".into(),
        };
        let text = answer.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        text.unwrap_or_default().lines().next().unwrap_or("unknown").trim().to_owned()
    }
}

/// A running server.
pub(crate) struct Server {
    kind: Kind,
    address: SocketAddr,
    /// Dropped, and so ended, before its directory is removed.
    guard: Guard,
    scratch: Scratch,
}

impl Server {
    /// Starts a server and waits until it answers.
    pub(crate) fn start(kind: Kind, options: &ServerOptions) -> Result<Self> {
        let address = free_address()?;
        let scratch = Scratch::new(kind.name())?;
        let mut command = match kind {
            Kind::Skywave => skywave(options, address, scratch.path())?,
            Kind::Icecast => icecast::command(address, scratch.path(), &options.cores)?,
            Kind::Bare => bare(options, address)?,
        };
        let log = std::fs::File::create(scratch.path().join("output.txt"))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        if options.has_small_pages {
            command.env("MIMALLOC_ALLOW_THP", "0");
        }
        let mut server = Server { kind, address, guard: Guard::spawn(&mut command)?, scratch };
        server.wait_ready()?;
        Ok(server)
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process.
    pub(crate) fn process(&self) -> &Guard {
        &self.guard
    }

    /// Starts a source on [`MOUNT`]; a bare ring needs none.
    pub(crate) fn source(&self, write_bytes: usize, lead_bytes: u64) -> Result<Option<Source>> {
        if self.kind == Kind::Bare {
            return Ok(None);
        }
        let options = SourceOptions {
            address: self.address,
            mount: MOUNT.into(),
            password: PASSWORD.into(),
            write_bytes,
            lead_bytes,
        };
        Source::start(&options).map(Some).with_context(|| self.output())
    }

    /// Says what plays on [`MOUNT`].
    pub(crate) fn set_title(&self, title: &str) -> Result<()> {
        let path = format!("/admin/metadata?mount={MOUNT}&mode=updinfo&song={title}");
        http::get(self.address, &path, &http::basic("admin", PASSWORD)).map(drop)
    }

    /// What `/metrics` shows; `None` for servers that have none.
    pub(crate) fn metrics(&self) -> Result<Option<Metrics>> {
        if self.kind != Kind::Skywave {
            return Ok(None);
        }
        let text = http::get(self.address, "/metrics", &http::basic("admin", PASSWORD))?;
        Ok(Some(Metrics::parse(&text)))
    }

    /// The end of what it wrote, to show why something failed.
    pub(crate) fn output(&self) -> String {
        let path = self.scratch.path().join("output.txt");
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let last = lines[lines.len().saturating_sub(10)..].join("\n  ");
        format!("{} said:\n  {last}\n", self.kind.name())
    }

    fn wait_ready(&mut self) -> Result<()> {
        let path = if self.kind == Kind::Skywave { "/health" } else { "/" };
        let (address, guard) = (self.address, &mut self.guard);
        let mut ended = false;
        let ready = clock::wait_until(READY_PATIENCE, || {
            ended = guard.has_ended();
            // Icecast answers with what its web pages are; that it answers is enough.
            ended || http::status(address, path).is_ok_and(|code| code == 200 || path == "/")
        });
        if ended || !ready {
            bail!("{} does not come up; {}", self.kind.name(), self.output());
        }
        Ok(())
    }
}

fn skywave(options: &ServerOptions, address: SocketAddr, scratch: &Path) -> Result<Command> {
    let cores: Vec<String> = options.cores.iter().map(usize::to_string).collect();
    // Its other threads belong to what is measured: with one shard they share the shard's core.
    let core = if let [core] = options.cores[..] { Some(core) } else { None };
    let mut command = pinned(&options.skywave, core)?;
    command.args(["--listen", &address.to_string()]);
    command.args(["--source-password", PASSWORD, "--admin-password", PASSWORD]);
    command.args(["--shards", &options.cores.len().to_string(), "--cores", &cores.join(",")]);
    command.arg("--data-dir").arg(scratch);
    Ok(command)
}

fn bare(options: &ServerOptions, address: SocketAddr) -> Result<Command> {
    let mut command = pinned(&myself()?, options.cores.first().copied())?;
    command.args(["bare", "--address", &address.to_string()]);
    command.args(["--flush-ms", &options.flush_ms.to_string()]);
    Ok(command)
}

/// A port that was free a moment ago.
pub(crate) fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// Our binary in the directory of this one: built together, of one profile.
fn beside_myself() -> Result<PathBuf> {
    Ok(myself()?.with_file_name("skywave"))
}
