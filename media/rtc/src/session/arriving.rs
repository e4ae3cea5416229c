//! What arrives: whether it is for this session, and at which of its candidates.

use std::net::SocketAddr;

use str0m::net::{Protocol, Receive};

use super::Session;
use crate::config::{LocalCandidate, Transport};

impl Session {
    /// Whether a datagram is for this session: by where ICE has been, or, of a check, by the name
    /// in it. For drivers that have no table of paths and names.
    pub fn accepts(
        &mut self,
        source: SocketAddr,
        destination: SocketAddr,
        transport: Transport,
        bytes: &[u8],
    ) -> bool {
        let Some(destination) = self.candidate_for(destination, transport) else { return false };
        let (now, protocol) = (self.now, protocol_of(transport));
        let is_accepted = self.guarded(|rtc| {
            let receive = Receive::new(protocol, source, destination, bytes).ok()?;
            Some(rtc.accepts(&str0m::Input::Receive(now, receive)))
        });
        is_accepted.flatten().unwrap_or(false)
    }

    /// The candidate that a datagram came to.
    pub(super) fn candidate_for(
        &self,
        destination: SocketAddr,
        transport: Transport,
    ) -> Option<SocketAddr> {
        let is_own = |candidate: &&LocalCandidate| {
            candidate.transport == transport && candidate.address == destination
        };
        let is_alike = |candidate: &&LocalCandidate| {
            candidate.transport == transport && candidate.address.is_ipv4() == destination.is_ipv4()
        };
        let own = self.candidates.iter().find(is_own);
        let own = own.or_else(|| self.candidates.iter().find(is_alike));
        own.map(|candidate| candidate.address)
    }
}

pub(super) fn protocol_of(transport: Transport) -> Protocol {
    match transport {
        Transport::Udp => Protocol::Udp,
        Transport::Tcp => Protocol::Tcp,
    }
}
