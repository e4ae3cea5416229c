//! The servers: how each is started, where it listens, and what it says of itself.
//!
//! *Invariant:* a server listens on free ports of 127.0.0.1 and writes only below its own scratch
//! directory; both are gone when [`Running`] is dropped.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Serialize;

use super::site::Site;
use super::works::{Body, Work};
use crate::load::Kind;
use crate::process::{Guard, myself, pinned};
use crate::servers::{Scratch, free_address};
use crate::{clock, http, machine};

const READY_PATIENCE: Duration = Duration::from_secs(20);
const NGINX_CONFIG: &str = include_str!("../../baselines/nginx/nginx.conf");
const NODE_SERVER: &str = "bench/baselines/node/server.js";

/// Which server.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Peer {
    /// Ours: `protocol/http/examples/serve.rs`.
    Serve,
    /// The bare ring.
    Bare,
    /// `baselines/libuv`.
    Libuv,
    /// The same, with small answers gathered into one write.
    LibuvGathered,
    /// Debian's nginx.
    Nginx,
    /// `baselines/go`.
    Go,
    /// `baselines/node`.
    Node,
}

impl Peer {
    /// Everybody.
    pub(crate) const ALL: [Peer; 7] = [
        Peer::Serve,
        Peer::Bare,
        Peer::Libuv,
        Peer::LibuvGathered,
        Peer::Nginx,
        Peer::Go,
        Peer::Node,
    ];

    /// Its name on the command line.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Peer::Serve => "serve",
            Peer::Bare => "bare",
            Peer::Libuv => "libuv",
            Peer::LibuvGathered => "libuv-gathered",
            Peer::Nginx => "nginx",
            Peer::Go => "go",
            Peer::Node => "node",
        }
    }

    /// Its name in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Peer::Serve => "skywave serve",
            Peer::Bare => "bare ring",
            Peer::Libuv => "libuv + llhttp",
            Peer::LibuvGathered => "libuv + llhttp, gathered",
            Peer::Nginx => "nginx",
            Peer::Go => "Go",
            Peer::Node => "Node",
        }
    }
}

impl FromStr for Peer {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Peer::ALL.into_iter().find(|peer| peer.word() == text).ok_or(())
    }
}

/// Where programs are and where they run.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Our example.
    pub(crate) serve: PathBuf,
    /// What `prepare.sh` made.
    pub(crate) peers: PathBuf,
    /// The servers' core; `None`: anywhere.
    pub(crate) core: Option<usize>,
}

/// The example `serve` in the directory of this program: built together, of one profile.
pub(crate) fn serve_beside_myself() -> Result<PathBuf> {
    Ok(myself()?.with_file_name("examples").join("serve"))
}

impl Options {
    /// What this server needs and is not there.
    pub(crate) fn lacks(&self, peer: Peer) -> Option<String> {
        let file = |path: PathBuf| (!path.exists()).then(|| path.display().to_string());
        let program = |name: &str, flag: &str| {
            let found = Command::new(name).arg(flag).output().is_ok();
            (!found).then(|| name.to_owned())
        };
        match peer {
            Peer::Serve => file(self.serve.clone()),
            Peer::Bare => None,
            Peer::Libuv | Peer::LibuvGathered => file(self.peers.join("libuv-server")),
            Peer::Nginx => program("nginx", "-v"),
            Peer::Go => file(self.peers.join("go-server")),
            Peer::Node => {
                program("node", "--version").or_else(|| file(self.node_modules().join("ws")))
            }
        }
    }

    /// Whether our example knows TLS.
    pub(crate) fn serve_has_tls(&self) -> bool {
        let Ok(answer) = Command::new(&self.serve).output() else { return false };
        let text = [answer.stderr, answer.stdout].concat();
        String::from_utf8_lossy(&text).contains("--tls-cert")
    }

    /// What a server says when it is asked for its version.
    pub(crate) fn version(&self, peer: Peer) -> String {
        let first_line = |command: &mut Command| {
            let output = command.output().ok()?;
            let text = [output.stdout, output.stderr].concat();
            Some(String::from_utf8_lossy(&text).lines().next()?.trim().to_owned())
        };
        let version = match peer {
            Peer::Serve => Some(format!("protocol-http {}", env!("CARGO_PKG_VERSION"))),
            Peer::Bare => Some("this bench".into()),
            Peer::Libuv | Peer::LibuvGathered => {
                first_line(Command::new("pkg-config").args(["--modversion", "libuv"]))
                    .map(|libuv| format!("libuv {libuv}, llhttp {}", self.llhttp_version()))
            }
            Peer::Nginx => first_line(Command::new("nginx").arg("-v")),
            Peer::Go => first_line(Command::new(self.peers.join("go/go/bin/go")).arg("version"))
                .map(|go| format!("{go}, gorilla/websocket of Debian")),
            Peer::Node => first_line(Command::new("node").arg("--version"))
                .map(|node| format!("Node {node}, ws {}", self.ws_version())),
        };
        version.unwrap_or_else(|| "unknown".into())
    }

    fn llhttp_version(&self) -> String {
        let header = std::fs::read_to_string(self.peers.join("llhttp/llhttp.h"));
        let header = header.unwrap_or_default();
        let number = |part: &str| {
            let name = format!("#define LLHTTP_VERSION_{part} ");
            let line = header.lines().find_map(|line| line.strip_prefix(&name));
            line.unwrap_or("?").trim().to_owned()
        };
        [number("MAJOR"), number("MINOR"), number("PATCH")].join(".")
    }

    fn ws_version(&self) -> String {
        let text = std::fs::read(self.node_modules().join("ws/package.json")).unwrap_or_default();
        let package: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
        package["version"].as_str().unwrap_or("?").to_owned()
    }

    fn node_modules(&self) -> PathBuf {
        self.peers.join("node/node_modules")
    }
}

/// A running server.
pub(crate) struct Running {
    peer: Peer,
    secure: bool,
    /// Dropped, and so ended, before its directory is removed.
    guard: Guard,
    address: SocketAddr,
    secure_address: SocketAddr,
    /// Of a bare ring: where each body is, and whether connections close behind it.
    bare: Vec<(SocketAddr, usize, bool)>,
    scratch: Scratch,
}

impl Running {
    /// Starts a server and waits until it answers.
    pub(crate) fn start(peer: Peer, secure: bool, options: &Options, site: &Site) -> Result<Self> {
        let (address, secure_address) = (free_address()?, free_address()?);
        let scratch = Scratch::new(peer.word())?;
        let mut command = match peer {
            Peer::Serve => serve(options, address, secure, site)?,
            Peer::Bare => bare(options, site)?,
            Peer::Libuv | Peer::LibuvGathered => libuv(peer, options, address, site)?,
            Peer::Nginx => nginx(options, (address, secure_address), scratch.path(), site)?,
            Peer::Go => go(options, address, site)?,
            Peer::Node => node(options, address, site)?,
        };
        let log = std::fs::File::create(scratch.path().join("output.txt"))?;
        command.stdin(Stdio::null()).stderr(log.try_clone()?);
        command.stdout(if peer == Peer::Bare { Stdio::piped() } else { log.into() });
        let guard = Guard::spawn(&mut command)?;
        let bare = Vec::new();
        let mut server = Running { peer, secure, guard, address, secure_address, bare, scratch };
        if peer == Peer::Bare {
            server.read_addresses()?;
        } else {
            server.wait_ready()?;
        }
        Ok(server)
    }

    /// Its process.
    pub(crate) fn process(&self) -> &Guard {
        &self.guard
    }

    /// Where it does this work.
    pub(crate) fn address(&self, work: &Work) -> Result<SocketAddr> {
        match self.peer {
            Peer::Bare => {
                let bytes = match work.body {
                    Body::Empty => 0,
                    Body::Greeting => 13,
                    Body::File("1k.bin") => 1_024,
                    Body::File(_) => 65_536,
                };
                let closes = work.kind == Kind::Close;
                let mut all = self.bare.iter();
                let found = all.find(|(_, size, closing)| (*size, *closing) == (bytes, closes));
                found.map(|(address, ..)| *address).context("the bare ring has no such answer")
            }
            Peer::Nginx if self.secure => Ok(self.secure_address),
            _ => Ok(self.address),
        }
    }

    /// The end of what it wrote, to show why something failed.
    pub(crate) fn output(&self) -> String {
        let read = |name| std::fs::read_to_string(self.scratch.path().join(name));
        let text = read("output.txt").unwrap_or_default() + &read("error.log").unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let last = lines[lines.len().saturating_sub(10)..].join("\n  ");
        format!("{} said:\n  {last}\n", self.peer.name())
    }

    fn wait_ready(&mut self) -> Result<()> {
        let (address, guard) = (self.address, &mut self.guard);
        // TLS is tried by the load; here it is enough that somebody listens.
        let address =
            if self.secure && self.peer == Peer::Nginx { self.secure_address } else { address };
        let secure = self.secure;
        let mut ended = false;
        let ready = clock::wait_until(READY_PATIENCE, || {
            ended = guard.has_ended();
            let answers = || {
                if secure {
                    http::connect(address).is_ok()
                } else {
                    http::status(address, "/").is_ok_and(|code| code == 200)
                }
            };
            ended || answers()
        });
        if ended || !ready {
            bail!("{} does not come up; {}", self.peer.name(), self.output());
        }
        Ok(())
    }

    /// A bare ring says where it listens, a line each, and then that it is ready.
    fn read_addresses(&mut self) -> Result<()> {
        let stdout = self.guard.child().stdout.take().context("no pipe")?;
        for line in BufReader::new(stdout).lines() {
            let line = line?;
            if line == "ready" {
                return Ok(());
            }
            let words: Vec<&str> = line.split(' ').collect();
            let [address, bytes, ..] = words[..] else { bail!("the bare ring said: {line}") };
            self.bare.push((address.parse()?, bytes.parse()?, words.len() > 2));
        }
        bail!("the bare ring does not come up; {}", self.output())
    }
}

fn serve(options: &Options, address: SocketAddr, secure: bool, site: &Site) -> Result<Command> {
    let mut command = pinned(&options.serve, options.core)?;
    command.arg(address.to_string()).arg("--root").arg(site.root());
    if let Some(core) = options.core {
        command.args(["--cores", &core.to_string()]);
    }
    if secure {
        command.arg("--tls-cert").arg(site.certificate()).arg("--tls-key").arg(site.key());
    }
    Ok(command)
}

fn bare(options: &Options, site: &Site) -> Result<Command> {
    let mut command = pinned(&myself()?, options.core)?;
    command.arg("bare-http").arg("--root").arg(site.root());
    Ok(command)
}

fn libuv(peer: Peer, options: &Options, address: SocketAddr, site: &Site) -> Result<Command> {
    let mut command = pinned(&options.peers.join("libuv-server"), options.core)?;
    command.args([address.ip().to_string(), address.port().to_string()]).arg(site.root());
    if peer == Peer::LibuvGathered {
        command.arg("--gather");
    }
    Ok(command)
}

fn nginx(
    options: &Options,
    (address, secure_address): (SocketAddr, SocketAddr),
    scratch: &Path,
    site: &Site,
) -> Result<Command> {
    let files = machine::open_files_max();
    let texts = [
        ("{scratch}", scratch.display().to_string()),
        ("{root}", site.root().display().to_string()),
        ("{certificate}", site.certificate().display().to_string()),
        ("{key}", site.key().display().to_string()),
        ("{address}", address.to_string()),
        ("{tls_address}", secure_address.to_string()),
        ("{files}", files.to_string()),
        ("{connections}", files.saturating_sub(200).to_string()),
    ];
    let config =
        texts.iter().fold(NGINX_CONFIG.to_owned(), |text, (name, value)| text.replace(name, value));
    let file = scratch.join("nginx.conf");
    std::fs::write(&file, config)?;
    let mut command = pinned(Path::new("nginx"), options.core)?;
    command.arg("-p").arg(scratch).arg("-c").arg(file);
    command.arg("-e").arg(scratch.join("error.log"));
    Ok(command)
}

fn go(options: &Options, address: SocketAddr, site: &Site) -> Result<Command> {
    let mut command = pinned(&options.peers.join("go-server"), options.core)?;
    command.arg(address.to_string()).arg(site.root()).env("GOMAXPROCS", "1");
    Ok(command)
}

fn node(options: &Options, address: SocketAddr, site: &Site) -> Result<Command> {
    let mut command = pinned(Path::new("node"), options.core)?;
    command.arg(NODE_SERVER).args([address.ip().to_string(), address.port().to_string()]);
    command.arg(site.root()).arg(options.node_modules());
    Ok(command)
}
