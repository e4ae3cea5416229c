//! A mount of Ogg/Opus as a stream of WebRTC: heard in a browser by WHEP, as soon as it comes.
//!
//! ```text
//! source ──► framer ──► pages ──► writer, chunks: listeners
//!                        └─────► packets ──► pacer ──► RTP: the stream's viewers, any shard
//! ```
//!
//! The packets are taken where the source is, before they wait to become a chunk; and only while
//! somebody watches. Which session a stream plays is what listeners of its mount are routed to: its
//! own source, or that of a fallback. So it is compared with the snapshot, as everything is, by the
//! shard that has the source.
//!
//! *Invariant:* a stream that plays a mount is published by at most one session here, and by one on
//! all shards once they have the same snapshot.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use engine_rtc::{Name, Taker};
use media_framing::{Unit, opus};
use media_payload::Pacer;
use media_rtc::{Codec, CodecParameters, MediaKind, RtpPacket, TrackId, TrackInfo};
use shards_runtime::{Context, Io};

use crate::message::Message;
use crate::node::Node;
use crate::snapshot::SessionId;

/// What viewers are told of the sound.
const FMTP: &str = "minptime=10;useinbandfec=1";
/// The only track.
const TRACK: TrackId = TrackId(1);
/// Longer packets would be cut on their way (1,280 bytes less what stands before a payload); they
/// come of rates that no speech or music needs.
const PAYLOAD_BYTES_MAX: usize = 1_200;

/// The packets of a source whose stream is Ogg, for streams that play its mount.
#[derive(Default)]
pub(crate) struct Packets {
    /// The headers in force.
    prelude: Bytes,
    /// What the newest link is.
    head: Option<opus::Head>,
    /// Set while somebody watches.
    reader: Option<opus::Reader>,
    /// What came since it was last taken, with how long each lasts.
    packets: Vec<(Bytes, u32)>,
}

impl Packets {
    /// A unit of the source's framer.
    pub(crate) fn take(&mut self, unit: &Unit<'_>) {
        if let Some(prelude) = &unit.prelude {
            self.prelude = prelude.clone();
            self.head = head_of(prelude);
        }
        let Packets { reader: Some(reader), packets, .. } = self else { return };
        reader.push(unit.bytes, &mut |heard| {
            if let opus::Heard::Packet { bytes, samples } = heard {
                packets.push((Bytes::copy_from_slice(bytes), samples));
            }
        });
    }

    /// Whether it is what browsers can play.
    fn is_playable(&self) -> bool {
        self.head.is_some_and(|head| head.is_plain)
    }

    /// Begins to read, or ends.
    fn read(&mut self, is_wanted: bool) {
        match (&self.reader, is_wanted) {
            (None, true) => {
                let mut reader = opus::Reader::new();
                reader.push(&self.prelude, &mut |_| ());
                self.reader = Some(reader);
            }
            (Some(_), false) => {
                self.reader = None;
                self.packets = Vec::new();
            }
            _ => {}
        }
    }
}

/// What the headers of a link say, if it is one of Opus.
fn head_of(prelude: &[u8]) -> Option<opus::Head> {
    let mut head = None;
    opus::Reader::new().push(prelude, &mut |heard| {
        if let opus::Heard::Link(link) = heard {
            head = Some(link);
        }
    });
    head
}

/// The streams that play mounts whose sources are here.
#[derive(Default)]
pub(crate) struct Players {
    by_stream: BTreeMap<Name, Player>,
}

struct Player {
    /// The mount's session that is played.
    session: SessionId,
    /// The session that publishes it.
    publisher: engine_rtc::SessionId,
    pacer: Pacer,
    source: u32,
    sequence: u64,
}

impl Players {
    /// When [`Node::play_mounts`] has something to do.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.by_stream.values().filter_map(|player| player.pacer.deadline()).min()
    }

    /// A publisher lost its stream to another.
    pub(crate) fn refused(&mut self, publisher: engine_rtc::SessionId) {
        self.by_stream.retain(|_, player| player.publisher != publisher);
    }
}

impl Node {
    /// Publishes the streams that play a source of this shard now, and ends those that do not any
    /// more.
    pub(crate) fn players_follow_sources<I: Io>(&mut self, cx: &mut Context<'_, I, Message>) {
        if self.rtc.is_none() {
            return;
        }
        let snapshot = Arc::clone(&self.snapshot);
        let mut wanted: BTreeMap<&str, SessionId> = BTreeMap::new();
        for stream in &snapshot.config.streams {
            let mount = stream.from_mount.as_deref().and_then(|mount| snapshot.find(mount));
            let route = mount.and_then(|mount| mount.route.as_ref()).map(|session| session.id);
            let packets = route.and_then(|session| self.source_mut(session)?.packets.as_ref());
            if let (Some(session), true) = (route, packets.is_some_and(Packets::is_playable)) {
                wanted.insert(&stream.name, session);
            }
        }
        let Some(rtc) = &mut self.rtc else { return };
        self.players.by_stream.retain(|name, player| {
            let is_played = wanted.get(&**name) == Some(&player.session);
            if !is_played {
                rtc.unpublish(cx, player.publisher);
            }
            is_played
        });
        for (name, session) in wanted {
            if self.players.by_stream.contains_key(name) {
                continue;
            }
            let name = Name::from(name);
            let parameters = CodecParameters::new(Codec::Opus, FMTP);
            let track = TrackInfo {
                id: TRACK,
                mid: "0".to_owned(),
                kind: MediaKind::Audio,
                is_incoming: true,
                is_outgoing: false,
                codecs: vec![parameters],
                rids: Vec::new(),
            };
            let publisher = rtc.publish(cx, (Taker::Mounts, true), name.clone(), vec![track]);
            let number = rtc.draw_number();
            let pacer = Pacer::new(1 << 32 | number >> 32);
            let (source, sequence) = (number as u32, 1 << 16);
            let player = Player { session, publisher, pacer, source, sequence };
            self.players.by_stream.insert(name, player);
        }
    }

    /// What has come of sources goes to who watches, when it is due.
    pub(crate) fn play_mounts<I: Io>(&mut self, cx: &mut Context<'_, I, Message>) {
        if self.players.by_stream.is_empty() {
            return;
        }
        let now = cx.now();
        let mut heard: BTreeMap<SessionId, Vec<(Bytes, u32)>> = BTreeMap::new();
        let sessions: Vec<SessionId> =
            self.players.by_stream.values().map(|player| player.session).collect();
        for session in sessions {
            let of_it = |player: &&Player| player.session == session;
            let players = self.players.by_stream.values();
            let is_watched = |rtc: &engine_rtc::Rtc| {
                players.filter(of_it).any(|player| rtc.is_watched(player.publisher))
            };
            let is_watched = self.rtc.as_ref().is_some_and(is_watched);
            let Some(packets) = self.source_mut(session).and_then(|it| it.packets.as_mut()) else {
                continue;
            };
            packets.read(is_watched);
            if !packets.packets.is_empty() {
                heard.insert(session, std::mem::take(&mut packets.packets));
            }
        }
        let Some(rtc) = &mut self.rtc else { return };
        let parameters = CodecParameters::new(Codec::Opus, FMTP);
        let mut has_fed = false;
        for player in self.players.by_stream.values_mut() {
            if !rtc.is_watched(player.publisher) {
                player.pacer.clear();
                continue;
            }
            for (payload, samples) in heard.get(&player.session).into_iter().flatten() {
                if payload.len() > PAYLOAD_BYTES_MAX {
                    self.counters.opus_packets_too_long += 1;
                    continue;
                }
                player.pacer.push(now, payload.clone(), *samples);
            }
            while let Some(packet) = player.pacer.poll(now) {
                let numbers = (player.sequence, packet.timestamp);
                player.sequence += 1;
                let payload = &packet.payload[..];
                let mut made = RtpPacket::new(parameters, player.source, numbers, payload, now);
                made.is_marked = packet.is_first;
                rtc.feed(player.publisher, TRACK, Arc::new(made));
                has_fed = true;
            }
        }
        if has_fed {
            rtc.on_tick_end(cx);
        }
    }
}
