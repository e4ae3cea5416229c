//! The fuzz targets on the stable toolchain: every file of the corpora, and mutations of it.
//!
//! A mutation is drawn from a fixed seed, the file and its number, so a failure names all that is
//! needed to see it again. `SKYWAVE_FUZZ_MUTATIONS` says how many of each file (20 by default).
//!
//! The targets are included as source: a package that cargo-fuzz builds cannot be a member here.

#[path = "../fuzz/src/lib.rs"]
mod fuzz;

use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

/// The longest input that a mutation makes.
const INPUT_BYTES_MAX: usize = 64 * 1024;

/// Bytes that mean something in one format or another.
const SPECIAL: &[u8] = b"\0\x01\x7f\x80\xff\r\n :0=&%;'";

macro_rules! replay {
    ($($name:ident),* $(,)?) => {
        $(#[test]
        fn $name() {
            replay(stringify!($name));
        })*

        #[test]
        fn every_target_is_replayed_and_built() {
            let replayed = [$(stringify!($name)),*];
            let known: Vec<_> = fuzz::TARGETS.iter().map(|target| target.name).collect();
            assert_eq!(replayed.to_vec(), known);
            for name in known {
                let program = folder().join(format!("fuzz_targets/{name}.rs"));
                assert!(program.is_file(), "{} is missing", program.display());
            }
        }
    };
}

replay![
    http_request,
    http_response,
    http_values,
    http_multipart,
    http_client,
    icy_source,
    icy_strip,
    icy_values,
    framing_mpeg,
    framing_adts,
    framing_ogg,
    framing_flac,
    framing_wav,
    framing_matroska,
    framing_plain,
    framing_opus,
    media_link,
    media_payload,
    stun_message,
    stun_stream,
    turn_server,
    whip_request,
    ws_frames,
    ws_handshake,
    ws_deflate,
    symple,
    tls_server,
    tls_client,
    rtc_offer,
    rtc_frames,
    rtc_payloads,
];

fn replay(name: &str) {
    let target = fuzz::TARGETS.iter().find(|target| target.name == name).expect("it is listed");
    let corpus = corpus(name);
    assert!(!corpus.is_empty(), "no corpus for {name}");
    let mutations = std::env::var("SKYWAVE_FUZZ_MUTATIONS");
    let mutation_count = mutations.ok().and_then(|text| text.parse().ok()).unwrap_or(20_u64);
    for (path, original) in &corpus {
        for number in 0..=mutation_count {
            let is_itself = number == 0;
            let input =
                if is_itself { original.clone() } else { mutated(original, number, &corpus) };
            if catch_unwind(|| (target.run)(&input)).is_err() {
                panic!("{name}: mutation {number} of {} (0 is the file itself)", path.display());
            }
        }
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

fn corpus(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = folder().join("corpus").join(name);
    let entries = std::fs::read_dir(&folder).expect("every target has a corpus");
    let paths = entries.map(|entry| entry.expect("the folder is readable").path());
    let mut files: Vec<_> =
        paths.map(|path| (path.clone(), std::fs::read(path).expect("a readable file"))).collect();
    files.sort();
    files
}

/// A few edits at drawn places: flip, set, remove, repeat, cut off, splice with another file.
fn mutated(original: &[u8], number: u64, corpus: &[(PathBuf, Vec<u8>)]) -> Vec<u8> {
    let mut draw = Draw(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut input = original.to_vec();
    for _ in 0..=draw.below(4) {
        let at = draw.below(input.len().max(1));
        let end = (at + 1 + draw.below(32)).min(input.len());
        if input.is_empty() {
            input.push(draw.below(256) as u8);
            continue;
        }
        match draw.below(7) {
            0 => input[at] ^= 1 << draw.below(8),
            1 => input[at] = SPECIAL[draw.below(SPECIAL.len())],
            2 => drop(input.drain(at..end)),
            3 => drop(input.splice(at..at, input[at..end].to_vec())),
            4 => input.truncate(at),
            5 => input[at..end].fill(0xff),
            _ => {
                let other = &corpus[draw.below(corpus.len())].1;
                let from = draw.below(other.len().max(1)).min(other.len());
                drop(input.splice(at.., other[from..].iter().copied()));
            }
        }
        input.truncate(INPUT_BYTES_MAX);
    }
    input
}

/// Xorshift: small, seeded, and the same everywhere.
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound
    }
}
