//! What holds for every format and every input: the same units however the bytes are cut, no panic,
//! bounded memory, always an end.

mod build;

use build::{VECTORS, run, run_pieces, vector};
use media_framing::{Format, Framer, Limits};
use proptest::prelude::*;

const FORMATS: [Format; 7] = [
    Format::Mpeg,
    Format::Adts,
    Format::Ogg,
    Format::Flac,
    Format::Wav,
    Format::Matroska,
    Format::Plain,
];

#[test]
fn any_fragmentation_gives_the_same_units() {
    for (name, format) in VECTORS {
        let stream = vector(name);
        let whole = run(format, &stream, stream.len());
        for piece_bytes in [1, 2, 3, 7, 417, 1400] {
            let pieces = run(format, &stream, piece_bytes);
            assert_eq!(pieces.units, whole.units, "{name} in pieces of {piece_bytes}");
            assert_eq!(pieces.titles, whole.titles, "{name}");
            assert_eq!(pieces.counters, whole.counters, "{name}");
        }
    }
}

#[test]
fn the_bytes_say_what_a_stream_is() {
    for (name, format) in VECTORS {
        let stream = vector(name);
        for declared in FORMATS {
            let found = run(declared, &stream, 1000).format;
            let frames = matches!(format, Format::Mpeg | Format::Adts);
            let expected = if frames && declared == Format::Plain { declared } else { format };
            assert_eq!(found, expected, "{name} as {declared:?}");
        }
    }
}

#[test]
fn plain_bytes_pass_as_they_come() {
    let stream = build::noise(5, 50_000);
    let run = run(Format::Plain, &stream, 1234);
    assert_eq!(run.whole(), stream);
    assert!(run.units.iter().all(|unit| unit.sync && unit.prelude.is_none()));
}

#[test]
fn the_seed_decides_and_nothing_else() {
    let stream = vector("sine-opus.ogg");
    let units = |seed| {
        let mut all = Vec::new();
        let mut framer = Framer::new(Format::Ogg, Limits::default(), seed);
        framer.push(&stream, &mut |unit| all.extend_from_slice(unit.bytes));
        all
    };
    assert_eq!(units(1), units(1));
    assert_ne!(units(1), units(2));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn garbage_does_no_harm(
        index in 0..FORMATS.len(),
        garbage in proptest::collection::vec(any::<u8>(), 0..3000),
        piece_bytes in 1_usize..500,
    ) {
        run(FORMATS[index], &garbage, piece_bytes);
    }

    /// Real streams with bytes changed, cut out and put in, in any fragmentation.
    #[test]
    fn damage_does_no_harm(
        index in 0..VECTORS.len(),
        damage in proptest::collection::vec(
            (any::<prop::sample::Index>(), 0..3_u8, any::<u8>()),
            0..12,
        ),
        cuts in proptest::collection::vec(1_usize..3000, 1..20),
        small in any::<bool>(),
    ) {
        let (name, format) = VECTORS[index];
        let mut stream = vector(name);
        for (at, kind, byte) in damage {
            let at = at.index(stream.len());
            match kind {
                0 => stream[at] = byte,
                1 => drop(stream.drain(at..(at + usize::from(byte)).min(stream.len()))),
                _ => drop(stream.splice(at..at, build::noise(u64::from(byte), usize::from(byte)))),
            }
            if stream.is_empty() {
                stream.push(0);
            }
        }
        let limits = if small {
            Limits {
                unit_bytes_max: 300,
                header_bytes_max: 500,
                comment_bytes_max: 40,
                streams_max: 1,
            }
        } else {
            Limits::default()
        };
        let mut rest = &stream[..];
        let mut sizes = cuts.iter().cycle();
        let pieces = std::iter::from_fn(|| {
            let (piece, after) = rest.split_at((*sizes.next()?).min(rest.len()));
            rest = after;
            (!piece.is_empty()).then_some(piece)
        });
        let cut = run_pieces(format, limits, pieces);
        let whole = run_pieces(format, limits, std::iter::once(&stream[..]));
        prop_assert_eq!(cut.units, whole.units);
    }
}
