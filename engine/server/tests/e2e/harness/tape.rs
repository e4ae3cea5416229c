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

/// What was heard from the first whole frame on: with titles in it, a stream may begin inside one.
pub fn from_first_frame(bytes: &[u8]) -> &[u8] {
    let is_frame = |at: &usize| {
        bytes[*at..].starts_with(&HEADER)
            && bytes.get(at + MARK_AT..).is_some_and(|b| b.starts_with(MARK))
    };
    let start = (0..bytes.len()).find(is_frame).unwrap_or(bytes.len());
    assert!(start < FRAME_BYTES, "no frame in the first {start} bytes");
    &bytes[start..]
}

/// What was heard where a change of stream may cut a frame, and a title may come before the first.
///
/// # Panics
/// When more is missing in one place than a cut frame before it and one behind it.
#[track_caller]
pub fn runs_with_cuts(bytes: &[u8]) -> Vec<Run> {
    let mut runs = Vec::new();
    let mut rest = from_first_frame(bytes);
    while rest.len() >= FRAME_BYTES {
        let is_frame =
            |frame: &[u8]| frame.starts_with(&HEADER) && frame[MARK_AT..].starts_with(MARK);
        let whole = rest.chunks_exact(FRAME_BYTES).take_while(|frame| is_frame(frame)).count();
        // The last one may be cut behind its mark.
        let next = (1..rest.len()).map(|at| (whole * FRAME_BYTES).saturating_sub(FRAME_BYTES) + at);
        let starts = |at: &usize| {
            rest.get(*at..at + FRAME_BYTES).is_some_and(is_frame) && !at.is_multiple_of(FRAME_BYTES)
        };
        let next = next.take_while(|at| *at < rest.len()).find(starts);
        let Some(next) = next else {
            runs.extend(runs_of(&rest[..whole * FRAME_BYTES]));
            break;
        };
        let kept = whole.min(next / FRAME_BYTES);
        assert!(next - kept * FRAME_BYTES < 2 * FRAME_BYTES, "a gap of {next} bytes");
        runs.extend(runs_of(&rest[..kept * FRAME_BYTES]));
        rest = &rest[next..];
    }
    runs
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
