//! A stream's packets on their way to a recorder: RTP into access units, on one clock.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use media_link::{Codec, Job, MediaPacket, Message, RecordJob, TimeBase, Track};
use media_payload::{Depacketizer, Limits, Output};
use media_rtc::{RtpPacket, TrackId, TrackInfo};

use crate::desk::{Desk, WorkerId};

struct Lane {
    from: TrackId,
    track: Track,
    rate: u32,
    depacketizer: Depacketizer,
    /// The last timestamp, counted on, and the link's time that belongs to the first.
    clock: Option<Clock>,
}

#[derive(Clone, Copy)]
struct Clock {
    /// The sender's numbering: another begins anew.
    source: u32,
    first: u64,
    last: u64,
    begins_at: i64,
}

/// A stream that is recorded.
pub(crate) struct Taped {
    pub(crate) name: Arc<str>,
    pub(crate) worker: Option<WorkerId>,
    /// It has said hello, and knows the tracks.
    pub(crate) is_running: bool,
    job: RecordJob,
    lanes: Vec<Lane>,
    began_at: Option<Instant>,
    is_lost: bool,
    /// Something was not taken: pictures go on with a keyframe.
    needs_keyframe: bool,
}

impl std::fmt::Debug for Taped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Taped").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Taped {
    pub(crate) fn new(name: Arc<str>, job: RecordJob) -> Taped {
        Taped {
            name,
            worker: None,
            is_running: false,
            job,
            lanes: Vec::new(),
            began_at: None,
            is_lost: false,
            needs_keyframe: false,
        }
    }

    /// The stream has these tracks now.
    pub(crate) fn tracks(&mut self, desk: &mut Desk, tracks: &[TrackInfo]) {
        self.is_lost = false;
        let known = self.lanes.len();
        self.lanes.retain(|lane| tracks.iter().any(|track| track.id == lane.from));
        let mut has_changed = self.lanes.len() != known;
        for info in tracks.iter().filter(|info| info.is_incoming) {
            if self.lanes.iter().any(|lane| lane.from == info.id) {
                continue;
            }
            let taken = |id: &u8| !self.lanes.iter().any(|lane| lane.track.id == *id);
            let id = (0..media_link::TRACKS_MAX as u8).find(taken);
            let codec = info.codecs.first().and_then(|parameters| codec_of(parameters.codec()));
            let (Some(id), Some((codec, payload))) = (id, codec) else { continue };
            has_changed = true;
            let rate = payload.clock_rate();
            let ticks = NonZeroU32::new(rate).expect("a clock that ticks");
            self.lanes.push(Lane {
                from: info.id,
                track: Track {
                    id,
                    codec,
                    time_base: TimeBase::per_second(ticks),
                    width: 0,
                    height: 0,
                    sample_rate: if codec.is_audio() { 48_000 } else { 0 },
                    channels: if codec.is_audio() { 2 } else { 0 },
                    extradata: Bytes::new(),
                },
                rate,
                depacketizer: Depacketizer::new(payload, Limits::default()),
                clock: None,
            });
        }
        if self.worker.is_none() && !self.lanes.is_empty() {
            self.worker = desk.hire(Job::Record(self.job.clone()));
        } else if has_changed && self.is_running {
            self.begin(desk);
        }
    }

    /// The recorder is told the tracks.
    pub(crate) fn begin(&mut self, desk: &mut Desk) {
        let Some(worker) = self.worker else { return };
        self.is_running = true;
        self.needs_keyframe = true;
        for lane in &self.lanes {
            // Refused only by a link that is over, which is heard of next.
            desk.say(worker, Message::Track(lane.track.clone())).ok();
        }
    }

    /// A packet of the stream.
    pub(crate) fn packet(&mut self, track: TrackId, packet: &Arc<RtpPacket>) {
        let began_at = *self.began_at.get_or_insert(packet.captured_at);
        let is_real = |lane: &&mut Lane| lane.from == track;
        let Some(lane) = self.lanes.iter_mut().find(is_real) else { return };
        // One layer of several is recorded: the first that came.
        if lane.clock.is_none_or(|clock| clock.source != packet.source && packet.rid.is_none()) {
            let since = packet.captured_at.saturating_duration_since(began_at);
            let begins_at = i64::try_from(since.as_micros()).unwrap_or(i64::MAX);
            let begins_at = begins_at.saturating_mul(i64::from(lane.rate)) / 1_000_000;
            let (first, last) = (packet.timestamp, packet.timestamp);
            lane.clock = Some(Clock { source: packet.source, first, last, begins_at });
        }
        if lane.clock.is_none_or(|clock| clock.source != packet.source) || packet.is_red {
            return;
        }
        let rtp = media_payload::RtpPacket {
            sequence: packet.sequence as u16,
            timestamp: packet.timestamp as u32,
            // Of sound each packet is a unit.
            marker: packet.is_marked || lane.track.codec.is_audio(),
            payload: Bytes::from_owner(packet.payload.clone()),
        };
        lane.depacketizer.handle(packet.received_at, rtp);
    }

    /// Hands on what is whole; whether a keyframe is needed.
    pub(crate) fn pump(&mut self, now: Instant, desk: &mut Desk) -> bool {
        let mut wants_keyframe = false;
        for lane in &mut self.lanes {
            if lane.depacketizer.deadline().is_some_and(|deadline| deadline <= now) {
                lane.depacketizer.on_deadline(now);
            }
            while let Some(output) = lane.depacketizer.poll() {
                let unit = match output {
                    Output::KeyframeWanted => {
                        wants_keyframe = true;
                        continue;
                    }
                    Output::Unit(unit) => unit,
                };
                let (Some(worker), Some(clock)) = (self.worker, &mut lane.clock) else { continue };
                if !self.is_running {
                    continue;
                }
                let is_picture = !lane.track.codec.is_audio();
                if is_picture && self.needs_keyframe && !unit.is_keyframe {
                    continue;
                }
                let presentation = clock.at(unit.timestamp);
                let message = Message::Packet(MediaPacket {
                    track: lane.track.id,
                    is_keyframe: unit.is_keyframe,
                    is_after_loss: unit.is_after_loss,
                    presentation,
                    decode: presentation,
                    duration: 0,
                    payload: unit.payload,
                });
                let is_taken = desk.say(worker, message).is_ok();
                if is_picture {
                    self.needs_keyframe = !is_taken;
                }
                wants_keyframe |= is_picture && !is_taken;
            }
        }
        wants_keyframe
    }

    /// When [`Taped::pump`] has something to give up.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.lanes.iter().filter_map(|lane| lane.depacketizer.deadline()).min()
    }

    /// The publisher is gone: the file is closed.
    pub(crate) fn lost(&mut self, desk: &mut Desk) {
        self.lanes.clear();
        self.began_at = None;
        self.is_lost = true;
        self.is_running = false;
        if let Some(worker) = self.worker.take() {
            desk.dismiss(worker);
        }
    }

    /// Whether nothing of it is left.
    pub(crate) fn is_over(&self) -> bool {
        self.is_lost && self.worker.is_none()
    }
}

impl Clock {
    /// The link's time of a timestamp of 32 bits.
    fn at(&mut self, timestamp: u32) -> i64 {
        let step = timestamp.wrapping_sub(self.last as u32) as i32;
        self.last = self.last.wrapping_add_signed(i64::from(step));
        self.begins_at.saturating_add(self.last.wrapping_sub(self.first) as i64)
    }
}

fn codec_of(codec: media_rtc::Codec) -> Option<(Codec, media_payload::Codec)> {
    Some(match codec {
        media_rtc::Codec::H264 => (Codec::H264, media_payload::Codec::H264),
        media_rtc::Codec::Vp8 => (Codec::Vp8, media_payload::Codec::Vp8),
        media_rtc::Codec::Vp9 => (Codec::Vp9, media_payload::Codec::Vp9),
        media_rtc::Codec::Av1 => (Codec::Av1, media_payload::Codec::Av1),
        media_rtc::Codec::Opus => (Codec::Opus, media_payload::Codec::Opus),
        _ => return None,
    })
}
