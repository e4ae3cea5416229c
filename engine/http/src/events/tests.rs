//! Windows, cursors, limits and silence of a topic, by hand.

use super::*;

fn topic(limits: TopicLimits) -> Topic {
    Topic::new(limits)
}

/// As [`Topic::subscribe`] does.
fn subscriber(topic: &Topic, last_id: Option<&str>) -> Subscriber {
    let cursor = topic.0.borrow().resume(last_id);
    Subscriber { topic: topic.clone(), number: 0, cursor, heard: None }
}

fn say(topic: &Topic, text: &str) {
    topic.publish(&ServerEvent { data: Some(text), id: Some(text), ..ServerEvent::default() });
}

#[allow(clippy::disallowed_methods, reason = "a test has a clock")]
fn now() -> Instant {
    Instant::now()
}

fn next(subscriber: &mut Subscriber, now: Instant) -> More {
    Body::<()>::next(subscriber, &mut (), now)
}

/// All that it is sent now.
fn heard(subscriber: &mut Subscriber, now: Instant) -> String {
    let mut text = String::new();
    while let More::Block(block) = next(subscriber, now) {
        text.push_str(std::str::from_utf8(block.as_slice()).expect("it is text"));
    }
    text
}

#[test]
fn a_frame_exists_once() {
    let topic = topic(TopicLimits::default());
    let (mut one, mut other) = (subscriber(&topic, None), subscriber(&topic, None));
    let now = now();
    assert_eq!(heard(&mut one, now), "retry: 2000\n\n");
    assert_eq!(heard(&mut other, now), "retry: 2000\n\n");
    say(&topic, "a");
    let (More::Block(one), More::Block(other)) = (next(&mut one, now), next(&mut other, now))
    else {
        panic!("both hear it")
    };
    assert_eq!(one.as_slice(), b"id: a\ndata: a\n\n");
    assert_eq!(one.as_slice().as_ptr(), other.as_slice().as_ptr());
}

#[test]
fn who_is_slow_misses_the_oldest_and_is_told() {
    let topic = topic(TopicLimits { events_max: 2, ..TopicLimits::default() });
    let mut slow = subscriber(&topic, None);
    let now = now();
    heard(&mut slow, now);
    for text in ["a", "b", "c", "d", "e"] {
        say(&topic, text);
    }
    let rest = "id: d\ndata: d\n\nid: e\ndata: e\n\n";
    assert_eq!(heard(&mut slow, now), format!(": 3 events were missed\n\n{rest}"));
    let counters = topic.counters();
    assert_eq!((counters.published, counters.sent, counters.missed), (5, 2, 3));
}

#[test]
fn who_is_slow_is_cut_off_where_nothing_may_be_missed() {
    let limits = TopicLimits { bytes_max: 40, at_limit: AtLimit::End, ..TopicLimits::default() };
    let topic = topic(limits);
    let (mut slow, mut quick) = (subscriber(&topic, None), subscriber(&topic, None));
    heard(&mut slow, now());
    say(&topic, "a");
    assert!(heard(&mut quick, now()).ends_with("data: a\n\n"));
    // Longer than all that may wait, and yet sent.
    say(&topic, &"x".repeat(50));
    assert!(matches!(next(&mut slow, now()), More::End));
    assert_eq!(topic.counters().ended, 1);
    assert!(heard(&mut quick, now()).ends_with("x\n\n"));
}

#[test]
fn who_comes_back_hears_what_it_has_not() {
    let topic = topic(TopicLimits::default());
    for text in ["a", "b", "c"] {
        say(&topic, text);
    }
    let since = |id| heard(&mut subscriber(&topic, id), now()).replace("retry: 2000\n\n", "");
    assert_eq!(since(Some("a")), "id: b\ndata: b\n\nid: c\ndata: c\n\n");
    for id in [Some("c"), Some("unknown"), None] {
        assert_eq!(since(id), "");
    }
}

#[test]
fn silence_is_broken() {
    let topic = topic(TopicLimits::default());
    let mut subscriber = subscriber(&topic, None);
    let begin = now();
    assert_eq!(Body::<()>::deadline(&subscriber), None);
    heard(&mut subscriber, begin);
    let deadline = begin + Duration::from_secs(15);
    assert_eq!(Body::<()>::deadline(&subscriber), Some(deadline));
    assert_eq!(heard(&mut subscriber, deadline - Duration::from_millis(1)), "");
    assert_eq!(heard(&mut subscriber, deadline), ":\n\n");
    assert_eq!(Body::<()>::deadline(&subscriber), Some(deadline + Duration::from_secs(15)));
}
