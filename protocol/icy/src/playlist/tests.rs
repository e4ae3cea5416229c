//! The playlists, whole, as the captures have them.

use super::*;

fn info() -> StreamInfo {
    let lines = [
        ("ice-name", &b"N1"[..]),
        ("ice-description", b"D1"),
        ("ice-genre", b"G1"),
        ("ice-url", b"http://u/"),
    ];
    StreamInfo::from_headers(lines.into_iter())
}

fn render(kind: Playlist, info: &StreamInfo, title: Option<&Title>) -> String {
    let track = PlaylistTrack {
        listen_url: "http://localhost:8000/live.mp3",
        content_type: "audio/mpeg",
        info,
        title,
        listener_count: 1,
        listener_peak: 1,
    };
    playlist(kind, &[track])
}

#[test]
fn paths_name_a_mount_and_a_kind() {
    assert_eq!(Playlist::of_path("/live.mp3.m3u"), Some(("/live.mp3", Playlist::M3u)));
    assert_eq!(Playlist::of_path("/live.pls"), Some(("/live", Playlist::Pls)));
    assert_eq!(Playlist::of_path("/a/b.xspf"), Some(("/a/b", Playlist::Xspf)));
    assert_eq!(Playlist::of_path("/a.vclt"), Some(("/a", Playlist::Vclt)));
    for none in ["/live.mp3", "/.m3u", ".m3u", "", "/m3u", "x.m3u"] {
        assert_eq!(Playlist::of_path(none), None, "{none}");
    }
}

#[test]
fn m3u_and_vclt_are_icecasts() {
    assert_eq!(render(Playlist::M3u, &info(), None), "http://localhost:8000/live.mp3\r\n");
    // The title as the capture has it: encoded twice, because its charset was not declared.
    let title = Title::new("Artist - Title Ã©");
    let vclt = render(Playlist::Vclt, &info(), Some(&title));
    assert_eq!(
        vclt,
        "STREAMURL=http://localhost:8000/live.mp3\nTITLE=Artist - Title Ã©\nSERVER_NAME=N1\n\
         DESCRIPTION=D1\nSIGNALINFO=\nGENRE=G1\n==\n"
    );
    assert_eq!(vclt.len(), 121, "the Content-Length of the capture");
}

#[test]
fn xspf_is_as_long_as_icecasts() {
    let title = Title::new("Artist - Title Ã©");
    let xspf = render(Playlist::Xspf, &info(), Some(&title));
    assert!(xspf.starts_with(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <playlist xmlns=\"http://xspf.org/ns/0/\" version=\"1\">\n  <title/>\n  <creator/>\n  \
         <trackList>\n    <track>\n      \
         <location>http://localhost:8000/live.mp3</location>\n      <title>Art"
    ));
    assert_eq!(xspf.len(), 461, "the Content-Length of the capture:\n{xspf}");
    assert!(playlist(Playlist::Xspf, &[]).contains("<trackList/>"));
}

#[test]
fn pls() {
    assert_eq!(
        render(Playlist::Pls, &info(), None),
        "[playlist]\r\nNumberOfEntries=1\r\nFile1=http://localhost:8000/live.mp3\r\n\
         Title1=N1\r\nLength1=-1\r\nVersion=2\r\n"
    );
}

#[test]
fn markup_and_line_ends_of_a_source_stay_text() {
    let mut info = info();
    info.set_name("<script>&\"");
    let title = Title::new("</title>");
    let xspf = render(Playlist::Xspf, &info, Some(&title));
    assert!(xspf.contains("&lt;script&gt;&amp;&quot;") && xspf.contains("&lt;/title&gt;"));
    assert_eq!(listen_url("http://h:8000/", "/a b\r\nc.mp3"), "http://h:8000/a%20b%0D%0Ac.mp3");
}
