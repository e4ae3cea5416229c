//! The two versions that are still safe (RFC 8996 ended those before).

use rustls::SupportedProtocolVersion;

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// RFC 5246.
    Tls12,
    /// RFC 8446.
    Tls13,
}

pub(crate) fn supported(versions: &[Version]) -> Vec<&'static SupportedProtocolVersion> {
    let one = |version: &Version| match version {
        Version::Tls12 => &rustls::version::TLS12,
        Version::Tls13 => &rustls::version::TLS13,
    };
    versions.iter().map(one).collect()
}
