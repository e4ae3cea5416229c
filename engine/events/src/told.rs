//! What a worker told, as others are told of it: with a name, and data in which no address, no
//! credential and no path of the machine is.

use media_link::{Event, Recording, RecordingKind};
use serde_json::{Value, json};

use crate::catalog::row;

/// Something that happened to a stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// Its name, such as `icey:vision`; none for what is only of use in lists.
    pub name: Option<&'static str>,
    /// The stream's name.
    pub stream: String,
    /// What there is to say of it.
    pub data: Value,
    /// What it changes in the list of recordings.
    pub change: Option<Change>,
}

/// A change of the list of recordings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// There is this recording, or it is so by now.
    Is(Box<Recording>),
    /// It is no more.
    Gone(Box<Recording>),
}

/// The names of all that is told, for who chooses among them.
pub const NAMES: &[&str] = &[
    "icey:vision",
    "icey:speech",
    "source:opened",
    "source:lost",
    "recording:started",
    "recording:ended",
    "recording:failed",
    "recording:removed",
    "clip:started",
    "clip:ended",
    "clip:failed",
    "clip:removed",
    "snapshot",
    "snapshot:removed",
];

impl Told {
    /// What this event of a stream's worker comes to; nothing where it is for operators alone.
    #[must_use]
    pub fn of(stream: &str, event: Event) -> Option<Told> {
        let plain =
            |name, data| Told { name: Some(name), stream: stream.into(), data, change: None };
        Some(match event {
            Event::Warning(_) | Event::Snapshot(_) => return None,
            Event::SourceOpened => plain("source:opened", json!({ "stream": stream })),
            Event::Vision(vision) => plain("icey:vision", serde_json::to_value(vision).ok()?),
            Event::Speech(speech) => plain("icey:speech", serde_json::to_value(speech).ok()?),
            Event::RecordingStarted(recording) => Told::recorded(recording, Stage::Started),
            Event::RecordingGrew(recording) => Told::recorded(recording, Stage::Grew),
            Event::RecordingClosed(recording) => Told::recorded(recording, Stage::Closed),
            Event::RecordingRemoved(recording) => Told::removed(recording),
        })
    }

    /// A stream's source is gone, or cannot be opened.
    #[must_use]
    pub fn source_lost(stream: &str, cause: &str) -> Told {
        let data = json!({ "stream": stream, "cause": cause });
        Told { name: Some("source:lost"), stream: stream.into(), data, change: None }
    }

    /// A recording was removed.
    #[must_use]
    pub fn removed(recording: Recording) -> Told {
        let name = match recording.kind {
            RecordingKind::Recording => Some("recording:removed"),
            RecordingKind::Clip => Some("clip:removed"),
            RecordingKind::Snapshot => Some("snapshot:removed"),
        };
        let (stream, data) = (recording.stream.clone(), row(&recording));
        Told { name, stream, data, change: Some(Change::Gone(Box::new(recording))) }
    }

    fn recorded(recording: Recording, stage: Stage) -> Told {
        let name = match (recording.kind, stage, recording.cause.is_some()) {
            (_, Stage::Grew, _) => None,
            (RecordingKind::Recording, Stage::Started, _) => Some("recording:started"),
            (RecordingKind::Recording, Stage::Closed, false) => Some("recording:ended"),
            (RecordingKind::Recording, Stage::Closed, true) => Some("recording:failed"),
            (RecordingKind::Clip, Stage::Started, _) => Some("clip:started"),
            (RecordingKind::Clip, Stage::Closed, false) => Some("clip:ended"),
            (RecordingKind::Clip, Stage::Closed, true) => Some("clip:failed"),
            (RecordingKind::Snapshot, Stage::Started, _) => None,
            (RecordingKind::Snapshot, Stage::Closed, _) => Some("snapshot"),
        };
        let (stream, data) = (recording.stream.clone(), row(&recording));
        Told { name, stream, data, change: Some(Change::Is(Box::new(recording))) }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Started,
    Grew,
    Closed,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recording(cause: Option<&str>) -> Recording {
        let cause = cause.map(str::to_owned);
        Recording { name: "a.mp4".into(), stream: "hall".into(), cause, ..Recording::default() }
    }

    #[test]
    fn a_recording_that_was_cut_short_has_failed() {
        let told = |event| Told::of("hall", event).expect("it is told").name;
        assert_eq!(told(Event::RecordingClosed(recording(None))), Some("recording:ended"));
        let cut = recording(Some("the disk is full"));
        assert_eq!(told(Event::RecordingClosed(cut)), Some("recording:failed"));
        assert_eq!(told(Event::RecordingGrew(recording(None))), None);
    }

    #[test]
    fn every_name_that_is_told_can_be_chosen() {
        let clip = Recording { kind: RecordingKind::Clip, ..recording(None) };
        for event in [Event::SourceOpened, Event::RecordingStarted(recording(None))] {
            let name = Told::of("hall", event).and_then(|told| told.name).expect("told");
            assert!(NAMES.contains(&name), "{name}");
        }
        assert!(NAMES.contains(&Told::removed(clip).name.expect("told")));
    }
}
