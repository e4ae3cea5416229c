//! Programs that others wrote, run to their end.

#![allow(dead_code, reason = "each test file uses its part")]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// No program runs longer than this, in the words of `timeout`.
const PATIENCE: Duration = Duration::from_secs(120);

/// Whether this program is there. `SKYWAVE_TEST_NO_PEERS=1` says to do without any; then, and only
/// then, the answer is `false`.
///
/// # Panics
///
/// With the package's name when it is missing.
pub fn have(program: &str, package: &str) -> bool {
    if std::env::var("SKYWAVE_TEST_NO_PEERS").is_ok_and(|value| value == "1") {
        eprintln!("left out, as SKYWAVE_TEST_NO_PEERS says: needs {program}");
        return false;
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = std::env::split_paths(&path).any(|place| place.join(program).is_file());
    assert!(
        is_there,
        "{program} is missing: apt-get install {package} (or set SKYWAVE_TEST_NO_PEERS=1)"
    );
    true
}

/// Runs a program with this input; it is killed when it takes too long, or the test ends.
pub fn run_with(program: &str, arguments: &[&str], input: &[u8]) -> Output {
    let seconds = PATIENCE.as_secs().to_string();
    let mut child = Command::new("timeout")
        .args(["--kill-after=5", &seconds, program])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("`timeout` is there");
    let mut stdin = child.stdin.take().expect("it is piped");
    let input = input.to_owned();
    // Its own thread: a program that writes before it has read all must not wait for us.
    let writer = std::thread::spawn(move || _ = stdin.write_all(&input));
    let output = child.wait_with_output().expect("it was started");
    writer.join().expect("it ends with the program");
    output
}

/// What a program prints; it has to succeed.
pub fn run(program: &str, arguments: &[&str]) -> String {
    let output = run_with(program, arguments, b"");
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program} {arguments:?}: {:?}\n{out}\n{err}", output.status);
    out.into_owned()
}

/// What a page has become once its scripts are done, in a Chromium that keeps its things in this
/// folder meanwhile.
pub fn shown_by_chromium(page: &str, profile: &Path, more: &[&str]) -> String {
    let user_data_dir = format!("--user-data-dir={}", profile.display());
    let mut arguments = vec![
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        &user_data_dir,
        "--virtual-time-budget=20000",
        "--timeout=60000",
        "--dump-dom",
    ];
    arguments.extend(more);
    arguments.push(page);
    let shown = run("chromium", &arguments);
    let _ = std::fs::remove_dir_all(profile);
    shown
}
