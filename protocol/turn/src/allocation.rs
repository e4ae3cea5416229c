//! An allocation: what one client was lent, whom it may reach, and for how long.
//!
//! Invariant: a permission or channel whose time has passed is as good as not there; it is thrown
//! out when room is needed.

use crate::bucket::Bucket;
use crate::client::Client;
use crate::counters::Usage;
use crate::exchange::RelayTransport;
use protocol_stun::{ErrorCode, Family, Key, PasswordAlgorithm, TransactionId};
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

pub(crate) struct Allocation {
    pub(crate) client: Client,
    /// The name shown and the key it was made with: later requests are held against these, so a
    /// timed name that passes its time in a call does not end the call.
    pub(crate) name: Box<[u8]>,
    pub(crate) key: Key,
    pub(crate) algorithm: PasswordAlgorithm,
    /// Where in the table its user is.
    pub(crate) user: usize,
    pub(crate) expires: Instant,
    /// The relayed addresses, IPv4 first.
    pub(crate) relayed: [Option<SocketAddr>; 2],
    pub(crate) transport: RelayTransport,
    /// Connections with peers, being made or there.
    pub(crate) connection_count: usize,
    /// What is still missing before it can be used.
    pub(crate) state: State,
    /// What its making was called and answered, for when it is asked again.
    pub(crate) made: Made,
    pub(crate) usage: Usage,
    pub(crate) bucket: Bucket,
    permissions: Vec<Permission>,
    channels: Vec<Channel>,
}

/// Whether an allocation can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// The driver opens its addresses: of IPv4, of IPv6.
    Binding([bool; 2]),
    Live,
}

/// The answer to Allocate, apart from the addresses.
pub(crate) struct Made {
    pub(crate) id: TransactionId,
    pub(crate) lifetime_s: u32,
    pub(crate) token: Option<[u8; 8]>,
    pub(crate) missing: Option<(Family, ErrorCode)>,
    /// Whether the answer is signed with SHA-256, and has a fingerprint.
    pub(crate) is_sha256: bool,
    pub(crate) has_fingerprint: bool,
}

#[derive(Clone, Copy)]
struct Permission {
    ip: IpAddr,
    expires: Instant,
}

#[derive(Clone, Copy)]
struct Channel {
    number: u16,
    peer: SocketAddr,
    expires: Instant,
}

/// What is new about an allocation.
pub(crate) struct Grant {
    pub(crate) client: Client,
    pub(crate) name: Box<[u8]>,
    pub(crate) key: Key,
    pub(crate) algorithm: PasswordAlgorithm,
    pub(crate) families: [bool; 2],
    pub(crate) transport: RelayTransport,
    pub(crate) expires: Instant,
    pub(crate) made: Made,
}

impl Allocation {
    pub(crate) fn new(grant: Grant, user: usize, now: Instant) -> Allocation {
        Allocation {
            client: grant.client,
            name: grant.name,
            key: grant.key,
            algorithm: grant.algorithm,
            user,
            expires: grant.expires,
            relayed: [None; 2],
            transport: grant.transport,
            connection_count: 0,
            state: State::Binding(grant.families),
            made: grant.made,
            usage: Usage::default(),
            bucket: Bucket::full(now),
            permissions: Vec::new(),
            channels: Vec::new(),
        }
    }

    pub(crate) fn is_live(&self) -> bool {
        self.state == State::Live
    }

    /// Whether it has a relayed address of the family of this peer.
    pub(crate) fn has_family_of(&self, peer: &SocketAddr) -> bool {
        self.relayed[index_of(Family::of(peer))].is_some()
    }

    /// Whether data may pass between it and this address.
    pub(crate) fn permits(&self, ip: IpAddr, now: Instant) -> bool {
        self.permissions.iter().any(|permission| permission.ip == ip && now < permission.expires)
    }

    /// Makes permissions, or makes them anew: all, or none if they would be too many.
    pub(crate) fn permit(
        &mut self,
        ips: &[IpAddr],
        now: Instant,
        expires: Instant,
        count_max: usize,
    ) -> bool {
        self.permissions.retain(|permission| now < permission.expires);
        let is_known = |ip: &IpAddr| self.permissions.iter().any(|known| known.ip == *ip);
        let mut new: Vec<IpAddr> = ips.iter().copied().filter(|ip| !is_known(ip)).collect();
        new.sort_unstable();
        new.dedup();
        if self.permissions.len() + new.len() > count_max {
            return false;
        }
        for permission in self.permissions.iter_mut().filter(|known| ips.contains(&known.ip)) {
            permission.expires = expires;
        }
        self.permissions.extend(new.into_iter().map(|ip| Permission { ip, expires }));
        true
    }

    /// The peer that a channel leads to.
    pub(crate) fn peer_of(&self, number: u16, now: Instant) -> Option<SocketAddr> {
        let is_it = |channel: &&Channel| channel.number == number && now < channel.expires;
        self.channels.iter().find(is_it).map(|channel| channel.peer)
    }

    /// The channel that leads to a peer.
    pub(crate) fn channel_of(&self, peer: &SocketAddr, now: Instant) -> Option<u16> {
        let is_it = |channel: &&Channel| channel.peer == *peer && now < channel.expires;
        self.channels.iter().find(is_it).map(|channel| channel.number)
    }

    /// Whether a channel may be bound, or bound anew.
    ///
    /// # Errors
    ///
    /// 400 where number or peer belong to another, 508 where they would be too many.
    pub(crate) fn check_bind(
        &mut self,
        number: u16,
        peer: SocketAddr,
        now: Instant,
        count_max: usize,
    ) -> Result<(), ErrorCode> {
        self.channels.retain(|channel| now < channel.expires);
        let is_touched = |channel: &&Channel| channel.number == number || channel.peer == peer;
        match self.channels.iter().find(is_touched) {
            Some(channel) if channel.number == number && channel.peer == peer => Ok(()),
            Some(_) => Err(ErrorCode::BAD_REQUEST),
            None if self.channels.len() >= count_max => Err(ErrorCode::INSUFFICIENT_CAPACITY),
            None => Ok(()),
        }
    }

    /// Binds a channel that may be, or binds it anew.
    pub(crate) fn bind(&mut self, number: u16, peer: SocketAddr, expires: Instant) {
        match self.channels.iter_mut().find(|channel| channel.number == number) {
            Some(channel) => channel.expires = expires,
            None => self.channels.push(Channel { number, peer, expires }),
        }
    }

    /// How many permissions and channels there is memory for in use.
    pub(crate) fn held_counts(&self) -> (usize, usize) {
        (self.permissions.len(), self.channels.len())
    }

    /// How many permissions and channels hold.
    pub(crate) fn counts(&self, now: Instant) -> (usize, usize) {
        let permissions = self.permissions.iter().filter(|permission| now < permission.expires);
        let channels = self.channels.iter().filter(|channel| now < channel.expires);
        (permissions.count(), channels.count())
    }
}

/// The place of a family in a pair.
pub(crate) const fn index_of(family: Family) -> usize {
    match family {
        Family::V4 => 0,
        Family::V6 => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::Allocation;

    #[test]
    fn an_allocation_stays_far_below_two_kibibytes() {
        assert!(size_of::<Allocation>() <= 512, "{}", size_of::<Allocation>());
    }
}
