//! Where a body ends (RFC 9112 §6, §7): by length, by chunks, by the end of the connection, or at
//! once.
//!
//! Invariants: chunk framing is read byte by byte and consumed as it comes, so a body needs no
//! buffer and nothing is ever read twice; payload is handed out as ranges and never copied;
//! extension bytes count as payload, so tiny chunks with long extensions gain nothing.

use std::ops::Range;

use crate::headers::is_token_byte;
use crate::limits::Limits;

/// How the length of a body is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyKind {
    /// There is none, or (a `PUT` or `SOURCE` without a length) the service reads the connection
    /// itself.
    None,
    /// `Content-Length`, in bytes.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
    /// Responses only: until the connection closes.
    UntilClose,
}

/// Walks through one body.
#[derive(Debug, Clone)]
pub(crate) struct Body {
    framing: Framing,
    /// Payload bytes that may still come.
    budget_bytes: u64,
}

#[derive(Debug)]
pub(crate) enum Piece {
    Need,
    Payload { range: Range<usize>, used: usize },
    End { used: usize },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyError {
    TooLarge,
    TrailerTooLarge,
    Malformed(&'static str),
}

#[derive(Debug, Clone)]
enum Framing {
    Length { left_bytes: u64 },
    Chunked(Chunked),
    UntilClose,
}

#[derive(Debug, Clone)]
struct Chunked {
    place: Place,
    /// The size being read, then what is left of the payload.
    left_bytes: u64,
    /// Bytes of the present size line, or of all trailers.
    line_bytes: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    SizeFirst,
    Size,
    Extension,
    SizeLf,
    Payload,
    PayloadCr,
    PayloadLf,
    TrailerFirst,
    TrailerName,
    TrailerValue,
    TrailerLf,
    EndLf,
}

impl Body {
    pub(crate) fn new(kind: BodyKind, body_bytes_max: u64) -> Body {
        let framing = match kind {
            BodyKind::None => Framing::Length { left_bytes: 0 },
            BodyKind::Length(length) => Framing::Length { left_bytes: length },
            BodyKind::Chunked => {
                Framing::Chunked(Chunked { place: Place::SizeFirst, left_bytes: 0, line_bytes: 0 })
            }
            BodyKind::UntilClose => Framing::UntilClose,
        };
        Body { framing, budget_bytes: body_bytes_max }
    }

    pub(crate) fn set_budget(&mut self, body_bytes_max: u64) {
        self.budget_bytes = body_bytes_max;
    }

    pub(crate) fn is_until_close(&self) -> bool {
        matches!(self.framing, Framing::UntilClose)
    }

    pub(crate) fn decode(&mut self, bytes: &[u8], limits: &Limits) -> Result<Piece, BodyError> {
        match &mut self.framing {
            Framing::Length { left_bytes: 0 } => Ok(Piece::End { used: 0 }),
            Framing::Length { left_bytes } if *left_bytes > self.budget_bytes => {
                Err(BodyError::TooLarge)
            }
            _ if bytes.is_empty() => Ok(Piece::Need),
            Framing::Length { left_bytes } => {
                let count = at_most(*left_bytes, bytes.len());
                *left_bytes -= count as u64;
                self.budget_bytes -= count as u64;
                Ok(Piece::Payload { range: 0..count, used: count })
            }
            Framing::Chunked(chunked) => chunked.decode(bytes, &mut self.budget_bytes, limits),
            Framing::UntilClose if self.budget_bytes == 0 => Err(BodyError::TooLarge),
            Framing::UntilClose => {
                let count = at_most(self.budget_bytes, bytes.len());
                self.budget_bytes -= count as u64;
                Ok(Piece::Payload { range: 0..count, used: count })
            }
        }
    }
}

impl Chunked {
    fn decode(
        &mut self,
        bytes: &[u8],
        budget_bytes: &mut u64,
        limits: &Limits,
    ) -> Result<Piece, BodyError> {
        let mut used = 0;
        while used < bytes.len() {
            if self.place == Place::Payload {
                let count = at_most(self.left_bytes, bytes.len() - used);
                self.left_bytes -= count as u64;
                if self.left_bytes == 0 {
                    self.place = Place::PayloadCr;
                }
                return Ok(Piece::Payload { range: used..used + count, used: used + count });
            }
            let byte = bytes[used];
            used += 1;
            if self.place == Place::EndLf {
                return match byte {
                    b'\n' => Ok(Piece::End { used }),
                    _ => Err(BodyError::Malformed("CR without LF after the last chunk")),
                };
            }
            self.place = match self.place {
                Place::PayloadCr if byte == b'\r' => Place::PayloadLf,
                Place::PayloadLf if byte == b'\n' => Place::SizeFirst,
                Place::PayloadCr | Place::PayloadLf => {
                    return Err(BodyError::Malformed("a chunk is longer than its size"));
                }
                Place::SizeFirst | Place::Size | Place::Extension | Place::SizeLf => {
                    self.size_line(byte, budget_bytes, limits)?
                }
                _ => self.trailer(byte, limits)?,
            };
        }
        // Framing alone is a step too: it is consumed, so that the caller need not keep it.
        Ok(if used == 0 { Piece::Need } else { Piece::Payload { range: used..used, used } })
    }

    /// One byte of `SIZE [;extension] CR LF`.
    fn size_line(
        &mut self,
        byte: u8,
        budget_bytes: &mut u64,
        limits: &Limits,
    ) -> Result<Place, BodyError> {
        if self.place == Place::SizeFirst {
            (self.left_bytes, self.line_bytes) = (0, 0);
        }
        self.line_bytes += 1;
        if self.line_bytes > limits.chunk_line_bytes_max {
            return Err(BodyError::Malformed("a chunk-size line is too long"));
        }
        match (self.place, byte) {
            (Place::SizeFirst | Place::Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                // Sixteen digits fill 64 bits; leading zeros beyond that serve nobody.
                if self.line_bytes > 16 {
                    return Err(BodyError::Malformed("a chunk size overflows"));
                }
                self.left_bytes = self.left_bytes << 4 | u64::from(hex_value(byte));
                Ok(Place::Size)
            }
            (Place::Size, b';') => Ok(Place::Extension),
            (Place::Size | Place::Extension, b'\r') => Ok(Place::SizeLf),
            (Place::Extension, b'\t' | 0x20..=0x7e | 0x80..) => {
                *budget_bytes = budget_bytes.checked_sub(1).ok_or(BodyError::TooLarge)?;
                Ok(Place::Extension)
            }
            (Place::SizeLf, b'\n') if self.left_bytes == 0 => {
                self.line_bytes = 0;
                Ok(Place::TrailerFirst)
            }
            (Place::SizeLf, b'\n') => {
                let left = budget_bytes.checked_sub(self.left_bytes);
                *budget_bytes = left.ok_or(BodyError::TooLarge)?;
                Ok(Place::Payload)
            }
            _ => Err(BodyError::Malformed("a chunk size is malformed")),
        }
    }

    /// One byte of the trailer section: `*( name ":" value CR LF ) CR LF`.
    fn trailer(&mut self, byte: u8, limits: &Limits) -> Result<Place, BodyError> {
        self.line_bytes += 1;
        if self.line_bytes > limits.trailer_bytes_max {
            return Err(BodyError::TrailerTooLarge);
        }
        match (self.place, byte) {
            (Place::TrailerFirst, b'\r') => Ok(Place::EndLf),
            (Place::TrailerFirst | Place::TrailerName, byte) if is_token_byte(byte) => {
                Ok(Place::TrailerName)
            }
            (Place::TrailerName, b':') => Ok(Place::TrailerValue),
            (Place::TrailerValue, b'\r') => Ok(Place::TrailerLf),
            (Place::TrailerValue, b'\t' | 0x20..=0x7e | 0x80..) => Ok(Place::TrailerValue),
            (Place::TrailerLf, b'\n') => Ok(Place::TrailerFirst),
            _ => Err(BodyError::Malformed("a trailer is malformed")),
        }
    }
}

fn at_most(left_bytes: u64, available: usize) -> usize {
    usize::try_from(left_bytes).unwrap_or(usize::MAX).min(available)
}

pub(crate) fn hex_value(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit.wrapping_sub(b'A').wrapping_add(10),
    }
}
