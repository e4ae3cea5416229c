//! A browser of the test world: str0m as a full ICE agent that offers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use str0m::change::{SdpAnswer, SdpPendingOffer};
use str0m::channel::ChannelId;
use str0m::media::{Direction, KeyframeRequestKind, MediaKind, Mid, Pt, Simulcast};
use str0m::net::{Protocol, Receive};
use str0m::rtp::{ExtensionValues, RtpPacket, RtpWrite};
use str0m::{Candidate, Event, Input, Output, Rtc};

/// One.
pub struct Peer {
    pub rtc: Rtc,
    pub now: Instant,
    pub deadline: Option<Instant>,
    /// Where it has been; the last is where it is.
    pub addresses: Vec<SocketAddr>,
    pub mids: Vec<Mid>,
    pub packets: Vec<RtpPacket>,
    pub keyframes_wanted: u32,
    pub messages: Vec<Vec<u8>>,
    pub channels: Vec<ChannelId>,
    pub is_closed: bool,
    /// What it asks for when the offer is made.
    wishes: Vec<(MediaKind, Direction, Option<Simulcast>)>,
    wants_channel: bool,
    wants_restart: bool,
    pending: Option<SdpPendingOffer>,
    first_ssrcs: Vec<(u32, Mid)>,
}

impl Peer {
    pub fn new(now: Instant, number: usize, has_red: bool) -> Self {
        let address = SocketAddr::from(([198, 51, 100, 1], 10_000 + number as u16));
        let config = Rtc::builder().set_rtp_mode(true).enable_opus(true, has_red);
        let mut rtc = config.build(now);
        rtc.add_local_candidate(Candidate::host(address, Protocol::Udp).expect("a candidate"));
        Self {
            rtc,
            now,
            deadline: Some(now),
            addresses: vec![address],
            mids: Vec::new(),
            packets: Vec::new(),
            keyframes_wanted: 0,
            messages: Vec::new(),
            channels: Vec::new(),
            is_closed: false,
            wishes: Vec::new(),
            wants_channel: false,
            wants_restart: false,
            pending: None,
            first_ssrcs: Vec::new(),
        }
    }

    pub fn address(&self) -> SocketAddr {
        *self.addresses.last().expect("somewhere")
    }

    /// From now on it sends from elsewhere.
    pub fn move_to(&mut self, address: SocketAddr) {
        self.addresses.push(address);
        self.rtc.add_local_candidate(Candidate::host(address, Protocol::Udp).expect("a candidate"));
    }

    pub fn wish(&mut self, kind: MediaKind, direction: Direction) {
        self.wishes.push((kind, direction, None));
    }

    pub fn wish_simulcast(&mut self, simulcast: Simulcast) {
        self.wishes.push((MediaKind::Video, Direction::SendOnly, Some(simulcast)));
    }

    pub fn wish_channel(&mut self) {
        self.wants_channel = true;
    }

    pub fn wish_restart(&mut self) {
        self.wants_restart = true;
    }

    /// An offer with all that was wished for.
    pub fn offer(&mut self) -> String {
        let mut api = self.rtc.sdp_api();
        for (kind, direction, simulcast) in self.wishes.drain(..) {
            self.mids.push(api.add_media(kind, direction, None, None, simulcast));
        }
        if std::mem::take(&mut self.wants_channel) {
            api.add_channel("chat".to_owned());
        }
        if std::mem::take(&mut self.wants_restart) {
            api.ice_restart(true);
        }
        let (offer, pending) = api.apply().expect("something to offer");
        self.pending = Some(pending);
        offer.to_sdp_string()
    }

    /// An offer after the directions of tracks were changed.
    pub fn offer_direction(&mut self, mid: Mid, direction: Direction) -> String {
        let mut api = self.rtc.sdp_api();
        api.set_direction(mid, direction);
        let (offer, pending) = api.apply().expect("a change");
        self.pending = Some(pending);
        offer.to_sdp_string()
    }

    pub fn accept(&mut self, answer: &str) {
        let answer = SdpAnswer::from_sdp_string(answer).expect("an answer");
        let pending = self.pending.take().expect("an offer");
        self.rtc.sdp_api().accept_answer(pending, answer).expect("a fitting answer");
    }

    /// Sends a packet of the track; `pt` is asked for by the codec's name.
    pub fn send(&mut self, mid: Mid, rid: Option<&str>, packet: Written<'_>) {
        let pt = if packet.is_red { self.red_pt(mid) } else { self.pt(mid, packet.codec) };
        let mut direct = self.rtc.direct_api();
        let stream = direct.stream_tx_by_mid(mid, rid.map(Into::into)).expect("a stream");
        let write = RtpWrite::new(
            pt,
            packet.sequence.into(),
            packet.timestamp,
            self.now,
            Arc::<[u8]>::from(packet.payload),
        );
        let is_video = packet.codec != str0m::format::Codec::Opus;
        let level = (!is_video).then_some(-23);
        let extensions = ExtensionValues {
            audio_level: level,
            voice_activity: level.map(|_| true),
            ..ExtensionValues::default()
        };
        let write = write.marker(packet.is_marked).nackable(is_video).ext_vals(extensions);
        stream.write_rtp(write);
        self.tick(self.now);
    }

    pub fn pt(&self, mid: Mid, codec: str0m::format::Codec) -> Pt {
        let media = self.rtc.media(mid).expect("a medium");
        let params = self.rtc.codec_config().params().iter();
        let mut known = params.filter(|params| media.remote_pts().contains(&params.pt()));
        known.find(|params| params.spec().codec == codec).expect("the codec").pt()
    }

    fn red_pt(&self, mid: Mid) -> Pt {
        let media = self.rtc.media(mid).expect("a medium");
        let mut params = self.rtc.codec_config().params().iter();
        let opus = params.find(|params| media.remote_pts().contains(&params.pt()));
        opus.and_then(|params| params.red()).expect("RED")
    }

    pub fn request_keyframe(&mut self, mid: Mid) {
        let mut direct = self.rtc.direct_api();
        if let Some(stream) = direct.stream_rx_by_mid(mid, None) {
            stream.request_keyframe(KeyframeRequestKind::Pli);
        }
        self.tick(self.now);
    }

    pub fn receive(&mut self, now: Instant, source: SocketAddr, bytes: &[u8]) {
        self.now = now;
        let destination = self.address();
        if let Ok(receive) = Receive::new(Protocol::Udp, source, destination, bytes) {
            self.rtc.handle_input(Input::Receive(now, receive)).expect("no error");
        }
    }

    pub fn tick(&mut self, now: Instant) {
        self.now = now;
        self.rtc.handle_input(Input::Timeout(now)).expect("no error");
        self.deadline = Some(now);
    }

    pub fn write_message(&mut self, text: &str) {
        let id = *self.channels.first().expect("an open channel");
        let mut channel = self.rtc.channel(id).expect("an open channel");
        assert!(channel.write(false, text.as_bytes()).expect("written"));
        self.tick(self.now);
    }

    /// Datagrams to send, as source, destination and bytes.
    pub fn drain(&mut self) -> Vec<(SocketAddr, SocketAddr, Vec<u8>)> {
        let mut datagrams = Vec::new();
        loop {
            let Ok(output) = self.rtc.poll_output() else {
                (self.is_closed, self.deadline) = (true, None);
                return datagrams;
            };
            match output {
                Output::Timeout(deadline) => {
                    self.deadline = self.rtc.is_alive().then_some(deadline);
                    return datagrams;
                }
                Output::Transmit(transmit) => {
                    let bytes = transmit.contents.into();
                    datagrams.push((transmit.source, transmit.destination, bytes));
                }
                Output::Event(event) => self.take(event),
            }
        }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::RtpPacket(packet) => self.packets.push(packet),
            Event::KeyframeRequest(_) => self.keyframes_wanted += 1,
            Event::ChannelOpen(id, _) => self.channels.push(id),
            Event::ChannelData(data) => self.messages.push(data.data),
            Event::Closed => self.is_closed = true,
            _ => {}
        }
    }
}

/// A packet that a publisher makes.
pub struct Written<'a> {
    pub codec: str0m::format::Codec,
    pub sequence: u64,
    pub timestamp: u32,
    pub is_marked: bool,
    pub is_red: bool,
    pub payload: &'a [u8],
}
