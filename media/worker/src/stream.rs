//! The job that opens a source and sends its media.
//!
//! ```text
//! source ══> pace ─┬─> picture ─> H.264 with start codes ══════════> to the server
//!                  │       └────> decode ─> encode ═════════════════> to the server
//!                  │                 └────> motion
//!                  └─> sound ═══════════════════════════════════════> to the server
//!                          └────> decode ─> encode ═════════════════> to the server
//!                                    └────> voice
//!       what goes to the server ═══> clips, which motion opens
//! ```
//!
//! What a browser understands is passed through; what it does not is decoded and encoded once,
//! whoever watches. Without anybody to look for motion, nothing is decoded that need not be.

use std::rc::Rc;
use std::sync::Arc;

use ffmpeg_next as ffmpeg;
use ffmpeg_next::codec;
use media_flow::{Borrowing, Bound, Node, Pace, Plan, Policy, TrackId};
use media_link::{Codec, Ending, Event, Message, StreamJob, Track};

use crate::analysis;
use crate::clip::{ClipSink, Trigger};
use crate::driver::{Driver, Pipeline, Step, announce};
use crate::encode::{EncodeAudio, EncodeVideo, Wishes};
use crate::mailbox::{Arrival, Letter, Mailbox};
use crate::packet::{Packet, per_second};
use crate::pipe::Outbox;
use crate::source::{self, Kind, SourceTrack};
use crate::stages::{Decode, Only, StartCodes};
use crate::told::Told;

/// What is read ahead of a file: enough for its tracks to lie apart.
const AHEAD: Bound = Bound { packets_max: 64, bytes_max: 16 << 20 };
/// What waits for the server. Beyond it pictures are dropped to the next keyframe.
const BEHIND: Bound = Bound { packets_max: 512, bytes_max: 8 << 20 };

/// A graph for a source, with what is to be announced of it.
pub struct Built {
    pub pipeline: Pipeline,
    pub tracks: Vec<Track>,
    pub wishes: Rc<Wishes>,
    pub warnings: Vec<String>,
}

/// Runs the job to its end.
pub fn run(job: &StreamJob, mailbox: &Arc<Mailbox>, outbox: &mut Outbox) -> Option<Ending> {
    if let Err(error) = source::start(job, mailbox.clone()) {
        return Some(Ending::Failed { cause: error.to_string() });
    }
    let tracks = loop {
        match mailbox.receive(crate::clock::now(), None, true) {
            Arrival::Letter(Letter::SourceOpened(tracks)) => break tracks,
            Arrival::Letter(Letter::SourceEnded(ending)) => return Some(ending),
            Arrival::Letter(Letter::LinkClosed(_)) => return None,
            Arrival::Letter(Letter::Message(Message::Drain)) => return Some(Ending::Complete),
            Arrival::Letter(_) | Arrival::Written | Arrival::Timeout => outbox.pump(),
        }
    };
    let built = match build(job, tracks) {
        Ok(built) => built,
        Err(error) => return Some(Ending::Refused { cause: format!("{error:#}") }),
    };
    outbox.tell(Event::SourceOpened);
    built.warnings.iter().for_each(|warning| outbox.warn(warning));
    announce(&built.tracks, outbox);
    let wishes = built.wishes;
    let mut driver = Driver::new(built.pipeline, mailbox.clone());
    let mut ending = Ending::Complete;
    loop {
        match driver.step(outbox) {
            Step::Ended => break,
            Step::Letter(Letter::SourcePacket(packet)) => driver.push(packet.into_packet()),
            Step::Letter(Letter::SourceEnded(how)) => {
                ending = how;
                driver.drain();
            }
            Step::Letter(Letter::Message(Message::KeyframeWanted { track: 0 })) => {
                wishes.keyframe.set(true);
            }
            Step::Letter(Letter::Message(Message::BitrateWanted { track: 0, bits_per_second })) => {
                wishes.bits_per_second.set(bits_per_second);
            }
            Step::Letter(Letter::Message(Message::Drain)) => driver.stop(),
            Step::Letter(Letter::LinkClosed(_)) => return None,
            Step::Letter(Letter::Message(_) | Letter::SourceOpened(_)) => {}
        }
    }
    match driver.pipeline.graph.end() {
        Some(end @ media_flow::End::Failed { .. }) => {
            Some(Ending::Failed { cause: end.to_string() })
        }
        _ => Some(ending),
    }
}

/// Builds the graph.
///
/// # Errors
/// FFmpeg lacks a decoder or an encoder that is needed.
pub fn build(job: &StreamJob, sources: Vec<SourceTrack>) -> anyhow::Result<Built> {
    let mut plan: Plan<Packet> = Plan::new();
    let told = Told::default();
    let trigger = Trigger::default();
    let seen = (&told, &trigger);
    let mut fed: Vec<Node<Borrowing>> = Vec::new();
    let wishes = Rc::new(Wishes::default());
    let source = plan.source("source");
    let is_live = Kind::of(&job.source) != Kind::File;
    let (mut outlets, mut tracks, mut warnings) = (Vec::new(), Vec::new(), Vec::new());
    let pace = (!is_live).then(|| plan.retain("pace", Pace::new(AHEAD.packets_max)));
    if let Some(pace) = pace {
        plan.queue(source, pace, AHEAD, Policy::Wait);
    }
    for of in sources {
        let is_audio = of.track == 1;
        let name = if is_audio { "sound" } else { "picture" };
        let only = plan.inspect(name, Only(TrackId(of.track)));
        match pace {
            Some(pace) => plan.lend(pace, only),
            None => plan.lend(source, only),
        };
        let outlet = plan.outlet(if is_audio { "opus" } else { "video" });
        let policy = if is_audio { Policy::DropOldest } else { Policy::ToKeyframe };
        let track = match (is_audio, passes(&of, job)) {
            (true, Some(codec)) => {
                plan.queue(only, outlet, BEHIND, policy);
                fed.push(only);
                audio_track(codec)
            }
            (true, None) => {
                let decode = decoder(&mut plan, only, &of)?;
                let made = EncodeAudio::new(&job.audio);
                let encode = plan.convert("opus encoder", made.map_err(anyhow::Error::from_boxed)?);
                plan.lend(decode, encode).queue(encode, outlet, BEHIND, policy);
                fed.push(encode);
                analysis::voice(&mut plan, decode, &job.name, &job.analysis, &told);
                tracks.push(audio_track(Codec::Opus));
                outlets.push(outlet);
                continue;
            }
            (false, Some(Codec::H264)) => {
                let codes = plan.convert("start codes", StartCodes::new(of.parameters.clone())?);
                plan.lend(only, codes).queue(codes, outlet, BEHIND, policy);
                fed.push(codes);
                video_track(Codec::H264, &of)?
            }
            (false, Some(codec)) => {
                plan.queue(only, outlet, BEHIND, policy);
                fed.push(only);
                video_track(codec, &of)?
            }
            (false, None) => {
                let decode = decoder(&mut plan, only, &of)?;
                let made = EncodeVideo::new(job.video.clone(), wishes.clone());
                let encode = plan.convert("h264 encoder", made);
                plan.lend(decode, encode).queue(encode, outlet, BEHIND, policy);
                fed.push(encode);
                let warned = analysis::motion(&mut plan, decode, &job.name, &job.analysis, seen);
                warnings.extend(warned);
                tracks.push(video_track(Codec::H264, &of)?);
                outlets.push(outlet);
                continue;
            }
        };
        // It is passed through: decoded only for who looks for something.
        let is_wanted =
            if is_audio { job.analysis.voice.is_some() } else { job.analysis.motion.is_some() };
        if is_wanted {
            let decode = decoder(&mut plan, only, &of)?;
            if is_audio {
                analysis::voice(&mut plan, decode, &job.name, &job.analysis, &told);
            } else {
                let warned = analysis::motion(&mut plan, decode, &job.name, &job.analysis, seen);
                warnings.extend(warned);
            }
        }
        tracks.push(track);
        outlets.push(outlet);
    }
    if let (Some(settings), Some(_)) = (&job.analysis.clips, &job.analysis.motion) {
        match ClipSink::new(&job.name, settings, tracks.clone(), trigger, told.clone()) {
            Ok(clips) => {
                let clips = plan.keep("clips", clips);
                for node in fed {
                    plan.queue(node, clips, BEHIND, Policy::ToKeyframe);
                }
            }
            Err(error) => warnings.push(format!("no clips: {error:#}")),
        }
    }
    let graph = plan.build()?;
    let pipeline = Pipeline { graph, source, outlets, told };
    Ok(Built { pipeline, tracks, wishes, warnings })
}

fn decoder(
    plan: &mut Plan<Packet>,
    from: Node<Borrowing>,
    of: &SourceTrack,
) -> anyhow::Result<Node<Borrowing>> {
    let name = if of.track == 1 { "decode sound" } else { "decode picture" };
    let decode = plan.convert(name, Decode::new(of.parameters.clone(), of.time_base)?);
    plan.lend(from, decode);
    Ok(decode)
}

/// The codec in which a track can be passed through, if it can.
fn passes(of: &SourceTrack, job: &StreamJob) -> Option<Codec> {
    let id = of.parameters.id();
    if of.track == 1 {
        return (id == codec::Id::OPUS).then_some(Codec::Opus);
    }
    if job.video.always {
        return None;
    }
    match id {
        codec::Id::VP8 => Some(Codec::Vp8),
        codec::Id::H264 => {
            let context = codec::Context::from_parameters(of.parameters.clone()).ok()?;
            let video = context.decoder().video().ok()?;
            // Pictures out of their order, or of more than 4:2:0 in 8 bits, no browser plays live.
            let is_plain = matches!(
                video.format(),
                ffmpeg::format::Pixel::YUV420P | ffmpeg::format::Pixel::YUVJ420P
            );
            (!video.has_b_frames() && is_plain).then_some(Codec::H264)
        }
        _ => None,
    }
}

fn audio_track(codec: Codec) -> Track {
    Track {
        id: 1,
        codec,
        time_base: link_clock(48_000),
        width: 0,
        height: 0,
        sample_rate: 48_000,
        channels: 2,
        extradata: bytes::Bytes::new(),
    }
}

fn video_track(codec: Codec, of: &SourceTrack) -> anyhow::Result<Track> {
    let context = codec::Context::from_parameters(of.parameters.clone())?;
    let video = context.decoder().video()?;
    Ok(Track {
        id: 0,
        codec,
        time_base: link_clock(90_000),
        width: video.width(),
        height: video.height(),
        sample_rate: 0,
        channels: 0,
        extradata: bytes::Bytes::new(),
    })
}

fn link_clock(ticks: u32) -> media_link::TimeBase {
    let base = per_second(ticks);
    media_link::TimeBase { numerator: base.numerator, denominator: base.denominator }
}
