//! One worker of a program that has neither shards nor a supervisor, and may wait.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use media_link::{Job, Limits, Link, Message, Side, Track};

/// A worker process and our end of its link. It ends with this.
#[derive(Debug)]
pub struct Process {
    link: Link,
    socket: UnixStream,
    child: Child,
    /// Heard already, and not yet told.
    ahead: Option<Message>,
}

impl Process {
    /// Starts the program with a job.
    ///
    /// # Errors
    /// The program cannot be started, or ended at once.
    pub fn start(program: &Path, job: Job) -> io::Result<Process> {
        let (ours, theirs) = UnixStream::pair()?;
        let child = Command::new(program).stdin(Stdio::from(OwnedFd::from(theirs))).spawn()?;
        let link = Link::new(Side::Server, Limits::default());
        let mut process = Process { link, socket: ours, child, ahead: None };
        process.say(Message::Job(Box::new(job)))?;
        Ok(process)
    }

    /// Says something, and waits until it is on its way.
    ///
    /// # Errors
    /// The worker is gone, or it is nothing that may be said now.
    pub fn say(&mut self, message: Message) -> io::Result<()> {
        self.link.send(message).map_err(|refused| io::Error::other(format!("{refused:?}")))?;
        while let Some(frame) = self.link.next_output() {
            self.socket.write_all(&frame.head)?;
            self.socket.write_all(&frame.payload)?;
        }
        Ok(())
    }

    /// Waits for the next message.
    ///
    /// # Errors
    /// The worker is gone, or says what it may not.
    pub fn hear(&mut self) -> io::Result<Message> {
        let mut buffer = [0; 65_536];
        loop {
            if let Some(message) = self.poll()? {
                return Ok(message);
            }
            match self.socket.read(&mut buffer)? {
                0 => return Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
                count => self.receive(&buffer[..count]),
            }
        }
    }

    /// Waits until a worker that streams has announced what it will send.
    ///
    /// # Errors
    /// It has ended before that, and says why.
    pub fn tracks(&mut self) -> io::Result<Vec<Track>> {
        let mut tracks = Vec::new();
        loop {
            match self.hear()? {
                Message::Track(track) => tracks.push(track),
                Message::End(ending) => return Err(io::Error::other(ending.to_string())),
                packet @ Message::Packet(_) => {
                    self.ahead = Some(packet);
                    return Ok(tracks);
                }
                _ => {}
            }
        }
    }

    /// The socket, for another thread to read: what it reads goes to [`Process::receive`].
    ///
    /// # Errors
    /// The system has no more descriptors.
    pub fn reader(&self) -> io::Result<UnixStream> {
        self.socket.try_clone()
    }

    /// Takes bytes that [`Process::reader`] read.
    pub fn receive(&mut self, bytes: &[u8]) {
        self.link.receive(bytes);
    }

    /// The next message of what was received; poll until there is none before more is received.
    ///
    /// # Errors
    /// The worker says what it may not.
    pub fn poll(&mut self) -> io::Result<Option<Message>> {
        match self.ahead.take() {
            Some(message) => Ok(Some(message)),
            None => self.link.poll().map_err(io::Error::other),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Its link closes, and it ends with that, whoever else holds the socket.
        self.socket.shutdown(Shutdown::Both).ok();
        self.child.wait().ok();
    }
}
