//! `bench turn`: what a relayed packet costs, how many there may be, how late they are, and what an
//! allocation costs: our relay, Debian's coturn and a bare forwarder, in turn and under one load.

mod client;
mod ends;
mod load;
mod part;
mod payload;
mod radio;
mod servers;
mod smoke;
mod tables;
mod trial;
mod wire;

use anyhow::{Context, Result};
use serde::Serialize;

pub(crate) use part::command as part_command;
pub(crate) use servers::{Kind, RelayOptions};
pub(crate) use smoke::check;

use crate::args::Args;
use crate::record::Recorder;
use client::Framing;
use ends::Ends;
use load::LoadPlan;
use part::Parts;
use servers::Relay;
use trial::{Bed, Trial, best, of_work};
use wire::Wire;

/// What is measured in a row, and how long.
struct Plan {
    kinds: Vec<Kind>,
    parts: Vec<String>,
    allocations: usize,
    rounds: usize,
    seconds: f64,
    rate: f64,
    ramp_seconds: f64,
    ramp_from: f64,
    memory_allocations: usize,
    many_allocations: usize,
    listeners: usize,
    generator_core: usize,
}

/// Everything that came out.
#[derive(Default, Serialize)]
pub(crate) struct Results {
    /// One load for all relays.
    pub(crate) cost: Vec<Trial>,
    /// Ever more, until it is too much; every trial on the way.
    pub(crate) ramp: Vec<Trial>,
    /// At half of what coturn carries, and at half of what each carries itself.
    pub(crate) half: Vec<Trial>,
    /// What an allocation keeps.
    pub(crate) memory: Vec<Memory>,
    /// Many allocations, made and refreshed.
    pub(crate) many: Vec<Many>,
    /// Alone, and beside listeners of the same shard.
    pub(crate) radio: Vec<radio::Beside>,
}

/// Resident memory before and after allocations, each with a channel.
#[derive(Serialize)]
pub(crate) struct Memory {
    server: Kind,
    allocations: usize,
    resident_before_bytes: u64,
    resident_after_bytes: u64,
}

impl Memory {
    /// For each of them.
    pub(crate) fn bytes_per_allocation(&self) -> f64 {
        let grown = self.resident_after_bytes.saturating_sub(self.resident_before_bytes);
        grown as f64 / self.allocations.max(1) as f64
    }
}

/// How many allocations were made and refreshed, and how long that took.
#[derive(Serialize)]
pub(crate) struct Many {
    server: Kind,
    allocations: usize,
    made_s: Option<f64>,
    refreshed_s: Option<f64>,
    failure: Option<String>,
}

/// The cases of the first table: framing, bytes, run.
const CASES: [(Framing, usize, usize); 4] = [
    (Framing::Channel, 60, 1),
    (Framing::Channel, 160, 1),
    (Framing::Channel, 1_200, 10),
    (Framing::Indication, 160, 1),
];

/// What there is ever more of: bytes, run. Sound of many, and pictures.
const WORKS: [(usize, usize); 2] = [(160, 1), (1_200, 10)];

/// The command.
pub(crate) fn command(mut args: Args) -> Result<()> {
    let wire = args.value("wire", "loopback".to_owned())?;
    let wire: Wire = wire
        .parse()
        .map_err(|()| anyhow::anyhow!("--wire is loopback, veth or veth-segmenting"))?;
    let Some(place) = wire::place(wire)? else {
        let cores = (args.value("server-core", 0)?, args.value("generator-core", 1)?);
        return wire::run_inside(wire, cores.0, cores.1);
    };
    let ends: Ends = args
        .value("ends", "plain".to_owned())?
        .parse()
        .map_err(|()| anyhow::anyhow!("--ends is plain or offloaded"))?;
    let recorder = Recorder::new(&mut args)?;
    let options = RelayOptions::read(&mut args, (place, ends))?;
    // The parts in processes of their own know loopback alone.
    let parts = match wire {
        Wire::Loopback => "cost,ramp,half,memory,many,radio",
        Wire::Veth | Wire::VethSegmenting => "cost,ramp,half",
    };
    let plan = Plan {
        kinds: args.list("servers", "relay,coturn,bare")?,
        parts: args.list("only", parts)?,
        allocations: args.value("allocations", 50)?,
        rounds: args.value("rounds", 2)?,
        seconds: args.value("seconds", 3.0)?,
        rate: args.value("rate", 50_000.0)?,
        ramp_seconds: args.value("ramp-seconds", 1.5)?,
        ramp_from: args.value("ramp-from", 50_000.0)?,
        memory_allocations: args.value("memory-allocations", 10_000)?,
        many_allocations: args.value("many-allocations", 20_000)?,
        listeners: args.value("listeners", 10_000)?,
        generator_core: args.value("generator-core", 1)?,
    };
    args.finish()?;
    shards_runtime::pin(Some(plan.generator_core))?;
    let mut results = Results::default();
    let asked = |part: &str| plan.parts.iter().any(|it| it == part);
    if asked("cost") {
        plan.cost(&options, &mut results)?;
    }
    if asked("ramp") {
        plan.ramp(&options, &mut results)?;
    }
    if asked("half") {
        plan.half(&options, &mut results)?;
    }
    for &kind in plan.kinds.iter() {
        if asked("memory") {
            results.memory.push(plan.memory(kind, &options)?);
        }
        if asked("many") && kind != Kind::Bare {
            results.many.push(plan.many(kind, &options)?);
        }
        if asked("radio") && kind == Kind::Skywave {
            results.radio.push(radio::beside(plan.listeners, plan.generator_core, &options)?);
        }
    }
    let versions = plan.kinds.iter().map(|kind| (kind.name(), options.version(*kind)));
    let servers = versions.map(|(name, version)| format!("{name}: {version}")).collect();
    recorder.write_with_plot(
        &wire.run_name(ends),
        &results,
        &tables::text(&results),
        (servers, None),
    )
}

impl Plan {
    fn cost(&self, options: &RelayOptions, results: &mut Results) -> Result<()> {
        for round in 0..self.rounds {
            for (framing, payload_bytes, run) in CASES {
                for step in 0..self.kinds.len() {
                    // Every other round goes backwards, so that nobody always follows the same one.
                    let back = self.kinds.len() - 1 - step;
                    let kind = self.kinds[if round % 2 == 0 { step } else { back }];
                    if kind == Kind::Bare && framing == Framing::Indication {
                        continue;
                    }
                    let mut bed = Bed::make(kind, options, framing, self.allocations)?;
                    let (rate, seconds) = (self.rate, self.seconds);
                    let trial = bed.run(LoadPlan { rate, payload_bytes, run, seconds })?;
                    tell(&trial);
                    results.cost.push(trial);
                }
            }
        }
        Ok(())
    }

    fn ramp(&self, options: &RelayOptions, results: &mut Results) -> Result<()> {
        const REFINEMENTS: usize = 3;
        for (payload_bytes, run) in WORKS {
            for &kind in &self.kinds {
                let mut bed = Bed::make(kind, options, Framing::Channel, self.allocations)?;
                let (rate, seconds) = (self.ramp_from, self.ramp_seconds);
                let first = LoadPlan { rate, payload_bytes, run, seconds };
                let trials = bed.ramp(first, REFINEMENTS)?;
                if let Some((best, _)) = best(&trials) {
                    tell(best);
                }
                results.ramp.extend(trials);
            }
        }
        Ok(())
    }

    fn half(&self, options: &RelayOptions, results: &mut Results) -> Result<()> {
        let carried = |kind: Kind| {
            best(&of_work(&results.ramp, kind, WORKS[0])).map(|(trial, _)| trial.plan.rate)
        };
        let rates: Vec<Option<f64>> = self.kinds.iter().map(|&kind| carried(kind)).collect();
        let coturn = carried(Kind::Coturn).unwrap_or(2.0 * self.rate);
        let mut trials = Vec::new();
        for (&kind, own) in self.kinds.iter().zip(rates) {
            let mut bed = Bed::make(kind, options, Framing::Channel, self.allocations)?;
            let mut halves = vec![coturn / 2.0];
            halves.extend(own.filter(|&own| own != coturn).map(|own| own / 2.0));
            for rate in halves {
                let plan = LoadPlan { rate, payload_bytes: 160, run: 1, seconds: self.seconds };
                let trial = bed.run(plan)?;
                tell(&trial);
                trials.push(trial);
            }
        }
        results.half = trials;
        Ok(())
    }

    fn memory(&self, kind: Kind, options: &RelayOptions) -> Result<Memory> {
        let relay = Relay::start(kind, options)?;
        let count = self.memory_allocations;
        let framing = kind.framing(Framing::Channel);
        let mut parts = Parts::start(relay.address(), count, framing, Some(self.generator_core))?;
        let resident_before_bytes = relay.process().resident_bytes()?;
        parts.say("allocate").with_context(|| relay.output())?;
        let resident_after_bytes = relay.process().resident_bytes()?;
        let memory = Memory {
            server: kind,
            allocations: count,
            resident_before_bytes,
            resident_after_bytes,
        };
        eprintln!("{}: {:.0} B an allocation", kind.name(), memory.bytes_per_allocation());
        Ok(memory)
    }

    /// A relay that cannot is a result, and no end of the run.
    fn many(&self, kind: Kind, options: &RelayOptions) -> Result<Many> {
        let relay = Relay::start(kind, options)?;
        let count = self.many_allocations;
        let framing = kind.framing(Framing::Channel);
        let mut parts = Parts::start(relay.address(), count, framing, Some(self.generator_core))?;
        let mut many = Many {
            server: kind,
            allocations: count,
            made_s: None,
            refreshed_s: None,
            failure: None,
        };
        let made = parts.say("allocate").map(|seconds| many.made_s = Some(seconds));
        let kept = made.and_then(|()| parts.say("refresh"));
        match kept {
            Ok(seconds) => many.refreshed_s = Some(seconds),
            Err(error) => many.failure = Some(format!("{error:#}")),
        }
        eprintln!("{}: {} made in {:?} s; {:?}", kind.name(), count, many.made_s, many.failure);
        Ok(many)
    }
}

fn tell(trial: &Trial) {
    let Trial { server, plan, report, .. } = trial;
    eprintln!(
        "{}: {:.0}/s of {} B, runs of {}: {:.2} µs each, {:.3} % lost, {} wrong, p99 {:.0} µs{}",
        server.name(),
        plan.rate,
        plan.payload_bytes,
        plan.run,
        trial.cpu_us_per_packet,
        report.lost_share() * 100.0,
        report.wrong,
        report.p99_us,
        if report.is_open_loop() { "" } else { " (the generator was behind)" },
    );
}
