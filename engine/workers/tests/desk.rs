//! A desk on a real shard, a supervisor, and processes that echo, crash and refuse.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use engine_workers::{Departure, Desk, Supervisor, SupervisorSettings, Word, WorkerId};
use media_link::{Job, Message};
use shards_mesh::mesh;
use shards_ring::{RingConfig, RingGroup, UringIo};
use shards_runtime::{Completion, Context, Io, Service, Shard, ShardId, Token};

const PATIENCE: Duration = Duration::from_secs(30);

/// Hires one worker, and tells the test what it hears.
struct Office {
    desk: Desk,
    job: Job,
    heard: Sender<String>,
    asked: Receiver<()>,
    worker: Option<WorkerId>,
}

impl Service<UringIo> for Office {
    type Message = ();

    fn on_start(&mut self, _: &mut Context<'_, UringIo, ()>) {
        self.worker = self.desk.hire(self.job.clone());
    }

    fn on_completion(
        &mut self,
        cx: &mut Context<'_, UringIo, ()>,
        completion: Completion<<UringIo as Io>::Buffer>,
    ) {
        assert!(Desk::owns(completion.token()));
        self.desk.on_completion(cx, completion);
    }

    fn on_message(&mut self, _: &mut Context<'_, UringIo, ()>, _: ShardId, (): ()) {}

    fn on_timer(&mut self, _: &mut Context<'_, UringIo, ()>, _: Token) {}

    fn on_tick_end(&mut self, cx: &mut Context<'_, UringIo, ()>) {
        self.desk.on_tick_end(cx);
        while let Some(word) = self.desk.poll() {
            let text = match word {
                Word::Started(_) => "started".to_owned(),
                Word::Said(id, Message::Hello(_)) => {
                    self.desk.say(id, Message::KeyframeWanted { track: 2 }).expect("it runs");
                    "hello".to_owned()
                }
                Word::Said(_, Message::KeyframeWanted { track }) => format!("echo {track}"),
                Word::Said(_, Message::End(ending)) => ending.to_string(),
                Word::Said(_, other) => format!("{other:?}"),
                Word::Closed(_) => "closed".to_owned(),
                Word::Departed(_, Departure::Done) => "done".to_owned(),
                Word::Departed(_, Departure::Refused) => "refused".to_owned(),
                Word::Departed(_, Departure::Crashed { again_in, .. }) => {
                    format!("crashed, again in {again_in:?}")
                }
            };
            self.heard.send(text).ok();
        }
        if let (Ok(()), Some(worker)) = (self.asked.try_recv(), self.worker) {
            self.desk.dismiss(worker);
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let soon = Some(now() + Duration::from_millis(20));
        self.desk.deadline().min(soon).or(soon)
    }
}

#[allow(clippy::disallowed_methods, reason = "the test waits for processes")]
fn now() -> Instant {
    Instant::now()
}

fn parrot() -> PathBuf {
    let test = std::env::current_exe().expect("the test's own path");
    let folder = test.parent().and_then(|deps| deps.parent()).expect("target/debug");
    folder.join("examples/parrot")
}

/// What is heard, until the last of it is `until`.
fn hear(source: &str, dismiss_after: Option<&str>, until: &str) -> Vec<String> {
    let settings = SupervisorSettings {
        pause_min: Duration::from_millis(20),
        pause_max: Duration::from_millis(40),
        ..SupervisorSettings::new(parrot())
    };
    let (supervisor, mut desks) = Supervisor::start(settings, 1).expect("a thread");
    let job = format!(r#"{{"job":"stream","name":"s","source":"{source}"}}"#);
    let job: Job = serde_json::from_str(&job).expect("a job");
    let (heard, hears) = channel();
    let (ask, asked) = channel();
    let desk = desks.remove(0);
    let is_over = Arc::new(AtomicBool::new(false));
    let of_shard = is_over.clone();
    let shard = std::thread::spawn(move || {
        let group = RingGroup::new(2).expect("an eventfd for each participant");
        let io = group.open(ShardId(0), RingConfig::default()).expect("a kernel with io_uring");
        let port = mesh(2, 16).remove(0);
        let mut shard = Shard::new(io, port, Office { desk, job, heard, asked, worker: None });
        while shard.tick() && !of_shard.load(Ordering::Relaxed) {}
    });
    let mut all = Vec::new();
    loop {
        let text = hears.recv_timeout(PATIENCE).expect("it is heard in time");
        if dismiss_after == Some(text.as_str()) {
            ask.send(()).expect("the shard runs");
        }
        all.push(text);
        if all.last().is_some_and(|last| last == until) {
            break;
        }
    }
    is_over.store(true, Ordering::Relaxed);
    shard.join().expect("the shard ends");
    supervisor.stop();
    all
}

#[test]
fn a_worker_is_told_its_job_and_talks_until_it_is_dismissed() {
    let heard = hear("echo", Some("echo 2"), "done");
    let order = ["started", "hello", "echo 2", "complete"];
    assert_eq!(heard[..4], order, "{heard:?}");
}

#[test]
fn a_worker_that_crashes_is_started_again_later_each_time() {
    let heard = hear("crash", None, "crashed, again in 40ms");
    let crashes: Vec<_> = heard.iter().filter(|it| it.starts_with("crashed")).collect();
    assert_eq!(crashes, ["crashed, again in 20ms", "crashed, again in 40ms"]);
    assert_eq!(heard.iter().filter(|it| *it == "started").count(), 2, "{heard:?}");
}

#[test]
fn a_worker_that_refuses_is_not_started_again() {
    let heard = hear("refuse", None, "refused");
    assert_eq!(heard.iter().filter(|it| *it == "started").count(), 1, "{heard:?}");
}
