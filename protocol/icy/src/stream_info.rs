//! What a source says about its stream, in the three spellings of its headers.
//!
//! ```text
//!  source sends                      statistics         listeners get
//!  ice-name | icy-name | x-audiocast-name      name         icy-name:…     (x-audiocast-* not)
//!  ice-public | icy-pub | …                    public       icy-pub:…
//!  ice-bitrate | icy-br | …                    bitrate      icy-br:…
//!  ice-audio-info: bitrate=128;channels=2      audio_info   icy-br:128, ice-audio-info: …
//!  any other ice-x | icy-x                                  icy-x:…
//!  ice-password, icy-metaint                                never
//! ```
//!
//! The echoed lines stand in the alphabetical order of the names as the source sent them, so
//! `ice-*` before `icy-*` (Icecast 2.4.4, src/format.c, `format_prepare_headers`).

use std::collections::BTreeMap;

use protocol_http::percent_decode;

use crate::text::{line_of, one_line, truncate, value_of};

/// Longest value of a header that is kept; the rest is cut.
pub const VALUE_BYTES_MAX: usize = 1024;
/// Most header lines that are echoed; what comes behind them alphabetically is left out.
pub const ECHOED_COUNT_MAX: usize = 32;
/// Most pairs of an `ice-audio-info`.
const AUDIO_INFO_COUNT_MAX: usize = 16;
/// Most nodes that are remembered of a `Via`.
const VIA_COUNT_MAX: usize = 16;
const NAME_BYTES_MAX: usize = 64;

/// What a source, or the server that a stream is pulled from, says about the stream. No value holds
/// a control character, and none is longer than [`VALUE_BYTES_MAX`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StreamInfo {
    /// Name of the station.
    pub name: Option<String>,
    /// What it is about.
    pub description: Option<String>,
    /// Its web site.
    pub url: Option<String>,
    /// Its genre.
    pub genre: Option<String>,
    /// Whether a directory may list it.
    pub public: Option<bool>,
    /// Bit rate as the source says it, mostly kbit/s.
    pub bitrate: Option<String>,
    /// The pairs of `ice-audio-info`, decoded, in their order.
    pub audio_info: Vec<(String, String)>,
    /// The lines for listeners, as (name, value) in the order of the answer.
    pub echoed: Vec<(String, String)>,
    /// The nodes that the stream has come through, the nearest last: of an upstream answer's `Via`,
    /// and what [`add_via`](Self::add_via) added. Listeners are told, so that loops are seen.
    pub via: Vec<String>,
}

impl StreamInfo {
    /// Reads the lines of a source's head or of an upstream answer; names in any case.
    pub fn from_headers<'a>(headers: impl Iterator<Item = (&'a str, &'a [u8])>) -> StreamInfo {
        let lines = Lines::of(headers);
        let first = |names: &[&str]| names.iter().find_map(|name| lines.get(name).cloned());
        let of = |field: &str| {
            first(&[
                &format!("ice-{field}"),
                &format!("icy-{field}"),
                &format!("x-audiocast-{field}"),
            ])
        };
        let public = first(&["ice-public", "icy-pub", "x-audiocast-public", "icy-public"]);
        StreamInfo {
            name: of("name"),
            description: of("description"),
            url: of("url"),
            genre: of("genre"),
            public: public.map(|value| leading_number(&value) != 0),
            bitrate: first(&["ice-bitrate", "icy-br", "x-audiocast-bitrate"]),
            audio_info: lines.get("ice-audio-info").map(|raw| audio_info(raw)).unwrap_or_default(),
            echoed: lines.echoed(),
            via: lines.get("via").map(|raw| via_nodes(raw)).unwrap_or_default(),
        }
    }

    /// `channels=2;samplerate=44100`: the pairs as one line; empty when there are none.
    pub fn audio_info_line(&self) -> String {
        let pairs = self.audio_info.iter().map(|(name, value)| format!("{name}={value}"));
        pairs.collect::<Vec<_>>().join(";")
    }

    /// Whether the stream has come through this node before. No node is called "".
    pub fn passed(&self, node_id: &str) -> bool {
        !node_id.is_empty() && self.via.iter().any(|node| node == node_id)
    }

    /// Says that the stream comes through this node as well.
    pub fn add_via(&mut self, node_id: &str) {
        let node = line_of(node_id.as_bytes(), NAME_BYTES_MAX);
        if !node.is_empty() && self.via.len() < VIA_COUNT_MAX {
            self.via.push(node);
        }
    }

    /// Has the operator's name stand in place of the source's. An empty value, here and below,
    /// leaves none.
    pub fn set_name(&mut self, value: &str) {
        self.name = self.echo("icy-name", value);
    }

    /// Has the operator's description stand in place of the source's.
    pub fn set_description(&mut self, value: &str) {
        self.description = self.echo("icy-description", value);
    }

    /// Has the operator's URL stand in place of the source's.
    pub fn set_url(&mut self, value: &str) {
        self.url = self.echo("icy-url", value);
    }

    /// Has the operator's genre stand in place of the source's.
    pub fn set_genre(&mut self, value: &str) {
        self.genre = self.echo("icy-genre", value);
    }

    /// Has the operator's bit rate stand in place of the source's.
    pub fn set_bitrate(&mut self, value: &str) {
        self.bitrate = self.echo("icy-br", value);
    }

    /// Has the operator's word on publishing stand in place of the source's.
    pub fn set_public(&mut self, public: bool) {
        self.public = Some(public);
        self.echo("icy-pub", if public { "1" } else { "0" });
    }

    /// Replaces the echoed line of this name, adds it where it would stand, or takes it away.
    fn echo(&mut self, name: &str, value: &str) -> Option<String> {
        let value = line_of(value.as_bytes(), VALUE_BYTES_MAX);
        if value.is_empty() {
            self.echoed.retain(|(echoed, _)| echoed != name);
            return None;
        }
        match self.echoed.iter_mut().find(|(echoed, _)| echoed == name) {
            Some((_, old)) => old.clone_from(&value),
            None => {
                let after = self.echoed.iter().position(|(echoed, _)| echoed.as_str() > name);
                let index = after.unwrap_or(self.echoed.len());
                self.echoed.insert(index, (name.to_owned(), value.clone()));
            }
        }
        Some(value)
    }
}

/// The header lines that matter here, by lower-case name. Of repeated names the last one stands.
struct Lines(BTreeMap<String, String>);

impl Lines {
    fn of<'a>(headers: impl Iterator<Item = (&'a str, &'a [u8])>) -> Lines {
        let mut lines = BTreeMap::new();
        for (name, value) in headers {
            let is_name =
                !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.bytes().all(is_name_byte);
            let name = name.to_ascii_lowercase();
            let matters =
                ["ice-", "icy-", "x-audiocast-"].iter().any(|kind| name.starts_with(kind));
            if !is_name || !(matters || name == "via") {
                continue;
            }
            if let Some(value) = value_of(value, VALUE_BYTES_MAX) {
                // Twice the echoed count leaves room for those that are not echoed.
                if lines.len() < 2 * ECHOED_COUNT_MAX || lines.contains_key(&name) {
                    lines.insert(name, value);
                }
            }
        }
        Lines(lines)
    }

    fn get(&self, name: &str) -> Option<&String> {
        self.0.get(name)
    }

    fn echoed(&self) -> Vec<(String, String)> {
        let mut echoed: Vec<(String, String)> = Vec::new();
        for (name, value) in &self.0 {
            match name.as_str() {
                "ice-password" | "icy-metaint" => {}
                "ice-public" => echoed.push(("icy-pub".to_owned(), value.clone())),
                "ice-bitrate" => echoed.push(("icy-br".to_owned(), value.clone())),
                "ice-audio-info" => {
                    if let Some((_, rate)) = value.split_once("bitrate=")
                        && rate.starts_with(|first: char| first.is_ascii_digit())
                    {
                        echoed.push(("icy-br".to_owned(), leading_number(rate).to_string()));
                    }
                    echoed.push((name.clone(), value.clone()));
                }
                _ => {
                    if let Some(rest) = name.strip_prefix("ice-").or(name.strip_prefix("icy-")) {
                        echoed.push((format!("icy-{rest}"), value.clone()));
                    }
                }
            }
        }
        echoed.truncate(ECHOED_COUNT_MAX);
        echoed
    }
}

/// `tchar` of RFC 9110 §5.6.2.
fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// `channels=2;quality=3%2e00`: url-encoded pairs.
fn audio_info(raw: &str) -> Vec<(String, String)> {
    let decoded = |raw: &str| {
        let mut text = one_line(&String::from_utf8_lossy(&percent_decode(raw.as_bytes())));
        truncate(&mut text, VALUE_BYTES_MAX);
        text
    };
    let pairs = raw.split(';').filter_map(|pair| pair.split_once('='));
    let pairs = pairs.map(|(name, value)| (decoded(name), decoded(value)));
    pairs.filter(|(name, _)| !name.is_empty()).take(AUDIO_INFO_COUNT_MAX).collect()
}

/// The nodes of a `Via` (RFC 9110 §7.6.3): the second word of each item.
pub(crate) fn via_nodes(raw: &str) -> Vec<String> {
    let nodes = raw.split(',').filter_map(|item| item.split_ascii_whitespace().nth(1));
    nodes.take(VIA_COUNT_MAX).map(str::to_owned).collect()
}

/// What C's `atoi` makes of a value: leading digits, else 0.
pub(crate) fn leading_number(text: &str) -> u64 {
    let digits = text.trim_start().bytes().take_while(u8::is_ascii_digit);
    digits.fold(0u64, |sum, digit| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0')))
}

#[cfg(test)]
mod tests;
