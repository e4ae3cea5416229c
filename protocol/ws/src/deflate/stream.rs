//! Messages through a context, one direction each.

use flate2::{Compress, Decompress, FlushCompress, FlushDecompress, Status};

use super::contexts::{Contexts, Lent};
use super::{Direction, TAIL};
use crate::malformed::Malformed;

/// Room that an output is first given beyond what it holds.
const ROOM_BYTES_MIN: usize = 1024;

/// Our messages.
#[derive(Debug)]
pub(crate) struct Deflating {
    direction: Direction,
    contexts: Contexts,
    kept: Option<Lent<Compress>>,
}

impl Deflating {
    pub(super) fn new(direction: Direction, contexts: Contexts) -> Deflating {
        Deflating { direction, contexts, kept: None }
    }

    /// Appends a message, compressed. False, and nothing appended, when no context is left or it
    /// does not get shorter: send it as it is.
    pub(crate) fn message(&mut self, payload: &[u8], out: &mut Vec<u8>) -> bool {
        let lent = self.kept.take();
        let Some(mut lent) =
            lent.or_else(|| self.contexts.lend_deflating(self.direction.window_bits))
        else {
            return false;
        };
        let start = out.len();
        deflate(lent.get(), payload, out);
        let is_shorter = out.len() - start < payload.len();
        if self.direction.keeps_context && is_shorter {
            self.kept = Some(lent);
        } else if self.direction.keeps_context {
            // The other end will not see it, so nothing may refer to it.
            lent.get().reset();
            self.kept = Some(lent);
        }
        if !is_shorter {
            out.truncate(start);
        }
        is_shorter
    }
}

fn deflate(context: &mut Compress, mut payload: &[u8], out: &mut Vec<u8>) {
    loop {
        if out.capacity() - out.len() < TAIL.len() + 2 {
            out.reserve((payload.len() / 2).max(ROOM_BYTES_MIN));
        }
        let before = context.total_in();
        let status = context.compress_vec(payload, out, FlushCompress::Sync);
        assert!(!matches!(status, Err(_) | Ok(Status::StreamEnd)), "a sync flush does not fail");
        payload = &payload[(context.total_in() - before) as usize..];
        // Room that is left says that the flush is complete.
        if payload.is_empty() && out.len() < out.capacity() {
            break;
        }
    }
    assert!(out.ends_with(&TAIL), "a sync flush ends with an empty block");
    out.truncate(out.len() - TAIL.len());
}

/// The other end's messages, inflated as their pieces come.
#[derive(Debug)]
pub(crate) struct Inflating {
    direction: Direction,
    contexts: Contexts,
    context: Option<Lent<Decompress>>,
    /// The last block said that it is the last of all (RFC 7692 §7.2.3.4) and nothing came behind.
    has_ended: bool,
}

impl Inflating {
    pub(super) fn new(direction: Direction, contexts: Contexts) -> Inflating {
        Inflating { direction, contexts, context: None, has_ended: false }
    }

    /// Inflates the next piece of a message behind what is inflated of it, up to a byte more than
    /// `bytes_max`.
    pub(crate) fn piece(
        &mut self,
        piece: &[u8],
        is_last: bool,
        bytes_max: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), Malformed> {
        if self.context.is_none() {
            self.context = self.contexts.lend_inflating(self.direction.window_bits);
        }
        self.inflate(piece, bytes_max, out)?;
        if is_last {
            if !self.has_ended {
                self.inflate(&TAIL, bytes_max, out)?;
            }
            if !self.direction.keeps_context {
                self.context = None;
            }
        }
        Ok(())
    }

    fn inflate(
        &mut self,
        mut input: &[u8],
        bytes_max: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), Malformed> {
        let lent = self.context.as_mut().ok_or(Malformed::NoContext)?;
        let window_bytes = 1 << lent.window_bits();
        while !input.is_empty() || out.len() == out.capacity() && !self.has_ended {
            if out.len() == out.capacity() {
                let room_bytes = (bytes_max + 1).saturating_sub(out.len());
                let grown_bytes = out.len().max(input.len() * 2).max(ROOM_BYTES_MIN);
                out.reserve_exact(grown_bytes.min(room_bytes));
            }
            let context = lent.get();
            let (total_in, length) = (context.total_in(), out.len());
            let status = context.decompress_vec(input, out, FlushDecompress::Sync);
            let used = (context.total_in() - total_in) as usize;
            input = &input[used..];
            self.has_ended = false;
            if out.len() > bytes_max {
                return Err(Malformed::MessageTooLong);
            }
            match status {
                Err(_) => return Err(Malformed::NotDeflate),
                Ok(Status::StreamEnd) => {
                    // Another stream may follow, which may refer to this one. Only this message is
                    // still there to refer to.
                    context.reset(false);
                    let window = &out[out.len().saturating_sub(window_bytes)..];
                    if !window.is_empty() {
                        context.set_dictionary(window).map_err(|_| Malformed::NotDeflate)?;
                    }
                    self.has_ended = input.is_empty();
                }
                Ok(_) if used == 0 && out.len() == length => {
                    // Nothing read and nothing written, with room for both: it wants no more.
                    return if input.is_empty() { Ok(()) } else { Err(Malformed::NotDeflate) };
                }
                Ok(_) => {}
            }
        }
        Ok(())
    }
}
