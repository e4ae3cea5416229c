//! One file on disk: fragmented MP4, WebM or Ogg, by what its tracks are.
//!
//! What was written is in the system's hands after each packet, so that a process that is killed
//! leaves a file that plays to its last fragment.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ffmpeg_next as ffmpeg;
use ffmpeg_next::{ChannelLayout, codec, encoder, format};
use media_link::{Codec, Track};

use crate::packet::{per_second, rational, rescale};

const MICROSECOND: u32 = 1_000_000;

/// A file that knows how long it is, whichever part of it is written anew.
struct Counted {
    file: File,
    at: u64,
    size_bytes: Arc<AtomicU64>,
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.at += count as u64;
        self.size_bytes.fetch_max(self.at, Ordering::Relaxed);
        Ok(count)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

impl Seek for Counted {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.at = self.file.seek(to)?;
        Ok(self.at)
    }
}

/// What an open file knows of a track.
struct Lane {
    track: u8,
    clock: media_flow::TimeBase,
    last_decode: Option<i64>,
}

/// The kinds of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// H.264, with or without Opus.
    Mp4,
    /// VP8, VP9 or AV1, with or without Opus.
    WebM,
    /// Opus alone.
    Ogg,
}

impl Kind {
    /// What these tracks go into.
    pub fn of(tracks: &[Track]) -> Kind {
        match tracks.iter().find(|track| !track.codec.is_audio()).map(|track| track.codec) {
            Some(Codec::H264) => Kind::Mp4,
            Some(_) => Kind::WebM,
            None => Kind::Ogg,
        }
    }

    /// The end of the file's name, which is also FFmpeg's name of the format.
    pub fn extension(self) -> &'static str {
        match self {
            Kind::Mp4 => "mp4",
            Kind::WebM => "webm",
            Kind::Ogg => "ogg",
        }
    }
}

/// An open file.
pub struct Container {
    output: format::context::Output,
    lanes: Vec<Lane>,
    size_bytes: Arc<AtomicU64>,
    /// The moment that is the file's beginning.
    base_us: i64,
    end_us: i64,
    sizes: Vec<(u32, u32)>,
}

impl Container {
    /// Opens a file for these tracks, whose beginning is `base_us`. The first keyframe tells what
    /// the tracks' descriptions leave open.
    ///
    /// # Errors
    /// The disk, or FFmpeg, does not want it.
    pub fn open(
        path: &Path,
        tracks: &[Track],
        keyframe: &[u8],
        base_us: i64,
        fragment_ms: u32,
    ) -> anyhow::Result<Container> {
        let kind = Kind::of(tracks);
        let size_bytes = Arc::new(AtomicU64::new(0));
        let file = File::create_new(path)?;
        let counted = Counted { file, at: 0, size_bytes: size_bytes.clone() };
        let io = match kind {
            // Its length and its index are filled in when it is closed.
            Kind::WebM => format::context::StreamIo::from_write_seek(counted),
            Kind::Mp4 | Kind::Ogg => format::context::StreamIo::from_write(counted),
        }?;
        let mut output = format::output_to_stream(io, None, Some(kind.extension()))?;
        let mut sizes = Vec::new();
        for track in tracks {
            sizes.push(add_stream(&mut output, track, keyframe)?);
        }
        output.write_header_with(options(kind, fragment_ms))?;
        let lanes = tracks.iter().map(|track| Lane {
            track: track.id,
            clock: media_flow::TimeBase {
                numerator: track.time_base.numerator,
                denominator: track.time_base.denominator,
            },
            last_decode: None,
        });
        Ok(Container { lanes: lanes.collect(), output, size_bytes, base_us, end_us: 0, sizes })
    }

    /// Writes a packet; one from before the file's beginning is left out.
    ///
    /// # Errors
    /// The disk is full, or something else is wrong with it.
    pub fn write(&mut self, packet: &crate::packet::Packet) -> Result<(), ffmpeg::Error> {
        let of = |lane: &Lane| lane.track == packet.track.0;
        let Some(index) = self.lanes.iter().position(of) else { return Ok(()) };
        let lane = &mut self.lanes[index];
        let from_base = |ticks: i64| {
            ticks - rescale(self.base_us, per_second(MICROSECOND), lane.clock.denominator.get())
        };
        let (presentation, mut decode) = (from_base(packet.presentation), from_base(packet.decode));
        if presentation < 0 || decode < 0 {
            return Ok(());
        }
        if let Some(last) = lane.last_decode {
            decode = decode.max(last + 1);
        }
        lane.last_decode = Some(decode);
        let presentation = presentation.max(decode);
        let clock = lane.clock;
        let end_us = rescale(presentation + i64::from(packet.duration), clock, MICROSECOND);
        let mut written = ffmpeg::Packet::copy(&packet.payload);
        written.set_stream(index);
        written.set_pts(Some(presentation));
        written.set_dts(Some(decode));
        written.set_duration(i64::from(packet.duration));
        if packet.is_keyframe {
            written.set_flags(ffmpeg::packet::Flags::KEY);
        }
        let to = self.output.stream(index).map(|stream| stream.time_base());
        written.rescale_ts(rational(clock), to.unwrap_or(rational(clock)));
        written.write(&mut self.output)?;
        self.end_us = self.end_us.max(end_us);
        Ok(())
    }

    /// The size of each track's pictures, in the order of the tracks; 0 of sound. Who sends by
    /// WebRTC says it nowhere but in the keyframe.
    pub fn sizes(&self) -> &[(u32, u32)] {
        &self.sizes
    }

    /// What has been written.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes.load(Ordering::Relaxed)
    }

    /// How long it is.
    pub fn duration_ms(&self) -> u64 {
        u64::try_from(self.end_us / 1000).unwrap_or(0)
    }

    /// Writes what is held back, and the end.
    ///
    /// # Errors
    /// As [`Container::write`]. What is on disk is readable all the same.
    pub fn close(&mut self) -> Result<(), ffmpeg::Error> {
        self.output.write_trailer()
    }
}

fn options(kind: Kind, fragment_ms: u32) -> ffmpeg::Dictionary<'static> {
    let mut options = ffmpeg::Dictionary::new();
    options.set("flush_packets", "1");
    let microseconds = (u64::from(fragment_ms.max(100)) * 1000).to_string();
    match kind {
        Kind::Mp4 => {
            options.set("movflags", "empty_moov+default_base_moof");
            options.set("frag_duration", &microseconds);
            options.set("strict", "experimental");
        }
        Kind::WebM => options.set("cluster_time_limit", &fragment_ms.max(100).to_string()),
        Kind::Ogg => options.set("page_duration", &microseconds),
    }
    options
}

/// Declares a track. FFmpeg wants parameters that only its own readers and encoders know how to
/// make: those of sound come from an encoder that encodes nothing, those of H.264 and AV1 from a
/// reader that is given one keyframe. Gives the size of the pictures.
fn add_stream(
    output: &mut format::context::Output,
    track: &Track,
    keyframe: &[u8],
) -> anyhow::Result<(u32, u32)> {
    let size = match track.codec {
        Codec::Opus => {
            let codec = encoder::find(codec::Id::OPUS)
                .ok_or_else(|| anyhow::anyhow!("FFmpeg was built without an encoder of Opus"))?;
            let mut audio = codec::Context::new_with_codec(codec).encoder().audio()?;
            audio.set_rate(48_000);
            audio.set_format(format::Sample::I16(format::sample::Type::Packed));
            audio.set_channel_layout(ChannelLayout::default(i32::from(track.channels.clamp(1, 2))));
            audio.set_time_base(ffmpeg::Rational::new(1, 48_000));
            let opened = audio.open()?;
            output.add_stream_with(&opened)?.set_time_base(ffmpeg::Rational::new(1, 48_000));
            (0, 0)
        }
        Codec::Vp8 | Codec::Vp9 => {
            let id = if track.codec == Codec::Vp8 { codec::Id::VP8 } else { codec::Id::VP9 };
            let codec = ffmpeg::decoder::find(id).ok_or(ffmpeg::Error::DecoderNotFound)?;
            let mut video = codec::Context::new_with_codec(codec).encoder().video()?;
            let (width, height) = size_of(track, keyframe);
            video.set_width(width);
            video.set_height(height);
            video.set_format(format::Pixel::YUV420P);
            output.add_stream_with(&video)?.set_time_base(ffmpeg::Rational::new(1, 90_000));
            (width, height)
        }
        Codec::H264 | Codec::Av1 => {
            let parameters = probe(track.codec, keyframe)?;
            let shown = codec::Context::from_parameters(parameters.clone())?.decoder().video()?;
            let mut stream = output.add_stream(None::<ffmpeg::Codec>)?;
            stream.set_parameters(parameters);
            stream.set_time_base(ffmpeg::Rational::new(1, 90_000));
            (shown.width(), shown.height())
        }
    };
    Ok(size)
}

/// The size in a keyframe of VP8 (RFC 6386 §9.1), or of VP9's profile 0 (its specification, §6.2);
/// else what was announced.
fn size_of(track: &Track, keyframe: &[u8]) -> (u32, u32) {
    if track.codec == Codec::Vp9
        && let [head, 0x49, 0x83, 0x42, rest @ ..] = keyframe
        && head & 0x30 == 0
        && let Some(bytes) = rest.first_chunk::<5>()
    {
        // Behind three bits of colour and one of its range, each less one.
        let bits = bytes.iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
        return ((bits >> 20 & 0xffff) as u32 + 1, (bits >> 4 & 0xffff) as u32 + 1);
    }
    let word = |at: usize| {
        let low = u32::from(*keyframe.get(at)?);
        let high = u32::from(*keyframe.get(at + 1)?);
        Some((low | high << 8) & 0x3fff)
    };
    let is_key = keyframe.get(3..6) == Some(&[0x9d, 0x01, 0x2a]);
    match (track.codec, word(6), word(8)) {
        (Codec::Vp8, Some(width), Some(height)) if is_key => (width, height),
        _ => (track.width.max(2), track.height.max(2)),
    }
}

/// What FFmpeg says of a stream that is this one keyframe.
fn probe(codec: Codec, keyframe: &[u8]) -> anyhow::Result<codec::Parameters> {
    // The probe of raw H.264 wants to be sure: it is shown the keyframe twice.
    let bytes = [keyframe, keyframe].concat();
    let name = if codec == Codec::H264 { "keyframe.h264" } else { "keyframe.obu" };
    let io = format::context::StreamIo::from_read(std::io::Cursor::new(bytes))?;
    let input = format::input_from_stream(io, Some(name), None)?;
    let stream = input.streams().next().ok_or(ffmpeg::Error::StreamNotFound)?;
    let wanted = if codec == Codec::H264 { codec::Id::H264 } else { codec::Id::AV1 };
    let parameters = stream.parameters();
    anyhow::ensure!(parameters.id() == wanted, "the keyframe is not {}", codec.name());
    Ok(parameters)
}
