//! A worker as its server sees it, and media from ffmpeg.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use media_link::{Ending, Event, Job, Limits, Link, MediaPacket, Message, Side, Track};

/// How long anything may take before the test is lost.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A folder that is removed behind the test.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("skywave-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder");
        Folder(path)
    }

    pub fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("a name in UTF-8").to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

/// Makes a file: `ffmpeg ARGUMENTS FILE`.
pub fn make(file: &str, arguments: &str) {
    let output = Command::new("ffmpeg")
        .args(["-nostdin", "-y", "-loglevel", "error"])
        .args(arguments.split_whitespace())
        .arg(file)
        .output()
        .expect("ffmpeg runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// What ffprobe says, as `key=value` lines.
pub fn probe(file: &Path, arguments: &str) -> String {
    let output = Command::new("ffprobe")
        .args(["-loglevel", "error", "-of", "default=nokey=0"])
        .args(arguments.split_whitespace())
        .arg(file)
        .output()
        .expect("ffprobe runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What stands behind `key=`, of each line that has it.
pub fn values<'t>(text: &'t str, key: &'t str) -> impl Iterator<Item = &'t str> {
    text.lines().filter_map(move |line| line.strip_prefix(key)?.strip_prefix('='))
}

pub struct Worker {
    pub child: Child,
    socket: UnixStream,
    link: Link,
    /// Said before it was asked for.
    pub events: Vec<Event>,
    pub tracks: Vec<Track>,
    pub keyframes_wanted: usize,
    pub graphs: Vec<bytes::Bytes>,
}

impl Worker {
    pub fn start(job: &str) -> Worker {
        Worker::start_by(Command::new(env!("CARGO_BIN_EXE_skywave-worker")), job)
    }

    /// Starts it by another command, which has to hand on its standard input.
    pub fn start_by(mut command: Command, job: &str) -> Worker {
        let job: Job = serde_json::from_str(job).expect("a job");
        let (ours, theirs) = UnixStream::pair().expect("a socket pair");
        let child =
            command.stdin(Stdio::from(OwnedFd::from(theirs))).spawn().expect("the worker starts");
        ours.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let link = Link::new(Side::Server, Limits::default());
        let mut worker = Worker {
            child,
            socket: ours,
            link,
            events: Vec::new(),
            tracks: Vec::new(),
            keyframes_wanted: 0,
            graphs: Vec::new(),
        };
        worker.say(Message::Job(Box::new(job)));
        worker
    }

    pub fn say(&mut self, message: Message) {
        self.link.send(message).expect("in order");
        while let Some(frame) = self.link.next_output() {
            let written = self.socket.write_all(&frame.head);
            if written.and_then(|()| self.socket.write_all(&frame.payload)).is_err() {
                return; // it is gone, which whoever reads will see
            }
        }
    }

    /// The next packet; what else is said meanwhile is noted.
    pub fn packet(&mut self) -> Result<MediaPacket, Ending> {
        loop {
            match self.hear() {
                Message::Packet(packet) => return Ok(packet),
                Message::End(ending) => return Err(ending),
                message => self.note(message),
            }
        }
    }

    /// Hears everything until the end.
    pub fn ending(&mut self) -> Ending {
        loop {
            if let Err(ending) = self.packet() {
                return ending;
            }
        }
    }

    fn note(&mut self, message: Message) {
        match message {
            Message::Event { event, .. } => self.events.push(*event),
            Message::Track(track) => self.tracks.push(track),
            Message::KeyframeWanted { .. } => self.keyframes_wanted += 1,
            Message::Graph(text) => self.graphs.push(text),
            _ => {}
        }
    }

    pub fn hear(&mut self) -> Message {
        let mut buffer = [0; 65_536];
        loop {
            if let Some(message) = self.link.poll().expect("a good worker") {
                return message;
            }
            let count = self.socket.read(&mut buffer).expect("it says something in time");
            assert!(count > 0, "it ended without a last word");
            self.link.receive(&buffer[..count]);
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // By its own handle; it may be gone already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
