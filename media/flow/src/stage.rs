//! What a stage is: [`Inspect`] and [`Convert`] are lent a packet, [`Retain`] is given it.

use std::collections::VecDeque;
use std::error::Error;
use std::fmt;
use std::time::Instant;

use crate::Packet;

/// What a stage fails with: it ends the graph, which tells it ([`End::Failed`]).
pub type StageError = Box<dyn Error + Send + Sync>;

/// Which of a stage's incoming edges a packet came by, in the order in which they were joined.
pub type Port = usize;

/// What becomes of a packet that was inspected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on.
    Pass,
    /// It ends here, and is counted as `ended_here`.
    Drop,
}

/// Whether a stage has given all that it held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// Ask again: when what this call emitted is on its way, or, if it emitted nothing, at the
    /// stage's deadline or after [`Input::Ready`](crate::Input).
    More,
    /// There is no more.
    Done,
}

/// A stage that looks at a packet which passes by: meters, filters, detectors.
///
/// It runs inside the call that brought the packet; nothing is allocated or counted for it.
pub trait Inspect<P: Packet> {
    /// Looks at a packet.
    ///
    /// # Errors
    /// Ends the graph.
    fn handle(
        &mut self,
        now: Instant,
        port: Port,
        packet: P::View<'_>,
    ) -> Result<Verdict, StageError>;

    /// The last call, once, after everything upstream was closed.
    fn close(&mut self, _now: Instant, _end: &End) {}
}

/// A stage that reads a packet and makes others of it: decoders, encoders, multiplexers.
pub trait Convert<P: Packet> {
    /// The most packets that one call emits. More ends the graph.
    fn burst_max(&self) -> usize {
        1
    }

    /// Reads a packet.
    ///
    /// # Errors
    /// Ends the graph.
    fn handle(
        &mut self,
        now: Instant,
        port: Port,
        packet: P::View<'_>,
        out: &mut Out<'_, P>,
    ) -> Result<(), StageError>;

    /// When it wants [`Convert::on_deadline`].
    fn deadline(&self) -> Option<Instant> {
        None
    }

    /// Its deadline has passed: it emits something, or moves the deadline past `now`.
    ///
    /// # Errors
    /// Ends the graph.
    fn on_deadline(&mut self, _now: Instant, _out: &mut Out<'_, P>) -> Result<(), StageError> {
        Ok(())
    }

    /// Nothing more comes in: gives what it still holds, in as many calls as it takes.
    ///
    /// # Errors
    /// Ends the graph.
    fn finish(&mut self, _now: Instant, _out: &mut Out<'_, P>) -> Result<Finish, StageError> {
        Ok(Finish::Done)
    }

    /// The last call, once, after everything upstream was closed.
    fn close(&mut self, _now: Instant, _end: &End) {}
}

/// A stage that is given packets and may keep them: jitter buffers, interleavers, writers.
///
/// Only a queue leads to it, so who retains is seen where the graph is joined.
pub trait Retain<P: Packet> {
    /// The most packets that one call emits. More ends the graph.
    fn burst_max(&self) -> usize {
        1
    }

    /// Whether it would take a packet of this port now. What it does not take stays in the queue.
    ///
    /// It is asked again after each of its own calls and after [`Input::Ready`](crate::Input).
    fn has_room(&self, _port: Port) -> bool {
        true
    }

    /// Takes a packet.
    ///
    /// # Errors
    /// Ends the graph.
    fn handle(
        &mut self,
        now: Instant,
        port: Port,
        packet: P,
        out: &mut Out<'_, P>,
    ) -> Result<(), StageError>;

    /// When it wants [`Retain::on_deadline`].
    fn deadline(&self) -> Option<Instant> {
        None
    }

    /// Its deadline has passed: it emits something, or moves the deadline past `now`.
    ///
    /// # Errors
    /// Ends the graph.
    fn on_deadline(&mut self, _now: Instant, _out: &mut Out<'_, P>) -> Result<(), StageError> {
        Ok(())
    }

    /// A port will bring no more: an interleaver need not wait for it any longer.
    fn on_port_end(&mut self, _port: Port) {}

    /// Nothing more comes in: gives what it still holds, in as many calls as it takes.
    ///
    /// # Errors
    /// Ends the graph.
    fn finish(&mut self, _now: Instant, _out: &mut Out<'_, P>) -> Result<Finish, StageError> {
        Ok(Finish::Done)
    }

    /// The last call, once, after everything upstream was closed.
    fn close(&mut self, _now: Instant, _end: &End) {}
}

/// Where a stage puts what it makes. It holds one call's packets until the edges have room.
#[derive(Debug)]
pub struct Out<'a, P> {
    pub(crate) pending: &'a mut VecDeque<P>,
    pub(crate) burst_max: usize,
    pub(crate) emitted_count: usize,
}

impl<P> Out<'_, P> {
    /// Sends a packet on to all edges of the stage, in the order of these calls.
    ///
    /// Beyond the stage's `burst_max` the packet is not kept and the graph ends.
    pub fn emit(&mut self, packet: P) {
        self.emitted_count += 1;
        if self.emitted_count <= self.burst_max {
            self.pending.push_back(packet);
        }
    }
}

/// How a graph ended.
#[derive(Debug)]
pub enum End {
    /// All sources ended, and all that was in flight was delivered.
    Drained,
    /// The driver stopped it; what was in flight is discarded and counted.
    Stopped,
    /// A stage failed; what was in flight is discarded and counted.
    Failed {
        /// The name of the stage.
        stage: String,
        /// What it failed with.
        cause: Fault,
    },
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Drained => f.write_str("drained"),
            End::Stopped => f.write_str("stopped"),
            End::Failed { stage, cause } => write!(f, "`{stage}` failed: {cause}"),
        }
    }
}

/// Why a stage ended its graph.
#[derive(Debug)]
pub enum Fault {
    /// It said so.
    Stage(StageError),
    /// It emitted more in one call than its `burst_max`.
    Burst {
        /// What it emitted.
        emitted_count: usize,
        /// What it had promised.
        burst_max: usize,
    },
    /// Its packet can never enter a queue that waits, as it is larger than the queue's byte bound.
    Oversized {
        /// The stage behind the queue.
        to: String,
        /// What the packet counts for.
        size_bytes: usize,
    },
    /// At its deadline it emitted nothing and did not move the deadline past `now`.
    NoProgress,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Stage(error) => error.fmt(f),
            Fault::Burst { emitted_count, burst_max } => {
                write!(f, "it emitted {emitted_count} packets in one call, at most {burst_max}")
            }
            Fault::Oversized { to, size_bytes } => {
                write!(f, "a packet of {size_bytes} bytes can never enter the queue to `{to}`")
            }
            Fault::NoProgress => f.write_str("it did nothing at its deadline"),
        }
    }
}

impl Error for Fault {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Fault::Stage(error) => Some(&**error),
            _ => None,
        }
    }
}
