//! Random graphs under random drivers, against a model that works out what must come out.

mod stages;
mod world;

use std::collections::{BTreeMap, BTreeSet};

use media_flow::*;

use stages::{is_keyframe, passes, products, tail, track};
use world::{Joined, What, World};

const SEEDS: u64 = 1500;

#[test]
fn random_graphs_keep_their_promises() {
    let mut drawn_count = 0;
    for seed in 0..SEEDS {
        let Some(mut world) = World::draw(seed) else { continue };
        drawn_count += 1;
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            world.run();
            check(&world);
        }));
        if let Err(panic) = result {
            eprintln!("seed {seed}:\n{}", world.graph.explain());
            std::panic::resume_unwind(panic);
        }
    }
    assert!(drawn_count > SEEDS / 2, "the seeds drew {drawn_count} graphs");
}

#[test]
fn equal_seeds_give_equal_traces() {
    for seed in 0..100 {
        let run = || {
            let mut world = World::draw(seed)?;
            world.run();
            Some((world.traces.take(), world.closes.take(), world.graph.describe()))
        };
        assert!(run() == run(), "seed {seed}");
    }
}

fn check(world: &World) {
    let is_drained = matches!(world.graph.end(), Some(End::Drained));
    check_teardown(world);
    for (index, joined) in world.edges.iter().enumerate() {
        check_edge(world, index, joined, is_drained);
    }
    if is_drained && world.is_lossless {
        check_against_model(world);
    }
}

/// Each stage was closed once, after all that feed it. Sources and outlets have no last call.
fn check_teardown(world: &World) {
    let description = world.graph.describe();
    let closes = world.closes.borrow();
    let order = |node: usize| closes.iter().position(|at| *at == node);
    for stage in &description.stages {
        assert!(stage.is_closed);
        let has_stage = !matches!(stage.role, Role::Source | Role::Outlet);
        assert_eq!(order(stage.index).is_some(), has_stage, "`{}`", stage.name);
    }
    for edge in &world.edges {
        if let (Some(from), Some(to)) = (order(edge.from), order(edge.to)) {
            assert!(from < to, "{} was closed before {}", edge.to, edge.from);
        }
    }
}

/// Order, loss and bounds of one edge, from what its two stages wrote down.
fn check_edge(world: &World, index: usize, joined: &Joined, is_drained: bool) {
    let description = world.graph.describe();
    let edge = &description.edges[index];
    let counters = edge.counters;
    assert_eq!((edge.from, edge.to), (joined.from, joined.to));
    let traces = world.traces.borrow();
    let sent = &traces[joined.from].emitted;
    let (from, to) = (joined.from, joined.to);
    let accounted = counters.left + counters.dropped() + counters.held + counters.discarded;
    assert_eq!(counters.entered, accounted, "{from} to {to}");
    if is_drained {
        assert_eq!(counters.entered, sent.len() as u64, "{from} to {to}");
        assert_eq!((counters.held, counters.discarded), (0, 0));
    }
    if let Some(bound) = edge.bound {
        assert!(counters.held_peak <= bound.packets_max as u64);
        assert!(counters.held_bytes_peak <= bound.bytes_max as u64);
    }
    let is_only_edge = world.edges.iter().filter(|edge| edge.to == to).count() == 1;
    let is_outlet = description.stages.iter().any(|s| s.index == to && s.role == Role::Outlet);
    if is_outlet && !is_only_edge {
        return; // whose packets they are is seen by the model only
    }
    let came = |(port, number): &(usize, u64)| {
        (*port == joined.port || *port == usize::MAX).then_some(*number)
    };
    let got: Vec<u64> = traces[to].took.iter().filter_map(came).collect();
    assert_eq!(counters.left, got.len() as u64, "{from} to {to}");
    // In order, and each at most once: every packet taken is found behind the one before it.
    let mut has_come = vec![false; sent.len()];
    let mut next = 0;
    for number in &got {
        let at = sent[next..].iter().position(|sent| sent == number);
        let at = next + at.unwrap_or_else(|| panic!("{from} to {to}: {number} out of order"));
        has_come[at] = true;
        next = at + 1;
    }
    match joined.policy {
        None => assert_eq!(&got, &sent[..got.len()], "what is lent comes at once"),
        Some(Policy::Wait) => {
            assert_eq!(counters.dropped(), 0);
            assert_eq!(&got, &sent[..got.len()], "{from} to {to} lost something");
        }
        Some(Policy::DropOldest) => {}
        // A packet that came twice, by two ways, is not told from itself: which one was dropped?
        Some(Policy::ToKeyframe) if has_twice(sent) => {}
        Some(Policy::ToKeyframe) => check_decodable(sent, &has_come),
    }
}

fn has_twice(numbers: &[u64]) -> bool {
    let distinct: BTreeSet<&u64> = numbers.iter().collect();
    distinct.len() < numbers.len()
}

/// Nothing came that needs a packet which did not: one of its track since the keyframe, or that.
fn check_decodable(sent: &[u64], has_come: &[bool]) {
    let mut is_broken: BTreeMap<TrackId, bool> = BTreeMap::new();
    for (number, has_come) in sent.iter().zip(has_come) {
        let is_broken = is_broken.entry(track(*number)).or_default();
        if is_keyframe(*number) {
            *is_broken = false;
        }
        assert!(!*has_come || !*is_broken, "{number} needs what was dropped");
        *is_broken |= !has_come;
    }
}

/// What must come out where nothing is dropped: each stage's function of all that reached it.
fn check_against_model(world: &World) {
    let traces = world.traces.borrow();
    // What each stage must emit, and whether in one order only: where ways meet, any will do.
    let mut emits: Vec<(Vec<u64>, bool)> = Vec::new();
    for (index, what) in world.what.iter().enumerate() {
        let ins: Vec<&Joined> = world.edges.iter().filter(|edge| edge.to == index).collect();
        let mut expected: Vec<u64> = Vec::new();
        let mut is_ordered = ins.len() <= 1;
        for edge in &ins {
            let (numbers, was_ordered) = &emits[edge.from];
            expected.extend(numbers);
            is_ordered &= was_ordered;
        }
        let mut took: Vec<u64> = traces[index].took.iter().map(|(_, number)| *number).collect();
        let mut model = expected.clone();
        if !is_ordered {
            took.sort_unstable();
            model.sort_unstable();
        }
        assert_eq!(took, model, "stage {index} took something else");
        let count = expected.len() as u64;
        let emitted = match what {
            What::Source => traces[index].emitted.clone(),
            What::Filter => expected.into_iter().filter(|one| passes(index, *one)).collect(),
            What::Multiply => {
                let products = expected.into_iter().flat_map(|number| products(index, number));
                products.chain(tail(index, count)).collect()
            }
            What::Delay => expected,
            What::Sink => Vec::new(),
        };
        if *what == What::Delay {
            let mut ended = traces[index].ended_ports.clone();
            ended.sort_unstable();
            assert_eq!(ended, (0..ins.len()).collect::<Vec<usize>>(), "each port ends once");
        }
        emits.push((emitted, is_ordered));
    }
}
