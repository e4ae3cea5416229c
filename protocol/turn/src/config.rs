//! What the operator decides: [`Config`], and how much of everything: [`Limits`].

use crate::bucket::Rate;
use crate::credentials::{Credentials, is_clean};
use crate::policy::PeerPolicy;
use protocol_stun::Family;
use std::net::SocketAddr;

/// The longest realm with which a challenge stays below four times the smallest request.
pub(crate) const REALM_BYTES_MAX: usize = 28;

/// What the operator decides.
#[derive(Clone, Debug)]
pub struct Config {
    /// The realm of the credentials: 1 to 28 bytes without control characters.
    pub realm: String,
    /// Who may have an allocation.
    pub credentials: Credentials,
    /// Which peers may be reached. [`PeerPolicy::own`] is for the driver to fill: with every
    /// address and port that it listens on.
    pub policy: PeerPolicy,
    /// The families that the driver can open relayed addresses of.
    pub families: Vec<Family>,
    /// Whether the driver can send with the don't-fragment bit.
    pub has_dont_fragment: bool,
    /// Whether the driver serves TCP with peers as well (RFC 6062). If not: 442.
    pub has_tcp_allocations: bool,
    /// Whether challenges offer SHA-256 besides MD5 (RFC 8489 §14.11).
    pub has_password_algorithms: bool,
    /// Whether new allocations are made at all; if not: 508. What is there goes on.
    pub takes_allocations: bool,
    /// Sends new allocations elsewhere (300 with ALTERNATE-SERVER): for emptying a server.
    pub alternate_server: Option<SocketAddr>,
}

impl Config {
    /// What is right for most: both families, peers of the default policy.
    pub fn new(realm: &str, credentials: Credentials) -> Config {
        Config {
            realm: realm.to_owned(),
            credentials,
            policy: PeerPolicy::default(),
            families: vec![Family::V4, Family::V6],
            has_dont_fragment: true,
            has_tcp_allocations: false,
            has_password_algorithms: true,
            takes_allocations: true,
            alternate_server: None,
        }
    }

    /// Looks for what cannot be served.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if !is_clean(self.realm.as_bytes()) || self.realm.len() > REALM_BYTES_MAX {
            return Err(ConfigError::Realm);
        }
        if self.credentials.is_empty() {
            return Err(ConfigError::NobodyMayAllocate);
        }
        if self.families.is_empty() {
            return Err(ConfigError::NoFamily);
        }
        Ok(())
    }
}

/// Why a server does not start with a [`Config`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// The realm is empty, longer than 28 bytes, or has control characters.
    Realm,
    /// There are neither users nor secrets: there are no default credentials.
    NobodyMayAllocate,
    /// No family of relayed addresses.
    NoFamily,
}

/// How much of everything; what happens at each limit is written beside it.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Allocations in all. Then: 508.
    pub allocation_count_max: usize,
    /// Allocations of one user, however many names he has in time, at all servers with one seed
    /// together. Then: 486.
    pub user_allocation_count_max: usize,
    /// Allocations of one client address (IPv6: one /64). Then: 486.
    pub address_allocation_count_max: usize,
    /// Permissions of one allocation. Then: 508.
    pub permission_count_max: usize,
    /// Channels of one allocation. Then: 508.
    pub channel_count_max: usize,
    /// Reserved ports that wait for their second allocation. Then: 508.
    pub reservation_count_max: usize,
    /// TCP connections with peers of one allocation (RFC 6062). Then: 508, or not accepted.
    pub connection_count_max: usize,
    /// How long a connection with a peer may take to be made, and may wait for its
    /// ConnectionBind, in seconds; the RFC's number.
    pub connection_s: u32,
    /// An allocation's lifetime where the client does not ask for longer, in seconds.
    pub lifetime_default_s: u32,
    /// The longest lifetime that a client gets, in seconds.
    pub lifetime_max_s: u32,
    /// A permission's lifetime in seconds; the RFC's number.
    pub permission_s: u32,
    /// A channel's lifetime in seconds; the RFC's number.
    pub channel_s: u32,
    /// How long a reserved port waits, in seconds; the RFC's number.
    pub reservation_s: u32,
    /// How long a nonce serves, in seconds. Then: 438 with another.
    pub nonce_s: u32,
    /// Answers to one source that has not shown who it is. Then: silence.
    pub unproven_rate: Rate,
    /// Payload bytes of one allocation, both ways together. Then: dropped. None is no limit.
    pub allocation_bytes_rate: Option<Rate>,
    /// Payload bytes of all allocations that one user has at this server. Then: dropped. None is
    /// no limit.
    pub user_bytes_rate: Option<Rate>,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            allocation_count_max: 20_000,
            user_allocation_count_max: 64,
            address_allocation_count_max: 1024,
            permission_count_max: 64,
            channel_count_max: 64,
            reservation_count_max: 256,
            connection_count_max: 16,
            connection_s: 30,
            lifetime_default_s: 600,
            lifetime_max_s: 3600,
            permission_s: 300,
            channel_s: 600,
            reservation_s: 30,
            nonce_s: 3600,
            unproven_rate: Rate { per_s: 50, burst: 200 },
            allocation_bytes_rate: None,
            user_bytes_rate: None,
        }
    }
}
