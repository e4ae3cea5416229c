//! Pulls: back-off, redirects, names, demand.

use std::net::SocketAddr;
use std::time::Duration;

use engine_node::{EndCause, Message, PullFailure, PullOrder, Question, SessionId, Verdict};

use super::{World, config};
use crate::Input;

const ALWAYS: &str = "[[mount]]\nname = \"/p\"\npull = [\"http://127.0.0.1:9000/up\"]\n";
const ON_DEMAND: &str = "[[mount]]\nname = \"/p\"\npull = [\"http://127.0.0.1:9000/up\"]\n\
                         pull_on_demand = true\n";
const TWO_URLS: &str = "[[mount]]\nname = \"/p\"\n\
                        pull = [\"http://127.0.0.1:9000/up\", \"http://127.0.0.2:9000/up\"]\n";

impl World {
    fn order(&mut self) -> PullOrder {
        let mut orders = self.orders();
        assert_eq!(orders.len(), 1, "one attempt at a time");
        orders.remove(0)
    }

    fn fail(&mut self, order: &PullOrder, failure: PullFailure) {
        let failure = Box::new(failure);
        self.message(0, Message::PullFailed { mount: order.mount, order: order.order, failure });
    }

    /// The attempt becomes a source.
    fn succeed(&mut self, order: &PullOrder) -> Option<SessionId> {
        let stream = Box::new(World::offer("audio/mpeg"));
        let mount = order.mount_name.clone();
        let question = Question::Claim { mount, stream, pull_order: Some(order.order) };
        let token = self.ask(0, question);
        match self.verdict(token) {
            Some(Verdict::Granted(session)) => Some(session),
            Some(Verdict::SourceRefused(_)) => None,
            other => panic!("a pull's claim was answered with {other:?}"),
        }
    }

    fn stops(&mut self) -> usize {
        self.take(|_, message| matches!(message, Message::StopPull(_)).then_some(())).len()
    }

    /// Waits, a tenth of a second at a time, for the next attempt.
    fn time_to_order(&mut self, most: Duration) -> Option<(Duration, PullOrder)> {
        let from = self.now;
        while self.now - from <= most {
            self.wait(Duration::from_millis(100));
            if let Some(order) = self.orders().pop() {
                return Some((self.now - from, order));
            }
        }
        None
    }
}

fn unreachable() -> PullFailure {
    PullFailure::Unreachable("connection refused".into())
}

#[test]
fn a_permanent_pull_starts_at_once() {
    let mut world = World::new(ALWAYS);
    let order = world.order();
    assert_eq!(order.mount_name, "/p");
    assert_eq!(order.address, SocketAddr::from(([127, 0, 0, 1], 9000)));
    assert_eq!((order.host.as_str(), order.path.as_str()), ("127.0.0.1:9000", "/up"));
    let session = world.succeed(&order);
    assert!(session.is_some());
    assert_eq!(world.heard("/p"), session);
    let source = world.control.view().mounts[0].source.clone();
    assert!(source.is_some_and(|source| source.is_pull));
    world.wait_s(300);
    assert_eq!(world.orders().len(), 0);
}

#[test]
fn failures_wait_longer_each_time() {
    let mut world = World::new(ALWAYS);
    let mut order = world.order();
    for expected_s in [1, 2, 4, 8, 16, 32, 64, 120, 120] {
        world.fail(&order, unreachable());
        assert_eq!(world.orders().len(), 0, "not at once");
        let (waited, next) = world.time_to_order(Duration::from_secs(130)).expect("tried again");
        let range = Duration::from_millis(expected_s * 800)
            ..=Duration::from_millis(expected_s * 1000 + 100);
        assert!(range.contains(&waited), "{waited:?} for {expected_s} s");
        order = next;
    }
    // A short life keeps the wait, a long one takes it back.
    let session = world.succeed(&order).expect("granted");
    world.wait_s(5);
    world.end(session);
    let (waited, order) = world.time_to_order(Duration::from_secs(130)).expect("tried again");
    assert!(waited > Duration::from_secs(90), "{waited:?}");
    let session = world.succeed(&order).expect("granted");
    world.wait_s(61);
    world.message(0, Message::SourceEnded { session, cause: EndCause::TimedOut });
    let (waited, _) = world.time_to_order(Duration::from_secs(130)).expect("tried again");
    assert!(waited < Duration::from_millis(1200), "{waited:?}");
}

#[test]
fn the_next_url_is_tried_at_once() {
    let mut world = World::new(TWO_URLS);
    let first = world.order();
    world.fail(&first, PullFailure::Status(404));
    let second = world.order();
    assert_eq!(second.address, SocketAddr::from(([127, 0, 0, 2], 9000)));
    world.fail(&second, PullFailure::Malformed("no head".into()));
    assert_eq!(world.orders().len(), 0);
    let (_, third) = world.time_to_order(Duration::from_secs(2)).expect("tried again");
    assert_eq!(third.address, first.address, "a round begins with the first");
}

#[test]
fn late_answers_are_ignored() {
    let mut world = World::new(TWO_URLS);
    let first = world.order();
    world.fail(&first, unreachable());
    let second = world.order();
    world.fail(&first, unreachable());
    assert_eq!(world.orders().len(), 0);
    assert_eq!(world.succeed(&first), None);
    assert!(world.succeed(&second).is_some());
}

#[test]
fn redirects_are_followed_ten_times() {
    let mut world = World::new(ALWAYS);
    let mut order = world.order();
    for hop in 1..=10 {
        world.fail(&order, PullFailure::Redirected(format!("/hop{hop}")));
        order = world.order();
        assert_eq!(order.path, format!("/hop{hop}"));
    }
    assert_eq!(world.control.view().control.pull_failures, 0);
    world.fail(&order, PullFailure::Redirected("/hop11".into()));
    assert_eq!(world.orders().len(), 0);
    let (_, order) = world.time_to_order(Duration::from_secs(2)).expect("a new round");
    assert_eq!(order.path, "/up");
    world.fail(&order, PullFailure::Redirected("http://127.0.0.3:81/x".into()));
    let order = world.order();
    assert_eq!(order.address, SocketAddr::from(([127, 0, 0, 3], 81)));
    world.fail(&order, PullFailure::Redirected("https://127.0.0.3/x".into()));
    assert_eq!(world.orders().len(), 0, "no TLS");
}

#[test]
fn a_loop_waits_long() {
    let mut world = World::new(ALWAYS);
    let order = world.order();
    world.fail(&order, PullFailure::Loop);
    let (waited, _) = world.time_to_order(Duration::from_secs(130)).expect("tried again");
    assert!(waited > Duration::from_secs(90), "{waited:?}");
}

#[test]
fn names_are_looked_up_and_their_addresses_tried_in_turn() {
    let mut world =
        World::new("[[mount]]\nname = \"/p\"\npull = [\"http://radio.example:9000/up\"]\n");
    assert_eq!(world.orders().len(), 0);
    let (id, host, port) = world.resolves.pop_front().expect("asked");
    assert_eq!((host.as_str(), port), ("radio.example", 9000));
    let addresses: Vec<SocketAddr> = [1, 2].map(|last| ([127, 0, 0, last], 9000).into()).into();
    world.input(Input::Resolved { id, addresses: Ok(addresses.clone()) });
    let order = world.order();
    assert_eq!((order.address, order.host.as_str()), (addresses[0], "radio.example:9000"));
    world.fail(&order, unreachable());
    let order = world.order();
    assert_eq!(order.address, addresses[1]);
    world.fail(&order, unreachable());
    assert_eq!(world.orders().len(), 0);
    world.wait_s(2);
    let (id, ..) = world.resolves.pop_front().expect("asked again");
    world.input(Input::Resolved { id: id - 1, addresses: Ok(addresses) });
    assert_eq!(world.orders().len(), 0, "a late answer");
    world.input(Input::Resolved { id, addresses: Err("no such name".into()) });
    assert_eq!(world.orders().len(), 0);
    assert_eq!(world.resolves.len(), 0);
}

#[test]
fn nothing_waits_for_a_resolver_or_a_shard_for_ever() {
    let mut world =
        World::new("[[mount]]\nname = \"/p\"\npull = [\"http://radio.example:9000/up\"]\n");
    world.wait_s(40);
    assert_eq!(world.resolves.len(), 2);
    let mut world = World::new(ALWAYS);
    let first = world.order();
    world.wait_s(40);
    assert_eq!(world.stops(), 1);
    assert!(world.order().order > first.order);
}

#[test]
fn on_demand_who_waits_in_vain_is_told_after_one_round() {
    let mut world = World::new(ON_DEMAND);
    assert_eq!(world.listen(0, "/p"), Ok("/p".into()));
    let order = world.order();
    let told = |world: &mut World| {
        let homes = world.take(|to, message| match message {
            Message::NothingComes(home) => Some((to, *home)),
            _ => None,
        });
        homes.len()
    };
    assert_eq!(told(&mut world), 0);
    world.fail(&order, PullFailure::Unreachable("refused".into()));
    assert_eq!(told(&mut world), 2, "every shard");
    // Who comes now waits for the next attempt.
    assert_eq!(world.listen(0, "/p"), Ok("/p".into()));
    assert_eq!(told(&mut world), 0);
    world.wait_s(2);
    let order = world.order();
    let session = world.succeed(&order).expect("granted");
    world.message(0, Message::SourceEnded { session, cause: EndCause::Killed });
    assert_eq!(told(&mut world), 0, "a stream that ends is no attempt that failed");
}

#[test]
fn on_demand_begins_and_ends_with_listeners() {
    let mut world = World::new(ON_DEMAND);
    world.wait_s(30);
    assert_eq!(world.orders().len(), 0);
    assert!(world.snapshot.find("/p").is_some_and(|entry| entry.on_demand));
    assert_eq!(world.listen(0, "/p"), Ok("/p".into()));
    let order = world.order();
    let session = world.succeed(&order).expect("granted");
    world.stats(0, &[("/p", 1)], &[]);
    world.stats(1, &[], &[]);
    world.wait_s(60);
    assert_eq!(world.stops(), 0);
    let home = world.id("/p");
    world.message(0, Message::Left(home));
    world.wait_s(5);
    // Somebody comes back in time.
    assert_eq!(world.listen(1, "/p"), Ok("/p".into()));
    world.wait_s(8);
    assert_eq!(world.stops(), 0);
    world.message(1, Message::Left(home));
    world.wait_s(9);
    assert_eq!(world.stops(), 0);
    world.wait_s(2);
    assert_eq!(world.stops(), 1);
    world.message(0, Message::SourceEnded { session, cause: EndCause::Killed });
    world.wait_s(30);
    assert_eq!(world.orders().len(), 0);
    // A listener who comes while it ends starts it again.
    assert_eq!(world.listen(0, "/p"), Ok("/p".into()));
    assert_eq!(world.orders().len(), 1);
}

#[test]
fn who_listens_to_a_mount_wants_its_fallback() {
    let mut world =
        World::new(&format!("{ON_DEMAND}[[mount]]\nname = \"/a\"\nfallback = \"/p\"\n"));
    let a = world.source(0, "/a");
    world.stats(0, &[("/a", 1)], &[]);
    world.stats(1, &[], &[]);
    world.wait_s(20);
    assert_eq!(world.orders().len(), 0);
    world.end(a);
    let order = world.order();
    let session = world.succeed(&order);
    assert_eq!(world.heard("/a"), session);
    world.wait_s(60);
    assert_eq!(world.stops(), 0, "it is heard");
}

#[test]
fn a_live_source_keeps_a_pull_waiting() {
    let mut world = World::new(&format!("{ALWAYS}takeover = true\n"));
    let order = world.order();
    let pulled = world.succeed(&order).expect("granted");
    let token = world.ask_claim(1, "/p", World::offer("audio/mpeg"));
    assert_eq!(world.kills(), [pulled]);
    world.end(pulled);
    let super::Claimed::Granted(live) = world.claimed(token) else { panic!("not granted") };
    world.wait_s(60);
    assert_eq!(world.orders().len(), 0);
    world.end(live);
    assert!(world.time_to_order(Duration::from_secs(6)).is_some());
}

#[test]
fn a_reload_starts_and_stops_pulls() {
    let mut world = World::new("");
    world.input(Input::Reload(config(ALWAYS)));
    let order = world.order();
    let session = world.succeed(&order).expect("granted");
    world.input(Input::Reload(config(TWO_URLS)));
    assert_eq!(world.stops(), 1, "its URLs changed");
    world.end(session);
    let order = world.order();
    assert!(world.succeed(&order).is_some());
    world.input(Input::Reload(config("")));
    assert_eq!(world.stops(), 1);
    world.wait_s(200);
    assert_eq!(world.orders().len(), 0);
}

#[test]
fn a_server_that_stops_tries_no_more() {
    let mut world = World::new(ALWAYS);
    let order = world.order();
    world.input(Input::Drain);
    assert_eq!(world.stops(), 1);
    assert_eq!(world.succeed(&order), None);
    world.wait_s(5);
    assert_eq!(world.orders().len(), 0);
}
