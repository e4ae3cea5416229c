//! The framer: collects pushed bytes, finds out what they are, and drives the format's parser.
//!
//! Invariants: a step of a parser uses at least one byte, or waits for more; a parser never waits
//! for more than the limits allow; so neither time nor memory is unbounded, whatever comes.

use crate::flac::Flac;
use crate::frames::Frames;
use crate::matroska::Matroska;
use crate::ogg::Ogg;
use crate::output::{AudioInfo, Counters, Output, Shared, Unit};
use crate::sniff::{self, Sniffed};
use crate::wav::Wav;
use crate::{Format, bits};

/// Bounds on what a framer holds.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The longest unit that is kept whole: a FLAC frame beyond it is dropped, a Matroska block
    /// beyond it is passed on in pieces. Ogg pages (65,307 bytes at most) always fit.
    pub unit_bytes_max: usize,
    /// The longest set of headers; a link that needs more is refused.
    pub header_bytes_max: usize,
    /// The longest comment that is searched for a title.
    pub comment_bytes_max: usize,
    /// Logical streams multiplexed in one Ogg link.
    pub streams_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            unit_bytes_max: 256 * 1024,
            header_bytes_max: 1024 * 1024,
            comment_bytes_max: 64 * 1024,
            streams_max: 16,
        }
    }
}

/// Cuts a source's byte stream into units and knows where a decoder may start.
#[derive(Debug)]
pub struct Framer {
    limits: Limits,
    seed: u64,
    state: State,
    /// Bytes pushed and not yet used.
    pending: Vec<u8>,
    /// Bytes to drop before anything else is parsed (an ID3 tag).
    skip_bytes: u64,
    shared: Shared,
}

#[derive(Debug)]
enum State {
    /// Nothing is known but what the source said.
    Sniffing(Format),
    Parsing(Parser),
}

#[derive(Debug)]
enum Parser {
    Frames(Frames),
    Ogg(Box<Ogg>),
    Flac(Box<Flac>),
    Wav(Wav),
    Matroska(Box<Matroska>),
    Plain,
}

/// Input is taken in pieces of this size, so that a large push needs no large buffer.
const PIECE_BYTES: usize = 16 * 1024;

impl Framer {
    /// A framer for a stream that is said to be `format`. The bytes have the last word: see
    /// [`Framer::format`]. `seed` gives the serial numbers of an Ogg mount; use another one for
    /// each source of a mount.
    pub fn new(format: Format, limits: Limits, seed: u64) -> Framer {
        Framer {
            limits,
            seed,
            state: State::Sniffing(format),
            pending: Vec::new(),
            skip_bytes: 0,
            shared: Shared::default(),
        }
    }

    /// Takes bytes in any fragmentation and gives `sink` every unit that they complete, in order.
    /// In [`Format::Plain`] a unit is what was pushed, 16 KiB at most.
    pub fn push(&mut self, input: &[u8], sink: &mut dyn FnMut(Unit<'_>)) {
        self.shared.counters.bytes_in += input.len() as u64;
        for piece in input.chunks(PIECE_BYTES) {
            if matches!(self.state, State::Parsing(Parser::Plain)) && self.pending.is_empty() {
                Output { shared: &mut self.shared, sink }.unit(piece, true);
            } else {
                self.pending.extend_from_slice(piece);
                self.drain(false, sink);
            }
        }
    }

    /// The source has left: gives out what is complete now that nothing can follow (a stream too
    /// short to prove itself before, a last FLAC frame, the prelude with it).
    pub fn finish(&mut self, sink: &mut dyn FnMut(Unit<'_>)) {
        self.drain(true, sink);
        let rest = std::mem::take(&mut self.pending);
        self.shared.counters.bytes_dropped += rest.len() as u64;
    }

    /// What the stream is: what the source said until the first bytes were seen, then what they
    /// are. An MP3 mount whose bytes are AAC (ffmpeg's default type) turns into [`Format::Adts`].
    pub fn format(&self) -> Format {
        match &self.state {
            State::Sniffing(declared) => *declared,
            State::Parsing(Parser::Frames(frames)) => frames.format(),
            State::Parsing(Parser::Ogg(_)) => Format::Ogg,
            State::Parsing(Parser::Flac(_)) => Format::Flac,
            State::Parsing(Parser::Wav(_)) => Format::Wav,
            State::Parsing(Parser::Matroska(_)) => Format::Matroska,
            State::Parsing(Parser::Plain) => Format::Plain,
        }
    }

    /// What has been seen so far.
    pub fn counters(&self) -> Counters {
        self.shared.counters
    }

    /// The newest title found inside the stream (`artist - title`), given once. It is empty where a
    /// new link has none, so that the last link's does not stay.
    pub fn title(&mut self) -> Option<String> {
        self.shared.title.take()
    }

    /// What the audio is, once the stream has said it.
    pub fn audio(&self) -> Option<AudioInfo> {
        self.shared.audio()
    }

    /// Bytes held because their unit is not complete.
    pub fn pending_bytes(&self) -> usize {
        self.pending.len()
    }

    fn drain(&mut self, at_end: bool, sink: &mut dyn FnMut(Unit<'_>)) {
        let mut at = 0;
        while at < self.pending.len() {
            let used = self.step(at, at_end, sink);
            assert!(used <= self.pending.len() - at, "a parser used what is not there");
            if used == 0 {
                break;
            }
            at += used;
        }
        self.pending.drain(..at);
    }

    /// One step of whatever is at work, on the pending bytes from `at` on. Returns how many it
    /// used; 0 where it waits for more.
    fn step(&mut self, at: usize, at_end: bool, sink: &mut dyn FnMut(Unit<'_>)) -> usize {
        let pending = &self.pending[at..];
        let mut output = Output { shared: &mut self.shared, sink };
        if self.skip_bytes > 0 {
            let used = pending.len().min(usize::try_from(self.skip_bytes).unwrap_or(usize::MAX));
            self.skip_bytes -= used as u64;
            output.dropped(used);
            return used;
        }
        if let State::Sniffing(declared) = self.state {
            match sniff::look(pending, declared, at_end) {
                Sniffed::Wait => return 0,
                Sniffed::Tag(tag_bytes) => {
                    self.skip_bytes = tag_bytes;
                    return self.step(at, at_end, sink);
                }
                Sniffed::Is(format) => {
                    self.state = State::Parsing(Parser::new(format, &self.limits, self.seed));
                }
            }
        }
        let State::Parsing(parser) = &mut self.state else { return 0 };
        match parser {
            Parser::Frames(frames) => frames.step(pending, at_end, &mut output),
            Parser::Ogg(ogg) => ogg.step(pending, at_end, &mut output),
            Parser::Flac(flac) => flac.step(pending, at_end, &mut output),
            Parser::Wav(wav) => wav.step(pending, at_end, &mut output),
            Parser::Matroska(matroska) => matroska.step(pending, &mut output),
            Parser::Plain => {
                output.unit(pending, true);
                pending.len()
            }
        }
    }
}

impl Parser {
    fn new(format: Format, limits: &Limits, seed: u64) -> Parser {
        match format {
            Format::Mpeg | Format::Adts => Parser::Frames(Frames::new(format)),
            Format::Ogg => Parser::Ogg(Box::new(Ogg::new(limits, bits::mix(seed)))),
            Format::Flac => Parser::Flac(Box::new(Flac::new(limits))),
            Format::Wav => Parser::Wav(Wav::default()),
            Format::Matroska => Parser::Matroska(Box::new(Matroska::new(limits))),
            Format::Plain => Parser::Plain,
        }
    }
}
