//! What lies in the folder of recordings when the server starts.

use std::fs;
use std::path::Path;

use media_link::{Recording, RecordingKind};

use crate::catalog::ENTRIES_MAX;

/// The longest index file that is one.
const INDEX_BYTES_MAX: u64 = 64 * 1024;

/// Reads the index files of a folder and of those below it. What cannot be read is left out: the
/// next recorder of its stream mends it.
#[must_use]
pub fn scan(folder: &Path) -> Vec<Recording> {
    let kinds = [RecordingKind::Recording, RecordingKind::Clip, RecordingKind::Snapshot];
    kinds.into_iter().flat_map(|kind| scan_kind(&folder.join(kind.folder()), kind)).collect()
}

fn scan_kind(folder: &Path, kind: RecordingKind) -> Vec<Recording> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let is_index = |name: &str| name.ends_with(".json");
    let read = |name: String| {
        let path = folder.join(&name);
        let metadata = fs::metadata(&path).ok()?;
        if !metadata.is_file() || metadata.len() > INDEX_BYTES_MAX {
            return None;
        }
        let mut recording: Recording = serde_json::from_slice(&fs::read(&path).ok()?).ok()?;
        // The index lies beside its file: it cannot speak of another one.
        let file = name.strip_suffix(".json")?;
        let size_bytes = fs::metadata(folder.join(file)).ok()?.len();
        recording.name = file.to_owned();
        recording.kind = kind;
        recording.size_bytes = size_bytes;
        if !recording.is_closed {
            // Nobody writes it: this server has only begun.
            recording.is_closed = true;
            recording.cause = Some("the recorder was interrupted".to_owned());
        }
        Some(recording)
    };
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| is_index(name)).take(ENTRIES_MAX).filter_map(read).collect()
}
