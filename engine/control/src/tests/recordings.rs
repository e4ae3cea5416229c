//! The list of recordings, and what happens to streams.

use engine_events::{Done, Order, Told};
use engine_node::Message;
use media_link::{Event, Recording};
use shards_runtime::Token;

use super::World;
use crate::Input;

fn recording(name: &str, is_closed: bool) -> Recording {
    let (name, stream) = (name.to_owned(), "hall".to_owned());
    Recording { name, stream, is_closed, started_at_ms: 1_000, ..Recording::default() }
}

impl World {
    fn told(&mut self, event: Event) {
        let told = Told::of("hall", event).expect("it is told");
        self.message(0, Message::Happened(Box::new(told)));
    }

    /// Names of events that the shards were told of, by shard.
    fn events(&mut self) -> Vec<(u16, u64, &'static str)> {
        self.take(|shard, message| match message {
            Message::Event(it) => Some((shard, it.number, it.name)),
            _ => None,
        })
    }

    /// Has it removed; the status of the answer, once there is one.
    fn remove(&mut self, path: &str) -> Token {
        self.ask_by("DELETE", &format!("/artifacts/{path}"), "")
    }

    fn status_of(&mut self, asked: Token) -> Option<u16> {
        self.answer(asked).map(|(status, _)| status)
    }
}

#[test]
fn what_happens_is_numbered_and_told_to_every_shard() {
    let mut world = World::new("");
    world.told(Event::RecordingStarted(recording("a.mp4", false)));
    world.told(Event::RecordingGrew(recording("a.mp4", false)));
    world.told(Event::RecordingClosed(recording("a.mp4", true)));
    let (started, ended) = ("recording:started", "recording:ended");
    assert_eq!(world.events(), [(0, 0, started), (1, 0, started), (0, 1, ended), (1, 1, ended)]);
    let notes = world.orders.iter().filter(|order| matches!(order, Order::Note(_)));
    assert_eq!(notes.count(), 2, "what only lists need is not told");
    let (status, list) = world.get("/api/recordings", "");
    assert!(status == 200 && list.contains("\"url\":\"/artifacts/a.mp4\""), "{list}");
    let (_, status) = world.get("/api/status", "");
    assert!(status.contains("\"recordings\":1"), "{status}");
}

#[test]
fn a_recording_is_removed_by_the_keeper_and_then_from_the_list() {
    let mut world = World::new("");
    world.told(Event::RecordingClosed(recording("a.mp4", true)));
    world.told(Event::RecordingStarted(recording("b.mp4", false)));
    world.orders.clear();
    let asked = world.remove("none.mp4");
    assert_eq!(world.status_of(asked), Some(404));
    let asked = world.remove("b.mp4");
    assert_eq!(world.status_of(asked), Some(409), "it is being written");
    assert!(world.orders.is_empty());
    let asked = world.remove("a.mp4");
    assert_eq!(world.status_of(asked), None);
    let Some(Order::Remove { request, path }) = world.orders.pop() else { panic!("an order") };
    assert_eq!(path, "a.mp4");
    world.input(Input::Kept(Done::Removed { request, result: Ok(()) }));
    assert_eq!(world.status_of(asked), Some(200));
    assert!(!world.get("/api/recordings", "").1.contains("a.mp4"));
    assert!(world.events().iter().any(|(_, _, name)| *name == "recording:removed"));
    // A keeper that says nothing is not waited for.
    world.told(Event::RecordingClosed(recording("c.mp4", true)));
    let asked = world.remove("c.mp4");
    world.wait_s(6);
    assert_eq!(world.status_of(asked), Some(503));
}
