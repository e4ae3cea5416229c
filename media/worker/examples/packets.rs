//! A camera or a file to packets: `packets SOURCE`, such as `/dev/video0` or `rtsp://…` or a file.
//!
//! ```text
//! cargo build -p media-worker && cargo run -p media-worker --example packets -- film.mp4
//! ```
//!
//! This program is a worker's server in little: it starts the worker with one end of a socket pair
//! as its standard input, says a job, asks for a keyframe every two seconds, and writes a line for
//! each second of what comes.

use std::error::Error;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use media_link::{Job, Limits, Link, Message, Side};

/// Both ends' order, and the socket under it.
struct Worker {
    link: Link,
    socket: UnixStream,
}

impl Worker {
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
}

fn main() -> Result<(), Box<dyn Error>> {
    let source = std::env::args().nth(1).ok_or("usage: packets SOURCE")?;
    // Beside this example's folder, where cargo puts programs.
    let program = std::env::current_exe()?.with_file_name("../skywave-worker");
    let (ours, theirs) = UnixStream::pair()?;
    let mut child = Command::new(program).stdin(Stdio::from(OwnedFd::from(theirs))).spawn()?;
    let link = Link::new(Side::Server, Limits::default());
    let mut worker = Worker { link, socket: ours };
    let job = serde_json::json!({ "job": "stream", "name": "camera", "source": source });
    let job: Job = serde_json::from_value(job)?;
    worker.say(Message::Job(Box::new(job)))?;

    let (mut second, mut count, mut bytes, mut keyframes) = (0, 0, 0, 0);
    let ending = loop {
        match worker.hear()? {
            Message::Track(track) => println!(
                "track {}: {}, {}x{}",
                track.id,
                track.codec.name(),
                track.width,
                track.height
            ),
            Message::Packet(packet) => {
                count += 1;
                bytes += packet.payload.len();
                keyframes += usize::from(packet.is_keyframe && packet.track == 0);
                let rate = if packet.track == 0 { 90_000 } else { 48_000 };
                let now = packet.presentation / rate;
                if now > second {
                    println!("{second} s: {count} packets, {bytes} bytes, {keyframes} keyframes");
                    (second, count, bytes, keyframes) = (now, 0, 0, 0);
                    if now % 2 == 0 {
                        worker.say(Message::KeyframeWanted { track: 0 })?;
                    }
                }
            }
            Message::Event { event, .. } => println!("{}", serde_json::to_string(&event)?),
            Message::End(ending) => break ending,
            _ => {}
        }
    };
    println!("{ending}");
    child.wait()?;
    Ok(())
}
