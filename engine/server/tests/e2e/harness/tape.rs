//! MP3 frames that carry a name and a number, so that a test knows what a listener heard.
//!
//! ```text
//!  FF FB 90 C4   32 bytes of side information, all zero   "tape" name:u32 number:u32   0…
//!  └ MPEG 1, layer III, 128 kbit/s, 44.1 kHz, mono: 417 bytes, 26.1 ms
//! ```
//!
//! The side information says that there is no audio in the frame, so decoders take what follows for
//! ancillary data and play silence: the frames are valid, and different.

/// Bytes of a frame.
pub const FRAME_BYTES: usize = 417;
/// Frames of one second, nearly.
pub const FRAMES_PER_SECOND: f64 = 44_100.0 / 1_152.0;

const HEADER: [u8; 4] = [0xff, 0xfb, 0x90, 0xc4];
const MARK: &[u8; 4] = b"tape";
const MARK_AT: usize = 4 + 32;

/// A stream of numbered frames.
#[derive(Clone, Debug)]
pub struct Tape {
    name: u32,
    next: u32,
}

impl Tape {
    /// A tape of this name, from its first frame.
    pub fn new(name: u32) -> Tape {
        Tape { name, next: 0 }
    }

    /// The next frames.
    pub fn frames(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(count * FRAME_BYTES);
        for _ in 0..count {
            let start = bytes.len();
            bytes.extend_from_slice(&HEADER);
            bytes.resize(start + MARK_AT, 0);
            bytes.extend_from_slice(MARK);
            bytes.extend_from_slice(&self.name.to_be_bytes());
            bytes.extend_from_slice(&self.next.to_be_bytes());
            bytes.resize(start + FRAME_BYTES, 0);
            self.next += 1;
        }
        bytes
    }
}

/// Frames of one tape that were heard one after the other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Run {
    /// The tape.
    pub name: u32,
    /// The first frame.
    pub first: u32,
    /// The last one.
    pub last: u32,
}

impl Run {
    /// How many frames it has.
    pub fn count(&self) -> u32 {
        self.last - self.first + 1
    }
}

/// What was heard: whole frames from the first byte on; the last may be cut off.
///
/// # Panics
/// When there is anything but frames.
#[track_caller]
pub fn runs_of(bytes: &[u8]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for (index, frame) in bytes.chunks(FRAME_BYTES).enumerate() {
        if frame.len() < FRAME_BYTES {
            break;
        }
        assert_eq!(frame[..4], HEADER, "byte {} starts no frame", index * FRAME_BYTES);
        assert_eq!(&frame[MARK_AT..MARK_AT + 4], MARK, "a frame that is no tape's");
        let number = |at: usize| u32::from_be_bytes(frame[at..at + 4].try_into().expect("four"));
        let (name, number) = (number(MARK_AT + 4), number(MARK_AT + 8));
        match runs.last_mut() {
            Some(run) if run.name == name && run.last + 1 == number => run.last = number,
            _ => runs.push(Run { name, first: number, last: number }),
        }
    }
    runs
}
