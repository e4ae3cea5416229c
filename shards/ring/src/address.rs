//! Socket addresses as the kernel lays them out, written and read as bytes.
//!
//! ```text
//! v4, 16 bytes   0 family  2 port (big endian)  4 address    8 zeroes
//! v6, 28 bytes   0 family  2 port (big endian)  4 flow       8 address  24 scope
//! ```

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

const FAMILY_V4: u16 = libc::AF_INET as u16;
const FAMILY_V6: u16 = libc::AF_INET6 as u16;

/// Bytes of the longest address that we use.
pub(crate) const ADDRESS_BYTES_MAX: usize = 28;

/// Which family a socket was opened in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    pub(crate) fn of(address: &SocketAddr) -> Self {
        if address.is_ipv4() { Family::V4 } else { Family::V6 }
    }

    /// Exact length of an address; the kernel refuses any other when asked for the peer.
    pub(crate) fn address_bytes(self) -> usize {
        match self {
            Family::V4 => 16,
            Family::V6 => ADDRESS_BYTES_MAX,
        }
    }
}

/// Room for one address of either family.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(8))]
pub(crate) struct RawAddress {
    pub(crate) bytes: [u8; ADDRESS_BYTES_MAX],
}

impl RawAddress {
    /// Writes `address` the way a socket of `family` needs it: a v6 socket reaches v4 hosts by
    /// their v4-mapped address. Returns the length.
    pub(crate) fn write(&mut self, address: SocketAddr, family: Family) -> usize {
        let bytes = &mut self.bytes;
        *bytes = [0; ADDRESS_BYTES_MAX];
        bytes[2..4].copy_from_slice(&address.port().to_be_bytes());
        match (address, family) {
            (SocketAddr::V4(v4), Family::V4) => {
                bytes[0..2].copy_from_slice(&FAMILY_V4.to_ne_bytes());
                bytes[4..8].copy_from_slice(&v4.ip().octets());
                return Family::V4.address_bytes();
            }
            (SocketAddr::V4(v4), Family::V6) => {
                bytes[8..24].copy_from_slice(&v4.ip().to_ipv6_mapped().octets());
            }
            (SocketAddr::V6(v6), _) => {
                bytes[4..8].copy_from_slice(&v6.flowinfo().to_ne_bytes());
                bytes[8..24].copy_from_slice(&v6.ip().octets());
                bytes[24..28].copy_from_slice(&v6.scope_id().to_ne_bytes());
            }
        }
        bytes[0..2].copy_from_slice(&FAMILY_V6.to_ne_bytes());
        Family::V6.address_bytes()
    }
}

/// Reads an address; v4-mapped ones are plain v4 to everybody above. `None` for other families.
pub(crate) fn read(bytes: &[u8]) -> Option<SocketAddr> {
    let family = u16::from_ne_bytes(array(bytes, 0)?);
    let port = u16::from_be_bytes(array(bytes, 2)?);
    match family {
        FAMILY_V4 => Some((Ipv4Addr::from(array::<4>(bytes, 4)?), port).into()),
        FAMILY_V6 => {
            let flow = u32::from_ne_bytes(array(bytes, 4)?);
            let ip = Ipv6Addr::from(array::<16>(bytes, 8)?);
            let scope = u32::from_ne_bytes(array(bytes, 24)?);
            match ip.to_ipv4_mapped() {
                Some(v4) => Some((v4, port).into()),
                None => Some(SocketAddrV6::new(ip, port, flow, scope).into()),
            }
        }
        _ => None,
    }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_the_round_trip() {
        let cases = ["127.0.0.1:80", "[::1]:8000", "[fe80::1%7]:65535", "255.1.2.3:1"];
        for text in cases {
            let address: SocketAddr = text.parse().unwrap();
            let mut raw = RawAddress::default();
            let len = raw.write(address, Family::of(&address));
            assert_eq!(read(&raw.bytes[..len]), Some(address));
        }
    }

    #[test]
    fn a_v6_socket_names_v4_hosts_by_their_mapped_address() {
        let address: SocketAddr = "10.1.2.3:4".parse().unwrap();
        let mut raw = RawAddress::default();
        assert_eq!(raw.write(address, Family::V6), 28);
        assert_eq!(raw.bytes[18..24], [0xff, 0xff, 10, 1, 2, 3]);
        assert_eq!(read(&raw.bytes), Some(address));
    }

    #[test]
    fn short_or_foreign_bytes_are_no_address() {
        assert_eq!(read(&[]), None);
        assert_eq!(read(&FAMILY_V6.to_ne_bytes()), None);
        assert_eq!(read(&[0; 28]), None);
    }
}
