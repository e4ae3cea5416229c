//! Logs on real files: order, rotation, full ports, a disk that fails.
#![allow(clippy::disallowed_methods, reason = "waits for another thread, by the real clock")]

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use shards_storage::{Counters, Storage, StorageConfig};

/// A directory of one test's own, gone when the test is over.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let path = std::env::temp_dir().join(format!("storage-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).expect("a directory for the test");
        Scratch(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _best_effort = fs::remove_dir_all(&self.0);
    }
}

fn start() -> Storage {
    start_with(StorageConfig::default())
}

fn start_with(config: StorageConfig) -> Storage {
    let config = StorageConfig {
        io_memory_bytes: 64 * 1024,
        drain_every: Duration::from_millis(10),
        ..config
    };
    Storage::start(config).expect("an executor")
}

fn lines(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).expect("the log");
    assert!(text.is_empty() || text.ends_with('\n'), "the last line is not whole");
    text.lines().map(str::to_owned).collect()
}

fn wait_until(storage: &Storage, what: &str, done: impl Fn(Counters) -> bool) {
    let begin = Instant::now();
    while !done(storage.counters()) {
        assert!(begin.elapsed() < Duration::from_secs(20), "{what}: {:?}", storage.counters());
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn lines_from_four_ports_arrive_whole_and_in_order() {
    const LINES: usize = 5000;
    let scratch = Scratch::new("order");
    let storage = start();
    let log = storage.log(&scratch.path("access.log")).expect("a log");
    let shards: Vec<_> = (0..4)
        .map(|shard| {
            let mut port = storage.port(log);
            std::thread::spawn(move || {
                for number in 0..LINES {
                    let line = format!("{shard} {number} {}", "x".repeat(number % 200));
                    while !port.append(line.clone().into_bytes()) {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                }
            })
        })
        .collect();
    for shard in shards {
        shard.join().expect("no panic");
    }
    let counters = storage.stop();
    assert_eq!(counters.lines_written_count, 4 * LINES as u64);
    assert_eq!(counters.write_errors_count, 0);

    let mut next = [0; 4];
    for line in lines(&scratch.path("access.log")) {
        let mut fields = line.split(' ');
        let mut number = || fields.next().and_then(|field| field.parse::<usize>().ok());
        let (shard, number) = (number().expect("a shard"), number().expect("a number"));
        assert_eq!(number, next[shard], "shard {shard}");
        assert_eq!(fields.next().map(str::len), Some(number % 200));
        next[shard] += 1;
    }
    assert_eq!(next, [LINES; 4]);
}

#[test]
fn a_log_is_appended_to_and_logs_are_apart() {
    let scratch = Scratch::new("apart");
    fs::write(scratch.path("a.log"), "from before\n").expect("a file");
    let storage = start();
    let a = storage.log(&scratch.path("a.log")).expect("a log");
    let b = storage.log(&scratch.path("b.log")).expect("a log");
    let (mut port_a, mut port_b) = (storage.port(a), storage.port(b));
    assert!(port_a.append(b"one".to_vec()));
    assert!(port_b.append(b"two".to_vec()));
    drop(storage); // Writes too.
    assert_eq!(lines(&scratch.path("a.log")), ["from before", "one"]);
    assert_eq!(lines(&scratch.path("b.log")), ["two"]);
    assert!(!port_a.append(b"late".to_vec()), "nobody would write it");
}

#[test]
fn rotation_goes_on_in_a_fresh_file() {
    let scratch = Scratch::new("rotation");
    let (path, old) = (scratch.path("access.log"), scratch.path("access.log.1"));
    let storage = start();
    let mut port = storage.port(storage.log(&path).expect("a log"));
    assert!(port.append(b"before".to_vec()));
    wait_until(&storage, "the first line", |counters| counters.lines_written_count == 1);
    fs::rename(&path, &old).expect("renamed");
    assert!(port.append(b"between".to_vec()));
    storage.reopen().expect("reopened");
    assert!(port.append(b"after".to_vec()));
    storage.stop();
    assert_eq!(lines(&old), ["before", "between"]);
    assert_eq!(lines(&path), ["after"]);
}

#[test]
fn a_log_that_cannot_be_reopened_stays_in_its_old_file() {
    let scratch = Scratch::new("reopen-fails");
    let path = scratch.path("access.log");
    let storage = start();
    let mut port = storage.port(storage.log(&path).expect("a log"));
    let old = scratch.path("old.log");
    fs::rename(&path, &old).expect("renamed");
    fs::create_dir(&path).expect("in its place");
    storage.reopen().expect_err("a directory is no log");
    assert!(port.append(b"still here".to_vec()));
    storage.stop();
    assert_eq!(lines(&old), ["still here"]);
}

#[test]
fn what_a_full_port_drops_is_counted() {
    let scratch = Scratch::new("full");
    let path = scratch.path("access.log");
    let storage = start_with(StorageConfig { port_lines_max: 16, ..StorageConfig::default() });
    let mut port = storage.port(storage.log(&path).expect("a log"));
    let kept = (0..100_000).filter(|number| port.append(format!("{number}").into())).count();
    assert!(kept < 100_000, "faster than any disk");
    let counters = storage.stop();
    assert_eq!(counters.lines_written_count, kept as u64);
    assert_eq!(counters.lines_dropped_count, 100_000 - kept as u64);
    assert_eq!(lines(&path).len(), kept);
}

#[test]
fn a_full_disk_costs_lines_and_nothing_else() {
    let scratch = Scratch::new("disk");
    let path = scratch.path("access.log");
    symlink("/dev/full", &path).expect("a disk that is always full");
    let config =
        StorageConfig { port_lines_max: 100, backlog_bytes_max: 500, ..StorageConfig::default() };
    let storage = start_with(config);
    let mut port = storage.port(storage.log(&path).expect("a log"));
    let mut other = storage.port(storage.log(&scratch.path("other.log")).expect("a log"));
    let mut kept = Vec::new();
    for number in 0..1000 {
        if port.append(format!("line {number}").into_bytes()) {
            kept.push(format!("line {number}"));
        }
        std::thread::sleep(Duration::from_micros(100));
    }
    assert!((100..=200).contains(&kept.len()), "a backlog and a port full: {}", kept.len());
    wait_until(&storage, "errors", |counters| counters.write_errors_count > 3);
    assert!(other.append(b"goes on".to_vec()));
    wait_until(&storage, "the other log", |counters| counters.lines_written_count == 1);

    // The disk works again: here, the path leads to another.
    fs::remove_file(&path).expect("removed");
    storage.reopen().expect("reopened");
    wait_until(&storage, "recovery", |counters| {
        counters.lines_written_count == 1 + kept.len() as u64
    });
    assert!(port.append(b"and again".to_vec()));
    kept.push("and again".to_owned());
    let counters = storage.stop();
    assert_eq!(lines(&path), kept, "the oldest were kept");
    assert_eq!(counters.lines_dropped_count, 1000 - (kept.len() as u64 - 1));
}

#[test]
fn a_disk_that_stays_full_does_not_hold_up_the_end() {
    let storage = start();
    let mut port = storage.port(storage.log("/dev/full".as_ref()).expect("a log"));
    for _ in 0..10 {
        assert!(port.append(b"lost".to_vec()));
    }
    let counters = storage.stop();
    assert_eq!((counters.lines_written_count, counters.lines_dropped_count), (0, 10));
    assert!(counters.write_errors_count > 0);
}

#[test]
fn a_path_that_cannot_be_opened_is_an_error_at_once() {
    let scratch = Scratch::new("path");
    let storage = start();
    let error = storage.log(&scratch.path("nowhere/access.log")).expect_err("no such directory");
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    storage.log(&scratch.path("access.log")).expect("and the thread lives");
}

#[test]
fn a_core_that_does_not_exist_is_an_error() {
    let config = StorageConfig { core: Some(100_000), ..StorageConfig::default() };
    let error = Storage::start(config).expect_err("no such core");
    assert!(error.to_string().contains("core"), "{error}");
}

/// Runs one of these tests again, alone in a process under limits of its own. Says whether this
/// is that process.
fn under(limits: &str, test: &str) -> bool {
    const CHILD: &str = "STORAGE_TEST_UNDER_LIMITS";
    if std::env::var_os(CHILD).is_some() {
        return true;
    }
    let program = std::env::current_exe().expect("this test");
    let status = Command::new("sh")
        .args(["-c", &format!("{limits} && exec \"$0\" --exact \"$1\"")])
        .arg(program)
        .arg(test)
        .env(CHILD, "1")
        .status()
        .expect("a shell");
    assert!(status.success());
    false
}

#[test]
fn a_low_limit_on_locked_memory_is_named() {
    if under("ulimit -S -l 256", "a_low_limit_on_locked_memory_is_named") {
        let error = Storage::start(StorageConfig::default()).expect_err("256 KiB is too low");
        let text = error.to_string();
        assert!(text.contains("RLIMIT_MEMLOCK") && text.contains("262144"), "{text}");
    }
}

/// A file that may not grow beyond a block or two takes a part of a line and then no more.
#[test]
fn a_line_that_was_begun_is_never_finished_in_another_file() {
    if !under(
        "trap '' XFSZ && ulimit -f 1",
        "a_line_that_was_begun_is_never_finished_in_another_file",
    ) {
        return;
    }
    let scratch = Scratch::new("begun");
    let (path, old) = (scratch.path("access.log"), scratch.path("access.log.1"));
    let storage = start();
    let mut port = storage.port(storage.log(&path).expect("a log"));
    let mut appended = Vec::new();
    while storage.counters().write_errors_count == 0 {
        for _ in 0..30 {
            appended.push(format!("{:09}", appended.len()));
            assert!(port.append(appended.last().expect("a line").clone().into_bytes()));
        }
        wait_until(&storage, "written or refused", |counters| {
            counters.write_errors_count > 0 || counters.lines_written_count == appended.len() as u64
        });
    }
    fs::rename(&path, &old).expect("renamed");
    storage.reopen().expect("reopened");
    let counters = storage.stop();

    let old = fs::read_to_string(&old).expect("the full file");
    let (whole, begun) = old.rsplit_once('\n').expect("some lines");
    assert!(!begun.is_empty(), "a limit that is no multiple of ten cuts a line");
    let written: Vec<String> = whole.lines().map(str::to_owned).collect();
    let cut = written.len();
    assert_eq!(written, appended[..cut]);
    assert!(appended[cut].starts_with(begun));
    assert_eq!(lines(&path), appended[cut + 1..]);
    assert_eq!(counters.lines_written_count, appended.len() as u64 - 1);
    assert_eq!(counters.lines_dropped_count, 1);
}
