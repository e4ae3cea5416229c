//! The recordings of one stream in their directory: names, an index file for each, and which of
//! them are too old or too many.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use ffmpeg_next::format;
use media_link::{Clips, RecordJob, Recording};

use crate::clock;
use crate::packet::{rescale, time_base};

/// Recordings of a stream that are looked at; a directory of more is somebody else's.
const RECORDINGS_MAX: usize = 100_000;

/// The directory.
pub struct Shelf {
    directory: PathBuf,
    stream: String,
    keep_for_ms: u64,
    keep_bytes: u64,
    keep_count: usize,
}

impl Shelf {
    /// Opens the directory, and makes it where it is missing.
    ///
    /// # Errors
    /// It cannot be made or written into.
    pub fn open(job: &RecordJob) -> anyhow::Result<Shelf> {
        let directory = PathBuf::from(&job.directory);
        fs::create_dir_all(&directory).context("the directory of recordings cannot be made")?;
        Ok(Shelf {
            directory,
            stream: job.name.clone(),
            keep_for_ms: job.keep_for_ms,
            keep_bytes: job.keep_bytes,
            keep_count: usize::MAX,
        })
    }

    /// Opens the directory of clips, likewise.
    ///
    /// # Errors
    /// As [`Shelf::open`].
    pub fn of_clips(stream: &str, clips: &Clips) -> anyhow::Result<Shelf> {
        let directory = PathBuf::from(&clips.directory);
        fs::create_dir_all(&directory).context("the directory of clips cannot be made")?;
        let keep_count = clips.count_max as usize;
        Ok(Shelf { directory, stream: stream.into(), keep_for_ms: 0, keep_bytes: 0, keep_count })
    }

    /// Whose recordings these are.
    pub fn stream(&self) -> &str {
        &self.stream
    }

    /// A name for a recording that begins now, and its path.
    pub fn name(&self, extension: &str) -> (String, PathBuf) {
        let prefix = safe(&self.stream);
        let mut at = clock::wall_ms();
        loop {
            let name = format!("{prefix}-{}.{extension}", stamp(at));
            let path = self.directory.join(&name);
            if !path.exists() {
                return (name, path);
            }
            at += 1;
        }
    }

    /// Writes a recording's index file, whole or not at all.
    ///
    /// # Errors
    /// The disk is full.
    pub fn note(&self, recording: &Recording) -> std::io::Result<()> {
        let path = self.index_of(&recording.name);
        let draft = path.with_extension("json.draft");
        let mut file = fs::File::create(&draft)?;
        file.write_all(&serde_json::to_vec_pretty(recording)?)?;
        fs::rename(draft, path)
    }

    /// The stream's recordings, oldest first.
    pub fn list(&self) -> Vec<Recording> {
        let Ok(entries) = fs::read_dir(&self.directory) else { return Vec::new() };
        let mut recordings: Vec<Recording> = entries
            .flatten()
            .filter(|entry| entry.path().extension().is_some_and(|end| end == "json"))
            .take(RECORDINGS_MAX)
            .filter_map(|entry| serde_json::from_slice(&fs::read(entry.path()).ok()?).ok())
            .filter(|recording: &Recording| recording.stream == self.stream)
            .collect();
        recordings.sort_by(|a, b| (a.started_at_ms, &a.name).cmp(&(b.started_at_ms, &b.name)));
        recordings
    }

    /// Closes in the index what a process that was killed has left open; gives what it closed.
    pub fn mend(&self) -> Vec<Recording> {
        let mut mended = Vec::new();
        for mut recording in self.list().into_iter().filter(|recording| !recording.is_closed) {
            let path = self.directory.join(&recording.name);
            let Ok(metadata) = fs::metadata(&path) else {
                // Only its index was left: nothing to play, so nothing to list.
                fs::remove_file(self.index_of(&recording.name)).ok();
                continue;
            };
            recording.is_closed = true;
            recording.size_bytes = metadata.len();
            recording.duration_ms = duration_ms(&path).unwrap_or(recording.duration_ms);
            recording.cause = Some("the recorder was interrupted".into());
            // If it cannot be written now, it will be mended the next time.
            if self.note(&recording).is_ok() {
                mended.push(recording);
            }
        }
        mended
    }

    /// Removes what is too old or too much, never what is being written; gives what it removed.
    pub fn tidy(&self, open: Option<&str>) -> Vec<Recording> {
        let now = clock::wall_ms();
        let recordings = self.list();
        let mut kept_bytes: u64 = recordings.iter().map(|recording| recording.size_bytes).sum();
        let mut kept_count = recordings.len();
        let mut removed = Vec::new();
        for recording in recordings {
            let ended_at = recording.started_at_ms.saturating_add(recording.duration_ms);
            let is_old = self.keep_for_ms > 0 && now.saturating_sub(ended_at) > self.keep_for_ms;
            let is_much = self.keep_bytes > 0 && kept_bytes > self.keep_bytes;
            let is_many = kept_count > self.keep_count;
            if Some(recording.name.as_str()) == open || !(is_old || is_much || is_many) {
                continue;
            }
            let path = self.directory.join(&recording.name);
            let is_gone = match fs::remove_file(&path) {
                Ok(()) => true,
                Err(error) => error.kind() == std::io::ErrorKind::NotFound,
            };
            if is_gone && fs::remove_file(self.index_of(&recording.name)).is_ok() {
                kept_bytes = kept_bytes.saturating_sub(recording.size_bytes);
                kept_count -= 1;
                removed.push(recording);
            }
        }
        removed
    }

    fn index_of(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}.json"))
    }
}

/// How long a file is, by reading it: what was cut off in the middle says nothing of itself.
fn duration_ms(path: &Path) -> Option<u64> {
    let mut input = format::input(path).ok()?;
    let mut end_ms = 0;
    let mut packet = ffmpeg_next::Packet::empty();
    // The first error is the place where it was cut off.
    while packet.read(&mut input).is_ok() {
        let stream = input.stream(packet.stream())?;
        let end = packet.pts().unwrap_or(0) + packet.duration();
        end_ms = end_ms.max(rescale(end, time_base(stream.time_base()), 1000));
    }
    u64::try_from(end_ms).ok()
}

/// A stream's name as the beginning of a file's name: letters, digits, and nothing that means
/// something to a file system.
pub fn safe(name: &str) -> String {
    let letter = |letter: char| match letter {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '-' => letter,
        _ => '_',
    };
    let name: String = name.chars().take(64).map(letter).collect();
    if name.is_empty() { "stream".into() } else { name }
}

/// A moment as text that sorts: `20261124T125901.250Z`.
pub fn stamp(at_ms: u64) -> String {
    let (seconds, milliseconds) = (at_ms / 1000, at_ms % 1000);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}.{milliseconds:03}Z")
}

/// The date of a day counted from 1970-01-01, by eras of 400 years that begin in March.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_so_that_they_sort() {
        assert_eq!(stamp(0), "19700101T000000.000Z");
        assert_eq!(stamp(951_782_400_000), "20000229T000000.000Z");
        assert_eq!(stamp(1_795_522_741_250), "20261124T121901.250Z");
    }

    #[test]
    fn a_name_cannot_leave_its_directory() {
        assert_eq!(safe("../../etc/passwd"), "______etc_passwd");
        assert_eq!(safe(""), "stream");
    }
}
