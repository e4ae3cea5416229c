//! The stage that writes: packets of all tracks into one file after the other.
//!
//! A file begins with a keyframe of the pictures, if there are any; until one comes it is wanted.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use media_flow::{End, Kind, Out, Port, Retain, StageError};
use media_link::{Event, RecordJob, Recording, RecordingTrack, Track};

use crate::clock;
use crate::container::{self, Container};
use crate::packet::{Packet, rescale};
use crate::shelf::Shelf;
use crate::told::Told;

/// How often a keyframe is asked for while none comes.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// How often the index of an open file is written.
const NOTE_EVERY: Duration = Duration::from_secs(5);
/// How often the size of an open file is told: about as often as it grows.
const GREW_EVERY: Duration = Duration::from_secs(1);

/// Writing failed: the driver tells it as such.
#[derive(Debug)]
pub struct WriteFailed(pub String);

impl std::fmt::Display for WriteFailed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for WriteFailed {}

struct Open {
    container: Container,
    recording: Recording,
    noted_at: Instant,
    told_at: Instant,
}

/// The stage.
pub struct Recorder {
    shelf: Shelf,
    tracks: Vec<Track>,
    told: Told,
    rotate_after_ms: u64,
    rotate_after_bytes: u64,
    fragment_ms: u32,
    open: Option<Open>,
    asked_at: Option<Instant>,
}

impl Recorder {
    /// For these tracks.
    pub fn new(job: &RecordJob, shelf: Shelf, tracks: Vec<Track>, told: Told) -> Recorder {
        Recorder {
            shelf,
            tracks,
            told,
            rotate_after_ms: job.rotate_after_ms,
            rotate_after_bytes: job.rotate_after_bytes,
            fragment_ms: job.fragment_ms,
            open: None,
            asked_at: None,
        }
    }

    fn has_pictures(&self) -> bool {
        self.tracks.iter().any(|track| !track.codec.is_audio())
    }

    /// Whether a file may begin with this packet.
    fn may_begin(&self, packet: &Packet) -> bool {
        packet.is_keyframe && (packet.kind == Kind::Video || !self.has_pictures())
    }

    fn ask(&mut self, now: Instant) {
        let is_soon = |at: Instant| now.saturating_duration_since(at) < ASK_EVERY;
        if self.has_pictures() && !self.asked_at.is_some_and(is_soon) {
            self.asked_at = Some(now);
            self.told.want_keyframe();
        }
    }

    fn begin(&mut self, now: Instant, packet: &Packet) -> Result<(), StageError> {
        let extension = container::Kind::of(&self.tracks).extension();
        let (name, path): (String, PathBuf) = self.shelf.name(extension);
        let base_us = rescale(packet.presentation.min(packet.decode), packet.time_base, 1_000_000);
        let made = Container::open(&path, &self.tracks, &packet.payload, base_us, self.fragment_ms);
        let container = made.map_err(|error| {
            // What could not be begun is no recording.
            std::fs::remove_file(&path).ok();
            WriteFailed(format!("{error:#}"))
        })?;
        let track = |(track, size): (&Track, &(u32, u32))| RecordingTrack {
            codec: track.codec.name().into(),
            width: size.0,
            height: size.1,
        };
        let recording = Recording {
            name,
            stream: self.stream(),
            started_at_ms: clock::wall_ms(),
            size_bytes: container.size_bytes(),
            tracks: self.tracks.iter().zip(container.sizes()).map(track).collect(),
            ..Recording::default()
        };
        self.shelf.note(&recording).map_err(|error| WriteFailed(error.to_string()))?;
        self.told.tell(Event::RecordingStarted(recording.clone()));
        self.open = Some(Open { container, recording, noted_at: now, told_at: now });
        Ok(())
    }

    fn stream(&self) -> String {
        self.shelf.stream().to_owned()
    }

    /// Ends the open file, with a cause where it was not meant to end.
    fn end(&mut self, cause: Option<String>) {
        let Some(mut open) = self.open.take() else { return };
        let closed = open.container.close();
        let cause = cause.or_else(|| closed.err().map(|error| error.to_string()));
        open.recording.duration_ms = open.container.duration_ms();
        open.recording.size_bytes = open.container.size_bytes();
        open.recording.is_closed = true;
        open.recording.cause = cause;
        if let Err(error) = self.shelf.note(&open.recording) {
            // The next start mends it.
            open.recording.cause.get_or_insert_with(|| error.to_string());
        }
        self.told.tell(Event::RecordingClosed(open.recording));
        for removed in self.shelf.tidy(None) {
            self.told.tell(Event::RecordingRemoved(removed));
        }
    }

    /// Whether the open file is long enough.
    fn is_due(&self) -> bool {
        let Some(open) = &self.open else { return false };
        let is_long =
            self.rotate_after_ms > 0 && open.container.duration_ms() >= self.rotate_after_ms;
        let is_large =
            self.rotate_after_bytes > 0 && open.container.size_bytes() >= self.rotate_after_bytes;
        is_long || is_large
    }

    fn write(&mut self, now: Instant, packet: &Packet) -> Result<(), StageError> {
        let Some(open) = &mut self.open else { return Ok(()) };
        if let Err(error) = open.container.write(packet) {
            let cause = format!("writing failed: {error}");
            self.end(Some(cause.clone()));
            return Err(WriteFailed(cause).into());
        }
        let is_due = now.saturating_duration_since(open.told_at) >= GREW_EVERY;
        if is_due && open.container.size_bytes() > open.recording.size_bytes {
            open.told_at = now;
            open.recording.duration_ms = open.container.duration_ms();
            open.recording.size_bytes = open.container.size_bytes();
            self.told.tell(Event::RecordingGrew(open.recording.clone()));
        }
        if now.saturating_duration_since(open.noted_at) >= NOTE_EVERY {
            open.noted_at = now;
            let name = open.recording.name.clone();
            self.shelf.note(&open.recording).map_err(|error| WriteFailed(error.to_string()))?;
            for removed in self.shelf.tidy(Some(&name)) {
                self.told.tell(Event::RecordingRemoved(removed));
            }
        }
        Ok(())
    }
}

impl Retain<Packet> for Recorder {
    fn handle(
        &mut self,
        now: Instant,
        _: Port,
        packet: Packet,
        _: &mut Out<'_, Packet>,
    ) -> Result<(), StageError> {
        if self.is_due() {
            if self.may_begin(&packet) {
                self.end(None);
            } else {
                self.ask(now);
            }
        }
        if self.open.is_none() {
            if !self.may_begin(&packet) {
                self.ask(now);
                return Ok(());
            }
            self.begin(now, &packet)?;
        }
        self.write(now, &packet)
    }

    fn close(&mut self, _: Instant, end: &End) {
        let cause = match end {
            End::Failed { .. } => Some(end.to_string()),
            End::Drained | End::Stopped => None,
        };
        self.end(cause);
    }
}
