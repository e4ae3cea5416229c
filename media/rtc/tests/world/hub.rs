//! What the engine does between sessions: a publisher's tracks, and the viewers' projections.

use media_rtc::{MediaKind, Projection, Track, TrackId, TrackLimits};

use super::World;

/// One stream.
pub struct Hub {
    pub publisher: usize,
    pub tracks: Vec<(TrackId, Track)>,
    pub viewers: Vec<View>,
}

/// A viewer's track.
pub struct View {
    pub session: usize,
    pub track: TrackId,
    pub projection: Projection,
    kind: MediaKind,
    has_joined: bool,
    /// Packets that came before it joined, and were not kept for it.
    pub missed: u64,
}

impl Hub {
    pub fn new(publisher: usize) -> Self {
        Self { publisher, tracks: Vec::new(), viewers: Vec::new() }
    }

    /// A viewer of all that the session may be sent.
    pub fn add(&mut self, world: &World, session: usize) {
        for track in world.sessions[session].tracks.iter().filter(|track| track.is_outgoing) {
            self.viewers.push(View {
                session,
                track: track.id,
                projection: Projection::new(track.kind, 77 + session as u64),
                kind: track.kind,
                has_joined: false,
                missed: 0,
            });
        }
    }

    pub fn video(&self) -> &Track {
        let video = self.tracks.iter().find(|(_, track)| track.kind() == MediaKind::Video);
        &video.expect("a track of pictures").1
    }

    pub fn view_of(&mut self, session: usize) -> &mut View {
        let is_it = |view: &&mut View| view.session == session && view.kind == MediaKind::Video;
        self.viewers.iter_mut().find(is_it).expect("a view")
    }

    /// Passes on what came, and asks for what is needed.
    pub fn pump(&mut self, world: &mut World) {
        let now = world.now;
        for (id, packet) in std::mem::take(&mut world.sessions[self.publisher].fresh) {
            let kind = packet.parameters.codec().kind();
            let place = self.tracks.iter().position(|(known, _)| *known == id);
            let place = place.unwrap_or_else(|| {
                self.tracks.push((id, Track::new(kind, TrackLimits::default())));
                self.tracks.len() - 1
            });
            let track = &mut self.tracks[place].1;
            if !track.push(now, &packet) {
                continue;
            }
            for view in self.viewers.iter_mut().filter(|view| view.kind == kind) {
                let hosted = &mut world.sessions[view.session];
                if !hosted.session.is_connected() || !view.has_joined {
                    view.missed += 1;
                    continue;
                }
                view.projection.take(now, track, &packet, |packet, projected| {
                    hosted.session.send(now, view.track, packet, projected)
                });
            }
        }
        for (id, track) in &mut self.tracks {
            let kind = track.kind();
            for view in self.viewers.iter_mut().filter(|view| view.kind == kind) {
                let hosted = &mut world.sessions[view.session];
                if let Some(estimate) = hosted.estimate {
                    view.projection.set_budget(estimate);
                }
                if hosted.session.is_connected() && !view.has_joined {
                    view.has_joined = true;
                    let missed = &mut view.missed;
                    view.projection.join(now, track, |packet, projected| {
                        *missed = missed.saturating_sub(1);
                        hosted.session.send(now, view.track, packet, projected)
                    });
                }
                let wanted = hosted.keyframes_wanted.drain(..).filter(|id| *id == view.track);
                if wanted.count() > 0 {
                    track.want_keyframe(view.projection.layer());
                }
                if let Some(rid) = view.projection.keyframe_needed(now).filter(|_| view.has_joined)
                {
                    track.want_keyframe(rid);
                }
            }
            while let Some(rid) = track.poll(now) {
                world.sessions[self.publisher].session.request_keyframe(now, *id, rid);
            }
        }
    }
}
