//! Counting over a session's life, and stopping.

use std::time::Duration;

use engine_node::{EndCause, Message, StreamNews};
use protocol_icy::Title;

use super::{Claimed, World};
use crate::Input;

#[test]
fn totals_of_a_session_only_grow() {
    let mut world = World::new("");
    let session = world.source(0, "/a");
    let sent = |world: &World| {
        let view = world.control.view();
        view.mounts[0].source.as_ref().map(|source| source.bytes_sent)
    };
    world.stats(0, &[("/a", 1)], &[(session, 100)]);
    world.stats(1, &[("/a", 2)], &[(session, 50)]);
    assert_eq!(sent(&world), Some(150));
    // The second shard let go of its feed, and began another.
    world.stats(1, &[], &[]);
    assert_eq!(sent(&world), Some(150));
    world.stats(1, &[("/a", 1)], &[(session, 7)]);
    assert_eq!(sent(&world), Some(157));
    let mount = &world.control.view().mounts[0];
    assert_eq!((mount.listeners_count, mount.listeners_peak), (2, 3));
    world.end(session);
    world.stats(0, &[], &[]);
    world.stats(1, &[], &[]);
    world.source(0, "/a");
    world.stats(0, &[], &[]);
    assert_eq!(sent(&world), Some(0), "each session counts for itself");
    assert_eq!(world.control.view().mounts[0].listeners_peak, 0);
}

#[test]
fn news_of_a_stream_are_seen() {
    let mut world = World::new("");
    let session = world.source(0, "/a");
    let title = Box::new(StreamNews::Title(Title::new("A - B")));
    world.message(0, Message::StreamNews { session, news: title });
    let source = world.control.view().mounts[0].source.clone().expect("it is up");
    assert_eq!(source.title.as_ref().map(Title::text), Some("A - B"));
    world.end(session);
    let late = Box::new(StreamNews::Title(Title::new("late")));
    world.message(0, Message::StreamNews { session, news: late });
    assert!(world.control.view().mounts[0].source.is_none());
}

#[test]
fn stopping_ends_when_every_shard_is_done() {
    let mut world = World::new("[server]\ndrain_s = 7\n");
    let session = world.source(0, "/a");
    world.input(Input::Drain);
    let drains = world.take(|_, message| match message {
        Message::Drain { within_ms } => Some(*within_ms),
        _ => None,
    });
    assert_eq!(drains, [7000, 7000]);
    let late = world.claim_as(0, "/b", World::offer("audio/mpeg"));
    assert!(matches!(late, Claimed::Refused(words) if words.contains("busy")));
    assert_eq!(world.get("/ready", "").0, 503);
    world.message(1, Message::Drained);
    assert!(!world.is_finished);
    world.sent.clear();
    world.message(0, Message::SourceEnded { session, cause: EndCause::Drained });
    assert!(world.sent.iter().all(|(to, _)| *to == 0), "who is gone is told nothing");
    world.message(0, Message::Drained);
    assert!(world.is_finished);
}

#[test]
fn stopping_does_not_wait_for_ever() {
    let mut world = World::new("[server]\ndrain_s = 7\n");
    world.input(Input::Drain);
    world.wait_s(10);
    assert!(!world.is_finished);
    world.wait_s(3);
    assert!(world.is_finished);
}

#[test]
fn a_second_order_to_stop_is_at_once() {
    let mut world = World::new("[server]\ndrain_s = 3600\n");
    world.input(Input::Drain);
    world.wait_s(5);
    world.sent.clear();
    world.input(Input::Drain);
    let drains =
        world.take(|_, message| matches!(message, Message::Drain { within_ms: 0 }).then_some(()));
    assert_eq!(drains.len(), 2);
    world.wait(Duration::from_secs(6));
    assert!(world.is_finished);
}
