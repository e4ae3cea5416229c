//! A peer of the bench: str0m as a full ICE agent that offers, sends or counts.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use str0m::change::{SdpAnswer, SdpOffer, SdpPendingOffer};
use str0m::format::Codec;
use str0m::media::{Direction, MediaKind, Mid};
use str0m::net::{Protocol, Receive};
use str0m::rtp::RtpWrite;
use str0m::{Candidate, Event, Input, Output, Rtc};

/// One.
pub(crate) struct Peer {
    rtc: Rtc,
    pub(crate) address: SocketAddr,
    pub(crate) deadline: Instant,
    pub(crate) received: u64,
    /// Payloads that came, pictures or not, where they are kept.
    pub(crate) arrived: Vec<(bool, Arc<[u8]>)>,
    keeps: bool,
    mids: Option<(Mid, Mid)>,
    pending: Option<SdpPendingOffer>,
}

impl Peer {
    /// A peer at this address, and its offer.
    pub(crate) fn offer(
        now: Instant,
        address: SocketAddr,
        direction: Direction,
    ) -> Result<(Self, String)> {
        let mut rtc = Rtc::builder().set_rtp_mode(true).set_stats_interval(None).build(now);
        rtc.add_local_candidate(Candidate::host(address, Protocol::Udp)?);
        let mut api = rtc.sdp_api();
        let video = api.add_media(MediaKind::Video, direction, None, None, None);
        let audio = api.add_media(MediaKind::Audio, direction, None, None, None);
        let (offer, pending) = api.apply().context("nothing to offer")?;
        let mut peer = Self::with(rtc, now, address);
        (peer.mids, peer.pending) = (Some((video, audio)), Some(pending));
        Ok((peer, offer.to_sdp_string()))
    }

    /// A viewer that is offered a stream, and its answer.
    pub(crate) fn answer(now: Instant, address: SocketAddr, offer: &str) -> Result<(Self, String)> {
        let mut rtc = Rtc::builder().set_rtp_mode(true).set_stats_interval(None).build(now);
        rtc.add_local_candidate(Candidate::host(address, Protocol::Udp)?);
        let answer = rtc.sdp_api().accept_offer(SdpOffer::from_sdp_string(offer)?)?;
        Ok((Self::with(rtc, now, address), answer.to_sdp_string()))
    }

    fn with(rtc: Rtc, now: Instant, address: SocketAddr) -> Self {
        Self {
            rtc,
            address,
            deadline: now,
            received: 0,
            arrived: Vec::new(),
            keeps: true,
            mids: None,
            pending: None,
        }
    }

    /// Payloads are counted and not kept.
    pub(crate) fn only_counting(mut self) -> Self {
        self.keeps = false;
        self
    }

    /// The answer came.
    pub(crate) fn accept(&mut self, answer: &str) -> Result<()> {
        let answer = SdpAnswer::from_sdp_string(answer)?;
        let pending = self.pending.take().context("no offer")?;
        self.rtc.sdp_api().accept_answer(pending, answer)?;
        Ok(())
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.rtc.is_connected()
    }

    /// Packets of pictures or sound, all of one moment.
    pub(crate) fn send(&mut self, now: Instant, packets: &[Media]) -> Result<()> {
        let (video, audio) = self.mids.context("no tracks")?;
        for packet in packets {
            let (mid, codec) = match packet.kind {
                MediaKind::Video => (video, Codec::Vp8),
                MediaKind::Audio => (audio, Codec::Opus),
            };
            let params = self.rtc.codec_config().params().iter();
            let mut of_codec = params.filter(|params| params.spec().codec == codec);
            let number = of_codec.next().context("no such codec")?.pt();
            let (sequence, payload) = (packet.sequence.into(), packet.payload.clone());
            let write = RtpWrite::new(number, sequence, packet.timestamp, now, payload)
                .marker(packet.is_marked)
                .nackable(packet.kind == MediaKind::Video);
            let mut direct = self.rtc.direct_api();
            direct.stream_tx_by_mid(mid, None).context("no stream")?.write_rtp(write);
        }
        Ok(self.rtc.handle_input(Input::Timeout(now))?)
    }

    pub(crate) fn receive(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) -> Result<()> {
        let receive = Receive::new(Protocol::Udp, from, self.address, bytes)?;
        Ok(self.rtc.handle_input(Input::Receive(now, receive))?)
    }

    pub(crate) fn tick(&mut self, now: Instant) -> Result<()> {
        Ok(self.rtc.handle_input(Input::Timeout(now))?)
    }

    /// Hands out what is to be sent, and counts what came.
    pub(crate) fn drain(&mut self, mut send: impl FnMut(SocketAddr, Vec<u8>)) -> Result<()> {
        loop {
            match self.rtc.poll_output()? {
                Output::Timeout(deadline) => {
                    self.deadline = deadline;
                    return Ok(());
                }
                Output::Transmit(transmit) => {
                    send(transmit.destination, transmit.contents.into());
                }
                Output::Event(Event::RtpPacket(packet)) => {
                    self.received += 1;
                    if self.keeps {
                        let number = packet.header.payload_type;
                        let mut params = self.rtc.codec_config().params().iter();
                        let params = params.find(|params| params.pt() == number);
                        let is_video = params.is_some_and(|it| it.spec().codec.is_video());
                        self.arrived.push((is_video, packet.payload));
                    }
                }
                Output::Event(_) => {}
            }
        }
    }
}

/// A packet to publish.
pub(crate) struct Media {
    pub(crate) kind: MediaKind,
    pub(crate) sequence: u64,
    pub(crate) timestamp: u32,
    pub(crate) is_marked: bool,
    pub(crate) payload: Arc<[u8]>,
}
