//! What the tests share: running a framer, joining late, and building streams by hand.
#![allow(dead_code, reason = "each test file uses its own part")]

use media_framing::{AudioInfo, Counters, Format, Framer, Limits, Unit};

/// A unit that outlives its call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    pub bytes: Vec<u8>,
    pub sync: bool,
    pub prelude: Option<Vec<u8>>,
}

/// Everything that a framer said about a stream.
pub struct Run {
    pub units: Vec<Given>,
    pub titles: Vec<String>,
    pub format: Format,
    pub counters: Counters,
    pub audio: Option<AudioInfo>,
}

impl Run {
    /// What a listener hears who was there from the start.
    pub fn whole(&self) -> Vec<u8> {
        self.units.iter().flat_map(|unit| unit.bytes.clone()).collect()
    }

    /// What each possible late joiner hears: the prelude in force, then all that follows.
    pub fn joins(&self) -> Vec<Vec<u8>> {
        let mut prelude = Vec::new();
        let mut joins: Vec<Vec<u8>> = Vec::new();
        for unit in &self.units {
            if let Some(changed) = &unit.prelude {
                prelude.clone_from(changed);
            }
            if unit.sync {
                joins.push(prelude.clone());
            }
            for join in &mut joins {
                join.extend_from_slice(&unit.bytes);
            }
        }
        joins
    }

    pub fn sync_units(&self) -> Vec<&Given> {
        self.units.iter().filter(|unit| unit.sync).collect()
    }
}

/// Frames a stream that comes in pieces of `piece_bytes`.
pub fn run(format: Format, stream: &[u8], piece_bytes: usize) -> Run {
    run_pieces(format, Limits::default(), stream.chunks(piece_bytes))
}

/// Frames a stream that comes in these pieces, and checks what must hold at any time.
pub fn run_pieces<'a>(
    format: Format,
    limits: Limits,
    pieces: impl Iterator<Item = &'a [u8]>,
) -> Run {
    let mut framer = Framer::new(format, limits, 7);
    let (mut units, mut titles) = (Vec::new(), Vec::new());
    let held_max = limits.unit_bytes_max.max(limits.header_bytes_max).max(65_307) + 16 * 1024;
    for piece in pieces {
        framer.push(piece, &mut |unit| units.push(given(unit)));
        titles.extend(framer.title());
        assert!(framer.pending_bytes() <= held_max, "held {}", framer.pending_bytes());
    }
    framer.finish(&mut |unit| units.push(given(unit)));
    titles.extend(framer.title());
    assert_eq!(framer.pending_bytes(), 0);
    let counters = framer.counters();
    assert_eq!(counters.units, units.len() as u64);
    assert!(units.iter().all(|unit| !unit.bytes.is_empty()));
    Run { units, titles, format: framer.format(), counters, audio: framer.audio() }
}

fn given(unit: Unit<'_>) -> Given {
    Given {
        bytes: unit.bytes.to_vec(),
        sync: unit.sync,
        prelude: unit.prelude.map(|prelude| prelude.to_vec()),
    }
}

/// The stream that an encoder made (see `vectors/README.md`).
pub fn vector(name: &str) -> Vec<u8> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub const VECTORS: [(&str, Format); 10] = [
    ("sine.mp3", Format::Mpeg),
    ("sine.aac", Format::Adts),
    ("sine-opus.ogg", Format::Ogg),
    ("sine-vorbis.ogg", Format::Ogg),
    ("sine-flac.ogg", Format::Ogg),
    ("pattern-theora.ogg", Format::Ogg),
    ("sine.flac", Format::Flac),
    ("sine.wav", Format::Wav),
    ("sine-opus.webm", Format::Matroska),
    ("pattern-vp8.webm", Format::Matroska),
];

/// Bytes that look like nothing in particular (xorshift).
pub fn noise(seed: u64, count: usize) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    };
    (0..count).map(|_| next()).collect()
}

/// An Ogg page, written independently of the crate: flags as in RFC 3533.
pub fn page(flags: u8, granule: u64, serial: u32, sequence: u32, packets: &[&[u8]]) -> Vec<u8> {
    let mut lacing = Vec::new();
    for packet in packets {
        lacing.extend(std::iter::repeat_n(255, packet.len() / 255));
        lacing.push((packet.len() % 255) as u8);
    }
    laced_page(flags, granule, serial, sequence, &lacing, &packets.concat())
}

/// An Ogg page with a given lacing.
pub fn laced_page(
    flags: u8,
    granule: u64,
    serial: u32,
    sequence: u32,
    lacing: &[u8],
    body: &[u8],
) -> Vec<u8> {
    let mut page = b"OggS\0".to_vec();
    page.push(flags);
    page.extend_from_slice(&granule.to_le_bytes());
    page.extend_from_slice(&serial.to_le_bytes());
    page.extend_from_slice(&sequence.to_le_bytes());
    page.extend_from_slice(&[0; 4]);
    page.push(u8::try_from(lacing.len()).unwrap());
    page.extend_from_slice(lacing);
    page.extend_from_slice(body);
    let mut sum = 0_u32;
    for byte in &page {
        sum ^= u32::from(*byte) << 24;
        for _ in 0..8 {
            sum = if sum >> 31 == 1 { sum << 1 ^ 0x04c1_1db7 } else { sum << 1 };
        }
    }
    page[22..26].copy_from_slice(&sum.to_le_bytes());
    page
}

pub fn opus_head() -> Vec<u8> {
    let mut head = b"OpusHead\x01\x02".to_vec();
    head.extend_from_slice(&312_u16.to_le_bytes());
    head.extend_from_slice(&48_000_u32.to_le_bytes());
    head.extend_from_slice(&[0; 3]);
    head
}

pub fn opus_tags(title: Option<&str>) -> Vec<u8> {
    let mut tags = b"OpusTags\x04\0\0\0test".to_vec();
    tags.extend_from_slice(&u32::from(title.is_some()).to_le_bytes());
    if let Some(title) = title {
        let entry = format!("TITLE={title}");
        tags.extend_from_slice(&u32::try_from(entry.len()).unwrap().to_le_bytes());
        tags.extend_from_slice(entry.as_bytes());
    }
    tags
}

/// An Opus link of three headers-and-media pages: head, tags, and `pages` of media with `salt`.
pub fn opus_link(serial: u32, title: Option<&str>, pages: u32, salt: u64) -> Vec<u8> {
    let mut link = page(2, 0, serial, 0, &[&opus_head()]);
    link.extend(page(0, 0, serial, 1, &[&opus_tags(title)]));
    for index in 0..pages {
        let packet = noise(salt + u64::from(index), 200);
        let granule = u64::from(index + 1) * 960;
        link.extend(page(0, granule, serial, index + 2, &[&packet, &packet[..100]]));
    }
    link
}

/// A whole MP3 frame: MPEG-1 layer III, 128 kbit/s, 44.1 kHz, filled with noise without syncs.
pub fn mp3_frame(salt: u64) -> Vec<u8> {
    let mut frame = vec![0xff, 0xfb, 0x90, 0];
    frame.extend(noise(salt, 413).iter().map(|byte| byte & 0x7f));
    frame
}

/// A whole ADTS frame of `payload` bytes: AAC-LC, 44.1 kHz, stereo.
pub fn adts_frame(salt: u64, payload: usize) -> Vec<u8> {
    let length = payload + 7;
    let mut frame = vec![0xff, 0xf1, 0x50, 0x80 | (length >> 11) as u8];
    frame.extend_from_slice(&[(length >> 3) as u8, (length << 5) as u8 | 0x1f, 0xfc]);
    frame.extend(noise(salt, payload).iter().map(|byte| byte & 0x7f));
    frame
}

/// A Matroska element with a length of eight bytes.
pub fn element(id: &[u8], body: &[u8]) -> Vec<u8> {
    let mut element = id.to_vec();
    element.extend_from_slice(&(1 << 56 | body.len() as u64).to_be_bytes());
    element.extend_from_slice(body);
    element
}
