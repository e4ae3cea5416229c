//! What one call of a decoder found.

use std::ops::Range;

/// One step through a message. `used` bytes of those shown are done with: the caller drops them
/// from the front before the next call.
#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant, reason = "heads live on the stack; boxing would allocate")]
pub enum Step<H> {
    /// Nothing was consumed and nothing more can be said. Show the same bytes again with more
    /// behind them.
    Need,
    /// A head, complete and checked. Its body follows, then [`Step::End`] (also without a body).
    Head {
        /// The head; it borrows from the bytes shown.
        head: H,
        /// Bytes to drop.
        used: usize,
    },
    /// A piece of the body. It is empty when only chunk framing was read.
    Body {
        /// The payload, inside the bytes shown.
        range: Range<usize>,
        /// Bytes to drop, `range` included.
        used: usize,
    },
    /// The message is complete; the next may follow on the same connection.
    End {
        /// Bytes to drop.
        used: usize,
    },
}
