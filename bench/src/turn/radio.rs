//! Relayed packets beside listeners: the server relays alone, and then while it serves a mount to
//! listeners from the same shard.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Serialize;

use super::client::Framing;
use super::load::LoadPlan;
use super::servers::{Kind, RelayOptions};
use super::trial::{Bed, Trial};
use crate::clock;
use crate::servers::{MOUNT, PASSWORD};
use crate::source::{Source, SourceOptions};
use crate::swarm::{Milestone, Summary, Swarm, SwarmOptions};
use crate::trial::BURST_BYTES;

/// A call's worth for each of 50 allocations: 50 packets a second each way.
const PLAN: LoadPlan = LoadPlan { rate: 5_000.0, payload_bytes: 160, run: 1, seconds: 10.0 };
const ALLOCATIONS: usize = 50;
const PATIENCE: Duration = Duration::from_secs(60);
const WRITE_BYTES: usize = 417;

/// The two loads.
#[derive(Serialize)]
pub(crate) struct Beside {
    /// Nothing but the relay.
    pub(crate) alone: Trial,
    /// With listeners.
    pub(crate) beside: Trial,
    /// What the listeners say.
    pub(crate) swarm: Summary,
}

/// Measures both on one server.
pub(crate) fn beside(listeners: usize, core: usize, options: &RelayOptions) -> Result<Beside> {
    let mut bed = Bed::make(Kind::Skywave, options, Framing::Channel, ALLOCATIONS)?;
    let alone = bed.run(PLAN)?;
    let address = bed.relay().http().context("the server has no HTTP")?;
    let source = Source::start(&SourceOptions {
        address,
        mount: MOUNT.into(),
        password: PASSWORD.into(),
        write_bytes: WRITE_BYTES,
        lead_bytes: 0,
    })?;
    clock::sleep(Duration::from_secs(6));
    let mut swarm = Swarm::open(&SwarmOptions {
        address,
        mount: MOUNT.into(),
        count: listeners,
        titles: false,
        rate: 0,
        samples: 20.min(listeners),
        burst_bytes: BURST_BYTES,
        cores: vec![core],
    })?;
    swarm.start()?;
    if !clock::wait_until(PATIENCE, || {
        swarm.wait(Milestone::Burst, Duration::from_millis(5)).unwrap_or(true)
    }) {
        bail!("not all listeners are served; {}", bed.relay().output());
    }
    clock::sleep(Duration::from_secs(3));
    bed.refresh()?;
    swarm.begin_window()?;
    let beside = bed.run(PLAN)?;
    let swarm = swarm.report()?;
    if source.has_failed() {
        bail!("the source was cut off; {}", bed.relay().output());
    }
    Ok(Beside { alone, beside, swarm })
}
