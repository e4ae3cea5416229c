//! Encoders: pictures into H.264 for live viewers, sound into Opus.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Instant;

use ffmpeg_next as ffmpeg;
use ffmpeg_next::software::{resampling, scaling};
use ffmpeg_next::{ChannelLayout, codec, encoder, format, frame, picture};
use media_flow::{Convert, Finish, Kind, Out, Port, StageError, TrackId};
use media_link::{AudioEncoding, VideoEncoding};

use crate::packet::{Decoded, Packet, View, bytes_of, per_second, rescale};

const VIDEO_CLOCK: u32 = 90_000;
const AUDIO_CLOCK: u32 = 48_000;
/// Samples of an Opus packet: 20 ms.
const OPUS_SAMPLES: usize = 960;
const CHANNELS: usize = 2;
/// Sound that is missing for longer than this is left out; less is drift and is let be.
const GAP_MAX_TICKS: i64 = AUDIO_CLOCK as i64 / 10;
const PACKETS_MAX: usize = 64;

/// In the order in which they are tried.
const H264_ENCODERS: &[&str] =
    &["libx264", "libopenh264", "h264_nvenc", "h264_vaapi", "h264_qsv", "h264_v4l2m2m"];
const OPUS_ENCODERS: &[&str] = &["libopus", "opus"];

/// What is asked of the encoder of pictures while it runs.
#[derive(Debug, Default)]
pub struct Wishes {
    /// A keyframe, with the next picture.
    pub keyframe: Cell<bool>,
    /// Bits a second; 0 is nothing new.
    pub bits_per_second: Cell<u32>,
}

/// Pictures into H.264.
pub struct EncodeVideo {
    settings: VideoEncoding,
    wishes: Rc<Wishes>,
    /// Opened with the first picture, whose size is known only then; again where it changes.
    open: Option<Open>,
    last: Option<i64>,
}

struct Open {
    encoder: encoder::video::Encoder,
    scaler: scaling::Context,
    of: (format::Pixel, u32, u32),
}

impl EncodeVideo {
    /// With these settings.
    pub fn new(settings: VideoEncoding, wishes: Rc<Wishes>) -> EncodeVideo {
        EncodeVideo { settings, wishes, open: None, last: None }
    }

    fn open(&self, picture: &frame::Video) -> Result<Open, StageError> {
        let (width, height) = fit(picture.width(), picture.height(), &self.settings);
        let scaler = scaling::Context::get(
            picture.format(),
            picture.width(),
            picture.height(),
            format::Pixel::YUV420P,
            width,
            height,
            scaling::Flags::BILINEAR,
        )?;
        let mut causes = Vec::new();
        for name in H264_ENCODERS {
            let Some(codec) = encoder::find_by_name(name) else { continue };
            match open_h264(codec, width, height, &self.settings) {
                Ok(encoder) => {
                    let of = (picture.format(), picture.width(), picture.height());
                    return Ok(Open { encoder, scaler, of });
                }
                Err(error) => causes.push(format!("{name}: {error}")),
            }
        }
        Err(format!("no encoder of H.264 can be opened ({})", causes.join(", ")).into())
    }

    fn packets(&mut self, out: &mut Out<'_, Packet>) {
        let Some(open) = &mut self.open else { return };
        for _ in 0..PACKETS_MAX {
            let mut packet = ffmpeg::Packet::empty();
            if open.encoder.receive_packet(&mut packet).is_err() {
                return;
            }
            out.emit(encoded(packet, TrackId(0), Kind::Video, VIDEO_CLOCK));
        }
    }
}

impl Convert<Packet> for EncodeVideo {
    fn burst_max(&self) -> usize {
        PACKETS_MAX
    }

    fn handle(
        &mut self,
        _: Instant,
        _: Port,
        view: View<'_>,
        out: &mut Out<'_, Packet>,
    ) -> Result<(), StageError> {
        let Some(Decoded::Picture(picture)) = view.frame else { return Ok(()) };
        let at = rescale(view.presentation, view.time_base, VIDEO_CLOCK);
        let shortest = i64::from(VIDEO_CLOCK / self.settings.frames_per_second_max.max(1));
        // A little early is not too early: clocks of cameras are not exact.
        if self.last.is_some_and(|last| at - last < shortest * 9 / 10) {
            return Ok(());
        }
        self.last = Some(at);
        let of = (picture.format(), picture.width(), picture.height());
        if self.open.as_ref().is_none_or(|open| open.of != of) {
            self.open = Some(self.open(picture)?);
        }
        let Some(open) = &mut self.open else { return Ok(()) };
        let wanted = self.wishes.bits_per_second.take();
        if wanted > 0 {
            let (least, most) =
                (self.settings.bits_per_second_min, self.settings.bits_per_second_max);
            let wanted = wanted.clamp(least.min(most), most) as usize;
            open.encoder.set_bit_rate(wanted);
            open.encoder.set_max_bit_rate(wanted);
        }
        let mut scaled = frame::Video::empty();
        open.scaler.run(picture, &mut scaled)?;
        scaled.set_pts(Some(at));
        let kind = if self.wishes.keyframe.take() { picture::Type::I } else { picture::Type::None };
        scaled.set_kind(kind);
        open.encoder.send_frame(&scaled)?;
        self.packets(out);
        Ok(())
    }

    fn finish(&mut self, _: Instant, out: &mut Out<'_, Packet>) -> Result<Finish, StageError> {
        if let Some(open) = &mut self.open {
            // An encoder that is at its end already says so with an error.
            open.encoder.send_eof().ok();
        }
        self.packets(out);
        Ok(Finish::Done)
    }
}

/// The largest size within the bounds that has the picture's proportions, in even numbers.
fn fit(width: u32, height: u32, settings: &VideoEncoding) -> (u32, u32) {
    let (width, height) = (width.max(2), height.max(2));
    let across = f64::from(settings.width_max.max(2)) / f64::from(width);
    let down = f64::from(settings.height_max.max(2)) / f64::from(height);
    let factor = across.min(down).min(1.0);
    let even = |value: u32| ((f64::from(value) * factor) as u32 & !1).max(2);
    (even(width), even(height))
}

fn open_h264(
    codec: ffmpeg::Codec,
    width: u32,
    height: u32,
    settings: &VideoEncoding,
) -> Result<encoder::video::Encoder, ffmpeg::Error> {
    let mut video = codec::Context::new_with_codec(codec).encoder().video()?;
    video.set_width(width);
    video.set_height(height);
    video.set_format(format::Pixel::YUV420P);
    video.set_time_base(ffmpeg::Rational::new(1, VIDEO_CLOCK as i32));
    let rate = settings.frames_per_second_max.clamp(1, 240);
    video.set_frame_rate(Some(ffmpeg::Rational::new(rate as i32, 1)));
    video.set_gop((settings.keyframe_interval_ms.max(100) * rate / 1000).max(1));
    video.set_max_b_frames(0);
    video.set_bit_rate(settings.bits_per_second as usize);
    video.set_max_bit_rate(settings.bits_per_second as usize);
    let mut options = ffmpeg::Dictionary::new();
    // Half a second of bits: what a viewer's own buffer holds.
    options.set("bufsize", &(settings.bits_per_second / 2).to_string());
    if codec.name() == "libx264" {
        options.set("preset", "veryfast");
        options.set("tune", "zerolatency");
        options.set("profile", "baseline");
        options.set("forced-idr", "1");
        options.set("threads", "1");
        // Parameter sets stand in the stream, and no scene cut makes a keyframe that nobody needs.
        options.set("x264-params", "repeat-headers=1:scenecut=0:annexb=1");
    }
    video.open_as_with(codec, options)
}

fn encoded(packet: ffmpeg::Packet, track: TrackId, kind: Kind, clock: u32) -> Packet {
    let presentation = packet.pts().unwrap_or(0);
    Packet {
        track,
        kind,
        time_base: per_second(clock),
        presentation,
        decode: packet.dts().unwrap_or(presentation),
        duration: u32::try_from(packet.duration()).unwrap_or(0),
        is_keyframe: kind == Kind::Audio || packet.is_key(),
        payload: bytes_of(packet),
        frame: None,
    }
}

/// Sound into Opus.
pub struct EncodeAudio {
    encoder: encoder::audio::Encoder,
    resampler: Option<(resampling::Context, (format::Sample, u32, u64))>,
    /// Samples of both channels that are not yet a packet, and when the first is heard.
    waiting: Vec<i16>,
    at: Option<i64>,
}

impl EncodeAudio {
    /// With these settings.
    ///
    /// # Errors
    /// No encoder can be opened.
    pub fn new(settings: &AudioEncoding) -> Result<EncodeAudio, StageError> {
        let mut causes = Vec::new();
        for name in OPUS_ENCODERS {
            let Some(codec) = encoder::find_by_name(name) else { continue };
            match open_opus(codec, settings) {
                Ok(encoder) => {
                    return Ok(EncodeAudio {
                        encoder,
                        resampler: None,
                        waiting: Vec::new(),
                        at: None,
                    });
                }
                Err(error) => causes.push(format!("{name}: {error}")),
            }
        }
        Err(format!("no encoder of Opus can be opened ({})", causes.join(", ")).into())
    }

    fn encode(&mut self, out: &mut Out<'_, Packet>) -> Result<(), StageError> {
        while self.waiting.len() >= OPUS_SAMPLES * CHANNELS {
            let mut sound = new_sound(OPUS_SAMPLES);
            let bytes = sound.data_mut(0);
            let samples = self.waiting.drain(..OPUS_SAMPLES * CHANNELS);
            for (place, sample) in bytes.chunks_exact_mut(2).zip(samples) {
                place.copy_from_slice(&sample.to_ne_bytes());
            }
            let at = self.at.unwrap_or(0);
            sound.set_pts(Some(at));
            self.at = Some(at + OPUS_SAMPLES as i64);
            self.encoder.send_frame(&sound)?;
            self.packets(out);
        }
        Ok(())
    }

    fn packets(&mut self, out: &mut Out<'_, Packet>) {
        for _ in 0..PACKETS_MAX {
            let mut packet = ffmpeg::Packet::empty();
            if self.encoder.receive_packet(&mut packet).is_err() {
                return;
            }
            out.emit(encoded(packet, TrackId(1), Kind::Audio, AUDIO_CLOCK));
        }
    }
}

fn open_opus(
    codec: ffmpeg::Codec,
    settings: &AudioEncoding,
) -> Result<encoder::audio::Encoder, ffmpeg::Error> {
    let mut audio = codec::Context::new_with_codec(codec).encoder().audio()?;
    audio.set_rate(AUDIO_CLOCK as i32);
    audio.set_format(format::Sample::I16(format::sample::Type::Packed));
    audio.set_channel_layout(ChannelLayout::STEREO);
    audio.set_time_base(ffmpeg::Rational::new(1, AUDIO_CLOCK as i32));
    audio.set_bit_rate(settings.bits_per_second as usize);
    let mut options = ffmpeg::Dictionary::new();
    if codec.name() == "libopus" {
        options.set("application", "lowdelay");
        options.set("frame_duration", "20");
    }
    audio.open_as_with(codec, options)
}

fn new_sound(samples: usize) -> frame::Audio {
    let packed = format::Sample::I16(format::sample::Type::Packed);
    let mut sound = frame::Audio::new(packed, samples, ChannelLayout::STEREO);
    sound.set_rate(AUDIO_CLOCK);
    sound
}

/// A frame's sound as pairs of samples at 48 kHz.
pub fn resample(
    resampler: &mut Option<(resampling::Context, (format::Sample, u32, u64))>,
    sound: &frame::Audio,
) -> Result<Vec<i16>, ffmpeg::Error> {
    let layout = match sound.channel_layout() {
        layout if layout.is_empty() => ChannelLayout::default(i32::from(sound.channels())),
        layout => layout,
    };
    let of = (sound.format(), sound.rate(), layout.bits());
    if resampler.as_ref().is_none_or(|(_, had)| *had != of) {
        let packed = format::Sample::I16(format::sample::Type::Packed);
        let stereo = ChannelLayout::STEREO;
        let made = resampling::Context::get(
            sound.format(),
            layout,
            sound.rate(),
            packed,
            stereo,
            AUDIO_CLOCK,
        )?;
        *resampler = Some((made, of));
    }
    let Some((context, _)) = resampler else { return Ok(Vec::new()) };
    let mut input = sound.clone();
    input.set_channel_layout(layout);
    let mut output = frame::Audio::empty();
    context.run(&input, &mut output)?;
    let count = output.samples() * CHANNELS * 2;
    let bytes = output.data(0).get(..count).unwrap_or_default();
    Ok(bytes.chunks_exact(2).map(|pair| i16::from_ne_bytes([pair[0], pair[1]])).collect())
}

impl Convert<Packet> for EncodeAudio {
    fn burst_max(&self) -> usize {
        PACKETS_MAX
    }

    fn handle(
        &mut self,
        _: Instant,
        _: Port,
        view: View<'_>,
        out: &mut Out<'_, Packet>,
    ) -> Result<(), StageError> {
        let Some(Decoded::Sound(sound)) = view.frame else { return Ok(()) };
        let at = rescale(view.presentation, view.time_base, AUDIO_CLOCK);
        let waiting = (self.waiting.len() / CHANNELS) as i64;
        if self.at.is_none_or(|begins| (begins + waiting - at).abs() > GAP_MAX_TICKS) {
            self.waiting.clear();
            self.at = Some(at);
        }
        let samples = resample(&mut self.resampler, sound)?;
        self.waiting.extend_from_slice(&samples);
        self.encode(out)
    }

    fn finish(&mut self, _: Instant, out: &mut Out<'_, Packet>) -> Result<Finish, StageError> {
        // An encoder that is at its end already says so with an error.
        self.encoder.send_eof().ok();
        self.packets(out);
        Ok(Finish::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_fits_its_bounds_and_keeps_its_shape() {
        let settings =
            VideoEncoding { width_max: 640, height_max: 480, ..VideoEncoding::default() };
        assert_eq!(fit(1920, 1080, &settings), (640, 360));
        assert_eq!(fit(320, 240, &settings), (320, 240));
        assert_eq!(fit(481, 961, &settings), (240, 480));
        assert_eq!(fit(0, 0, &settings), (2, 2));
    }
}
