//! Values that are more than a number or a string: secrets, networks, log levels.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use toml::de::DeValue;

use crate::setting::{Setting, mismatch, quoted};

/// A password. Neither `Debug` nor `Display` shows it, so a log line cannot leak it.
///
/// `==` is for comparing two configurations; it takes longer the more characters agree. Whoever
/// checks what a peer sent compares [`Secret::expose`] in constant time.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a password.
    pub fn new(text: impl Into<String>) -> Self {
        Secret(text.into())
    }

    /// The password itself; the name is a warning to the reader.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("…")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("…")
    }
}

impl Setting for Secret {
    fn kind() -> String {
        "a string without control characters".into()
    }

    /// A number without quotes may well be the password, so what was found is not repeated.
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        match value.as_str() {
            Some(text) if !text.chars().any(char::is_control) => Ok(Secret::new(text)),
            Some(_) => Err(format!("expected {}, found one that has some", Self::kind())),
            None => Err(format!("expected {}, found no string (is it quoted?)", Self::kind())),
        }
    }

    fn write(&self) -> Option<String> {
        Some(quoted("…"))
    }
}

/// A network such as `10.0.0.0/8`, or one address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cidr {
    /// Some address of the network.
    pub address: IpAddr,
    /// How many leading bits count.
    pub prefix_bits: u8,
}

impl Cidr {
    /// Whether `address` is in the network. An IPv4 address that came in over an IPv6 socket
    /// (`::ffff:10.0.0.1`) counts as the IPv4 address that it is.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let differing_bits = u32::from(network) ^ u32::from(address);
                differing_bits.leading_zeros() >= u32::from(self.prefix_bits)
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let differing_bits = u128::from(network) ^ u128::from(address);
                differing_bits.leading_zeros() >= u32::from(self.prefix_bits)
            }
            _ => false,
        }
    }
}

impl FromStr for Cidr {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
        let address: IpAddr = address.parse().map_err(|_| ())?;
        let bits_max = if address.is_ipv4() { 32 } else { 128 };
        let prefix_bits = prefix.map_or(Ok(bits_max), |text| text.parse().map_err(|_| ()))?;
        if prefix_bits > bits_max { Err(()) } else { Ok(Cidr { address, prefix_bits }) }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.address, self.prefix_bits)
    }
}

impl Setting for Cidr {
    fn kind() -> String {
        "a network such as \"10.0.0.0/8\" or an address".into()
    }

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        value.as_str().and_then(|text| text.parse().ok()).ok_or_else(|| mismatch::<Self>(value))
    }

    fn write(&self) -> Option<String> {
        Some(quoted(&self.to_string()))
    }
}

/// How much the log says.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Level {
    /// Only what an operator must act on.
    Error,
    /// And what looks wrong.
    Warn,
    /// And sources, pulls, reloads: the life of the server.
    Info,
    /// And each connection.
    Debug,
    /// And each step.
    Trace,
}

impl Level {
    const ALL: [(Level, &'static str); 5] = [
        (Level::Error, "error"),
        (Level::Warn, "warn"),
        (Level::Info, "info"),
        (Level::Debug, "debug"),
        (Level::Trace, "trace"),
    ];

    /// Its name in lower case, as filters know it.
    pub fn as_str(self) -> &'static str {
        Self::ALL[self as usize].1
    }
}

impl Setting for Level {
    fn kind() -> String {
        "one of \"error\", \"warn\", \"info\", \"debug\", \"trace\"".into()
    }

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        let found = |text: &str| Self::ALL.iter().find(|(_, name)| *name == text);
        value.as_str().and_then(found).map(|(l, _)| *l).ok_or_else(|| mismatch::<Self>(value))
    }

    fn write(&self) -> Option<String> {
        Some(quoted(self.as_str()))
    }
}
