//! Pictures of motion, kept as JPEG files.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context;
use ffmpeg_next as ffmpeg;
use ffmpeg_next::software::scaling;
use ffmpeg_next::{codec, encoder, format, frame};
use media_link::{Recording, RecordingKind, RecordingTrack, Snapshots};

use crate::shelf::{safe, stamp};

/// The widest that is kept.
const WIDTH_MAX: u32 = 1280;

/// Keeps pictures.
pub struct Keeper {
    directory: PathBuf,
    interval_min: Duration,
    count_max: usize,
    kept_at: Option<Instant>,
    /// Names, oldest first.
    kept: std::collections::VecDeque<String>,
}

impl Keeper {
    /// Opens the directory, and makes it where it is missing.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn open(settings: &Snapshots) -> anyhow::Result<Keeper> {
        let directory = PathBuf::from(&settings.directory);
        fs::create_dir_all(&directory).context("the directory of snapshots cannot be made")?;
        let mut kept: Vec<String> = fs::read_dir(&directory)?
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| name.ends_with(".jpg"))
            .collect();
        kept.sort();
        Ok(Keeper {
            directory,
            interval_min: Duration::from_millis(u64::from(settings.interval_min_ms)),
            count_max: settings.count_max.max(1) as usize,
            kept_at: None,
            kept: kept.into(),
        })
    }

    /// Keeps a picture with its index, unless one was kept just now, or it cannot be written; gives
    /// it, and those that had to go for it.
    pub fn keep(
        &mut self,
        now: Instant,
        stream: &str,
        picture: &frame::Video,
    ) -> Option<(Recording, Vec<Recording>)> {
        let is_soon = |at: Instant| now.saturating_duration_since(at) < self.interval_min;
        if self.kept_at.is_some_and(is_soon) {
            return None;
        }
        self.kept_at = Some(now);
        let (bytes, width, height) = jpeg(picture).ok()?;
        let started_at_ms = crate::clock::wall_ms();
        let name = format!("{}-{}.jpg", safe(stream), stamp(started_at_ms));
        let kept = Recording {
            name: name.clone(),
            stream: stream.into(),
            kind: RecordingKind::Snapshot,
            started_at_ms,
            size_bytes: bytes.len() as u64,
            tracks: vec![RecordingTrack { codec: "jpeg".into(), width, height }],
            is_closed: true,
            ..Recording::default()
        };
        fs::write(self.directory.join(&name), &bytes).ok()?;
        // Without its index it is not listed after the next start; it is there all the same.
        let index = serde_json::to_vec_pretty(&kept).ok()?;
        fs::write(self.directory.join(format!("{name}.json")), index).ok();
        self.kept.push_back(name);
        let mut removed = Vec::new();
        while self.kept.len() > self.count_max {
            let Some(name) = self.kept.pop_front() else { break };
            // One that somebody removed already is as good as removed.
            fs::remove_file(self.directory.join(&name)).ok();
            fs::remove_file(self.directory.join(format!("{name}.json"))).ok();
            let kind = RecordingKind::Snapshot;
            removed.push(Recording { name, kind, stream: stream.into(), ..Recording::default() });
        }
        Some((kept, removed))
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
