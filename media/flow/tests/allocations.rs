//! Passing a packet allocates nothing, in borrowing stages and in queues alike.

use std::num::NonZeroU32;
use std::time::Instant;

use allocation_counter::measure;
use bytes::Bytes;
use media_flow::*;

/// Adds up what passes.
struct Meter(u64);

impl Inspect<MediaPacket> for Meter {
    fn handle(&mut self, _: Instant, _: Port, view: MediaView<'_>) -> Result<Verdict, StageError> {
        self.0 += view.payload.iter().map(|byte| u64::from(*byte)).sum::<u64>();
        Ok(if self.0 == u64::MAX { Verdict::Drop } else { Verdict::Pass })
    }
}

/// Gives on what it is given.
struct Through;

impl Retain<MediaPacket> for Through {
    fn handle(
        &mut self,
        _: Instant,
        _: Port,
        packet: MediaPacket,
        out: &mut Out<'_, MediaPacket>,
    ) -> Result<(), StageError> {
        out.emit(packet);
        Ok(())
    }
}

fn packet(payload: &Bytes) -> MediaPacket {
    MediaPacket {
        track: TrackId(1),
        kind: Kind::Audio,
        time_base: TimeBase::per_second(NonZeroU32::MIN),
        presentation: 0,
        decode: 0,
        duration: 0,
        is_keyframe: false,
        payload: payload.clone(),
        frame: None,
    }
}

#[test]
#[allow(clippy::disallowed_methods, reason = "a test needs some moment to count from")]
fn a_packet_passes_without_an_allocation() {
    let mut plan = Plan::new();
    let source = plan.source("in");
    let meters = [0, 1, 2].map(|at| plan.inspect(&format!("meter {at}"), Meter(0)));
    let level = plan.sink("level", Meter(0));
    let through = plan.retain("through", Through);
    let (live, full) = (plan.outlet("live"), plan.outlet("full"));
    let bound = Bound { packets_max: 64, bytes_max: 1 << 20 };
    plan.lend(source, meters[0]).lend(meters[0], meters[1]).lend(meters[1], meters[2]);
    plan.lend(meters[2], level).queue(meters[2], through, bound, Policy::Wait);
    plan.queue(through, live, bound, Policy::Wait);
    plan.queue(source, full, bound, Policy::ToKeyframe);
    let mut graph = plan.build().expect("a graph");
    let payload = Bytes::from(vec![1; 1200]);
    let now = Instant::now();
    // The first clone makes a vector's `Bytes` a counted one.
    drop(payload.clone());
    let mut heard_count = 0;
    let allocations = measure(|| {
        for _ in 0..1000 {
            graph.push(now, source, packet(&payload)).expect("room");
            while let Some(output) = graph.poll() {
                if output == Output::Ready(live) {
                    while graph.take(now, live).is_some() {
                        heard_count += 1;
                    }
                }
            }
        }
    });
    assert_eq!(heard_count, 1000);
    assert!(graph.edge_counters(source, full).expect("an edge").dropped() > 900);
    assert_eq!(allocations.count_total, 0);
}
