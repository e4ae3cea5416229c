//! A small size of everything that relays, for `bench smoke`: it says whether all arrived as it
//! left, and nothing of how fast.

use anyhow::{Result, bail};

use super::client::Framing;
use super::ends::Ends;
use super::load::LoadPlan;
use super::servers::{Kind, RelayOptions};
use super::trial::Bed;

/// Slow enough for any machine, so that what is missing was lost by a mistake.
const RATE: f64 = 400.0;
const ALLOCATIONS: usize = 8;
/// A machine that stands still for a moment may lose what its queues cannot hold.
const LOSS_MAX: f64 = 0.05;

/// Relays a few packets of each kind.
pub(crate) fn check(kinds: &[Kind], options: &RelayOptions) -> Result<()> {
    for &kind in kinds {
        for (framing, payload_bytes, run) in super::CASES {
            if kind == Kind::Bare && framing == Framing::Indication {
                continue;
            }
            // One after the other is the same from either ends.
            let both = [Ends::Plain, Ends::Offloaded];
            for &ends in if run > 1 { &both[..] } else { &both[..1] } {
                let options = options.clone().with_ends(ends);
                let mut bed = Bed::make(kind, &options, framing, ALLOCATIONS)?;
                let plan = LoadPlan { rate: RATE, payload_bytes, run, seconds: 0.5 };
                let report = bed.run(plan)?.report;
                bed.refresh()?;
                let (name, lost) = (kind.name(), report.lost_share());
                if report.wrong > 0 || report.received == 0 || lost > LOSS_MAX {
                    bail!("{name}, {framing:?} of {payload_bytes} B, {ends:?} ends: {report:?}");
                }
                println!(
                    "{name}: {framing:?}, {payload_bytes} B, runs of {run}, {ends:?} ends: {} of \
                     {} relayed, each as it left",
                    report.received, report.sent
                );
            }
        }
    }
    Ok(())
}
