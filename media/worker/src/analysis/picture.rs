//! Pictures of motion, kept as JPEG files.

use std::fs;
use std::time::{Duration, Instant};

use ffmpeg_next as ffmpeg;
use ffmpeg_next::software::scaling;
use ffmpeg_next::{codec, encoder, format, frame};
use media_link::{Recording, RecordingKind, RecordingTrack, Snapshots};

use crate::shelf::Shelf;

/// The widest that is kept.
const WIDTH_MAX: u32 = 1280;
/// How often it is looked whether one has become too old.
const TIDY_EVERY: Duration = Duration::from_secs(60);

/// Keeps pictures.
pub struct Keeper {
    shelf: Shelf,
    interval_min: Duration,
    kept_at: Option<Instant>,
    tidied_at: Option<Instant>,
}

impl Keeper {
    /// Opens the directory, and makes it where it is missing.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn open(stream: &str, settings: &Snapshots) -> anyhow::Result<Keeper> {
        Ok(Keeper {
            shelf: Shelf::of_snapshots(stream, settings)?,
            interval_min: Duration::from_millis(u64::from(settings.interval_min_ms)),
            kept_at: None,
            tidied_at: None,
        })
    }

    /// Keeps a picture with its index, unless one was kept just now, or it cannot be written.
    pub fn keep(&mut self, now: Instant, picture: &frame::Video) -> Option<Recording> {
        let is_soon = |at: Instant| now.saturating_duration_since(at) < self.interval_min;
        if self.kept_at.is_some_and(is_soon) {
            return None;
        }
        self.kept_at = Some(now);
        let (bytes, width, height) = jpeg(picture).ok()?;
        let (name, path) = self.shelf.name("jpg");
        let kept = Recording {
            name,
            stream: self.shelf.stream().into(),
            kind: RecordingKind::Snapshot,
            started_at_ms: crate::clock::wall_ms(),
            size_bytes: bytes.len() as u64,
            tracks: vec![RecordingTrack { codec: "jpeg".into(), width, height }],
            is_closed: true,
            ..Recording::default()
        };
        let is_written = fs::write(&path, &bytes).and_then(|()| self.shelf.note(&kept)).is_ok();
        if !is_written {
            // Without its index nobody would ever remove it.
            fs::remove_file(path).ok();
        }
        self.tidied_at = None;
        is_written.then_some(kept)
    }

    /// Removes those that are too old or too many, when there is a new one and now and then.
    pub fn tidy(&mut self, now: Instant) -> Vec<Recording> {
        let is_soon = |at: Instant| now.saturating_duration_since(at) < TIDY_EVERY;
        if self.tidied_at.is_some_and(is_soon) {
            return Vec::new();
        }
        self.tidied_at = Some(now);
        self.shelf.tidy(None)
    }
}

/// A picture as JPEG, with its size.
fn jpeg(picture: &frame::Video) -> Result<(Vec<u8>, u32, u32), ffmpeg::Error> {
    let width = picture.width().min(WIDTH_MAX) & !1;
    let height = (picture.height() * width / picture.width().max(1)).max(2) & !1;
    let to = format::Pixel::YUVJ420P;
    let mut scaler = scaling::Context::get(
        picture.format(),
        picture.width(),
        picture.height(),
        to,
        width,
        height,
        scaling::Flags::BILINEAR,
    )?;
    let mut scaled = frame::Video::empty();
    scaler.run(picture, &mut scaled)?;
    scaled.set_pts(Some(0));
    let codec = encoder::find(codec::Id::MJPEG).ok_or(ffmpeg::Error::EncoderNotFound)?;
    let mut video = codec::Context::new_with_codec(codec).encoder().video()?;
    video.set_width(width);
    video.set_height(height);
    video.set_format(to);
    video.set_time_base(ffmpeg::Rational::new(1, 25));
    let mut encoder = video.open()?;
    encoder.send_frame(&scaled)?;
    encoder.send_eof()?;
    let mut packet = ffmpeg::Packet::empty();
    encoder.receive_packet(&mut packet)?;
    Ok((packet.data().unwrap_or_default().to_vec(), width, height))
}
