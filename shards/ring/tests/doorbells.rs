//! Doorbells between shards, and between shards and the control plane.
#![allow(clippy::disallowed_methods, reason = "the tests time how long others sleep")]

mod common;

use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use common::{PATIENCE, small, token};
use shards_ring::{RingGroup, UringIo};
use shards_runtime::{Io, Op, ShardId};

const CONTROL: ShardId = ShardId(2);
const ROUNDS: usize = 200;

fn wait(io: &mut UringIo) {
    let mut completions = Vec::new();
    let asked = Instant::now();
    io.wait(Some(asked + PATIENCE), &mut completions);
    assert!(completions.is_empty());
    assert!(asked.elapsed() < PATIENCE, "nobody rang");
}

#[test]
fn two_shards_wake_each_other() {
    let group = RingGroup::new(3).unwrap();
    let barrier = Arc::new(Barrier::new(2));
    let other = {
        let (group, barrier) = (group.clone(), Arc::clone(&barrier));
        std::thread::spawn(move || {
            let mut io = group.open(ShardId(1), small()).unwrap();
            barrier.wait();
            for _ in 0..ROUNDS {
                wait(&mut io);
                io.doorbell(ShardId(0));
                io.flush();
            }
            barrier.wait();
        })
    };
    let mut io = group.open(ShardId(0), small()).unwrap();
    barrier.wait();
    for _ in 0..ROUNDS {
        io.doorbell(ShardId(1));
        wait(&mut io);
    }
    barrier.wait();
    other.join().unwrap();
    // A sibling that is gone, one that never was, and nobody at all.
    for sibling in [1, 9] {
        io.doorbell(ShardId(sibling));
    }
    let mut completions = Vec::new();
    io.wait(Some(io.now() + Duration::from_millis(20)), &mut completions);
    assert!(completions.is_empty());
}

#[test]
fn shards_and_control_wake_each_other() {
    let group = RingGroup::new(3).unwrap();
    let control = group.control();
    control.ring(ShardId(0));
    let shard = {
        let group = group.clone();
        std::thread::spawn(move || {
            let mut io = group.open(ShardId(0), small()).unwrap();
            // The ring from before the shard was there.
            wait(&mut io);
            io.doorbell(CONTROL);
            for _ in 0..ROUNDS {
                wait(&mut io);
                io.doorbell(CONTROL);
                io.flush();
            }
            io.flush();
        })
    };
    for _ in 0..ROUNDS {
        let asked = Instant::now();
        control.wait(Some(PATIENCE));
        assert!(asked.elapsed() < PATIENCE, "the shard did not ring");
        control.ring(ShardId(0));
    }
    control.wait(Some(PATIENCE));
    shard.join().unwrap();
    control.ring(ShardId(0));
    control.ring(ShardId(1));
    let asked = Instant::now();
    control.wait(Some(Duration::from_millis(30)));
    assert!(asked.elapsed() >= Duration::from_millis(30), "nobody rang any more");
    control.ring_control();
    control.wait(None);
}

#[test]
fn waiting_keeps_its_time() {
    let mut io = RingGroup::new(2).unwrap().open(ShardId(0), small()).unwrap();
    let mut completions = Vec::new();
    let before = io.now();
    io.wait(Some(before + Duration::from_millis(30)), &mut completions);
    let slept = io.now() - before;
    assert!(slept >= Duration::from_millis(30) && slept < Duration::from_secs(2), "{slept:?}");
    let enters = io.counters().enters;
    io.wait(Some(before), &mut completions);
    assert!(io.now() - before < slept + Duration::from_secs(1));
    assert_eq!(io.counters().enters, enters + 1);
    io.flush();
    assert_eq!(io.counters().enters, enters + 1, "nothing to submit is no system call");
    io.submit(token(1), Op::CancelConnect);
    assert!(io.wall_clock() > Duration::from_secs(1_700_000_000));
    assert!(completions.is_empty());
}
