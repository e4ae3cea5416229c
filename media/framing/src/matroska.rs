//! Matroska and WebM (RFC 9559): headers, then clusters. A listener starts at a cluster.
//!
//! ```text
//!  in    EBML │ Segment │ SeekHead │ Info │ Tracks │ Cues │ Cluster Timecode block block … │
//!  Cluster … out   EBML │ Segment │            Info │ Tracks        │ Cluster Timecode │ block │
//!  block … │ …
//!               size unknown                                sync
//! ```
//!
//! A cluster's first unit reaches to the block that decides: its first one, or, where there is
//! video, its first of video, which must be a keyframe for the cluster to be a sync unit. What
//! points into a file (SeekHead, Cues) and tags between clusters are dropped.
//!
//! Invariants: the bytes of a cluster go out unchanged, whatever its size says; blocks longer than
//! a unit go out in pieces; nothing is held beyond `unit_bytes_max` and `header_bytes_max`.

mod element;

use bytes::Bytes;

use crate::Limits;
use crate::bits::find_marker;
use crate::output::{AudioInfo, Output};
use element::{BLOCK_GROUP, CLUSTER, EBML, INFO, SEGMENT, SIMPLE_BLOCK, TAGS, TRACKS};
use element::{Element, Read};

/// Blocks beyond the limit go out in pieces of this size.
const PIECE_BYTES: u64 = 16 * 1024;

/// Finds the clusters and blocks of a Matroska stream.
#[derive(Debug)]
pub(crate) struct Matroska {
    unit_bytes_max: u64,
    header_bytes_max: usize,
    state: State,
    /// The link's headers as they go out.
    header: Vec<u8>,
    has_tracks: bool,
    /// The headers have gone out; more of them are dropped.
    announced: bool,
    video: Option<u64>,
    audio: Option<AudioInfo>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Looking for the next headers or cluster.
    Outside,
    /// At an element beside clusters.
    Top,
    Skip {
        left: u64,
    },
    /// At a cluster, looked through up to `scanned`.
    Cluster {
        scanned: u64,
    },
    /// At an element in a cluster; `None` where the cluster's size is not known.
    Child {
        left: Option<u64>,
    },
    /// In a block longer than a unit.
    Pieces {
        left: u64,
        cluster_left: Option<u64>,
    },
}

/// Where a cluster's first unit ends.
enum FirstUnit {
    Wait,
    Malformed,
    Ends { at: u64, sync: bool },
}

impl Matroska {
    pub fn new(limits: &Limits) -> Matroska {
        Matroska {
            unit_bytes_max: limits.unit_bytes_max as u64,
            header_bytes_max: limits.header_bytes_max,
            state: State::Outside,
            header: Vec::new(),
            has_tracks: false,
            announced: false,
            video: None,
            audio: None,
        }
    }

    /// Uses up an element, a piece of one, or garbage. Returns the bytes used; 0 to wait for more.
    pub fn step(&mut self, pending: &[u8], output: &mut Output<'_>) -> usize {
        match self.state {
            State::Outside => self.outside(pending, output),
            State::Top | State::Skip { left: 0 } | State::Child { left: Some(0) } => {
                self.state = State::Top;
                self.top(pending, output)
            }
            State::Skip { left } => {
                let used = clamp(left).min(pending.len());
                self.state = State::Skip { left: left - used as u64 };
                output.dropped(used);
                used
            }
            State::Cluster { scanned } => self.cluster(pending, scanned, output),
            State::Child { left } => self.child(pending, left, output),
            State::Pieces { left: 0, cluster_left } => {
                self.state = State::Child { left: cluster_left };
                self.step(pending, output)
            }
            State::Pieces { left, cluster_left } => {
                let piece = clamp(left.min(PIECE_BYTES));
                if pending.len() < piece {
                    return 0;
                }
                output.unit(&pending[..piece], false);
                self.state = State::Pieces { left: left - piece as u64, cluster_left };
                piece
            }
        }
    }

    fn outside(&mut self, pending: &[u8], output: &mut Output<'_>) -> usize {
        let markers: [&[u8]; 2] = [&EBML.to_be_bytes(), &CLUSTER.to_be_bytes()];
        let start = find_marker(pending, &markers[..if self.has_tracks { 2 } else { 1 }]);
        if start > 0 {
            output.dropped(start);
            return start;
        }
        if pending.len() < 4 {
            return 0;
        }
        self.state = State::Top;
        self.top(pending, output)
    }

    fn top(&mut self, pending: &[u8], output: &mut Output<'_>) -> usize {
        let element = match Element::read(pending) {
            Read::Wait => return 0,
            Read::Malformed => return self.lose(output),
            Read::Is(element) => element,
        };
        match (element.id, element.size) {
            (CLUSTER, _) if self.has_tracks => {
                self.state = State::Cluster { scanned: element.head_bytes as u64 };
                self.cluster(pending, element.head_bytes as u64, output)
            }
            (SEGMENT, _) => self.segment(pending, &element, output),
            (EBML | INFO | TRACKS | TAGS, Some(size)) if element.id == EBML || !self.announced => {
                self.header_element(pending, &element, size, output)
            }
            (_, Some(size)) => {
                self.state = State::Skip { left: size };
                output.dropped(element.head_bytes);
                element.head_bytes
            }
            (_, None) => self.lose(output),
        }
    }

    /// The segment's head joins the headers with its size unknown; its body follows.
    fn segment(&mut self, pending: &[u8], element: &Element, output: &mut Output<'_>) -> usize {
        let room = self.header_bytes_max.saturating_sub(self.header.len());
        if self.announced || element.head_bytes > room {
            output.dropped(element.head_bytes);
            return element.head_bytes;
        }
        let size_bytes = element.head_bytes - element.id_bytes;
        self.header.extend_from_slice(&pending[..element.id_bytes]);
        // The length's marker, then all ones.
        self.header.push(0xff >> (size_bytes - 1));
        self.header.resize(self.header.len() + size_bytes - 1, 0xff);
        element.head_bytes
    }

    /// Adds an element to the link's headers; `EBML` begins a link.
    fn header_element(
        &mut self,
        pending: &[u8],
        element: &Element,
        size: u64,
        output: &mut Output<'_>,
    ) -> usize {
        let held = if element.id == EBML { 0 } else { self.header.len() };
        let whole = clamp(size).saturating_add(element.head_bytes);
        if whole > self.header_bytes_max.saturating_sub(held) {
            output.refused();
            self.has_tracks = false;
            return self.lose(output);
        }
        let Some(bytes) = pending.get(..whole) else { return 0 };
        if element.id == EBML {
            self.header.clear();
            self.has_tracks = false;
            self.announced = false;
        }
        self.header.extend_from_slice(bytes);
        if element.id == TRACKS {
            self.has_tracks = true;
            (self.video, self.audio) = element::tracks(&bytes[element.head_bytes..]);
        }
        whole
    }

    /// At a cluster: gives out its first unit once it is known whether a decoder may start there.
    fn cluster(&mut self, pending: &[u8], scanned: u64, output: &mut Output<'_>) -> usize {
        let Read::Is(cluster) = Element::read(pending) else { return self.lose(output) };
        let mut scanned = scanned;
        let first_unit = self.first_unit(pending, &cluster, &mut scanned);
        self.state = State::Cluster { scanned };
        let (end, sync) = match first_unit {
            FirstUnit::Wait => return 0,
            FirstUnit::Malformed => return self.lose(output),
            FirstUnit::Ends { at, sync } => (clamp(at), sync),
        };
        if !self.announced {
            self.announced = true;
            output.shared.counters.links += 1;
            output.unit(&self.header, false);
            output.prelude(Bytes::copy_from_slice(&self.header));
            if let Some(audio) = self.audio {
                output.audio(audio);
            }
        }
        output.unit(&pending[..end], sync);
        let inside = (end - cluster.head_bytes) as u64;
        self.state = State::Child { left: cluster.size.map(|size| size.saturating_sub(inside)) };
        end
    }

    fn first_unit(&self, pending: &[u8], cluster: &Element, scanned: &mut u64) -> FirstUnit {
        loop {
            let at = *scanned;
            let without_block = FirstUnit::Ends { at, sync: self.video.is_none() };
            // A place beyond what is there is waited for.
            let Some(rest) = pending.get(clamp(at)..) else { return FirstUnit::Wait };
            if cluster.whole_bytes().is_some_and(|whole| at >= whole) {
                return without_block;
            }
            let child = match Element::read(rest) {
                Read::Wait => return FirstUnit::Wait,
                Read::Malformed => return FirstUnit::Malformed,
                Read::Is(child) => child,
            };
            if element::is_top(child.id) {
                return without_block;
            }
            let Some(child_bytes) = child.whole_bytes() else { return FirstUnit::Malformed };
            let next = at.saturating_add(child_bytes);
            if cluster.whole_bytes().is_some_and(|whole| next > whole) {
                return FirstUnit::Malformed;
            }
            if matches!(child.id, SIMPLE_BLOCK | BLOCK_GROUP) {
                if self.video.is_none() {
                    return without_block;
                }
                if next <= self.unit_bytes_max || child.id == SIMPLE_BLOCK {
                    match element::block(&child, rest) {
                        Read::Wait if child_bytes > rest.len() as u64 => return FirstUnit::Wait,
                        Read::Wait | Read::Malformed => return FirstUnit::Malformed,
                        Read::Is((track, sync)) if Some(track) == self.video => {
                            return FirstUnit::Ends { at, sync };
                        }
                        Read::Is(_) => {}
                    }
                }
            }
            if next > self.unit_bytes_max {
                return without_block;
            }
            *scanned = next;
        }
    }

    fn child(&mut self, pending: &[u8], left: Option<u64>, output: &mut Output<'_>) -> usize {
        let child = match Element::read(pending) {
            Read::Wait => return 0,
            Read::Malformed => return self.lose(output),
            Read::Is(child) => child,
        };
        if left.is_none() && element::is_top(child.id) {
            self.state = State::Top;
            return self.top(pending, output);
        }
        let Some(whole) = child.whole_bytes() else { return self.lose(output) };
        let cluster_left = match left.map(|left| left.checked_sub(whole)) {
            Some(None) => return self.lose(output),
            Some(cluster_left) => cluster_left,
            None => None,
        };
        if whole > self.unit_bytes_max {
            self.state = State::Pieces { left: whole, cluster_left };
            return self.step(pending, output);
        }
        let Some(bytes) = pending.get(..clamp(whole)) else { return 0 };
        output.unit(bytes, false);
        self.state = State::Child { left: cluster_left };
        bytes.len()
    }

    /// What follows is no element: waits for headers or a cluster.
    fn lose(&mut self, output: &mut Output<'_>) -> usize {
        self.state = State::Outside;
        output.lost();
        output.dropped(1);
        1
    }
}

fn clamp(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}
