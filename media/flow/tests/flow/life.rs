//! A graph from its first packet to its last call: credit, pauses, drains, ends.

use std::time::{Duration, Instant};

use media_flow::*;

use crate::lab::*;

/// source → watch → split → hold → out, with a sink beside.
struct Chain {
    graph: Graph<MediaPacket>,
    source: Node<Source>,
    hold: Node<Retaining>,
    out: Node<Outlet>,
    log: Log<Event>,
    now: Instant,
}

fn chain(change: impl FnOnce(&mut Watch, &mut Split)) -> Chain {
    let log = Log::default();
    let mut watch = Watch::new("watch", &log);
    let mut split = Split { log: log.clone(), count: 2, burst_max: 2 };
    change(&mut watch, &mut split);
    let mut plan = Plan::new();
    // Not in the order of the flow: teardown follows the edges, not the plan.
    let out = plan.outlet("out");
    let beside = plan.sink("beside", Watch::new("beside", &log));
    let hold = plan.retain("hold", Hold::new(1, &log));
    let split = plan.convert("split", split);
    let watch = plan.inspect("watch", watch);
    let source = plan.source("source");
    plan.lend(source, watch).lend(watch, split).lend(split, beside);
    plan.queue(split, hold, bound(3), Policy::Wait).queue(hold, out, bound(2), Policy::Wait);
    let graph = plan.build().expect("a graph");
    Chain { graph, source, hold, out, log, now: start() }
}

fn closed(log: &Log<Event>) -> Vec<(&'static str, String)> {
    let log = log.borrow();
    let closes = log.iter().filter_map(|event| match event {
        Event::Closed(name, end) => Some((*name, end.clone())),
        Event::Took(..) => None,
    });
    closes.collect()
}

fn names(log: &Log<Event>) -> Vec<&'static str> {
    closed(log).into_iter().map(|(name, _)| name).collect()
}

/// Pushes until it is refused, polling after each.
fn fill(chain: &mut Chain, from: u64) -> u64 {
    let mut next = from;
    while chain.graph.push(chain.now, chain.source, packet(next, 8)).is_ok() {
        poll_all(&mut chain.graph);
        next += 1;
        assert!(next < from + 100, "its queues are bounded");
    }
    next
}

/// Takes until the outlet is closed.
fn drain(chain: &mut Chain, taken: &mut Vec<u64>) {
    let mut end_count = 0;
    for _ in 0..100 {
        let outputs = poll_all(&mut chain.graph);
        end_count += outputs.iter().filter(|output| **output == Output::Ended).count();
        taken.extend(take_all(&mut chain.graph, chain.now, chain.out));
    }
    assert_eq!(end_count, 1, "the end is told of once");
    assert!(chain.graph.is_closed(chain.out), "it does not drain:\n{}", chain.graph.explain());
}

#[test]
fn credit_reaches_back_to_the_source_and_nothing_is_lost() {
    let mut chain = chain(|_, _| {});
    let (now, out) = (chain.now, chain.out);
    let mut pushed = fill(&mut chain, 0);
    // Two in the outlet, one in the hold's hands and one held, three before it, one or two made.
    assert_eq!(pushed, 4);
    assert_eq!(chain.graph.credit(chain.source), Credit { packets: 0, bytes: 0 });
    assert_eq!(poll_all(&mut chain.graph), [], "nothing spins");
    let mut taken = Vec::new();
    while taken.len() < 20 {
        taken.push(number(&chain.graph.take(now, out).expect("one is there").payload));
        if poll_all(&mut chain.graph).contains(&Output::Credit(chain.source)) {
            pushed = fill(&mut chain, pushed);
        }
    }
    chain.graph.handle(now, Input::Drain);
    drain(&mut chain, &mut taken);
    let expected = (0..pushed).flat_map(|number| [number * 10, number * 10 + 1]);
    assert_eq!(taken, expected.collect::<Vec<u64>>());
}

#[test]
fn a_drain_delivers_everything_and_closes_once_in_order() {
    let mut chain = chain(|_, _| {});
    let now = chain.now;
    fill(&mut chain, 0);
    chain.graph.handle(now, Input::Drain);
    assert_eq!(chain.graph.state(), State::Draining);
    poll_all(&mut chain.graph);
    assert_eq!(names(&chain.log), ["watch"], "what feeds a full queue is still needed");
    let refused = chain.graph.push(now, chain.source, packet(9, 8));
    assert!(matches!(refused, Err(Refused::Ended(_))));
    let mut taken = Vec::new();
    drain(&mut chain, &mut taken);
    assert_eq!(taken, [0, 1, 10, 11, 20, 21, 30, 31]);
    let drained = |name| (name, "drained".to_owned());
    let mut ends = closed(&chain.log);
    let split = ends.iter().position(|(name, _)| *name == "split").expect("closed");
    let hold = ends.iter().position(|(name, _)| *name == "hold").expect("closed");
    assert!(split < hold);
    ends.sort();
    assert_eq!(ends, ["beside", "hold", "split", "watch"].map(drained));
    assert!(matches!(chain.graph.end(), Some(End::Drained)));
    assert_eq!((chain.graph.poll(), chain.graph.deadline()), (None, None));
}

#[test]
fn a_stop_discards_and_counts_what_is_in_flight() {
    let mut chain = chain(|_, _| {});
    let now = chain.now;
    fill(&mut chain, 0);
    chain.graph.handle(now, Input::Stop);
    assert_eq!(poll_all(&mut chain.graph), [Output::Ended]);
    assert_eq!(names(&chain.log), ["watch", "split", "beside", "hold"]);
    let discarded = chain.graph.edge_counters(chain.hold, chain.out).expect("an edge").discarded;
    assert_eq!(discarded, 2);
    assert!(chain.graph.take(now, chain.out).is_none());
    chain.graph.handle(now, Input::Drain);
    chain.graph.handle(now, Input::Stop);
    assert_eq!(poll_all(&mut chain.graph), []);
    assert_eq!(names(&chain.log).len(), 4, "each was closed once");
}

#[test]
fn a_failure_ends_the_graph_with_its_cause() {
    struct Fails;
    impl Inspect<MediaPacket> for Fails {
        fn handle(
            &mut self,
            _: Instant,
            _: Port,
            view: MediaView<'_>,
        ) -> Result<Verdict, StageError> {
            if number(view.payload) == 3 { Err("no more of it".into()) } else { Ok(Verdict::Pass) }
        }
    }
    let log = Log::default();
    let mut plan = Plan::new();
    let source = plan.source("source");
    let watch = plan.sink("watch", Watch::new("watch", &log));
    let fails = plan.sink("fails", Fails);
    plan.lend(source, watch);
    plan.queue(source, fails, bound(8), Policy::Wait);
    let mut graph = plan.build().expect("a graph");
    let now = start();
    for number in 0..6 {
        graph.push(now, source, packet(number, 8)).expect("room");
    }
    assert_eq!(poll_all(&mut graph), [Output::Ended]);
    assert_eq!(closed(&log), [("watch", "`fails` failed: no more of it".to_owned())]);
    assert_eq!(graph.edge_counters(source, fails).expect("an edge").discarded, 2);
    let refused = graph.push(now, source, packet(6, 8)).expect_err("it has ended");
    assert_eq!(number(&refused.into_packet().payload), 6);
    let Some(End::Failed { stage, cause: Fault::Stage(error) }) = graph.end() else {
        panic!("{graph:?}")
    };
    assert_eq!((stage.as_str(), error.to_string().as_str()), ("fails", "no more of it"));
}

#[test]
fn a_pause_stops_the_sources_and_nothing_else() {
    let mut chain = chain(|_, _| {});
    let (now, out) = (chain.now, chain.out);
    chain.graph.push(now, chain.source, packet(0, 8)).expect("room");
    chain.graph.handle(now, Input::Pause);
    assert_eq!(chain.graph.state(), State::Paused);
    let refused = chain.graph.push(now, chain.source, packet(1, 8));
    assert!(matches!(refused, Err(Refused::Paused(_))));
    assert_eq!(chain.graph.credit(chain.source).packets, 0);
    assert_eq!(poll_all(&mut chain.graph), [Output::Ready(out)]);
    assert_eq!(take_all(&mut chain.graph, now, out), [0]);
    chain.graph.handle(now, Input::Resume);
    assert_eq!(poll_all(&mut chain.graph), [Output::Credit(chain.source)]);
    chain.graph.push(now, chain.source, packet(1, 8)).expect("room");
    chain.graph.handle(now, Input::Drain);
    let mut taken = Vec::new();
    drain(&mut chain, &mut taken);
    assert_eq!(taken, [1, 10, 11]);
    assert_eq!(chain.graph.counters(chain.source).refused, 1);
}

#[test]
fn what_a_filter_stops_is_counted_there() {
    let mut chain = chain(|watch, _| watch.passes = |number| number % 2 == 0);
    for number in 0..4 {
        chain.graph.push(chain.now, chain.source, packet(number, 8)).expect("room");
        poll_all(&mut chain.graph);
    }
    let description = chain.graph.describe();
    let watch = description.stages.iter().find(|stage| stage.name == "watch").expect("a stage");
    let counters = watch.counters;
    assert_eq!((counters.taken, counters.emitted, counters.ended_here), (4, 2, 2));
    let took = |name| {
        let log = chain.log.borrow();
        log.iter().filter(|event| matches!(event, Event::Took(at, _) if *at == name)).count()
    };
    assert_eq!((took("watch"), took("beside")), (4, 4));
}

#[test]
fn more_than_the_burst_ends_the_graph() {
    let mut chain = chain(|_, split| split.burst_max = 1);
    chain.graph.push(chain.now, chain.source, packet(0, 8)).expect("it is taken first");
    assert_eq!(poll_all(&mut chain.graph), [Output::Ended]);
    let end = chain.graph.end().expect("it has ended").to_string();
    assert_eq!(end, "`split` failed: it emitted 2 packets in one call, at most 1");
    assert_eq!(names(&chain.log).len(), 4);
}

#[test]
fn a_packet_that_can_never_enter_a_queue_that_waits_ends_the_graph() {
    let mut plan = Plan::new();
    let (source, out) = (plan.source("source"), plan.outlet("out"));
    plan.queue(source, out, Bound { packets_max: 2, bytes_max: 100 }, Policy::Wait);
    let mut graph = plan.build().expect("a graph");
    graph.push(start(), source, packet(0, 101)).expect("it is taken first");
    assert_eq!(poll_all(&mut graph), [Output::Ended]);
    let end = graph.end().expect("it has ended").to_string();
    assert_eq!(end, "`source` failed: a packet of 101 bytes can never enter the queue to `out`");
}

#[test]
fn a_stage_that_ignores_its_deadline_ends_the_graph() {
    struct Stuck(Instant);
    impl Convert<MediaPacket> for Stuck {
        fn handle(
            &mut self,
            _: Instant,
            _: Port,
            _: MediaView<'_>,
            _: &mut Out<'_, MediaPacket>,
        ) -> Result<(), StageError> {
            Ok(())
        }
        fn deadline(&self) -> Option<Instant> {
            Some(self.0)
        }
    }
    let due = start() + Duration::from_millis(5);
    let mut plan = Plan::new();
    let (source, out) = (plan.source("source"), plan.outlet("out"));
    let stuck = plan.convert("stuck", Stuck(due));
    plan.lend(source, stuck).queue(stuck, out, bound(1), Policy::Wait);
    let mut graph = plan.build().expect("a graph");
    graph.handle(due - Duration::from_millis(1), Input::Tick);
    assert_eq!((graph.poll(), graph.deadline()), (None, Some(due)));
    graph.handle(due, Input::Tick);
    assert_eq!(poll_all(&mut graph), [Output::Ended]);
    let end = graph.end().expect("it has ended");
    assert!(matches!(end, End::Failed { stage, cause: Fault::NoProgress } if stage == "stuck"));
}

#[test]
fn each_source_may_end_by_itself() {
    let mut plan = Plan::new();
    let (left, right) = (plan.source("left"), plan.source("right"));
    let out = plan.outlet("out");
    plan.queue(left, out, bound(4), Policy::Wait).queue(right, out, bound(4), Policy::Wait);
    let mut graph = plan.build().expect("a graph");
    let now = start();
    for number in 0..3 {
        graph.push(now, left, packet(number, 8)).expect("room");
        graph.push(now, right, packet(10 + number, 8)).expect("room");
    }
    graph.handle(now, Input::EndSource(left));
    poll_all(&mut graph);
    assert_eq!(take_all(&mut graph, now, out), [0, 10, 1, 11, 2, 12], "in turn");
    assert_eq!(graph.state(), State::Running);
    graph.push(now, right, packet(13, 8)).expect("room");
    graph.handle(now, Input::EndSource(right));
    assert_eq!(poll_all(&mut graph), [Output::Ready(out)]);
    assert_eq!(take_all(&mut graph, now, out), [13]);
    assert_eq!(poll_all(&mut graph), [Output::Ended]);
}
