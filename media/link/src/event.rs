//! What a worker has to tell besides media. Motion and voice have the shapes that icey's clients
//! know; a source is named by its stream, so that no address, credential or path is in them.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", content = "data", rename_all = "snake_case")]
pub enum Event {
    /// The source is open, and its tracks will follow.
    SourceOpened,
    /// Something is not as it was asked for, and the work goes on.
    Warning(Alert),
    /// Motion, with icey's schema `vision.event.v1`.
    Vision(Box<VisionEvent>),
    /// Voice, with icey's schema of speech.
    Speech(SpeechEvent),
    /// A picture was kept. The bytes are the attachment where nothing was written.
    Snapshot(Picture),
    /// A recording began.
    RecordingStarted(Recording),
    /// An open recording is so long by now. This is for lists: nothing has happened.
    RecordingGrew(Recording),
    /// A recording ended: complete, or with its cause.
    RecordingClosed(Recording),
    /// A recording was removed, as too old or too many.
    RecordingRemoved(Recording),
}

/// A sentence for operators.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// The sentence.
    pub text: String,
}

/// A picture that was kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Picture {
    /// Its file's name, without a path.
    pub name: String,
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// Its size.
    pub size_bytes: u64,
    /// When it was shown in the stream's time.
    pub presentation_us: i64,
}

/// A recording, as its index file has it too.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Recording {
    /// Its file's name, without a path.
    pub name: String,
    /// The stream that was recorded.
    pub stream: String,
    /// What made it.
    pub kind: RecordingKind,
    /// When it began, since the Unix epoch.
    pub started_at_ms: u64,
    /// What of it is on disk.
    pub duration_ms: u64,
    /// Its size on disk.
    pub size_bytes: u64,
    /// What is in it.
    pub tracks: Vec<RecordingTrack>,
    /// Whether it was closed in order.
    pub is_closed: bool,
    /// Why it ended, where that was not the stream's end or a rotation.
    pub cause: Option<String>,
}

/// What made a recording, and with that the folder it lies in.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum RecordingKind {
    /// The stream was to be recorded.
    #[default]
    Recording,
    /// Something was noticed: a piece of the stream around that.
    Clip,
    /// Something was noticed: one picture.
    Snapshot,
}

impl RecordingKind {
    /// The folder below that of all recordings, with its slash; none for recordings themselves.
    pub fn folder(self) -> &'static str {
        match self {
            RecordingKind::Recording => "",
            RecordingKind::Clip => "clips/",
            RecordingKind::Snapshot => "snapshots/",
        }
    }

    /// Its name in lists.
    pub fn name(self) -> &'static str {
        match self {
            RecordingKind::Recording => "recording",
            RecordingKind::Clip => "clip",
            RecordingKind::Snapshot => "snapshot",
        }
    }
}

/// A track of a recording.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordingTrack {
    /// Its codec's name.
    pub codec: String,
    /// Pixels across; 0 of sound.
    pub width: u32,
    /// Pixels down; 0 of sound.
    pub height: u32,
}

/// Motion.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VisionEvent {
    /// `vision.event.v1`.
    pub schema: String,
    /// `detect`; or `clip`, where what was told before is told again with the clip that was kept.
    #[serde(rename = "type")]
    pub kind: String,
    /// The stream's name.
    pub source: String,
    /// `motion`.
    pub detector: String,
    /// When it was said, since the Unix epoch.
    pub emitted_at_usec: u64,
    /// The picture in which it was seen.
    pub frame: FrameFacts,
    /// Where something moved.
    pub detections: Vec<Detection>,
    /// Nothing is tracked.
    pub tracks: Vec<Value>,
    /// How it was found.
    pub data: VisionMeasure,
}

/// The picture in which motion was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FrameFacts {
    /// The stream's name.
    pub source_id: String,
    /// `stream/` and the stream's name.
    pub stream_id: String,
    /// How many pictures came before it.
    pub frame_id: u64,
    /// When it is shown, in the stream's time.
    pub pts_usec: i64,
    /// When it came, since the Unix epoch.
    pub received_at_usec: u64,
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// How its pixels lie, as FFmpeg calls it.
    pub pixel_fmt: String,
    /// Whether it was a keyframe.
    pub keyframe: bool,
}

/// One part of the picture in which something moved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Detection {
    /// `motion`.
    pub label: String,
    /// How much moved there, from 0 to 1.
    pub confidence: f32,
    /// -1: nothing is tracked.
    pub track_id: i32,
    /// Where.
    pub region: Region,
    /// `score` and `cells`.
    pub data: Value,
}

/// A part of the picture, as fractions of its size.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Region {
    /// The left edge.
    pub x: f32,
    /// The upper edge.
    pub y: f32,
    /// Across.
    pub width: f32,
    /// Down.
    pub height: f32,
}

/// How motion was found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VisionMeasure {
    /// The mean difference, from 0 to 1.
    pub score: f32,
    /// Cells across.
    pub grid_width: u16,
    /// Cells down.
    pub grid_height: u16,
    /// What each cell had.
    pub grid: Grid,
    /// From the picture's coming to the verdict.
    pub latency_usec: u64,
    /// `url` of the picture that was kept, below `/artifacts`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub snapshot: Option<Value>,
    /// `url` of the clip that is being written, below `/artifacts`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub clip: Option<Value>,
}

/// Differences of all cells, row by row, each from 0 to 255.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grid {
    /// Cells across.
    pub width: u16,
    /// Cells down.
    pub height: u16,
    /// The differences.
    pub cells: Vec<u8>,
}

/// Voice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SpeechEvent {
    /// `speech:start`, `speech:update` or `speech:end`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The stream's name.
    pub source: String,
    /// `earshot`, or `energy_vad` where only the level decides.
    pub detector: String,
    /// When it was heard in the stream's time, microseconds.
    pub time: i64,
    /// The sound in which it was heard.
    pub audio: Sound,
    /// Whether there is voice now.
    pub active: bool,
    /// The mean level, from 0 to 1.
    pub level: f32,
    /// The loudest sample, from 0 to 1.
    pub peak: f32,
    /// `startThreshold`, `stopThreshold`, and what the detector says: `probability`.
    pub data: Value,
}

/// A piece of sound.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sound {
    /// How many pieces came before it.
    pub sequence: u64,
    /// When it is heard in the stream's time, microseconds.
    pub time: i64,
    /// How long it lasts, microseconds.
    pub duration: u64,
    /// Samples a second.
    pub sample_rate: u32,
    /// Channels.
    pub channels: u8,
    /// Samples of each channel.
    pub num_samples: u32,
    /// How its samples lie, as FFmpeg calls it.
    pub sample_fmt: String,
}
