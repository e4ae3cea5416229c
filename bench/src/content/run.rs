//! The check of a listener: what it hears is one contiguous run of frames, wherever it began.
//!
//! *Invariant:* once in step, every byte is compared with the one byte that may stand there.

use super::frame::{self, FRAME_BYTES_MAX};

/// How much is looked at before a run must have been found: any two frames contain a whole one.
const SEARCH_BYTES: usize = 2 * FRAME_BYTES_MAX;

/// One listener's ears.
#[derive(Debug, Default)]
pub(crate) struct Run {
    /// Bytes heard before the run was found.
    search: Vec<u8>,
    /// The frame being heard, and how much of it has been.
    expected: Vec<u8>,
    heard: usize,
    next: Option<u64>,
    frames: u64,
    skipped_bytes: usize,
    failure: Option<String>,
}

impl Run {
    /// Hears more of the stream.
    pub(crate) fn hear(&mut self, mut bytes: &[u8]) {
        if self.failure.is_some() {
            return;
        }
        if self.next.is_none() {
            self.search.extend_from_slice(bytes);
            if self.search.len() < SEARCH_BYTES {
                return;
            }
            let search = std::mem::take(&mut self.search);
            if let Err(failure) = self.find(&search) {
                self.failure = Some(failure);
                return;
            }
            return self.hear(&search[self.skipped_bytes..]);
        }
        while !bytes.is_empty() {
            let length = bytes.len().min(self.expected.len() - self.heard);
            let (now, later) = bytes.split_at(length);
            if now != &self.expected[self.heard..self.heard + length] {
                return self.fail(now);
            }
            bytes = later;
            self.heard += length;
            if self.heard == self.expected.len() {
                self.frames += 1;
                self.expect();
            }
        }
    }

    /// Whole frames heard, in order and without a gap.
    pub(crate) fn frames(&self) -> u64 {
        self.frames
    }

    /// Bytes before the first whole frame: 0 when the stream began at a sync point.
    pub(crate) fn skipped_bytes(&self) -> usize {
        self.skipped_bytes
    }

    /// What was wrong, if anything was.
    pub(crate) fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// Finds the first whole frame; what is before it must be the end of the one before.
    fn find(&mut self, search: &[u8]) -> Result<(), String> {
        for start in 0..FRAME_BYTES_MAX {
            let Some(number) = frame::number_at(&search[start..]) else { continue };
            let mut before = Vec::new();
            if number > 0 {
                frame::write(number - 1, &mut before);
            }
            if !before.ends_with(&search[..start]) {
                return Err(format!(
                    "{start} bytes before frame {number} are not its forerunner's"
                ));
            }
            self.skipped_bytes = start;
            self.next = Some(number);
            self.expect();
            return Ok(());
        }
        Err(format!("no frame begins in the first {SEARCH_BYTES} bytes"))
    }

    fn expect(&mut self) {
        let number = self.next.expect("the run has been found");
        self.expected.clear();
        self.heard = 0;
        frame::write(number, &mut self.expected);
        self.next = Some(number + 1);
    }

    fn fail(&mut self, bytes: &[u8]) {
        let number = self.next.expect("the run has been found") - 1;
        let differs = bytes.iter().zip(&self.expected[self.heard..]).take_while(|(a, b)| a == b);
        let at = self.heard + differs.count();
        let instead = match frame::number_at(bytes) {
            Some(other) => format!("frame {other} begins there"),
            None => "something else stands there".to_owned(),
        };
        let frames = self.frames;
        self.failure = Some(format!("after {frames} frames, frame {number} byte {at}: {instead}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(numbers: std::ops::Range<u64>) -> Vec<u8> {
        let mut bytes = Vec::new();
        numbers.for_each(|number| frame::write(number, &mut bytes));
        bytes
    }

    fn heard(bytes: &[u8], step: usize) -> Run {
        let mut run = Run::default();
        bytes.chunks(step).for_each(|chunk| run.hear(chunk));
        run
    }

    #[test]
    fn a_run_is_heard_in_any_pieces_and_from_any_byte() {
        let bytes = stream(1_000..1_020);
        for step in [1, 7, 417, 1_400, 100_000] {
            let run = heard(&bytes, step);
            assert_eq!((run.failure(), run.frames(), run.skipped_bytes()), (None, 20, 0));
        }
        let run = heard(&bytes[100..], 417);
        assert_eq!((run.failure(), run.frames()), (None, 19));
        assert_eq!(run.skipped_bytes(), frame::length_of(1_000) - 100);
    }

    #[test]
    fn a_gap_a_repeat_and_a_changed_byte_are_noticed() {
        let mut gap = stream(5..10);
        gap.extend(stream(11..15));
        assert!(heard(&gap, 100_000).failure().unwrap().contains("frame 10"));
        let mut repeat = stream(5..10);
        repeat.extend(stream(9..15));
        assert!(heard(&repeat, 64).failure().is_some());
        let mut changed = stream(5..10);
        changed[1_500] ^= 1;
        assert!(heard(&changed, 64).failure().is_some());
        assert!(heard(&[0; 2_000], 64).failure().is_some());
    }
}
