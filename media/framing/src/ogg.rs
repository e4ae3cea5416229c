//! Ogg: the pages of a chain of links, renumbered once for the mount.
//!
//! ```text
//!  in    BOS A₇ │ BOS B₉ │ headers │ media … │ BOS C₇ │ headers │ media …    serials of the source
//!  out            (held)             ▲ media…             (held)  ▲ media…   our serials, one
//!  series
//!                                    │ headers as units, then: prelude = headers, in force here
//! ```
//!
//! Every logical stream of every link gets a serial of its own, counted up from the seed, and page
//! sequence numbers from 0; so an encoder that restarts, or uses a serial again, is just another
//! link. Granules of a link that comes in its middle are counted anew from its first page, once for
//! the mount: all listeners share one timeline. A link of several streams keeps its granules, since
//! they keep its streams in step.
//!
//! Invariants: no media without all of its link's headers; no headers without media; a page is
//! believed by its checksum only; a sync page begins with a packet (of Theora: with a keyframe).

pub(crate) mod page;
mod stream;
mod timeline;

use bytes::Bytes;

use crate::Limits;
use crate::output::Output;
use page::{Finder, Found, Page};
use stream::{Role, Stream};

/// Finds and renumbers pages.
#[derive(Debug)]
pub(crate) struct Ogg {
    header_bytes_max: usize,
    comment_bytes_max: usize,
    streams_max: usize,
    serial_next: u32,
    finder: Finder,
    phase: Phase,
    /// The logical streams of the current link.
    streams: Vec<Stream>,
    /// The link's header pages as they go out, and where each of them ends.
    header: Vec<u8>,
    header_ends: Vec<usize>,
    /// A title was announced, which a link without one must take back.
    titled: bool,
    /// The last bytes were no page.
    lost: bool,
    page: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Waiting for a link to begin; also where the current one is refused.
    Outside,
    /// Only pages that begin logical streams have come.
    Beginnings,
    Headers,
    Media,
}

impl Ogg {
    pub fn new(limits: &Limits, seed: u64) -> Ogg {
        Ogg {
            header_bytes_max: limits.header_bytes_max,
            comment_bytes_max: limits.comment_bytes_max,
            streams_max: limits.streams_max,
            serial_next: seed as u32,
            finder: Finder::new(),
            phase: Phase::Outside,
            streams: Vec::new(),
            header: Vec::new(),
            header_ends: Vec::new(),
            titled: false,
            lost: false,
            page: Vec::new(),
        }
    }

    /// Uses up a page or some garbage. Returns the bytes used; 0 to wait for more.
    pub fn step(&mut self, pending: &[u8], at_end: bool, output: &mut Output<'_>) -> usize {
        match self.finder.find(pending, at_end) {
            Found::Wait => 0,
            Found::Garbage(count) => {
                if !std::mem::replace(&mut self.lost, true) {
                    output.lost();
                }
                output.dropped(count);
                count
            }
            Found::Page(page) => {
                self.lost = false;
                self.take(&page, output);
                page.bytes.len()
            }
        }
    }

    fn take(&mut self, page: &Page<'_>, output: &mut Output<'_>) {
        if page.first() {
            self.begin(page, output);
        } else if self.phase == Phase::Beginnings {
            self.phase = Phase::Headers;
        }
        let known = self.streams.iter().position(|stream| stream.serial_in == page.serial());
        let Some(index) = known.filter(|_| self.phase != Phase::Outside) else {
            return output.dropped(page.bytes.len());
        };
        self.page.clear();
        let alone = self.streams.len() == 1;
        match self.streams[index].take(page, alone, &mut self.page) {
            Role::Header => self.header_page(output),
            Role::BrokenHeader => {
                output.dropped(page.bytes.len());
                self.refuse(output);
            }
            Role::Media { sync } => {
                self.start_media(output);
                let has_video = self.streams.iter().any(Stream::is_video);
                let sync = sync && (!has_video || self.streams[index].is_video());
                let heard = self.streams.iter().position(|stream| stream.audio.is_some());
                let samples = self.streams[index].samples(page).filter(|_| heard == Some(index));
                if let Some(samples) = samples {
                    output.measure(page.bytes.len(), samples);
                }
                output.unit(&self.page, sync);
            }
        }
    }

    /// A logical stream begins: in the link that is just beginning, or with a new link.
    fn begin(&mut self, page: &Page<'_>, output: &mut Output<'_>) {
        let again = self.streams.iter().any(|stream| stream.serial_in == page.serial());
        if self.phase != Phase::Beginnings || again {
            self.forget(output);
            self.phase = Phase::Beginnings;
        }
        if self.streams.len() >= self.streams_max {
            return self.refuse(output);
        }
        self.serial_next = self.serial_next.wrapping_add(1);
        self.streams.push(Stream::new(page, self.serial_next, self.comment_bytes_max));
    }

    fn header_page(&mut self, output: &mut Output<'_>) {
        if self.header.len() + self.page.len() > self.header_bytes_max {
            output.dropped(self.page.len());
            return self.refuse(output);
        }
        self.header.extend_from_slice(&self.page);
        self.header_ends.push(self.header.len());
        if self.phase == Phase::Media {
            // A stream whose headers come late. Those who listen hear them now, others with the
            // prelude from the next unit on.
            output.unit(&self.page, false);
            output.prelude(Bytes::copy_from_slice(&self.header));
        }
    }

    /// The link's first media: its headers go out, and it takes force.
    fn start_media(&mut self, output: &mut Output<'_>) {
        if self.phase == Phase::Media {
            return;
        }
        self.phase = Phase::Media;
        let mut start = 0;
        for end in &self.header_ends {
            output.unit(&self.header[start..*end], false);
            start = *end;
        }
        output.prelude(Bytes::copy_from_slice(&self.header));
        output.shared.counters.links += 1;
        if let Some(audio) = self.streams.iter().find_map(|stream| stream.audio) {
            output.audio(audio);
        }
        let titles = || self.streams.iter().filter_map(|stream| stream.title.as_ref());
        let title = titles().flatten().next().cloned();
        if self.titled || title.is_some() {
            self.titled = title.is_some();
            output.title(title.unwrap_or_default());
        }
    }

    /// The current link is not to be heard, or not any more.
    fn refuse(&mut self, output: &mut Output<'_>) {
        output.refused();
        self.forget(output);
    }

    fn forget(&mut self, output: &mut Output<'_>) {
        if matches!(self.phase, Phase::Beginnings | Phase::Headers) {
            output.dropped(self.header.len());
        }
        self.phase = Phase::Outside;
        self.streams.clear();
        self.header.clear();
        self.header_ends.clear();
    }
}
