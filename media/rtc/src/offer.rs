//! What the peer offers, looked at before str0m is given it: bounded, and turned to our role.
//!
//! The text is cut into lines once. Candidates are left out: an ICE-lite end answers checks and
//! learns addresses from them (RFC 8445 §2.5), so a list of them would only be a place for a peer
//! to make us remember things.

use std::fmt;
use std::fmt::Write as _;

use crate::config::{IceCredentials, Limits, LocalCandidate, Role, Transport};

/// Why an offer or a fragment was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum OfferError {
    /// Longer than [`Limits::offer_bytes_max`].
    TooLong,
    /// More sections than [`Limits::sections_max`].
    TooManySections,
    /// It is not what it should be; the text says where.
    Malformed(String),
    /// It is well-formed, and cannot be answered.
    Refused(String),
    /// The session is over.
    Closed,
    /// The machinery broke on it. The session, if there was one, is over.
    Panicked,
}

impl fmt::Display for OfferError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => f.write_str("the description is too long"),
            Self::TooManySections => f.write_str("the description has too many media sections"),
            Self::Malformed(what) => write!(f, "the description is malformed: {what}"),
            Self::Refused(what) => write!(f, "the description cannot be answered: {what}"),
            Self::Closed => f.write_str("the session is over"),
            Self::Panicked => f.write_str("the description could not be worked on"),
        }
    }
}

impl std::error::Error for OfferError {}

/// An offer within bounds, turned to our role.
#[derive(Debug, Clone)]
pub(crate) struct Offer {
    lines: Vec<String>,
}

impl Offer {
    pub fn read(text: &str, role: Role, limits: &Limits) -> Result<Self, OfferError> {
        let mut sections = 0;
        let mut lines = Vec::new();
        for line in bounded_lines(text, limits)? {
            sections += usize::from(line.starts_with("m="));
            if sections > limits.sections_max {
                return Err(OfferError::TooManySections);
            }
            let is_candidate = line.starts_with("a=candidate:") || line == "a=end-of-candidates";
            if !is_candidate {
                lines.push(turned(line, role).to_owned());
            }
        }
        let offer = Self { lines: with_directions(lines, role) };
        let has_value = |name| offer.value(name).is_some();
        if !has_value("a=ice-ufrag:") || !has_value("a=ice-pwd:") {
            return Err(OfferError::Malformed("no ice-ufrag or ice-pwd".to_owned()));
        }
        Ok(offer)
    }

    /// The peer's name for ICE: another one than before is an ICE restart.
    pub fn ufrag(&self) -> &str {
        self.value("a=ice-ufrag:").unwrap_or_default()
    }

    /// The names of its sections (`a=mid`).
    pub fn mids(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().filter_map(|line| line.strip_prefix("a=mid:"))
    }

    /// The same offer as if it had come with these credentials.
    pub fn with_credentials(&self, ufrag: &str, password: &str) -> Self {
        let replaced = |line: &String| match line.split_once(':') {
            Some(("a=ice-ufrag", _)) => format!("a=ice-ufrag:{ufrag}"),
            Some(("a=ice-pwd", _)) => format!("a=ice-pwd:{password}"),
            _ => line.clone(),
        };
        Self { lines: self.lines.iter().map(replaced).collect() }
    }

    pub fn to_sdp(&self) -> String {
        let mut text = String::with_capacity(self.lines.iter().map(|line| line.len() + 2).sum());
        for line in &self.lines {
            text.push_str(line);
            text.push_str("\r\n");
        }
        text
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.lines.iter().find_map(|line| line.strip_prefix(name)).filter(|value| !value.is_empty())
    }
}

/// A direction of the peer's as it is where only one of us sends.
fn turned(line: &str, role: Role) -> &str {
    match (line, role) {
        ("a=sendrecv", Role::Publish) => "a=sendonly",
        ("a=recvonly", Role::Publish) | ("a=sendonly", Role::View) => "a=inactive",
        ("a=sendrecv", Role::View) => "a=recvonly",
        _ => line,
    }
}

/// A section that says no direction means both (RFC 8866 §6.7); where only one of us sends it is
/// written down.
fn with_directions(lines: Vec<String>, role: Role) -> Vec<String> {
    const ALL: [&str; 4] = ["a=sendrecv", "a=sendonly", "a=recvonly", "a=inactive"];
    let is_direction = |line: &String| ALL.contains(&line.as_str());
    let is_media = |line: &String| line.starts_with("m=audio") || line.starts_with("m=video");
    let missing = match role {
        Role::Publish => "a=sendonly",
        Role::View => "a=recvonly",
        Role::Both => return lines,
    };
    let session_lines = lines.iter().take_while(|line| !line.starts_with("m=")).count();
    let default = lines[..session_lines].iter().find(|line| is_direction(line)).cloned();
    let default = default.unwrap_or_else(|| missing.to_owned());
    let mut whole = lines[..session_lines].to_vec();
    for section in lines[session_lines..].chunk_by(|_, next| !next.starts_with("m=")) {
        whole.extend_from_slice(section);
        if section.first().is_some_and(is_media) && !section.iter().any(is_direction) {
            whole.push(default.clone());
        }
    }
    whole
}

fn bounded_lines<'a>(
    text: &'a str,
    limits: &Limits,
) -> Result<impl Iterator<Item = &'a str>, OfferError> {
    if text.len() > limits.offer_bytes_max {
        return Err(OfferError::TooLong);
    }
    Ok(text.split(['\r', '\n']).map(|line| line.trim_end()).filter(|line| !line.is_empty()))
}

/// A fragment of a description (RFC 8840 §9), as WHIP's and WHEP's PATCH carries it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fragment {
    /// The peer's name for ICE. Another one than before asks for an ICE restart.
    pub ufrag: Option<String>,
    /// Its password.
    pub password: Option<String>,
    /// How many candidates it names. They are read for form only: see [`Candidate`](crate::Input).
    pub candidate_count: usize,
    /// Whether it says that no more candidates will come.
    pub is_end_of_candidates: bool,
}

impl Fragment {
    /// Reads one.
    ///
    /// # Errors
    ///
    /// Where it is too long, or a line is none of SDP.
    pub fn read(text: &str, limits: &Limits) -> Result<Self, OfferError> {
        let mut fragment = Self::default();
        for line in bounded_lines(text, limits)? {
            let is_typed = line.as_bytes().get(1) == Some(&b'=');
            if !is_typed {
                return Err(OfferError::Malformed("a line that is none of SDP".to_owned()));
            }
            match line.split_once(':') {
                Some(("a=ice-ufrag", value)) => fragment.ufrag = Some(value.to_owned()),
                Some(("a=ice-pwd", value)) => fragment.password = Some(value.to_owned()),
                Some(("a=candidate", _)) => {
                    check_candidate(&line[2..])?;
                    fragment.candidate_count += 1;
                }
                _ if line == "a=end-of-candidates" => fragment.is_end_of_candidates = true,
                _ => {}
            }
        }
        if fragment.ufrag.is_some() != fragment.password.is_some() {
            return Err(OfferError::Malformed("ice-ufrag or ice-pwd alone".to_owned()));
        }
        Ok(fragment)
    }

    /// Writes our side of one: what a restart by PATCH is answered with (RFC 9725 §4.4.1).
    pub fn answer(credentials: &IceCredentials, candidates: &[LocalCandidate]) -> String {
        let (ufrag, password) = (credentials.ufrag(), credentials.password());
        let mut text = format!("a=ice-lite\r\na=ice-ufrag:{ufrag}\r\na=ice-pwd:{password}\r\n");
        for (index, candidate) in candidates.iter().enumerate() {
            // A whole number is never refused by a string.
            let _ = write!(text, "a={}\r\n", candidate.to_sdp(index));
        }
        text.push_str("a=end-of-candidates\r\n");
        text
    }
}

impl LocalCandidate {
    /// The value that stands in an `a=candidate` line, with its name: `"candidate:…"`. `index` is
    /// its place in the order of preference.
    pub fn to_sdp(&self, index: usize) -> String {
        let local = u32::try_from(65_535usize.saturating_sub(index)).unwrap_or(0);
        // RFC 8445 §5.1.2: type, then local preference, then component. UDP before TCP (RFC 6544).
        let (kind, protocol, suffix) = match self.transport {
            Transport::Udp => (126, "udp", ""),
            Transport::Tcp => (90, "tcp", " tcptype passive"),
        };
        let priority = (kind << 24) | (local << 8) | 255;
        let (ip, port) = (self.address.ip(), self.address.port());
        format!("candidate:{} 1 {protocol} {priority} {ip} {port} typ host{suffix}", index + 1)
    }
}

/// Whether this is a candidate (`"candidate:…"`, RFC 8839 §5.1). Names that are resolved by
/// multicast are, too.
///
/// # Errors
///
/// Says what is not right.
pub(crate) fn check_candidate(text: &str) -> Result<(), OfferError> {
    let malformed = |what: &str| Err(OfferError::Malformed(format!("a candidate's {what}")));
    let text = text.strip_prefix("a=").unwrap_or(text);
    let Some(text) = text.strip_prefix("candidate:") else { return malformed("name") };
    if text.len() > 1024 {
        return malformed("length");
    }
    let mut words = text.split_ascii_whitespace();
    if words.next().is_none() {
        return malformed("foundation");
    }
    let mut is_number = |max: u32| {
        words.next().and_then(|word| word.parse::<u32>().ok()).is_some_and(|number| number <= max)
    };
    if !is_number(256) {
        return malformed("component");
    }
    let mut rest = words;
    if !rest.next().is_some_and(|word| ["udp", "tcp"].contains(&&*word.to_ascii_lowercase())) {
        return malformed("transport");
    }
    if rest.next().and_then(|word| word.parse::<u32>().ok()).is_none() {
        return malformed("priority");
    }
    let is_name = |word: &str| word.bytes().all(|byte| byte.is_ascii_graphic());
    if !rest.next().is_some_and(is_name) {
        return malformed("address");
    }
    if rest.next().and_then(|word| word.parse::<u16>().ok()).is_none() {
        return malformed("port");
    }
    if rest.next() != Some("typ") || rest.next().is_none() {
        return malformed("type");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
