//! Framing: a source's bytes, said to be in each format.

use media_framing::opus::{self, Heard as OpusHeard};
use media_framing::{Format, Framer, Limits, Unit};

use super::{pieces, same_for_all_cuts};

/// MPEG audio frames.
pub fn mpeg(data: &[u8]) {
    frame(Format::Mpeg, data);
}

/// AAC in ADTS frames.
pub fn adts(data: &[u8]) {
    frame(Format::Adts, data);
}

/// Ogg pages.
pub fn ogg(data: &[u8]) {
    frame(Format::Ogg, data);
}

/// FLAC blocks and frames.
pub fn flac(data: &[u8]) {
    frame(Format::Flac, data);
}

/// RIFF chunks.
pub fn wav(data: &[u8]) {
    frame(Format::Wav, data);
}

/// Matroska and WebM elements.
pub fn matroska(data: &[u8]) {
    frame(Format::Matroska, data);
}

/// Anything else.
pub fn plain(data: &[u8]) {
    frame(Format::Plain, data);
}

/// Opus into Ogg and back: the input is read as pages, and cut into packets that are written.
pub fn opus(data: &[u8]) {
    let packets = |pages: &[u8]| {
        let (mut packets, mut reader) = (0, opus::Reader::new());
        reader.push(pages, &mut |heard| {
            if let OpusHeard::Packet { bytes, samples } = heard {
                assert_eq!(opus::samples(bytes), Ok(samples));
                packets += 1;
            }
        });
        (packets, reader.counters())
    };
    packets(data);
    let (mut writer, mut pages) = (opus::Writer::new(opus::WriterConfig::default()), Vec::new());
    let mut timestamp = 0_u64;
    let mut rest = data;
    // Each packet behind two bytes: its length, and how far it is from the one before.
    while let [length, step, after @ ..] = rest {
        let (packet, after) = after.split_at(after.len().min(usize::from(*length)));
        timestamp = timestamp.wrapping_add(u64::from(*step) * 120);
        writer.push(timestamp, packet, &mut pages);
        rest = after;
    }
    writer.finish(&mut pages);
    let written = writer.counters();
    let (heard, read) = packets(&pages);
    assert_eq!(heard, written.packets + written.fillers);
    assert_eq!(read.dropped, 0);
}

/// What a listener and a late joiner would get.
#[derive(Debug, PartialEq)]
struct Heard {
    bytes: Vec<u8>,
    /// Where units begin: offset, whether a decoder may start, the prelude from here on.
    units: Vec<(usize, bool, Option<Vec<u8>>)>,
    titles: Option<String>,
    format: Format,
}

fn frame(format: Format, data: &[u8]) {
    let limits = Limits {
        unit_bytes_max: 4096,
        header_bytes_max: 4096,
        comment_bytes_max: 512,
        streams_max: 4,
    };
    // As the crate's document states it.
    let held_bytes_max = limits.unit_bytes_max.max(2 * limits.header_bytes_max) + 64 * 1024;
    same_for_all_cuts(data, |cut| {
        let mut framer = Framer::new(format, limits, 7);
        let mut heard = Heard { bytes: Vec::new(), units: Vec::new(), titles: None, format };
        let mut sink = |unit: Unit<'_>| {
            let prelude = unit.prelude.map(|prelude| prelude.to_vec());
            heard.units.push((heard.bytes.len(), unit.sync, prelude));
            heard.bytes.extend_from_slice(unit.bytes);
        };
        for piece in pieces(data, cut) {
            framer.push(piece, &mut sink);
            assert!(framer.pending_bytes() <= held_bytes_max, "more is held than is promised");
        }
        framer.finish(&mut sink);
        let counters = framer.counters();
        assert_eq!(counters.bytes_in, data.len() as u64, "every byte is counted");
        assert!(counters.sync_units <= counters.units, "a sync unit is a unit");
        heard.titles = framer.title();
        heard.format = framer.format();
        if heard.format == Format::Plain {
            // Plain bytes are passed on as they come: where they were cut, a unit begins.
            heard.units.clear();
        }
        heard
    });
}
