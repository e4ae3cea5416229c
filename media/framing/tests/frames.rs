//! MP3, AAC, FLAC, WAV and Matroska, built by hand: locks, gaps, tags, links.

mod build;

use build::{adts_frame, element, mp3_frame, noise, run, run_pieces, vector};
use media_framing::{Format, Limits};

fn frames(make: impl Fn(u64) -> Vec<u8>, count: u64) -> Vec<Vec<u8>> {
    (1..=count).map(make).collect()
}

fn units(run: &build::Run) -> Vec<Vec<u8>> {
    run.units.iter().map(|unit| unit.bytes.clone()).collect()
}

#[test]
fn every_frame_is_a_sync_unit_without_prelude() {
    for (format, frames) in [
        (Format::Mpeg, frames(mp3_frame, 6)),
        (Format::Adts, frames(|salt| adts_frame(salt, 200 + salt as usize), 6)),
    ] {
        let run = run(format, &frames.concat(), 100);
        assert_eq!(units(&run), frames);
        assert!(run.units.iter().all(|unit| unit.sync && unit.prelude.is_none()));
        assert_eq!(run.counters.bytes_dropped, 0);
    }
}

#[test]
fn aac_that_is_called_mp3_is_aac() {
    let stream = frames(|salt| adts_frame(salt, 300), 5).concat();
    let run = run(Format::Mpeg, &stream, 64);
    assert_eq!((run.format, run.counters.units), (Format::Adts, 5));
    assert_eq!(run.audio.expect("known").codec, "aac");
}

#[test]
fn a_start_inside_a_frame_and_a_hole_are_survived() {
    let whole = frames(mp3_frame, 10);
    let mut stream = whole[0][100..].to_vec();
    stream.extend(whole[1..5].concat());
    stream.extend(&whole[5][..200]);
    stream.extend(whole[6..].concat());
    let run = run(Format::Mpeg, &stream, 77);
    let units = units(&run);
    assert_eq!(units[..4], whole[1..5]);
    // The frame that was cut takes the beginning of the next one for its own end.
    assert!(units.ends_with(&whole[7..]), "{:?}", run.counters);
    assert_eq!(run.counters.resyncs, 1);
}

#[test]
fn one_header_alone_does_not_lock() {
    let mut stream = vec![0xff, 0xfb, 0x90, 0];
    stream.extend(noise(4, 600).iter().map(|byte| byte & 0x7f));
    let sound = frames(mp3_frame, 4);
    stream.extend(sound.concat());
    assert_eq!(units(&run(Format::Mpeg, &stream, 50)), sound);
}

#[test]
fn tags_before_and_between_frames_are_dropped() {
    let sound = frames(mp3_frame, 6);
    let id3v2 = [b"ID3\x04\0\0\0\0\x01\x05".to_vec(), vec![0xff; 133]].concat();
    let id3v1 = [b"TAG".to_vec(), vec![0xff; 125]].concat();
    let stream =
        [id3v2.clone(), sound[..3].concat(), id3v1.clone(), id3v2.clone(), sound[3..].concat()]
            .concat();
    let run = run(Format::Mpeg, &stream, 90);
    assert_eq!(units(&run), sound);
    assert_eq!(run.counters.bytes_dropped as usize, 2 * id3v2.len() + id3v1.len());
    assert_eq!(run.counters.resyncs, 0);
}

#[test]
fn another_sample_rate_is_another_link() {
    let first = frames(mp3_frame, 4);
    let second = frames(
        |salt| {
            // 48 kHz: 384 bytes.
            let mut frame = mp3_frame(salt);
            frame[2] = 0x94;
            frame.truncate(384);
            frame
        },
        4,
    );
    let run = run(Format::Mpeg, &[first.concat(), second.concat()].concat(), 200);
    assert_eq!(units(&run), [first, second].concat());
    assert_eq!((run.counters.links, run.counters.bytes_dropped), (2, 0));
    assert_eq!(run.audio.expect("known").sample_rate_hz, 48_000);
}

#[test]
fn the_free_format_is_measured() {
    let sound = frames(
        |salt| {
            let mut frame = mp3_frame(salt);
            frame[2] = if salt % 2 == 0 { 0x02 } else { 0x00 };
            frame.resize(if salt % 2 == 0 { 301 } else { 300 }, 0);
            frame
        },
        6,
    );
    assert_eq!(units(&run(Format::Mpeg, &sound.concat(), 100)), sound);
}

#[test]
fn flac_keeps_only_what_a_live_listener_needs() {
    let stream = vector("sine.flac");
    let run = run(Format::Flac, &stream, 500);
    let header = &run.units[0];
    assert!(!header.sync && header.prelude.is_none());
    assert_eq!(run.units[1].prelude.as_ref(), Some(&header.bytes));
    assert!(run.units[1..].iter().all(|unit| unit.sync && unit.bytes.starts_with(&[0xff, 0xf8])));
    assert!(run.units[2..].iter().all(|unit| unit.prelude.is_none()));
    assert_eq!(header.bytes[..8], *b"fLaC\0\0\0\x22");
    assert!(header.bytes[26..42].iter().all(|byte| *byte == 0), "no MD5");
    // A picture in front of the comment makes no difference.
    let picture = [vec![6, 3, 0, 0], noise(8, 3 << 16)].concat();
    let pictured = [&stream[..42], &picture, &stream[42..]].concat();
    assert_eq!(units(&build::run(Format::Flac, &pictured, 500)), units(&run));
}

#[test]
fn a_damaged_flac_frame_is_dropped_alone_and_files_chain() {
    let stream = vector("sine.flac");
    let sound = units(&run(Format::Flac, &stream, 500));
    let mut damaged = stream.clone();
    let frame_at = stream.windows(sound[2].len()).position(|at| at == sound[2]).expect("there");
    damaged[frame_at + 100] ^= 1;
    let run = run(Format::Flac, &damaged, 500);
    assert_eq!(units(&run), [&sound[..2], &sound[3..]].concat());
    assert_eq!((run.counters.resyncs, run.titles.len()), (1, 1));

    let chained = build::run(Format::Flac, &[stream.clone(), stream].concat(), 500);
    assert_eq!(units(&chained), [sound.clone(), sound].concat());
    assert_eq!((chained.counters.links, chained.titles.len()), (2, 2));
}

/// 16-bit stereo at 8 kHz with these sizes in its header.
fn wav(riff_size: u32, data_size: u32, samples: &[u8]) -> Vec<u8> {
    let mut wav = b"RIFF".to_vec();
    wav.extend_from_slice(&riff_size.to_le_bytes());
    wav.extend_from_slice(b"WAVELIST\x03\0\0\0abc\0fmt \x10\0\0\0\x01\0\x02\0");
    wav.extend_from_slice(&8000_u32.to_le_bytes());
    wav.extend_from_slice(&32_000_u32.to_le_bytes());
    wav.extend_from_slice(b"\x04\0\x10\0data");
    wav.extend_from_slice(&data_size.to_le_bytes());
    wav.extend_from_slice(samples);
    wav
}

#[test]
fn wav_blocks_are_whole_and_sizes_unknown() {
    let samples = noise(2, 4001);
    for size in [0, u32::MAX, 4001] {
        let run = run(Format::Wav, &wav(size, size, &samples), 99);
        let header = &run.units[0].bytes;
        assert_eq!(header[..16], *b"RIFF\xff\xff\xff\xffWAVEfmt ");
        assert!(header.ends_with(b"data\xff\xff\xff\xff") && header.len() == 44);
        assert_eq!(run.units[1].prelude.as_ref(), Some(header));
        assert!(run.units[1..].iter().all(|unit| unit.sync && unit.bytes.len() % 4 == 0));
        assert_eq!(run.units[1].bytes.len(), 640, "20 ms");
        let heard: Vec<u8> = run.units[1..].iter().flat_map(|unit| unit.bytes.clone()).collect();
        assert_eq!(heard, samples[..4000], "no half sample frame, sizes {size}");
    }
}

#[test]
fn a_wav_behind_a_wav_goes_on_without_a_header() {
    let samples = noise(2, 2560);
    let stream = [wav(2604, 2560, &samples), wav(2604, 2560, &samples)].concat();
    let run = run(Format::Wav, &stream, 128);
    let heard: Vec<u8> = run.units[1..].iter().flat_map(|unit| unit.bytes.clone()).collect();
    assert_eq!(heard, [samples.clone(), samples].concat());
    assert_eq!((run.counters.links, run.counters.resyncs), (1, 0));
}

const EBML: &[u8] = &[0x1a, 0x45, 0xdf, 0xa3];
const CLUSTER: &[u8] = &[0x1f, 0x43, 0xb6, 0x75];
const UNKNOWN: &[u8] = &[0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];

/// EBML, a segment of the given size field, a seek head, and one track of the given type.
fn matroska_head(segment_size: &[u8], track_type: u8) -> Vec<u8> {
    let entry = [element(&[0xd7], &[1]), element(&[0x83], &[track_type])].concat();
    let tracks = element(&[0x16, 0x54, 0xae, 0x6b], &element(&[0xae], &entry));
    let segment = [&[0x18, 0x53, 0x80, 0x67], segment_size].concat();
    let seek_head = element(&[0x11, 0x4d, 0x9b, 0x74], &noise(1, 60));
    [element(EBML, &noise(3, 20)), segment, seek_head, tracks].concat()
}

fn simple_block(flags: u8, count: usize) -> Vec<u8> {
    element(&[0xa3], &[vec![0x81, 0, 0, flags], noise(6, count)].concat())
}

fn cluster_body(flags: u8) -> Vec<u8> {
    [element(&[0xe7], &[1]), simple_block(flags, 100), simple_block(0, 50)].concat()
}

#[test]
fn matroska_clusters_of_known_and_unknown_size() {
    let known = element(CLUSTER, &cluster_body(0x80));
    let unknown = [CLUSTER, UNKNOWN, &cluster_body(0x80)].concat();
    let cues = element(&[0x1c, 0x53, 0xbb, 0x6b], &noise(2, 30));
    let head = matroska_head(&[0x01, 0, 0, 0, 0, 0, 0x40, 0], 2);
    let stream = [head, known.clone(), cues, unknown.clone(), known.clone()].concat();
    for piece_bytes in [1, 100, 5000] {
        let run = run(Format::Matroska, &stream, piece_bytes);
        let sync: Vec<bool> = run.units.iter().map(|unit| unit.sync).collect();
        assert_eq!(sync, [false, true, false, false, true, false, false, true, false, false]);
        let header = &run.units[0].bytes;
        let segment = [&[0x18, 0x53, 0x80, 0x67], UNKNOWN].concat();
        assert!(header.windows(12).any(|window| window == segment), "size made unknown");
        let clusters = [known.clone(), unknown.clone(), known.clone()].concat();
        assert_eq!(run.whole(), [header.clone(), clusters].concat());
        assert_eq!(run.joins()[2], [header.clone(), known.clone()].concat());
    }
}

#[test]
fn a_video_cluster_is_a_sync_unit_with_its_keyframe_only() {
    let with = |flags| element(CLUSTER, &cluster_body(flags));
    let stream = [matroska_head(UNKNOWN, 1), with(0x80), with(0), with(0x80)].concat();
    let run = run(Format::Matroska, &stream, 10);
    let sync: Vec<bool> = run.units.iter().map(|unit| unit.sync).collect();
    assert_eq!(sync, [false, true, false, false, false, false, false, true, false, false]);
}

#[test]
fn a_huge_block_goes_out_in_pieces_and_garbage_is_left_behind() {
    let limits = Limits { unit_bytes_max: 1000, ..Limits::default() };
    let body = [element(&[0xe7], &[1]), simple_block(0x80, 100_000)].concat();
    let huge = element(CLUSTER, &body);
    let small = element(CLUSTER, &cluster_body(0x80));
    let stream = [matroska_head(UNKNOWN, 2), huge.clone(), vec![0; 50], small.clone()].concat();
    let run = run_pieces(Format::Matroska, limits, stream.chunks(700));
    let header = run.units[0].bytes.clone();
    assert_eq!(run.whole(), [header.clone(), huge, small.clone()].concat());
    assert_eq!(run.joins().last(), Some(&[header, small].concat()));
    assert_eq!(run.counters.resyncs, 1);
}
