//! Ogg: links, serials, false pages, orphan headers. The `ogg` crate reads what we write.

mod build;

use std::io::Cursor;

use build::{Given, laced_page, noise, opus_head, opus_link, opus_tags, page, run, run_pieces};
use media_framing::{Format, Limits};

/// A packet as the `ogg` crate reads it: serial, granule of its page, data.
type Packet = (u32, u64, Vec<u8>);

fn packets(stream: &[u8]) -> Vec<Packet> {
    let mut reader = ogg::PacketReader::new(Cursor::new(stream));
    let mut packets = Vec::new();
    while let Some(packet) = reader.read_packet().expect("sound pages, in sequence") {
        let granule = packet.absgp_page();
        packets.push((packet.stream_serial(), granule, packet.data));
    }
    packets
}

/// Serial and sequence number of each page.
fn numbers(units: &[Given]) -> Vec<(u32, u32)> {
    let field = |bytes: &[u8], at| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    units.iter().map(|unit| (field(&unit.bytes, 14), field(&unit.bytes, 18))).collect()
}

#[test]
fn every_joiner_hears_the_headers_once_and_then_contiguous_media() {
    let mut chain = opus_link(1, Some("one"), 4, 10);
    chain.extend(opus_link(2, Some("two"), 4, 20));
    let run = run(Format::Ogg, &chain, 50);
    let whole = packets(&run.whole());
    assert_eq!(whole.len(), 2 * (2 + 8));
    assert_eq!(run.titles, ["one", "two"]);
    let joins = run.joins();
    assert_eq!(joins.len(), 8, "headers are no sync units");
    for (index, join) in joins.iter().enumerate() {
        let heard = packets(join);
        let link = index / 4;
        assert_eq!(heard[..2], whole[link * 10..link * 10 + 2], "the link's own headers");
        let media = 2 + (index % 4) * 2;
        assert_eq!(heard[2..], whole[link * 10 + media..], "then all that follows");
        let headers = heard.iter().filter(|(_, _, data)| data.starts_with(b"Opus")).count();
        assert_eq!(headers, 2 * (2 - link), "none twice");
    }
}

#[test]
fn a_beginning_keeps_its_granules_and_numbers_are_ours() {
    let run = run(Format::Ogg, &opus_link(0xdead_beef, None, 3, 1), 4096);
    let whole = packets(&run.whole());
    assert_eq!(whole.last().expect("media").1, 3 * 960);
    let numbers = numbers(&run.units);
    assert!(numbers.iter().all(|(serial, _)| *serial == numbers[0].0 && *serial != 0xdead_beef));
    assert!(numbers.iter().map(|(_, sequence)| *sequence).eq(0..5));
}

/// As a pull hears it from another server: headers, then pages from the middle.
#[test]
fn a_link_met_in_its_middle_counts_from_its_first_page() {
    let hours = 5 * 3600 * 48_000;
    let packet = [&[31 << 3][..], &noise(4, 60)].concat();
    let mut link = page(2, 0, 9, 0, &[&opus_head()]);
    link.extend(page(0, 0, 9, 1, &[&opus_tags(None)]));
    for index in 0..4_u32 {
        let granule = hours + u64::from(index) * 1_920;
        link.extend(page(0, granule, 9, 700 + index, &[&packet, &packet]));
    }
    let run = run(Format::Ogg, &link, 77);
    let mut reader = ogg::PacketReader::new(Cursor::new(run.whole()));
    let mut granules = Vec::new();
    while let Ok(Some(packet)) = reader.read_packet() {
        granules.push(packet.absgp_page());
    }
    assert_eq!(granules, [0, 0, 1_920, 1_920, 3_840, 3_840, 5_760, 5_760, 7_680, 7_680]);
}

/// Theora's granules count frames, and the sound has to stay in step.
#[test]
fn a_link_of_several_streams_keeps_its_granules() {
    let mut link = page(2, 0, 1, 0, &[&opus_head()]);
    link.extend(page(2, 0, 2, 0, &[&opus_head()]));
    link.extend(page(0, 0, 1, 1, &[&opus_tags(None)]));
    link.extend(page(0, 0, 2, 1, &[&opus_tags(None)]));
    link.extend(page(0, 9_000_000, 1, 2, &[&[31 << 3, 1, 2]]));
    link.extend(page(0, 9_000_000, 2, 2, &[&[31 << 3, 1, 2]]));
    let heard = packets(&run(Format::Ogg, &link, 4096).whole());
    assert!(heard[4..].iter().all(|(_, granule, _)| *granule == 9_000_000));
}

/// An encoder that restarts without an end, with the same serial.
#[test]
fn the_same_serial_again_is_a_link_of_its_own() {
    let mut chain = opus_link(7, Some("a"), 3, 1);
    chain.extend(opus_link(7, None, 3, 2));
    let run = run(Format::Ogg, &chain, 97);
    let numbers = numbers(&run.units);
    assert_ne!(numbers[0].0, numbers[5].0);
    assert_eq!(numbers[5].1, 0);
    assert_eq!(run.counters.links, 2);
    assert_eq!(run.titles, ["a", ""], "a link without a title takes the old one back");
    assert_eq!(packets(&run.whole()).len(), 2 * 8);
}

#[test]
fn headers_without_media_reach_nobody() {
    let orphan = opus_link(1, Some("orphan"), 0, 0);
    let mut chain = orphan.repeat(3);
    chain.extend(opus_link(2, Some("heard"), 2, 5));
    let run = run(Format::Ogg, &chain, 64);
    assert_eq!(run.units.len(), 4);
    assert_eq!(run.titles, ["heard"]);
    assert_eq!(run.counters.bytes_dropped, 3 * orphan.len() as u64);
    assert_eq!(packets(&run.whole()).len(), 6);
}

#[test]
fn a_false_magic_in_a_packet_is_no_page() {
    let mut packet = noise(3, 300);
    packet[50..60].copy_from_slice(b"OggS\0\x02ABCD");
    packet[120..124].copy_from_slice(b"OggS");
    let mut link = opus_link(1, None, 1, 1);
    let start = link.len();
    link.extend(page(0, 1920, 1, 3, &[&packet]));
    link.extend(page(0, 2880, 1, 4, &[&packet]));
    let sound = run(Format::Ogg, &link, 1);
    assert_eq!((sound.units.len(), sound.counters.bytes_dropped), (5, 0));

    // The page before is damaged, so that the search runs through the packet.
    link[start + 290] ^= 1;
    let damaged = run(Format::Ogg, &link, 1);
    assert_eq!(damaged.units.len(), 4);
    assert_eq!(damaged.counters.resyncs, 1);
    let numbers = numbers(&damaged.units);
    assert_eq!(numbers.last().expect("media").1, 4, "a lost page stays a gap");
    assert!(damaged.units[3].sync);
}

#[test]
fn what_begins_in_the_middle_waits_for_a_link() {
    let link = opus_link(1, None, 3, 1);
    let mut stream = link[link.len() - 400..].to_vec();
    stream.extend(&link);
    let run = run(Format::Ogg, &stream, 33);
    assert_eq!(run.units.len(), 5);
    assert_eq!(run.counters.bytes_dropped, 400);
}

#[test]
fn a_page_that_continues_a_packet_is_no_sync_unit() {
    let packet = noise(9, 255 * 255 + 100);
    let mut link = opus_link(1, None, 1, 1);
    link.extend(laced_page(0, u64::MAX, 1, 3, &[255; 255], &packet[..255 * 255]));
    link.extend(laced_page(1, 1920, 1, 4, &[100], &packet[255 * 255..]));
    link.extend(page(0, 2880, 1, 5, &[&packet[..50]]));
    let run = run(Format::Ogg, &link, 1000);
    let sync: Vec<bool> = run.units.iter().map(|unit| unit.sync).collect();
    assert_eq!(sync, [false, false, true, true, false, true]);
}

#[test]
fn multiplexed_streams_share_one_prelude() {
    let theora_head = [b"\x80theora\x03\x02\x01".to_vec(), noise(1, 40)].concat();
    let mut link = page(2, 0, 10, 0, &[&theora_head]);
    link.extend(page(2, 0, 20, 0, &[&opus_head()]));
    link.extend(page(0, 0, 10, 1, &[b"\x81theora", b"\x82theora"]));
    link.extend(page(0, 0, 20, 1, &[&opus_tags(Some("film"))]));
    link.extend(page(0, 64, 10, 2, &[&[0x00, 1, 2]])); // a keyframe
    link.extend(page(0, 960, 20, 2, &[&noise(1, 80)]));
    link.extend(page(0, 65, 10, 3, &[&[0x40, 1, 2]]));
    link.extend(page(0, 128, 10, 4, &[&[0x30, 1, 2]])); // a keyframe
    link.extend(page(0, 960, 99, 2, &[b"of another link"]));
    let run = run(Format::Ogg, &link, 41);
    let sync: Vec<bool> = run.units.iter().map(|unit| unit.sync).collect();
    assert_eq!(sync, [false, false, false, false, true, false, false, true]);
    for join in run.joins() {
        let heard = packets(&join);
        assert!(heard[0].2.starts_with(b"\x80theora") && heard[1].2.starts_with(b"OpusHead"));
        let serials: std::collections::BTreeSet<u32> =
            heard.iter().map(|packet| packet.0).collect();
        assert_eq!(serials.len(), 2);
    }
    assert_eq!(run.titles, ["film"]);
    assert_eq!(run.audio.expect("of the Opus stream").codec, "opus");
}

#[test]
fn headers_beyond_the_limit_refuse_the_link_only() {
    let limits = Limits { header_bytes_max: 2000, ..Limits::default() };
    let mut chain = page(2, 0, 1, 0, &[&opus_head()]);
    let huge = [opus_tags(Some("huge")), noise(4, 3000)].concat();
    chain.extend(page(0, 0, 1, 1, &[&huge]));
    chain.extend(page(0, 960, 1, 2, &[&noise(5, 100)]));
    chain.extend(opus_link(2, Some("small"), 2, 1));
    let run = run_pieces(Format::Ogg, limits, chain.chunks(100));
    assert_eq!((run.counters.refused, run.counters.links), (1, 1));
    assert_eq!(run.units.len(), 4);
    assert_eq!(run.titles, ["small"]);
}

#[test]
fn a_header_lost_on_the_way_refuses_the_link() {
    let mut chain = page(2, 0, 1, 0, &[&opus_head()]);
    chain.extend(page(0, 0, 1, 2, &[&opus_tags(None)]));
    chain.extend(page(0, 960, 1, 3, &[&noise(5, 100)]));
    let run = run(Format::Ogg, &chain, 100);
    assert_eq!((run.units.len(), run.counters.refused), (0, 1));
}

/// 64 KiB are summed up for each false page; they must not be for each 27 bytes.
#[test]
fn false_pages_cost_no_more_than_they_bring() {
    let mut false_page = b"OggS".to_vec();
    false_page.extend_from_slice(&[0; 22]);
    false_page.push(255);
    let mut stream = false_page.repeat(20);
    stream.extend_from_slice(&[255; 255]);
    let stream = stream.repeat(500);
    let run = run(Format::Ogg, &stream, 16 * 1024);
    assert_eq!(run.units.len(), 0);
    assert_eq!(run.counters.bytes_dropped, stream.len() as u64);
}
