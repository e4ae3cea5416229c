//! A server of the test's own: the real binary on a free port, ended when the test ends.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::http::{self, Reply};
use super::{PATIENCE, peers, rest_ms};

/// The password of sources.
pub const PASSWORD: &str = "a-source-password";
/// The admin's name and password.
pub const ADMIN: (&str, &str) = ("admin", "an-admin-password");

/// A running `skywave`.
pub struct Server {
    /// Where it accepts connections.
    pub address: SocketAddr,
    /// A folder that goes with it.
    pub folder: Folder,
    child: Child,
}

/// How to start one.
#[derive(Clone, Default)]
pub struct Setup {
    /// Sections for the configuration file.
    pub toml: String,
    /// More flags.
    pub flags: Vec<String>,
    /// The port; a free one where 0.
    pub port: u16,
}

impl Server {
    /// Starts one with these sections in its configuration file, and waits until it answers.
    pub fn start(toml: &str) -> Server {
        Server::start_with(Setup { toml: toml.to_owned(), ..Setup::default() })
    }

    /// As [`Server::start`], with all that can be said. `{dir}` in the configuration is the
    /// server's folder, `{port}` its port.
    pub fn start_with(setup: Setup) -> Server {
        Server::start_prepared(&setup, |_| {})
    }

    /// The same, once `prepare` has done something to its folder.
    pub fn start_prepared(setup: &Setup, prepare: impl Fn(&Path)) -> Server {
        for _ in 0..20 {
            if let Some(server) = Server::attempt(setup, &prepare) {
                return server;
            }
        }
        panic!("no port could be had");
    }

    /// One attempt; `None` when somebody else took the port meanwhile.
    fn attempt(setup: &Setup, prepare: &impl Fn(&Path)) -> Option<Server> {
        let port = if setup.port == 0 { free_port() } else { setup.port };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let folder = Folder::new("skywave");
        prepare(folder.path());
        let config = folder.path().join("skywave.toml");
        fs::write(&config, folder.fill(&setup.toml, port)).expect("a file");
        let log = fs::File::create(folder.path().join("stderr")).expect("a file");
        let mut command = peers::tied(env!("CARGO_BIN_EXE_skywave"));
        if !setup.toml.contains("[[listen]]") {
            command.arg("--listen").arg(address.to_string());
        }
        let child = command
            .args(["--source-password", PASSWORD, "--admin-password", ADMIN.1, "--shards", "2"])
            .arg("--config")
            .arg(&config)
            .args(&setup.flags)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the server starts");
        let mut server = Server { address, folder, child };
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(reply) = http::try_get(address, "/health")
                && reply.status == 200
            {
                return Some(server);
            }
            if let Some(status) = server.child.try_wait().expect("its own child") {
                let log = server.log();
                if log.contains("cannot listen on") {
                    return None;
                }
                panic!("the server ended with {status}:\n{log}");
            }
            assert!(Instant::now() < deadline, "the server is not ready after {PATIENCE:?}");
            rest_ms(20);
        }
    }

    /// The process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// A URL on this server.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// A request without credentials, answered to its end.
    pub fn get(&self, path: &str) -> Reply {
        http::get(self.address, path, &[])
    }

    /// The status of a request whose body may never end.
    pub fn get_head_status(&self, path: &str) -> u16 {
        http::Listener::open(self.address, path, &[]).reply.status
    }

    /// A request of the admin.
    pub fn admin(&self, path: &str) -> Reply {
        http::get(self.address, path, &[&http::basic(ADMIN.0, ADMIN.1)])
    }

    /// The public statistics.
    pub fn status(&self) -> serde_json::Value {
        let reply = self.get("/status-json.xsl");
        serde_json::from_slice(&reply.body).expect("valid JSON")
    }

    /// The public statistics of one mount.
    pub fn mount_status(&self, mount: &str) -> Option<serde_json::Value> {
        let reply = self.get(&format!("/status-json.xsl?mount={mount}"));
        let all: serde_json::Value = serde_json::from_slice(&reply.body).expect("valid JSON");
        all["icestats"].get("source").cloned()
    }

    /// The title of a mount.
    pub fn title(&self, mount: &str) -> Option<String> {
        Some(self.mount_status(mount)?.get("title")?.as_str()?.to_owned())
    }

    /// One number of `/metrics`, summed over its labels; `None` when there is no such metric.
    pub fn metric(&self, name: &str) -> Option<f64> {
        let text = self.get("/metrics").text();
        let values = text.lines().filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            let rest = if rest.starts_with('{') { rest.split_once('}')?.1 } else { rest };
            rest.strip_prefix(' ')?.trim().parse::<f64>().ok()
        });
        values.fold(None, |sum, value| Some(sum.unwrap_or(0.0) + value))
    }

    /// What it wrote to stderr so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("stderr")).unwrap_or_default()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).expect("an id");
        kill_process(Pid::from_raw(id).expect("an id"), signal).expect("it runs");
    }

    /// Waits for its end.
    pub fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().expect("its own child") {
                return Some(status);
            }
            rest_ms(20);
        }
        None
    }

    /// Writes its configuration anew.
    pub fn rewrite(&self, toml: &str) {
        let text = self.folder.fill(toml, self.address.port());
        fs::write(self.folder.path().join("skywave.toml"), text).expect("a file");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let ended = self.child.try_wait();
        let _ = self.child.kill();
        let _ = self.child.wait();
        let log = self.log();
        if std::thread::panicking() {
            let lines: Vec<&str> = log.lines().collect();
            let tail = &lines[lines.len().saturating_sub(40)..];
            eprintln!("---- log of {} ({ended:?})\n{}", self.address, tail.join("\n"));
        } else {
            assert!(!log.contains("panicked at"), "a thread of the server panicked:\n{log}");
        }
    }
}

/// A folder that is gone after the test. Others may enter it: some peers refuse to run as root.
pub struct Folder(PathBuf);

impl Folder {
    /// A new one.
    pub fn new(name: &str) -> Folder {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("skywave-e2e-{name}-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("a folder");
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        fs::set_permissions(&path, open).expect("its own folder");
        Folder(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file into it.
    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).expect("a file");
        path
    }

    fn fill(&self, toml: &str, port: u16) -> String {
        let folder = self.0.to_str().expect("a readable path");
        toml.replace("{dir}", folder).replace("{port}", &port.to_string())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A port that is free with its neighbour above, below those that the system gives to clients.
/// Tests run in several processes, so each begins to look somewhere else.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = (std::process::id() as u16).wrapping_mul(26);
    loop {
        let step = NEXT.fetch_add(2, Ordering::Relaxed);
        let port = 12_000 + (start.wrapping_add(step) % 20_000) / 2 * 2;
        let is_free = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
        if is_free(port) && is_free(port + 1) {
            return port;
        }
    }
}
