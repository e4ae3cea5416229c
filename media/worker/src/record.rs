//! The job that writes what comes over the link into files.
//!
//! ```text
//! link ─┬═> recorder
//!       ├─> picture ─> decode ─> motion       only where it is asked for
//!       └─> sound ───> decode ─> voice
//! ```
//!
//! When tracks are announced anew the graph drains, its file is closed, and another one is built.

use std::sync::Arc;

use ffmpeg_next as ffmpeg;
use ffmpeg_next::codec;
use media_flow::{Bound, End, Kind, Plan, Policy, TrackId};
use media_link::{Codec, Ending, Event, Job, Message, RecordJob, Track};

use crate::analysis;
use crate::clip::Trigger;
use crate::clock;
use crate::driver::{Driver, Pipeline, Step};
use crate::mailbox::{Arrival, Letter, Mailbox};
use crate::packet::Packet;
use crate::pipe::Outbox;
use crate::recorder::{Recorder, WriteFailed};
use crate::shelf::Shelf;
use crate::stages::{Decode, Only};
use crate::told::Told;

/// What waits for the disk; beyond it the link waits.
const AHEAD: Bound = Bound { packets_max: 256, bytes_max: 32 << 20 };
/// Pictures that wait to be looked at: who looks is never waited for.
const LOOKED_AT: Bound = Bound { packets_max: 64, bytes_max: 8 << 20 };

/// Runs the job to its end.
pub fn run(job: &RecordJob, mailbox: &Arc<Mailbox>, outbox: &mut Outbox) -> Option<Ending> {
    let mut tracks: Vec<Track> = Vec::new();
    let mut shelf = match Shelf::open(job) {
        Ok(shelf) => shelf,
        Err(error) => return Some(Ending::WriteFailed { cause: format!("{error:#}") }),
    };
    for mended in shelf.mend() {
        outbox.tell(Event::RecordingClosed(mended));
    }
    let mut next: Option<Packet> = None;
    loop {
        // Tracks first, until media comes.
        while next.is_none() {
            match mailbox.receive(clock::now(), None, true) {
                Arrival::Letter(Letter::Message(Message::Track(track))) => take(&mut tracks, track),
                Arrival::Letter(Letter::Message(Message::Packet(packet))) => {
                    next = packet_of(&tracks, packet);
                }
                Arrival::Letter(Letter::Message(Message::Drain)) => return Some(Ending::Complete),
                Arrival::Letter(Letter::LinkClosed(_)) => return None,
                Arrival::Letter(_) | Arrival::Written | Arrival::Timeout => outbox.pump(),
            }
        }
        let pipeline = match build(job, &tracks) {
            Ok(pipeline) => pipeline,
            Err(error) => return Some(Ending::Refused { cause: format!("{error:#}") }),
        };
        let mut driver = Driver::new(pipeline, mailbox.clone());
        let mut after = None;
        next.take().into_iter().for_each(|packet| driver.push(packet));
        loop {
            match driver.step(outbox) {
                Step::Ended => break,
                Step::Letter(Letter::Message(Message::Packet(packet))) => {
                    if let Some(packet) = packet_of(&tracks, packet) {
                        driver.push(packet);
                    }
                }
                Step::Letter(Letter::Message(Message::Track(track))) => {
                    if !tracks.contains(&track) {
                        take(&mut tracks, track);
                        driver.drain();
                    }
                }
                Step::Letter(Letter::Message(Message::Drain)) => {
                    after = Some(Ending::Complete);
                    driver.drain();
                }
                Step::Letter(Letter::LinkClosed(_)) => {
                    // The server is gone: what came is worth being closed in order.
                    driver.drain();
                    after = Some(Ending::Complete);
                }
                Step::Letter(_) => {}
            }
        }
        while let Some(event) = driver.pipeline.told.next() {
            outbox.tell(event);
        }
        match driver.pipeline.graph.end() {
            Some(End::Failed { cause: media_flow::Fault::Stage(error), .. })
                if error.is::<WriteFailed>() =>
            {
                return Some(Ending::WriteFailed { cause: error.to_string() });
            }
            Some(end @ End::Failed { .. }) => {
                return Some(Ending::Failed { cause: end.to_string() });
            }
            _ if after.is_some() => return after,
            _ => {}
        }
    }
}

fn take(tracks: &mut Vec<Track>, track: Track) {
    tracks.retain(|had| had.id != track.id);
    tracks.push(track);
    tracks.sort_by_key(|track| track.id);
}

fn packet_of(tracks: &[Track], packet: media_link::MediaPacket) -> Option<Packet> {
    let track = tracks.iter().find(|track| track.id == packet.track)?;
    Some(Packet {
        track: TrackId(packet.track),
        kind: if track.codec.is_audio() { Kind::Audio } else { Kind::Video },
        time_base: media_flow::TimeBase {
            numerator: track.time_base.numerator,
            denominator: track.time_base.denominator,
        },
        presentation: packet.presentation,
        decode: packet.decode,
        duration: packet.duration,
        is_keyframe: packet.is_keyframe,
        payload: packet.payload,
        frame: None,
    })
}

/// Builds the graph.
///
/// # Errors
/// The directory cannot be used, or FFmpeg lacks a decoder that is needed.
pub fn build(job: &RecordJob, tracks: &[Track]) -> anyhow::Result<Pipeline> {
    let mut plan: Plan<Packet> = Plan::new();
    let told = Told::default();
    let source = plan.source("link");
    let shelf = Shelf::open(job)?;
    let recorder = plan.keep("recorder", Recorder::new(job, shelf, tracks.to_vec(), told.clone()));
    plan.queue(source, recorder, AHEAD, Policy::Wait);
    for track in tracks {
        let is_audio = track.codec.is_audio();
        let is_wanted =
            if is_audio { job.analysis.voice.is_some() } else { job.analysis.motion.is_some() };
        if !is_wanted {
            continue;
        }
        let only =
            plan.inspect(if is_audio { "sound" } else { "picture" }, Only(TrackId(track.id)));
        plan.queue(source, only, LOOKED_AT, Policy::ToKeyframe);
        let base = media_flow::TimeBase {
            numerator: track.time_base.numerator,
            denominator: track.time_base.denominator,
        };
        let name = if is_audio { "decode sound" } else { "decode picture" };
        let decode = plan.convert(name, Decode::new(parameters(track)?, base)?);
        plan.lend(only, decode);
        if is_audio {
            analysis::voice(&mut plan, decode, &job.name, &job.analysis, &told);
        } else {
            let trigger = Trigger::default();
            analysis::motion(&mut plan, decode, &job.name, &job.analysis, (&told, &trigger));
        }
    }
    Ok(Pipeline { graph: plan.build()?, source, outlets: Vec::new(), told })
}

/// What a decoder must know: these codecs say the rest in their packets.
fn parameters(track: &Track) -> anyhow::Result<codec::Parameters> {
    let mut parameters = codec::Parameters::new();
    let (medium, id) = match track.codec {
        Codec::H264 => (ffmpeg::media::Type::Video, codec::Id::H264),
        Codec::Vp8 => (ffmpeg::media::Type::Video, codec::Id::VP8),
        Codec::Vp9 => (ffmpeg::media::Type::Video, codec::Id::VP9),
        Codec::Av1 => (ffmpeg::media::Type::Video, codec::Id::AV1),
        Codec::Opus => (ffmpeg::media::Type::Audio, codec::Id::OPUS),
    };
    parameters.set_medium(medium);
    parameters.set_id(id);
    Ok(parameters)
}

/// What the graph of a job of this kind looks like, for tracks as browsers send them.
pub fn example(job: &Job) -> Option<anyhow::Result<Pipeline>> {
    let Job::Record(job) = job else { return None };
    let track = |id, codec, ticks| Track {
        id,
        codec,
        time_base: media_link::TimeBase {
            numerator: std::num::NonZeroU32::MIN,
            denominator: ticks,
        },
        width: 1280,
        height: 720,
        sample_rate: 0,
        channels: 0,
        extradata: bytes::Bytes::new(),
    };
    let clocks = [90_000, 48_000].map(std::num::NonZeroU32::new);
    let [Some(video), Some(audio)] = clocks else { return None };
    Some(build(job, &[track(0, Codec::Vp8, video), track(1, Codec::Opus, audio)]))
}
