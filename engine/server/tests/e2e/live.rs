//! Go-live: what a browser says is a mount's stream, and a mount is heard in a browser.

use std::time::Duration;

use crate::harness::{
    PASSWORD, Peer, Server, Setup, Source, decodes, ffmpeg_source, free_port, have, run_to_end,
    wait_for,
};
use crate::rtc::{Pages, own_address};

const PAGE: &str = include_str!("live/page.html");

/// A server whose stream `studio` feeds `/live.opus`, which is heard on `air`.
fn start() -> Server {
    let (ip, port) = (own_address(), free_port());
    let toml = format!(
        "[rtc]\nlisten = [\"{ip}:{port}\"]\npublish_tokens = [\"not-of-a-source\"]\n\
         [[mount]]\nname = \"/live.opus\"\nstream_name = \"On air\"\nflush_ms = 100\n\
         [[stream]]\nname = \"studio\"\nto_mount = \"/live.opus\"\n\
         [[stream]]\nname = \"air\"\nfrom_mount = \"/live.opus\"\n"
    );
    Server::start_with(Setup { toml, flags: Vec::new(), port: 0 })
}

/// The loudness of what ffmpeg hears of a mount, 1 for the loudest there is; of Opus, without a
/// word of complaint.
fn loudness(server: &Server, mount: &str) -> f64 {
    let url = server.url(mount);
    let args = ["-nostdin", "-v", "error", "-xerror", "-i", &url, "-t", "4", "-ac", "1"];
    let output = run_to_end("ffmpeg", &[&args[..], &["-f", "s16le", "-"]].concat(), PATIENCE);
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && complaint.is_empty(), "{}: {complaint}", output.status);
    let samples = output.stdout.chunks_exact(2);
    let samples: Vec<f64> =
        samples.map(|it| f64::from(i16::from_le_bytes([it[0], it[1]])) / 32_768.0).collect();
    assert!(samples.len() > 3 * 48_000, "{} samples", samples.len());
    let sum: f64 = samples.iter().map(|sample| sample * sample).sum();
    (sum / samples.len() as f64).sqrt()
}

const PATIENCE: Duration = Duration::from_secs(60);

/// The numbers that a page says behind a word.
fn numbers(pages: &Pages, name: &str, word: &str) -> Vec<f64> {
    let said = pages.said(name);
    let words = said.iter().filter_map(|text| text.strip_prefix(word)?.trim().parse().ok());
    words.collect()
}

fn has_said(pages: &Pages, name: &str, part: &str) -> bool {
    pages.said(name).iter().any(|text| text.contains(part))
}

#[test]
fn a_page_goes_live_on_a_mount() {
    if !have(&["chromium", "ffmpeg", "ffprobe"]) {
        return;
    }
    let server = start();
    let mut pages = Pages::of(&server, PAGE);
    let speak = format!("mode=speak&tone=1&whip=/whip/studio&token={PASSWORD}");
    pages.open("speaker", &speak);
    wait_for("the mount is up", || server.mount_status("/live.opus").is_some());
    // It is a source as any: named, counted, with its title, and the only one.
    let status = server.mount_status("/live.opus").expect("it is up");
    assert_eq!(status["server_name"], "On air");
    assert_eq!(status["server_type"], "audio/ogg");
    wait_for("its title is known", || server.title("/live.opus").as_deref() == Some("On air"));
    let level = loudness(&server, "/live.opus");
    assert!((0.2..0.6).contains(&level), "a sine of half the range is as loud as that: {level}");
    let url = server.url("/live.opus");
    let probe = ["-v", "error", "-show_entries", "stream=codec_name,channels:format_tags=title"];
    let probed = run_to_end("ffprobe", &[&probe[..], &["-of", "csv=p=0", &url]].concat(), PATIENCE);
    let probed = String::from_utf8_lossy(&probed.stdout).into_owned();
    assert!(probed.contains("opus,2"), "{probed}");
    let refused = Source::attempt(server.address, "/live.opus", &["Content-Type: audio/ogg"]);
    assert_eq!(refused.err().map(|reply| reply.status), Some(403));
    pages.open("second", &format!("{speak}&once=1"));
    wait_for("the second is refused", || {
        has_said(&pages, "second", "status whip 403 Mountpoint in use")
    });
    pages.open("stranger", "mode=speak&whip=/whip/studio&token=not-of-a-source&once=1");
    wait_for("who has no source's password is refused", || {
        has_said(&pages, "stranger", "status whip 401")
    });
    // The operator puts it out, and the page is told.
    let killed = server.admin("/admin/killsource?mount=/live.opus");
    assert!(killed.text().contains("Source Removed"), "{}", killed.text());
    wait_for("the page is told", || {
        has_said(&pages, "speaker", "state whip closed")
            || has_said(&pages, "speaker", "state whip disconnected")
            || has_said(&pages, "speaker", "state whip failed")
    });
    wait_for("it is gone", || {
        server.mount_status("/live.opus").is_none()
            && server.metric("skywave_rtc_publishers") == Some(0.0)
    });
}

#[test]
fn a_mount_is_heard_in_a_page_whoever_feeds_it() {
    if !have(&["chromium", "ffmpeg"]) {
        return;
    }
    let server = start();
    let source = opus_source(&server, "/live.opus", "20000");
    let mut pages = Pages::of(&server, PAGE);
    pages.open("hearer", "mode=hear&whep=/whep/air");
    let levels = || numbers(&pages, "hearer", "heard-level");
    wait_for("the page hears it", || levels().iter().filter(|level| **level > 0.05).count() >= 3);
    decodes(&server, "/live.opus");
    drop(source);
    wait_for("it is gone", || server.mount_status("/live.opus").is_none());
    // Another comes whose pages are as long as they come, and one after that.
    let before = levels().len();
    let source = opus_source(&server, "/live.opus", "1000000");
    let heard = || levels()[before..].iter().filter(|level| **level > 0.05).count();
    wait_for("the page goes on", || heard() >= 4);
    drop(source);
}

/// A tone from ffmpeg, at the pace at which it sounds.
fn opus_source(server: &Server, mount: &str, page_us: &str) -> Peer {
    let tone = ["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000,volume=6dB"];
    let codec = ["-c:a", "libopus", "-b:a", "64k", "-page_duration", page_us];
    let form = ["-f", "ogg", "-content_type", "audio/ogg"];
    ffmpeg_source(server, mount, &[&["-re"], &tone[..]].concat(), &[&codec[..], &form].concat())
}

#[test]
fn a_page_is_heard_in_a_page_by_way_of_a_mount() {
    if !have(&["chromium"]) {
        return;
    }
    let server = start();
    let mut pages = Pages::of(&server, PAGE);
    pages.open("both", &format!("whip=/whip/studio&whep=/whep/air&token={PASSWORD}"));
    wait_for("beeps are heard", || numbers(&pages, "both", "after").len() >= 8);
}

#[test]
fn what_is_no_opus_is_not_heard_in_a_page() {
    if !have(&["ffmpeg", "curl"]) {
        return;
    }
    let server = start();
    let tone = ["-re", "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"];
    let codec = ["-c:a", "libvorbis", "-f", "ogg", "-content_type", "audio/ogg"];
    let _source = ffmpeg_source(&server, "/live.opus", &tone, &codec);
    decodes(&server, "/live.opus");
    let streams = server.metric("skywave_rtc_streams").unwrap_or_default();
    assert_eq!(streams, 0.0, "nobody publishes what browsers cannot play");
    let url = server.url("/whip/air");
    let bearer = format!("Authorization: Bearer {PASSWORD}");
    let args = ["-s", "-o", "/dev/null", "-w", "%{http_code}", "-X", "POST", "-H", &bearer, &url];
    let refused = run_to_end("curl", &args, PATIENCE);
    assert_eq!(String::from_utf8_lossy(&refused.stdout), "403", "a mount is heard there");
}
