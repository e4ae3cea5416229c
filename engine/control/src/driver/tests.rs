//! The driver on real threads, with one in place of each shard.

use std::sync::mpsc;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;

use engine_node::{Question, StreamOffer, Verdict};
use protocol_icy::StreamInfo;
use shards_runtime::Token;

use super::*;
use crate::Setup;

/// A bell of the standard library. Shards here do not sleep, so that theirs are silent.
#[derive(Clone, Default)]
struct TestBell(Arc<(Mutex<bool>, Condvar)>);

impl Bell for TestBell {
    fn wait(&self, timeout: Option<Duration>) {
        let (rung, changed) = &*self.0;
        let rung = rung.lock().expect("nobody panicked");
        let timeout = timeout.unwrap_or(Duration::from_secs(60));
        let wait = changed.wait_timeout_while(rung, timeout, |rung| !*rung);
        *wait.expect("nobody panicked").0 = false;
    }

    fn ring(&self, _shard: usize) {}

    fn ring_control(&self) {
        *self.0.0.lock().expect("nobody panicked") = true;
        self.0.1.notify_one();
    }
}

struct World {
    /// The shard's end of the mesh.
    shard: MeshPort<Message>,
    bell: TestBell,
    commands: Sender<Command>,
    thread: JoinHandle<()>,
}

fn start(toml: &str) -> World {
    let config = Arc::new(Config::parse("test.toml", toml).expect("a configuration"));
    let (now, started) = clocks();
    let setup = Setup { shards_count: 1, seed: 1, port: 8000, started };
    let control = Control::new(config, setup, now);
    // Queues of two, so that messages have to wait.
    let mut ports = shards_mesh::mesh(2, 2);
    let (port, shard) = (ports.remove(1), ports.remove(0));
    let bell = TestBell::default();
    let (commands, for_driver) = mpsc::channel();
    let ring = bell.clone();
    let thread = std::thread::spawn(move || run(control, port, ring, for_driver, None));
    World { shard, bell, commands, thread }
}

impl World {
    fn send(&mut self, message: Message) {
        let mut message = Some(message);
        while let Some(again) = message.take() {
            message = self.shard.send(1, again).err();
        }
        let bell = &self.bell;
        self.shard.publish(|_| bell.ring_control());
    }

    /// The next message for the shard that `select` knows.
    fn expect<T>(&mut self, select: impl Fn(Message) -> Option<T>) -> T {
        let (start, _) = clocks();
        loop {
            let mut found = None;
            self.shard.receive(1, 1, |message| found = select(message));
            if let Some(found) = found {
                return found;
            }
            assert!(clocks().0 < start + Duration::from_secs(20), "it does not come");
            std::thread::yield_now();
        }
    }

    fn command(&self, command: Command) {
        self.commands.send(command).expect("the driver runs");
        self.bell.ring_control();
    }

    fn stop(mut self) {
        self.command(Command::Drain);
        self.expect(|message| matches!(message, Message::Drain { .. }).then_some(()));
        self.send(Message::Drained);
        self.thread.join().expect("the driver ends when its shards have");
    }
}

#[test]
fn questions_are_answered_in_order_through_narrow_queues() {
    let mut world = start("");
    let offer = || StreamOffer {
        content_type: "audio/mpeg".to_owned(),
        info: StreamInfo::default(),
        peer: SocketAddr::from(([127, 0, 0, 1], 1)),
        agent: None,
        is_v1: false,
    };
    for slot in 0..50 {
        let (mount, stream) = (format!("/{slot}"), Box::new(offer()));
        let question = Box::new(Question::Claim { mount, stream, pull_order: None });
        world.send(Message::Ask { ask: Token { slot, generation: 0 }, question });
    }
    let mut newest = 0;
    for slot in 0..50 {
        let mut granted = None;
        while granted.is_none() {
            granted = world
                .expect(|message| match message {
                    Message::Snapshot(snapshot) => Some(Err(snapshot)),
                    Message::Verdict { ask, verdict } => Some(Ok((ask.slot, verdict))),
                    _ => None,
                })
                .map_err(|snapshot| {
                    assert!(snapshot.version > newest, "in order");
                    newest = snapshot.version;
                })
                .ok();
        }
        let (asked, verdict) = granted.expect("it was waited for");
        assert_eq!(asked, slot);
        assert!(matches!(*verdict, Verdict::Granted(_)));
    }
    world.stop();
}

#[test]
fn names_are_looked_up_beside_the_thread() {
    let mut world = start("[[mount]]\nname = \"/p\"\npull = [\"http://localhost:9000/up\"]\n");
    let address = world.expect(|message| match message {
        Message::StartPull(order) => Some(order.address),
        _ => None,
    });
    assert!(address.ip().is_loopback() && address.port() == 9000, "{address}");
    world.stop();
}

#[test]
fn a_new_configuration_reaches_the_shards() {
    let mut world = start("");
    let text = "[[mount]]\nname = \"/new\"\n";
    let config = Config::parse("test.toml", text).expect("a configuration");
    world.command(Command::Reload(Arc::new(config)));
    world.expect(|message| match message {
        Message::Snapshot(snapshot) => snapshot.find("/new").map(|_| ()),
        _ => None,
    });
    world.stop();
}
