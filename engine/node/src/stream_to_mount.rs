//! A stream of WebRTC as a mount's source: go-live of a browser, heard by listeners.
//!
//! ```text
//! publisher, any shard ──► tap on the stream's home ──► units in order ──► pages of Ogg/Opus
//!                                                                             │
//!     listeners, any shard ◄── chunks ◄── framer, writer: a source as any ◄───┘
//! ```
//!
//! What asks control for the mount, and feeds it, is a connection that has no socket: so everything
//! that holds of a source holds of it (one at a time, its timeout, fallbacks, the operator's word),
//! and whatever ends it ends the publisher, too. It asks when the stream's publisher is connected
//! and is gone with him.
//!
//! *Invariant:* a stream has at most one such connection, on its home shard.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use engine_rtc::{End, Name, Taker, TapId};
use engine_workers::payload_of_packet;
use media_framing::opus;
use media_payload::{Codec, Depacketizer, Limits, Output};
use media_rtc::{RtpPacket, TrackId, TrackInfo};
use protocol_icy::StreamInfo;
use shards_runtime::{Context, Io, Token};

use crate::connection::{Asking, Connection, State};
use crate::message::{EndCause, Message, StreamOffer};
use crate::node::Node;
use crate::source::{Body, CLAIM_INPUT_BYTES_MAX, Offer};

/// How long a packet that is missing is waited for: it may be sent again.
const REORDER_WAIT: Duration = Duration::from_millis(120);
/// How long a page stays open when nothing follows, as in silence that is not sent.
const PAGE_AGE_MAX: Duration = Duration::from_millis(200);

/// The streams of this home that feed mounts.
#[derive(Default)]
pub(crate) struct Feeders {
    by_tap: BTreeMap<TapId, Feeder>,
}

struct Feeder {
    name: Name,
    mount: String,
    /// What stands for it among the connections, while it asks for the mount or has it.
    source: Option<Token>,
    lane: Option<Lane>,
}

/// The one track that is heard.
struct Lane {
    track: TrackId,
    /// The sender's numbering: another begins anew.
    numbering: Option<u32>,
    /// The last timestamp, counted on beyond 32 bits.
    timestamp: u64,
    depacketizer: Depacketizer,
    writer: opus::Writer,
    open_since: Option<Instant>,
}

impl Feeders {
    /// When [`Node::feed_mounts`] has something to do.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.by_tap.values().filter_map(|feeder| feeder.lane.as_ref()?.deadline()).min()
    }
}

impl Lane {
    fn new(track: TrackId, title: &str) -> Lane {
        let limits = Limits { wait_max: REORDER_WAIT, ..Limits::default() };
        let comments = vec![("TITLE", title.to_owned())];
        Lane {
            track,
            numbering: None,
            timestamp: 0,
            depacketizer: Depacketizer::new(Codec::Opus, limits),
            writer: opus::Writer::new(opus::WriterConfig {
                comments,
                ..opus::WriterConfig::default()
            }),
            open_since: None,
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let page = self.open_since.map(|since| since + PAGE_AGE_MAX);
        self.depacketizer.deadline().into_iter().chain(page).min()
    }

    fn take(&mut self, packet: &Arc<RtpPacket>) {
        let Some(rtp) = payload_of_packet(packet) else { return };
        if self.numbering != Some(packet.source) {
            self.numbering = Some(packet.source);
            // Room below, so that what comes late does not go below nothing.
            self.timestamp = (1 << 40) + (packet.timestamp & u64::from(u32::MAX));
            self.writer.restart();
            let limits = Limits { wait_max: REORDER_WAIT, ..Limits::default() };
            self.depacketizer = Depacketizer::new(Codec::Opus, limits);
        }
        self.depacketizer.handle(packet.received_at, rtp);
    }

    /// Pages that are whole, or old enough.
    fn pump(&mut self, now: Instant, pages: &mut Vec<u8>) {
        if self.depacketizer.deadline().is_some_and(|at| at <= now) {
            self.depacketizer.on_deadline(now);
        }
        while let Some(output) = self.depacketizer.poll() {
            let Output::Unit(unit) = output else { continue };
            let step = unit.timestamp.wrapping_sub(self.timestamp as u32) as i32;
            self.timestamp = self.timestamp.wrapping_add_signed(i64::from(step));
            self.writer.push(self.timestamp, &unit.payload, pages);
        }
        if self.open_since.is_some_and(|since| since + PAGE_AGE_MAX <= now) {
            self.writer.flush(pages);
        }
        // A page that was closed and another that was opened in one go may be as old as this tick.
        let is_fresh = !pages.is_empty() || self.open_since.is_none();
        if !self.writer.is_open() {
            self.open_since = None;
        } else if is_fresh {
            self.open_since = Some(now);
        }
    }
}

impl Node {
    /// Whether a publisher of this stream cannot have the mount that it would feed.
    pub(crate) fn is_mount_in_use(&self, stream: &str) -> bool {
        let config = &self.snapshot.config;
        let to_mount = config.streams.iter().find(|it| it.name == stream);
        let mount = to_mount.and_then(|it| self.snapshot.find(it.to_mount.as_deref()?));
        mount.is_some_and(|mount| mount.up.is_some() && !mount.settings.takeover)
    }

    /// Taps the streams of this home that feed a mount, and lets go of those that do not any more.
    pub(crate) fn feeders_follow_snapshot<I: Io>(&mut self, cx: &mut Context<'_, I, Message>) {
        let Some(rtc) = &mut self.rtc else { return };
        let config = Arc::clone(&self.snapshot.config);
        let wanted: BTreeMap<&str, &str> = config
            .streams
            .iter()
            .filter(|stream| rtc.is_at_home(&stream.name))
            .filter_map(|stream| Some((stream.name.as_str(), stream.to_mount.as_deref()?)))
            .collect();
        let is_over = |feeder: &Feeder| wanted.get(&*feeder.name) != Some(&feeder.mount.as_str());
        let feeders = &mut self.feeders.by_tap;
        let over: Vec<TapId> =
            feeders.iter().filter(|(_, feeder)| is_over(feeder)).map(|(tap, _)| *tap).collect();
        for (name, mount) in &wanted {
            if !feeders.values().any(|feeder| *feeder.name == **name && feeder.mount == **mount) {
                let (name, mount) = (Name::from(*name), (*mount).to_owned());
                let tap = rtc.tap(cx, Taker::Mounts, &name);
                feeders.insert(tap, Feeder { name, mount, source: None, lane: None });
            }
        }
        for tap in over {
            self.end_feeding(cx, tap);
            self.feeders.by_tap.remove(&tap);
            if let Some(rtc) = &mut self.rtc {
                rtc.untap(tap);
            }
        }
    }

    /// A stream has these tracks now: its sound feeds the mount.
    pub(crate) fn stream_to_feed<I: Io>(
        &mut self,
        cx: &mut Context<'_, I, Message>,
        tap: TapId,
        tracks: &[TrackInfo],
    ) {
        let Some(feeder) = self.feeders.by_tap.get_mut(&tap) else { return };
        let is_opus = |track: &&TrackInfo| {
            let first = track.codecs.first();
            track.is_incoming && first.is_some_and(|it| it.codec() == media_rtc::Codec::Opus)
        };
        let Some(track) = tracks.iter().find(is_opus).map(|track| track.id) else {
            tracing::warn!(stream = %feeder.name, mount = feeder.mount, "it has no sound to feed");
            return;
        };
        let title = self.snapshot.config.mount_named(&feeder.mount).stream_name;
        let title = title.unwrap_or_else(|| feeder.name.to_string());
        if feeder.lane.as_ref().is_none_or(|lane| lane.track != track) {
            feeder.lane = Some(Lane::new(track, &title));
        }
        if feeder.source.is_some() {
            return;
        }
        let who = self.rtc.as_ref().and_then(|rtc| rtc.publisher_of(&feeder.name));
        let client = who.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |who| who.client);
        let peer = SocketAddr::new(client, 0);
        let mut info = StreamInfo::default();
        info.set_name(&title);
        let stream = StreamOffer {
            content_type: "audio/ogg".to_owned(),
            info,
            peer,
            agent: who.and_then(|who| who.agent.clone()),
            is_v1: false,
        };
        let offer = Offer {
            mount: feeder.mount.clone(),
            stream,
            body: Body::Raw,
            metaint_in: None,
            welcome: Vec::new(),
            pull_order: None,
        };
        let mut connection = Connection::new(peer, cx.now(), State::Answering);
        connection.is_inner = true;
        let token = self.seat(connection);
        if let Some(feeder) = self.feeders.by_tap.get_mut(&tap) {
            feeder.source = token;
        }
        match token {
            Some(token) => self.claim(cx, token, offer),
            None => self.end_publisher(cx, tap),
        }
    }

    /// A packet of a stream that feeds a mount.
    pub(crate) fn packet_to_feed(&mut self, tap: TapId, track: TrackId, packet: &Arc<RtpPacket>) {
        let lane = self.feeders.by_tap.get_mut(&tap).and_then(|feeder| feeder.lane.as_mut());
        if let Some(lane) = lane.filter(|lane| lane.track == track) {
            lane.take(packet);
        }
    }

    /// What has come becomes bytes of sources.
    pub(crate) fn feed_mounts<I: Io>(&mut self, cx: &mut Context<'_, I, Message>) {
        let now = cx.now();
        let mut fed = Vec::new();
        for feeder in self.feeders.by_tap.values_mut() {
            let (Some(lane), Some(token)) = (&mut feeder.lane, feeder.source) else { continue };
            let mut pages = Vec::new();
            lane.pump(now, &mut pages);
            if !pages.is_empty() {
                fed.push((token, pages));
            }
        }
        for (token, pages) in fed {
            self.give_source(cx, token, &pages);
        }
    }

    /// A stream has no publisher any more: the mount's source leaves.
    pub(crate) fn end_feeding<I: Io>(&mut self, cx: &mut Context<'_, I, Message>, tap: TapId) {
        let now = cx.now();
        let Some(feeder) = self.feeders.by_tap.get_mut(&tap) else { return };
        let (lane, token) = (feeder.lane.take(), feeder.source.take());
        let Some(token) = token else { return };
        if let Some(mut lane) = lane {
            let mut pages = Vec::new();
            lane.pump(now, &mut pages);
            lane.writer.finish(&mut pages);
            self.give_source(cx, token, &pages);
        }
        match self.connections.get(token).map(|connection| &connection.state) {
            Some(State::Source(_)) => self.end_source(cx, token, EndCause::Closed),
            _ => self.close(cx, token),
        }
    }

    /// A connection without a socket is over: the publisher that it stood for is ended, if it was
    /// not he who left.
    pub(crate) fn inner_closed<I: Io>(&mut self, cx: &mut Context<'_, I, Message>, token: Token) {
        let mut feeders = self.feeders.by_tap.iter_mut();
        let Some((tap, feeder)) = feeders.find(|(_, it)| it.source == Some(token)) else { return };
        feeder.source = None;
        feeder.lane = None;
        let tap = *tap;
        self.end_publisher(cx, tap);
    }

    fn end_publisher<I: Io>(&mut self, cx: &mut Context<'_, I, Message>, tap: TapId) {
        let Some(rtc) = &mut self.rtc else { return };
        if let Some(session) = rtc.heard_by(tap) {
            rtc.end_session(cx, session, End::Killed);
        }
    }

    /// Bytes for a source that has its mount, or is about to.
    fn give_source<I: Io>(&mut self, cx: &mut Context<'_, I, Message>, token: Token, bytes: &[u8]) {
        let Some(connection) = self.connections.get_mut(token) else { return };
        match &connection.state {
            State::Source(_) => self.source_bytes(cx, token, bytes),
            // A verdict takes less than it takes to fill this; what is beyond is not heard.
            State::Asking(Asking::Claim(_)) if connection.input.len() < CLAIM_INPUT_BYTES_MAX => {
                connection.input.extend_from_slice(bytes);
            }
            _ => {}
        }
    }
}
