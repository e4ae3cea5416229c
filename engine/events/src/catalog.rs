//! The list of recordings: what was found at the start, and what workers told since.
//!
//! Invariants: each file is listed once; the list is bounded, and what does not fit is the oldest;
//! nothing here names a folder of the machine.

use std::collections::BTreeMap;

use media_link::{Recording, RecordingKind, RecordingTrack};
use protocol_http::percent_encode;
use serde_json::{Value, json};

/// Entries of the list. Older files stay on disk and are not listed.
pub const ENTRIES_MAX: usize = 20_000;

/// Entries of one page.
pub const PAGE_MAX: usize = 1_000;

/// What a file is found by below `/artifacts/`: its folder and its name.
#[must_use]
pub fn path_of(recording: &Recording) -> String {
    format!("{}{}", recording.kind.folder(), recording.name)
}

/// The row of a list, and the data of an event.
#[must_use]
pub fn row(recording: &Recording) -> Value {
    let track = |track: &RecordingTrack| {
        let RecordingTrack { codec, width, height } = track;
        json!({"codec": codec, "width": width, "height": height})
    };
    let url = format!(
        "/artifacts/{}{}",
        recording.kind.folder(),
        percent_encode(recording.name.as_bytes())
    );
    json!({
        "name": recording.name,
        "kind": recording.kind.name(),
        "stream": recording.stream,
        "started_at": crate::time::iso8601_ms(recording.started_at_ms),
        "started_at_ms": recording.started_at_ms,
        "duration_ms": recording.duration_ms,
        "size_bytes": recording.size_bytes,
        "tracks": recording.tracks.iter().map(track).collect::<Vec<_>>(),
        "is_closed": recording.is_closed,
        "cause": recording.cause,
        "url": url,
    })
}

/// Which entries are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Only of this stream.
    pub stream: Option<String>,
    /// Only of this kind; without it all but snapshots.
    pub kind: Option<RecordingKind>,
    /// Behind this entry, as a page before has called it.
    pub after: Option<String>,
    /// At most so many; 0 is a hundred.
    pub limit: usize,
}

/// A page of the list.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// The newest first.
    pub rows: Vec<Value>,
    /// What to ask for as [`Wanted::after`] to read on, where there is more.
    pub next: Option<String>,
    /// All entries that are wanted.
    pub total_count: usize,
}

/// What all entries come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Entries.
    pub count: usize,
    /// Their bytes on disk, as far as is known.
    pub size_bytes: u64,
    /// Entries that are being written.
    pub open_count: usize,
}

impl Totals {
    fn add(&mut self, recording: &Recording) {
        self.count += 1;
        self.size_bytes = self.size_bytes.saturating_add(recording.size_bytes);
        self.open_count += usize::from(!recording.is_closed);
    }

    fn take_off(&mut self, recording: &Recording) {
        self.count -= 1;
        self.size_bytes = self.size_bytes.saturating_sub(recording.size_bytes);
        self.open_count -= usize::from(!recording.is_closed);
    }
}

/// When it began, and its path: the order of the list.
type Key = (u64, String);

/// The list.
#[derive(Debug, Default)]
pub struct Catalog {
    entries: BTreeMap<Key, Recording>,
    keys: BTreeMap<String, Key>,
    /// What the entries of each kind come to.
    sums: BTreeMap<RecordingKind, Totals>,
    dropped_count: u64,
}

impl Catalog {
    /// A list of these.
    #[must_use]
    pub fn of(recordings: impl IntoIterator<Item = Recording>) -> Catalog {
        let mut catalog = Catalog::default();
        recordings.into_iter().for_each(|recording| catalog.note(recording));
        catalog
    }

    /// There is this recording, or it has changed.
    pub fn note(&mut self, recording: Recording) {
        let path = path_of(&recording);
        self.forget(&path);
        let key = (recording.started_at_ms, path.clone());
        self.keys.insert(path, key.clone());
        self.sums.entry(recording.kind).or_default().add(&recording);
        self.entries.insert(key, recording);
        if self.entries.len() > ENTRIES_MAX
            && let Some(((_, path), _)) = self.entries.first_key_value()
        {
            let path = path.clone();
            self.forget(&path);
            self.dropped_count += 1;
        }
    }

    /// It is no more.
    pub fn forget(&mut self, path: &str) -> Option<Recording> {
        let recording = self.entries.remove(&self.keys.remove(path)?)?;
        self.sums.entry(recording.kind).or_default().take_off(&recording);
        Some(recording)
    }

    /// The entry of a path below `/artifacts/`.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<&Recording> {
        self.entries.get(self.keys.get(path)?)
    }

    /// One page of what is wanted.
    #[must_use]
    pub fn page(&self, wanted: &Wanted) -> Page {
        let limit = if wanted.limit == 0 { 100 } else { wanted.limit.min(PAGE_MAX) };
        let is_wanted = |recording: &&Recording| {
            let is_kind = match wanted.kind {
                Some(kind) => recording.kind == kind,
                None => recording.kind != RecordingKind::Snapshot,
            };
            is_kind && wanted.stream.as_ref().is_none_or(|stream| *stream == recording.stream)
        };
        let total_count = self.entries.values().filter(is_wanted).count();
        let mut rest = match wanted.after.as_deref().and_then(key_of) {
            Some(key) => self.entries.range(..key).rev(),
            None => self.entries.range(..).rev(),
        }
        .filter(|(_, recording)| is_wanted(recording));
        let page: Vec<_> = rest.by_ref().take(limit).collect();
        let has_more = rest.next().is_some();
        let next = page.last().filter(|_| has_more).map(|((at, path), _)| format!("{at}~{path}"));
        let rows = page.into_iter().map(|(_, recording)| row(recording)).collect();
        Page { rows, next, total_count }
    }

    /// What all come to, and of one kind where that is asked for.
    #[must_use]
    pub fn totals(&self, kind: Option<RecordingKind>) -> Totals {
        let is_wanted = |of: &RecordingKind| kind.is_none_or(|kind| kind == *of);
        let sums = self.sums.iter().filter(|(of, _)| is_wanted(of));
        sums.fold(Totals::default(), |all, (_, sum)| Totals {
            count: all.count + sum.count,
            size_bytes: all.size_bytes.saturating_add(sum.size_bytes),
            open_count: all.open_count + sum.open_count,
        })
    }

    /// The newest of a kind.
    #[must_use]
    pub fn newest(&self, kind: RecordingKind) -> Option<&Recording> {
        self.entries.values().rev().find(|recording| recording.kind == kind)
    }

    /// Entries that were left out because there were too many.
    #[must_use]
    pub fn dropped_count(&self) -> u64 {
        self.dropped_count
    }
}

fn key_of(text: &str) -> Option<Key> {
    let (at, path) = text.split_once('~')?;
    Some((at.parse().ok()?, path.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recording(name: &str, started_at_ms: u64, kind: RecordingKind) -> Recording {
        let (name, stream) = (name.to_owned(), "hall".to_owned());
        Recording { name, stream, started_at_ms, kind, size_bytes: 10, ..Recording::default() }
    }

    #[test]
    fn the_newest_come_first_and_pages_follow_each_other_without_gap_or_double() {
        let all = (0..7).map(|at| recording(&format!("{at}.mp4"), at, RecordingKind::Recording));
        let catalog = Catalog::of(all);
        let mut wanted = Wanted { limit: 3, ..Wanted::default() };
        let mut seen = Vec::new();
        for _ in 0..3 {
            let page = catalog.page(&wanted);
            assert_eq!(page.total_count, 7);
            seen.extend(page.rows.iter().map(|row| row["started_at_ms"].as_u64().expect("one")));
            wanted.after = page.next;
        }
        assert_eq!(seen, [6, 5, 4, 3, 2, 1, 0]);
        assert_eq!(wanted.after, None, "the last page says that it is");
    }

    #[test]
    fn what_grows_is_listed_once_and_what_is_removed_not_at_all() {
        let mut catalog = Catalog::of([recording("a.mp4", 1, RecordingKind::Recording)]);
        let grown = Recording { size_bytes: 99, ..recording("a.mp4", 1, RecordingKind::Recording) };
        catalog.note(grown);
        catalog.note(recording("a.mp4", 2, RecordingKind::Clip));
        assert_eq!(catalog.totals(None), Totals { count: 2, size_bytes: 109, open_count: 2 });
        assert!(catalog.forget("a.mp4").is_some() && catalog.find("clips/a.mp4").is_some());
        assert_eq!(catalog.totals(Some(RecordingKind::Recording)).count, 0);
    }

    #[test]
    fn snapshots_are_listed_for_who_asks_for_them() {
        let catalog = Catalog::of([recording("s.jpg", 1, RecordingKind::Snapshot)]);
        assert_eq!(catalog.page(&Wanted::default()).rows.len(), 0);
        let wanted = Wanted { kind: Some(RecordingKind::Snapshot), ..Wanted::default() };
        assert_eq!(catalog.page(&wanted).rows[0]["url"], "/artifacts/snapshots/s.jpg");
    }

    #[test]
    fn the_list_is_bounded_and_lets_the_oldest_go() {
        let count = ENTRIES_MAX as u64 + 5;
        let all = (0..count).map(|at| recording(&format!("{at}"), at, RecordingKind::Recording));
        let catalog = Catalog::of(all);
        assert_eq!((catalog.totals(None).count, catalog.dropped_count()), (ENTRIES_MAX, 5));
        assert!(catalog.find("4").is_none() && catalog.find("5").is_some());
    }
}
