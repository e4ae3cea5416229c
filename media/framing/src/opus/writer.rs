//! Packets with timestamps into the pages of one logical stream (RFC 7845 §3 to §5).
//!
//! ```text
//! page 0: OpusHead │ page 1: OpusTags │ page 2 …: packets; granule = samples so far
//! ```
//!
//! The stream comes from its middle, mostly: a decoder needs 80 ms until it is right, and is told
//! to leave them out (§4.2). What is missing between two packets, lost or never sent because there
//! was silence, is filled with packets that ask for concealment (§4.1), so that listeners
//! keep time.
//!
//! *Invariants:* a granule grows by what its page's packets last, and by nothing else. What waits
//! is //! less than a page, and a gap that is filled is bounded.

use super::packet::{self, SAMPLES_MIN};
use crate::ogg::page::{HEADER_BYTES, MAGIC, checksum_of};

/// What a decoder leaves out at the beginning, samples (RFC 7845 §4.2).
const PRE_SKIP_SAMPLES: u16 = 3_840;
/// Lacing values of a page, of which a packet of the longest needs a few (RFC 3533 §6).
const LACING_MAX: usize = 255;
/// The longest packet that is taken, bytes: 120 ms in frames of any size.
const PACKET_BYTES_MAX: usize = 61_298;

const FIRST: u8 = 2;
const LAST: u8 = 4;

/// What is to be written.
#[derive(Clone, Debug)]
pub struct WriterConfig {
    /// The logical stream's number.
    pub serial: u32,
    /// Channels of a decoder, 1 or 2. A packet may have fewer; all are played on these.
    pub channels_count: u8,
    /// A page is closed when it is so long, in samples; it is what a listener waits for.
    pub page_samples: u32,
    /// A longer gap is no loss: what comes behind it follows at once. In samples.
    pub gap_samples_max: u32,
    /// Comments, each a name in capitals and a value, such as `TITLE`.
    pub comments: Vec<(&'static str, String)>,
}

impl Default for WriterConfig {
    fn default() -> WriterConfig {
        WriterConfig {
            serial: 1,
            channels_count: 2,
            page_samples: 4_800,
            gap_samples_max: 5 * packet::SAMPLE_RATE_HZ,
            comments: Vec::new(),
        }
    }
}

/// What a writer has seen. All only rise.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct WriterCounters {
    /// Packets written.
    pub packets: u64,
    /// Packets that ask for concealment, written for what did not come.
    pub fillers: u64,
    /// Pages written, those of headers among them.
    pub pages: u64,
    /// What was no packet of Opus, and was dropped.
    pub malformed: u64,
    /// Timestamps that went back, or too far ahead to fill what is between.
    pub jumps: u64,
}

/// Makes the pages.
#[derive(Debug)]
pub struct Writer {
    config: WriterConfig,
    sequence: u32,
    granule: u64,
    /// The timestamp that follows, and the first byte of the last packet.
    last: Option<(u64, u8)>,
    lacing: Vec<u8>,
    body: Vec<u8>,
    samples: u32,
    counters: WriterCounters,
}

impl Writer {
    /// One that has written nothing; the headers come with the first packet.
    #[must_use]
    pub fn new(config: WriterConfig) -> Writer {
        Writer {
            config,
            sequence: 0,
            granule: 0,
            last: None,
            lacing: Vec::new(),
            body: Vec::new(),
            samples: 0,
            counters: WriterCounters::default(),
        }
    }

    /// Takes the next packet, which begins at `timestamp`, in samples. Whole pages go to `out`.
    pub fn push(&mut self, timestamp: u64, packet: &[u8], out: &mut Vec<u8>) {
        let (Ok(samples), Some(toc)) = (packet::samples(packet), packet.first().copied()) else {
            self.counters.malformed += 1;
            return;
        };
        if packet.len() > PACKET_BYTES_MAX {
            self.counters.malformed += 1;
            return;
        }
        if self.sequence == 0 {
            self.headers(out);
        }
        if let Some((expected, last_toc)) = self.last {
            self.bridge(timestamp, expected, last_toc, out);
        }
        self.last = Some((timestamp.wrapping_add(u64::from(samples)), toc));
        self.append(packet, samples, out);
        self.counters.packets += 1;
    }

    /// Other timestamps follow, which have nothing to do with those before.
    pub fn restart(&mut self) {
        self.last = None;
    }

    /// Whether a page is open that nobody has yet.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.lacing.is_empty()
    }

    /// Closes the open page, however short it is: nothing else has come in time.
    pub fn flush(&mut self, out: &mut Vec<u8>) {
        if self.is_open() {
            self.close_page(0, out);
        }
    }

    /// Ends the logical stream. What is open is its last page.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if self.is_open() {
            self.close_page(LAST, out);
        }
    }

    /// What was seen.
    #[must_use]
    pub fn counters(&self) -> WriterCounters {
        self.counters
    }

    /// Fills what is missing before a packet.
    fn bridge(&mut self, timestamp: u64, expected: u64, last_toc: u8, out: &mut Vec<u8>) {
        let ahead = timestamp.wrapping_sub(expected);
        match u32::try_from(ahead) {
            Ok(gap) if gap <= self.config.gap_samples_max => {
                if gap >= SAMPLES_MIN {
                    for (toc, samples) in packet::fillers(last_toc, gap) {
                        self.append(&[toc], samples, out);
                        self.counters.fillers += 1;
                    }
                }
            }
            _ => self.counters.jumps += 1,
        }
    }

    fn append(&mut self, packet: &[u8], samples: u32, out: &mut Vec<u8>) {
        let values = packet.len() / 255 + 1;
        if self.lacing.len() + values > LACING_MAX {
            self.flush(out);
        }
        lace(packet, &mut self.lacing, &mut self.body);
        self.samples += samples;
        if self.samples >= self.config.page_samples {
            self.flush(out);
        }
    }

    fn close_page(&mut self, flags: u8, out: &mut Vec<u8>) {
        self.granule += u64::from(self.samples);
        self.samples = 0;
        let (lacing, body) = (std::mem::take(&mut self.lacing), std::mem::take(&mut self.body));
        self.page(flags, self.granule, &lacing, &body, out);
    }

    fn headers(&mut self, out: &mut Vec<u8>) {
        // RFC 7845 §5.1: version 1, no gain, mapping family 0.
        let mut head = b"OpusHead\x01".to_vec();
        head.push(self.config.channels_count.clamp(1, 2));
        head.extend_from_slice(&PRE_SKIP_SAMPLES.to_le_bytes());
        head.extend_from_slice(&packet::SAMPLE_RATE_HZ.to_le_bytes());
        head.extend_from_slice(&[0, 0, 0]);
        // §5.2: a vendor, then comments.
        let mut tags = b"OpusTags".to_vec();
        put_text(&mut tags, "Skywave");
        let count = self.config.comments.len().min(COMMENTS_MAX);
        tags.extend_from_slice(&(count as u32).to_le_bytes());
        for (name, value) in &self.config.comments[..count] {
            put_text(&mut tags, &format!("{name}={value}"));
        }
        for (flags, packet) in [(FIRST, head), (0, tags)] {
            let (mut lacing, mut body) = (Vec::new(), Vec::new());
            lace(&packet, &mut lacing, &mut body);
            self.page(flags, 0, &lacing, &body, out);
        }
    }

    fn page(&mut self, flags: u8, granule: u64, lacing: &[u8], body: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        out.reserve(HEADER_BYTES + lacing.len() + body.len());
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&[0, flags]);
        out.extend_from_slice(&granule.to_le_bytes());
        out.extend_from_slice(&self.config.serial.to_le_bytes());
        out.extend_from_slice(&self.sequence.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.push(lacing.len() as u8);
        out.extend_from_slice(lacing);
        out.extend_from_slice(body);
        let checksum = checksum_of(&out[start..]);
        out[start + 22..start + 26].copy_from_slice(&checksum.to_le_bytes());
        self.sequence = self.sequence.wrapping_add(1);
        self.counters.pages += 1;
    }
}

/// The longest comment, and how many there may be: both headers are a page each.
const COMMENT_BYTES_MAX: usize = 1_024;
const COMMENTS_MAX: usize = 16;

/// Appends a text behind its length.
fn put_text(out: &mut Vec<u8>, text: &str) {
    let text = &text[..text.floor_char_boundary(COMMENT_BYTES_MAX)];
    out.extend_from_slice(&(text.len() as u32).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// Appends a packet to a page: full values of 255, then what is left, which may be nothing.
fn lace(packet: &[u8], lacing: &mut Vec<u8>, body: &mut Vec<u8>) {
    lacing.resize(lacing.len() + packet.len() / 255, 255);
    lacing.push((packet.len() % 255) as u8);
    body.extend_from_slice(packet);
}
