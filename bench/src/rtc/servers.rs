//! The servers that pass streams on: how each is started, on one core, and when it is ready.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Result, bail};
use serde::Serialize;

use super::janus;
use crate::args::Args;
use crate::clock;
use crate::http;
use crate::process::{Guard, myself, pinned};
use crate::servers::{Scratch, free_address};

const READY_PATIENCE: Duration = Duration::from_secs(20);
const TOKEN: &str = "bench";

/// Which.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// Ours.
    Skywave,
    /// Debian's Janus, its streaming plugin.
    Janus,
}

impl FromStr for Kind {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "skywave" => Ok(Kind::Skywave),
            "janus" => Ok(Kind::Janus),
            _ => Err(()),
        }
    }
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Skywave => "skywave",
            Kind::Janus => "janus",
        }
    }
}

/// Where they are and how they run.
pub(crate) struct ServerOptions {
    skywave: PathBuf,
    core: usize,
    /// An address of this machine that is not the loopback's: ICE does not take that one.
    ip: IpAddr,
}

impl ServerOptions {
    pub(crate) fn read(args: &mut Args) -> Result<Self> {
        Ok(ServerOptions {
            skywave: args.value("skywave", myself()?.with_file_name("skywave"))?,
            core: args.value("server-core", 0)?,
            ip: match args.optional("ip")? {
                Some(ip) => ip,
                None => own_address()?,
            },
        })
    }

    pub(crate) fn version(&self, kind: Kind) -> String {
        let mut command = match kind {
            Kind::Skywave => Command::new(&self.skywave),
            // Janus itself does not say; its package does.
            Kind::Janus => Command::new("dpkg-query"),
        };
        match kind {
            Kind::Skywave => command.arg("--version"),
            Kind::Janus => command.args(["-W", "-f", "${Version}", "janus"]),
        };
        let answer = command.output();
        let text = answer.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        text.unwrap_or_default().lines().last().unwrap_or("unknown").trim().to_owned()
    }
}

/// The address by which this machine would speak to others; nothing is sent.
fn own_address() -> Result<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.connect("192.0.2.200:9")?;
    Ok(socket.local_addr()?.ip())
}

/// A running one.
pub(crate) struct Server {
    kind: Kind,
    ip: IpAddr,
    http: SocketAddr,
    rtp: Option<(SocketAddr, SocketAddr)>,
    guard: Guard,
    scratch: Scratch,
}

impl Server {
    pub(crate) fn start(kind: Kind, options: &ServerOptions) -> Result<Self> {
        let scratch = Scratch::new(kind.name())?;
        let http = free_address()?;
        let port = || Ok::<_, anyhow::Error>(UdpSocket::bind((options.ip, 0))?.local_addr()?);
        let (command, rtp) = match kind {
            Kind::Skywave => {
                let program = std::path::absolute(&options.skywave)?;
                let mut command = pinned(&program, Some(options.core))?;
                let media = port()?;
                let text =
                    format!("[rtc]\nlisten = [\"{media}\"]\npublish_tokens = [\"{TOKEN}\"]\n");
                let path = scratch.path().join("skywave.toml");
                std::fs::write(&path, text)?;
                command.arg("--config").arg(path);
                command.args(["--listen", &http.to_string(), "--shards", "1"]);
                command.args(["--source-password", TOKEN, "--admin-password", TOKEN]);
                command.args(["--cores", &options.core.to_string()]);
                command.arg("--data-dir").arg(scratch.path());
                (command, None)
            }
            Kind::Janus => {
                let rtp = (port()?, port()?);
                let folder = scratch.path();
                let mut command = pinned("janus".as_ref(), Some(options.core))?;
                janus::configure(folder, http, options.ip, (rtp.0.port(), rtp.1.port()))?;
                command.arg("--configs-folder").arg(folder);
                (command, Some(rtp))
            }
        };
        let mut command = command;
        let log = std::fs::File::create(scratch.path().join("output.txt"))?;
        command.current_dir(scratch.path());
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let guard = Guard::spawn(&mut command)?;
        let mut server = Server { kind, ip: options.ip, http, rtp, guard, scratch };
        server.wait_ready()?;
        Ok(server)
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    pub(crate) fn ip(&self) -> IpAddr {
        self.ip
    }

    pub(crate) fn http(&self) -> SocketAddr {
        self.http
    }

    /// Where bare RTP of pictures and of sound is taken.
    pub(crate) fn rtp_ports(&self) -> Option<(SocketAddr, SocketAddr)> {
        self.rtp
    }

    pub(crate) fn process(&self) -> &Guard {
        &self.guard
    }

    /// An offer by WHIP or WHEP; the answer.
    pub(crate) fn post(&self, path: &str, offer: &str) -> Result<String> {
        let (status, body) = http::post(
            self.http,
            path,
            &[("Content-Type", "application/sdp"), ("Authorization", &format!("Bearer {TOKEN}"))],
            offer,
        )?;
        if status != 201 {
            bail!("{path}: {status}: {body}");
        }
        Ok(body)
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
        let (guard, http, mut ended) = (&mut self.guard, self.http, false);
        let ready = clock::wait_until(READY_PATIENCE, || {
            ended = guard.has_ended();
            ended || std::net::TcpStream::connect(http).is_ok()
        });
        if ended || !ready {
            bail!("{} does not come up; {}", self.kind.name(), self.output());
        }
        Ok(())
    }
}
