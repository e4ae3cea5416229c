//! Fallbacks: listeners go on when their source goes, and come back when it does.

use crate::harness::{
    Listener, PATIENCE, Run, Server, Source, decodes_for, have, rest_ms, runs_of, runs_with_cuts,
    wait_for,
};

const BACK_AND_FORTH: &str = "[[mount]]\nname = \"/main.mp3\"\nfallback = \"/backup.mp3\"\n\
                              fallback_override = true\n";

fn names_of(runs: &[Run]) -> Vec<u32> {
    runs.iter().map(|run| run.name).collect()
}

/// Reads until the tape of this name has been heard for some frames, all in all.
fn hear(listener: &mut Listener, bytes: &mut Vec<u8>, name: u32) {
    let marker = [b"tape".as_slice(), &name.to_be_bytes()].concat();
    let count = |bytes: &[u8]| bytes.windows(8).filter(|window| *window == marker).count();
    let heard = listener.read_until(PATIENCE, |bytes| count(bytes) > 60);
    let enough = count(&heard.bytes) > 60;
    bytes.extend(heard.bytes);
    assert!(enough, "tape {name} is not heard; closed: {}", heard.is_closed);
}

#[test]
fn listeners_go_on_with_the_fallback_and_come_back_frame_by_frame() {
    let server = Server::start(BACK_AND_FORTH);
    let _backup = Source::tape(server.address, "/backup.mp3", 2, 4.0);
    let main = Source::tape(server.address, "/main.mp3", 1, 4.0);
    rest_ms(800);
    let mut listener = Listener::open(server.address, "/main.mp3", &[]);
    let mut bytes = Vec::new();
    hear(&mut listener, &mut bytes, 1);
    drop(main);
    hear(&mut listener, &mut bytes, 2);
    let _again = Source::tape(server.address, "/main.mp3", 3, 4.0);
    hear(&mut listener, &mut bytes, 3);
    let runs = runs_of(&bytes);
    assert_eq!(names_of(&runs), [1, 2, 3], "whole frames, nothing twice, no gap: {runs:?}");
    assert!(runs[1].first > 60, "no burst of what the fallback played before: {runs:?}");
    // They are served twice a second, and come back to what is newest then.
    assert!(runs[2].first < 160, "soon after it began: {runs:?}");
}

#[test]
fn without_override_they_stay_with_the_fallback() {
    let server = Server::start("[[mount]]\nname = \"/main.mp3\"\nfallback = \"/backup.mp3\"\n");
    let _backup = Source::tape(server.address, "/backup.mp3", 2, 4.0);
    let main = Source::tape(server.address, "/main.mp3", 1, 4.0);
    rest_ms(500);
    let mut listener = Listener::open(server.address, "/main.mp3", &[]);
    let mut bytes = Vec::new();
    hear(&mut listener, &mut bytes, 1);
    drop(main);
    hear(&mut listener, &mut bytes, 2);
    let _again = Source::tape(server.address, "/main.mp3", 3, 4.0);
    bytes.extend(listener.read_for_ms(2_500).bytes);
    assert_eq!(names_of(&runs_of(&bytes)), [1, 2]);
    // A new listener hears the mount itself.
    let mut new = Listener::open(server.address, "/main.mp3", &[]);
    assert_eq!(runs_of(&new.read_exact(417 * 20))[0].name, 3);
}

#[test]
fn who_comes_while_the_source_is_away_hears_the_fallback() {
    let server = Server::start(
        "[[mount]]\nname = \"/main.mp3\"\nfallback = \"/middle.mp3\"\n\
         [[mount]]\nname = \"/middle.mp3\"\nfallback = \"/last.mp3\"\n",
    );
    assert_eq!(server.get("/main.mp3").status, 404, "nothing of the chain runs");
    let _last = Source::tape(server.address, "/last.mp3", 9, 4.0);
    wait_for("it is up", || server.mount_status("/last.mp3").is_some());
    rest_ms(300);
    let mut listener = Listener::open(server.address, "/main.mp3", &[]);
    assert_eq!(listener.reply.status, 200);
    assert_eq!(runs_of(&listener.read_exact(417 * 30))[0].name, 9);
}

#[test]
fn another_format_is_no_fallback() {
    let server = Server::start("[[mount]]\nname = \"/main.mp3\"\nfallback = \"/backup.ogg\"\n");
    let Some(ogg) = crate::harness::media("vorbis.ogg") else { return };
    let _backup = Source::attempt(server.address, "/backup.ogg", &["Content-Type: audio/ogg"])
        .expect("accepted")
        .play_file(ogg.bytes, ogg.bytes_per_second);
    let main = Source::tape(server.address, "/main.mp3", 1, 4.0);
    rest_ms(300);
    let mut listener = Listener::open(server.address, "/main.mp3", &[]);
    listener.read_exact(417 * 20);
    drop(main);
    let heard = listener.read_for_ms(5_000);
    assert!(heard.is_closed, "a player of MP3 cannot go on with Ogg");
    assert!(!heard.bytes.windows(4).any(|window| window == b"OggS"));
}

#[test]
fn titles_follow_and_blocks_keep_their_distance() {
    let server = Server::start(BACK_AND_FORTH);
    let _backup = Source::tape(server.address, "/backup.mp3", 2, 8.0);
    let main = Source::tape(server.address, "/main.mp3", 1, 8.0);
    rest_ms(500);
    for (mount, title) in [("/main.mp3", "Main"), ("/backup.mp3", "Backup")] {
        let path = format!("/admin/metadata?mount={mount}&mode=updinfo&song={title}");
        assert_eq!(server.admin(&path).status, 200);
    }
    rest_ms(500);
    let mut listener = Listener::open(server.address, "/main.mp3", &["Icy-MetaData: 1"]);
    let mut bytes = listener.read_exact(40_000);
    drop(main);
    bytes.extend(listener.read_for_ms(2_500).bytes);
    let _again = Source::tape(server.address, "/main.mp3", 3, 8.0);
    bytes.extend(listener.read_for_ms(2_500).bytes);
    let (mut audio, mut titles) = (Vec::new(), Vec::new());
    let mut rest = &bytes[..];
    while rest.len() > 16_000 {
        audio.extend_from_slice(&rest[..16_000]);
        let length = usize::from(rest[16_000]) * 16;
        let end = rest.len().min(16_001 + length);
        if length > 0 {
            let text = String::from_utf8_lossy(&rest[16_001..end]);
            titles.push(text.trim_end_matches('\0').to_owned());
        }
        rest = &rest[end..];
    }
    // Titles keep their distance, so a change may cut a frame; each stream is whole in itself.
    let runs = runs_with_cuts(&audio);
    assert_eq!(names_of(&runs), [1, 2, 3], "{runs:?}");
    assert_eq!(titles[..2], ["StreamTitle='Main';", "StreamTitle='Backup';"], "{titles:?}");
}

#[test]
fn the_change_decodes() {
    if !have(&["ffmpeg"]) {
        return;
    }
    let server = Server::start(BACK_AND_FORTH);
    let _backup = Source::tape(server.address, "/backup.mp3", 2, 2.0);
    let main = Source::tape(server.address, "/main.mp3", 1, 2.0);
    rest_ms(1_000);
    let address = server.address;
    let changing = std::thread::spawn(move || {
        rest_ms(1_000);
        drop(main);
        rest_ms(1_500);
        let again = Source::tape(address, "/main.mp3", 3, 2.0);
        rest_ms(4_000);
        drop(again);
    });
    decodes_for(&server, "/main.mp3", "9", &[]);
    changing.join().expect("it changed");
}

#[test]
fn a_flapping_source_keeps_500_listeners() {
    let server = Server::start(BACK_AND_FORTH);
    let _backup = Source::tape(server.address, "/backup.mp3", 2, 1.0);
    let mut main = Some(Source::tape(server.address, "/main.mp3", 100, 1.0));
    rest_ms(500);
    let mut crowd: Vec<Listener> =
        (0..500).map(|_| Listener::open(server.address, "/main.mp3", &[])).collect();
    for flap in 0..5 {
        drop(main.take());
        rest_ms(300);
        main = Some(Source::tape(server.address, "/main.mp3", 101 + flap, 1.0));
        rest_ms(300);
    }
    let last = [b"tape".as_slice(), &105_u32.to_be_bytes()].concat();
    for listener in &mut crowd {
        let is_back = |bytes: &[u8]| bytes.windows(8).any(|window| window == last);
        let heard = listener.read_until(PATIENCE, is_back);
        let runs = runs_of(&heard.bytes);
        assert!(!heard.is_closed, "a listener was dropped after {runs:?}");
        let names = names_of(&runs);
        assert_eq!(names.last(), Some(&105), "everyone is back: {runs:?}");
        let mains: Vec<u32> = names.into_iter().filter(|name| *name != 2).collect();
        assert!(mains.is_sorted() && mains.iter().all(|name| *name >= 100), "{runs:?}");
    }
    assert_eq!(server.metric("skywave_listeners"), Some(500.0));
}
