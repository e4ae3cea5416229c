//! What is written is read again, by our own framer too, and gaps are filled.

use proptest::prelude::*;

use super::*;
use crate::{Format, Framer, Limits, Unit};

/// 20 ms of CELT, full band, mono, with a number to know it by.
fn packet(number: u8) -> Vec<u8> {
    vec![31 << 3, number, 1, 2, 3]
}

fn read(pages: &[u8]) -> (Vec<Vec<u8>>, Vec<Head>, ReaderCounters) {
    let (mut packets, mut heads, mut reader) = (Vec::new(), Vec::new(), Reader::new());
    reader.push(pages, &mut |heard| match heard {
        Heard::Link(head) => heads.push(head),
        Heard::Packet { bytes, .. } => packets.push(bytes.to_vec()),
    });
    (packets, heads, reader.counters())
}

fn granules(pages: &[u8]) -> Vec<u64> {
    let starts = (0..pages.len()).filter(|at| pages[*at..].starts_with(b"OggS\0"));
    starts.map(|at| u64::from_le_bytes(pages[at + 6..at + 14].try_into().expect("8"))).collect()
}

#[test]
fn packets_come_back_from_pages_of_a_tenth_of_a_second() {
    let mut writer = Writer::new(WriterConfig::default());
    let mut pages = Vec::new();
    let sent: Vec<Vec<u8>> = (0..12).map(packet).collect();
    for (number, packet) in sent.iter().enumerate() {
        writer.push(7_000 + number as u64 * 960, packet, &mut pages);
    }
    assert!(writer.is_open());
    writer.finish(&mut pages);
    let (packets, heads, counters) = read(&pages);
    assert_eq!(packets, sent);
    assert_eq!(heads, [Head { channels_count: 2, is_plain: true }]);
    assert_eq!((counters.links, counters.dropped), (1, 0));
    // Head, tags, two whole pages and the rest.
    assert_eq!(granules(&pages), [0, 0, 4_800, 9_600, 11_520]);
}

#[test]
fn what_did_not_come_is_filled_and_the_granule_counts_it() {
    let mut writer = Writer::new(WriterConfig::default());
    let mut pages = Vec::new();
    writer.push(0, &packet(0), &mut pages);
    // Three packets and 2.5 ms are missing.
    writer.push(960 * 4 + 120, &packet(1), &mut pages);
    // It goes back, and then far ahead: nothing is filled.
    writer.push(10, &packet(2), &mut pages);
    writer.push(10_000_000, &packet(3), &mut pages);
    writer.flush(&mut pages);
    let (packets, ..) = read(&pages);
    let lengths: Vec<usize> = packets.iter().map(Vec::len).collect();
    assert_eq!(lengths, [5, 1, 1, 1, 1, 5, 5, 5]);
    assert_eq!(granules(&pages).last(), Some(&(960 * 7 + 120)));
    let counters = writer.counters();
    assert_eq!((counters.fillers, counters.jumps), (4, 2));
}

#[test]
fn another_source_goes_on_where_the_first_ended() {
    let mut writer = Writer::new(WriterConfig::default());
    let mut pages = Vec::new();
    writer.push(1_000, &packet(0), &mut pages);
    writer.restart();
    writer.push(5_000, &packet(1), &mut pages);
    writer.flush(&mut pages);
    assert_eq!(granules(&pages).last(), Some(&1_920));
    assert_eq!(writer.counters().fillers, 0);
}

#[test]
fn our_framer_hears_the_title_and_a_place_to_start_on_each_page() {
    let comments = vec![("TITLE", "On air".to_owned()), ("ARTIST", "Somebody".to_owned())];
    let mut writer = Writer::new(WriterConfig { comments, ..WriterConfig::default() });
    let mut pages = Vec::new();
    for number in 0..15 {
        writer.push(u64::from(number) * 960, &packet(number), &mut pages);
    }
    let mut framer = Framer::new(Format::Ogg, Limits::default(), 1);
    let (mut reader, mut packets, mut syncs) = (Reader::new(), 0, 0);
    framer.push(&pages, &mut |unit: Unit<'_>| {
        syncs += usize::from(unit.sync);
        reader.push(unit.bytes, &mut |heard| {
            packets += usize::from(matches!(heard, Heard::Packet { .. }));
        });
    });
    assert_eq!((syncs, packets), (3, 15));
    assert_eq!(framer.title().as_deref(), Some("Somebody - On air"));
    assert_eq!(framer.audio().map(|audio| audio.codec), Some("opus"));
}

#[test]
fn a_packet_over_several_pages_is_whole_or_none() {
    // One packet of a page and a half, by hand: 255 full values, then one more page.
    let long: Vec<u8> = std::iter::once(31 << 3).chain((0..1_200).map(|it| it as u8)).collect();
    let mut writer = Writer::new(WriterConfig { page_samples: 1, ..WriterConfig::default() });
    let mut pages = Vec::new();
    writer.push(0, &long, &mut pages);
    let at = pages.windows(4).rposition(|it| it == b"OggS").expect("a page");
    let (headers, page) = pages.split_at(at);
    let lacing = &page[27..27 + usize::from(page[26])];
    let body = &page[27 + lacing.len()..];
    let part = |flags: u8, sequence: u32, lacing: &[u8], body: &[u8]| {
        let mut page = b"OggS\0".to_vec();
        page.push(flags);
        page.extend_from_slice(&u64::MAX.to_le_bytes());
        page.extend_from_slice(&1_u32.to_le_bytes());
        page.extend_from_slice(&sequence.to_le_bytes());
        page.extend_from_slice(&[0; 4]);
        page.push(lacing.len() as u8);
        page.extend_from_slice(lacing);
        page.extend_from_slice(body);
        let checksum = crate::ogg::page::checksum_of(&page);
        page[22..26].copy_from_slice(&checksum.to_le_bytes());
        page
    };
    let first = part(0, 2, &lacing[..2], &body[..510]);
    let second = part(1, 3, &lacing[2..], &body[510..]);
    let (packets, ..) = read(&[headers, &first, &second].concat());
    assert_eq!(packets, [&long[..]]);
    let (packets, _, counters) = read(&[headers, &second, &first].concat());
    assert_eq!((packets.len(), counters.dropped), (0, 1));
}

#[test]
fn other_streams_are_not_heard() {
    let mut vorbis = vec![0_u8; 30];
    vorbis[..7].copy_from_slice(b"\x01vorbis");
    let (packets, heads, _) = read(&vorbis);
    assert_eq!((packets.len(), heads.len()), (0, 0));
}

proptest! {
    #[test]
    fn any_packets_and_times_make_pages_that_are_read_again(
        packets in proptest::collection::vec(
            (any::<u64>(), proptest::collection::vec(any::<u8>(), 0..600)), 0..20,
        ),
    ) {
        let mut writer = Writer::new(WriterConfig::default());
        let mut pages = Vec::new();
        for (timestamp, packet) in &packets {
            writer.push(timestamp % 1_000_000, packet, &mut pages);
        }
        writer.finish(&mut pages);
        let counters = writer.counters();
        let (heard, _, read) = read(&pages);
        prop_assert_eq!(heard.len() as u64, counters.packets + counters.fillers);
        prop_assert_eq!(read.dropped, 0);
    }

    #[test]
    fn no_bytes_make_the_reader_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..400), cut in 0_usize..200,
    ) {
        let mut writer = Writer::new(WriterConfig::default());
        let mut pages = Vec::new();
        for number in 0..10 {
            writer.push(u64::from(number) * 960, &packet(number), &mut pages);
        }
        let mut broken = pages[cut.min(pages.len())..].to_vec();
        broken.extend_from_slice(&bytes);
        broken.extend_from_slice(&pages);
        let mut reader = Reader::new();
        reader.push(&broken, &mut |_| ());
        reader.push(&bytes, &mut |_| ());
    }
}
