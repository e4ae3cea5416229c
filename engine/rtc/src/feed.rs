//! A publisher's packets as a shard has them: for its viewers, and, on the publisher's own shard,
//! for those who are yet to come.
//!
//! The publisher's shard keeps what came since each keyframe whether anybody watches or not; a
//! shard whose first viewer comes is given it with the tracks, before any packet that follows. So
//! no newcomer waits for a keyframe that has been sent already, and the publisher is not asked for
//! one on each shard's behalf. A track's part is bounded by [`TrackLimits`], and a shard's sum by
//! [`CacheRoom`]; payloads are shared.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use media_rtc::{MediaKind, RtpPacket, Track, TrackId, TrackInfo, TrackLimits};
use shards_runtime::{Context, Io, ShardId};

use crate::ids::SessionId;
use crate::letter::{Batch, Letter};
use crate::rtc::Rtc;
use crate::viewing::Kept;

/// A publisher's packets on one shard.
#[derive(Debug)]
pub(crate) struct Feed {
    /// Where they come from.
    pub(crate) at: ShardId,
    /// The publisher is on this shard: kept as long as it is.
    pub(crate) is_own: bool,
    pub(crate) kept: Vec<Kept>,
    pub(crate) viewers: BTreeSet<u64>,
}

impl Feed {
    /// One of which nothing is known yet.
    pub(crate) fn new(at: ShardId) -> Feed {
        Feed { at, is_own: false, kept: Vec::new(), viewers: BTreeSet::new() }
    }

    /// What its publisher sends.
    pub(crate) fn tracks(&self) -> impl Iterator<Item = &TrackInfo> {
        self.kept.iter().map(|kept| &kept.info)
    }

    /// Its publisher sends these now.
    pub(crate) fn tracks_are(&mut self, tracks: &[TrackInfo], limits: TrackLimits) {
        self.kept.retain(|kept| tracks.iter().any(|track| track.id == kept.info.id));
        for info in tracks {
            match self.kept.iter_mut().find(|kept| kept.info.id == info.id) {
                Some(kept) => kept.info = info.clone(),
                None => {
                    let track = Track::new(info.kind, limits);
                    self.kept.push(Kept { info: info.clone(), track });
                }
            }
        }
    }

    /// Keeps a packet that came at `at`. Answers with its track's place; none where it is nothing
    /// to pass on.
    pub(crate) fn keep(
        &mut self,
        at: Instant,
        track: TrackId,
        packet: &Arc<RtpPacket>,
        room: &mut CacheRoom,
    ) -> Option<usize> {
        let place = self.kept.iter().position(|kept| kept.info.id == track)?;
        let track = &mut self.kept[place].track;
        let before_bytes = track.cache_bytes();
        let is_new = track.push(at, packet);
        room.changed(track, before_bytes, !self.viewers.is_empty());
        is_new.then_some(place)
    }

    /// Bytes that it keeps since keyframes.
    pub(crate) fn cache_bytes(&self) -> usize {
        self.kept.iter().map(|kept| kept.track.cache_bytes()).sum()
    }

    /// Somebody needs to see all of it.
    pub(crate) fn want_keyframes(&mut self) {
        for kept in &mut self.kept {
            kept.track.want_keyframe(None);
        }
    }
}

/// What all feeds of a shard may keep since keyframes, together.
///
/// What nobody watches here has three quarters of it, so that publishers without viewers cost the
/// others nothing. A track that finds no room keeps nothing until its next keyframe: who comes to
/// watch it meanwhile waits for that. The few packets that may have overtaken that keyframe are
/// held all the same, so that the sum may be larger by these.
#[derive(Debug)]
pub(crate) struct CacheRoom {
    bytes_max: usize,
    /// What is kept, as far as it was counted packet by packet.
    pub(crate) used_bytes: usize,
    /// Tracks that found no room.
    pub(crate) given_up: u64,
}

impl CacheRoom {
    pub(crate) fn new(bytes_max: usize) -> CacheRoom {
        CacheRoom { bytes_max, used_bytes: 0, given_up: 0 }
    }

    /// A track keeps something else than before.
    fn changed(&mut self, track: &mut Track, before_bytes: usize, is_watched: bool) {
        let after_bytes = track.cache_bytes();
        self.used_bytes = (self.used_bytes + after_bytes).saturating_sub(before_bytes);
        let bytes_max = if is_watched { self.bytes_max } else { self.bytes_max / 4 * 3 };
        if self.used_bytes > bytes_max && after_bytes > before_bytes && track.give_up_cache() {
            self.given_up += 1;
            self.used_bytes = (self.used_bytes + track.cache_bytes()).saturating_sub(after_bytes);
        }
    }
}

impl Rtc {
    /// Counts anew what is kept: feeds that are gone are no longer in it.
    pub(crate) fn count_caches(&mut self) {
        self.cache_room.used_bytes = self.feeds.values().map(Feed::cache_bytes).sum();
    }

    /// A publisher is here: what a newcomer needs of it is kept from now on.
    pub(crate) fn keep_own<I: Io, M: Send + From<Letter>>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        session: SessionId,
        tracks: Arc<[TrackInfo]>,
    ) {
        let me = self.me;
        self.feeds.entry(session).or_insert_with(|| Feed::new(me)).is_own = true;
        self.tracks_are(cx, session, tracks, None);
    }

    /// What a shard that begins to watch a publisher here has missed.
    pub(crate) fn replay_of(&self, session: SessionId) -> Option<Arc<Batch>> {
        let feed = self.feeds.get(&session)?;
        let of_track = |kept: &Kept| -> Vec<(TrackId, Arc<RtpPacket>)> {
            kept.track.since_keyframes().map(|packet| (kept.info.id, packet.clone())).collect()
        };
        let packets: Vec<_> = feed.kept.iter().flat_map(of_track).collect();
        (!packets.is_empty()).then(|| Arc::new(Batch { session, has_gap: false, packets }))
    }
}

/// How many packets may be kept before any of them is given to a viewer: where a picture starts
/// anew, viewers are given what is kept since, so such a packet goes by itself.
pub(crate) fn run_length(packets: &[(TrackId, Arc<RtpPacket>)]) -> usize {
    let is_start = |(_, packet): &(TrackId, Arc<RtpPacket>)| {
        packet.is_keyframe_start && packet.parameters.codec().kind() == MediaKind::Video
    };
    packets.iter().position(is_start).unwrap_or(packets.len()).max(1)
}
