//! What is said: one type for both directions; [`crate::Link`] knows who may say what, and when.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{Event, Job, Track};

/// What both ends must agree on. It changes with every change of the frames.
pub const VERSION: u16 = 1;

/// The first word of each side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`VERSION`].
    pub version: u16,
}

/// Encoded media of one track: an access unit, a frame, or a packet of sound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaPacket {
    /// The track's number.
    pub track: u8,
    /// A decoder may start here.
    pub is_keyframe: bool,
    /// Something before this packet was lost.
    pub is_after_loss: bool,
    /// When it is shown, in the track's ticks.
    pub presentation: i64,
    /// When it is decoded.
    pub decode: i64,
    /// How long it lasts; 0 where unknown.
    pub duration: u32,
    /// The bytes.
    pub payload: Bytes,
}

/// Why a worker ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ending", rename_all = "snake_case")]
pub enum Ending {
    /// All is done: the file is at its end, or the drain is through.
    Complete,
    /// The source is gone or could not be opened. It is worth another try.
    SourceLost {
        /// What happened, without addresses or credentials.
        cause: String,
    },
    /// The job cannot be done, and will not be the next time either.
    Refused {
        /// Why.
        cause: String,
    },
    /// The disk is full, or writing failed otherwise. What was written is readable.
    WriteFailed {
        /// What happened.
        cause: String,
    },
    /// Something else went wrong.
    Failed {
        /// What.
        cause: String,
    },
}

impl std::fmt::Display for Ending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Ending::Complete => f.write_str("complete"),
            Ending::SourceLost { cause } => write!(f, "the source is lost: {cause}"),
            Ending::Refused { cause } => write!(f, "refused: {cause}"),
            Ending::WriteFailed { cause } => write!(f, "writing failed: {cause}"),
            Ending::Failed { cause } => write!(f, "failed: {cause}"),
        }
    }
}

/// What one end says to the other.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// Each side's first.
    Hello(Hello),
    /// What the worker is to do.
    Job(Box<Job>),
    /// A track, before its packets.
    Track(Track),
    /// Media.
    Packet(MediaPacket),
    /// Whoever makes this track is asked for a keyframe, soon.
    KeyframeWanted {
        /// The track's number.
        track: u8,
    },
    /// Whoever encodes this track is asked for another bitrate.
    BitrateWanted {
        /// The track's number.
        track: u8,
        /// Bits a second.
        bits_per_second: u32,
    },
    /// Something happened.
    Event {
        /// What.
        event: Box<Event>,
        /// A picture, where the event has one.
        attachment: Bytes,
    },
    /// The worker's graph with its counters, as JSON of `media/flow`'s description.
    Graph(Bytes),
    /// No more will come and nothing more is wanted: finish what you have, and end.
    Drain,
    /// The last word.
    End(Ending),
}
