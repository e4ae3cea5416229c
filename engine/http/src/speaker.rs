//! What is said to a WebSocket unasked: by another connection of the shard, by another shard, or
//! because it is time.
//!
//! ```text
//! a handler ─► Speaker::send ─► what was said ─► end of the tick ─► queue of each ─► send
//! ```
//!
//! *Invariant:* what waits for one client is bounded by the queue of its WebSocket, beyond which it
//! is closed; a tick sends to at most [`SAID_PER_TICK_MAX`] of them, the rest in the next.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use bytes::Bytes;
use protocol_ws::{CloseCode, FRAME_HEAD_BYTES_MAX, Kind, write_frame};
use shards_runtime::Token;

#[cfg(doc)]
use crate::limits::SAID_PER_TICK_MAX;

/// One message as it is on the wire: written once, for however many get it.
#[derive(Clone, Debug)]
pub struct Frame(Bytes);

impl Frame {
    /// Of this message.
    #[must_use]
    pub fn new(kind: Kind, payload: &[u8]) -> Frame {
        let mut frame = Vec::with_capacity(payload.len() + FRAME_HEAD_BYTES_MAX);
        write_frame(kind.into(), true, payload, None, &mut frame);
        Frame(frame.into())
    }
}

/// Says something to one WebSocket, at the end of the tick. Of one that is over it reaches nobody.
#[derive(Clone, Debug)]
pub struct Speaker {
    token: Token,
    said: Said,
}

/// What a WebSocket is told.
#[derive(Debug)]
pub(crate) enum Word {
    Frame(Bytes),
    Close(CloseCode, &'static str),
}

/// What a shard's handlers have said, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Said(Rc<RefCell<VecDeque<(Token, Word)>>>);

impl Speaker {
    /// Sends a message, which is not compressed. It goes before a close that was said already, so
    /// that who is refused can be told why.
    pub fn send(&self, frame: &Frame) {
        self.said.0.borrow_mut().push_back((self.token, Word::Frame(frame.0.clone())));
    }

    /// Closes behind what was sent.
    pub fn close(&self, code: CloseCode, reason: &'static str) {
        self.said.0.borrow_mut().push_back((self.token, Word::Close(code, reason)));
    }
}

impl Said {
    pub(crate) fn speaker(&self, token: Token) -> Speaker {
        Speaker { token, said: self.clone() }
    }

    pub(crate) fn next(&self) -> Option<(Token, Word)> {
        self.0.borrow_mut().pop_front()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }
}
