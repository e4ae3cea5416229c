//! What str0m tells, in our words.

use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use str0m::bwe::BweKind;
use str0m::media::{Direction, MediaKind as StrKind, Mid, Rids};
use str0m::{Event, IceConnectionState};

use super::{CloseCause, Output, Section, Session, TrackId, TrackInfo};
use crate::codec::{CodecParameters, MediaKind};
use crate::config::BitrateBounds;
use crate::keyframe;
use crate::packet::{Rid, RtpPacket};
use crate::session::sending::Outgoing;

/// A payload type of this session: its number, what it is, whether RED wraps it.
#[derive(Debug, Clone, Copy)]
pub(super) struct PayloadType {
    pub number: u8,
    pub parameters: CodecParameters,
    pub is_red: bool,
}

/// What is remembered of those who send to us.
#[derive(Debug, Default)]
pub(super) struct Sources {
    pub payload_types: Vec<PayloadType>,
    /// Bounded: at the limit the oldest goes, and is looked up again.
    by_ssrc: Vec<Source>,
    clock: SenderClock,
}

/// The sender's clock and ours: together when its first report came.
#[derive(Debug, Default)]
struct SenderClock {
    together: Option<(Duration, Instant)>,
}

impl SenderClock {
    /// When a packet's content was captured, on our clock (RFC 3550 §6.4.1).
    fn captured_at(&mut self, packet: &str0m::rtp::RtpPacket, clock_rate_hz: u32) -> Instant {
        const APART_MAX: Duration = Duration::from_secs(5);
        let received_at = packet.timestamp;
        let Some(report) = &packet.last_sender_info else { return received_at };
        let Ok(reported) = report.ntp_time.duration_since(UNIX_EPOCH) else { return received_at };
        let (sender, ours) = *self.together.get_or_insert((reported, received_at));
        let ticks = (packet.time.numer() as u32).wrapping_sub(report.rtp_time.numer() as u32);
        let since_report = i64::from(ticks as i32) * 1_000_000 / i64::from(clock_rate_hz.max(1));
        let since_together = reported.as_micros() as i64 - sender.as_micros() as i64 + since_report;
        let apart = Duration::from_micros(since_together.unsigned_abs());
        let captured = match since_together < 0 {
            true => ours.checked_sub(apart),
            false => ours.checked_add(apart),
        };
        let captured = captured.unwrap_or(received_at).min(received_at);
        let is_near = received_at.saturating_duration_since(captured) < APART_MAX;
        if is_near { captured } else { received_at }
    }
}

#[derive(Debug, Clone, Copy)]
struct Source {
    ssrc: u32,
    track: TrackId,
    rid: Option<Rid>,
}

const SOURCES_MAX: usize = 64;

impl Session {
    pub(super) fn take(&mut self, event: Event) {
        match event {
            Event::Connected => {
                (self.was_connected, self.lost_at) = (true, None);
                self.outputs.push_back(Output::Connected);
            }
            Event::IceConnectionStateChange(state) => self.take_ice_state(state),
            Event::MediaAdded(_) | Event::MediaChanged(_) => self.refresh_tracks(),
            Event::RtpPacket(packet) => self.take_packet(packet),
            Event::KeyframeRequest(request) => {
                self.counters.keyframes_wanted += 1;
                if let Some(section) = self.by_mid(request.mid) {
                    let track = section.info.id;
                    self.outputs.push_back(Output::KeyframeWanted(track));
                }
            }
            Event::EgressBitrateEstimate(kind) => self.take_estimate(&kind),
            Event::ChannelOpen(id, label) => self.channel_opened(id, label),
            Event::ChannelData(data) => self.channel_data(data),
            Event::ChannelClose(id) => self.channel_closed(id),
            Event::Closed => self.end(CloseCause::Remote),
            _ => {}
        }
    }

    /// Reads the sections anew, and tells what is new, changed or over.
    pub(super) fn refresh_tracks(&mut self) {
        let mids: Vec<Mid> = self.offer_mids();
        let Some(found) = self.guarded(|rtc| {
            let describe = |mid: &Mid| rtc.media(*mid).map(|media| describe(rtc, media));
            mids.iter().filter_map(describe).collect::<Vec<_>>()
        }) else {
            return;
        };
        for (mid, mut info) in found {
            let known = self.tracks.iter_mut().find(|section| section.mid == mid);
            if let Some(section) = known {
                info.id = section.info.id;
                if section.info != info {
                    section.outgoing.forget_choices();
                    section.info = info.clone();
                    self.outputs.push_back(Output::Track(info));
                }
                continue;
            }
            if !info.is_incoming && !info.is_outgoing {
                continue;
            }
            info.id = TrackId(self.next_track);
            self.next_track = self.next_track.wrapping_add(1);
            if info.is_outgoing && info.kind == MediaKind::Video {
                self.prepare_resending(mid);
            }
            self.tracks.push(Section { info: info.clone(), mid, outgoing: Outgoing::default() });
            self.outputs.push_back(Output::Track(info));
        }
        let is_over = |section: &Section| !section.info.is_incoming && !section.info.is_outgoing;
        let over: Vec<TrackId> =
            self.tracks.iter().filter(|section| is_over(section)).map(|s| s.info.id).collect();
        self.tracks.retain(|section| !is_over(section));
        self.sources.by_ssrc.retain(|source| !over.contains(&source.track));
        self.outputs.extend(over.into_iter().map(Output::TrackEnded));
    }

    /// What a viewer lost is sent again, also where that is much of all.
    fn prepare_resending(&mut self, mid: Mid) {
        let packets_max = self.config.limits.resend_packets_max;
        self.guarded(|rtc| {
            let mut direct = rtc.direct_api();
            if let Some(stream) = direct.stream_tx_by_mid(mid, None) {
                stream.set_rtx_cache(packets_max, RESEND_WITHIN, Some(RESENT_SHARE_MAX));
            }
        });
    }

    pub(super) fn read_payload_types(&mut self) {
        let types = self.guarded(|rtc| {
            let mut types = Vec::new();
            for params in rtc.codec_config().params() {
                let Some(parameters) = CodecParameters::from_spec(&params.spec()) else {
                    continue;
                };
                types.push(PayloadType { number: *params.pt(), parameters, is_red: false });
                if let Some(red) = params.red() {
                    types.push(PayloadType { number: *red, parameters, is_red: true });
                }
            }
            types
        });
        self.sources.payload_types = types.unwrap_or_default();
    }

    fn offer_mids(&self) -> Vec<Mid> {
        let mut mids: Vec<Mid> = self.offer.mids().map(Mid::from).collect();
        mids.extend(self.tracks.iter().map(|section| section.mid));
        mids.sort_unstable();
        mids.dedup();
        mids
    }

    pub(super) fn by_mid(&self, mid: Mid) -> Option<&Section> {
        self.tracks.iter().find(|section| section.mid == mid)
    }

    fn take_ice_state(&mut self, state: IceConnectionState) {
        match state {
            IceConnectionState::Disconnected if self.was_connected && self.lost_at.is_none() => {
                self.lost_at = Some(self.now);
                self.outputs.push_back(Output::Disconnected);
            }
            IceConnectionState::Connected | IceConnectionState::Completed
                if self.lost_at.is_some() =>
            {
                self.lost_at = None;
                self.outputs.push_back(Output::Connected);
            }
            _ => {}
        }
    }

    fn take_estimate(&mut self, kind: &BweKind) {
        let (BweKind::Twcc { estimate, .. } | BweKind::Remb { estimate, .. }) = kind else {
            return;
        };
        let bits_per_second = estimate.as_u64();
        // The first word is only what it begins with.
        let is_start = |bounds: BitrateBounds| bounds.start_bps == bits_per_second;
        if self.estimate_bps.is_some() || !self.config.bitrate.is_some_and(is_start) {
            self.estimate_bps = Some(bits_per_second);
        }
        self.outputs.push_back(Output::Estimate { bits_per_second });
    }

    fn take_packet(&mut self, packet: str0m::rtp::RtpPacket) {
        let ssrc = *packet.header.ssrc;
        let number = *packet.header.payload_type;
        let known = self.sources.by_ssrc.iter().find(|source| source.ssrc == ssrc).copied();
        let Some(source) = known.or_else(|| self.find_source(ssrc)) else {
            self.counters.packets_unknown += 1;
            return;
        };
        let types = &self.sources.payload_types;
        let Some(payload_type) = types.iter().find(|known| known.number == number) else {
            self.counters.packets_unknown += 1;
            return;
        };
        self.counters.packets_in += 1;
        self.counters.payload_bytes_in += packet.payload.len() as u64;
        let PayloadType { parameters, is_red, .. } = *payload_type;
        let extensions = &packet.header.ext_vals;
        let orientation = extensions.video_orientation.map(|turned| turned as u8);
        let captured_at =
            self.sources.clock.captured_at(&packet, parameters.codec().clock_rate_hz());
        let level = |level: i8| level.unsigned_abs().min(127);
        let shared = RtpPacket {
            parameters,
            is_red,
            rid: source.rid,
            source: ssrc,
            sequence: *packet.seq_no,
            timestamp: packet.time.numer(),
            is_marked: packet.header.marker,
            is_keyframe_start: keyframe::starts_at(parameters.codec(), &packet.payload),
            audio_level: extensions.audio_level.map(level),
            has_voice: extensions.voice_activity,
            orientation,
            received_at: packet.timestamp,
            captured_at,
            payload: packet.payload,
        };
        self.outputs.push_back(Output::Packet(source.track, Arc::new(shared)));
    }

    /// The track that a new SSRC belongs to.
    fn find_source(&mut self, ssrc: u32) -> Option<Source> {
        let (mid, rid) = self.guarded(|rtc| {
            let mut direct = rtc.direct_api();
            direct.stream_rx(&ssrc.into()).map(|stream| (stream.mid(), stream.rid()))
        })??;
        let section = self.tracks.iter_mut().find(|section| section.mid == mid)?;
        let rid = rid.map(Rid::from);
        if let Some(rid) = rid.filter(|rid| !section.info.rids.contains(rid)) {
            if section.info.rids.len() >= self.config.limits.layers_max {
                return None;
            }
            section.info.rids.push(rid);
            self.outputs.push_back(Output::Track(section.info.clone()));
        }
        if self.sources.by_ssrc.len() >= SOURCES_MAX {
            self.sources.by_ssrc.remove(0);
        }
        let source = Source { ssrc, track: section.info.id, rid };
        self.sources.by_ssrc.push(source);
        Some(source)
    }
}

/// How long a packet that was sent may be asked for again.
const RESEND_WITHIN: Duration = Duration::from_secs(3);

/// Beyond this share of all that is sent, what was asked for again is not sent: on a way that
/// loses so much it only adds to what is lost.
const RESENT_SHARE_MAX: f32 = 0.4;

fn describe(rtc: &str0m::Rtc, media: &str0m::media::Media) -> (Mid, TrackInfo) {
    let is_open = !media.disabled();
    let (is_incoming, is_outgoing) = match media.direction() {
        Direction::SendRecv => (true, true),
        Direction::SendOnly => (false, true),
        Direction::RecvOnly => (true, false),
        Direction::Inactive => (false, false),
    };
    // As the answer lists them, whose order is ours (RFC 3264 §6.1).
    let params = rtc.codec_config().params().iter();
    let agreed = params.filter(|params| media.remote_pts().contains(&params.pt()));
    let codecs = agreed.filter_map(|params| CodecParameters::from_spec(&params.spec()));
    let rids = match media.rids_rx() {
        Rids::Specific(rids) => rids.iter().map(|rid| Rid::from(*rid)).collect(),
        _ => Vec::new(),
    };
    let info = TrackInfo {
        id: TrackId(0),
        mid: media.mid().to_string(),
        kind: match media.kind() {
            StrKind::Audio => MediaKind::Audio,
            StrKind::Video => MediaKind::Video,
        },
        is_incoming: is_incoming && is_open,
        is_outgoing: is_outgoing && is_open,
        codecs: codecs.collect(),
        rids,
    };
    (media.mid(), info)
}
