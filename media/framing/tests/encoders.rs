//! Streams of real encoders: what a late joiner hears decodes, from every sync unit on. The decoder
//! is ffmpeg; where it is missing, those checks say that they were skipped.

mod build;

use std::io::Write;
use std::process::{Command, Stdio};

use build::{VECTORS, run, vector};
use media_framing::Format;

/// What ffmpeg makes of a stream: raw samples, and whether it complained.
struct Decoded {
    samples: Vec<u8>,
    complaint: String,
}

/// Decodes the first stream of a kind (`a` or `v`); `None` where there is no ffmpeg.
fn decode(stream: &[u8], kind: &str) -> Option<Decoded> {
    let output: &[&str] = match kind {
        "v" => &["-map", "0:v", "-f", "rawvideo", "pipe:1"],
        _ => &["-map", "0:a", "-f", "s16le", "pipe:1"],
    };
    let mut child = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-i", "pipe:0"])
        .args(output)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| eprintln!("SKIPPED, no ffmpeg: {error}"))
        .ok()?;
    let mut stdin = child.stdin.take().expect("piped");
    let stream = stream.to_vec();
    let writer = std::thread::spawn(move || drop(stdin.write_all(&stream)));
    let output = child.wait_with_output().expect("ffmpeg ends");
    writer.join().expect("no panic");
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    Some(Decoded { samples: output.stdout, complaint })
}

/// At most `count` of the joins, the first among them. The last quarter is left out where there
/// are many: a codec that has had a frame or two gives no sound yet.
fn sample(mut joins: Vec<Vec<u8>>, count: usize) -> Vec<Vec<u8>> {
    if joins.len() > 8 {
        joins.truncate(joins.len() * 3 / 4);
    }
    let step = joins.len().div_ceil(count).max(1);
    joins.into_iter().step_by(step).collect()
}

#[test]
fn nothing_of_a_sound_stream_is_lost() {
    for (name, format) in VECTORS {
        let run = run(format, &vector(name), 1000);
        assert_eq!(run.counters.resyncs, 0, "{name}");
        assert_eq!(run.counters.refused, 0, "{name}");
        assert!(run.counters.sync_units >= 2, "{name}: {:?}", run.counters);
    }
    // Frames go out as they came, but for the tag at the start; Ogg pages but for their numbers.
    for (name, format) in VECTORS {
        let stream = vector(name);
        let whole = run(format, &stream, 1000).whole();
        match format {
            Format::Mpeg | Format::Adts => assert!(stream.ends_with(&whole), "{name}"),
            Format::Ogg => assert_eq!(whole.len(), stream.len(), "{name}"),
            _ => {}
        }
    }
}

#[test]
fn what_the_headers_say() {
    let said = |name: &str, format| {
        let run = run(format, &vector(name), 1000);
        let audio = run.audio.expect(name);
        (audio.codec, audio.sample_rate_hz, audio.channels_count, audio.bitrate_kbps, run.titles)
    };
    let titled = vec!["Vector - Sine".to_owned()];
    assert_eq!(said("sine.mp3", Format::Mpeg), ("mp3", 48_000, 2, 64, vec![]));
    let (codec, rate, channels, kbps, _) = said("sine.aac", Format::Adts);
    assert_eq!((codec, rate, channels), ("aac", 48_000, 2));
    assert!((40..100).contains(&kbps), "{kbps}");
    let (codec, rate, channels, kbps, titles) = said("sine-opus.ogg", Format::Ogg);
    assert_eq!((codec, rate, channels, titles), ("opus", 48_000, 2, titled.clone()));
    assert!((20..50).contains(&kbps), "{kbps}");
    let (codec, rate, channels, _, titles) = said("sine-vorbis.ogg", Format::Ogg);
    assert_eq!((codec, rate, channels, titles), ("vorbis", 48_000, 1, titled.clone()));
    let (codec, rate, channels, _, titles) = said("sine-flac.ogg", Format::Ogg);
    assert_eq!((codec, rate, channels, titles), ("flac", 48_000, 1, vec!["Sine".to_owned()]));
    let (codec, rate, channels, _, titles) = said("sine.flac", Format::Flac);
    assert_eq!((codec, rate, channels, titles), ("flac", 48_000, 1, titled));
    assert_eq!(said("sine.wav", Format::Wav), ("pcm", 48_000, 1, 768, vec![]));
    let (codec, rate, channels, _, _) = said("sine-opus.webm", Format::Matroska);
    assert_eq!((codec, rate, channels), ("opus", 48_000, 2));
    assert_eq!(said("pattern-vp8.webm", Format::Matroska).0, "vorbis");
}

#[test]
fn every_late_joiner_decodes() {
    for (name, format) in VECTORS {
        let run = run(format, &vector(name), 1000);
        let Some(whole) = decode(&run.whole(), "a") else { return };
        assert_eq!(whole.complaint, "", "{name}");
        let mut shortest = usize::MAX;
        for join in sample(run.joins(), 8) {
            let Decoded { samples, complaint } = decode(&join, "a").expect("was there");
            let heard = samples.len();
            // A first frame of MP3 may miss the bits of the frames before it.
            assert!(complaint.is_empty() || format == Format::Mpeg, "{name}: {complaint}");
            // Codecs start up; what is heard shrinks as joins come later, and never to nothing.
            assert!(heard <= whole.samples.len().min(shortest), "{name}: {heard}");
            shortest = heard;
        }
        assert!(shortest > 0 && shortest < whole.samples.len() * 3 / 4, "{name}: {shortest}");
    }
}

#[test]
fn a_late_joiner_of_a_lossless_stream_hears_exactly_the_rest() {
    for name in ["sine-flac.ogg", "sine.flac", "sine.wav"] {
        let format = VECTORS.iter().find(|(vector, _)| *vector == name).expect("listed").1;
        let run = run(format, &vector(name), 100);
        let Some(original) = decode(&vector(name), "a") else { return };
        assert_eq!(decode(&run.whole(), "a").expect("was there").samples, original.samples);
        for join in sample(run.joins(), 6) {
            let samples = decode(&join, "a").expect("was there").samples;
            assert!(!samples.is_empty() && original.samples.ends_with(&samples), "{name}");
        }
    }
}

#[test]
fn a_late_joiner_sees_video_from_its_first_frame() {
    for (name, format) in
        [("pattern-vp8.webm", Format::Matroska), ("pattern-theora.ogg", Format::Ogg)]
    {
        let run = run(format, &vector(name), 1000);
        let Some(original) = decode(&vector(name), "v") else { return };
        let picture_bytes = 64 * 48 * 3 / 2;
        let last_picture = &original.samples[original.samples.len() - picture_bytes..];
        let joins = run.joins();
        assert!(joins.len() >= 2, "{name}: {}", joins.len());
        for join in joins {
            let seen = decode(&join, "v").expect("was there");
            assert_eq!(seen.complaint, "", "{name}");
            assert!(seen.samples.ends_with(last_picture), "{name}: decoded without a keyframe");
        }
    }
}

#[test]
fn chained_links_decode_across_their_border() {
    let mut chain = vector("sine-opus.ogg");
    chain.extend(vector("sine-opus.ogg"));
    let run = run(Format::Ogg, &chain, 333);
    assert_eq!(run.counters.links, 2);
    assert_eq!(run.titles.len(), 2);
    let Some(one) = decode(&vector("sine-opus.ogg"), "a") else { return };
    let both = decode(&run.whole(), "a").expect("was there");
    assert_eq!(both.complaint, "");
    assert!(both.samples.len() > one.samples.len() * 19 / 10, "{}", both.samples.len());
    for join in sample(run.joins(), 10) {
        assert_eq!(decode(&join, "a").expect("was there").complaint, "");
    }
}
