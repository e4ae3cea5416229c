//! Bodies that come in pieces, as the program has them and the client takes them.
//!
//! ```text
//! client takes ──► sent ──┐
//! program has ──► Waker ──┼──► Body::next ──► piece ──► one send, at most one under way
//! time ───────► deadline ─┘
//! ```
//!
//! *Invariant:* a body is asked for its next piece only where that can be sent, so a slow client
//! costs what its body keeps and nothing here; a shard asks at most [`WOKEN_PER_TICK_MAX`] bodies
//! in a tick because they were woken.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Instant;

use protocol_http::server::Connection;
use shards_runtime::Token;

use crate::program::{Block, Http};

/// A piece shorter than this is copied behind what is sent already, which costs less than one more
/// piece of the send.
const COPIED_BYTES_MAX: u64 = 1024;

/// The body of one answer.
pub trait Body<S> {
    /// The answer begins. Who has nothing to say now and then keeps the waker.
    fn begin(&mut self, waker: Waker) {
        drop(waker);
    }

    /// What comes next; asked for when the client can take more.
    fn next(&mut self, state: &mut S, now: Instant) -> More;

    /// When it wants to be asked again at the latest, after [`More::Later`]. A body that says
    /// nothing for longer than the site's bound for answers is cut off.
    fn deadline(&self) -> Option<Instant> {
        None
    }

    /// Whether it goes on until the client leaves. Then a client that ends its direction has left.
    fn is_lasting(&self) -> bool {
        false
    }
}

/// What a [`crate::Handler::Stream`] gives: the body of the answer that it began, if it did.
pub type Streamed<S> = Option<Box<dyn Body<S>>>;

/// What comes next of a body.
#[derive(Debug)]
pub enum More {
    /// These bytes; a [`Block`] may be that of many answers at once.
    Block(Block),
    /// Nothing for now: to be asked again when it is woken, or its deadline has come.
    Later,
    /// That was all.
    End,
    /// It will never be whole, and the client has to see that.
    Abort,
}

/// Has the body of one answer asked for more, at the end of the tick. Of an answer that is over it
/// wakes nobody.
#[derive(Clone, Debug)]
pub struct Waker(Rc<Sleeper>);

#[derive(Debug)]
struct Sleeper {
    token: Token,
    is_due: Cell<bool>,
    due: Due,
}

/// Who was woken, each once, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Due(Rc<RefCell<VecDeque<Waker>>>);

impl Waker {
    /// Wakes it.
    pub fn wake(&self) {
        if !self.0.is_due.replace(true) {
            self.0.due.0.borrow_mut().push_back(self.clone());
        }
    }
}

impl Due {
    pub(crate) fn next(&self) -> Option<Token> {
        let waker = self.0.borrow_mut().pop_front()?;
        waker.0.is_due.set(false);
        Some(waker.0.token)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    pub(crate) fn waker(&self, token: Token) -> Waker {
        Waker(Rc::new(Sleeper { token, is_due: Cell::new(false), due: self.clone() }))
    }
}

/// Sends what a body has, as far as the client takes it. Whether it is still needed.
pub(crate) fn go_on<S>(
    body: &mut dyn Body<S>,
    (state, now): (&mut S, Instant),
    connection: &mut Connection,
    http: &mut Http,
) -> bool {
    while connection.wants_body(http) {
        match body.next(state, now) {
            More::Block(block) if block.len_bytes() < COPIED_BYTES_MAX => {
                connection.send_body(http, block.as_slice());
            }
            More::Block(block) => {
                let bytes = block.len_bytes();
                connection.send_piece(http, block, bytes);
            }
            More::Later => break,
            More::End => connection.end_body(http),
            More::Abort => connection.abort(),
        }
    }
    connection.is_in_body()
}
