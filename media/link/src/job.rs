//! What a worker is to do, as the server describes it: JSON, with a default for everything that
//! has one, so that a newer server's keys do not stop an older worker's reader.

use serde::{Deserialize, Serialize};

/// One worker's work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "job", rename_all = "snake_case")]
pub enum Job {
    /// Open a source once and send its media.
    Stream(StreamJob),
    /// Write the media that comes over the link into files.
    Record(RecordJob),
}

impl Job {
    /// The name of the stream that it works for.
    pub fn name(&self) -> &str {
        match self {
            Job::Stream(job) => &job.name,
            Job::Record(job) => &job.name,
        }
    }

    /// What is to be found in its media.
    pub fn analysis(&self) -> &Analysis {
        match self {
            Job::Stream(job) => &job.analysis,
            Job::Record(job) => &job.analysis,
        }
    }
}

/// A source that becomes a stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StreamJob {
    /// The stream's name, which stands in events instead of the source's address.
    pub name: String,
    /// A file, a URL, or a device such as `/dev/video0`.
    pub source: String,
    /// A file begins again at its end, with timestamps that go on.
    #[serde(default = "yes")]
    pub repeat: bool,
    /// How pictures are encoded where they cannot be passed through.
    #[serde(default)]
    pub video: VideoEncoding,
    /// How sound is encoded where it cannot be passed through.
    #[serde(default)]
    pub audio: AudioEncoding,
    /// What is to be found in it.
    #[serde(default)]
    pub analysis: Analysis,
}

/// How pictures are encoded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct VideoEncoding {
    /// Encode even what could be passed through, so that keyframes and bitrate can be asked for.
    pub always: bool,
    /// Larger pictures are made smaller, in proportion.
    pub width_max: u32,
    /// As `width_max`.
    pub height_max: u32,
    /// Faster pictures are thinned out.
    pub frames_per_second_max: u32,
    /// The bitrate to begin with.
    pub bits_per_second: u32,
    /// What is asked for is kept above this …
    pub bits_per_second_min: u32,
    /// … and below this.
    pub bits_per_second_max: u32,
    /// The longest time without a keyframe.
    pub keyframe_interval_ms: u32,
}

impl Default for VideoEncoding {
    fn default() -> Self {
        VideoEncoding {
            always: false,
            width_max: 1280,
            height_max: 720,
            frames_per_second_max: 30,
            bits_per_second: 2_000_000,
            bits_per_second_min: 150_000,
            bits_per_second_max: 4_000_000,
            keyframe_interval_ms: 4_000,
        }
    }
}

/// How sound is encoded: Opus at 48 kHz.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AudioEncoding {
    /// Its bitrate.
    pub bits_per_second: u32,
}

impl Default for AudioEncoding {
    fn default() -> Self {
        AudioEncoding { bits_per_second: 96_000 }
    }
}

/// Files of what comes over the link.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordJob {
    /// The stream's name, with which the files' names begin.
    pub name: String,
    /// Where they are written. It is made where it is missing.
    pub directory: String,
    /// A new file after so long; 0 is never.
    #[serde(default)]
    pub rotate_after_ms: u64,
    /// A new file after so many bytes; 0 is never.
    #[serde(default)]
    pub rotate_after_bytes: u64,
    /// Recordings of this stream that are older are removed; 0 is never.
    #[serde(default)]
    pub keep_for_ms: u64,
    /// The oldest recordings of this stream are removed until all have at most this many bytes;
    /// 0 is no limit.
    #[serde(default)]
    pub keep_bytes: u64,
    /// The longest that is lost when the process is killed.
    #[serde(default = "fragment_ms")]
    pub fragment_ms: u32,
    /// What is to be found in it.
    #[serde(default)]
    pub analysis: Analysis,
}

/// What is to be found in the media, and what is kept of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Analysis {
    /// Motion in pictures.
    pub motion: Option<Motion>,
    /// Voice in sound.
    pub voice: Option<Voice>,
    /// Pictures of motion.
    pub snapshots: Option<Snapshots>,
    /// The stream around motion.
    pub clips: Option<Clips>,
}

/// A part of the picture, as fractions of its size.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Zone {
    /// The left edge, from 0 to 1.
    pub x: f32,
    /// The upper edge.
    pub y: f32,
    /// Across.
    pub width: f32,
    /// Down.
    pub height: f32,
}

impl Zone {
    /// Whether a point is inside.
    pub fn contains(&self, x: f32, y: f32) -> bool {
        x >= self.x && x < self.x + self.width && y >= self.y && y < self.y + self.height
    }
}

/// How motion is found: the mean difference of brightness on a coarse grid.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Motion {
    /// Every so manieth picture is looked at …
    pub every_nth_frame: u32,
    /// … but not more often than this.
    pub interval_min_ms: u32,
    /// Cells across.
    pub grid_width: u16,
    /// Cells down.
    pub grid_height: u16,
    /// Pictures before the first verdict.
    pub warmup_frames: u32,
    /// The mean difference that is motion, from 0 to 1.
    pub threshold: f32,
    /// The least time between two events.
    pub cooldown_ms: u32,
    /// Only these parts are looked at; all of the picture where there are none.
    pub zones: Vec<Zone>,
    /// These parts are not looked at.
    pub masks: Vec<Zone>,
}

impl Default for Motion {
    fn default() -> Self {
        Motion {
            every_nth_frame: 6,
            interval_min_ms: 200,
            grid_width: 32,
            grid_height: 18,
            warmup_frames: 2,
            threshold: 0.08,
            cooldown_ms: 500,
            zones: Vec::new(),
            masks: Vec::new(),
        }
    }
}

/// How voice is found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Voice {
    /// The mean level at which the energy rule begins, from 0 to 1.
    pub start_threshold: f32,
    /// The mean level below which it ends.
    pub stop_threshold: f32,
    /// Silence that ends a voice.
    pub silence_min_ms: u32,
    /// The time between updates.
    pub update_interval_ms: u32,
    /// What the detector must say beside the energy rule, from 0 to 1; 0 leaves it to the level.
    pub probability_min: f32,
}

impl Default for Voice {
    fn default() -> Self {
        Voice {
            start_threshold: 0.045,
            stop_threshold: 0.02,
            silence_min_ms: 250,
            update_interval_ms: 250,
            probability_min: 0.5,
        }
    }
}

/// Pictures of motion.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshots {
    /// Where they are written.
    pub directory: String,
    /// The least time between two.
    #[serde(default = "second_ms")]
    pub interval_min_ms: u32,
    /// The most that are kept of this stream; the oldest go.
    #[serde(default = "snapshots_max")]
    pub count_max: u32,
    /// Those of this stream that are older are removed; 0 is never.
    #[serde(default)]
    pub keep_for_ms: u64,
    /// The oldest of this stream are removed until all have at most this many bytes; 0 is no limit.
    #[serde(default)]
    pub keep_bytes: u64,
}

/// The stream around motion, as it comes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Clips {
    /// Where they are written.
    pub directory: String,
    /// What a clip has from before the motion; it begins at the keyframe before that.
    #[serde(default = "clip_before_ms")]
    pub before_ms: u64,
    /// What it has from after the last motion.
    #[serde(default = "clip_after_ms")]
    pub after_ms: u64,
    /// It is no longer than this from the moment at which it begins.
    #[serde(default = "clip_ms_max")]
    pub length_ms_max: u64,
    /// The most that are kept of this stream; the oldest go.
    #[serde(default = "clips_max")]
    pub count_max: u32,
    /// Those of this stream that are older are removed; 0 is never.
    #[serde(default)]
    pub keep_for_ms: u64,
    /// The oldest of this stream are removed until all have at most this many bytes; 0 is no limit.
    #[serde(default)]
    pub keep_bytes: u64,
}

fn clip_before_ms() -> u64 {
    3_000
}

fn clip_after_ms() -> u64 {
    5_000
}

fn clip_ms_max() -> u64 {
    120_000
}

fn clips_max() -> u32 {
    500
}

fn yes() -> bool {
    true
}

fn fragment_ms() -> u32 {
    1_000
}

fn second_ms() -> u32 {
    1_000
}

fn snapshots_max() -> u32 {
    1_000
}
