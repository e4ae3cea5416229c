//! Packets that leave at their time, by a clock that the test moves.

use std::time::Duration;

use media_flow::*;

use crate::lab::*;

fn at(milliseconds: i64) -> MediaPacket {
    MediaPacket {
        presentation: milliseconds,
        decode: milliseconds,
        ..packet(milliseconds as u64, 8)
    }
}

#[test]
fn a_file_is_played_at_its_own_speed() {
    let mut plan = Plan::new();
    let (source, out) = (plan.source("file"), plan.outlet("out"));
    let pace = plan.retain("pace", Pace::new(2));
    plan.queue(source, pace, bound(1), Policy::Wait).queue(pace, out, bound(8), Policy::Wait);
    let mut graph = plan.build().expect("a graph");
    let begin = start();
    // 500 stands for a loop: back to the beginning, without waiting.
    let times = [60_000, 60_020, 60_020, 60_100, 500, 510];
    let mut left: Vec<i64> = times.to_vec();
    let mut now = begin;
    let mut heard = Vec::new();
    let mut has_ended = false;
    for _ in 0..100 {
        while !left.is_empty() && graph.push(now, source, at(left[0])).is_ok() {
            left.remove(0);
            poll_all(&mut graph);
        }
        if left.is_empty() {
            graph.handle(now, Input::Drain);
        }
        has_ended |= poll_all(&mut graph).contains(&Output::Ended);
        let elapsed = (now - begin).as_millis() as u64;
        heard.extend(take_all(&mut graph, now, out).into_iter().map(|number| (elapsed, number)));
        has_ended |= poll_all(&mut graph).contains(&Output::Ended);
        if let Some(deadline) = graph.deadline() {
            assert!(deadline > now || !left.is_empty(), "no deadline is asked for twice");
            now = deadline.max(now);
            graph.handle(now, Input::Tick);
        }
        assert!(now - begin < Duration::from_secs(1));
    }
    let expected = [(0, 60_000), (20, 60_020), (20, 60_020), (100, 60_100), (100, 500), (110, 510)];
    assert!(has_ended);
    assert_eq!(heard, expected);
}
