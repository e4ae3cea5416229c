//! What streams say about themselves, bounded and made safe.

use super::*;

fn info(lines: &[(&str, &str)]) -> StreamInfo {
    StreamInfo::from_headers(lines.iter().map(|(name, value)| (*name, value.as_bytes())))
}

fn echoed(info: &StreamInfo) -> Vec<String> {
    info.echoed.iter().map(|(name, value)| format!("{name}:{value}")).collect()
}

#[test]
fn all_three_spellings_are_read_and_the_first_kind_wins() {
    for kind in ["ice", "icy", "x-audiocast", "Ice", "ICY"] {
        let names = ["name", "description", "url", "genre"].map(|field| format!("{kind}-{field}"));
        let info = info(&[(&names[0], "N"), (&names[1], "D"), (&names[2], "U"), (&names[3], "G")]);
        let read = [&info.name, &info.description, &info.url, &info.genre];
        assert_eq!(read.map(|value| value.as_deref().unwrap()), ["N", "D", "U", "G"], "{kind}");
    }
    let both = info(&[("icy-name", "icy"), ("ice-name", "ice"), ("icy-br", "64")]);
    assert_eq!((both.name.as_deref(), both.bitrate.as_deref()), (Some("ice"), Some("64")));
}

#[test]
fn publicity_is_a_number_in_four_spellings() {
    let public = |name, value| info(&[(name, value)]).public;
    for name in ["ice-public", "icy-pub", "x-audiocast-public", "icy-public"] {
        assert_eq!(public(name, "1"), Some(true), "{name}");
        assert_eq!(public(name, "0"), Some(false), "{name}");
    }
    assert_eq!(public("ice-public", "yes"), Some(false));
    assert_eq!(info(&[]).public, None);
}

#[test]
fn lines_are_echoed_in_the_order_of_the_names_that_were_sent() {
    // ffmpeg's names, and what a listener of that source got.
    let ffmpeg = info(&[
        ("Icy-MetaData", "1"),
        ("Ice-Name", "N1"),
        ("Ice-Description", "D1"),
        ("Ice-URL", "http://u/"),
        ("Ice-Genre", "G1"),
        ("Ice-Public", "1"),
        ("ice-password", "secret"),
        ("icy-metaint", "8192"),
        ("x-audiocast-name", "not echoed"),
    ]);
    assert_eq!(
        echoed(&ffmpeg),
        [
            "icy-description:D1",
            "icy-genre:G1",
            "icy-name:N1",
            "icy-pub:1",
            "icy-url:http://u/",
            "icy-metadata:1"
        ]
    );
}

#[test]
fn audio_info_gives_pairs_and_a_bit_rate() {
    let liquidsoap = info(&[("ice-audio-info", "channels=2;samplerate=44100;bitrate=128")]);
    let pairs = liquidsoap.audio_info.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    assert_eq!(
        pairs.collect::<Vec<_>>(),
        [("channels", "2"), ("samplerate", "44100"), ("bitrate", "128")]
    );
    assert_eq!(
        echoed(&liquidsoap),
        ["icy-br:128", "ice-audio-info:channels=2;samplerate=44100;bitrate=128"]
    );
    assert_eq!(liquidsoap.audio_info_line(), "channels=2;samplerate=44100;bitrate=128");
    let ices = info(&[("ice-audio-info", "samplerate=0;channels=0;quality=3%2e00;;=x;y")]);
    assert_eq!(ices.audio_info[2], ("quality".to_owned(), "3.00".to_owned()));
    assert_eq!((ices.audio_info.len(), ices.echoed.len()), (3, 1));
    let many = "a=b;".repeat(100);
    assert_eq!(info(&[("ice-audio-info", &many)]).audio_info.len(), AUDIO_INFO_COUNT_MAX);
}

#[test]
fn values_are_bounded_lines_of_text() {
    let long = "é".repeat(5000);
    let info =
        info(&[("ice-name", &long), ("ice-genre", "a\r\nSet-Cookie: b\0c"), ("ice-url", " ")]);
    assert_eq!(info.name.unwrap().len(), VALUE_BYTES_MAX);
    assert_eq!(info.genre.unwrap(), "a  Set-Cookie: bc");
    assert_eq!(info.url, None);
    let latin = StreamInfo::from_headers([("ice-name", &b"Caf\xe9"[..])].into_iter());
    assert_eq!(latin.name.unwrap(), "Café");
    let names: Vec<String> = (0..500).map(|index| format!("ice-x{index:03}")).collect();
    let many = StreamInfo::from_headers(names.iter().map(|name| (name.as_str(), &b"v"[..])));
    assert_eq!(many.echoed.len(), ECHOED_COUNT_MAX);
    let odd = StreamInfo::from_headers([("ice-a b", &b"v"[..]), ("ice-a\r\nb", b"v")].into_iter());
    assert_eq!(odd, StreamInfo::default());
}

#[test]
fn the_operators_word_stands_in_place_of_the_sources() {
    let mut info = info(&[("ice-name", "N"), ("ice-url", "U"), ("icy-metadata", "1")]);
    info.set_name("Mine");
    info.set_genre("Jazz\r\nX: y");
    info.set_bitrate("128");
    info.set_public(false);
    info.set_url("");
    assert_eq!(
        echoed(&info),
        ["icy-br:128", "icy-genre:Jazz  X: y", "icy-name:Mine", "icy-pub:0", "icy-metadata:1"]
    );
    assert_eq!((info.name.as_deref(), info.url), (Some("Mine"), None));
}

#[test]
fn nodes_are_remembered_and_recognised() {
    let mut info = info(&[("Via", "1.1 a, HTTP/1.0 b (comment), broken")]);
    assert_eq!(info.via, ["a", "b"]);
    assert!(info.passed("a") && !info.passed("c") && !info.passed(""));
    info.add_via("c");
    assert!(info.passed("c"));
}
