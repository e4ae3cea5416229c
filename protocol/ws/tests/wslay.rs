//! Against wslay, an implementation in C: bytes that are right, wrong, and nearly right, to either
//! role. It is compiled here, with the system's compiler, from `wslay/oracle.c`.

mod walk;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use protocol_ws::{Limits, Opcode, Role, write_frame};
use walk::{Event, walk};

const CASES_COUNT: usize = 1000;

#[test]
fn wslay_hears_the_same() {
    let Some(oracle) = compiled() else { return };
    let mut runner = TestRunner::deterministic();
    let strategy = (frames(), any::<bool>());
    let cases: Vec<(bool, Vec<u8>)> = (0..CASES_COUNT)
        .map(|_| {
            let (frames, is_server) =
                strategy.new_tree(&mut runner).expect("nothing is filtered").current();
            (is_server, written(&frames, is_server))
        })
        .collect();
    let (mut refused_count, mut closed_count, mut half_count) = (0, 0, 0);
    let mut refused_by_us = Vec::new();
    for ((is_server, bytes), (theirs, end)) in cases.iter().zip(heard(&oracle, &cases)) {
        let (ours, is_refused) = ours(*is_server, bytes);
        let mut events = &theirs[..];
        // It takes half a code for a close that says nothing; §5.5.1 has two bytes or none.
        let is_half_a_code = |line: &str| line.len() == 4 && line.starts_with("8 ");
        if is_refused && events.last().is_some_and(|line| is_half_a_code(line)) {
            events = &events[..events.len() - 1];
            half_count += 1;
        } else if is_refused && end == "0" {
            refused_by_us.push((*is_server, bytes.clone()));
        }
        assert_eq!(ours, events, "{is_server} {bytes:02x?}");
        assert!(end == "0" || is_refused, "they refuse {is_server} {bytes:02x?}");
        refused_count += usize::from(is_refused);
        closed_count += usize::from(ours.last().is_some_and(|line| line.starts_with("8 ")));
    }
    assert!(refused_count > 300 && closed_count > 30, "{refused_count} {closed_count}");
    assert!(half_count < 100, "the exception stays one: {half_count}");
    // We refuse at the first byte that is wrong, they at the end of its head or its payload.
    for (_, bytes) in &mut refused_by_us {
        bytes.resize(bytes.len() + 70_000, 0x80);
    }
    for ((is_server, bytes), (_, end)) in refused_by_us.iter().zip(heard(&oracle, &refused_by_us)) {
        assert_ne!(end, "0", "we refuse {is_server} {:02x?}", &bytes[..bytes.len() - 70_000]);
    }
}

/// What the oracle says of each case: its lines, and the code that it refuses with, or 0.
fn heard(oracle: &Path, cases: &[(bool, Vec<u8>)]) -> Vec<(Vec<String>, String)> {
    let mut input = Vec::new();
    for (is_server, bytes) in cases {
        input.push(if *is_server { b'S' } else { b'C' });
        input.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
        input.extend_from_slice(bytes);
    }
    let mut all = Vec::new();
    let mut events = Vec::new();
    for line in asked(oracle, input).lines() {
        match line.strip_prefix("end ") {
            Some(code) => all.push((std::mem::take(&mut events), code.to_owned())),
            None => events.push(line.to_owned()),
        }
    }
    assert_eq!(all.len(), cases.len(), "an end for each case");
    all
}

/// What we hear, in the oracle's words, and whether it ends with a refusal.
fn ours(is_server: bool, bytes: &[u8]) -> (Vec<String>, bool) {
    let role = if is_server { Role::Server } else { Role::Client };
    let mut lines = Vec::new();
    let mut is_refused = false;
    for event in walk(role, Limits::default(), bytes, &[]) {
        let (opcode, payload) = match event {
            Event::Text(text) => (1, text.into_bytes()),
            Event::Binary(bytes) => (2, bytes),
            Event::Ping(bytes) => (9, bytes),
            Event::Pong(bytes) => (10, bytes),
            Event::Close(code, reason) => {
                let code = code.map(u16::to_be_bytes);
                let code = code.iter().flatten().copied();
                (8, code.chain(reason.into_bytes()).collect())
            }
            Event::Failed(_) => {
                is_refused = true;
                break;
            }
        };
        let hex: String = payload.iter().map(|byte| format!("{byte:02x}")).collect();
        lines.push(format!("{opcode} {hex}"));
    }
    (lines, is_refused)
}

#[derive(Debug, Clone)]
struct Frame {
    opcode: Opcode,
    is_final: bool,
    payload: Vec<u8>,
    key: [u8; 4],
    /// XORed onto the first two bytes.
    damage: [u8; 2],
}

fn frames() -> impl Strategy<Value = Vec<Frame>> {
    use Opcode::{Binary, Close, Continuation, Ping, Pong, Text};
    let opcode = prop_oneof![
        8 => Just(Text), 6 => Just(Binary), 2 => Just(Continuation),
        2 => Just(Ping), 1 => Just(Pong), 2 => Just(Close),
    ];
    // Codes above 1011 are newer than wslay, which refuses them.
    let code = prop_oneof![3 => Just(1000_u16), 2 => 999_u16..1012, 1 => 2990_u16..5010];
    let payload = prop_oneof![
        4 => vec(any::<char>(), 0..40).prop_map(|all| String::from_iter(all).into_bytes()),
        1 => vec(any::<u8>(), 0..200),
        1 => Just(vec![b'x'; 66_000]),
        2 => (code, "[a-zé]{0,9}").prop_map(|(code, reason)| {
            [&code.to_be_bytes()[..], reason.as_bytes()].concat()
        }),
    ];
    let damage = prop_oneof![40 => Just([0, 0]), 1 => any::<[u8; 2]>()];
    let frame = (opcode, prop::bool::weighted(0.9), payload, any::<[u8; 4]>(), damage);
    let frame = frame.prop_map(|(opcode, is_final, mut payload, key, damage)| {
        payload.truncate(if opcode.is_control() { 125 } else { usize::MAX });
        Frame { opcode, is_final: is_final || opcode.is_control(), payload, key, damage }
    });
    vec(frame, 1..7)
}

fn written(frames: &[Frame], is_masked: bool) -> Vec<u8> {
    let mut out = Vec::new();
    for frame in frames {
        let start = out.len();
        let key = is_masked.then_some(frame.key);
        write_frame(frame.opcode, frame.is_final, &frame.payload, key, &mut out);
        out[start] ^= frame.damage[0];
        out[start + 1] ^= frame.damage[1];
    }
    out
}

fn asked(oracle: &Path, input: Vec<u8>) -> String {
    let mut child = Command::new(oracle)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("what was compiled runs");
    let mut stdin = child.stdin.take().expect("piped");
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().expect("it ends");
    writer.join().expect("no panic").expect("it reads all");
    assert!(output.status.success(), "{}", output.status);
    String::from_utf8(output.stdout).expect("digits")
}

/// The oracle, or nothing where the library is not installed.
fn compiled() -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wslay/oracle.c");
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("wslay-oracle");
    if !Path::new("/usr/include/wslay/wslay.h").exists() {
        eprintln!("SKIPPED: wslay is not installed (Debian: libwslay-dev)");
        return None;
    }
    let compiler = Command::new("cc")
        .args(["-O1", "-Wall", "-Werror", "-o"])
        .args([&program, &source])
        .arg("-lwslay")
        .status()
        .expect("a C compiler");
    assert!(compiler.success(), "the oracle compiles");
    Some(program)
}
