//! The recordings, clips or snapshots of one stream in their directory: names, an index file for
//! each, and which of them are too old, too large together, or too many.
//!
//! *Invariant:* `kept` has what the index files say, oldest first. Somebody else may have removed a
//! file: that is found out before another one has to go for it.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use ffmpeg_next::format;
use media_link::{Clips, RecordJob, Recording, Snapshots};

use crate::clock;
use crate::packet::{rescale, time_base};

/// Index files that are looked at; a directory of more is somebody else's.
const RECORDINGS_MAX: usize = 100_000;

/// How much is kept.
#[derive(Clone, Copy, Debug)]
pub struct Keep {
    /// Not what has ended longer ago; 0 is no limit.
    pub for_ms: u64,
    /// Not more than this together; 0 is no limit.
    pub bytes: u64,
    /// Not more of them.
    pub count_max: usize,
}

/// The directory.
pub struct Shelf {
    directory: PathBuf,
    stream: String,
    keep: Keep,
    kept: Vec<Recording>,
}

impl Shelf {
    /// Opens the directory of recordings, and makes it where it is missing.
    ///
    /// # Errors
    /// It cannot be made or written into.
    pub fn open(job: &RecordJob) -> anyhow::Result<Shelf> {
        let keep = Keep { for_ms: job.keep_for_ms, bytes: job.keep_bytes, count_max: usize::MAX };
        Shelf::of(&job.directory, &job.name, keep).context("no directory for recordings")
    }

    /// Opens the directory of clips, likewise.
    ///
    /// # Errors
    /// As [`Shelf::open`].
    pub fn of_clips(stream: &str, clips: &Clips) -> anyhow::Result<Shelf> {
        let count_max = clips.count_max as usize;
        let keep = Keep { for_ms: clips.keep_for_ms, bytes: clips.keep_bytes, count_max };
        Shelf::of(&clips.directory, stream, keep).context("no directory for clips")
    }

    /// Opens the directory of snapshots, likewise.
    ///
    /// # Errors
    /// As [`Shelf::open`].
    pub fn of_snapshots(stream: &str, snapshots: &Snapshots) -> anyhow::Result<Shelf> {
        let count_max = snapshots.count_max.max(1) as usize;
        let keep = Keep { for_ms: snapshots.keep_for_ms, bytes: snapshots.keep_bytes, count_max };
        Shelf::of(&snapshots.directory, stream, keep).context("no directory for snapshots")
    }

    fn of(directory: &str, stream: &str, keep: Keep) -> std::io::Result<Shelf> {
        let directory = PathBuf::from(directory);
        fs::create_dir_all(&directory)?;
        let prefix = format!("{}-", safe(stream));
        let is_own = |name: &str| name.starts_with(&prefix) && name.ends_with(".json");
        let names = fs::read_dir(&directory)?.flatten();
        let mut kept: Vec<Recording> = names
            .filter(|entry| entry.file_name().to_str().is_some_and(is_own))
            .take(RECORDINGS_MAX)
            .filter_map(|entry| serde_json::from_slice(&fs::read(entry.path()).ok()?).ok())
            // The beginnings of names may be those of another stream as well.
            .filter(|recording: &Recording| recording.stream == stream)
            .collect();
        kept.sort_by(|a, b| (a.started_at_ms, &a.name).cmp(&(b.started_at_ms, &b.name)));
        Ok(Shelf { directory, stream: stream.into(), keep, kept })
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
    pub fn note(&mut self, recording: &Recording) -> std::io::Result<()> {
        let path = self.index_of(&recording.name);
        let draft = path.with_extension("json.draft");
        let mut file = fs::File::create(&draft)?;
        file.write_all(&serde_json::to_vec_pretty(recording)?)?;
        fs::rename(draft, path)?;
        match self.kept.iter_mut().rev().find(|kept| kept.name == recording.name) {
            Some(kept) => kept.clone_from(recording),
            None => self.kept.push(recording.clone()),
        }
        Ok(())
    }

    /// Closes in the index what a process that was killed has left open; gives what it closed.
    pub fn mend(&mut self) -> Vec<Recording> {
        let is_open = |recording: &&Recording| !recording.is_closed;
        let left_open: Vec<Recording> = self.kept.iter().filter(is_open).cloned().collect();
        let mut mended = Vec::new();
        for mut recording in left_open {
            let path = self.directory.join(&recording.name);
            let Ok(metadata) = fs::metadata(&path) else {
                // Only its index was left: nothing to play, so nothing to list.
                fs::remove_file(self.index_of(&recording.name)).ok();
                self.kept.retain(|kept| kept.name != recording.name);
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
    pub fn tidy(&mut self, open: Option<&str>) -> Vec<Recording> {
        let now_ms = clock::wall_ms();
        if self.overdue(open, now_ms).is_none() {
            return Vec::new();
        }
        let directory = &self.directory;
        self.kept.retain(|kept| directory.join(&kept.name).exists());
        let mut removed = Vec::new();
        while let Some(at) = self.overdue(open, now_ms) {
            let recording = self.kept.remove(at);
            let gone = |path: PathBuf| match fs::remove_file(path) {
                Ok(()) => true,
                Err(error) => error.kind() == ErrorKind::NotFound,
            };
            let index = self.index_of(&recording.name);
            // What cannot be removed is listed on, and tried again by the next worker.
            if gone(self.directory.join(&recording.name)) && gone(index) {
                removed.push(recording);
            }
        }
        removed
    }

    /// The oldest that has to go.
    fn overdue(&self, open: Option<&str>, now_ms: u64) -> Option<usize> {
        let Keep { for_ms, bytes, count_max } = self.keep;
        let at = self.kept.iter().position(|kept| Some(kept.name.as_str()) != open)?;
        let oldest = &self.kept[at];
        let ended_at_ms = oldest.started_at_ms.saturating_add(oldest.duration_ms);
        let is_old = for_ms > 0 && now_ms.saturating_sub(ended_at_ms) > for_ms;
        let sum_bytes = || self.kept.iter().map(|kept| kept.size_bytes).sum::<u64>();
        let is_much = bytes > 0 && sum_bytes() > bytes;
        (is_old || is_much || self.kept.len() > count_max).then_some(at)
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

    /// A directory that is removed behind the test.
    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Directory {
            let path = std::env::temp_dir().join(format!("shelf-{}-{name}", std::process::id()));
            Directory(path)
        }

        fn shelf(&self, stream: &str, keep: Keep) -> Shelf {
            Shelf::of(self.0.to_str().expect("UTF-8"), stream, keep).expect("a directory")
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).ok();
        }
    }

    const ALL: Keep = Keep { for_ms: 0, bytes: 0, count_max: usize::MAX };

    fn path_of(shelf: &Shelf, name: &str) -> PathBuf {
        shelf.directory.join(name)
    }

    /// Puts a closed file of 100 bytes there that ended so long ago.
    fn put(shelf: &mut Shelf, name: &str, ago_ms: u64) {
        fs::write(path_of(shelf, name), [0; 100]).expect("a file");
        let recording = Recording {
            name: name.into(),
            stream: shelf.stream().into(),
            started_at_ms: clock::wall_ms() - ago_ms,
            size_bytes: 100,
            is_closed: true,
            ..Recording::default()
        };
        shelf.note(&recording).expect("an index");
    }

    fn names(removed: &[Recording]) -> Vec<&str> {
        removed.iter().map(|it| it.name.as_str()).collect()
    }

    #[test]
    fn what_is_too_old_too_large_or_one_too_many_goes_and_nothing_else() {
        for (keep, expected) in [
            (ALL, &[][..]),
            (Keep { for_ms: 1_000_000, ..ALL }, &["a-1", "a-2"][..]),
            (Keep { bytes: 250, ..ALL }, &["a-1", "a-2"][..]),
            (Keep { bytes: 400, ..ALL }, &[][..]),
            (Keep { count_max: 1, ..ALL }, &["a-1", "a-2", "a-3"][..]),
        ] {
            let directory = Directory::new("keep");
            let mut other = directory.shelf("a-other", ALL);
            put(&mut other, "a-other-1", 90_000_000);
            let mut shelf = directory.shelf("a", keep);
            let ages = [("a-1", 9_000_000), ("a-2", 2_000_000), ("a-3", 9_000), ("a-4", 5)];
            ages.iter().for_each(|(name, ago_ms)| put(&mut shelf, name, *ago_ms));
            // Whether it has them in mind or has them read.
            let mut shelf = if expected.len() == 3 { shelf } else { directory.shelf("a", keep) };
            assert_eq!(names(&shelf.tidy(None)), expected, "{keep:?}");
            assert!(shelf.tidy(None).is_empty());
            for (name, _) in ages {
                let is_there = path_of(&shelf, name).exists() && shelf.index_of(name).exists();
                assert_eq!(is_there, !expected.contains(&name), "{name}");
            }
            assert!(path_of(&shelf, "a-other-1").exists(), "another stream's");
        }
    }

    #[test]
    fn what_somebody_else_removed_counts_no_more_and_is_not_told() {
        let directory = Directory::new("else");
        let mut shelf = directory.shelf("a", Keep { bytes: 250, ..ALL });
        for (name, ago_ms) in [("a-1", 4_000), ("a-2", 3_000), ("a-3", 2_000)] {
            put(&mut shelf, name, ago_ms);
        }
        fs::remove_file(path_of(&shelf, "a-2")).expect("removed");
        fs::remove_file(shelf.index_of("a-2")).expect("removed");
        assert!(shelf.tidy(None).is_empty(), "two of 100 bytes are left");
        put(&mut shelf, "a-4", 1_000);
        assert!(shelf.tidy(Some("a-1")).iter().all(|it| it.name == "a-3"), "a-1 is written");
        assert!(path_of(&shelf, "a-1").exists());
    }

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
