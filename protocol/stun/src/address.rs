//! Addresses in attributes, plain and XORed (RFC 8489 §14.1, §14.2).
//!
//! ```text
//! | 0 | family | port, ^ cookie's upper half | 4 or 16 bytes, ^ cookie and transaction id |
//! ```

use crate::header::{MAGIC_COOKIE, TransactionId};
use crate::message::Malformed;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Bytes of the longest address value.
pub(crate) const ADDRESS_BYTES_MAX: usize = 20;

/// An address as it stands in a value of MAPPED-ADDRESS and its kind.
pub(crate) fn decode(value: &[u8]) -> Result<SocketAddr, Malformed> {
    let [_, family, port @ ..] = value else { return Err(Malformed::Value) };
    let Some((port, ip)) = port.split_first_chunk::<2>() else { return Err(Malformed::Value) };
    let ip = match (*family, ip.len()) {
        (1, 4) => <[u8; 4]>::try_from(ip).map(IpAddr::from),
        (2, 16) => <[u8; 16]>::try_from(ip).map(IpAddr::from),
        _ => return Err(Malformed::Value),
    };
    let ip = ip.map_err(|_| Malformed::Value)?;
    Ok(SocketAddr::new(ip, u16::from_be_bytes(*port)))
}

/// Writes an address, and says how many bytes of `value` it took.
pub(crate) fn encode(address: SocketAddr, value: &mut [u8; ADDRESS_BYTES_MAX]) -> usize {
    value[0] = 0;
    value[2..4].copy_from_slice(&address.port().to_be_bytes());
    match address.ip() {
        IpAddr::V4(ip) => {
            value[1] = 1;
            value[4..8].copy_from_slice(&ip.octets());
            8
        }
        IpAddr::V6(ip) => {
            value[1] = 2;
            value[4..20].copy_from_slice(&ip.octets());
            20
        }
    }
}

/// An address XORed with cookie and transaction id; done twice it is the address again.
pub(crate) fn xor(address: SocketAddr, id: TransactionId) -> SocketAddr {
    let port = address.port() ^ (MAGIC_COOKIE >> 16) as u16;
    let ip = match address.ip() {
        IpAddr::V4(ip) => IpAddr::V4(Ipv4Addr::from_bits(ip.to_bits() ^ MAGIC_COOKIE)),
        IpAddr::V6(ip) => {
            let mut mask = [0; 16];
            mask[..4].copy_from_slice(&MAGIC_COOKIE.to_be_bytes());
            mask[4..].copy_from_slice(&id.0);
            IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() ^ u128::from_be_bytes(mask)))
        }
    };
    SocketAddr::new(ip, port)
}
