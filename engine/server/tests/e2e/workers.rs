//! Worker processes in the server: a file becomes a stream of WebRTC, and the stream a recording.
//! The recorder gets what a browser that watches would get, so it is both ways at once.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{Folder, Server, Setup, free_port, have, peer, wait_for};
use crate::rtc::{Pages, own_address};

/// Whether there is the program beside the server's own; cargo builds it with the workspace, not
/// with this package.
pub fn has_worker() -> bool {
    let worker = Path::new(env!("CARGO_BIN_EXE_skywave")).with_file_name("skywave-worker");
    let is_there = worker.is_file();
    assert!(
        is_there || std::env::var_os("SKYWAVE_TEST_NO_PEERS").is_some(),
        "{} is missing: cargo build -p media-worker",
        worker.display()
    );
    is_there
}

/// A short film with sound, which browsers play as it is.
pub fn film(folder: &Folder) -> PathBuf {
    let path = folder.path().join("film.mp4");
    let made = Command::new("ffmpeg")
        .args(["-nostdin", "-loglevel", "error", "-f", "lavfi", "-i"])
        .arg("testsrc=size=320x240:rate=25:duration=2")
        .args(["-f", "lavfi", "-i", "sine=frequency=440:duration=2", "-c:v", "libx264"])
        .args(["-bf", "0", "-g", "25", "-pix_fmt", "yuv420p", "-c:a", "libopus"])
        .arg(&path)
        .status();
    assert!(made.expect("ffmpeg runs").success());
    path
}

fn recordings(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    files.retain(|path| path.extension().is_some_and(|end| end != "json"));
    files.sort();
    files
}

fn index_of(file: &Path) -> serde_json::Value {
    let text = std::fs::read(format!("{}.json", file.display())).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

#[test]
fn a_file_is_a_stream_and_the_stream_is_recorded() {
    if !has_worker() || !have(&["ffmpeg", "ffprobe"]) {
        return;
    }
    let folder = Folder::new("workers");
    let film = film(&folder);
    let out = folder.path().join("recordings");
    let udp = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
    let rtc = udp.local_addr().expect("bound").to_string();
    drop(udp);
    let flags = [
        "--rtc",
        &rtc,
        "--stream",
        &format!("film={}", film.display()),
        "--record-dir",
        &out.display().to_string(),
    ];
    let toml = "[workers]\nrecord_rotate_s = 3\n".to_owned();
    let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
    let server = Server::start_with(Setup { toml, flags, port: 0 });
    // The first is over when the second begins.
    wait_for("two recordings", || recordings(&out).len() >= 2);
    let first = recordings(&out).remove(0);
    wait_for("the first is closed", || index_of(&first)["is_closed"] == true);
    let said = Command::new("ffprobe")
        .args(["-loglevel", "error", "-count_packets", "-show_entries"])
        .arg("stream=codec_name,width,nb_read_packets")
        .args(["-of", "csv=p=0"])
        .arg(&first)
        .output()
        .expect("ffprobe runs");
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let (video, audio) = said.trim().split_once('\n').expect("two tracks");
    let count = |line: &str| line.rsplit(',').next().and_then(|it| it.parse().ok()).unwrap_or(0);
    assert!(video.starts_with("h264,320") && count(video) >= 50, "{said}");
    assert!(audio.starts_with("opus") && count(audio) >= 100, "{said}");
    assert_eq!(index_of(&first)["stream"], "film");
    drop(server);
}

/// Chromium sends the codec that the answer names first, and its sound in RED: what is recorded is
/// what it sends, not what it offered first.
#[test]
fn what_a_page_publishes_is_recorded() {
    if !has_worker() || !have(&["chromium", "ffmpeg", "ffprobe"]) {
        return;
    }
    let folder = Folder::new("recorded-page");
    let out = folder.path().join("recordings");
    let rtc = format!("{}:{}", own_address(), free_port());
    let flags = ["--rtc", &rtc, "--record-dir", &out.display().to_string(), "--token", "t"];
    let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
    let toml = "[[stream]]\nname = \"stage\"\n".to_owned();
    let server = Server::start_with(Setup { toml, flags, port: 0 });
    let mut pages = Pages::of(&server, include_str!("rtc/page.html"));
    pages.open("publisher", "mode=publish&stream=stage&token=t&end=6000");
    wait_for("the publisher ends", || pages.has_said("publisher", "ended 200"));
    wait_for("its recording is closed", || {
        recordings(&out).first().is_some_and(|file| index_of(file)["is_closed"] == true)
    });
    let file = recordings(&out).remove(0);
    let said = Command::new("ffprobe")
        .args(["-loglevel", "error", "-count_frames", "-show_entries"])
        .args(["stream=codec_type,nb_read_frames", "-of", "csv=p=0"])
        .arg(&file)
        .output()
        .expect("ffprobe runs");
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let frames = |kind: &str| -> u32 {
        let line = said.lines().find_map(|line| line.strip_prefix(kind));
        line.and_then(|rest| rest.trim_matches(',').parse().ok()).unwrap_or(0)
    };
    assert!(frames("video") >= 50 && frames("audio") >= 150, "{said}");
    drop(server);
}

/// Whether there is a server of RTSP to test with: GStreamer's, by Debian's Python.
fn has_rtsp() -> bool {
    let import = "import gi; gi.require_version('GstRtspServer', '1.0')";
    let status = Command::new("/usr/bin/python3").args(["-c", import]).status();
    let is_there = status.is_ok_and(|status| status.success());
    let is_needed = std::env::var("SKYWAVE_TEST_ORACLES").is_ok();
    assert!(is_there || !is_needed, "apt-get install gir1.2-gst-rtsp-server-1.0");
    is_there
}

#[test]
fn a_camera_is_watched_and_watched_again_when_it_comes_back() {
    if !has_worker() || !have(&["chromium"]) || !has_rtsp() {
        return;
    }
    let port = free_port().to_string();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/workers/camera.py");
    let camera = || peer("/usr/bin/python3", &[script, &port]);
    let rtc = format!("{}:{}", own_address(), free_port());
    let stream = format!("cam=rtsp://somebody:secret@127.0.0.1:{port}/cam");
    let flags = ["--rtc", &rtc, "--stream", &stream];
    let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
    let server = Server::start_with(Setup { toml: String::new(), flags, port: 0 });
    // The viewer comes before the camera, and waits.
    let mut pages = Pages::of(&server, include_str!("rtc/page.html"));
    pages.open("viewer", "mode=watch&stream=cam");
    let first = camera();
    let watches = |frames: u64| {
        wait_for("it is seen and heard", || {
            let (seen, heard, _) = pages.counts("viewer");
            seen >= frames && heard > 50
        });
    };
    watches(50);
    drop(first);
    let log = || server.log();
    wait_for("the source is lost", || log().contains("it has stopped sending"));
    let before = pages.counts("viewer").0;
    let _second = camera();
    watches(before + 50);
    assert!(!log().contains("secret"), "no credentials in the log");
}
