//! HTTP by hand: what a test says is what goes over the wire, and what comes back is seen raw.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use base64::Engine as _;

use super::PATIENCE;

/// An answer that was read to the end of its connection.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status; 0 when the connection ended without an answer.
    pub status: u16,
    /// The status line and the headers, with their ends.
    pub head: String,
    /// All after the head.
    pub body: Vec<u8>,
}

impl Reply {
    /// Takes an answer apart.
    pub fn parse(bytes: &[u8]) -> Reply {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let (head, body) = bytes.split_at(end.map_or(bytes.len(), |end| end + 4));
        let head = String::from_utf8_lossy(head).into_owned();
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        Reply { status, head, body: body.to_vec() }
    }

    /// The first header of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Connects, with limits on how long anything may take.
pub fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Sends bytes and reads until the server closes. A server that resets has closed too.
///
/// # Panics
/// When it does not close in time: whatever was asked here ends its connection.
#[track_caller]
pub fn exchange(address: SocketAddr, request: &[u8]) -> Vec<u8> {
    let mut stream = connect(address).expect("the server accepts");
    // A server that refuses early may be gone before the request is out.
    let _ = stream.write_all(request);
    let mut listener = Listener { reply: Reply::parse(b""), stream, ahead: Vec::new() };
    let heard = listener.read_until(PATIENCE, |_| false);
    let start = String::from_utf8_lossy(&heard.bytes[..heard.bytes.len().min(600)]);
    assert!(heard.is_closed, "not closed after {PATIENCE:?}: {start}");
    heard.bytes
}

/// A GET of HTTP/1.1 with these header lines, without credentials but those in the lines.
#[track_caller]
pub fn get(address: SocketAddr, path: &str, lines: &[&str]) -> Reply {
    Reply::parse(&exchange(address, request("GET", path, lines).as_bytes()))
}

/// A GET while the server may not be there yet.
pub fn try_get(address: SocketAddr, path: &str) -> Option<Reply> {
    let mut stream = connect(address).ok()?;
    stream.write_all(request("GET", path, &[]).as_bytes()).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    Some(Reply::parse(&answer))
}

/// The head of a request. The connection is asked to close: answers are read to their end.
pub fn request(method: &str, path: &str, lines: &[&str]) -> String {
    let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
    if !lines.iter().any(|line| line.starts_with("Host:")) {
        head.push_str("Host: localhost\r\n");
    }
    for line in lines {
        head.push_str(line);
        head.push_str("\r\n");
    }
    head + "\r\n"
}

/// An `Authorization` line.
pub fn basic(user: &str, password: &str) -> String {
    let pair = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    format!("Authorization: Basic {pair}")
}

/// Somebody who listens: its head is read, its body comes as the test asks for it.
pub struct Listener {
    /// The answer's head; the body is empty.
    pub reply: Reply,
    stream: TcpStream,
    ahead: Vec<u8>,
}

/// What a while of listening brought.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Whether the server closed the connection.
    pub is_closed: bool,
}

impl Listener {
    /// Asks for a mount, with these header lines.
    #[track_caller]
    pub fn open(address: SocketAddr, path: &str, lines: &[&str]) -> Listener {
        Listener::send(address, request("GET", path, lines).as_bytes())
    }

    /// Asks with a request of the test's own.
    #[track_caller]
    pub fn send(address: SocketAddr, request: &[u8]) -> Listener {
        let mut stream = connect(address).expect("the server accepts");
        stream.write_all(request).expect("the server reads");
        let mut ahead = Vec::new();
        let end = loop {
            if let Some(end) = ahead.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            let mut buffer = [0; 4096];
            let count = stream.read(&mut buffer).expect("an answer in time");
            assert!(count > 0, "closed before a head: {}", String::from_utf8_lossy(&ahead));
            ahead.extend_from_slice(&buffer[..count]);
        };
        let reply = Reply::parse(&ahead[..end]);
        ahead.drain(..end);
        Listener { reply, stream, ahead }
    }

    /// The next `count` bytes.
    ///
    /// # Panics
    /// When they do not come.
    #[track_caller]
    pub fn read_exact(&mut self, count: usize) -> Vec<u8> {
        let heard = self.read_until(PATIENCE, |bytes| bytes.len() >= count);
        let got = heard.bytes.len();
        assert!(got >= count, "{got} of {count} bytes came; closed: {}", heard.is_closed);
        let (wanted, rest) = heard.bytes.split_at(count);
        self.ahead = rest.to_vec();
        wanted.to_vec()
    }

    /// All that comes within a time.
    pub fn read_for_ms(&mut self, time_ms: u64) -> Heard {
        self.read_until(Duration::from_millis(time_ms), |_| false)
    }

    /// Reads until the bytes are enough, the server closes or the time is over.
    pub fn read_until(
        &mut self,
        limit: Duration,
        mut is_enough: impl FnMut(&[u8]) -> bool,
    ) -> Heard {
        let deadline = Instant::now() + limit;
        let mut heard = Heard { bytes: std::mem::take(&mut self.ahead), is_closed: false };
        let mut buffer = vec![0; 65_536];
        while !is_enough(&heard.bytes) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            self.stream.set_read_timeout(Some(left)).expect("a timeout");
            match self.stream.read(&mut buffer) {
                Ok(0) => heard.is_closed = true,
                Ok(count) => heard.bytes.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => heard.is_closed = true,
                Err(_) => break,
            }
            if heard.is_closed {
                break;
            }
        }
        heard
    }

    /// Whether the server closes within a time; what comes until then is thrown away.
    pub fn closes_within_ms(&mut self, time_ms: u64) -> bool {
        self.read_for_ms(time_ms).is_closed
    }
}

/// Reads a stream until what came contains these bytes.
#[track_caller]
pub fn until(stream: &mut TcpStream, end: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut one = [0];
    while !bytes.ends_with(end) {
        match stream.read(&mut one) {
            Ok(1) => bytes.push(one[0]),
            other => panic!("{other:?} after {}", String::from_utf8_lossy(&bytes)),
        }
    }
    bytes
}
