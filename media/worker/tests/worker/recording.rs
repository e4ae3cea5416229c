//! Packets into files, and what is left of them when the recorder is killed.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use media_link::{Ending, Event, Message, Recording};

use crate::harness::{Folder, Worker, make, probe, values};

const LIVE: &str = "-f lavfi -i testsrc=size=320x240:rate=25:duration=4 \
                    -f lavfi -i sine=frequency=440:duration=4";

/// A stream's packets are recorded as they come; `until` says when the source is to end.
fn record(source: &str, job: &str, until: impl FnMut(usize) -> bool) -> Worker {
    record_into(source, Worker::start(job), until)
}

/// The same with a recorder that has been started.
fn record_into(source: &str, mut to: Worker, mut until: impl FnMut(usize) -> bool) -> Worker {
    let text = format!(r#"{{"job":"stream","name":"s","source":"{source}","repeat":false}}"#);
    let mut from = Worker::start(&text);
    let mut announced = 0;
    let mut count = 0;
    while let Ok(packet) = from.packet() {
        for track in &from.tracks[announced..] {
            to.say(Message::Track(track.clone()));
        }
        announced = from.tracks.len();
        to.say(Message::Packet(packet));
        count += 1;
        if until(count) {
            break;
        }
    }
    to
}

fn job(directory: &Path, more: &str) -> String {
    let directory = directory.display();
    format!(r#"{{"job":"record","name":"cam/1","directory":"{directory}"{more}}}"#)
}

fn files(directory: &Path, extension: &str) -> Vec<PathBuf> {
    // Before the recorder has started there is none.
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    files.retain(|path| path.extension().is_some_and(|end| end == extension));
    files.sort();
    files
}

fn index_of(file: &Path) -> Recording {
    let text = std::fs::read(format!("{}.json", file.display())).expect("an index");
    serde_json::from_slice(&text).expect("a recording")
}

/// The size that an event tells.
fn size_told(event: &Event) -> Option<u64> {
    match event {
        Event::RecordingStarted(it) | Event::RecordingGrew(it) | Event::RecordingClosed(it) => {
            Some(it.size_bytes)
        }
        _ => None,
    }
}

#[test]
fn a_recording_is_what_came_in_the_container_that_its_codecs_ask_for() {
    let cases = [
        ("mp4", "-c:v libx264 -bf 0 -g 25 -pix_fmt yuv420p -c:a libopus", "h264"),
        ("webm", "-c:v libvpx -g 25 -b:v 300k -c:a libopus", "vp8"),
    ];
    for (extension, codecs, codec) in cases {
        let folder = Folder::new(extension);
        let source = folder.path("source.mkv");
        make(&source, &format!("{LIVE} {codecs}"));
        let mut worker = record(&source, &job(&folder.0.join("out"), ""), |_| false);
        worker.say(Message::Drain);
        assert_eq!(worker.ending(), Ending::Complete);
        let written = files(&folder.0.join("out"), extension);
        assert_eq!(written.len(), 1, "{:?}", worker.events);
        let said =
            probe(&written[0], "-count_packets -show_entries stream=codec_name,nb_read_packets");
        assert_eq!(values(&said, "codec_name").collect::<Vec<_>>(), [codec, "opus"], "{said}");
        assert_eq!(values(&said, "nb_read_packets").next(), Some("100"), "{said}");
        let index = index_of(&written[0]);
        assert!(index.is_closed && index.cause.is_none());
        assert_eq!(index.stream, "cam/1");
        assert!((3_800..4_200).contains(&index.duration_ms), "{index:?}");
        assert_eq!(index.size_bytes, std::fs::metadata(&written[0]).expect("a file").len());
        assert!(matches!(worker.events.last(), Some(Event::RecordingClosed(it)) if *it == index));
        let sizes: Vec<u64> = worker.events.iter().filter_map(size_told).collect();
        assert!(sizes[0] > 0 && sizes.is_sorted(), "from the beginning on: {sizes:?}");
    }
}

#[test]
fn motion_is_found_in_what_is_recorded_and_the_recording_is_whole() {
    let folder = Folder::new("look");
    let source = folder.path("source.mkv");
    make(
        &source,
        "-f lavfi -i color=black:size=320x240:rate=25:duration=1 -f lavfi \
         -i testsrc2=size=320x240:rate=25:duration=2 -filter_complex concat=n=2 -c:v libvpx -g 25 \
         -b:v 500k",
    );
    let out = folder.0.join("out");
    let more = r#","analysis":{"motion":{"threshold":0.02}}"#;
    let mut worker = record(&source, &job(&out, more), |_| false);
    worker.say(Message::Drain);
    assert_eq!(worker.ending(), Ending::Complete);
    let scores = worker.events.iter().filter_map(|event| match event {
        Event::Vision(vision) if vision.source == "cam/1" => Some(vision.data.score),
        _ => None,
    });
    let scores: Vec<f32> = scores.collect();
    assert!(!scores.is_empty() && scores.iter().all(|score| *score >= 0.02), "{scores:?}");
    let written = files(&out, "webm");
    let said = probe(&written[0], "-count_packets -show_entries stream=nb_read_packets");
    assert_eq!(values(&said, "nb_read_packets").next(), Some("75"), "{said}");
}

#[test]
fn files_are_rotated_and_the_oldest_go() {
    let folder = Folder::new("rotate");
    let source = folder.path("source.mkv");
    make(&source, &format!("{LIVE} -c:v libx264 -bf 0 -g 12 -pix_fmt yuv420p -c:a libopus"));
    let out = folder.0.join("out");
    let more = r#","rotate_after_ms":900,"keep_bytes":60000"#;
    let mut worker = record(&source, &job(&out, more), |_| false);
    worker.say(Message::Drain);
    assert_eq!(worker.ending(), Ending::Complete);
    let count = |is_it: fn(&Event) -> bool| worker.events.iter().filter(|it| is_it(it)).count();
    let closed = count(|event| matches!(event, Event::RecordingClosed(_)));
    let removed = count(|event| matches!(event, Event::RecordingRemoved(_)));
    assert!(closed >= 3, "{:?}", worker.events);
    assert!(removed >= 1, "{:?}", worker.events);
    let left = files(&out, "mp4");
    assert_eq!(left.len(), closed - removed);
    let bytes: u64 = left.iter().map(|file| index_of(file).size_bytes).sum();
    assert!(bytes <= 60_000);
    for file in &left {
        // Each begins with a keyframe and plays alone.
        let said = probe(file, "-select_streams v -show_entries packet=flags -read_intervals %+#1");
        assert!(values(&said, "flags").all(|flags| flags.starts_with('K')), "{said}");
    }
}

#[test]
fn a_full_disk_ends_the_recording_with_its_cause_and_what_was_written_plays() {
    let may_mount = Command::new("unshare").args(["-Urm", "true"]).status();
    let may_mount = may_mount.is_ok_and(|status| status.success());
    if !may_mount {
        // Some systems keep namespaces from their users.
        assert!(std::env::var_os("SKYWAVE_TEST_NO_PEERS").is_some(), "unshare -Urm is refused");
        return;
    }
    let folder = Folder::new("full");
    let source = folder.path("source.mkv");
    make(
        &source,
        "-f lavfi -i testsrc2=size=640x480:rate=25:duration=4 -c:v libx264 -b:v 3M -bf 0 -g 25 \
         -pix_fmt yuv420p",
    );
    let (disk, kept) = (folder.0.join("disk"), folder.0.join("kept"));
    std::fs::create_dir_all(&disk).expect("a folder");
    std::fs::create_dir_all(&kept).expect("a folder");
    // A disk of its own, whose files are brought out before it is gone.
    let script = "mount -t tmpfs -o size=400k none \"$1\" && { \"$0\"; code=$?; \
                  cp \"$1\"/*.mp4 \"$2\"; exit $code; }";
    let mut command = Command::new("unshare");
    command.args(["-Urm", "sh", "-c", script, env!("CARGO_BIN_EXE_skywave-worker")]);
    command.arg(&disk).arg(&kept);
    let to = Worker::start_by(command, &job(&disk, r#","fragment_ms":200"#));
    let mut worker = record_into(&source, to, |_| false);
    worker.say(Message::Drain);
    let ending = worker.ending();
    assert!(matches!(ending, Ending::WriteFailed { .. }), "{ending:?}");
    let closed = worker.events.iter().find_map(|event| match event {
        Event::RecordingClosed(recording) => Some(recording),
        _ => None,
    });
    let closed = closed.expect("its end is told");
    assert!(closed.is_closed && closed.cause.is_some(), "{closed:?}");
    worker.child.wait().expect("it ended");
    let said =
        probe(&kept.join(&closed.name), "-count_packets -show_entries stream=nb_read_packets");
    let count = values(&said, "nb_read_packets").next().and_then(|it| it.parse::<u64>().ok());
    assert!(count >= Some(10), "{said}");
}

#[allow(clippy::disallowed_methods, reason = "the test kills at a moment")]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}

/// When the last picture of a file is shown, in seconds.
fn last_picture(file: &Path) -> f64 {
    let said = probe(file, "-select_streams v -show_entries packet=pts_time");
    values(&said, "pts_time").filter_map(|it| it.parse().ok()).fold(0.0, f64::max)
}

/// Kills the recorder at some moment after its file has begun, and looks at what is left; whether
/// there was a fragment.
fn kill(folder: &Folder, source: &str, round: usize, after: Duration) -> bool {
    let out = folder.0.join(format!("out-{round}"));
    let text = job(&out, r#","fragment_ms":200"#);
    let written =
        || ["mp4", "webm"].iter().flat_map(|end| files(&out, end)).collect::<Vec<PathBuf>>();
    let mut began_at = None;
    let mut worker = record(source, &text, |_| {
        if began_at.is_none() && !written().is_empty() {
            began_at = Some(now());
        }
        began_at.is_some_and(|at| at.elapsed() >= after)
    });
    // What is there now must be there afterwards.
    let before = folder.0.join("before");
    let file = written().into_iter().next();
    let size = file.as_ref().map_or(0, |file| std::fs::copy(file, &before).expect("a copy"));
    worker.child.kill().expect("SIGKILL");
    worker.child.wait().expect("it is gone");
    let Some(file) = file.filter(|_| size >= 4096) else { return false };
    let last = last_picture(&file);
    assert!(last > 0.0 && last >= last_picture(&before), "{last} s after {after:?}");
    let output = std::process::Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-i"])
        .arg(&file)
        .args(["-f", "null", "-"])
        .output()
        .expect("ffmpeg runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // The next recorder in this directory closes it in the index.
    let mut next = Worker::start(&text);
    next.say(Message::Drain);
    assert_eq!(next.ending(), Ending::Complete);
    let index = index_of(&file);
    assert!(index.is_closed && index.cause.is_some(), "{index:?}");
    assert!(index.duration_ms as f64 / 1000.0 >= last, "{index:?}, {last} s");
    true
}

fn kill_times(name: &str, codecs: &str, rounds: usize) {
    let folder = Folder::new(name);
    let source = folder.path("source.mkv");
    make(&source, &format!("{LIVE} {codecs}"));
    let mut drawn = 0x5eed_u64;
    let mut count = 0;
    for round in 0..rounds {
        drawn ^= drawn << 13;
        drawn ^= drawn >> 7;
        drawn ^= drawn << 17;
        let after = Duration::from_millis(300 + drawn % 3_000);
        count += usize::from(kill(&folder, &source, round, after));
    }
    println!("{count} of {rounds} files had fragments, and all of those play");
    assert!(count * 2 > rounds, "{count} of {rounds} files have something to play");
}

const H264: &str = "-c:v libx264 -bf 0 -g 50 -pix_fmt yuv420p -c:a libopus";
const VP8: &str = "-c:v libvpx -g 50 -b:v 300k -c:a libopus";

#[test]
fn a_recorder_that_is_killed_leaves_files_that_play() {
    kill_times("kill-mp4", H264, 3);
    kill_times("kill-webm", VP8, 2);
}

#[test]
#[ignore = "takes minutes: cargo test -p media-worker -- --ignored"]
fn fifty_recorders_that_are_killed_leave_files_that_play() {
    kill_times("kill-50-mp4", H264, 25);
    kill_times("kill-50-webm", VP8, 25);
}
