//! The demo mount: audio that the program makes itself, so that there is something to hear before
//! there is an encoder.
//!
//! It is a source like any other: a thread that connects to the server over loopback, sends FLAC
//! in real time, and changes its title with the chord. What it plays is slow chords of soft sines.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use base64::Engine as _;
use flacenc::bitsink::ByteSink;
use flacenc::component::{BitRepr, Stream, StreamInfo};
use flacenc::error::{Verified, Verify};
use flacenc::source::{Fill, FrameBuf};

const SAMPLE_RATE_HZ: usize = 44_100;
const BLOCK_SAMPLES: usize = 4_096;
/// One chord lasts this long, samples: eight seconds.
const CHORD_SAMPLES: usize = SAMPLE_RATE_HZ * 8;

/// Names and notes (as MIDI numbers) of the chords, in order.
const CHORDS: [(&str, [u8; 4]); 4] = [
    ("A minor", [45, 57, 60, 64]),
    ("F major", [41, 57, 60, 65]),
    ("C major", [48, 55, 64, 67]),
    ("G major", [43, 55, 59, 62]),
];

/// The running demo; it stops when told, or with the process.
pub struct Demo {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

/// Where and as whom the demo connects.
#[derive(Clone)]
pub struct DemoSettings {
    /// An address that the server accepts connections on.
    pub server: SocketAddr,
    /// The mount.
    pub mount: String,
    /// The user name of the mount's sources.
    pub user: String,
    /// Their password.
    pub password: String,
}

impl Demo {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(settings: DemoSettings) -> io::Result<Demo> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new().name("demo".to_owned()).spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                if let Err(error) = play(&settings, &stopped) {
                    tracing::warn!(%error, "the demo source lost its connection");
                }
                rest(Duration::from_millis(500));
            }
        })?;
        Ok(Demo { stop, thread })
    }

    /// Stops it within a moment.
    pub fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.join();
    }
}

/// One connection: the stream in real time until it fails or is stopped.
fn play(settings: &DemoSettings, stop: &AtomicBool) -> io::Result<()> {
    let mut stream = connect(settings.server)?;
    let credentials = format!("{}:{}", settings.user, settings.password);
    let credentials = base64::engine::general_purpose::STANDARD.encode(credentials);
    let mount = &settings.mount;
    write!(
        stream,
        "PUT {mount} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic {credentials}\r\n\
         Content-Type: audio/flac\r\nIce-Name: Skywave demo\r\nIce-Public: 0\r\n\
         Ice-Description: Chords that this server plays by itself\r\nIce-Genre: Ambient\r\n\r\n"
    )?;
    expect_ok(&mut stream)?;
    let mut encoder = Encoder::new();
    stream.write_all(&encoder.header())?;
    let started = now();
    let mut samples_sent = 0usize;
    let mut chord_named = None;
    while !stop.load(Ordering::Relaxed) {
        let chord = samples_sent / CHORD_SAMPLES % CHORDS.len();
        if chord_named != Some(chord) {
            chord_named = Some(chord);
            set_title(settings, &credentials, CHORDS[chord].0)?;
        }
        stream.write_all(&encoder.next_block())?;
        samples_sent += BLOCK_SAMPLES;
        let due = Duration::from_secs_f64(samples_sent as f64 / SAMPLE_RATE_HZ as f64);
        rest(due.saturating_sub(now() - started));
    }
    Ok(())
}

/// Connects to an acceptor's address; one that is bound to every address is reached on loopback.
fn connect(server: SocketAddr) -> io::Result<TcpStream> {
    let ip = match server.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let server = SocketAddr::new(ip, server.port());
    let stream = TcpStream::connect_timeout(&server, Duration::from_secs(5))?;
    stream.set_write_timeout(Some(Duration::from_secs(5)))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    Ok(stream)
}

fn expect_ok(stream: &mut TcpStream) -> io::Result<()> {
    let mut head = [0; 256];
    let count = stream.read(&mut head)?;
    let head = &head[..count];
    if head.starts_with(b"HTTP/1.0 200") || head.starts_with(b"HTTP/1.1 200") {
        return Ok(());
    }
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line).into_owned();
    Err(io::Error::new(io::ErrorKind::ConnectionRefused, format!("refused: {line}")))
}

fn set_title(settings: &DemoSettings, credentials: &str, chord: &str) -> io::Result<()> {
    let mut stream = connect(settings.server)?;
    let song = format!("Skywave demo - {chord}").replace(' ', "%20");
    let mount = &settings.mount;
    write!(
        stream,
        "GET /admin/metadata?mode=updinfo&mount={mount}&song={song} HTTP/1.1\r\n\
         Host: localhost\r\nAuthorization: Basic {credentials}\r\n\r\n"
    )?;
    expect_ok(&mut stream)
}

/// Makes FLAC blocks of the chords.
struct Encoder {
    config: Verified<flacenc::config::Encoder>,
    info: StreamInfo,
    block: FrameBuf,
    frame_number: usize,
    sample: usize,
}

impl Encoder {
    fn new() -> Self {
        let mut info = StreamInfo::new(SAMPLE_RATE_HZ, 1, 16).expect("a valid format");
        info.set_block_sizes(BLOCK_SAMPLES, BLOCK_SAMPLES).expect("a valid block size");
        Encoder {
            config: flacenc::config::Encoder::default().into_verified().expect("valid defaults"),
            info,
            block: FrameBuf::with_size(1, BLOCK_SAMPLES).expect("a valid block size"),
            frame_number: 0,
            sample: 0,
        }
    }

    fn header(&self) -> Vec<u8> {
        let mut sink = ByteSink::new();
        Stream::with_stream_info(self.info.clone()).write(&mut sink).expect("memory takes it");
        sink.into_inner()
    }

    fn next_block(&mut self) -> Vec<u8> {
        let samples: Vec<i32> = (self.sample..self.sample + BLOCK_SAMPLES)
            .map(|at| (tone(at) * 9_000.0) as i32)
            .collect();
        self.block.fill_interleaved(&samples).expect("the block fits");
        let frame = flacenc::encode_fixed_size_frame(
            &self.config,
            &self.block,
            self.frame_number,
            &self.info,
        );
        let mut sink = ByteSink::new();
        frame.expect("samples are in range").write(&mut sink).expect("memory takes it");
        self.sample += BLOCK_SAMPLES;
        // The number is 31 bits wide on the wire: years of demo.
        self.frame_number = (self.frame_number + 1) % (1 << 31);
        sink.into_inner()
    }
}

/// The sample at an index, between -1 and 1: the chord's notes enter one after the other and fade.
fn tone(sample: usize) -> f64 {
    let (_, notes) = CHORDS[sample / CHORD_SAMPLES % CHORDS.len()];
    let at_s = (sample % CHORD_SAMPLES) as f64 / SAMPLE_RATE_HZ as f64;
    let voice = |(number, note): (usize, u8)| {
        let since_s = at_s - number as f64 * 0.5;
        if since_s <= 0.0 {
            return 0.0;
        }
        let hertz = 440.0 * 2f64.powf((f64::from(note) - 69.0) / 12.0);
        let swell = (since_s / 0.08).min(1.0) * (-since_s / 2.5).exp();
        (since_s * hertz * std::f64::consts::TAU).sin() * swell
    };
    notes.into_iter().enumerate().map(voice).sum::<f64>() / notes.len() as f64
}

#[allow(clippy::disallowed_methods, reason = "the demo plays in real time")]
fn now() -> Instant {
    Instant::now()
}

#[allow(clippy::disallowed_methods, reason = "the demo's own thread may sleep")]
fn rest(time: Duration) {
    std::thread::sleep(time);
}
