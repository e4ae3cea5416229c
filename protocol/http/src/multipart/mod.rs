//! `multipart/form-data` (RFC 7578) as it comes in: heads of parts and ranges of their bytes.
//!
//! Driven like the request decoder: the unread bytes of the body are shown, what a step calls
//! `used` is dropped from their front, and `Need` asks for more behind them.
//!
//! ```
//! use protocol_http::{MultipartDecoder, MultipartLimits, MultipartStep};
//!
//! let mut decoder = MultipartDecoder::new("x", MultipartLimits::default()).unwrap();
//! let mut unread: &[u8] = b"--x\r\nContent-Disposition: form-data; name=\"title\"\r\n\r\n\
//!     Blue\r\n--x--\r\n";
//! let mut title = Vec::new();
//! loop {
//!     match decoder.decode(unread).unwrap() {
//!         MultipartStep::Need => break,
//!         MultipartStep::Part { part, used } => {
//!             assert_eq!(part.name, "title");
//!             unread = &unread[used..];
//!         }
//!         MultipartStep::Data { range, used } => {
//!             title.extend_from_slice(&unread[range]);
//!             unread = &unread[used..];
//!         }
//!         MultipartStep::PartEnd { used } | MultipartStep::End { used } => {
//!             unread = &unread[used..];
//!         }
//!     }
//! }
//! assert!(decoder.finish().is_ok() && title == b"Blue");
//! ```
//!
//! Invariants: every step but `Need` goes forward; `Need` leaves no more unread than the head of a
//! part may have, and a boundary; the same bytes give the same parts however they were cut; nothing
//! of a part is buffered here.
//!
//! *One reading.* A filter in front and we must not see different parts, so what RFC 2046 leaves
//! loose is refused: a preamble, an epilogue, blanks behind a boundary, a bare LF, a part without a
//! name, a name given twice.

mod part;

use std::ops::Range;

pub use part::{Part, safe_file_name};

use crate::status::{Refused, Status};

/// Longest boundary (RFC 2046 §5.1.1), in bytes.
const BOUNDARY_BYTES_MAX: usize = 70;

/// What a form may have. How long the whole body may be is the request decoder's limit.
#[derive(Debug, Clone, Copy)]
pub struct MultipartLimits {
    /// Most parts: 413 beyond.
    pub parts_count_max: usize,
    /// Longest head of a part in bytes, blank line included: 431 beyond.
    pub head_bytes_max: usize,
    /// Longest part in bytes of payload: 413 beyond.
    pub part_bytes_max: u64,
}

impl Default for MultipartLimits {
    fn default() -> MultipartLimits {
        MultipartLimits { parts_count_max: 64, head_bytes_max: 2048, part_bytes_max: 1 << 20 }
    }
}

/// What one call found.
#[derive(Debug)]
pub enum MultipartStep<'b> {
    /// Nothing more can be said: show the same bytes again with more behind them. When the body has
    /// ended, call [`finish`](MultipartDecoder::finish).
    Need,
    /// A part begins.
    Part {
        /// What its head says; it borrows from the bytes shown.
        part: Part<'b>,
        /// Bytes to drop.
        used: usize,
    },
    /// Bytes of the part; never empty.
    Data {
        /// The payload, inside the bytes shown.
        range: Range<usize>,
        /// Bytes to drop.
        used: usize,
    },
    /// The part is complete.
    PartEnd {
        /// Bytes to drop.
        used: usize,
    },
    /// The form is complete. Said once more for the line end that may follow it.
    End {
        /// Bytes to drop.
        used: usize,
    },
}

/// Reads one form.
#[derive(Debug, Clone)]
pub struct MultipartDecoder {
    /// CR LF, two dashes and the boundary: what ends a part's payload.
    delimiter: Vec<u8>,
    limits: MultipartLimits,
    state: State,
    parts_count: usize,
    /// Payload bytes that the present part may still have.
    budget_bytes: u64,
    /// Bytes of an incomplete head that hold no end of it.
    searched_bytes: usize,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// Before the first delimiter, whose CR LF may be missing.
    Start,
    /// Behind a delimiter: CR LF and a part, or two dashes and the end.
    Delimiter,
    Data,
    /// Behind the last delimiter; so many bytes of its CR LF were seen.
    Last(usize),
    Failed(Refused),
}

impl MultipartDecoder {
    /// A decoder for a body with this boundary.
    ///
    /// # Errors
    ///
    /// 400 when it is no boundary: 1 to 70 characters of RFC 2046's, the last no blank.
    pub fn new(boundary: &str, limits: MultipartLimits) -> Result<MultipartDecoder, Refused> {
        let is_allowed =
            |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&byte);
        let is_boundary = (1..=BOUNDARY_BYTES_MAX).contains(&boundary.len())
            && boundary.bytes().all(is_allowed)
            && !boundary.ends_with(' ');
        if !is_boundary {
            return Err(Refused::bad("the form has no usable boundary"));
        }
        Ok(MultipartDecoder {
            delimiter: [b"\r\n--", boundary.as_bytes()].concat(),
            limits,
            state: State::Start,
            parts_count: 0,
            budget_bytes: 0,
            searched_bytes: 0,
        })
    }

    /// Looks at the unread bytes of the body.
    ///
    /// # Errors
    ///
    /// [`Refused`] is final: every later call repeats it.
    pub fn decode<'b>(&mut self, bytes: &'b [u8]) -> Result<MultipartStep<'b>, Refused> {
        let step = match self.state {
            State::Start => match self.first_delimiter(bytes) {
                Ok(None) => Ok(MultipartStep::Need),
                Ok(Some(start_bytes)) => self.behind_delimiter(bytes, start_bytes),
                Err(refused) => Err(refused),
            },
            State::Delimiter => self.behind_delimiter(bytes, 0),
            State::Data => self.data(bytes),
            State::Last(seen_bytes) => self.last(bytes, seen_bytes),
            State::Failed(refused) => Err(refused),
        };
        if let Err(refused) = &step {
            self.state = State::Failed(*refused);
        }
        step
    }

    /// Told that the body has ended, behind all bytes shown.
    ///
    /// # Errors
    ///
    /// 400 when the form is cut off.
    pub fn finish(&self) -> Result<(), Refused> {
        match self.state {
            State::Last(0 | 2) => Ok(()),
            State::Failed(refused) => Err(refused),
            _ => Err(Refused::bad("the form is cut off")),
        }
    }

    /// How long the first delimiter is; `None` when it is not there as a whole.
    fn first_delimiter(&self, bytes: &[u8]) -> Result<Option<usize>, Refused> {
        let without_line_end = &self.delimiter[2..];
        let wanted = if bytes.starts_with(b"\r") { &self.delimiter } else { without_line_end };
        let seen_bytes = bytes.len().min(wanted.len());
        if bytes[..seen_bytes] != wanted[..seen_bytes] {
            return Err(Refused::bad("the form does not begin with its boundary"));
        }
        Ok((seen_bytes == wanted.len()).then_some(seen_bytes))
    }

    /// A delimiter ends at `at`. Nothing is taken before it is known what follows it.
    fn behind_delimiter<'b>(
        &mut self,
        bytes: &'b [u8],
        at: usize,
    ) -> Result<MultipartStep<'b>, Refused> {
        match &bytes[at..] {
            [b'\r', b'\n', ..] => self.head(bytes, at + 2),
            [b'-', b'-', ..] => {
                self.state = State::Last(0);
                Ok(MultipartStep::End { used: at + 2 })
            }
            [] | [b'\r'] | [b'-'] => Ok(MultipartStep::Need),
            _ => Err(Refused::bad("a boundary is followed by something else")),
        }
    }

    /// The head of a part begins at `at`.
    fn head<'b>(&mut self, bytes: &'b [u8], at: usize) -> Result<MultipartStep<'b>, Refused> {
        if self.parts_count >= self.limits.parts_count_max {
            return Err(Refused::new(Status::CONTENT_TOO_LARGE, "the form has too many parts"));
        }
        let lines = &bytes[at..];
        let window = &lines[..lines.len().min(self.limits.head_bytes_max)];
        // A blank line may lie across what was searched and what is new.
        let from = self.searched_bytes.saturating_sub(3).min(window.len());
        let found = window[from..].windows(4).position(|four| four == b"\r\n\r\n");
        let Some(found) = found else {
            if lines.len() >= self.limits.head_bytes_max {
                let reason = "the head of a part is longer than the limit";
                return Err(Refused::new(Status::HEADERS_TOO_LARGE, reason));
            }
            if window.starts_with(b"\r\n") {
                return Err(part::NO_NAME);
            }
            self.searched_bytes = window.len();
            return Ok(MultipartStep::Need);
        };
        let head_bytes = from + found + 4;
        let part = Part::parse(&window[..head_bytes])?;
        self.searched_bytes = 0;
        self.parts_count += 1;
        self.budget_bytes = self.limits.part_bytes_max;
        self.state = State::Data;
        Ok(MultipartStep::Part { part, used: at + head_bytes })
    }

    fn data<'b>(&mut self, bytes: &'b [u8]) -> Result<MultipartStep<'b>, Refused> {
        let payload_bytes = self.payload_bytes(bytes);
        if payload_bytes > 0 {
            let budget = usize::try_from(self.budget_bytes).unwrap_or(usize::MAX);
            if budget == 0 {
                let reason = "a part is longer than the limit";
                return Err(Refused::new(Status::CONTENT_TOO_LARGE, reason));
            }
            let count = payload_bytes.min(budget);
            self.budget_bytes -= count as u64;
            return Ok(MultipartStep::Data { range: 0..count, used: count });
        }
        if bytes.len() < self.delimiter.len() {
            return Ok(MultipartStep::Need);
        }
        self.state = State::Delimiter;
        Ok(MultipartStep::PartEnd { used: self.delimiter.len() })
    }

    /// How many of the bytes are payload for certain: up to what is, or may become, a delimiter.
    ///
    /// The comparisons are linear in all: the delimiter has a CR at its front and nowhere else, so
    /// what was compared for one CR is not compared for another.
    fn payload_bytes(&self, bytes: &[u8]) -> usize {
        let mut from = 0;
        while let Some(found) = bytes[from..].iter().position(|byte| *byte == b'\r') {
            let at = from + found;
            let candidate = &bytes[at..bytes.len().min(at + self.delimiter.len())];
            if self.delimiter.starts_with(candidate) {
                return at;
            }
            from = at + 1;
        }
        bytes.len()
    }

    /// One line end may stand behind the last delimiter.
    fn last<'b>(
        &mut self,
        bytes: &'b [u8],
        seen_bytes: usize,
    ) -> Result<MultipartStep<'b>, Refused> {
        let wanted = &b"\r\n"[seen_bytes..];
        if bytes.is_empty() {
            return Ok(MultipartStep::Need);
        }
        let count = bytes.len().min(wanted.len());
        if count < bytes.len() || bytes != &wanted[..count] {
            return Err(Refused::bad("something follows the end of the form"));
        }
        self.state = State::Last(seen_bytes + count);
        Ok(MultipartStep::End { used: count })
    }
}

#[cfg(test)]
mod tests;
