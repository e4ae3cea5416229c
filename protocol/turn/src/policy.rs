//! Which peers may be reached at all.
//!
//! A relay inside a network is a door into it: unless the operator says otherwise nothing is
//! relayed to addresses that only mean something inside (loopback, private, link-local, shared,
//! multicast …), nor to IPv6 addresses with an IPv4 address inside, by which a list of IPv4
//! ranges is walked around. Whoever allows such a form must allow the inner address too.
//!
//! Our own control ports are never peers, whatever is allowed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// Addresses that begin with the same bits: `10.0.0.0/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    ip: IpAddr,
    bits: u8,
}

/// Not an address, or not with a number of bits that it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoPrefix;

impl Prefix {
    /// The prefix of an address; none for more bits than it has.
    pub fn new(ip: IpAddr, bits: u8) -> Option<Prefix> {
        let bits_max = if ip.is_ipv4() { 32 } else { 128 };
        (bits <= bits_max).then_some(Prefix { ip, bits })
    }

    /// Whether an address begins with it; never for one of the other family.
    pub fn contains(&self, ip: IpAddr) -> bool {
        match (self.ip, ip) {
            (IpAddr::V4(own), IpAddr::V4(ip)) => {
                let differing = own.to_bits() ^ ip.to_bits();
                differing.checked_shr(32 - u32::from(self.bits)).unwrap_or(0) == 0
            }
            (IpAddr::V6(own), IpAddr::V6(ip)) => {
                let differing = own.to_bits() ^ ip.to_bits();
                differing.checked_shr(128 - u32::from(self.bits)).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

impl FromStr for Prefix {
    type Err = NoPrefix;

    /// Reads `address/bits`, or an address alone for itself.
    fn from_str(text: &str) -> Result<Prefix, NoPrefix> {
        let (ip, bits) = text.split_once('/').unwrap_or((text, ""));
        let ip: IpAddr = ip.parse().map_err(|_| NoPrefix)?;
        let bits = match bits {
            "" if !text.contains('/') => {
                if ip.is_ipv4() {
                    32
                } else {
                    128
                }
            }
            bits => bits.parse().map_err(|_| NoPrefix)?,
        };
        Prefix::new(ip, bits).ok_or(NoPrefix)
    }
}

/// Which peers may be reached. The default refuses all of [`DENIED`] and allows the rest.
#[derive(Clone, Debug, Default)]
pub struct PeerPolicy {
    /// What is reached in spite of [`DENIED`].
    pub allowed: Vec<Prefix>,
    /// What is refused besides, unless allowed.
    pub denied: Vec<Prefix>,
    /// Where we listen ourselves: refused whatever is allowed. Port 0 stands for every port.
    pub own: Vec<SocketAddr>,
}

/// What is refused by default.
pub const DENIED: &[&str] = &[
    "0.0.0.0/8",      // this network
    "10.0.0.0/8",     // private
    "100.64.0.0/10",  // shared by a carrier's customers
    "127.0.0.0/8",    // loopback
    "169.254.0.0/16", // link-local; clouds keep their secrets here
    "172.16.0.0/12",  // private
    "192.0.0.0/24",   // protocol assignments
    "192.88.99.0/24", // 6to4's gateways
    "192.168.0.0/16", // private
    "198.18.0.0/15",  // benchmarks
    "224.0.0.0/4",    // multicast
    "240.0.0.0/4",    // reserved, broadcast
    "::/96",          // unspecified, loopback, IPv4-compatible
    "::ffff:0:0/96",  // IPv4-mapped
    "64:ff9b::/96",   // NAT64
    "64:ff9b:1::/48", // NAT64, local
    "100::/64",       // discard
    "2001::/32",      // Teredo
    "2002::/16",      // 6to4
    "fc00::/7",       // unique local
    "fe80::/10",      // link-local
    "fec0::/10",      // site-local
    "ff00::/8",       // multicast
];

impl PeerPolicy {
    /// With the default ranges among the denied, and these listeners of ours.
    pub fn closed(own: Vec<SocketAddr>) -> PeerPolicy {
        PeerPolicy { own, ..PeerPolicy::default() }
    }

    /// Whether a permission may be made for this address.
    pub fn permits(&self, ip: IpAddr) -> bool {
        let is_own = self.own.iter().any(|own| own.port() == 0 && own.ip() == plain(ip));
        !is_own && self.permits_range(ip)
    }

    /// Whether data may be sent to this address and port: never to where we listen.
    pub fn permits_endpoint(&self, peer: SocketAddr) -> bool {
        peer.port() != 0 && !self.is_own(peer)
    }

    fn is_own(&self, peer: SocketAddr) -> bool {
        let ip = plain(peer.ip());
        self.own.iter().any(|own| {
            let is_port = own.port() == peer.port() || own.port() == 0;
            is_port && (own.ip() == ip || own.ip().is_unspecified() && ip.is_loopback())
        })
    }

    fn permits_range(&self, ip: IpAddr) -> bool {
        let is_in = |prefixes: &[Prefix]| prefixes.iter().any(|prefix| prefix.contains(ip));
        let is_permitted = is_in(&self.allowed) || !is_denied(ip) && !is_in(&self.denied);
        let inner = if let IpAddr::V6(ip) = ip { inner_of(ip) } else { None };
        is_permitted && inner.is_none_or(|inner| self.permits(IpAddr::V4(inner)))
    }
}

/// Whether one of the default ranges contains it. By hand: this is asked for every permission.
fn is_denied(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            matches!(
                (a, b, c),
                (0 | 10 | 127 | 224.., _, _)
                    | (100, 64..=127, _)
                    | (169, 254, _)
                    | (172, 16..=31, _)
                    | (192, 0, 0)
                    | (192, 88, 99)
                    | (192, 168, _)
                    | (198, 18 | 19, _)
            )
        }
        IpAddr::V6(ip) => {
            let words = ip.segments();
            match words {
                [0, 0, 0, 0, 0, 0 | 0xFFFF, ..] => true,
                [0x64, 0xFF9B, 0, 0, 0, 0, ..] | [0x64, 0xFF9B, 1, ..] => true,
                [0x100, 0, 0, 0, ..] | [0x2001, 0, ..] | [0x2002, ..] => true,
                [first, ..] => {
                    first & 0xFE00 == 0xFC00 || first & 0xFF80 == 0xFE80 || first >= 0xFF00
                }
            }
        }
    }
}

/// The IPv4 address that an IPv6 address leads to.
fn inner_of(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let last = Ipv4Addr::from_bits(ip.to_bits() as u32);
    match ip.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0 | 0xFFFF, ..] => Some(last),
        [0x64, 0xFF9B, 0, 0, 0, 0, ..] | [0x64, 0xFF9B, 1, ..] => Some(last),
        [0x2001, 0, ..] => Some(Ipv4Addr::from_bits(!last.to_bits())),
        [0x2002, ..] => Some(Ipv4Addr::from_bits((ip.to_bits() >> 80) as u32)),
        _ => None,
    }
}

/// An IPv4-mapped address as what it is.
fn plain(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    /// First and last address of a prefix.
    fn ends(prefix: &Prefix) -> [IpAddr; 2] {
        match prefix.ip {
            IpAddr::V4(ip) => {
                let rest = u32::MAX.checked_shr(prefix.bits.into()).unwrap_or(0);
                [IpAddr::V4(ip), Ipv4Addr::from_bits(ip.to_bits() | rest).into()]
            }
            IpAddr::V6(ip) => {
                let rest = u128::MAX.checked_shr(prefix.bits.into()).unwrap_or(0);
                [IpAddr::V6(ip), Ipv6Addr::from_bits(ip.to_bits() | rest).into()]
            }
        }
    }

    #[test]
    fn every_denied_range_is_denied_to_its_ends_and_not_beyond() {
        let policy = PeerPolicy::default();
        let ranges: Vec<Prefix> = DENIED.iter().map(|text| text.parse().expect(text)).collect();
        let is_listed = |ip| ranges.iter().any(|range| range.contains(ip));
        for range in &ranges {
            let [first, last] = ends(range);
            assert!(!policy.permits(first) && !policy.permits(last), "{range:?}");
            let beyond = match (first, last) {
                (IpAddr::V4(first), IpAddr::V4(last)) => [
                    first.to_bits().checked_sub(1).map(|bits| Ipv4Addr::from_bits(bits).into()),
                    last.to_bits().checked_add(1).map(|bits| Ipv4Addr::from_bits(bits).into()),
                ],
                (IpAddr::V6(first), IpAddr::V6(last)) => [
                    first.to_bits().checked_sub(1).map(|bits| Ipv6Addr::from_bits(bits).into()),
                    last.to_bits().checked_add(1).map(|bits| Ipv6Addr::from_bits(bits).into()),
                ],
                _ => unreachable!("one family"),
            };
            for ip in beyond.into_iter().flatten() {
                assert_eq!(policy.permits(ip), !is_listed(ip), "{ip}");
            }
        }
    }

    #[test]
    fn the_internet_is_permitted() {
        let policy = PeerPolicy::default();
        for text in ["8.8.8.8", "192.0.2.1", "172.32.0.1", "2001:db8::1", "2a00::1"] {
            assert!(policy.permits(ip(text)), "{text}");
        }
    }

    #[test]
    fn an_inner_address_is_asked_for_as_well() {
        let all_v6 = PeerPolicy {
            allowed: vec!["::/0".parse().expect("a prefix")],
            ..PeerPolicy::default()
        };
        for text in [
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "64:ff9b::127.0.0.1",
            "2002:7f00:1::1",
            "2001:0:1234::80ff:fffe",
        ] {
            assert!(!PeerPolicy::default().permits(ip(text)), "{text}");
            assert!(!all_v6.permits(ip(text)), "{text}");
        }
        assert!(all_v6.permits(ip("64:ff9b::8.8.8.8")) && all_v6.permits(ip("::1")));
        assert!(!all_v6.permits(ip("127.0.0.1")));
    }

    #[test]
    fn where_we_listen_is_never_a_peer() {
        let own: SocketAddr = "203.0.113.1:3478".parse().expect("an address");
        let mut policy = PeerPolicy::closed(vec![own]);
        policy.allowed.push("0.0.0.0/0".parse().expect("a prefix"));
        assert!(policy.permits(own.ip()), "other relayed addresses are there");
        assert!(!policy.permits_endpoint(own));
        assert!(!policy.permits_endpoint("[::ffff:203.0.113.1]:3478".parse().expect("mapped")));
        assert!(policy.permits_endpoint("203.0.113.1:50000".parse().expect("an address")));
        assert!(!policy.permits_endpoint("203.0.113.2:0".parse().expect("an address")));
        policy.own = vec!["203.0.113.1:0".parse().expect("an address")];
        assert!(!policy.permits(own.ip()) && !policy.permits(ip("::ffff:203.0.113.1")));
    }

    #[test]
    fn prefixes_are_read() {
        for text in ["10.0.0.0/33", "::/129", "10.0.0.0/", "x/8", "", "10.0.0.0/-1"] {
            assert_eq!(text.parse::<Prefix>(), Err(NoPrefix), "{text}");
        }
        let one: Prefix = "10.0.0.1".parse().expect("an address");
        assert!(one.contains(ip("10.0.0.1")) && !one.contains(ip("10.0.0.2")));
    }
}
