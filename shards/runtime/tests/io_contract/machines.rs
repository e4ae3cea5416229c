//! The machines that the contract is tested on, and how time passes for each.

use std::time::{Duration, Instant};

use shards_ring::{RingConfig, RingGroup, UringIo};
use shards_runtime::{Completion, Io, ShardId};
use shards_sim::{Chance, Faults, Prng, SimIo, World};

use crate::driver::{Driver, Harness};

/// A simulated machine and its world.
pub struct Simulated {
    world: World,
    io: SimIo,
}

/// The simulated machine, calm.
pub fn calm() -> Driver<Simulated> {
    simulated(0, Faults::none())
}

/// The simulated machine with every fault that a service must not notice.
pub fn with_faults(seed: u64) -> Driver<Simulated> {
    let mut prng = Prng::new(seed);
    let mut faults = Faults::draw(&mut prng);
    for costs_a_connection in [
        &mut faults.connect_refused,
        &mut faults.connect_lost,
        &mut faults.connection_reset,
        &mut faults.send_failure,
        &mut faults.accept_failure,
        &mut faults.datagram_loss,
        &mut faults.datagram_duplicate,
        &mut faults.datagram_reorder,
    ] {
        *costs_a_connection = Chance::NEVER;
    }
    simulated(seed, faults)
}

/// The real machine, with few buffers so that they run out, and joined datagrams.
pub fn ring() -> Driver<UringIo> {
    let group = RingGroup::new(2).expect("an eventfd for each participant");
    let config = RingConfig {
        stream_buffers_count: 32,
        datagram_buffers_count: 32,
        udp_gro: true,
        ..RingConfig::default()
    };
    Driver::new(group.open(ShardId(0), config).expect("a kernel with io_uring"))
}

fn simulated(seed: u64, faults: Faults) -> Driver<Simulated> {
    let world = World::new(seed, faults);
    let io = world.machine(0, ShardId(0));
    Driver::new(Simulated { world, io })
}

impl Harness for Simulated {
    type Machine = SimIo;

    // Simulated time costs nothing; simulated bytes do.
    const PATIENCE: Duration = Duration::from_secs(3_600);
    const A_WHILE: Duration = Duration::from_millis(400);
    const LARGE_BYTES: usize = 3 * 1024 * 1024;

    fn io(&mut self) -> &mut SimIo {
        &mut self.io
    }

    fn wait(&mut self, until: Instant) -> Vec<Completion<<SimIo as Io>::Buffer>> {
        let mut completions = Vec::new();
        loop {
            self.io.wait(Some(until), &mut completions);
            if !completions.is_empty() || self.world.now() >= until {
                return completions;
            }
            // The wait's own end is among the events.
            self.world.advance_to(self.world.next_event().expect("the wait ends"));
        }
    }
}

impl Harness for UringIo {
    type Machine = UringIo;

    const PATIENCE: Duration = Duration::from_secs(20);
    const A_WHILE: Duration = Duration::from_millis(60);
    const LARGE_BYTES: usize = 12 * 1024 * 1024;

    fn io(&mut self) -> &mut UringIo {
        self
    }

    fn wait(&mut self, until: Instant) -> Vec<Completion<<UringIo as Io>::Buffer>> {
        let mut completions = Vec::new();
        Io::wait(self, Some(until), &mut completions);
        completions
    }
}
