//! What is to be reached, and whether it was.

use super::Results;
use super::memory::Memory;
use super::peers::Peer;
use super::tables::{median, sorted};

/// A promise about what was measured.
#[derive(Debug)]
pub(crate) struct Goal {
    /// What is compared.
    pub(crate) what: String,
    /// What came out.
    pub(crate) value: f64,
    bound: Bound,
    unit: &'static str,
}

#[derive(Clone, Copy, Debug)]
enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

/// Answers for each CPU-second, as a multiple of a peer's.
const RATIOS: &[(&str, Peer, f64)] = &[
    ("hello", Peer::Libuv, 1.10),
    ("hello", Peer::Bare, 0.90),
    ("hello", Peer::Go, 2.2),
    ("hello", Peer::Nginx, 1.10),
    ("hello-1000", Peer::Libuv, 1.10),
    ("hello-1000", Peer::Bare, 0.90),
    ("hello-1000", Peer::Go, 2.2),
    ("hello-1000", Peer::Nginx, 1.10),
    ("pipelined", Peer::Libuv, 5.0),
    ("close", Peer::Libuv, 1.2),
    ("close", Peer::Go, 1.2),
    ("ws-64", Peer::Go, 2.0),
    ("ws-64", Peer::Node, 2.0),
    ("ws-4k", Peer::Go, 2.0),
    ("ws-4k", Peer::Node, 2.0),
    ("file-64k", Peer::Nginx, 1.0),
];
const IDLE_BYTES_MAX: f64 = 512.0;
const IDLE_SECURE_BYTES_MAX: f64 = 24.0 * 1_024.0;

/// Each promise that this run says something about.
pub(crate) fn goals(results: &Results) -> Vec<Goal> {
    let trials = &results.trials;
    let figure = |work: &str, peer: Peer| {
        median(&sorted(trials, work, peer, |trial| trial.answers_per_cpu_second))
    };
    let mut goals = Vec::new();
    for &(work, peer, least) in RATIOS {
        let title = super::works::ALL.iter().find(|one| one.name == work).map(|one| one.title);
        goals.push(Goal {
            what: format!("{}, to {}", title.unwrap_or(work), peer.name()),
            value: figure(work, Peer::Serve) / figure(work, peer),
            bound: Bound::AtLeast(least),
            unit: "×",
        });
    }
    let p99 = |peer| median(&sorted(trials, "latency", peer, |trial| trial.report.latency.p99_us));
    goals.push(Goal {
        what: format!("p99 at equal load, to {}", Peer::Libuv.name()),
        value: p99(Peer::Serve) / p99(Peer::Libuv),
        bound: Bound::AtMost(1.0),
        unit: "×",
    });
    for (secure, most, what) in [
        (false, IDLE_BYTES_MAX, "memory of an idle connection"),
        (true, IDLE_SECURE_BYTES_MAX, "memory of an idle TLS connection"),
    ] {
        let of = |one: &&Memory| one.peer == Peer::Serve && one.secure == secure;
        let value = results.memory.iter().find(of).map_or(f64::NAN, Memory::per_connection);
        goals.push(Goal { what: what.into(), value, bound: Bound::AtMost(most), unit: " B" });
    }
    // What was not measured is no number.
    goals.retain(|goal| !goal.value.is_nan());
    goals
}

impl Goal {
    /// Whether it was reached.
    pub(crate) fn is_reached(&self) -> bool {
        match self.bound {
            Bound::AtLeast(least) => self.value >= least,
            Bound::AtMost(most) => self.value <= most,
        }
    }

    /// Its row in a table.
    pub(crate) fn row(&self) -> Vec<String> {
        let Goal { what, value, bound, unit } = self;
        let show = |value: f64| match *unit {
            "×" => format!("{value:.2} ×"),
            unit => format!("{value:.0}{unit}"),
        };
        let bound = match *bound {
            Bound::AtLeast(least) => format!("≥ {}", show(least)),
            Bound::AtMost(most) => format!("≤ {}", show(most)),
        };
        let reached = if self.is_reached() { "yes" } else { "no" };
        vec![what.clone(), show(*value), bound, reached.into()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_is_reached_at_its_bound() {
        let goal = |value, bound| Goal { what: "x".into(), value, bound, unit: "×" };
        assert!(goal(1.1, Bound::AtLeast(1.1)).is_reached());
        assert!(!goal(1.09, Bound::AtLeast(1.1)).is_reached());
        assert!(!goal(1.01, Bound::AtMost(1.0)).is_reached());
        assert_eq!(goal(1.5, Bound::AtMost(2.0)).row(), ["x", "1.50 ×", "≤ 2.00 ×", "yes"]);
    }
}
