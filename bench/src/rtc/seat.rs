//! Our end of one peer: a session of `media/rtc`, or str0m with nothing around it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, anyhow};
use media_rtc::{
    IceCredentials, MediaKind, Output, Projection, Role, RtpPacket, Session, SessionConfig, Track,
    TrackId, Transport,
};
use serde::Serialize;
use str0m::bwe::Bitrate;
use str0m::change::SdpOffer;
use str0m::media::Mid;
use str0m::net::{Protocol, Receive};
use str0m::rtp::RtpWrite;
use str0m::{Candidate, Event, Input, Rtc};

/// Who passes packets on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum Kind {
    /// Sessions, tracks and projections of `media/rtc`.
    Ours,
    /// str0m alone: each packet is written to each viewer as it came.
    Str0m,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Ours => "media-rtc",
            Kind::Str0m => "str0m alone",
        }
    }
}

/// A packet that came from the publisher.
#[derive(Clone)]
pub(crate) enum Packet {
    Ours(Arc<RtpPacket>),
    Str0m(Arc<str0m::rtp::RtpPacket>),
}

/// One end.
pub(crate) enum Seat {
    Ours(Box<Session>, Vec<(MediaKind, TrackId, Projection)>),
    Str0m(Box<Rtc>, Vec<Mid>, Instant, bool),
}

impl Seat {
    /// Answers an offer.
    pub(crate) fn answer(
        now: Instant,
        kind: Kind,
        role: Role,
        config: &SessionConfig,
        (number, offer): (usize, &str),
    ) -> Result<(Self, String)> {
        let mut random = [0; 24];
        random[..8].copy_from_slice(&(number as u64).to_le_bytes());
        let credentials = IceCredentials::from_random("b", random).context("a good prefix")?;
        if kind == Kind::Ours {
            let (session, answer) = Session::answer(now, config, &credentials, role, offer)?;
            let outgoing = session.tracks().filter(|track| track.is_outgoing);
            let views =
                outgoing.map(|track| (track.kind, track.id, Projection::new(track.kind, 9)));
            let views = views.collect();
            return Ok((Seat::Ours(Box::new(session), views), answer));
        }
        let mut inner = Rtc::builder().set_rtp_mode(true).set_ice_lite(true);
        inner = inner.set_stats_interval(None);
        let bounds = config.bitrate.filter(|_| role == Role::View);
        if let Some(bounds) = bounds {
            inner = inner.enable_bwe(Some(Bitrate::bps(bounds.start_bps)));
        }
        let mut rtc = inner.build(now);
        if let Some(bounds) = bounds {
            rtc.bwe().set_bitrate(Bitrate::bps(bounds.min_bps), Bitrate::bps(bounds.max_bps));
        }
        let address = config.candidates.first().context("a candidate")?.address;
        rtc.add_local_candidate(Candidate::host(address, Protocol::Udp)?);
        let answer = rtc.sdp_api().accept_offer(SdpOffer::from_sdp_string(offer)?)?;
        let mids = offer.lines().filter_map(|line| line.strip_prefix("a=mid:")).map(Mid::from);
        let seat = Seat::Str0m(Box::new(rtc), mids.collect(), now, false);
        Ok((seat, answer.to_sdp_string()))
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self {
            Seat::Ours(session, _) => session.deadline(),
            Seat::Str0m(_, _, deadline, _) => Some(*deadline),
        }
    }

    pub(crate) fn is_connected(&self) -> bool {
        match self {
            Seat::Ours(session, _) => session.is_connected(),
            Seat::Str0m(rtc, ..) => rtc.is_connected(),
        }
    }

    pub(crate) fn receive(
        &mut self,
        now: Instant,
        (source, destination): (SocketAddr, SocketAddr),
        bytes: &[u8],
    ) -> Result<()> {
        match self {
            Seat::Ours(session, _) => {
                let transport = Transport::Udp;
                let input = media_rtc::Input::Datagram { source, destination, transport, bytes };
                session.handle(now, input);
            }
            Seat::Str0m(rtc, ..) => {
                let receive = Receive::new(Protocol::Udp, source, destination, bytes)?;
                rtc.handle_input(Input::Receive(now, receive))?;
            }
        }
        Ok(())
    }

    pub(crate) fn tick(&mut self, now: Instant) -> Result<()> {
        match self {
            Seat::Ours(session, _) => session.handle(now, media_rtc::Input::Tick),
            Seat::Str0m(rtc, ..) => rtc.handle_input(Input::Timeout(now))?,
        }
        Ok(())
    }

    /// A viewer's end is given a packet. `track` has taken it already.
    pub(crate) fn pass(
        &mut self,
        now: Instant,
        track: Option<&Track>,
        packet: &Packet,
    ) -> Result<()> {
        match (self, packet) {
            (Seat::Ours(session, views), Packet::Ours(packet)) => {
                let track = track.context("a track")?;
                let kind = packet.parameters.codec().kind();
                for (_, id, view) in views.iter_mut().filter(|view| view.0 == kind) {
                    view.take(now, track, packet, |packet, projected| {
                        session.send(now, *id, packet, projected)
                    });
                }
                Ok(())
            }
            (Seat::Str0m(rtc, mids, _, has_written), Packet::Str0m(packet)) => {
                let number = packet.header.payload_type;
                let kind = rtc.codec_config().params().iter().find(|it| it.pt() == number);
                let is_video = kind.is_some_and(|params| params.spec().codec.is_video());
                let mid = mids[usize::from(!is_video)];
                let (sequence, timestamp) = (packet.seq_no, packet.header.timestamp);
                let payload = packet.payload.clone();
                let write = RtpWrite::new(number, sequence, timestamp, packet.timestamp, payload)
                    .marker(packet.header.marker)
                    .nackable(is_video);
                let mut direct = rtc.direct_api();
                direct.stream_tx_by_mid(mid, None).context("a stream")?.write_rtp(write);
                *has_written = true;
                Ok(())
            }
            _ => Err(anyhow!("a packet of another kind")),
        }
    }

    /// What is to be sent, and what came.
    pub(crate) fn drain(
        &mut self,
        now: Instant,
        datagrams: &mut Vec<Vec<u8>>,
        packets: &mut Vec<Packet>,
    ) -> Result<()> {
        match self {
            Seat::Ours(session, _) => {
                while let Some(output) = session.poll() {
                    match output {
                        Output::Transmit(transmit) => datagrams.push(transmit.bytes),
                        Output::Packet(_, packet) => packets.push(Packet::Ours(packet)),
                        _ => {}
                    }
                }
                Ok(())
            }
            Seat::Str0m(rtc, _, deadline, has_written) => {
                if std::mem::take(has_written) {
                    rtc.handle_input(Input::Timeout(now))?;
                }
                loop {
                    match rtc.poll_output()? {
                        str0m::Output::Timeout(at) => {
                            *deadline = at;
                            return Ok(());
                        }
                        str0m::Output::Transmit(transmit) => {
                            datagrams.push(transmit.contents.into())
                        }
                        str0m::Output::Event(Event::RtpPacket(packet)) => {
                            packets.push(Packet::Str0m(Arc::new(packet)));
                        }
                        str0m::Output::Event(_) => {}
                    }
                }
            }
        }
    }
}
