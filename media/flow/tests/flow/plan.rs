//! What is checked when a graph is built, and how it is shown.

use media_flow::*;

use crate::lab::*;

fn error(make: impl FnOnce(&mut Plan<MediaPacket>)) -> PlanError {
    let mut plan = Plan::new();
    make(&mut plan);
    plan.build().map(|_| ()).expect_err("it is no graph")
}

fn watch() -> Watch {
    Watch::new("watch", &Log::default())
}

#[test]
fn what_is_no_graph_is_refused_with_the_name_of_the_stage() {
    let twice = error(|plan| {
        let (source, out) = (plan.source("a"), plan.outlet("a"));
        plan.queue(source, out, bound(1), Policy::Wait);
    });
    assert_eq!(twice.to_string(), "two stages are called `a`");
    assert_eq!(error(|_| {}).to_string(), "a plan without stages");
    let not_fed = error(|plan| {
        plan.outlet("out");
    });
    assert_eq!(not_fed.to_string(), "no edge leads to `out`");
    let nowhere = error(|plan| {
        let source = plan.source("in");
        let watch = plan.inspect("watch", watch());
        plan.lend(source, watch);
    });
    assert_eq!(nowhere.to_string(), "no edge leads on from `watch`, which is no sink");
    let joined_twice = error(|plan| {
        let (source, out) = (plan.source("in"), plan.outlet("out"));
        plan.queue(source, out, bound(1), Policy::Wait);
        plan.queue(source, out, bound(1), Policy::Wait);
    });
    assert_eq!(joined_twice.to_string(), "two edges lead from `in` to `out`");
    let no_bound = error(|plan| {
        let (source, out) = (plan.source("in"), plan.outlet("out"));
        plan.queue(source, out, Bound { packets_max: 1, bytes_max: 0 }, Policy::Wait);
    });
    assert_eq!(no_bound.to_string(), "the queue from `in` to `out` could hold no packet");
    let cycle = error(|plan| {
        let source = plan.source("in");
        let (one, two) = (plan.inspect("one", watch()), plan.inspect("two", watch()));
        plan.lend(source, one).lend(one, two).queue(two, one, bound(1), Policy::Wait);
    });
    assert_eq!(cycle.to_string(), "`one` is fed by a circle of stages");
    let lent_twice = error(|plan| {
        let source = plan.source("in");
        let (one, two) = (plan.inspect("one", watch()), plan.sink("two", watch()));
        plan.lend(source, one).lend(one, two).lend(source, two);
    });
    assert!(lent_twice.to_string().starts_with("`two` would be lent each packet twice"));
    let large = error(|plan| {
        for number in 0..=STAGES_MAX {
            plan.source(&number.to_string());
        }
    });
    assert_eq!(large.to_string(), "more than 256 stages, or too many edges");
}

#[test]
fn a_node_of_another_plan_is_noticed() {
    let mut other: Plan<MediaPacket> = Plan::new();
    other.source("first");
    let stranger = other.outlet("second");
    let error = error(|plan| {
        let source = plan.source("in");
        plan.queue(source, stranger, bound(1), Policy::Wait);
    });
    assert_eq!(error, PlanError::Stranger);
}

fn example() -> (Graph<MediaPacket>, Node<Source>, Node<Outlet>) {
    let log = Log::default();
    let mut plan = Plan::new();
    let camera = plan.source("camera");
    let meter = plan.inspect("meter", Watch::new("meter", &log));
    let viewer = plan.outlet("viewer");
    let jitter = plan.retain("jitter", Hold::new(0, &log));
    let check = plan.inspect("check", Watch::new("check", &log));
    let disk = plan.sink("disk", Watch::new("disk", &log));
    plan.lend(camera, meter);
    let bound = |packets_max| Bound { packets_max, bytes_max: 4096 };
    plan.queue(meter, viewer, bound(2), Policy::ToKeyframe);
    plan.queue(meter, jitter, bound(8), Policy::Wait);
    plan.lend(jitter, check).queue(check, disk, bound(9), Policy::DropOldest);
    (plan.build().expect("a graph"), camera, viewer)
}

#[test]
fn a_graph_explains_itself() {
    let (mut graph, camera, viewer) = example();
    for number in 0..5 {
        graph.push(start(), camera, packet(number, 10)).expect("room");
        poll_all(&mut graph);
    }
    let taken = graph.take(start(), viewer).expect("a packet");
    assert_eq!(number(&taken.payload), 3);
    let expected = "\
graph: running
camera (source): 5 in, 5 out
  ──lend──> meter: 5
meter (borrows, passes on): 5 in, 5 out
  ══retain═> viewer: at most 2 packets, 4096 bytes, drop to next keyframe; 1 through, 1 held, \
3 dropped
  ══retain═> jitter: at most 8 packets, 4096 bytes, wait; 5 through, 0 held, 0 dropped
viewer (outlet): 1 in
jitter (retains): 5 in, 5 out
  ──lend──> check: 5
check (borrows, passes on): 5 in, 5 out
  ──queue─> disk: at most 9 packets, 4096 bytes, drop oldest; 5 through, 0 held, 0 dropped
disk (sink, borrows): 5 in
";
    assert_eq!(graph.explain(), expected);
}

#[test]
fn a_description_is_data() {
    let (mut graph, camera, _) = example();
    graph.push(start(), camera, packet(0, 10)).expect("room");
    poll_all(&mut graph);
    graph.handle(start(), Input::Pause);
    let json = serde_json::to_value(graph.describe()).expect("serialisable");
    assert_eq!(json["state"], "paused");
    assert_eq!(json["end"], serde_json::Value::Null);
    assert_eq!(json["stages"][0]["role"], "source");
    assert_eq!(json["stages"][0]["counters"]["taken"], 1);
    let edge = &json["edges"][1];
    assert_eq!((&edge["from"], &edge["to"]), (&1.into(), &2.into()));
    assert_eq!(edge["policy"], "to_keyframe");
    assert_eq!(edge["bound"], serde_json::json!({"packets_max": 2, "bytes_max": 4096}));
    assert_eq!((&edge["is_boundary"], &edge["counters"]["held"]), (&true.into(), &1.into()));
    assert_eq!(json["edges"][0]["bound"], serde_json::Value::Null);
    assert_eq!(json["edges"][4]["is_boundary"], false, "it was retained before");
}
