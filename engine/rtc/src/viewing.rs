//! What a viewer sees: which of a publisher's tracks goes into which of its own.
//!
//! Numbers, layers and where a picture may begin are [`media_rtc::Projection`]'s.

use std::sync::Arc;
use std::time::Instant;

use media_rtc::{MediaKind, Projection, Rid, RtpPacket, Session, Track, TrackId, TrackInfo};

use crate::ids::SessionId;

/// Sound's part of what a viewer can take, bits each second; pictures have the rest.
const SOUND_BPS: u64 = 100_000;

/// What is kept of a viewer.
#[derive(Debug, Default)]
pub(crate) struct Viewing {
    /// The publisher whose packets it gets.
    pub(crate) fed_by: Option<SessionId>,
    /// Since when nobody feeds it; that has a limit.
    pub(crate) hungry_since: Option<Instant>,
    lanes: Vec<Lane>,
    /// Layers that it asks for, of which of its tracks.
    wishes: Vec<(TrackId, Rid)>,
}

/// From a publisher's track to one of the viewer's.
#[derive(Debug)]
struct Lane {
    from: Option<TrackId>,
    to: TrackId,
    projection: Projection,
}

/// A publisher's track as it is kept on a shard of viewers.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) info: TrackInfo,
    pub(crate) track: Track,
}

impl Viewing {
    /// Leads these tracks of a publisher into the viewer's own of the same kind, in order. What is
    /// kept since a keyframe goes out at once.
    pub(crate) fn attach(
        &mut self,
        now: Instant,
        (publisher, kept): (SessionId, &[Kept]),
        session: &mut Session,
        mut random: impl FnMut() -> u64,
    ) {
        let is_other = self.fed_by != Some(publisher);
        self.fed_by = Some(publisher);
        self.hungry_since = None;
        let own: Vec<(TrackId, MediaKind)> = session
            .tracks()
            .filter(|track| track.is_outgoing)
            .map(|track| (track.id, track.kind))
            .collect();
        self.lanes.retain(|lane| own.iter().any(|(id, _)| *id == lane.to));
        for kind in [MediaKind::Audio, MediaKind::Video] {
            let is_it = |kept: &&Kept| kept.info.kind == kind && kept.info.is_incoming;
            let mut incoming = kept.iter().filter(is_it);
            for (to, _) in own.iter().filter(|(_, own)| *own == kind) {
                let next = incoming.next();
                let from = next.map(|kept| kept.info.id);
                let known = self.lanes.iter().position(|lane| lane.to == *to);
                let place = known.unwrap_or_else(|| {
                    let mut projection = Projection::new(kind, random());
                    projection.prefer(wish_of(&self.wishes, *to));
                    self.lanes.push(Lane { from: None, to: *to, projection });
                    self.lanes.len() - 1
                });
                let lane = &mut self.lanes[place];
                if is_other || lane.from != from {
                    lane.from = from;
                    if let Some(kept) = next {
                        let to = lane.to;
                        lane.projection.join(now, &kept.track, |packet, projected| {
                            session.send(now, to, packet, projected)
                        });
                    }
                }
            }
        }
    }

    /// Nobody feeds it any more.
    pub(crate) fn detach(&mut self, now: Instant) {
        self.fed_by = None;
        self.hungry_since.get_or_insert(now);
        for lane in &mut self.lanes {
            lane.from = None;
        }
    }

    /// The publisher's track that feeds one of the viewer's, and the layer of it.
    pub(crate) fn origin_of(&self, track: TrackId) -> Option<(TrackId, Option<Rid>)> {
        let lane = self.lanes.iter().find(|lane| lane.to == track)?;
        Some((lane.from?, lane.projection.layer()))
    }

    /// The viewer asks for a layer of one of its tracks, or leaves it to the estimate again.
    pub(crate) fn prefer(&mut self, track: TrackId, rid: Option<Rid>) {
        self.wishes.retain(|(known, _)| *known != track);
        self.wishes.extend(rid.map(|rid| (track, rid)));
        if let Some(lane) = self.lanes.iter_mut().find(|lane| lane.to == track) {
            lane.projection.prefer(rid);
        }
    }

    /// The layer that it asks for.
    pub(crate) fn wish_of(&self, track: TrackId) -> Option<Rid> {
        wish_of(&self.wishes, track)
    }

    /// How much the way to the viewer takes.
    pub(crate) fn set_estimate(&mut self, bits_per_second: u64, session: &Session) {
        let is_picture = |lane: &Lane| {
            let own = session.tracks().find(|track| track.id == lane.to);
            own.is_some_and(|track| track.kind == MediaKind::Video)
        };
        let pictures = self.lanes.iter().filter(|lane| is_picture(lane)).count() as u64;
        let budget = bits_per_second.saturating_sub(SOUND_BPS) / pictures.max(1);
        for lane in self.lanes.iter_mut().filter(|lane| is_picture(lane)) {
            lane.projection.set_budget(budget);
        }
    }

    /// A packet of one of the publisher's tracks. Answers with the layer of which the viewer needs
    /// a keyframe, if it does.
    pub(crate) fn take(
        &mut self,
        now: Instant,
        kept: &Kept,
        packet: &Arc<RtpPacket>,
        session: &mut Session,
    ) -> Option<Option<Rid>> {
        let lane = self.lanes.iter_mut().find(|lane| lane.from == Some(kept.info.id))?;
        let to = lane.to;
        lane.projection.take(now, &kept.track, packet, |packet, projected| {
            session.send(now, to, packet, projected)
        });
        lane.projection.keyframe_needed(now)
    }

    /// Tracks of the publisher, and layers of them, of which a keyframe is needed.
    pub(crate) fn keyframes_needed(
        &self,
        now: Instant,
    ) -> impl Iterator<Item = (TrackId, Option<Rid>)> {
        let needed = move |lane: &Lane| Some((lane.from?, lane.projection.keyframe_needed(now)?));
        self.lanes.iter().filter_map(needed)
    }
}

fn wish_of(wishes: &[(TrackId, Rid)], track: TrackId) -> Option<Rid> {
    wishes.iter().find(|(known, _)| *known == track).map(|(_, rid)| *rid)
}
