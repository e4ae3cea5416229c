//! Takes the titles out of a stream that has them inside: a source that announced `icy-metaint`,
//! or a pull that asked for them (Icecast 2.4.4, src/format_mp3.c, `mp3_get_filter_meta`).
//!
//! ```text
//!  | metaint bytes | n | n × 16 bytes | metaint bytes | 0 | metaint bytes | n | …
//!  |    media      |     title        |    media      |   |    media      |
//! ```
//!
//! Media passes by reference. Only a title block is copied, and only one is held.

use crate::charset::decode_undeclared;
use crate::title::Title;

/// Tells media from titles, in pieces of any size.
#[derive(Debug, Clone)]
pub struct TitleStripper {
    metaint: usize,
    place: Place,
    /// The block that is being received, without its length byte.
    block: Vec<u8>,
    /// The block before it: encoders repeat themselves.
    last_block: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
enum Place {
    /// So many media bytes are left until the length byte.
    Media(usize),
    /// So many bytes are left of the block.
    Block(usize),
}

/// A piece of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stripped<'b> {
    /// Media, never empty.
    Media(&'b [u8]),
    /// A title that is not the one before.
    Title(Title),
}

impl TitleStripper {
    /// A stream with a block behind every `metaint` media bytes; with 0 it is all media.
    pub fn new(metaint: usize) -> TitleStripper {
        let (block, last_block) = (Vec::new(), Vec::new());
        TitleStripper { metaint, place: Place::Media(metaint), block, last_block }
    }

    /// The pieces of the next bytes, in order.
    pub fn strip<'s, 'b>(&'s mut self, bytes: &'b [u8]) -> Strip<'s, 'b> {
        Strip { stripper: self, rest: bytes }
    }

    /// A block is complete: its title, if it has one that is new.
    fn finish_block(&mut self) -> Option<Title> {
        let is_news = self.block != self.last_block;
        std::mem::swap(&mut self.block, &mut self.last_block);
        self.block.clear();
        is_news.then(|| parse_block(&self.last_block)).flatten()
    }
}

/// The pieces of one [`TitleStripper::strip`]. What is not asked for is taken in when it is
/// dropped, so the stripper never loses its place.
#[derive(Debug)]
#[must_use = "the media is in here"]
pub struct Strip<'s, 'b> {
    stripper: &'s mut TitleStripper,
    rest: &'b [u8],
}

impl<'b> Iterator for Strip<'_, 'b> {
    type Item = Stripped<'b>;

    fn next(&mut self) -> Option<Stripped<'b>> {
        let stripper = &mut *self.stripper;
        // Every turn takes at least one byte.
        while !self.rest.is_empty() {
            match stripper.place {
                Place::Media(_) if stripper.metaint == 0 => {
                    return Some(Stripped::Media(std::mem::take(&mut self.rest)));
                }
                Place::Media(0) => {
                    let block_bytes = usize::from(self.rest[0]) * 16;
                    self.rest = &self.rest[1..];
                    stripper.place = match block_bytes {
                        0 => Place::Media(stripper.metaint),
                        _ => Place::Block(block_bytes),
                    };
                }
                Place::Media(left) => {
                    let (media, rest) = self.rest.split_at(left.min(self.rest.len()));
                    stripper.place = Place::Media(left - media.len());
                    self.rest = rest;
                    return Some(Stripped::Media(media));
                }
                Place::Block(left) => {
                    let (part, rest) = self.rest.split_at(left.min(self.rest.len()));
                    stripper.block.extend_from_slice(part);
                    stripper.place = Place::Block(left - part.len());
                    self.rest = rest;
                    if part.len() == left {
                        stripper.place = Place::Media(stripper.metaint);
                        if let Some(title) = stripper.finish_block() {
                            return Some(Stripped::Title(title));
                        }
                    }
                }
            }
        }
        None
    }
}

impl Drop for Strip<'_, '_> {
    fn drop(&mut self) {
        while self.next().is_some() {}
    }
}

/// The title of a block: `StreamTitle='…';StreamUrl='…';`. Values may hold quotes and semicolons:
/// one ends where `';` is followed by the end or by another field's name. `None` without a
/// `StreamTitle`, as in a block of a stream that lost its step.
fn parse_block(block: &[u8]) -> Option<Title> {
    let end = block.iter().position(|byte| *byte == 0).unwrap_or(block.len());
    let text = decode_undeclared(&block[..end]);
    let (mut title, mut url, mut rest) = (None, None, &*text);
    // One field behind the other: what looks like a field inside a value is none.
    while let Some((name, value, behind)) = next_field(rest) {
        match name {
            "StreamTitle" => title = title.or(Some(value)),
            "StreamUrl" => url = url.or(Some(value)),
            _ => {}
        }
        rest = behind;
    }
    let title = Title::new(title?);
    Some(match url {
        Some(url) => title.with_url(url),
        None => title,
    })
}

/// Name and value of the first field, and what is behind it.
fn next_field(text: &str) -> Option<(&str, &str, &str)> {
    let text = text.trim_start();
    let name = field_name(text)?;
    let value = &text[name.len() + 1..];
    let Some(value) = value.strip_prefix('\'') else {
        let (value, behind) = value.split_once(';').unwrap_or((value, ""));
        return Some((name, value, behind));
    };
    let mut ends = value.match_indices("';").map(|(at, _)| at);
    let end = ends.find(|end| {
        let behind = value[end + 2..].trim_start();
        behind.is_empty()
            || field_name(behind).is_some_and(|name| behind[name.len() + 1..].starts_with('\''))
    });
    match end {
        Some(end) => Some((name, &value[..end], &value[end + 2..])),
        // A block that was cut or badly closed: up to the last quote, else all of it.
        None => Some((name, &value[..value.rfind('\'').unwrap_or(value.len())], "")),
    }
}

/// The name, if text begins with `name=`.
fn field_name(text: &str) -> Option<&str> {
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let name = &text[..text.bytes().take_while(is_name).count()];
    (!name.is_empty() && text[name.len()..].starts_with('=')).then_some(name)
}

#[cfg(test)]
mod tests;
