//! Files and cameras into packets.

use media_link::{Codec, Ending, Event, MediaPacket, Message, RecordingKind};

use crate::harness::{Folder, Worker, make, values};

const PICTURES: &str = "-f lavfi -i testsrc=size=320x240:rate=25:duration=1";
const SOUND: &str = "-f lavfi -i sine=frequency=440:duration=1";

fn stream(source: &str, more: &str) -> String {
    format!(r#"{{"job":"stream","name":"test","source":"{source}"{more}}}"#)
}

/// Times of a track never go back, and never leave a hole longer than this many ticks.
fn assert_continuous(packets: &[MediaPacket], track: u8, hole_max: i64) {
    let of_track: Vec<&MediaPacket> = packets.iter().filter(|it| it.track == track).collect();
    assert!(of_track.len() > 2);
    for pair in of_track.windows(2) {
        let step = pair[1].decode - pair[0].decode;
        assert!((1..=hole_max).contains(&step), "track {track}: a step of {step} ticks");
    }
}

#[test]
fn what_fits_is_passed_through_and_a_loop_goes_on_in_time() {
    let folder = Folder::new("pass");
    let file = folder.path("film.mp4");
    make(
        &file,
        &format!("{PICTURES} {SOUND} -c:v libx264 -bf 0 -g 25 -pix_fmt yuv420p -c:a libopus"),
    );
    let mut worker = Worker::start(&stream(&file, ""));
    let mut packets = Vec::new();
    // A second of the file is 25 pictures: the third round has begun by then.
    while packets.iter().filter(|packet: &&MediaPacket| packet.track == 0).count() < 56 {
        packets.push(worker.packet().expect("it repeats"));
    }
    let codecs: Vec<Codec> = worker.tracks.iter().map(|track| track.codec).collect();
    assert_eq!(codecs, [Codec::H264, Codec::Opus]);
    assert_eq!((worker.tracks[0].width, worker.tracks[0].height), (320, 240));
    assert_continuous(&packets, 0, 90_000 / 25 + 900);
    assert_continuous(&packets, 1, 48_000 / 10);
    let keyframes: Vec<_> = packets.iter().filter(|it| it.track == 0 && it.is_keyframe).collect();
    assert!(keyframes.len() >= 3);
    for keyframe in keyframes {
        let kinds: Vec<u8> = keyframe
            .payload
            .windows(4)
            .filter(|four| four[..3] == [0, 0, 1])
            .map(|four| four[3] & 0x1f)
            .collect();
        assert!(kinds.contains(&7) && kinds.contains(&8) && kinds.contains(&5), "{kinds:?}");
    }
    worker.say(Message::Drain);
    assert_eq!(worker.ending(), Ending::Complete);
}

#[test]
fn what_does_not_fit_is_encoded_and_a_keyframe_comes_when_it_is_asked_for() {
    let folder = Folder::new("encode");
    let file = folder.path("film.mkv");
    make(&file, &format!("{PICTURES} {SOUND} -c:v mpeg4 -bf 2 -c:a aac"));
    let more = r#","video":{"keyframe_interval_ms":60000,"width_max":160}"#;
    let mut worker = Worker::start(&stream(&file, more));
    let mut packets = Vec::new();
    let mut asked_at = None;
    let keyframe_at = loop {
        let packet = worker.packet().expect("it repeats");
        packets.push(packet.clone());
        if packet.track == 0 && packets.len() > 10 && asked_at.is_none() {
            worker.say(Message::KeyframeWanted { track: 0 });
            worker.say(Message::BitrateWanted { track: 0, bits_per_second: 300_000 });
            asked_at = Some(packet.presentation);
        } else if packet.track == 0 && packet.is_keyframe && asked_at.is_some() {
            break packet.presentation;
        }
    };
    let waited = keyframe_at - asked_at.expect("it was asked");
    assert!(waited < 90_000 * 20, "within the interval of keyframes that it has by itself");
    assert_continuous(&packets, 0, 90_000 / 25 * 2);
    assert_continuous(&packets, 1, 960);
    assert_eq!(worker.tracks[0].codec, Codec::H264);
}

#[test]
fn encoded_pictures_have_the_bitrate_that_is_asked_for_within_its_bounds() {
    let folder = Folder::new("bitrate");
    let file = folder.path("film.mkv");
    // Nothing but noise: an encoder has to leave out what it has no bits for.
    make(
        &file,
        "-f lavfi -i nullsrc=size=320x240:rate=25:duration=2 -vf noise=alls=60:allf=t -c:v ffv1",
    );
    let bounds =
        r#"{"bits_per_second":3000000,"bits_per_second_min":200000,"bits_per_second_max":4000000}"#;
    let mut worker = Worker::start(&stream(&file, &format!(r#","video":{bounds}"#)));
    // Bits each second of the pictures of some seconds, after the encoder has come to rest.
    let measure = |worker: &mut Worker| {
        let mut next = || worker.packet().expect("it repeats").payload.len() as u64;
        (0..25).for_each(|_| {
            next();
        });
        (0..50).map(|_| next()).sum::<u64>() * 8 * 25 / 50
    };
    let first = measure(&mut worker);
    assert!((1_500_000..5_000_000).contains(&first), "{first} for 3,000,000");
    for (asked, expected) in [(400_000, 400_000), (1, 200_000), (90_000_000, 4_000_000)] {
        worker.say(Message::BitrateWanted { track: 0, bits_per_second: asked });
        let got = measure(&mut worker);
        let is_about = expected * 5 / 10..expected * 16 / 10;
        assert!(is_about.contains(&got), "{got} for {expected}");
    }
    worker.say(Message::Drain);
    assert_eq!(worker.ending(), Ending::Complete);
}

#[test]
fn a_file_that_does_not_repeat_ends_and_one_that_is_not_there_is_lost() {
    let folder = Folder::new("once");
    let file = folder.path("film.webm");
    make(&file, &format!("{PICTURES} -c:v libvpx -b:v 200k"));
    let mut worker = Worker::start(&stream(&file, r#","repeat":false"#));
    let mut pictures = 0;
    let ending = loop {
        match worker.packet() {
            Ok(_) => pictures += 1,
            Err(ending) => break ending,
        }
    };
    assert_eq!((pictures, ending), (25, Ending::Complete));
    assert_eq!(worker.tracks[0].codec, Codec::Vp8);
    assert!(!worker.graphs.is_empty());
    let mut worker = Worker::start(&stream("/nowhere/user:secret@film.mp4", ""));
    let ending = worker.ending();
    assert!(matches!(&ending, Ending::SourceLost { cause } if !cause.contains("secret")));
    assert!(!worker.child.wait().expect("it ended").success());
}

#[test]
fn motion_is_told_with_a_picture_and_without_the_sources_address() {
    let folder = Folder::new("motion");
    let file = folder.path("film.mp4");
    // Two seconds of black, then something that moves.
    make(
        &file,
        "-f lavfi -i color=black:size=320x240:rate=25:duration=1 -f lavfi \
         -i testsrc2=size=320x240:rate=25:duration=2 -filter_complex concat=n=2 -c:v libx264 -bf 0 \
         -pix_fmt yuv420p",
    );
    let snapshots = folder.path("snapshots");
    let more = format!(
        r#","repeat":false,"analysis":{{"motion":{{"threshold":0.02}},"snapshots":{{"directory":"{snapshots}"}}}}"#
    );
    let mut worker = Worker::start(&stream(&file, &more));
    assert_eq!(worker.ending(), Ending::Complete);
    let seen: Vec<_> = worker
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Vision(vision) => Some(vision),
            _ => None,
        })
        .collect();
    assert!(!seen.is_empty(), "{:?}", worker.events);
    for vision in &seen {
        assert!(vision.frame.pts_usec >= 900_000, "nothing moves in black");
        assert!(vision.data.score >= 0.02 && !vision.detections.is_empty());
        assert_eq!(vision.data.grid.cells.len(), 32 * 18);
    }
    let text = serde_json::to_string(&worker.events).expect("JSON");
    assert!(!text.contains(&file) && !text.contains(&snapshots), "{text}");
    let kept = worker.events.iter().find_map(|event| match event {
        Event::RecordingClosed(kept) if kept.kind == RecordingKind::Snapshot => Some(kept),
        _ => None,
    });
    let path = std::path::Path::new(&snapshots).join(&kept.expect("a picture was kept").name);
    let said = crate::harness::probe(&path, "-show_entries stream=codec_name,width");
    assert!(said.contains("mjpeg") && said.contains("width=320"), "{said}");
}

#[test]
fn a_clip_has_what_was_before_the_motion_and_ends_when_it_has_ended() {
    let folder = Folder::new("clip");
    let file = folder.path("film.mp4");
    // Three seconds of rest, one in which something moves, three of rest.
    make(
        &file,
        "-f lavfi -i color=black:size=320x240:rate=25:duration=3 -f lavfi \
         -i testsrc2=size=320x240:rate=25:duration=1 -f lavfi \
         -i color=black:size=320x240:rate=25:duration=3 -filter_complex concat=n=3 -c:v libx264 \
         -bf 0 -g 25 -pix_fmt yuv420p",
    );
    let clips = folder.path("clips");
    let more = format!(
        r#","repeat":false,"analysis":{{"motion":{{"threshold":0.02}},"clips":{{"directory":"{clips}","before_ms":1500,"after_ms":1000}}}}"#
    );
    let mut worker = Worker::start(&stream(&file, &more));
    assert_eq!(worker.ending(), Ending::Complete);
    let closed: Vec<_> = worker
        .events
        .iter()
        .filter_map(|event| match event {
            Event::RecordingClosed(clip) => Some(clip),
            _ => None,
        })
        .collect();
    assert_eq!(closed.len(), 1, "{:?}", worker.events);
    let clip = closed[0];
    assert_eq!((clip.kind, &clip.cause), (RecordingKind::Clip, &None));
    // A second and a half before, to the keyframe; one of motion; one after.
    assert!((3_000..=5_500).contains(&clip.duration_ms), "{clip:?}");
    assert_eq!((clip.tracks[0].width, clip.tracks[0].height), (320, 240));
    // Motion names the clip while it is written; and once it is whole, the motion that began it.
    let url = serde_json::json!({ "url": format!("/artifacts/clips/{}", clip.name) });
    let seen: Vec<_> = worker
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Vision(vision) => Some(vision),
            _ => None,
        })
        .collect();
    let (first, last) = (seen[0], seen[seen.len() - 1]);
    assert_eq!((first.kind.as_str(), &first.data.clip), ("detect", &None));
    assert_eq!((last.kind.as_str(), &last.data.clip), ("clip", &Some(url.clone())));
    assert_eq!((&last.frame, &last.detections), (&first.frame, &first.detections));
    let between = &seen[1..seen.len() - 1];
    assert!(between.iter().all(|it| it.data.clip.as_ref().is_none_or(|clip| *clip == url)));

    let path = std::path::Path::new(&clips).join(&clip.name);
    let said = crate::harness::probe(&path, "-count_packets -show_entries stream=nb_read_packets");
    let count: u64 =
        values(&said, "nb_read_packets").next().and_then(|it| it.parse().ok()).unwrap_or(0);
    assert!(count.abs_diff(clip.duration_ms / 40) <= 2, "{count} pictures of {clip:?}");
    let said = crate::harness::probe(&path, "-show_entries frame=key_frame -read_intervals %+#1");
    assert!(said.contains("key_frame=1"), "{said}");
}

#[test]
fn a_tone_and_silence_are_no_voice_but_loud_enough_for_the_level_alone() {
    let folder = Folder::new("voice");
    let file = folder.path("sound.ogg");
    make(
        &file,
        "-f lavfi -i anullsrc=r=48000:cl=stereo:d=1 -f lavfi -i sine=frequency=440:duration=1:r=48000 \
         -f lavfi -i anullsrc=r=48000:cl=stereo:d=1 \
         -filter_complex [1]volume=4,aformat=channel_layouts=stereo[t];[0][t][2]concat=n=3:v=0:a=1 \
         -c:a libopus",
    );
    for (probability, expected) in [("0.0", true), ("0.9", false)] {
        let more = format!(
            r#","repeat":false,"analysis":{{"voice":{{"probability_min":{probability}}}}}"#
        );
        let mut worker = Worker::start(&stream(&file, &more));
        assert_eq!(worker.ending(), Ending::Complete);
        let kinds: Vec<(&str, i64)> = worker
            .events
            .iter()
            .filter_map(|event| match event {
                Event::Speech(speech) => Some((speech.kind.as_str(), speech.time)),
                _ => None,
            })
            .collect();
        if expected {
            assert!(matches!(kinds[0], ("speech:start", 900_000..1_200_000)), "{kinds:?}");
            let last = kinds[kinds.len() - 1];
            assert!(matches!(last, ("speech:end", 2_100_000..2_700_000)), "{kinds:?}");
        } else {
            assert!(kinds.is_empty(), "{kinds:?}");
        }
    }
}

#[test]
fn a_camera_that_is_not_there_is_said_to_be_missing() {
    let mut worker = Worker::start(&stream("/dev/video93", ""));
    let Ending::SourceLost { cause } = worker.ending() else { panic!("it may come yet") };
    assert!(cause.contains("no such V4L2 device"), "{cause}");
    assert!(!cause.contains("/dev/video93"), "without the path: {cause}");
}
