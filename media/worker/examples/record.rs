//! Packets to a file: `record SOURCE DIRECTORY [SECONDS]` opens a source with one worker and lets
//! another one write what comes.
//!
//! ```text
//! cargo build -p media-worker
//! cargo run -p media-worker --example record -- film.mp4 recordings 10
//! ```
//!
//! Kill the recording worker while it runs: what is in the directory plays to its last fragment,
//! and the next recorder that opens the directory closes it in its index.

use std::error::Error;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use media_link::{Job, Limits, Link, Message, Side};

struct Worker {
    link: Link,
    socket: UnixStream,
    child: Child,
}

impl Worker {
    fn start(program: &Path, job: serde_json::Value) -> Result<Worker, Box<dyn Error>> {
        let (ours, theirs) = UnixStream::pair()?;
        let child = Command::new(program).stdin(Stdio::from(OwnedFd::from(theirs))).spawn()?;
        let link = Link::new(Side::Server, Limits::default());
        let mut worker = Worker { link, socket: ours, child };
        let job: Job = serde_json::from_value(job)?;
        worker.say(Message::Job(Box::new(job)))?;
        Ok(worker)
    }

    fn say(&mut self, message: Message) -> Result<(), Box<dyn Error>> {
        self.link.send(message).map_err(|refused| format!("{refused:?}"))?;
        while let Some(frame) = self.link.next_output() {
            self.socket.write_all(&frame.head)?;
            self.socket.write_all(&frame.payload)?;
        }
        Ok(())
    }

    fn hear(&mut self) -> Result<Message, Box<dyn Error>> {
        let mut buffer = [0; 65_536];
        loop {
            if let Some(message) = self.link.poll()? {
                return Ok(message);
            }
            match self.socket.read(&mut buffer)? {
                0 => return Err("the worker ended without a word".into()),
                count => self.link.receive(&buffer[..count]),
            }
        }
    }

    /// What is left to say, until its last word.
    fn finish(mut self) -> Result<(), Box<dyn Error>> {
        loop {
            match self.hear()? {
                Message::Event { event, .. } => println!("{}", serde_json::to_string(&event)?),
                Message::End(ending) => {
                    println!("{ending}");
                    self.child.wait()?;
                    return Ok(());
                }
                _ => {}
            }
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [source, directory, rest @ ..] = &arguments[..] else {
        return Err("usage: record SOURCE DIRECTORY [SECONDS]".into());
    };
    let seconds: i64 = rest.first().map_or(Ok(10), |text| text.parse())?;
    // Beside this example's folder, where cargo puts programs.
    let program = std::env::current_exe()?.with_file_name("../skywave-worker");
    let job = serde_json::json!({ "job": "stream", "name": "camera", "source": source });
    let mut camera = Worker::start(&program, job)?;
    let job = serde_json::json!({ "job": "record", "name": "camera", "directory": directory });
    let mut recorder = Worker::start(&program, job)?;
    loop {
        match camera.hear()? {
            Message::Track(track) => recorder.say(Message::Track(track))?,
            Message::Packet(packet) => {
                let rate = if packet.track == 0 { 90_000 } else { 48_000 };
                let is_over = packet.presentation / rate >= seconds;
                recorder.say(Message::Packet(packet))?;
                if is_over {
                    break;
                }
            }
            Message::End(ending) => {
                println!("the source: {ending}");
                break;
            }
            _ => {}
        }
    }
    // The camera's link closes behind this, and its worker ends with it.
    drop(camera.socket);
    camera.child.wait()?;
    recorder.say(Message::Drain)?;
    recorder.finish()
}
