//! Real peers: the programs that people use with such a server.

use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use super::server::{Folder, PASSWORD, Server};
use super::{PATIENCE, rest_ms};

/// Programs and the Debian packages that bring them, where the names differ.
const PACKAGES: [(&str, &str); 2] = [("ffprobe", "ffmpeg"), ("setpriv", "util-linux")];

/// Whether these programs are there to test with. `SKYWAVE_TEST_NO_PEERS=1` says to do without
/// any; then, and only then, the answer is `false`.
///
/// # Panics
/// With the package's name when one is missing.
pub fn have(programs: &[&str]) -> bool {
    if std::env::var("SKYWAVE_TEST_NO_PEERS").is_ok_and(|value| value == "1") {
        eprintln!("left out, as SKYWAVE_TEST_NO_PEERS says: needs {}", programs.join(", "));
        return false;
    }
    for program in programs {
        let package = PACKAGES.iter().find(|(name, _)| name == program).map_or(*program, |p| p.1);
        assert!(
            is_there(program),
            "{program} is missing: apt-get install {package} (or set SKYWAVE_TEST_NO_PEERS=1)"
        );
    }
    true
}

fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/bin".into()]);
    places.into_iter().any(|place| place.join(program).is_file())
}

/// A command that is killed with the test's process, however that ends.
pub fn tied(program: &str) -> Command {
    if !is_there("setpriv") {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--", program]);
    command
}

/// As [`tied`], for programs that refuse to run as root.
fn unprivileged(program: &str) -> Command {
    if !rustix::process::getuid().is_root() {
        return tied(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "--", program]);
    command.env("HOME", "/nonexistent");
    command
}

/// A running program; it ends with the test.
pub struct Peer {
    child: Child,
    folder: Folder,
}

impl Peer {
    /// Starts a program with these arguments.
    pub fn start(program: &str, args: &[&str]) -> Peer {
        Peer::spawn(tied(program), args)
    }

    /// Starts one that refuses to run as root.
    pub fn start_unprivileged(program: &str, args: &[&str]) -> Peer {
        Peer::spawn(unprivileged(program), args)
    }

    fn spawn(mut command: Command, args: &[&str]) -> Peer {
        let folder = Folder::new("peer");
        let log = std::fs::File::create(folder.path().join("log")).expect("a file");
        let child = command
            .args(args)
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a descriptor"))
            .stderr(log)
            .spawn()
            .expect("the peer starts");
        Peer { child, folder }
    }

    /// What it wrote so far.
    pub fn log(&self) -> String {
        let bytes = std::fs::read(self.folder.path().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Whether it has not ended by itself.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("its own child").is_none()
    }

    /// Waits for its end and says whether it was a good one.
    pub fn succeeds_within(&mut self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().expect("its own child") {
                return status.success();
            }
            rest_ms(20);
        }
        false
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("---- output of a peer\n{}", self.log());
        }
    }
}

/// Starts a program and gives it to [`Peer`].
pub fn peer(program: &str, args: &[&str]) -> Peer {
    Peer::start(program, args)
}

/// Runs a program to its end, which must come within a time.
#[track_caller]
pub fn run_to_end(program: &str, args: &[&str], limit: Duration) -> Output {
    let seconds = limit.as_secs_f64().to_string();
    let mut command = tied("timeout");
    command.args(["-k", "1", &seconds, program]).args(args);
    command.stdin(Stdio::null()).output().expect("the peer starts")
}

/// ffmpeg as a source four times as fast as real time: `input` and `output` are its options before
/// the URL. Waits until the mount is up.
#[track_caller]
pub fn ffmpeg_source(server: &Server, mount: &str, input: &[&str], output: &[&str]) -> Peer {
    let url = format!("icecast://source:{PASSWORD}@{}{mount}", server.address);
    let mut args = vec!["-nostdin", "-v", "warning", "-readrate", "4"];
    args.extend_from_slice(input);
    args.extend_from_slice(output);
    args.push(&url);
    let peer = Peer::start("ffmpeg", &args);
    super::wait_for("the mount is up", || server.mount_status(mount).is_some());
    peer
}

/// Has ffmpeg listen and decode three seconds. Any word of complaint is a failure.
#[track_caller]
pub fn decodes(server: &Server, mount: &str) {
    decodes_for(server, mount, "3", &[]);
}

/// As [`decodes`], for so many seconds and with options before the URL.
#[track_caller]
pub fn decodes_for(server: &Server, mount: &str, seconds: &str, options: &[&str]) {
    let url = server.url(mount);
    let mut args = vec!["-nostdin", "-v", "error", "-xerror"];
    args.extend_from_slice(options);
    args.extend_from_slice(&["-i", &url, "-t", seconds, "-f", "null", "-"]);
    let output = run_to_end("ffmpeg", &args, 2 * PATIENCE);
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && complaint.is_empty(), "{}: {complaint}", output.status);
}
