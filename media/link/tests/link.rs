//! What a link promises: messages come out as they went in however the bytes are cut, the order is
//! held, and nothing grows.

use std::num::NonZeroU32;

use bytes::Bytes;
use media_link::*;
use proptest::prelude::*;

fn track(id: u8) -> Message {
    Message::Track(Track {
        id,
        codec: Codec::Vp8,
        time_base: TimeBase::per_second(NonZeroU32::new(90_000).expect("not zero")),
        width: 640,
        height: 480,
        sample_rate: 0,
        channels: 0,
        extradata: Bytes::from_static(b"extra"),
    })
}

fn packet(track: u8, payload: Vec<u8>) -> Message {
    Message::Packet(MediaPacket {
        track,
        is_keyframe: payload.len().is_multiple_of(2),
        is_after_loss: payload.len().is_multiple_of(3),
        presentation: -7,
        decode: i64::MIN,
        duration: 3_000,
        payload: Bytes::from(payload),
    })
}

fn job() -> Message {
    let text = r#"{"job":"stream","name":"cam","source":"/dev/video0","analysis":{"motion":{}}}"#;
    Message::Job(Box::new(serde_json::from_str(text).expect("a job")))
}

fn worker_says() -> Vec<Message> {
    let picture = Picture {
        name: "cam-1.jpg".into(),
        width: 640,
        height: 480,
        size_bytes: 9,
        presentation_us: 5,
    };
    vec![
        track(0),
        track(3),
        packet(3, vec![1; 1000]),
        packet(0, Vec::new()),
        Message::KeyframeWanted { track: 3 },
        Message::Event {
            event: Box::new(Event::Snapshot(picture)),
            attachment: Bytes::from_static(b"jpeg"),
        },
        Message::Event { event: Box::new(Event::SourceOpened), attachment: Bytes::new() },
        Message::Graph(Bytes::from_static(b"{}")),
        Message::End(Ending::SourceLost { cause: "gone".into() }),
    ]
}

fn written(link: &mut Link) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(frame) = link.next_output() {
        bytes.extend_from_slice(&frame.head);
        bytes.extend_from_slice(&frame.payload);
    }
    assert_eq!(link.output_bytes(), 0);
    bytes
}

fn say(link: &mut Link, messages: Vec<Message>) {
    for message in messages {
        link.send(message).expect("in order");
    }
}

#[test]
fn a_job_has_a_default_for_all_that_can_have_one() {
    let Message::Job(job) = job() else { unreachable!("it is a job") };
    let Job::Stream(stream) = &*job else { unreachable!("it is a stream's") };
    assert!(stream.repeat && stream.analysis.voice.is_none());
    assert_eq!(stream.video.keyframe_interval_ms, 4_000);
    assert_eq!(job.analysis().motion.as_ref().map(|motion| motion.grid_width), Some(32));
    let text = serde_json::to_string(&job).expect("JSON");
    assert_eq!(serde_json::from_str::<Job>(&text).expect("it again"), *job);
}

#[test]
fn a_packet_is_refused_when_too_much_waits_and_the_last_word_is_not() {
    let limits = Limits { output_bytes_max: 1_000, ..Limits::default() };
    let mut worker = Link::new(Side::Worker, limits);
    say(&mut worker, vec![track(0), packet(0, vec![0; 1_000])]);
    let refused = worker.send(packet(0, vec![1])).expect_err("full");
    assert_eq!(refused, Refused::Full(packet(0, vec![1])));
    let waiting = worker.output_bytes();
    worker.send(Message::End(Ending::Complete)).expect("always");
    assert!(worker.output_bytes() > waiting);
    written(&mut worker);
    let late = worker.send(packet(0, vec![1])).expect_err("after the end");
    assert!(matches!(late, Refused::OutOfOrder(_)));
}

#[test]
fn what_is_too_long_is_refused_on_both_ends() {
    let limits = Limits { body_bytes_max: 100, ..Limits::default() };
    let mut small = Link::new(Side::Server, limits);
    let mut large = Link::new(Side::Worker, Limits::default());
    say(&mut large, vec![track(0), packet(0, vec![0; 100])]);
    assert!(matches!(small.send(job()), Ok(()) | Err(Refused::TooLong(_))));
    small.receive(&written(&mut large));
    while let Ok(Some(_)) = small.poll() {}
    assert_eq!(small.poll(), Ok(None), "the link is over");
    small.receive(&[0; 10]);
    assert_eq!(small.poll(), Ok(None));
}

#[test]
fn the_order_is_held() {
    let broken = |messages: &[Message], side: Side| {
        let mut link = Link::new(side, Limits::default());
        for message in messages {
            let frame = Frame::encode(message);
            link.receive(&frame.head);
            link.receive(&frame.payload);
        }
        loop {
            match link.poll() {
                Ok(Some(_)) => {}
                Ok(None) => return false,
                Err(_) => return true,
            }
        }
    };
    let hello = Message::Hello(Hello { version: VERSION });
    let other = Message::Hello(Hello { version: VERSION + 1 });
    let from_server = |messages: &[Message]| broken(messages, Side::Worker);
    let from_worker = |messages: &[Message]| broken(messages, Side::Server);
    assert!(!from_server(&[hello.clone(), job(), Message::Drain]));
    assert!(from_server(&[other]));
    assert!(from_server(&[job()]));
    assert!(from_server(&[hello.clone(), track(0)]));
    assert!(from_server(&[hello.clone(), job(), job()]));
    assert!(from_server(&[hello.clone(), job(), track(0), Message::Drain, packet(0, vec![])]));
    assert!(from_server(&[hello.clone(), job(), Message::End(Ending::Complete)]));
    assert!(from_worker(&[hello.clone(), packet(0, vec![])]));
    assert!(from_worker(&[hello.clone(), job()]));
    assert!(from_worker(&[hello.clone(), Message::End(Ending::Complete), track(0)]));
    assert!(!from_worker(&[hello, track(0), packet(0, vec![]), Message::End(Ending::Complete)]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn messages_come_out_as_they_went_in_however_they_are_cut(
        cuts in prop::collection::vec(1_usize..400, 1..20)
    ) {
        let mut worker = Link::new(Side::Worker, Limits::default());
        say(&mut worker, worker_says());
        let bytes = written(&mut worker);
        let mut server = Link::new(Side::Server, Limits::default());
        let (mut rest, mut got, mut cuts) = (&bytes[..], Vec::new(), cuts.iter().cycle());
        while !rest.is_empty() {
            let (piece, after) = rest.split_at((*cuts.next().expect("endless")).min(rest.len()));
            rest = after;
            server.receive(piece);
            while let Some(message) = server.poll().expect("a good peer") {
                got.push(message);
            }
        }
        prop_assert_eq!(got.remove(0), Message::Hello(Hello { version: VERSION }));
        prop_assert_eq!(got, worker_says());
        prop_assert!(server.is_ended());
    }

    #[test]
    fn any_bytes_end_the_link_or_are_messages(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        for side in [Side::Server, Side::Worker] {
            let mut link = Link::new(side, Limits { body_bytes_max: 300, ..Limits::default() });
            link.receive(&bytes);
            let mut count = 0;
            while let Ok(Some(_)) = link.poll() {
                count += 1;
            }
            prop_assert!(count <= bytes.len() / HEAD_BYTES);
        }
    }
}
