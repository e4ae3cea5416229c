//! A WebSocket client in a page: it says again everything that a server says, compressed where the
//! server wants it.
//!
//! ```text
//! cargo run --release -p protocol-ws --example ws_client -- 127.0.0.1:9001 /path
//! cargo run --release -p protocol-ws --example ws_client -- --autobahn 127.0.0.1:9001
//! ```
//!
//! The second form goes through all cases of the Autobahn test suite's `fuzzingserver`.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::rc::Rc;
use std::time::{Duration, Instant};

use protocol_http as http;
use protocol_ws as ws;

const MESSAGE_BYTES_MAX: u64 = 16 << 20;

fn main() -> io::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match &args[..] {
        [flag, address] if flag == "--autobahn" => autobahn(address),
        [address, path] => echo(address, path, |text| println!("{text}")),
        _ => panic!("usage: client ADDR PATH, or client --autobahn ADDR"),
    }
}

/// Asks how many cases there are, lets each be tried, and has the reports written.
fn autobahn(address: &str) -> io::Result<()> {
    let mut count = 0;
    echo(address, "/getCaseCount", |text| count = text.parse().unwrap_or(0))?;
    for case in 1..=count {
        // A case may end in whatever way: the suite is the judge.
        let path = format!("/runCase?case={case}&agent=skywave");
        if let Err(error) = echo(address, &path, |_| {}) {
            eprintln!("case {case}: {error}");
        }
    }
    println!("{count} cases");
    echo(address, "/updateReports?agent=skywave", |_| {})
}

#[allow(clippy::disallowed_methods, reason = "a program of its own has the clock")]
fn now() -> Instant {
    Instant::now()
}

/// Says everything again until the server closes; `heard` is shown the text of it.
fn echo(address: &str, path: &str, mut heard: impl FnMut(&str)) -> io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let mut chance = Chance::open()?;
    let deflate = ws::DeflateSettings { own_context: true, ..Default::default() };
    let nonce = ws::Nonce(chance.draw());
    let mut request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n").into_bytes();
    nonce.write_request_lines(&[], &mut request);
    deflate.write_offer_line(&mut request);
    request.extend_from_slice(b"\r\n");
    stream.write_all(&request)?;

    let mut input = Vec::new();
    let agreed = loop {
        receive(&mut stream, &mut input, None)?;
        if let Some((used, agreed)) = answer(&nonce, &deflate, &input)? {
            input.drain(..used);
            break agreed;
        }
    };
    let limits = ws::Limits {
        frame_bytes_max: MESSAGE_BYTES_MAX,
        message_bytes_max: MESSAGE_BYTES_MAX,
        fragments_count_max: 1 << 18,
    };
    let queue = ws::QueueLimits { bytes_max: 2 << 24, ..ws::QueueLimits::default() };
    let settings = ws::ConnectionSettings { limits, queue, ..Default::default() };
    let masks = Box::new(move || chance.draw());
    let mut connection = ws::Connection::<Vec<u8>>::client(&Rc::new(settings), masks, now());
    if let Some(agreed) = &agreed {
        let contexts = ws::Contexts::new(ws::ContextLimits::default());
        connection = connection.with_deflate(agreed, &contexts);
    }
    loop {
        let mut at = 0;
        loop {
            let (used, event) = connection.receive(now(), &mut input[at..]);
            at += used;
            let message = match event {
                ws::Event::Message(kind, payload) => Some((kind, payload.into_owned())),
                ws::Event::Need if used == 0 => break,
                _ => None,
            };
            if let Some((kind, payload)) = message {
                heard(str::from_utf8(&payload).unwrap_or("(bytes)"));
                connection.send(now(), kind, payload);
            }
            while let Some(bytes) = connection.poll() {
                stream.write_all(&bytes)?;
            }
        }
        input.drain(..at);
        while let Some(bytes) = connection.poll() {
            stream.write_all(&bytes)?;
        }
        // The server closes first (RFC 6455 §7.1.1), and after a failure we do.
        if matches!(connection.ended(), Some(ws::Ended::Malformed(_))) {
            return Ok(());
        }
        let wait = connection.deadline().map(|at| at.saturating_duration_since(now()));
        let wait = wait.unwrap_or(Duration::from_secs(5)).max(Duration::from_millis(1));
        match receive(&mut stream, &mut input, Some(wait)) {
            Ok(0) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && !connection.is_done() => {
                connection.handle_time(now());
            }
            Err(_) if connection.ended().is_some() => return Ok(()),
            other => _ = other?,
        }
    }
}

type Granted = (usize, Option<ws::AgreedDeflate>);

/// The server's answer, once it is there.
fn answer(
    nonce: &ws::Nonce,
    deflate: &ws::DeflateSettings,
    input: &[u8],
) -> io::Result<Option<Granted>> {
    let mut decoder = http::ResponseDecoder::new(http::Limits::default());
    decoder.request_sent(http::Method::Get);
    match decoder.decode(input) {
        Ok(http::Step::Head { head, used }) => {
            let checked =
                nonce.check_response_with(head.status.0, &head.headers, &[], Some(deflate));
            let (_, agreed) = checked.map_err(io::Error::other)?;
            Ok(Some((used, agreed)))
        }
        Ok(_) => Ok(None),
        Err(error) => Err(io::Error::other(format!("{error:?}"))),
    }
}

/// Appends what comes; 0 at the end.
fn receive(
    stream: &mut TcpStream,
    input: &mut Vec<u8>,
    within: Option<Duration>,
) -> io::Result<usize> {
    stream.set_read_timeout(Some(within.unwrap_or(Duration::from_secs(20))))?;
    let mut buffer = [0; 64 * 1024];
    let count = stream.read(&mut buffer)?;
    input.extend_from_slice(&buffer[..count]);
    Ok(count)
}

/// The system's random numbers, fetched a page at a time.
struct Chance {
    source: std::fs::File,
    page: Vec<u8>,
}

impl Chance {
    fn open() -> io::Result<Chance> {
        Ok(Chance { source: std::fs::File::open("/dev/urandom")?, page: Vec::new() })
    }

    fn draw<const COUNT: usize>(&mut self) -> [u8; COUNT] {
        if self.page.len() < COUNT {
            self.page.resize(4096, 0);
            self.source.read_exact(&mut self.page).expect("the system has random numbers");
        }
        let at = self.page.len() - COUNT;
        self.page.split_off(at).try_into().expect("so many")
    }
}
