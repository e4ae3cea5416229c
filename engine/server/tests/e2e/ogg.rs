//! Ogg and Matroska: whoever comes late gets the headers that are in force, also in a later link of
//! a chain, and hears numbers that begin as a decoder wants them.

use crate::harness::{Listener, Server, Source, decodes, decodes_for, media, rest_ms, wait_for};

/// Pages of an Ogg stream: flags, granule position, serial, sequence.
fn pages(bytes: &[u8]) -> Vec<(u8, i64, u32, u32)> {
    let mut pages = Vec::new();
    let mut rest = bytes;
    while rest.len() >= 27 {
        assert_eq!(&rest[..4], b"OggS", "a page follows a page");
        let segments_count = usize::from(rest[26]);
        let Some(lacing) = rest.get(27..27 + segments_count) else { break };
        let length = 27 + segments_count + lacing.iter().map(|l| usize::from(*l)).sum::<usize>();
        if rest.len() < length {
            break;
        }
        let number = |at: usize| u32::from_le_bytes(rest[at..at + 4].try_into().expect("four"));
        let granule = i64::from_le_bytes(rest[6..14].try_into().expect("eight"));
        pages.push((rest[5], granule, number(14), number(18)));
        rest = &rest[length..];
    }
    pages
}

fn play(server: &Server, mount: &str, content_type: &str, bytes: Vec<u8>, speed: usize) -> Source {
    let line = format!("Content-Type: {content_type}");
    let source = Source::attempt(server.address, mount, &[&line]).expect("accepted");
    source.play_file(bytes, speed)
}

#[test]
fn pages_of_a_late_joiner_are_numbered_from_the_first() {
    let Some(opus) = media("opus.ogg") else { return };
    let server = Server::start("");
    let _source = play(&server, "/live.opus", "audio/ogg", opus.bytes, opus.bytes_per_second * 4);
    rest_ms(2_000);
    let mut listener = Listener::open(server.address, "/live.opus", &[]);
    let pages = pages(&listener.read_exact(opus.bytes_per_second * 6));
    assert_eq!(pages[0].0 & 2, 2, "the first page begins a stream");
    assert!(pages.iter().all(|page| page.2 == pages[0].2), "one serial");
    // Behind the headers comes the page of the moment; from there on none is missing.
    let is_header = |page: &(u8, i64, u32, u32)| page.1 == 0;
    for pair in pages.windows(2).filter(|pair| !is_header(&pair[0])) {
        assert_eq!(pair[0].3.wrapping_add(1), pair[1].3, "no page is missing: {pair:?}");
    }
    let granules: Vec<i64> = pages.iter().map(|p| p.1).filter(|granule| *granule > 0).collect();
    assert!(granules.is_sorted(), "time goes on: {granules:?}");
}

#[test]
fn a_late_joiner_in_the_second_link_of_a_chain() {
    for name in ["vorbis.ogg", "opus.ogg", "flac.ogg"] {
        let Some(file) = media(name) else { return };
        let server =
            Server::start("[mount_defaults]\nwindow_bytes = 131072\nburst_bytes = 32768\n");
        // The first link is short: ten pages, the rest of them left out at a page's border.
        let first_end = nth_page(&file.bytes, 10);
        let chain = [&file.bytes[..first_end], &file.bytes[..]].concat();
        let speed = file.bytes_per_second * 4;
        let mut early = {
            let source = play(&server, "/chain.ogg", "application/ogg", chain, speed);
            let early = Listener::open(server.address, "/chain.ogg", &[]);
            rest_ms(2_500);
            let mut late = Listener::open(server.address, "/chain.ogg", &[]);
            let late_pages = pages(&late.read_exact(file.bytes_per_second));
            assert_eq!(late_pages[0].0 & 2, 2, "{name}: the first page begins a stream");
            decodes_for(&server, "/chain.ogg", "2", &[]);
            drop(source);
            early
        };
        let heard = early.read_for_ms(500);
        let begins = pages(&heard.bytes).iter().filter(|page| page.0 & 2 == 2).count();
        assert_eq!(begins, 2, "{name}: who was there from the start heard both links begin");
    }
}

/// The offset behind the nth page.
fn nth_page(bytes: &[u8], count: usize) -> usize {
    let mut at = 0;
    for _ in 0..count {
        let segments_count = usize::from(bytes[at + 26]);
        let lacing = &bytes[at + 27..at + 27 + segments_count];
        at += 27 + segments_count + lacing.iter().map(|l| usize::from(*l)).sum::<usize>();
    }
    at
}

#[test]
fn titles_of_vorbis_comments_are_taken_over_and_never_put_into_ogg() {
    let Some(vorbis) = media("vorbis.ogg") else { return };
    let server = Server::start("");
    let speed = vorbis.bytes_per_second * 2;
    let _source = play(&server, "/live.ogg", "application/ogg", vorbis.bytes, speed);
    rest_ms(1_000);
    let mut listener = Listener::open(server.address, "/live.ogg", &["Icy-MetaData: 1"]);
    assert!(listener.reply.header("icy-metaint").is_none(), "{}", listener.reply.head);
    pages(&listener.read_exact(40_000));
    let update = server.admin("/admin/metadata?mount=/live.ogg&mode=updinfo&song=x");
    assert_eq!(update.status, 200);
    decodes(&server, "/live.ogg");
}

#[test]
fn wav_and_flac_begin_with_their_headers_also_for_who_asks_for_titles() {
    for (name, content_type) in [("tone.wav", "audio/wav"), ("native.flac", "audio/flac")] {
        let Some(file) = media(name) else { return };
        let server = Server::start("");
        let speed = file.bytes_per_second * 4;
        let _source = play(&server, "/late", content_type, file.bytes, speed);
        rest_ms(1_500);
        for titles in ["0", "1"] {
            decodes_for(&server, "/late", "1", &["-icy", titles]);
        }
    }
}

#[test]
fn a_stream_that_is_not_what_it_says_is_passed_on_or_dropped_but_harms_nothing() {
    let server = Server::start("");
    for (number, content_type) in
        ["audio/mpeg", "application/ogg", "audio/flac", "video/webm"].into_iter().enumerate()
    {
        let mut state = 0x9e37_79b9_u32 + number as u32;
        let noise: Vec<u8> = (0..300_000)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            })
            .collect();
        let _source = play(&server, "/noise", content_type, noise, 300_000);
        let mut stream = crate::harness::Listener::open(server.address, "/noise", &[]);
        stream.read_for_ms(700);
        drop(_source);
        wait_for("it is gone", || server.mount_status("/noise").is_none());
    }
    assert_eq!(server.get("/health").status, 200);
}
