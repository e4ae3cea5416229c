//! One measurement: a relay, its clients and peer, a load, and what the relay's process used.

use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;

use super::client::{self, Client, Framing};
use super::load::{Load, LoadPlan, LoadReport, peer_socket};
use super::servers::{Kind, Relay, RelayOptions};
use super::wire::Place;
use crate::clock;
use crate::machine::CoreTime;

const PATIENCE: Duration = Duration::from_secs(60);
/// Sent before anything is measured: pages are touched, clocks are up.
const WARM_UP: LoadPlan = LoadPlan { rate: 5_000.0, payload_bytes: 160, run: 1, seconds: 0.3 };
/// Loss up to which a rate counts as carried.
pub(crate) const LOSS_MAX: f64 = 0.001;

/// What came out of one load.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Trial {
    /// Which relay.
    pub(crate) server: Kind,
    /// How data went to it.
    pub(crate) framing: Framing,
    /// Its allocations.
    pub(crate) allocations: usize,
    /// What was asked of it.
    pub(crate) plan: LoadPlan,
    /// What came of it.
    pub(crate) report: LoadReport,
    /// The relay's processor time for each payload that arrived, µs.
    pub(crate) cpu_us_per_packet: f64,
    /// What the thread of its card used, where it has one, µs.
    pub(crate) card_us_per_packet: Option<f64>,
    /// How busy the relay's core was while it was sent to, percent, and how much of it another
    /// machine took.
    pub(crate) core_busy_percent: f64,
    pub(crate) core_stolen_percent: f64,
}

impl Trial {
    /// Whether all but a few arrived, and all that did were right.
    pub(crate) fn is_carried(&self) -> bool {
        self.report.lost_share() <= LOSS_MAX && self.report.wrong == 0
    }
}

/// A relay with allocations that are ready.
pub(crate) struct Bed {
    kind: Kind,
    framing: Framing,
    /// Dropped before the relay: its sockets are the relay's clients.
    load: Load,
    relay: Relay,
    core: usize,
    place: Place,
}

impl Bed {
    /// Starts a relay, and makes allocations on it.
    pub(crate) fn make(
        kind: Kind,
        options: &RelayOptions,
        wanted: Framing,
        allocations: usize,
    ) -> Result<Self> {
        let relay = Relay::start(kind, options)?;
        let framing = kind.framing(wanted);
        let place = options.place();
        let peer = peer_socket(place.peer)?;
        let peer_address = peer.local_addr()?;
        let mut clients = (0..allocations)
            .map(|number| Client::open(number, relay.address(), peer_address, framing))
            .collect::<Result<Vec<_>>>()?;
        client::settle(&mut clients, PATIENCE).with_context(|| relay.output())?;
        let ends = (options.ends(), place.namespace.is_some());
        let load = Load::new(framing, clients, peer, ends)?;
        let mut bed = Bed { kind, framing, load, relay, core: 0, place: place.clone() };
        bed.load.run(&WARM_UP)?;
        Ok(bed)
    }

    /// One load.
    pub(crate) fn run(&mut self, plan: LoadPlan) -> Result<Trial> {
        let (cpu, core) = (self.relay.process().cpu_exact()?, CoreTime::read(self.core)?);
        let card = self.place.card_cpu()?;
        let report = self.load.run(&plan).with_context(|| self.relay.output())?;
        let card = self.place.card_cpu()?.zip(card).map(|(now, then)| now - then);
        let used = self.relay.process().cpu_exact()? - cpu;
        let (core_busy_percent, core_stolen_percent) = CoreTime::read(self.core)?.since(core);
        Ok(Trial {
            server: self.kind,
            framing: self.framing,
            allocations: self.load.clients().len(),
            cpu_us_per_packet: used.as_secs_f64() * 1e6 / report.received.max(1) as f64,
            card_us_per_packet: card
                .map(|used| used.as_secs_f64() * 1e6 / report.received.max(1) as f64),
            plan,
            report,
            core_busy_percent,
            core_stolen_percent,
        })
    }

    /// The most that it carries: faster by steps until it fails twice, then halfway between, a few
    /// times. The answer holds every trial; the highest carried one is its end.
    pub(crate) fn ramp(&mut self, first: LoadPlan, refinements: usize) -> Result<Vec<Trial>> {
        const STEP: f64 = 1.3;
        let mut trials = Vec::new();
        let (mut carried, mut failed): (f64, Option<f64>) = (0.0, None);
        let mut rate = first.rate;
        let mut refined = 0;
        while refined < refinements {
            let mut trial = self.run(LoadPlan { rate, ..first })?;
            if !trial.is_carried() || !trial.report.is_open_loop() {
                // Once may be somebody else on this machine.
                trials.push(trial);
                self.settle();
                trial = self.run(LoadPlan { rate, ..first })?;
            }
            let (good, open) = (trial.is_carried(), trial.report.is_open_loop());
            trials.push(trial);
            self.settle();
            if good {
                carried = rate;
            } else {
                failed = Some(rate);
            }
            if !open {
                // The generator is at its own end: what was carried is a lower bound.
                break;
            }
            rate = match failed {
                None => carried * STEP,
                Some(failed) => {
                    refined += 1;
                    if carried == 0.0 { failed / 2.0 } else { f64::midpoint(carried, failed) }
                }
            };
        }
        Ok(trials)
    }

    /// What is left in queues is gone.
    fn settle(&self) {
        clock::sleep(Duration::from_millis(100));
    }

    /// The relay itself.
    pub(crate) fn relay(&self) -> &Relay {
        &self.relay
    }

    /// Asks for all allocations to live on.
    pub(crate) fn refresh(&mut self) -> Result<()> {
        client::refresh(self.load.clients(), PATIENCE)
    }
}

/// Those of one relay with payloads of so many bytes in such runs.
pub(crate) fn of_work(trials: &[Trial], kind: Kind, work: (usize, usize)) -> Vec<Trial> {
    let is_of =
        |trial: &&Trial| trial.server == kind && (trial.plan.payload_bytes, trial.plan.run) == work;
    trials.iter().filter(is_of).cloned().collect()
}

/// The highest rate that was carried, and whether the generator, not the relay, was its end: the
/// last trial of a ramp was behind, and the relay could do with it.
pub(crate) fn best(trials: &[Trial]) -> Option<(&Trial, bool)> {
    let carried = trials.iter().filter(|trial| trial.is_carried());
    let best = carried.max_by(|a, b| a.plan.rate.total_cmp(&b.plan.rate))?;
    let bounded = trials.last().is_some_and(|trial| !trial.report.is_open_loop());
    Some((best, bounded))
}
