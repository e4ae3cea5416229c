//! A stream's packets on their way to a recorder: RTP into access units, on one clock.

use std::sync::Arc;
use std::time::Instant;

use media_link::{Job, Message, RecordJob};
use media_rtc::{RtpPacket, TrackId, TrackInfo};

use crate::desk::{Desk, WorkerId};
use crate::units::{Made, Units};

/// A stream that is recorded.
pub(crate) struct Taped {
    pub(crate) name: Arc<str>,
    pub(crate) worker: Option<WorkerId>,
    /// It has said hello, and knows the tracks.
    pub(crate) is_running: bool,
    job: RecordJob,
    lanes: Vec<Units>,
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
        self.lanes.retain(|lane| tracks.iter().any(|track| track.id == lane.origin()));
        let mut has_changed = self.lanes.len() != known;
        for info in tracks.iter().filter(|info| info.is_incoming) {
            if self.lanes.iter().any(|lane| lane.origin() == info.id) {
                continue;
            }
            let taken = |id: &u8| !self.lanes.iter().any(|lane| lane.track().id == *id);
            let id = (0..media_link::TRACKS_MAX as u8).find(taken);
            let Some(lane) = id.and_then(|id| Units::new(info, id)) else { continue };
            has_changed = true;
            self.lanes.push(lane);
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
            desk.say(worker, Message::Track(lane.track().clone())).ok();
        }
    }

    /// A packet of the stream.
    pub(crate) fn packet(&mut self, track: TrackId, packet: &Arc<RtpPacket>) {
        let began_at = *self.began_at.get_or_insert(packet.captured_at);
        if let Some(lane) = self.lanes.iter_mut().find(|lane| lane.origin() == track) {
            lane.take(began_at, packet);
        }
    }

    /// Hands on what is whole; whether a keyframe is needed.
    pub(crate) fn pump(&mut self, now: Instant, desk: &mut Desk) -> bool {
        let mut wants_keyframe = false;
        for lane in &mut self.lanes {
            let is_picture = !lane.track().codec.is_audio();
            while let Some(made) = lane.poll(now) {
                let unit = match made {
                    Made::KeyframeWanted => {
                        wants_keyframe = true;
                        continue;
                    }
                    Made::Unit(unit) => unit,
                };
                let Some(worker) = self.worker.filter(|_| self.is_running) else { continue };
                if is_picture && self.needs_keyframe && !unit.is_keyframe {
                    continue;
                }
                let is_taken = desk.say(worker, Message::Packet(unit)).is_ok();
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
        self.lanes.iter().filter_map(Units::deadline).min()
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
