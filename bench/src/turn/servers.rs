//! The relays that are measured: how each is started, when it is ready.
//!
//! *Invariant:* a relay listens on a free port of 127.0.0.1, lends addresses of 127.0.0.1 only, and
//! is gone when its [`Relay`] is dropped.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::str::FromStr;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use anyhow::{Result, bail};
use protocol_stun::{Builder, Class, Method, TransactionId};
use serde::Serialize;

use super::client::{Framing, SECRET};
use super::ends::Ends;
use super::wire::{self, Place};
use crate::args::Args;
use crate::clock;
use crate::process::{Guard, myself, pinned};
use crate::servers::{PASSWORD, Scratch, free_address};

const READY_PATIENCE: Duration = Duration::from_secs(20);
/// Ports of relayed addresses: more than any trial allocates.
const PORTS: (u16, u16) = (10_240, 64_999);
const REALM: &str = "bench";

/// Which relay.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// The whole relay that `protocol/turn` has as its example.
    Relay,
    /// The server.
    Skywave,
    /// Debian's `coturn`.
    Coturn,
    /// The bare forwarder.
    Bare,
}

impl FromStr for Kind {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "relay" => Ok(Kind::Relay),
            "skywave" => Ok(Kind::Skywave),
            "coturn" => Ok(Kind::Coturn),
            "bare" => Ok(Kind::Bare),
            _ => Err(()),
        }
    }
}

impl Kind {
    /// Its name in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Relay => "relay",
            Kind::Skywave => "skywave",
            Kind::Coturn => "coturn",
            Kind::Bare => "bare forwarder",
        }
    }

    /// Whether it is ours.
    pub(crate) fn is_ours(self) -> bool {
        matches!(self, Kind::Relay | Kind::Skywave)
    }

    /// How data goes to it, where the case asks for this framing.
    pub(crate) fn framing(self, wanted: Framing) -> Framing {
        if self == Kind::Bare { Framing::Bare } else { wanted }
    }
}

/// Where the binaries are and how they run.
#[derive(Clone, Debug)]
pub(crate) struct RelayOptions {
    relay: PathBuf,
    skywave: PathBuf,
    core: Option<usize>,
    coturn_threads: u32,
    bare_joins: bool,
    bare_gather_us: Option<u32>,
    /// Given to coturn as they are.
    coturn_extra: Vec<String>,
    place: Place,
    ends: Ends,
    /// Given to ours as they are.
    extra: Vec<String>,
}

impl RelayOptions {
    /// The options of a command line.
    pub(crate) fn read(args: &mut Args, (place, ends): (Place, Ends)) -> Result<Self> {
        let coturn_extra: String = args.value("coturn-options", String::new())?;
        let skywave = args.value("skywave", myself()?.with_file_name("skywave"))?;
        Ok(RelayOptions {
            core: Some(args.value("server-core", 0)?),
            coturn_threads: args.value("coturn-threads", 1)?,
            bare_joins: args.switch("bare-gro")?,
            bare_gather_us: args.optional("bare-gather-us")?,
            extra: args.rest(),
            coturn_extra: coturn_extra.split_whitespace().map(str::to_owned).collect(),
            place,
            ends,
            skywave,
            ..RelayOptions::beside(args)?
        })
    }

    /// What lies beside the bench, on whichever core: for a check that measures nothing.
    pub(crate) fn beside(args: &mut Args) -> Result<Self> {
        Ok(RelayOptions {
            relay: args.value("relay", myself()?.with_file_name("examples/relay"))?,
            skywave: myself()?.with_file_name("skywave"),
            core: None,
            coturn_threads: 1,
            bare_joins: false,
            bare_gather_us: None,
            coturn_extra: Vec::new(),
            place: Place::loopback(),
            ends: Ends::Plain,
            extra: Vec::new(),
        })
    }

    /// The same, loaded from other ends.
    pub(crate) fn with_ends(self, ends: Ends) -> Self {
        RelayOptions { ends, ..self }
    }

    /// A command on the relays' core, where they run.
    fn pinned(&self, program: &Path) -> Result<Command> {
        let command = pinned(program, self.core)?;
        let Some(namespace) = &self.place.namespace else { return Ok(command) };
        let mut outer = Command::new("ip");
        outer.args(["netns", "exec", namespace]).arg(command.get_program());
        outer.args(command.get_args());
        Ok(outer)
    }

    /// Where relays run.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// How the load's ends send and take.
    pub(crate) fn ends(&self) -> Ends {
        self.ends
    }

    /// Where our relay's program is.
    pub(crate) fn relay(&self) -> &Path {
        &self.relay
    }

    /// What a relay says when it is asked for its version.
    pub(crate) fn version(&self, kind: Kind) -> String {
        let program = match kind {
            Kind::Relay | Kind::Bare => return "of this commit".into(),
            Kind::Skywave => self.skywave.as_path(),
            Kind::Coturn => Path::new("turnserver"),
        };
        let answer = Command::new(program).arg("--version").output();
        let text = answer.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        text.unwrap_or_default().lines().last().unwrap_or("unknown").trim().to_owned()
    }
}

/// A running relay.
pub(crate) struct Relay {
    kind: Kind,
    address: SocketAddr,
    /// Where its HTTP is, if it has any.
    http: Option<SocketAddr>,
    guard: Guard,
    scratch: Scratch,
}

impl Relay {
    /// Starts a relay and waits until it answers.
    pub(crate) fn start(kind: Kind, options: &RelayOptions) -> Result<Self> {
        let place = &options.place;
        let server = IpAddr::from(place.server);
        // In a namespace of its own every port is free, but for a moment that of the relay before.
        static NEXT_PORT: AtomicU16 = AtomicU16::new(2_000);
        let port = NEXT_PORT.fetch_add(2, Ordering::Relaxed);
        let (address, http) = match &place.namespace {
            Some(_) => (SocketAddr::new(server, port), SocketAddr::new(server, port + 1)),
            None => (UdpSocket::bind((server, 0))?.local_addr()?, free_address()?),
        };
        let http = (kind == Kind::Skywave).then_some(http);
        let scratch = Scratch::new(kind.name())?;
        let mut command = match kind {
            Kind::Relay => ours(&options.relay, options, address)?,
            Kind::Skywave => {
                let mut command = ours(&options.skywave, options, address)?;
                command.args(["--listen", &http.expect("it was made").to_string()]);
                command.args(["--source-password", PASSWORD, "--admin-password", PASSWORD]);
                command.args(["--shards", "1"]).arg("--data-dir").arg(scratch.path());
                if let Some(core) = options.core {
                    command.args(["--cores", &core.to_string()]);
                }
                command
            }
            Kind::Coturn => coturn(options, address, scratch.path())?,
            Kind::Bare => bare(options, address)?,
        };
        let log = std::fs::File::create(scratch.path().join("output.txt"))?;
        command.current_dir(scratch.path());
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let guard = Guard::spawn(&mut command)?;
        let mut relay = Relay { kind, address, http, guard, scratch };
        relay.wait_ready()?;
        Ok(relay)
    }

    /// Where clients ask.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where listeners ask.
    pub(crate) fn http(&self) -> Option<SocketAddr> {
        self.http
    }

    /// Its process.
    pub(crate) fn process(&self) -> &Guard {
        &self.guard
    }

    /// The end of what it wrote, to show why something failed.
    pub(crate) fn output(&self) -> String {
        let path = self.scratch.path().join("output.txt");
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let last = lines[lines.len().saturating_sub(10)..].join("\n  ");
        format!("{} said:\n  {last}\n", self.kind.name())
    }

    /// A Binding request is answered; the bare forwarder answers nobody without an allocation.
    fn wait_ready(&mut self) -> Result<()> {
        let socket = UdpSocket::bind((wire::source(0, self.address.ip()), 0))?;
        socket.connect(self.address)?;
        socket.set_read_timeout(Some(Duration::from_millis(20)))?;
        let question = match self.kind {
            Kind::Bare => crate::bare_udp::hello(socket.local_addr()?),
            _ => {
                let mut room = [0; 20];
                let id = TransactionId([1; 12]);
                Builder::new(&mut room, Class::Request, Method::BINDING, id).finish()?;
                room.to_vec()
            }
        };
        let (guard, mut ended) = (&mut self.guard, false);
        let ready = clock::wait_until(READY_PATIENCE, || {
            ended = guard.has_ended();
            ended || socket.send(&question).is_ok() && socket.recv(&mut [0; 500]).is_ok()
        });
        if ended || !ready {
            bail!("{} does not come up; {}", self.kind.name(), self.output());
        }
        Ok(())
    }
}

fn ours(program: &Path, options: &RelayOptions, address: SocketAddr) -> Result<Command> {
    // Started in another directory.
    let program = std::path::absolute(program)?;
    if !program.exists() {
        bail!("there is no {}; build it first", program.display());
    }
    let mut command = options.pinned(&program)?;
    command.args(["--turn", &address.to_string(), "--turn-secret", SECRET]);
    command.args(["--turn-ports", &format!("{}-{}", PORTS.0, PORTS.1)]);
    command.args(["--turn-allow-peer", options.place.peers()]).args(&options.extra);
    Ok(command)
}

/// One relay thread, nothing that is not asked for, no log line for what goes well.
fn coturn(options: &RelayOptions, address: SocketAddr, scratch: &Path) -> Result<Command> {
    let ip = address.ip().to_string();
    let mut command = options.pinned(Path::new("turnserver"))?;
    command.args(["-n", "--no-tls", "--no-dtls", "--no-tcp", "--no-tcp-relay", "--no-cli"]);
    command.args(["--listening-port", &address.port().to_string()]);
    command.args(["--listening-ip", &ip, "--relay-ip", &ip, "--allow-loopback-peers"]);
    command.args(["--min-port", &PORTS.0.to_string(), "--max-port", &PORTS.1.to_string()]);
    command.args(["--use-auth-secret", "--static-auth-secret", SECRET]);
    command.args(["--realm", REALM, "--relay-threads", &options.coturn_threads.to_string()]);
    command.args(["--no-auth-pings", "--no-software-attribute", "--no-rfc5780"]);
    command.args(["--simple-log", "--no-stdout-log", "--log-file"]).arg(scratch.join("log.txt"));
    command.arg("--pidfile").arg(scratch.join("pid"));
    command.arg("--userdb").arg(scratch.join("turndb")).args(&options.coturn_extra);
    Ok(command)
}

fn bare(options: &RelayOptions, address: SocketAddr) -> Result<Command> {
    let mut command = options.pinned(&myself()?)?;
    command.args(["bare-udp", "--address", &address.to_string()]);
    if options.bare_joins {
        command.arg("--gro");
    }
    if let Some(time_us) = options.bare_gather_us {
        command.args(["--gather-us", &time_us.to_string()]);
    }
    Ok(command)
}
