//! A source: a file, a URL or a device, opened once and read by a thread of its own.
//!
//! A file that repeats goes on in time: the second round begins where the first one ended. Nothing
//! that leaves here names the source's address, which may hold credentials.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ffmpeg_next as ffmpeg;
use ffmpeg_next::error::{EACCES, EBUSY, EINVAL, ENODEV, ENOENT, ENOTTY, ENXIO, EPERM};
use ffmpeg_next::{Dictionary, codec, format, media};
use media_link::{Ending, StreamJob};

use crate::clock;
use crate::mailbox::{Letter, Mailbox, SourcePacket};
use crate::packet::{bytes_of, per_second, rescale, time_base};

/// The longest that opening, or waiting for the next packet of something live, may take.
const PATIENCE: Duration = Duration::from_secs(15);
const MICROSECOND: u32 = 1_000_000;
/// A step back or forward in a source's time that is longer than this is a new beginning.
const STEP_MAX_US: i64 = 10_000_000;

/// A track of a source that can be used.
pub struct SourceTrack {
    /// 0 is video, 1 is audio.
    pub track: u8,
    pub parameters: codec::Parameters,
    pub time_base: media_flow::TimeBase,
}

/// What a source is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It is read as fast as it is played, and may repeat.
    File,
    /// It comes when it comes.
    Live,
    /// A V4L2 device.
    Device,
}

impl Kind {
    /// By what the source is called.
    pub fn of(source: &str) -> Kind {
        let scheme = source.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
        match scheme.as_deref() {
            _ if source.starts_with("/dev/video") => Kind::Device,
            Some("rtsp" | "rtsps" | "rtmp" | "rtmps" | "srt" | "udp" | "rtp" | "tcp") => Kind::Live,
            _ => Kind::File,
        }
    }
}

/// Opens and reads in a thread of its own, until the end or until the process ends.
pub fn start(job: &StreamJob, mailbox: Arc<Mailbox>) -> std::io::Result<()> {
    let (address, repeats) = (job.source.clone(), job.repeat);
    let read = move || {
        let ending = match read(&address, repeats, &mailbox) {
            Ok(()) => Ending::Complete,
            Err(error) => Ending::SourceLost { cause: cause_of(Kind::of(&address), error) },
        };
        mailbox.post(Letter::SourceEnded(ending));
    };
    thread::Builder::new().name("source".into()).spawn(read).map(drop)
}

/// Why a source is lost, without its address. What FFmpeg says of a device leaves open which of the
/// two is missing, and what to do.
fn cause_of(kind: Kind, error: ffmpeg::Error) -> String {
    let what = match (kind, error) {
        (Kind::Device, ffmpeg::Error::DemuxerNotFound) => "FFmpeg was built without V4L2",
        (Kind::Device, ffmpeg::Error::Other { errno: ENOENT | ENODEV | ENXIO }) => {
            "there is no such V4L2 device: no camera, or no driver for it"
        }
        (Kind::Device, ffmpeg::Error::Other { errno: EACCES | EPERM }) => {
            "this user may not open the V4L2 device: is it of the group video?"
        }
        (Kind::Device, ffmpeg::Error::Other { errno: EBUSY }) => {
            "another program has the V4L2 device"
        }
        (Kind::Device, ffmpeg::Error::Other { errno: ENOTTY | EINVAL }) => {
            "it is no V4L2 device that takes pictures"
        }
        (Kind::Live | Kind::Device, ffmpeg::Error::Eof) => "it has stopped sending",
        _ => return error.to_string(),
    };
    what.to_owned()
}

fn options(kind: Kind, address: &str) -> Dictionary<'static> {
    let mut options = Dictionary::new();
    if kind == Kind::Live {
        options.set("fflags", "nobuffer");
        options.set("flags", "low_delay");
        options.set("max_delay", "0");
        options.set("analyzeduration", "1000000");
        options.set("probesize", "500000");
        if address.to_ascii_lowercase().starts_with("rtsp") {
            options.set("rtsp_transport", "tcp");
        }
    }
    options
}

/// Ends a call of FFmpeg that waits too long.
#[derive(Clone)]
struct Watch {
    deadline: Arc<std::sync::Mutex<Instant>>,
    is_over: Arc<AtomicBool>,
}

impl Watch {
    fn new() -> Watch {
        let deadline = Arc::new(std::sync::Mutex::new(clock::now() + PATIENCE));
        Watch { deadline, is_over: Arc::default() }
    }

    fn wind(&self) {
        *self.deadline.lock().unwrap_or_else(std::sync::PoisonError::into_inner) =
            clock::now() + PATIENCE;
    }

    fn is_late(&self) -> bool {
        let deadline = *self.deadline.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let is_late = clock::now() > deadline;
        self.is_over.fetch_or(is_late, Ordering::Relaxed);
        is_late
    }
}

fn open(address: &str, watch: &Watch) -> Result<format::context::Input, ffmpeg::Error> {
    let kind = Kind::of(address);
    if kind == Kind::Device {
        // Only by name of its format is a device one; the interrupt is not to be had here.
        let format = ffmpeg::device::input::video().find(|format| format.name().contains("v4l2"));
        let format = format.ok_or(ffmpeg::Error::DemuxerNotFound)?;
        return Ok(format::open(address, &format)?.input());
    }
    let own = watch.clone();
    format::input_with_interrupt_and_dictionary(
        address,
        move || own.is_late(),
        options(kind, address),
    )
}

/// What is known of one track between two packets.
struct Clock {
    track: u8,
    is_audio: bool,
    index: usize,
    time_base: media_flow::TimeBase,
    /// Added to what the source says, in the track's ticks.
    offset: i64,
    last_decode: Option<i64>,
}

fn read(address: &str, repeats: bool, mailbox: &Mailbox) -> Result<(), ffmpeg::Error> {
    let watch = Watch::new();
    let mut input = open(address, &watch)?;
    let mut clocks = Vec::new();
    let mut tracks = Vec::new();
    for (track, medium) in [(0, media::Type::Video), (1, media::Type::Audio)] {
        let Some(stream) = input.streams().best(medium) else { continue };
        let time_base = time_base(stream.time_base());
        let is_audio = medium == media::Type::Audio;
        clocks.push(Clock {
            track,
            is_audio,
            index: stream.index(),
            time_base,
            offset: 0,
            last_decode: None,
        });
        let parameters = stream.parameters();
        tracks.push(SourceTrack { track, parameters, time_base });
    }
    if tracks.is_empty() {
        return Err(ffmpeg::Error::StreamNotFound);
    }
    mailbox.post(Letter::SourceOpened(tracks));
    let is_file = Kind::of(address) == Kind::File;
    // Where the next round begins, in the time that leaves here.
    let mut end_us = 0_i64;
    loop {
        let round_at_us = end_us;
        let mut first_us: Option<i64> = None;
        let is_some = read_round(&mut input, &watch, &mut clocks, |clock, packet| {
            let decode = packet.dts().or(packet.pts()).unwrap_or(0);
            let decode_us = rescale(decode, clock.time_base, MICROSECOND);
            let first_us = *first_us.get_or_insert(decode_us);
            // Only what repeats must begin at nothing; all tracks move together.
            clock.offset = rescale_back(round_at_us - first_us, clock.time_base);
            let packet = stamp(clock, packet);
            let end = packet.decode + i64::from(packet.duration.max(1));
            end_us = end_us.max(rescale(end, packet.time_base, MICROSECOND));
            mailbox.post(Letter::SourcePacket(packet));
        })?;
        if !is_file {
            // What is live has no end: a camera that says goodbye may come back.
            return Err(ffmpeg::Error::Eof);
        }
        if !(repeats && is_some) {
            return Ok(());
        }
        watch.wind();
        if input.seek(0, ..).is_err() {
            input = open(address, &watch)?;
        }
    }
}

/// Reads to the end; whether there was anything.
fn read_round(
    input: &mut format::context::Input,
    watch: &Watch,
    clocks: &mut [Clock],
    mut take: impl FnMut(&mut Clock, ffmpeg::Packet),
) -> Result<bool, ffmpeg::Error> {
    let mut is_some = false;
    let mut errors_in_a_row = 0;
    loop {
        watch.wind();
        let mut packet = ffmpeg::Packet::empty();
        match packet.read(input) {
            Ok(()) => errors_in_a_row = 0,
            Err(ffmpeg::Error::Eof) => return Ok(is_some),
            Err(_) if watch.is_over.load(Ordering::Relaxed) => return Err(ffmpeg::Error::Exit),
            // A damaged place in a file is passed over; a connection that is gone says so again.
            Err(error) => {
                errors_in_a_row += 1;
                if errors_in_a_row > 16 {
                    return Err(error);
                }
                continue;
            }
        }
        let of = |clock: &&mut Clock| clock.index == packet.stream();
        let Some(clock) = clocks.iter_mut().find(of) else { continue };
        if packet.size() > 0 {
            is_some = true;
            take(clock, packet);
        }
    }
}

fn rescale_back(microseconds: i64, base: media_flow::TimeBase) -> i64 {
    let from = per_second(MICROSECOND);
    let ticks = i128::from(rescale(microseconds, from, base.denominator.get()));
    (ticks / i128::from(base.numerator.get())) as i64
}

/// Gives a packet the times with which it leaves: from nothing on, and never back.
fn stamp(clock: &mut Clock, packet: ffmpeg::Packet) -> SourcePacket {
    let decode = packet.dts().or(packet.pts()).map(|ticks| ticks + clock.offset);
    let mut decode = decode.unwrap_or_else(|| clock.last_decode.map_or(0, |last| last + 1));
    if let Some(last) = clock.last_decode {
        let step_us = rescale(decode - last, clock.time_base, MICROSECOND);
        if decode <= last || step_us > STEP_MAX_US {
            decode = last + 1;
        }
    }
    clock.last_decode = Some(decode);
    let presentation = packet.pts().map_or(decode, |ticks| ticks + clock.offset).max(decode);
    SourcePacket {
        track: clock.track,
        is_audio: clock.is_audio,
        time_base: clock.time_base,
        presentation,
        decode,
        duration: u32::try_from(packet.duration()).unwrap_or(0),
        is_keyframe: packet.is_key(),
        payload: bytes_of(packet),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_what_it_is_called() {
        let kinds = ["/dev/video0", "RTSP://u:p@cam/1", "http://x/y.mp4", "film.mkv"].map(Kind::of);
        assert_eq!(kinds, [Kind::Device, Kind::Live, Kind::File, Kind::File]);
    }

    #[test]
    fn microseconds_are_ticks_again() {
        assert_eq!(rescale_back(1_500_000, per_second(1_000)), 1_500);
        assert_eq!(rescale_back(-20_000, per_second(90_000)), -1_800);
    }
}
