//! An encoder: puts the endless MP3 of [`frame`] on a mount, in real time, in writes of one size.
//!
//! *Invariant:* the stream starts with frame 0 and never skips, so that whoever hears it can tell
//! from any two frames whether something is missing.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::args::Args;
use crate::content::frame;
use crate::{clock, http};

/// Where the source goes, and how it writes.
#[derive(Clone, Debug)]
pub(crate) struct SourceOptions {
    /// The server.
    pub(crate) address: SocketAddr,
    /// The mount's path.
    pub(crate) mount: String,
    /// Of the user `source`.
    pub(crate) password: String,
    /// Size of each write.
    pub(crate) write_bytes: usize,
    /// Sent at once before real time begins, so that a burst is there early.
    pub(crate) lead_bytes: u64,
}

/// A running source; it ends when this is dropped.
pub(crate) struct Source {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Source {
    /// Connects, is let in, and goes on in a thread of its own.
    pub(crate) fn start(options: &SourceOptions) -> Result<Self> {
        assert!(options.write_bytes > 0, "a write has bytes");
        let stream = log_in(options).context("the source")?;
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, options) = (Arc::clone(&stop), options.clone());
        let body = move || play(stream, &options, &stopped);
        let thread = std::thread::Builder::new().name("source".into()).spawn(body)?;
        Ok(Source { stop, thread: Some(thread) })
    }

    /// Ends it, and says if it had failed before.
    pub(crate) fn finish(mut self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().expect("it ends once");
        thread.join().expect("the source does not panic").context("the source")
    }

    /// Whether it has ended by itself, which is a failure.
    pub(crate) fn has_failed(&self) -> bool {
        self.thread.as_ref().is_some_and(JoinHandle::is_finished)
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// `bench source`: plays until it is ended, or for `--seconds`.
pub(crate) fn command(mut args: Args) -> Result<()> {
    let options = SourceOptions {
        address: args.required("address")?,
        mount: args.value("mount", "/live.mp3".to_owned())?,
        password: args.required("password")?,
        write_bytes: args.value("write-bytes", 417)?,
        lead_bytes: args.value("lead-bytes", 0)?,
    };
    let seconds: u64 = args.value("seconds", u64::MAX)?;
    args.finish()?;
    if options.write_bytes == 0 {
        bail!("--write-bytes cannot be 0");
    }
    let source = Source::start(&options)?;
    println!("on {} at {}", options.mount, options.address);
    clock::wait_until(Duration::from_secs(seconds.min(1 << 31)), || source.has_failed());
    source.finish()
}

/// Asks for the mount the way ffmpeg does, and reads the answer's head.
fn log_in(options: &SourceOptions) -> Result<TcpStream> {
    let SourceOptions { address, mount, password, .. } = options;
    let authorization = http::basic("source", password);
    let mut stream = http::connect(*address)?;
    write!(
        stream,
        "PUT {mount} HTTP/1.1\r\nUser-Agent: Lavf/60.16.100\r\nAccept: */*\r\n\
         Expect: 100-continue\r\nConnection: close\r\nHost: {address}\r\n\
         Content-Type: audio/mpeg\r\nAuthorization: {authorization}\r\nice-name: bench\r\n\
         ice-public: 0\r\n\r\n"
    )?;
    let head = http::read_head(&mut stream)?;
    match http::status_of(&head) {
        Some(100 | 200) => Ok(stream),
        _ => bail!("refused: {}", String::from_utf8_lossy(&head).trim_end()),
    }
}

fn play(mut stream: TcpStream, options: &SourceOptions, stop: &AtomicBool) -> Result<()> {
    let start = clock::now();
    let mut waiting = Vec::new();
    let (mut number, mut sent) = (0, 0);
    while !stop.load(Ordering::Relaxed) {
        while waiting.len() < options.write_bytes {
            frame::write(number, &mut waiting);
            number += 1;
        }
        // What is written is complete at that time, as from an encoder that has just made it.
        let made = (sent + options.write_bytes as u64).saturating_sub(options.lead_bytes);
        let due = start + Duration::from_micros(made * 1_000_000 / frame::BYTES_PER_SECOND);
        let early = due.saturating_duration_since(clock::now());
        if !early.is_zero() {
            clock::sleep(early);
        }
        stream.write_all(&waiting[..options.write_bytes])?;
        sent += options.write_bytes as u64;
        waiting.drain(..options.write_bytes);
    }
    Ok(())
}
