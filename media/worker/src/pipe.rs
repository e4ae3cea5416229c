//! The worker's end of the link: a thread that reads it, one that writes it, and the box from which
//! the driver sends.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;

use media_link::{Event, Frame, Limits, Link, Message, Refused, Side};

use crate::mailbox::{Letter, Mailbox};

/// Frames between the driver and the writer.
const WRITER_FRAMES_MAX: usize = 8;
/// Above this the graph keeps its media, and drops by its own policy.
const WAITING_BYTES_MAX: usize = 256 << 10;
const READ_BYTES: usize = 64 << 10;

/// What is to be said to the server.
pub struct Outbox {
    link: Link,
    writer: Option<SyncSender<Frame>>,
    pending: Option<Frame>,
    ended: Receiver<()>,
}

/// Starts both threads on a connected socket.
///
/// # Errors
/// Where the system has no more descriptors or threads.
pub fn start(socket: UnixStream, mailbox: &Arc<Mailbox>) -> std::io::Result<Outbox> {
    let reader = socket.try_clone()?;
    let of_reader = mailbox.clone();
    let read = move || {
        let cause = read(reader, &of_reader);
        of_reader.post(Letter::LinkClosed(cause));
    };
    thread::Builder::new().name("link in".into()).spawn(read)?;
    let (writer, frames) = sync_channel(WRITER_FRAMES_MAX);
    let (done, ended) = sync_channel(1);
    let of_writer = mailbox.clone();
    let write = move || {
        write(socket, &frames, &of_writer);
        // Nobody may be waiting for it any more.
        done.send(()).ok();
    };
    thread::Builder::new().name("link out".into()).spawn(write)?;
    let link = Link::new(Side::Worker, Limits::default());
    let mut outbox = Outbox { link, writer: Some(writer), pending: None, ended };
    outbox.pump();
    Ok(outbox)
}

fn read(mut socket: UnixStream, mailbox: &Mailbox) -> String {
    let mut link = Link::new(Side::Worker, Limits::default());
    let mut buffer = vec![0; READ_BYTES];
    loop {
        match socket.read(&mut buffer) {
            Ok(0) => return "the server closed the link".into(),
            Ok(count) => link.receive(&buffer[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return error.to_string(),
        }
        loop {
            match link.poll() {
                Ok(Some(message)) => mailbox.post(Letter::Message(message)),
                Ok(None) => break,
                Err(error) => return error.to_string(),
            }
        }
    }
}

fn write(mut socket: UnixStream, frames: &Receiver<Frame>, mailbox: &Mailbox) {
    while let Ok(frame) = frames.recv() {
        let written = socket.write_all(&frame.head).and_then(|()| socket.write_all(&frame.payload));
        if written.is_err() {
            // The reader will say that the link is gone.
            return;
        }
        mailbox.note_written();
    }
}

impl Outbox {
    /// Whether media may be sent now.
    pub fn has_room(&self) -> bool {
        self.link.output_bytes() < WAITING_BYTES_MAX
    }

    /// Says something. What is refused is dropped: packets are asked about room before.
    pub fn say(&mut self, message: Message) -> bool {
        let is_taken = match self.link.send(message) {
            Ok(()) => true,
            Err(Refused::Full(_) | Refused::TooLong(_) | Refused::OutOfOrder(_)) => false,
        };
        self.pump();
        is_taken
    }

    /// Tells an event.
    pub fn tell(&mut self, event: Event) {
        self.say(Message::Event { event: Box::new(event), attachment: bytes::Bytes::new() });
    }

    /// Tells a sentence for operators.
    pub fn warn(&mut self, text: impl Into<String>) {
        self.tell(Event::Warning(media_link::Alert { text: text.into() }));
    }

    /// Hands on as much as the writer takes.
    pub fn pump(&mut self) {
        let Some(writer) = &self.writer else { return };
        while let Some(frame) = self.pending.take().or_else(|| self.link.next_output()) {
            match writer.try_send(frame) {
                Ok(()) => {}
                Err(TrySendError::Full(frame)) => {
                    self.pending = Some(frame);
                    return;
                }
                Err(TrySendError::Disconnected(_)) => return,
            }
        }
    }

    /// Writes all that waits, and ends. Returns when it is written, or the server is gone.
    pub fn finish(mut self) {
        let Some(writer) = self.writer.take() else { return };
        while let Some(frame) = self.pending.take().or_else(|| self.link.next_output()) {
            if writer.send(frame).is_err() {
                return;
            }
        }
        drop(writer);
        // An error means that the writer is gone, which is the same.
        self.ended.recv().ok();
    }
}
