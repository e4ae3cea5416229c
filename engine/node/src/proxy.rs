//! Who a client really is, when a trusted proxy stands between: the PROXY protocol (versions 1 and
//! 2, as HAProxy's `proxy-protocol.txt` describes them) and `X-Forwarded-For`.
//!
//! Both are believed from configured networks only; whoever else sends them is speaking for itself.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The first bytes of a version 2 header.
const V2_SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// The longest version 1 line, bytes, line end included.
const V1_LINE_BYTES_MAX: usize = 107;
/// The longest version 2 header that is read; longer TLVs than this are nobody's.
const V2_BYTES_MAX: usize = 4096;

/// One look at the beginning of a connection.
#[derive(Debug, PartialEq, Eq)]
pub enum ProxyStep {
    /// More bytes are needed.
    Need,
    /// The header is complete.
    Header {
        /// The client, unless the proxy speaks for itself (`LOCAL`, `UNKNOWN`).
        peer: Option<SocketAddr>,
        /// Bytes of the header.
        used: usize,
    },
    /// This is no PROXY header.
    Malformed(&'static str),
}

/// Reads a PROXY protocol header, either version, from the first bytes of a connection.
#[must_use]
pub fn proxy_header(bytes: &[u8]) -> ProxyStep {
    let signature = &V2_SIGNATURE[..bytes.len().min(V2_SIGNATURE.len())];
    if bytes.is_empty() {
        ProxyStep::Need
    } else if bytes.starts_with(signature) {
        version_2(bytes)
    } else {
        version_1(bytes)
    }
}

fn version_1(bytes: &[u8]) -> ProxyStep {
    let window = &bytes[..bytes.len().min(V1_LINE_BYTES_MAX)];
    let Some(end) = window.windows(2).position(|pair| pair == b"\r\n") else {
        let plausible = b"PROXY ".starts_with(&window[..window.len().min(6)]);
        return match plausible && window.len() < V1_LINE_BYTES_MAX {
            true => ProxyStep::Need,
            false => ProxyStep::Malformed("no PROXY line"),
        };
    };
    let Ok(line) = std::str::from_utf8(&bytes[..end]) else {
        return ProxyStep::Malformed("the PROXY line is not text");
    };
    let used = end + 2;
    let mut words = line.split(' ');
    if words.next() != Some("PROXY") {
        return ProxyStep::Malformed("no PROXY line");
    }
    match words.next() {
        Some("UNKNOWN") => ProxyStep::Header { peer: None, used },
        Some("TCP4" | "TCP6") => {
            let address = words.next().and_then(|word| word.parse::<IpAddr>().ok());
            let port = words.nth(1).and_then(|word| word.parse::<u16>().ok());
            match (address, port) {
                (Some(address), Some(port)) => {
                    let peer = SocketAddr::new(address.to_canonical(), port);
                    ProxyStep::Header { peer: Some(peer), used }
                }
                _ => ProxyStep::Malformed("bad address in the PROXY line"),
            }
        }
        _ => ProxyStep::Malformed("unknown family in the PROXY line"),
    }
}

fn version_2(bytes: &[u8]) -> ProxyStep {
    let Some(&[version_command, family, high, low]) = bytes.get(12..16) else {
        return ProxyStep::Need;
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    let used = 16 + length;
    if version_command >> 4 != 2 {
        return ProxyStep::Malformed("unknown PROXY version");
    }
    if used > V2_BYTES_MAX {
        return ProxyStep::Malformed("the PROXY header is too long");
    }
    let Some(body) = bytes.get(16..used) else { return ProxyStep::Need };
    let is_local = version_command & 0x0f == 0;
    let port = |at: usize| u16::from_be_bytes([body[at], body[at + 1]]);
    let peer = match family {
        _ if is_local => None,
        0x11 if length >= 12 => {
            let octets: [u8; 4] = body[..4].try_into().expect("four bytes");
            Some(SocketAddr::new(Ipv4Addr::from(octets).into(), port(8)))
        }
        0x21 if length >= 36 => {
            let octets: [u8; 16] = body[..16].try_into().expect("sixteen bytes");
            Some(SocketAddr::new(IpAddr::from(Ipv6Addr::from(octets)).to_canonical(), port(32)))
        }
        0x11 | 0x21 => return ProxyStep::Malformed("the PROXY addresses are cut short"),
        _ => None,
    };
    ProxyStep::Header { peer, used }
}

/// The client behind trusted proxies: the last address in `X-Forwarded-For` that is not one of
/// them. `None` when the connection does not come from a trusted proxy, or it names nobody.
pub fn forwarded_for<'a>(
    peer: IpAddr,
    headers: impl Iterator<Item = (&'a str, &'a [u8])>,
    is_trusted: impl Fn(IpAddr) -> bool,
) -> Option<IpAddr> {
    if !is_trusted(peer) {
        return None;
    }
    let mut chain = Vec::new();
    for (_, value) in headers.filter(|(name, _)| name.eq_ignore_ascii_case("x-forwarded-for")) {
        chain.extend(std::str::from_utf8(value).ok()?.split(',').map(address_of));
    }
    let mut client = None;
    for address in chain.into_iter().rev() {
        let address = address?.to_canonical();
        client = Some(address);
        if !is_trusted(address) {
            break;
        }
    }
    client
}

/// An address as proxies write it: bare, with a port, or in brackets.
fn address_of(word: &str) -> Option<IpAddr> {
    let word = word.trim();
    if let Ok(address) = word.parse::<IpAddr>() {
        return Some(address);
    }
    if let Ok(address) = word.parse::<SocketAddr>() {
        return Some(address.ip());
    }
    word.strip_prefix('[')?.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(step: ProxyStep) -> (Option<SocketAddr>, usize) {
        match step {
            ProxyStep::Header { peer, used } => (peer, used),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn both_versions_name_the_client_however_they_are_cut() {
        let v1 = b"PROXY TCP4 192.0.2.7 198.51.100.1 5000 8000\r\nGET";
        let mut v2 = V2_SIGNATURE.to_vec();
        v2.extend([0x21, 0x11, 0, 12, 192, 0, 2, 7, 198, 51, 100, 1, 0x13, 0x88, 0x1f, 0x40]);
        let peer: SocketAddr = "192.0.2.7:5000".parse().unwrap();
        assert_eq!(client(proxy_header(v1)), (Some(peer), v1.len() - 3));
        assert_eq!(client(proxy_header(&v2)), (Some(peer), v2.len()));
        for header in [&v1[..v1.len() - 3], &v2[..]] {
            for cut in 0..header.len() {
                assert_eq!(proxy_header(&header[..cut]), ProxyStep::Need, "cut at {cut}");
            }
        }
    }

    #[test]
    fn what_is_no_header_is_refused_and_never_waited_for() {
        let long_line = [b"PROXY TCP4 ".as_slice(), &[b'1'; 200]].concat();
        let mut wrong_version = V2_SIGNATURE.to_vec();
        wrong_version.extend([0x31, 0x11, 0, 0]);
        let mut cut_short = V2_SIGNATURE.to_vec();
        cut_short.extend([0x21, 0x11, 0, 2, 1, 1]);
        let refused: [&[u8]; 6] = [
            b"GET / HTTP/1.1\r\n",
            b"PROXY TCP4 a b 1 2\r\n",
            b"PROXY TCP9 1.1.1.1 2.2.2.2 1 2\r\n",
            &long_line,
            &wrong_version,
            &cut_short,
        ];
        for bytes in refused {
            assert!(matches!(proxy_header(bytes), ProxyStep::Malformed(_)), "{bytes:?}");
        }
    }

    #[test]
    fn x_forwarded_for_counts_from_trusted_proxies_only() {
        let trusted = |ip: IpAddr| ip == "10.0.0.1".parse::<IpAddr>().unwrap();
        let header = [("X-Forwarded-For", b"6.6.6.6, 192.0.2.7, 10.0.0.1".as_slice())];
        let proxy = "10.0.0.1".parse().unwrap();
        let stranger = "203.0.113.9".parse().unwrap();
        let found = forwarded_for(proxy, header.into_iter(), trusted);
        assert_eq!(found, Some("192.0.2.7".parse().unwrap()));
        assert_eq!(forwarded_for(stranger, header.into_iter(), trusted), None);
        let rubbish = [("x-forwarded-for", b"192.0.2.7, rubbish".as_slice())];
        assert_eq!(forwarded_for(proxy, rubbish.into_iter(), trusted), None);
    }
}
