//! What a relay is told at its start.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Instant;

use protocol_tls::ServerConfig;
use protocol_turn::{Config, ConfigError, Family, Limits};

/// What a relay is told at its start. All shards are told the same but for `shard`.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Realm, credentials, peers. Families, what can be done, and where we listen are filled in.
    pub config: Config,
    /// How much of everything, on this shard.
    pub limits: Limits,
    /// Where clients come.
    pub listeners: Vec<Listener>,
    /// Where else this process listens: never a peer.
    pub own: Vec<SocketAddr>,
    /// The addresses of this machine: whoever listens on all of them listens on these
    /// ([`machine_addresses`]).
    pub machine: Vec<IpAddr>,
    /// The addresses that are lent: at least one.
    pub externals: Vec<External>,
    /// The ports that are lent, on all shards together.
    pub ports: RangeInclusive<u16>,
    /// The certificates for clients that speak TLS. A client of plain TCP that begins with TLS is
    /// served as well.
    pub tls: Option<Arc<ServerConfig>>,
    /// Whether clients are spread by their address, not by address and port.
    pub spreads_by_address: bool,
    /// Streams of clients that are open at once, on this shard; and connections with peers, counted
    /// by themselves. Then: closed, or for Connect 447.
    pub stream_count_max: usize,
    /// Steps of TLS handshakes in one tick; others wait for the next.
    pub handshakes_per_tick_max: u32,
    /// Chance, the same on all shards.
    pub seed: [u8; 32],
    /// An instant that all shards share: nonces count from it.
    pub epoch: Instant,
    /// Which shard, of how many.
    pub shard: (u16, u16),
}

/// An address where clients come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listener {
    /// The address; its port is the real one.
    pub address: SocketAddr,
    /// What is spoken there.
    pub listening: Listening,
}

/// What is spoken with clients at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listening {
    /// Datagrams.
    Udp,
    /// TCP.
    Tcp,
    /// TLS over TCP.
    Tls,
}

/// An address that is lent: what the world is told, and what is bound here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct External {
    /// What clients and peers are told.
    pub announced: IpAddr,
    /// Where it is bound: another one behind a NAT that maps one to one.
    pub local: IpAddr,
}

impl External {
    /// An address that is this machine's own.
    pub fn own(ip: IpAddr) -> External {
        External { announced: ip, local: ip }
    }

    pub(crate) fn family(&self) -> Family {
        if self.announced.is_ipv4() { Family::V4 } else { Family::V6 }
    }
}

/// Not an address, or not a pair of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoExternal;

impl FromStr for External {
    type Err = NoExternal;

    /// Reads `IP`, or `ANNOUNCED/LOCAL`.
    fn from_str(text: &str) -> Result<External, NoExternal> {
        let read = |text: &str| text.parse::<IpAddr>().map_err(|_| NoExternal);
        let (announced, local) = match text.split_once('/') {
            Some((announced, local)) => (read(announced)?, read(local)?),
            None => (read(text)?, read(text)?),
        };
        let is_pair = announced.is_ipv4() == local.is_ipv4() && !announced.is_unspecified();
        if is_pair { Ok(External { announced, local }) } else { Err(NoExternal) }
    }
}

/// Why a relay does not start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingsError {
    /// There is no address to lend.
    NoExternal,
    /// This shard has no part of the ports.
    NoPorts,
    /// The protocol's own reason.
    Config(ConfigError),
}

impl std::fmt::Display for SettingsError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            SettingsError::NoExternal => "no external address to lend",
            SettingsError::NoPorts => "too few ports for so many shards",
            SettingsError::Config(ConfigError::Realm) => {
                "the realm must have 1 to 28 bytes, and no control characters"
            }
            SettingsError::Config(ConfigError::NobodyMayAllocate) => {
                "there are neither users nor secrets: nobody may have an allocation"
            }
            SettingsError::Config(ConfigError::NoFamily) => "no family of addresses to lend",
        })
    }
}

impl std::error::Error for SettingsError {}

impl Settings {
    /// The protocol's configuration, completed: families, our own addresses, what we can do.
    pub(crate) fn complete(&self, mut config: Config) -> Config {
        let has = |family: &Family| self.externals.iter().any(|it| it.family() == *family);
        config.families = [Family::V4, Family::V6].into_iter().filter(has).collect();
        config.has_tcp_allocations = true;
        let listening = self.listeners.iter().map(|listener| listener.address);
        for address in listening.chain(self.own.iter().copied()) {
            config.policy.own.push(address);
            if address.ip().is_unspecified() {
                let ips = self.externals.iter().flat_map(|it| [it.announced, it.local]);
                let ips = ips.chain(self.machine.iter().copied());
                let ips = ips.filter(|ip| !ip.is_unspecified());
                config.policy.own.extend(ips.map(|ip| SocketAddr::new(ip, address.port())));
            }
        }
        config
    }
}

/// The addresses that this machine has now, for [`Settings::machine`]. One that it gets later is
/// not known to the relay until the next start.
///
/// # Errors
/// What the system says.
pub fn machine_addresses() -> std::io::Result<Vec<IpAddr>> {
    let interfaces = nix::ifaddrs::getifaddrs().map_err(std::io::Error::from)?;
    let addresses = interfaces.filter_map(|it| it.address);
    let ips = addresses.filter_map(|address| {
        let v4 = address.as_sockaddr_in().map(|it| IpAddr::V4(it.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|it| IpAddr::V6(it.ip())))
    });
    let mut ips: Vec<IpAddr> = ips.collect();
    ips.sort_unstable();
    ips.dedup();
    Ok(ips)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(listener: &str) -> Settings {
        #[expect(clippy::disallowed_methods, reason = "a test needs some instant to count from")]
        let epoch = Instant::now();
        let address = listener.parse().expect("an address");
        Settings {
            config: Config::new("example.org", protocol_turn::Credentials::new()),
            limits: Limits::default(),
            listeners: vec![Listener { address, listening: Listening::Udp }],
            own: vec!["0.0.0.0:8000".parse().expect("an address")],
            machine: ["10.0.0.5", "203.0.113.9"].map(|ip| ip.parse().expect("an address")).into(),
            externals: vec!["203.0.113.7/10.0.0.7".parse().expect("a pair")],
            ports: 50_000..=50_009,
            tls: None,
            spreads_by_address: true,
            stream_count_max: 1,
            handshakes_per_tick_max: 1,
            seed: [1; 32],
            epoch,
            shard: (0, 1),
        }
    }

    #[test]
    fn what_listens_everywhere_is_no_peer_at_any_address_of_the_machine() {
        let settings = settings("198.51.100.1:3478");
        let mut config = settings.config.clone();
        config.policy.allowed.push("0.0.0.0/0".parse().expect("a prefix"));
        let policy = settings.complete(config).policy;
        let is_reached = |text: &str| policy.permits_endpoint(text.parse().expect("an address"));
        for ip in ["203.0.113.7", "10.0.0.7", "10.0.0.5", "203.0.113.9", "127.0.0.1"] {
            assert!(!is_reached(&format!("{ip}:8000")), "{ip}");
            assert!(is_reached(&format!("{ip}:8001")), "{ip}");
            assert!(is_reached(&format!("{ip}:3478")), "nobody listens there: {ip}");
        }
        assert!(!is_reached("198.51.100.1:3478") && is_reached("198.51.100.1:8000"));
    }

    #[test]
    fn this_machine_has_an_address_for_itself() {
        let ips = machine_addresses().expect("the system says");
        assert!(ips.iter().any(IpAddr::is_loopback), "{ips:?}");
    }

    #[test]
    fn externals_are_read() {
        let own: External = "203.0.113.7".parse().expect("an address");
        assert_eq!(own.announced, own.local);
        let mapped: External = "203.0.113.7/10.0.0.7".parse().expect("a pair");
        assert_eq!(mapped.local, "10.0.0.7".parse::<IpAddr>().expect("an address"));
        assert!("203.0.113.7/0.0.0.0".parse::<External>().is_ok());
        for text in ["", "x", "0.0.0.0", "203.0.113.7/", "203.0.113.7/::1", "::/::1"] {
            assert_eq!(text.parse::<External>(), Err(NoExternal), "{text}");
        }
    }
}
