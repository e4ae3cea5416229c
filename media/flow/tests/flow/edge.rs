//! One edge against a model of its policy, for any order of pushes and takes.
//!
//! The model is written the slow way: a list of all packets that ever entered, each with what
//! became of it, from which everything is worked out anew at every step.

use media_flow::*;
use proptest::prelude::*;

use crate::lab::{bound, milliseconds, number, packet, poll_all, start};

#[derive(Clone, Copy, Debug)]
enum Step {
    Push { track: u8, is_keyframe: bool, size: usize },
    Take,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Held,
    Taken,
    Dropped,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    track: u8,
    is_keyframe: bool,
    size: usize,
    fate: Fate,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let size = prop_oneof![6 => 8_usize..16, 1 => 30_usize..60];
    let push = (0_u8..3, prop::bool::weighted(0.3), size)
        .prop_map(|(track, is_keyframe, size)| Step::Push { track, is_keyframe, size });
    prop::collection::vec(prop_oneof![3 => push, 2 => Just(Step::Take)], 1..200)
}

struct Model {
    entries: Vec<Entry>,
    bound: Bound,
    policy: Policy,
}

impl Model {
    fn held(&self) -> (usize, usize) {
        let held = self.entries.iter().filter(|entry| entry.fate == Fate::Held);
        held.fold((0, 0), |(count, bytes), entry| (count + 1, bytes + entry.size))
    }

    /// Whether the packet needs one of its track that was dropped: since the last keyframe, or
    /// that keyframe itself.
    fn needs_dropped(&self, at: usize) -> bool {
        let entry = self.entries[at];
        if entry.is_keyframe {
            return false;
        }
        let mut earlier =
            self.entries[..at].iter().rev().filter(|other| other.track == entry.track);
        let mut is_lost = false;
        for other in &mut earlier {
            is_lost |= other.fate == Fate::Dropped;
            if other.is_keyframe {
                break;
            }
        }
        is_lost
    }

    /// Drops all that cannot be decoded, in one pass, as what is dropped dooms what follows it.
    fn settle(&mut self) {
        for at in 0..self.entries.len() {
            if self.entries[at].fate == Fate::Held && self.needs_dropped(at) {
                self.entries[at].fate = Fate::Dropped;
            }
        }
    }

    fn push(&mut self, entry: Entry) {
        self.entries.push(entry);
        let newest = self.entries.len() - 1;
        if entry.size > self.bound.bytes_max {
            self.entries[newest].fate = Fate::Dropped;
        }
        loop {
            if self.policy == Policy::ToKeyframe {
                self.settle();
            }
            let (count, bytes) = self.held();
            if count <= self.bound.packets_max && bytes <= self.bound.bytes_max {
                break;
            }
            let oldest = self.entries.iter().position(|entry| entry.fate == Fate::Held);
            self.entries[oldest.expect("over a bound")].fate = Fate::Dropped;
        }
    }

    fn take(&mut self) -> Option<u64> {
        let at = self.entries.iter().position(|entry| entry.fate == Fate::Held)?;
        self.entries[at].fate = Fate::Taken;
        Some(at as u64)
    }

    fn dropped(&self) -> u64 {
        self.entries.iter().filter(|entry| entry.fate == Fate::Dropped).count() as u64
    }
}

fn check(steps: &[Step], bound: Bound, policy: Policy) -> Result<(), TestCaseError> {
    let mut plan = Plan::new();
    let (source, outlet) = (plan.source("in"), plan.outlet("out"));
    plan.queue(source, outlet, bound, policy);
    let mut graph = plan.build().expect("a graph");
    let mut model = Model { entries: Vec::new(), bound, policy };
    let now = start();
    let mut is_refused = false;
    for step in steps {
        match *step {
            Step::Push { track, is_keyframe, size } => {
                let entry = Entry { track, is_keyframe, size, fate: Fate::Held };
                let (count, bytes) = model.held();
                let credit = graph.credit(source);
                let is_full = count == bound.packets_max || bytes + size > bound.bytes_max;
                let new = MediaPacket {
                    track: TrackId(track),
                    is_keyframe,
                    time_base: milliseconds(),
                    ..packet(model.entries.len() as u64, size)
                };
                let result = graph.push(now, source, new);
                if policy == Policy::Wait {
                    prop_assert_eq!(result.is_err(), is_full);
                    prop_assert_eq!(credit.packets > 0 && credit.bytes >= size, !is_full);
                    is_refused |= is_full;
                }
                if result.is_ok() {
                    model.push(entry);
                }
            }
            Step::Take => {
                let taken = graph.take(now, outlet).map(|packet| number(&packet.payload));
                prop_assert_eq!(taken, model.take());
            }
        }
        let has_credit = poll_all(&mut graph).contains(&Output::Credit(source));
        prop_assert!(!has_credit || is_refused, "credit is told of only where it was missed");
        is_refused &= !has_credit;
        let counters = graph.edge_counters(source, outlet).expect("the edge");
        prop_assert_eq!((counters.held as usize, counters.held_bytes as usize), model.held());
        prop_assert_eq!(counters.dropped(), model.dropped());
        prop_assert_eq!(counters.entered, model.entries.len() as u64);
        prop_assert_eq!(counters.entered, counters.left + counters.dropped() + counters.held);
        let dropped_bytes = counters.entered_bytes - counters.left_bytes - counters.held_bytes;
        prop_assert_eq!(counters.dropped_bytes, dropped_bytes);
        prop_assert!(counters.held_peak <= bound.packets_max as u64);
        prop_assert!(counters.held_bytes_peak <= bound.bytes_max as u64);
    }
    for at in 0..model.entries.len() {
        let is_taken = model.entries[at].fate == Fate::Taken;
        let is_lost = policy == Policy::ToKeyframe && is_taken && model.needs_dropped(at);
        prop_assert!(!is_lost, "packet {} needs one that was dropped", at);
    }
    Ok(())
}

proptest! {
    #[test]
    fn a_queue_that_waits_loses_nothing(steps in steps(), packets_max in 1_usize..8) {
        check(&steps, Bound { packets_max, bytes_max: 100 }, Policy::Wait)?;
    }

    #[test]
    fn a_queue_that_drops_its_oldest_counts_them(
        steps in steps(),
        packets_max in 1_usize..8,
        bytes_max in 20_usize..100,
    ) {
        check(&steps, Bound { packets_max, bytes_max }, Policy::DropOldest)?;
    }

    #[test]
    fn behind_a_queue_that_drops_to_a_keyframe_all_can_be_decoded(
        steps in steps(),
        packets_max in 1_usize..8,
        bytes_max in 20_usize..100,
    ) {
        check(&steps, Bound { packets_max, bytes_max }, Policy::ToKeyframe)?;
    }
}

#[test]
fn one_track_that_loses_a_packet_does_not_stop_another() {
    let mut plan = Plan::new();
    let (source, outlet) = (plan.source("in"), plan.outlet("out"));
    plan.queue(source, outlet, bound(2), Policy::ToKeyframe);
    let mut graph = plan.build().expect("a graph");
    let now = start();
    for (number, track, is_keyframe) in
        [(0, 0, true), (1, 0, false), (2, 1, true), (3, 0, false), (4, 1, true), (5, 0, true)]
    {
        let new = MediaPacket { track: TrackId(track), is_keyframe, ..packet(number, 8) };
        graph.push(now, source, new).expect("it never refuses");
    }
    // 2 pushed 0 out, and 1 with it; 3 came after them; 5 pushed 2 out.
    let numbers = crate::lab::take_all(&mut graph, now, outlet);
    assert_eq!(numbers, [4, 5]);
    let counters = graph.edge_counters(source, outlet).expect("the edge");
    assert_eq!((counters.dropped_full, counters.dropped_undecodable), (2, 2));
}

#[test]
fn what_an_oversized_packet_took_with_it_stays_lost_when_older_ones_go() {
    let push = |track, is_keyframe, size| Step::Push { track, is_keyframe, size };
    let steps = [
        push(1, false, 8),
        push(1, true, 8),
        push(1, false, 30), // larger than the queue: its track goes on at the next keyframe
        push(0, true, 8),   // pushes the first of the track out, which has its keyframe behind it
        push(1, false, 8),
    ];
    let bound = Bound { packets_max: 2, bytes_max: 20 };
    check(&steps, bound, Policy::ToKeyframe).unwrap_or_else(|error| panic!("{error}"));
}
