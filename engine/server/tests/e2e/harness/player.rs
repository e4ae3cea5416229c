//! A source of the test's own: says its head by hand and plays a tape or a file at a pace.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::http::{self, Reply};
use super::server::PASSWORD;
use super::tape::{FRAMES_PER_SECOND, Tape};

/// A source that was accepted. It ends when dropped.
pub struct Source {
    stream: TcpStream,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Source {
    /// Connects as a source of MP3.
    ///
    /// # Panics
    /// When it is refused.
    #[track_caller]
    pub fn connect(address: SocketAddr, mount: &str) -> Source {
        Source::attempt(address, mount, &["Content-Type: audio/mpeg"])
            .unwrap_or_else(|reply| panic!("refused: {}{}", reply.head, reply.text()))
    }

    /// Connects with these header lines besides the credentials.
    ///
    /// # Errors
    /// What the server answered when it was not 200.
    #[track_caller]
    pub fn attempt(address: SocketAddr, mount: &str, lines: &[&str]) -> Result<Source, Reply> {
        let mut stream = http::connect(address).expect("the server accepts");
        let mut head = format!("PUT {mount} HTTP/1.1\r\nHost: localhost\r\n");
        head += &format!("{}\r\n", http::basic("source", PASSWORD));
        for line in lines {
            head += &format!("{line}\r\n");
        }
        stream.write_all((head + "\r\n").as_bytes()).expect("the server reads");
        let answer = http::until(&mut stream, b"\r\n\r\n");
        let mut reply = Reply::parse(&answer);
        if reply.status != 200 {
            let _ = stream.read_to_end(&mut reply.body);
            return Err(reply);
        }
        Ok(Source::over(stream))
    }

    /// A source over a connection that is one already.
    pub fn over(stream: TcpStream) -> Source {
        Source { stream, stop: Arc::new(AtomicBool::new(false)), thread: None }
    }

    /// Connects and plays a tape so many times faster than it sounds.
    #[track_caller]
    pub fn tape(address: SocketAddr, mount: &str, name: u32, speed: f64) -> Source {
        Source::connect(address, mount).play_tape(name, speed)
    }

    /// Plays a tape from now on.
    pub fn play_tape(self, name: u32, speed: f64) -> Source {
        let mut tape = Tape::new(name);
        let frames_per_step = 4;
        let step = Duration::from_secs_f64(frames_per_step as f64 / FRAMES_PER_SECOND / speed);
        self.play(step, move || Some(tape.frames(frames_per_step)))
    }

    /// Plays a file at so many bytes a second, in pieces of an odd size, and then stays silent.
    pub fn play_file(self, bytes: Vec<u8>, bytes_per_second: usize) -> Source {
        let piece = 1_379;
        let step = Duration::from_secs_f64(piece as f64 / bytes_per_second as f64);
        let mut at = 0;
        self.play(step, move || {
            let end = bytes.len().min(at + piece);
            let next = (at < end).then(|| bytes[at..end].to_vec());
            at = end;
            next
        })
    }

    fn play(
        mut self,
        step: Duration,
        mut next: impl FnMut() -> Option<Vec<u8>> + Send + 'static,
    ) -> Source {
        let stop = Arc::clone(&self.stop);
        let mut stream = self.stream.try_clone().expect("a descriptor");
        self.thread = Some(std::thread::spawn(move || {
            let mut due = Instant::now();
            while !stop.load(Ordering::Relaxed) {
                let Some(bytes) = next() else { return };
                if stream.write_all(&bytes).is_err() {
                    return;
                }
                due += step;
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
            }
        }));
        self
    }

    /// Sends bytes at once.
    ///
    /// # Errors
    /// When the server has closed.
    pub fn feed(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Stops playing, but stays connected: what a machine that lost its power looks like.
    pub fn fall_silent(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }

    /// Whether the server closes within a time.
    pub fn is_closed_within_ms(&mut self, time_ms: u64) -> bool {
        let deadline = Instant::now() + Duration::from_millis(time_ms);
        let mut buffer = [0; 256];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            self.stream.set_read_timeout(Some(left)).expect("a timeout");
            match self.stream.read(&mut buffer) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return true,
                Err(_) => return false,
            }
        }
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.fall_silent();
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}
