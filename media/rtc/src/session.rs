//! One peer connection: ICE-lite, DTLS, SRTP and data channels of str0m behind types of ours.
//!
//! str0m wants each input followed by a full drain of its outputs; the session keeps that promise
//! by itself. Every call into it is guarded: a panic ends this session and nothing else.

mod arriving;
mod channels;
mod events;
mod sending;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use str0m::bwe::Bitrate;
use str0m::change::SdpOffer;
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Rtc, RtcConfig};

use arriving::protocol_of;
pub use channels::{ChannelId, MessageError};
pub use sending::{Projected, SendError, Vp8Numbers};

use crate::codec::{Codec, CodecParameters, MediaKind};
use crate::config::{IceCredentials, LocalCandidate, Role, SessionConfig, Transport};
use crate::counters::Counters;
use crate::offer::{Fragment, Offer, OfferError, check_candidate};
use crate::packet::{Rid, RtpPacket};
use channels::Channels;
use events::Sources;
use sending::Outgoing;

/// A track's number within its session. Never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrackId(pub u16);

/// A media section that both ends agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackInfo {
    /// Its number here.
    pub id: TrackId,
    /// Its name in the description (`a=mid`).
    pub mid: String,
    /// Sound or pictures.
    pub kind: MediaKind,
    /// Whether the peer sends it to us.
    pub is_incoming: bool,
    /// Whether we may send it to the peer.
    pub is_outgoing: bool,
    /// What both ends can, in the order of our answer: what the peer sends is mostly the first.
    pub codecs: Vec<CodecParameters>,
    /// The layers that the peer announced, in its order; empty where there is one.
    pub rids: Vec<Rid>,
}

/// What happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// A datagram came. The driver has found the session by the datagram's addresses, or by the
    /// name before the colon of a STUN request.
    Datagram {
        /// Where it came from.
        source: SocketAddr,
        /// Where it came to. An address that is not a candidate's (behind a NAT the announced one
        /// is the outer) is taken for the first candidate of its family and transport.
        destination: SocketAddr,
        /// How it came; frames of TCP are cut already.
        transport: Transport,
        /// It.
        bytes: &'a [u8],
    },
    /// [`Session::deadline`] has come, or may have.
    Tick,
}

/// A datagram to send.
#[derive(Debug)]
pub struct Transmit {
    /// How.
    pub transport: Transport,
    /// From: a candidate's address.
    pub source: SocketAddr,
    /// To.
    pub destination: SocketAddr,
    /// It. TCP's is not framed yet.
    pub bytes: Vec<u8>,
}

/// What is to be done, or known.
#[derive(Debug)]
pub enum Output {
    /// Send this.
    Transmit(Transmit),
    /// The peer is reached and its certificate is right. Comes again after
    /// [`Output::Disconnected`].
    Connected,
    /// Nothing was heard for a while. It may come back, or be restarted, until
    /// [`Limits::reconnect_timeout`](crate::Limits::reconnect_timeout).
    Disconnected,
    /// A track is new, or its directions or codecs have changed.
    Track(TrackInfo),
    /// A track is over.
    TrackEnded(TrackId),
    /// A packet of an incoming track, in the order of arrival.
    Packet(TrackId, Arc<RtpPacket>),
    /// The viewer lost the picture of an outgoing track, or has seen none yet (PLI or FIR).
    KeyframeWanted(TrackId),
    /// How much the way to this viewer takes, by TWCC, or by the viewer's own REMB.
    Estimate {
        /// Bits per second.
        bits_per_second: u64,
    },
    /// A data channel was opened.
    ChannelOpened(ChannelId, String),
    /// A message of a data channel.
    Message {
        /// Of this one.
        channel: ChannelId,
        /// Whether it is text.
        is_text: bool,
        /// It.
        bytes: Vec<u8>,
    },
    /// A data channel was closed.
    ChannelClosed(ChannelId),
    /// The session is over; nothing else follows but what is still to be transmitted.
    Closed(CloseCause),
}

/// Why a session ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseCause {
    /// [`Session::close`].
    Local,
    /// The peer said so.
    Remote,
    /// It never connected.
    NotConnected,
    /// It was connected, and was not heard of again.
    Lost,
    /// DTLS failed, or the certificate was not the announced one; the text is for the log.
    Failed(String),
    /// The machinery broke. A bug, ours or str0m's.
    Panicked,
}

/// One peer connection.
///
/// After each [`handle`](Self::handle), and each batch of [`send`](Self::send)s,
/// [`poll`](Self::poll) to none; then come back at [`deadline`](Self::deadline). It is `Send`: it
/// moves between shards as it is.
pub struct Session {
    /// None once it panicked.
    rtc: Option<Box<Rtc>>,
    role: Role,
    offer: Offer,
    credentials: IceCredentials,
    candidates: Arc<[LocalCandidate]>,
    config: SessionConfig,
    now: Instant,
    started_at: Instant,
    lost_at: Option<Instant>,
    was_connected: bool,
    deadline: Option<Instant>,
    /// str0m may have something to say.
    is_dirty: bool,
    /// Packets were written since str0m was told the time.
    has_written: bool,
    /// A datagram came out since str0m was told the time.
    has_sent: bool,
    /// What the way to the viewer takes, once something was learned of it.
    estimate_bps: Option<u64>,
    errors_in_a_row: u32,
    /// A test wants the machinery to break.
    is_planted: bool,
    close: Option<CloseCause>,
    outputs: VecDeque<Output>,
    tracks: Vec<Section>,
    next_track: u16,
    sources: Sources,
    channels: Channels,
    counters: Counters,
}

/// What is due so soon is due now. The pacer puts a microsecond between any two packets.
const AT_ONCE: std::time::Duration = std::time::Duration::from_micros(10);

/// A track and what belongs to it.
struct Section {
    info: TrackInfo,
    mid: str0m::media::Mid,
    outgoing: Outgoing,
}

impl Session {
    /// Answers an offer: makes the session and the answer's text.
    ///
    /// # Errors
    ///
    /// Where the offer is too much, is none, or cannot be answered: nothing is left behind.
    pub fn answer(
        now: Instant,
        config: &SessionConfig,
        credentials: &IceCredentials,
        role: Role,
        offer: &str,
    ) -> Result<(Self, String), OfferError> {
        let offer = Offer::read(offer, role, &config.limits)?;
        let build = || build(now, config, credentials, role);
        let rtc = catch_unwind(AssertUnwindSafe(build)).map_err(|_| OfferError::Panicked)??;
        let mut session = Self {
            rtc: Some(Box::new(rtc)),
            role,
            offer: offer.clone(),
            credentials: credentials.clone(),
            candidates: config.candidates.clone().into(),
            config: config.clone(),
            now,
            started_at: now,
            lost_at: None,
            was_connected: false,
            deadline: Some(now),
            is_dirty: true,
            has_written: false,
            has_sent: false,
            estimate_bps: None,
            errors_in_a_row: 0,
            is_planted: false,
            close: None,
            outputs: VecDeque::new(),
            tracks: Vec::new(),
            next_track: 0,
            sources: Sources::default(),
            channels: Channels::default(),
            counters: Counters::default(),
        };
        let answer = session.accept(offer, credentials)?;
        session.drain();
        Ok((session, answer))
    }

    /// Answers another offer on this session: tracks added, removed or turned, and, where the
    /// peer's name for ICE is a new one, a restart, for which `credentials` become ours. Without a
    /// restart they stay what they were.
    ///
    /// # Errors
    ///
    /// As for [`answer`](Self::answer). An offer that is refused by its contents may leave some of
    /// them in force; end the session, or wait for the peer's next offer.
    pub fn offer(
        &mut self,
        now: Instant,
        offer: &str,
        credentials: &IceCredentials,
    ) -> Result<String, OfferError> {
        self.advance(now);
        let offer = Offer::read(offer, self.role, &self.config.limits)?;
        let answer = self.accept(offer, credentials)?;
        self.drain();
        Ok(answer)
    }

    /// Handles the fragment of a PATCH (RFC 8840, RFC 9725 §4.4): candidates are looked at and
    /// passed over; a new name for ICE restarts it with `credentials` as ours, and the answer is a
    /// fragment to send back.
    ///
    /// # Errors
    ///
    /// Where the fragment is malformed, or the restart fails.
    pub fn patch(
        &mut self,
        now: Instant,
        fragment: &Fragment,
        credentials: &IceCredentials,
    ) -> Result<Option<String>, OfferError> {
        self.advance(now);
        self.counters.candidates_passed_over += fragment.candidate_count as u64;
        let (Some(ufrag), Some(password)) = (&fragment.ufrag, &fragment.password) else {
            return Ok(None);
        };
        if ufrag == self.offer.ufrag() {
            return Ok(None);
        }
        let offer = self.offer.with_credentials(ufrag, password);
        self.accept(offer, credentials)?;
        self.drain();
        Ok(Some(Fragment::answer(&self.credentials, &self.candidates)))
    }

    /// A candidate of the peer's (`"candidate:…"`). It is looked at and passed over: an ICE-lite
    /// end learns addresses from checks.
    ///
    /// # Errors
    ///
    /// Where it is none.
    pub fn candidate(&mut self, text: &str) -> Result<(), OfferError> {
        if !text.is_empty() {
            check_candidate(text)?;
            self.counters.candidates_passed_over += 1;
        }
        Ok(())
    }

    /// Handles one input.
    pub fn handle(&mut self, now: Instant, input: Input<'_>) {
        self.advance(now);
        match input {
            Input::Datagram { source, destination, transport, bytes } => {
                self.datagram(source, destination, transport, bytes);
            }
            Input::Tick => self.tick(),
        }
    }

    /// The next thing to do, until there is none.
    pub fn poll(&mut self) -> Option<Output> {
        loop {
            if let Some(output) = self.outputs.pop_front() {
                return Some(output);
            }
            if !self.is_dirty {
                return None;
            }
            if let Some(transmit) = self.step() {
                return Some(transmit);
            }
        }
    }

    /// When to come back with [`Input::Tick`] if nothing else happens. `None`: it is over.
    pub fn deadline(&self) -> Option<Instant> {
        let limits = &self.config.limits;
        let timeout = match self.lost_at {
            _ if self.close.is_some() && self.rtc.is_none() => return None,
            Some(lost_at) => Some(lost_at + limits.reconnect_timeout),
            None if !self.was_connected => Some(self.started_at + limits.connect_timeout),
            None => None,
        };
        match (self.deadline, timeout) {
            (Some(deadline), Some(timeout)) => Some(deadline.min(timeout)),
            (deadline, timeout) => deadline.or(timeout),
        }
    }

    /// Asks the publisher for a keyframe of this layer, or of the only one.
    pub fn request_keyframe(&mut self, now: Instant, track: TrackId, rid: Option<Rid>) {
        self.advance(now);
        let Some(mid) = self.section(track).map(|section| section.mid) else { return };
        let rid = rid.map(Rid::inner);
        let has_asked = self.guarded(|rtc| {
            let mut direct = rtc.direct_api();
            let stream = direct.stream_rx_by_mid(mid, rid);
            stream.map(|stream| stream.request_keyframe(str0m::media::KeyframeRequestKind::Pli))
        });
        self.counters.keyframes_requested += u64::from(has_asked.flatten().is_some());
        self.tick();
    }

    /// Says goodbye. What is still to be transmitted comes out of [`poll`](Self::poll).
    pub fn close(&mut self, now: Instant) {
        self.advance(now);
        self.end(CloseCause::Local);
        let _ = self.guarded(Rtc::close);
        self.is_dirty = self.rtc.is_some();
    }

    /// How much the way to the far end takes, bits each second, once it was found out.
    pub fn estimate_bps(&self) -> Option<u64> {
        self.estimate_bps
    }

    /// Whether it is over. [`poll`](Self::poll) to none, then drop it.
    pub fn is_closed(&self) -> bool {
        self.close.is_some()
    }

    /// Whether the peer is reached.
    pub fn is_connected(&self) -> bool {
        self.was_connected && self.lost_at.is_none() && self.close.is_none()
    }

    /// The tracks as they are.
    pub fn tracks(&self) -> impl Iterator<Item = &TrackInfo> {
        self.tracks.iter().map(|section| &section.info)
    }

    /// Our name and password for ICE, as they are now.
    pub fn credentials(&self) -> &IceCredentials {
        &self.credentials
    }

    /// What has been counted.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// For tests: the machinery breaks the next time that it is told the time.
    #[doc(hidden)]
    pub fn plant_panic(&mut self) {
        self.is_planted = true;
    }

    fn section(&self, track: TrackId) -> Option<&Section> {
        self.tracks.iter().find(|section| section.info.id == track)
    }

    /// str0m must have said all before it is told more.
    fn advance(&mut self, now: Instant) {
        self.drain();
        self.now = self.now.max(now);
    }

    fn drain(&mut self) {
        while self.is_dirty {
            let transmit = self.step();
            self.outputs.extend(transmit);
        }
    }

    fn datagram(
        &mut self,
        source: SocketAddr,
        destination: SocketAddr,
        transport: Transport,
        bytes: &[u8],
    ) {
        self.counters.datagrams_in += 1;
        let Some(destination) = self.candidate_for(destination, transport) else {
            self.counters.datagrams_refused += 1;
            return;
        };
        let (now, protocol) = (self.now, protocol_of(transport));
        let outcome = self.guarded(|rtc| {
            let receive = Receive::new(protocol, source, destination, bytes).ok()?;
            let is_stun = bytes.first().is_some_and(|first| *first < 2);
            let input = str0m::Input::Receive(now, receive);
            // STUN is checked by its password anyway; the rest must come from where ICE has been.
            if !is_stun && !rtc.accepts(&input) {
                return None;
            }
            rtc.handle_input(input).ok()
        });
        if outcome.flatten().is_none() {
            // What a stranger can send ends nothing: where str0m gave up, its next step says so.
            self.counters.datagrams_refused += 1;
        }
        self.is_dirty = self.rtc.is_some();
    }

    fn tick(&mut self) {
        let limits = &self.config.limits;
        let is_over = |since: Option<Instant>, timeout| {
            since.is_some_and(|since| self.now.saturating_duration_since(since) >= timeout)
        };
        let never = (!self.was_connected).then_some(self.started_at);
        if is_over(never, limits.connect_timeout) {
            self.end(CloseCause::NotConnected);
        } else if is_over(self.lost_at, limits.reconnect_timeout) {
            self.end(CloseCause::Lost);
        }
        let now = self.now;
        let is_planted = self.is_planted;
        let outcome = self.guarded(|rtc| {
            assert!(!is_planted, "planted by a test");
            rtc.handle_input(str0m::Input::Timeout(now))
        });
        (self.has_written, self.has_sent) = (false, false);
        self.is_dirty = self.rtc.is_some();
        if let Some(Err(error)) = outcome {
            self.fail(&error.to_string());
        }
    }

    /// One step of str0m's: a datagram to send, or none, with what happened in the outputs.
    fn step(&mut self) -> Option<Output> {
        if self.has_written {
            self.tick();
        }
        match self.guarded(Rtc::poll_output) {
            None => self.is_dirty = false,
            // The pacer wants the time between any two packets, also where both are due: told here,
            // what is due at once leaves at once, and in one send.
            Some(Ok(str0m::Output::Timeout(deadline)))
                if self.has_sent && deadline <= self.now + AT_ONCE =>
            {
                self.errors_in_a_row = 0;
                self.now = self.now.max(deadline);
                self.tick();
            }
            Some(Ok(str0m::Output::Timeout(deadline))) => {
                self.is_dirty = false;
                self.errors_in_a_row = 0;
                self.deadline = Some(deadline);
                if self.rtc.as_ref().is_some_and(|rtc| !rtc.is_alive()) {
                    self.end(CloseCause::Remote);
                    self.discard();
                }
            }
            Some(Ok(str0m::Output::Transmit(transmit))) => {
                self.errors_in_a_row = 0;
                self.has_sent = true;
                self.counters.datagrams_out += 1;
                let transport = match transmit.proto {
                    Protocol::Udp => Transport::Udp,
                    _ => Transport::Tcp,
                };
                return Some(Output::Transmit(Transmit {
                    transport,
                    source: transmit.source,
                    destination: transmit.destination,
                    bytes: transmit.contents.into(),
                }));
            }
            Some(Ok(str0m::Output::Event(event))) => {
                self.errors_in_a_row = 0;
                self.take(event);
            }
            Some(Err(error)) => self.fail(&error.to_string()),
        }
        None
    }

    /// An error that str0m told. Some are over with that; one that stays is the end.
    fn fail(&mut self, what: &str) {
        const ERRORS_IN_A_ROW_MAX: u32 = 8;
        self.errors_in_a_row += 1;
        self.counters.errors += 1;
        let is_alive = self.rtc.as_ref().is_some_and(|rtc| rtc.is_alive());
        if !is_alive || self.errors_in_a_row > ERRORS_IN_A_ROW_MAX {
            self.end(CloseCause::Failed(what.to_owned()));
            self.discard();
        }
    }

    /// The first cause is the one that is told.
    fn end(&mut self, cause: CloseCause) {
        if self.close.is_some() {
            return;
        }
        self.close = Some(cause.clone());
        self.outputs.push_back(Output::Closed(cause));
        if self.rtc.as_ref().is_some_and(|rtc| rtc.is_alive()) {
            let _ = self.guarded(Rtc::close);
        }
    }

    fn discard(&mut self) {
        let rtc = self.rtc.take();
        // What is broken may break once more when it is put away.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(rtc)));
        (self.is_dirty, self.has_written, self.deadline) = (false, false, None);
    }

    /// Calls str0m. A panic in it ends the session.
    fn guarded<T>(&mut self, call: impl FnOnce(&mut Rtc) -> T) -> Option<T> {
        let rtc = self.rtc.as_mut()?;
        match catch_unwind(AssertUnwindSafe(|| call(rtc))) {
            Ok(value) => Some(value),
            Err(_) => {
                self.counters.panics += 1;
                self.discard();
                self.end(CloseCause::Panicked);
                None
            }
        }
    }

    fn accept(&mut self, offer: Offer, credentials: &IceCredentials) -> Result<String, OfferError> {
        if self.close.is_some() {
            return Err(OfferError::Closed);
        }
        let sdp = offer.to_sdp();
        let answered = self.guarded(|rtc| {
            let offer = SdpOffer::from_sdp_string(&sdp)
                .map_err(|error| OfferError::Malformed(error.to_string()))?;
            let before = rtc.direct_api().local_ice_credentials();
            let answer = rtc
                .sdp_api()
                .accept_offer(offer)
                .map_err(|error| OfferError::Refused(error.to_string()))?;
            // Where ICE restarts, str0m draws credentials; they must be the driver's, whose maps
            // find the session by the name.
            let drawn = rtc.direct_api().local_ice_credentials();
            let mut text = answer.to_sdp_string();
            let is_restart = drawn != before;
            if is_restart {
                rtc.direct_api().set_local_ice_credentials(credentials.inner());
                text = text
                    .replace(&drawn.ufrag, credentials.ufrag())
                    .replace(&drawn.pass, credentials.password());
            }
            Ok((text, is_restart))
        });
        let (answer, is_restart) = answered.ok_or(OfferError::Panicked)??;
        if is_restart {
            self.credentials = credentials.clone();
            self.counters.ice_restarts += 1;
        }
        self.offer = offer;
        self.is_dirty = true;
        self.read_payload_types();
        self.refresh_tracks();
        Ok(answer)
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("role", &self.role)
            .field("ufrag", &self.credentials.ufrag())
            .field("is_connected", &self.is_connected())
            .field("close", &self.close)
            .finish_non_exhaustive()
    }
}

fn build(
    now: Instant,
    config: &SessionConfig,
    credentials: &IceCredentials,
    role: Role,
) -> Result<Rtc, OfferError> {
    let limits = &config.limits;
    let has = |codec| config.codecs.contains(&codec);
    let mut inner = RtcConfig::new()
        .set_rtp_mode(true)
        .set_ice_lite(true)
        .set_local_ice_credentials(credentials.inner())
        .set_stats_interval(None)
        .set_send_buffer_video(limits.resend_packets_max)
        .set_sctp_max_message_size(limits.message_bytes_max)
        .set_sctp_max_buffered_amount(limits.message_buffer_bytes_max)
        .clear_codecs()
        .enable_opus(has(Codec::Opus), config.has_red)
        .enable_g722(has(Codec::G722), false)
        .enable_pcmu(has(Codec::Pcmu), false)
        .enable_pcma(has(Codec::Pcma), false)
        .enable_h264(has(Codec::H264))
        .enable_vp8(has(Codec::Vp8))
        .enable_vp9(has(Codec::Vp9))
        .enable_av1(has(Codec::Av1));
    if let Some(identity) = &config.identity {
        inner = inner.set_dtls_cert(identity.0.clone());
    }
    let bitrate = config.bitrate.filter(|_| role != Role::Publish);
    if let Some(bounds) = bitrate {
        inner = inner.enable_bwe(Some(Bitrate::bps(bounds.start_bps)));
    }
    let mut rtc = inner.build(now);
    if let Some(bounds) = bitrate {
        rtc.bwe().set_bitrate(Bitrate::bps(bounds.min_bps), Bitrate::bps(bounds.max_bps));
    }
    for candidate in config.candidates.iter() {
        let made = match candidate.transport {
            Transport::Udp => Candidate::host(candidate.address, Protocol::Udp),
            Transport::Tcp => Candidate::builder()
                .tcp()
                .host(candidate.address)
                .tcptype(str0m::net::TcpType::Passive)
                .build(),
        };
        let made = made.map_err(|error| OfferError::Refused(format!("our candidate: {error}")))?;
        rtc.add_local_candidate(made);
    }
    Ok(rtc)
}
