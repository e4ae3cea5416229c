//! Native FLAC (RFC 9639): metadata blocks, then frames. Each frame is a sync unit.
//!
//! ```text
//!  in    fLaC │ STREAMINFO │ comment │ pictures, padding, seek table … │ frame │ frame │ …
//!  out   fLaC │ STREAMINFO │ comment                                   │ frame │ frame │ …
//! ```
//!
//! A frame does not say its length: it ends where its CRC-16 comes out as 0 and another frame (or
//! another `fLaC`) begins, so a frame goes out when the next one's header is there. Every byte is
//! summed up once. A damaged frame is left behind as soon as the one after it proves whole.
//!
//! Invariants: the header out holds nothing that a live listener cannot use, its sample count and
//! its MD5 are "unknown"; at most `unit_bytes_max` are held.

mod frame;

use bytes::Bytes;

use crate::bits::{be32, find_marker};
use crate::output::{AudioInfo, Output};
use crate::{Limits, checksum, comment};
use frame::{HEADER_BYTES_MAX, Header};

const MAGIC: &[u8] = b"fLaC";
const STREAM_INFO_BYTES: usize = 34;

/// Finds the frames of a FLAC stream.
#[derive(Debug)]
pub(crate) struct Flac {
    unit_bytes_max: usize,
    comment_bytes_max: usize,
    state: State,
    info: Option<[u8; STREAM_INFO_BYTES]>,
    comment: Option<Vec<u8>>,
    /// The link's header has gone out.
    announced: bool,
    titled: bool,
    frame: Frame,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Waiting for `fLaC`.
    Outside,
    /// At a metadata block.
    Block,
    Skip {
        left: usize,
        last: bool,
    },
    /// Looking for a frame header.
    Hunting,
    /// A frame begins here.
    Frame,
}

/// How far the frame at the beginning of the pending bytes has been looked through.
#[derive(Debug, Default)]
struct Frame {
    key: [u8; 3],
    samples: u32,
    scanned: usize,
    checksum: u16,
    /// Another frame seems to begin within: where, its samples, and its checksum so far.
    within: Option<(usize, u32, u16)>,
}

/// What begins at a place within the scanned bytes.
enum Border {
    Wait,
    None,
    Frame(Header),
    Magic,
}

impl Flac {
    pub fn new(limits: &Limits) -> Flac {
        Flac {
            unit_bytes_max: limits.unit_bytes_max,
            comment_bytes_max: limits.comment_bytes_max.min(limits.header_bytes_max),
            state: State::Outside,
            info: None,
            comment: None,
            announced: false,
            titled: false,
            frame: Frame::default(),
        }
    }

    /// Uses up a block, a frame or garbage. Returns the bytes used; 0 to wait for more.
    pub fn step(&mut self, pending: &[u8], at_end: bool, output: &mut Output<'_>) -> usize {
        match self.state {
            State::Outside => self.outside(pending, output),
            State::Block => self.block(pending, output),
            State::Skip { left: 0, last } => {
                self.state = if last { State::Hunting } else { State::Block };
                self.step(pending, at_end, output)
            }
            State::Skip { left, last } => {
                let used = left.min(pending.len());
                self.state = State::Skip { left: left - used, last };
                output.dropped(used);
                used
            }
            State::Hunting => self.hunt(pending, at_end, output),
            State::Frame => self.scan(pending, at_end, output),
        }
    }

    fn outside(&mut self, pending: &[u8], output: &mut Output<'_>) -> usize {
        let start = find_marker(pending, &[MAGIC]);
        if start > 0 {
            output.dropped(start);
            return start;
        }
        if pending.len() < MAGIC.len() {
            return 0;
        }
        self.state = State::Block;
        self.info = None;
        self.comment = None;
        self.announced = false;
        MAGIC.len()
    }

    fn block(&mut self, pending: &[u8], output: &mut Output<'_>) -> usize {
        if pending.len() < 4 {
            return 0;
        }
        let length = (be32(pending, 0) & 0x00ff_ffff) as usize;
        let (last, kind) = (pending[0] & 0x80 != 0, pending[0] & 0x7f);
        let expected = match kind {
            0 => self.info.is_none() && length == STREAM_INFO_BYTES,
            127 => false,
            _ => self.info.is_some(),
        };
        if !expected {
            self.state = State::Outside;
            output.refused();
            output.dropped(1);
            return 1;
        }
        let wanted = kind == 0 || (kind == 4 && length <= self.comment_bytes_max);
        if !wanted {
            self.state = State::Skip { left: length, last };
            output.dropped(4);
            return 4;
        }
        let Some(body) = pending.get(4..4 + length) else { return 0 };
        if kind == 0 {
            self.info = body.first_chunk().copied();
        } else {
            self.comment = Some(body.to_vec());
        }
        self.state = State::Skip { left: 0, last };
        4 + length
    }

    /// Looks for a frame header (or the next link) from here on.
    fn hunt(&mut self, pending: &[u8], at_end: bool, output: &mut Output<'_>) -> usize {
        match border(pending, at_end) {
            Border::Wait => 0,
            Border::Magic => self.outside(pending, output),
            Border::Frame(header) => {
                self.begin_frame(&header);
                self.scan(pending, at_end, output)
            }
            Border::None => {
                let may_begin = |byte: &u8| *byte == 0xff || *byte == MAGIC[0];
                let next = pending[1..].iter().position(may_begin);
                let used = next.map_or(pending.len(), |next| next + 1);
                output.dropped(used);
                used
            }
        }
    }

    fn begin_frame(&mut self, header: &Header) {
        self.state = State::Frame;
        self.frame = Frame { key: header.key, samples: header.samples, ..Frame::default() };
    }

    /// Looks for the end of the frame that begins here, from where it last stopped.
    fn scan(&mut self, pending: &[u8], at_end: bool, output: &mut Output<'_>) -> usize {
        while self.frame.scanned < pending.len() {
            let at = self.frame.scanned;
            let border = if at == 0 { Border::None } else { border(&pending[at..], at_end) };
            match border {
                Border::Wait => return 0,
                Border::None => {}
                Border::Magic => {
                    if let Some(start) = self.whole_frame() {
                        self.emit(pending, start..at, output);
                        self.state = State::Outside;
                        return at;
                    }
                }
                Border::Frame(next) => {
                    if let Some(start) = self.whole_frame() {
                        self.emit(pending, start..at, output);
                        self.begin_frame(&next);
                        return at;
                    }
                    if self.frame.within.is_none() && next.key == self.frame.key {
                        self.frame.within = Some((at, next.samples, 0));
                    }
                }
            }
            self.frame.add(pending[at]);
            if self.frame.scanned > self.unit_bytes_max {
                self.state = State::Hunting;
                output.lost();
                output.dropped(self.frame.scanned);
                return self.frame.scanned;
            }
        }
        match self.whole_frame() {
            Some(start) if at_end => {
                self.emit(pending, start..pending.len(), output);
                self.state = State::Outside;
                pending.len()
            }
            _ => 0,
        }
    }

    /// Where the frame begins that is whole if it ends here.
    fn whole_frame(&self) -> Option<usize> {
        match self.frame.within {
            _ if self.frame.checksum == 0 => Some(0),
            Some((start, _, 0)) => Some(start),
            _ => None,
        }
    }

    fn emit(&mut self, pending: &[u8], range: std::ops::Range<usize>, output: &mut Output<'_>) {
        let mut samples = self.frame.samples;
        if range.start > 0 {
            output.lost();
            output.dropped(range.start);
            samples = self.frame.within.map_or(samples, |(_, samples, _)| samples);
        }
        self.announce(output);
        output.measure(range.len(), samples);
        output.unit(&pending[range], true);
    }

    /// Gives the header out before a link's first frame.
    fn announce(&mut self, output: &mut Output<'_>) {
        let Some(info) = self.info.filter(|_| !self.announced) else { return };
        self.announced = true;
        let header = Bytes::from(self.header(info));
        output.shared.counters.links += 1;
        output.unit(&header, false);
        output.prelude(header);
        output.audio(AudioInfo {
            sample_rate_hz: be32(&info, 10) >> 12,
            channels_count: (info[12] >> 1 & 7) + 1,
            bitrate_kbps: 0,
            codec: "flac",
        });
        let title = self.comment.as_deref().and_then(comment::title);
        if self.titled || title.is_some() {
            self.titled = title.is_some();
            output.title(title.unwrap_or_default());
        }
    }

    fn header(&self, mut info: [u8; STREAM_INFO_BYTES]) -> Vec<u8> {
        // Sample count (36 bits) and MD5 speak of a whole file.
        info[13] &= 0xf0;
        info[14..].fill(0);
        let comment = self.comment.as_deref();
        let mut header = MAGIC.to_vec();
        header.extend_from_slice(&[if comment.is_none() { 0x80 } else { 0 }, 0, 0, 34]);
        header.extend_from_slice(&info);
        if let Some(comment) = comment {
            // Came with a length of three bytes.
            header.extend_from_slice(&(0x8400_0000 | comment.len() as u32).to_be_bytes());
            header.extend_from_slice(comment);
        }
        header
    }
}

impl Frame {
    fn add(&mut self, byte: u8) {
        self.scanned += 1;
        self.checksum = checksum::flac_16(self.checksum, byte);
        if let Some((_, _, within)) = &mut self.within {
            *within = checksum::flac_16(*within, byte);
        }
    }
}

fn border(bytes: &[u8], at_end: bool) -> Border {
    match bytes.first() {
        Some(0xff) if bytes.get(1).is_none_or(|second| second & 0xfe == 0xf8) => {
            match frame::header(bytes) {
                Some(header) => Border::Frame(header),
                None if bytes.len() < HEADER_BYTES_MAX && !at_end => Border::Wait,
                None => Border::None,
            }
        }
        Some(b'f') if bytes.starts_with(MAGIC) => Border::Magic,
        Some(b'f') if MAGIC.starts_with(bytes) && !at_end => Border::Wait,
        _ => Border::None,
    }
}
