//! The mesh against a model of plain queues under random operations, and once on real threads.

use std::collections::VecDeque;

use proptest::prelude::*;
use shards_mesh::{MeshPort, mesh};

const PARTICIPANTS: usize = 3;
const CAPACITY: usize = 4;

#[derive(Clone, Debug)]
enum Step {
    Send { from: usize, to: usize },
    Publish { who: usize },
    Receive { who: usize, from: usize, max: usize },
    Sleep { who: usize },
    Awake { who: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let who = 0..PARTICIPANTS;
    prop_oneof![
        4 => (who.clone(), 1..PARTICIPANTS)
            .prop_map(|(from, by)| Step::Send { from, to: (from + by) % PARTICIPANTS }),
        2 => who.clone().prop_map(|who| Step::Publish { who }),
        3 => (who.clone(), who.clone(), 0..6_usize)
            .prop_map(|(who, from, max)| Step::Receive { who, from, max }),
        2 => who.clone().prop_map(|who| Step::Sleep { who }),
        1 => who.prop_map(|who| Step::Awake { who }),
    ]
}

/// What the mesh should do, in one thread's words.
#[derive(Default)]
struct Oracle {
    queues: [[VecDeque<u64>; PARTICIPANTS]; PARTICIPANTS],
    touched: [[bool; PARTICIPANTS]; PARTICIPANTS],
    asleep: [bool; PARTICIPANTS],
}

impl Oracle {
    fn run(&mut self, ports: &mut [MeshPort<u64>], number: u64, step: &Step) {
        match *step {
            Step::Send { from, to } => {
                let full = self.queues[to][from].len() == CAPACITY;
                let answer = ports[from].send(to, number);
                assert_eq!(answer, if full { Err(number) } else { Ok(()) });
                if !full {
                    self.queues[to][from].push_back(number);
                    self.touched[from][to] = true;
                }
            }
            Step::Publish { who } => {
                let mut woken = Vec::new();
                ports[who].publish(|sibling| woken.push(sibling));
                woken.sort_unstable();
                let mut expected = Vec::new();
                for to in 0..PARTICIPANTS {
                    let touched = std::mem::take(&mut self.touched[who][to]);
                    if touched && std::mem::take(&mut self.asleep[to]) {
                        expected.push(to);
                    }
                }
                assert_eq!(woken, expected);
            }
            Step::Receive { who, from, max } => {
                let mut got = Vec::new();
                let count = ports[who].receive(from, max, |message| got.push(message));
                let queue = &mut self.queues[who][from];
                let expected: Vec<u64> = queue.drain(..max.min(queue.len())).collect();
                assert_eq!(got, expected);
                assert_eq!(count, expected.len());
            }
            Step::Sleep { who } => {
                // A tick publishes before it sleeps.
                self.run(ports, number, &Step::Publish { who });
                let empty = self.queues[who].iter().all(VecDeque::is_empty);
                assert_eq!(ports[who].sleep(), empty);
                self.asleep[who] = empty;
            }
            Step::Awake { who } => {
                ports[who].awake();
                self.asleep[who] = false;
            }
        }
    }
}

proptest! {
    #[test]
    fn the_mesh_is_its_model(steps in prop::collection::vec(step(), 0..200)) {
        let mut ports = mesh::<u64>(PARTICIPANTS, CAPACITY);
        let mut oracle = Oracle::default();
        for (number, step) in steps.iter().enumerate() {
            oracle.run(&mut ports, number as u64, step);
        }
        let sent: u64 = ports.iter().map(|port| port.counters().sent).sum();
        let received: u64 = ports.iter().map(|port| port.counters().received).sum();
        let left: usize = oracle.queues.iter().flatten().map(VecDeque::len).sum();
        prop_assert_eq!(sent, received + left as u64);
    }
}

/// Two threads throw one number back and forth and park in between: a lost doorbell hangs.
#[test]
fn two_threads_never_sleep_over_a_message() {
    const ROUNDS: u64 = 20_000;
    let mut ports = mesh::<u64>(2, 8);
    let mut second = ports.pop().unwrap();
    let mut first = ports.pop().unwrap();
    let caller = std::thread::current();
    let answering = std::thread::spawn(move || {
        echo(&mut second, 0, ROUNDS, &caller);
        second.counters()
    });
    first.send(1, 1).unwrap();
    first.publish(|_| answering.thread().unpark());
    echo(&mut first, 1, ROUNDS, answering.thread());
    let counters = answering.join().unwrap();
    assert_eq!(counters.received + first.counters().received, ROUNDS);
    assert_eq!(first.counters().full, 0);
}

/// Answers each number with the next one until `last` is reached by either side.
fn echo(port: &mut MeshPort<u64>, sibling: usize, last: u64, other: &std::thread::Thread) {
    loop {
        let mut number = 0;
        port.receive(sibling, 1, |message| number = message);
        if number != 0 {
            if number < last {
                port.send(sibling, number + 1).unwrap();
                port.publish(|_| other.unpark());
            }
            if number + 1 >= last {
                return;
            }
        } else if port.sleep() {
            std::thread::park();
            port.awake();
        }
    }
}

#[test]
fn what_is_left_in_a_queue_is_dropped_once() {
    use std::sync::Arc;
    let counted = Arc::new(());
    let mut ports = mesh::<Arc<()>>(2, 4);
    for _ in 0..3 {
        ports[0].send(1, Arc::clone(&counted)).unwrap();
    }
    assert_eq!(ports[1].receive(0, 1, drop), 1);
    drop(ports);
    assert_eq!(Arc::strong_count(&counted), 1);
}

#[test]
#[should_panic(expected = "sends to itself")]
fn sending_to_oneself_is_a_bug() {
    let mut ports = mesh::<u8>(2, 1);
    let _ = ports[0].send(0, 1);
}
