//! Source heads in every dialect.

use super::*;

fn request(lines: &[(&str, &str)]) -> SourceRequest {
    let lines = lines.iter().map(|(name, value)| (*name, value.as_bytes()));
    SourceRequest::from_headers(lines, false)
}

#[test]
fn libshout_with_credentials() {
    let shout = request(&[
        ("Authorization", "Basic c291cmNlOmhhY2ttZQ=="),
        ("Host", "127.0.0.1:18000"),
        ("User-Agent", "libshout/2.4.6"),
        ("Content-Type", "application/ogg"),
        ("ice-public", "0"),
        ("ice-name", "no name"),
        ("Prefer", "return=minimal"),
    ]);
    let credentials = shout.credentials.as_ref().unwrap();
    assert_eq!((credentials.user.as_str(), credentials.password.as_str()), ("source", "hackme"));
    assert_eq!(shout.content_type.as_deref(), Some("application/ogg"));
    assert_eq!(shout.user_agent.as_deref(), Some("libshout/2.4.6"));
    assert_eq!(shout.stream.name.as_deref(), Some("no name"));
    assert!(!format!("{shout:?}").contains("hackme"), "a log holds no password");
}

#[test]
fn credentials_in_all_spellings() {
    let parse = |value: &str| {
        basic_credentials(value.as_bytes())
            .map(|found| format!("{} {}", found.user, found.password))
    };
    assert_eq!(parse("Basic Ym9iOnB3").as_deref(), Some("bob pw"));
    assert_eq!(parse("basic  Ym9iOnB3Og==").as_deref(), Some("bob pw:"));
    assert_eq!(parse("BASIC Ym9iOnB3Og").as_deref(), Some("bob pw:"), "without padding");
    assert_eq!(parse("Basic Og==").as_deref(), Some(" "));
    for wrong in ["Basic", "Basic ", "Basic Ym9i", "Basic !!!", "Digest Ym9iOnB3", "Bearer x", "é"]
    {
        assert_eq!(parse(wrong), None, "{wrong}");
    }
    assert_eq!(parse(&format!("Basic {}", "A".repeat(4000))), None);
    let old = request(&[("ice-password", "hackme")]).credentials.unwrap();
    assert_eq!((old.user.as_str(), old.password.as_str()), ("source", "hackme"));
}

#[test]
fn titles_inside_the_stream_are_announced_by_a_number() {
    let metaint = |value| request(&[("icy-metaint", value)]).metaint_in;
    assert_eq!(metaint("16000"), Some(16_000));
    for none in ["0", "", "x", "-5", "99999999999999999999999"] {
        assert_eq!(metaint(none), None, "{none}");
    }
}

#[test]
fn types_that_play_and_types_that_run_scripts() {
    let playing = [
        "audio/mpeg",
        "audio/aacp",
        "Audio/Ogg; codecs=opus",
        "application/ogg",
        "video/webm",
        "application/x-ogg",
        "audio/x-matroska",
        "video/nsv",
        "audio/vnd.wave",
        "application/mp4",
    ];
    for good in playing {
        assert!(is_supported_type(good), "{good}");
    }
    for bad in [
        "",
        "audio",
        "audio/",
        "/mpeg",
        "text/html",
        "text/javascript",
        "image/svg+xml",
        "application/xhtml+xml",
        "audio/m p",
        "audio/a\r\nb",
        "multipart/mixed",
    ] {
        assert!(!is_supported_type(bad), "{bad}");
    }
}
