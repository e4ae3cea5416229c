//! Whole servers in a simulated world: their shards, control planes, sources, listeners and
//! operators run on one thread, in virtual time, in an order that one seed decides.
//!
//! ```
//! let seed = engine_sim::Seed(3);
//! let report = engine_sim::run(seed, engine_sim::Swarm::draw(seed.0));
//! assert_eq!(report.violation, None, "{report}");
//! ```
//!
//! The nodes and the control planes are the real ones; what is simulated is what is around them:
//! the kernel and the network (`shards-sim`), the threads (`run.rs`), and everybody who connects.
//!
//! | checker | what must hold |
//! |---|---|
//! | safety | what a listener heard is a run of what a source played, of a mount it may hear, title
//! blocks at their places (`heard.rs`) |
//! | fairness | dropped as slow only if a window behind, and then surely (`inspect.rs`) |
//! | liveness | without faults everybody hears what is played now and every request is answered |
//! | bounds | a tick sends no more than it may, windows and queues stay within theirs, tables agree
//! |
//! | talk | nothing reaches who shares no room with its sender, nor twice or out of order; what
//! must be heard is, and everybody knows who is there (`talk.rs`) |
//! | leak | after all have left, everything is as at the start |
//!
//! *Invariant:* equal seeds give equal runs ([`Report::trace_hash`]). A checker is done when faults
//! planted in the program are found by it (`mutants`, with the feature of that name).

mod caller;
mod content;
mod heard;
mod inspect;
mod listener;
#[cfg(feature = "mutants")]
pub mod mutants;
mod operator;
mod run;
mod server;
mod source;
mod stage;
mod swarm;
mod talk;
mod truth;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

pub use stage::{Checker, Tally, Violation};
pub use swarm::Swarm;

/// What decides a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seed(pub u64);

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Report {
    /// Its seed.
    pub seed: Seed,
    /// What stands before it on a command line.
    pub kind: &'static str,
    /// The first promise that was broken.
    pub violation: Option<Violation>,
    /// A number over everything that every machine and every client saw.
    pub trace_hash: u64,
    /// What happened last.
    pub tail: Vec<String>,
    /// How much happened.
    pub tally: Tally,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(violation) = &self.violation else {
            return write!(f, "seed {}: nothing is wrong; {:?}", self.seed.0, self.tally);
        };
        for line in &self.tail {
            writeln!(f, "  {line}")?;
        }
        writeln!(f, "{violation}")?;
        write!(f, "you can reproduce this with: cargo xtask sim {}{}", self.kind, self.seed.0)
    }
}

/// Runs one seed.
#[must_use]
pub fn run(seed: Seed, swarm: Swarm) -> Report {
    let kind = if swarm.signalling.is_some() { "--signalling " } else { "" };
    let mut run = run::Run::new(seed.0, swarm);
    let result = catch_unwind(AssertUnwindSafe(|| run.go()));
    if let Err(panic) = result {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        run.stage.fail(Checker::Assert, text.unwrap_or("a panic without words").to_owned());
        // What a panic left half done is not to be used again, not even by its own drop.
        let tail = run.stage.take_trace();
        let report = Report {
            seed,
            kind,
            violation: run.stage.violation.take(),
            trace_hash: 0,
            tail,
            tally: run.stage.tally,
        };
        std::mem::forget(run);
        return report;
    }
    Report {
        seed,
        kind,
        violation: run.stage.violation.take(),
        trace_hash: run.stage.world.trace_hash(),
        tail: run.stage.take_trace(),
        tally: run.stage.tally,
    }
}
