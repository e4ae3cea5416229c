//! Listeners that do not keep up: they lose, nobody else does.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::harness::{Listener, Server, Source, rest_ms, runs_of, wait_for};

#[test]
fn who_never_reads_is_dropped_and_nobody_else_notices() {
    let server = Server::start(
        "[mount_defaults]\nwindow_bytes = 262144\nburst_bytes = 16384\nflush_ms = 20\n",
    );
    // A megabyte a second, so that the kernel's buffers fill as well.
    let _source = Source::tape(server.address, "/live.mp3", 1, 64.0);
    wait_for("it is up", || server.mount_status("/live.mp3").is_some());
    let mut well = Listener::open(server.address, "/live.mp3", &[]);
    let mut stuck: Vec<TcpStream> = (0..5)
        .map(|_| {
            let mut stream = TcpStream::connect(server.address).expect("connects");
            stream.write_all(b"GET /live.mp3 HTTP/1.0\r\n\r\n").expect("sends");
            stream
        })
        .collect();
    let mut bytes = Vec::new();
    for _ in 0..300 {
        bytes.extend(well.read_for_ms(100).bytes);
        let slow = server.metric("skywave_mount_slow_listeners_total").unwrap_or(0.0);
        if slow >= 5.0 {
            break;
        }
    }
    let runs = runs_of(&bytes);
    assert_eq!(runs.len(), 1, "the other one has heard no gap: {runs:?}");
    assert_eq!(server.metric("skywave_mount_slow_listeners_total"), Some(5.0));
    wait_for("one listener is left", || server.metric("skywave_listeners") == Some(1.0));
    for stream in &mut stuck {
        stream.set_read_timeout(Some(std::time::Duration::from_secs(30))).expect("a timeout");
        let mut rest = Vec::new();
        let ended = stream.read_to_end(&mut rest);
        let is_reset = |error: std::io::Error| error.kind() == std::io::ErrorKind::ConnectionReset;
        assert!(ended.map_or_else(is_reset, |_| true), "its connection is over");
    }
    assert!(server.admin("/admin/stats?mount=/live.mp3").text().contains("<slow_listeners>5<"));
}

#[test]
fn one_byte_a_second_is_too_slow_and_harms_nobody() {
    let server = Server::start(
        "[mount_defaults]\nwindow_bytes = 262144\nburst_bytes = 16384\nflush_ms = 20\n",
    );
    let _source = Source::tape(server.address, "/live.mp3", 1, 32.0);
    wait_for("it is up", || server.mount_status("/live.mp3").is_some());
    let mut slow = TcpStream::connect(server.address).expect("connects");
    slow.write_all(b"GET /live.mp3 HTTP/1.0\r\n\r\n").expect("sends");
    slow.set_read_timeout(Some(std::time::Duration::from_secs(1))).expect("a timeout");
    let mut well = Listener::open(server.address, "/live.mp3", &[]);
    let mut bytes = Vec::new();
    for _ in 0..4 {
        let _ = slow.read(&mut [0]);
        bytes.extend(well.read_for_ms(1_000).bytes);
    }
    let runs = runs_of(&bytes);
    assert_eq!(runs.len(), 1, "{runs:?}");
    assert!(runs[0].count() > 4_000, "at the source's pace: {runs:?}");
}

#[test]
fn memory_does_not_grow_with_what_is_not_read() {
    let server = Server::start("[mount_defaults]\nwindow_bytes = 131072\n");
    let _source = Source::tape(server.address, "/live.mp3", 1, 32.0);
    wait_for("it is up", || server.mount_status("/live.mp3").is_some());
    let resident_kib = || {
        let path = format!("/proc/{}/status", server.id());
        let text = std::fs::read_to_string(path).expect("it runs");
        let line = text.lines().find(|line| line.starts_with("VmRSS:")).expect("a line");
        line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("a number")
    };
    rest_ms(2_000);
    let before = resident_kib();
    let stuck: Vec<TcpStream> = (0..100)
        .map(|_| {
            let mut stream = TcpStream::connect(server.address).expect("connects");
            stream.write_all(b"GET /live.mp3 HTTP/1.0\r\n\r\n").expect("sends");
            stream
        })
        .collect();
    rest_ms(5_000);
    let after = resident_kib();
    assert!(after < before + 8 * 1024, "{before} KiB grew to {after} KiB");
    drop(stuck);
}
