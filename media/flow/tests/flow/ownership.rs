//! Who owns a packet: payload moves, is shared where ways part, and outlives its call where kept.

use bytes::Bytes;
use media_flow::*;

use crate::lab::*;

#[test]
fn on_one_way_the_payload_is_moved_and_where_ways_part_it_is_shared() {
    let log = Log::default();
    let mut plan = Plan::new();
    let source = plan.source("in");
    let watch = plan.inspect("watch", Watch::new("watch", &log));
    let (one, two) = (plan.outlet("one"), plan.outlet("two"));
    plan.queue(source, one, bound(4), Policy::Wait);
    plan.lend(source, watch).queue(watch, two, bound(4), Policy::Wait);
    let mut graph = plan.build().expect("a graph");
    let now = start();
    let payload = Bytes::from(7_u64.to_be_bytes().to_vec());
    let place = payload.as_ptr();
    let new = MediaPacket { payload, ..packet(7, 8) };
    graph.push(now, source, new).expect("room");
    poll_all(&mut graph);
    let (first, second) = (graph.take(now, one), graph.take(now, two));
    let (first, second) = (first.expect("a packet").payload, second.expect("a packet").payload);
    assert_eq!((first.as_ptr(), second.as_ptr()), (place, place), "no byte was copied");
    assert!(!first.is_unique());
    drop(first);
    assert!(second.is_unique(), "the graph has kept nothing");
}

#[test]
fn a_retained_packet_outlives_the_borrow_and_the_graph() {
    let log = Log::default();
    let mut plan = Plan::new();
    let source = plan.source("in");
    let (hold, out) = (plan.retain("hold", Hold::new(2, &log)), plan.outlet("out"));
    plan.queue(source, hold, bound(4), Policy::Wait).queue(hold, out, bound(4), Policy::Wait);
    let mut graph = plan.build().expect("a graph");
    let now = start();
    let buffer = Bytes::from(vec![0, 0, 0, 0, 0, 0, 0, 5, 42]);
    for _ in 0..3 {
        let new = MediaPacket { payload: buffer.slice(..), ..packet(5, 8) };
        graph.push(now, source, new).expect("room");
        poll_all(&mut graph);
    }
    let kept = graph.take(now, out).expect("the third pushed the first out");
    drop(graph);
    assert_eq!(kept.payload, buffer);
    drop(kept);
    assert!(buffer.is_unique(), "what the graph held went with it");
}

#[test]
fn ways_with_different_policies_do_not_disturb_each_other() {
    let mut plan = Plan::new();
    let source = plan.source("in");
    let (slow, fast) = (plan.outlet("slow"), plan.outlet("fast"));
    plan.queue(source, slow, bound(2), Policy::DropOldest);
    plan.queue(source, fast, bound(2), Policy::Wait);
    let mut graph = plan.build().expect("a graph");
    let now = start();
    let mut heard = Vec::new();
    for number in 0..100 {
        graph.push(now, source, packet(number, 8)).expect("who waits is served");
        poll_all(&mut graph);
        heard.extend(take_all(&mut graph, now, fast));
    }
    assert_eq!(heard, (0..100).collect::<Vec<u64>>());
    assert_eq!(take_all(&mut graph, now, slow), [98, 99]);
    assert_eq!(graph.edge_counters(source, slow).expect("an edge").dropped(), 98);
    assert_eq!(graph.edge_counters(source, fast).expect("an edge").dropped(), 0);
}

/// Packets need not be ours: a graph of numbers.
#[derive(Debug, PartialEq)]
struct Sample(i16);

impl Packet for Sample {
    type View<'a> = i16;

    fn view(&self) -> i16 {
        self.0
    }

    fn share(&self) -> Sample {
        Sample(self.0)
    }

    fn track(&self) -> TrackId {
        TrackId(0)
    }

    fn is_keyframe(&self) -> bool {
        true
    }

    fn size_bytes(&self) -> usize {
        2
    }
}

#[test]
fn any_type_of_packet_flows() {
    let mut plan: Plan<Sample> = Plan::new();
    let (source, out) = (plan.source("in"), plan.outlet("out"));
    plan.queue(source, out, Bound { packets_max: 9, bytes_max: 4 }, Policy::Wait);
    let mut graph = plan.build().expect("a graph");
    let now = start();
    assert_eq!(graph.credit(source), Credit { packets: 9, bytes: 4 });
    assert_eq!(graph.push(now, source, Sample(1)), Ok(()));
    assert_eq!(graph.push(now, source, Sample(2)), Ok(()));
    assert_eq!(graph.push(now, source, Sample(3)), Err(Refused::Full(Sample(3))));
    assert_eq!(graph.take(now, out), Some(Sample(1)));
    assert_eq!(graph.take(now, out), Some(Sample(2)));
}
