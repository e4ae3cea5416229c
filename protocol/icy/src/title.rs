//! Titles, and the blocks that carry them between the audio bytes.
//!
//! ```text
//!  | n | StreamTitle='artist - title';StreamUrl='http://…'; 0 0 … |      n × 16 bytes behind n
//!  | 0 |                                                                 unchanged
//! ```
//!
//! The block has no escape, and players end a value at its first `';`. So a title could add fields
//! of its own. Here a quote before a semicolon is written as U+2019, which looks the same; a quote
//! of the URL is written as `%27`. At least one NUL ends every block (Icecast 2.4.4,
//! src/format_mp3.c, `mp3_set_title`): players in C look for it.

use crate::charset::Charset;
use crate::text::{one_line, truncate};

/// Longest block with its length byte: 255 times 16, and one.
pub const TITLE_BLOCK_BYTES_MAX: usize = 255 * 16 + 1;
/// The block that says that the title has not changed.
pub const TITLE_UNCHANGED: [u8; 1] = [0];

const URL_BYTES_MAX: usize = 1000;
/// Leaves room in a block for the names of the fields, the URL and a NUL.
const TEXT_BYTES_MAX: usize = 3000;

/// What is playing. Holds no control characters and always fits a block.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Title {
    text: String,
    url: Option<String>,
}

impl Title {
    /// Makes a title of any text: line ends become blanks, control characters go, and what does
    /// not fit a block is cut.
    pub fn new(text: impl AsRef<str>) -> Title {
        let mut text = one_line(text.as_ref());
        truncate(&mut text, TEXT_BYTES_MAX);
        Title { text, url: None }
    }

    /// The usual ` - ` between artist and title; either may be missing.
    pub fn of_artist(artist: &str, title: &str) -> Title {
        match (artist.trim(), title.trim()) {
            ("", title) => Title::new(title),
            (artist, "") => Title::new(artist),
            (artist, title) => Title::new(format!("{artist} - {title}")),
        }
    }

    /// The same with a URL: of the song, of its cover. An empty one is none, and so is one that is
    /// too long, because half a URL is worse than none.
    #[must_use]
    pub fn with_url(mut self, url: &str) -> Title {
        let url = one_line(url).replace('\'', "%27");
        self.url = Some(url).filter(|url| !url.is_empty() && url.len() <= URL_BYTES_MAX);
        self
    }

    /// The text, as statistics show it. May be empty.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The URL.
    pub fn url(&self) -> Option<&str> {
        self.url.as_deref()
    }

    /// Whether nothing is known to be playing.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty() && self.url.is_none()
    }
}

/// The whole block in UTF-8, length byte included. An empty title gives `StreamTitle='';`.
pub fn title_block(title: &Title) -> Vec<u8> {
    title_block_in(title, Charset::UTF_8)
}

/// The block in another character set, for players of that age.
pub fn title_block_in(title: &Title, charset: Charset) -> Vec<u8> {
    let mut fields = String::with_capacity(title.text.len() + 64);
    fields.push_str("StreamTitle='");
    let mut text = title.text.replace("';", "’;");
    truncate(&mut text, TEXT_BYTES_MAX);
    fields.push_str(&text);
    fields.push_str("';");
    if let Some(url) = &title.url {
        fields.push_str("StreamUrl='");
        fields.push_str(url);
        fields.push_str("';");
    }
    let fields = charset.encode(&fields);
    // A multi-byte character set may need more than UTF-8 did; then UTF-8 it is.
    if fields.len() >= TITLE_BLOCK_BYTES_MAX - 1 {
        return title_block(title);
    }
    let units_count = fields.len() / 16 + 1;
    let mut block = Vec::with_capacity(1 + units_count * 16);
    block.push(u8::try_from(units_count).expect("a title fits a block"));
    block.extend_from_slice(&fields);
    block.resize(1 + units_count * 16, 0);
    block
}

const FIELD_NAMES_BYTES: usize = "StreamTitle='';StreamUrl='';".len();
const _: () =
    assert!(TEXT_BYTES_MAX + URL_BYTES_MAX + FIELD_NAMES_BYTES < TITLE_BLOCK_BYTES_MAX - 1);

#[cfg(test)]
mod tests;
