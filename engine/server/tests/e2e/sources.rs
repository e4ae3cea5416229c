//! Encoders that people have: each is accepted, and what a listener who comes late hears decodes
//! without a word of complaint.

use crate::harness::{
    Listener, PASSWORD, Peer, Server, Setup, decodes, ffmpeg_source, have, media, peer, rest_ms,
    wait_for,
};

const SINE: &[&str] = &["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=44100"];
const SINE_48K: &[&str] = &["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"];

/// ffmpeg encodes; another one listens a while later.
fn ffmpeg_is_heard(mount: &str, content_type: &str, input: &[&str], output: &[&str]) {
    if !have(&["ffmpeg"]) {
        return;
    }
    let server = Server::start("");
    let _source = ffmpeg_source(&server, mount, input, output);
    rest_ms(1_500);
    decodes(&server, mount);
    let listener = Listener::open(server.address, mount, &[]);
    assert_eq!(listener.reply.header("content-type"), Some(content_type));
}

#[test]
fn ffmpeg_mp3() {
    let mp3 = ["-c:a", "libmp3lame", "-b:a", "128k", "-content_type", "audio/mpeg", "-f", "mp3"];
    ffmpeg_is_heard("/live.mp3", "audio/mpeg", SINE, &mp3);
}

#[test]
fn ffmpeg_mp3_by_the_source_method() {
    let mp3 = ["-c:a", "libmp3lame", "-b:a", "128k", "-legacy_icecast", "1", "-f", "mp3"];
    ffmpeg_is_heard("/live.mp3", "audio/mpeg", SINE, &mp3);
}

#[test]
fn ffmpeg_aac_under_the_type_of_mp3_that_it_sends_by_default() {
    let aac = ["-c:a", "aac", "-b:a", "96k", "-f", "adts"];
    ffmpeg_is_heard("/live.aac", "audio/mpeg", SINE, &aac);
}

#[test]
fn ffmpeg_aac() {
    let aac = ["-c:a", "aac", "-b:a", "96k", "-content_type", "audio/aac", "-f", "adts"];
    ffmpeg_is_heard("/live.aac", "audio/aac", SINE, &aac);
}

#[test]
fn ffmpeg_ogg_opus() {
    let opus = ["-c:a", "libopus", "-b:a", "96k", "-page_duration", "200000"];
    let output = [&opus[..], &["-content_type", "application/ogg", "-f", "ogg"]].concat();
    ffmpeg_is_heard("/live.opus", "application/ogg", SINE_48K, &output);
}

#[test]
fn ffmpeg_ogg_vorbis() {
    let vorbis = ["-c:a", "libvorbis", "-b:a", "128k", "-page_duration", "200000"];
    let output = [&vorbis[..], &["-content_type", "audio/ogg", "-f", "ogg"]].concat();
    ffmpeg_is_heard("/live.ogg", "audio/ogg", SINE, &output);
}

#[test]
fn ffmpeg_ogg_flac() {
    let flac = ["-c:a", "flac", "-page_duration", "200000"];
    let output = [&flac[..], &["-content_type", "audio/ogg", "-f", "ogg"]].concat();
    ffmpeg_is_heard("/flac.ogg", "audio/ogg", SINE, &output);
}

#[test]
fn ffmpeg_native_flac() {
    let flac = ["-c:a", "flac", "-content_type", "audio/flac", "-f", "flac"];
    ffmpeg_is_heard("/live.flac", "audio/flac", SINE, &flac);
}

#[test]
fn ffmpeg_webm_with_picture_and_sound() {
    let video = ["-f", "lavfi", "-i", "testsrc=size=160x120:rate=10"];
    let input = [SINE_48K, &video[..]].concat();
    let codecs = ["-c:v", "libvpx", "-b:v", "100k", "-g", "10", "-deadline", "realtime"];
    let sound = ["-cpu-used", "8", "-c:a", "libopus", "-b:a", "64k", "-cluster_time_limit", "1000"];
    let output = [&codecs[..], &sound[..], &["-content_type", "video/webm", "-f", "webm"]].concat();
    ffmpeg_is_heard("/live.webm", "video/webm", &input, &output);
}

#[test]
fn ffmpeg_by_chunked_put() {
    if !have(&["ffmpeg"]) {
        return;
    }
    let server = Server::start("");
    let url = format!("http://source:{PASSWORD}@{}/chunked.mp3", server.address);
    let mut args = vec!["-nostdin", "-v", "warning", "-readrate", "4"];
    args.extend_from_slice(SINE);
    args.extend_from_slice(&["-c:a", "libmp3lame", "-b:a", "128k"]);
    args.extend_from_slice(&["-method", "PUT", "-auth_type", "basic", "-send_expect_100", "0"]);
    args.extend_from_slice(&["-content_type", "audio/mpeg", "-f", "mp3", &url]);
    let _source = peer("ffmpeg", &args);
    wait_for("the mount is up", || server.mount_status("/chunked.mp3").is_some());
    rest_ms(1_500);
    decodes(&server, "/chunked.mp3");
}

#[test]
fn curl_uploads_a_file() {
    let Some(tone) = media("tone.mp3") else { return };
    if !have(&["curl"]) {
        return;
    }
    let server = Server::start("");
    let url = server.url("/upload.mp3");
    let login = format!("source:{PASSWORD}");
    let path = tone.path.to_str().expect("a readable path");
    let mut curl = peer(
        "curl",
        &[
            "-sS",
            "-u",
            &login,
            "--limit-rate",
            "64k",
            "-H",
            "Content-Type: audio/mpeg",
            "-T",
            path,
            &url,
        ],
    );
    wait_for("the mount is up", || server.mount_status("/upload.mp3").is_some());
    rest_ms(1_500);
    decodes(&server, "/upload.mp3");
    assert!(curl.is_running(), "it is still uploading: {}", curl.log());
    let limit = 2 * crate::harness::PATIENCE;
    assert!(curl.succeeds_within(limit), "a source that is done is told so: {}", curl.log());
    wait_for("the mount is gone", || server.mount_status("/upload.mp3").is_none());
}

/// libshout opens four connections: OPTIONS, `/admin/!POKE`, SOURCE without a password, SOURCE.
#[test]
fn ezstream_with_libshouts_probing() {
    let Some(tone) = media("tone.mp3") else { return };
    if !have(&["ezstream"]) {
        return;
    }
    let server = Server::start("");
    let path = tone.path.to_str().expect("a readable path");
    let port = server.address.port();
    let config = server.folder.write(
        "ezstream.xml",
        format!(
            "<ezstream><servers><server><hostname>127.0.0.1</hostname><port>{port}</port><user>source</user>\
             <password>{PASSWORD}</password></server></servers>\
             <streams><stream><mountpoint>/ez.mp3</mountpoint><format>MP3</format>\
             <stream_name>Ez</stream_name></stream></streams>\
             <intakes><intake><type>file</type><filename>{path}</filename></intake></intakes>\
             </ezstream>"
        ),
    );
    // It refuses passwords that everybody may read.
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&config, private).expect("its own file");
    let mut ezstream = peer("ezstream", &["-v", "-c", config.to_str().expect("a readable path")]);
    wait_for("the mount is up", || {
        assert!(ezstream.is_running(), "ezstream ended: {}", ezstream.log());
        server.mount_status("/ez.mp3").is_some()
    });
    wait_for("its title is there", || server.title("/ez.mp3").as_deref() == Some("Lab - Tone"));
    rest_ms(4_000);
    decodes(&server, "/ez.mp3");
    let status = server.mount_status("/ez.mp3").expect("it is up");
    assert_eq!(status["server_name"], "Ez");
}

/// Starts liquidsoap with these arguments for `output.icecast`, and waits for its title.
fn liquidsoap_is_heard(server: &Server, mount: &str, arguments: &str) -> Option<Peer> {
    let script = server.folder.write(
        "radio.liq",
        format!(
            "settings.init.allow_root.set(true)\n\
             settings.log.stdout.set(true)\n\
             s = insert_metadata(sine(440.))\n\
             thread.run(delay=1.5, {{s.insert_metadata([(\"artist\",\"Lab\"),(\"title\",\"Liq é\")])}})\n\
             output.icecast(%mp3(bitrate=128), host=\"127.0.0.1\", password=\"{PASSWORD}\", \
             name=\"Liq\", genre=\"G\", url=\"http://l/\", description=\"D\", {arguments}, s)\n"
        ),
    );
    let mut liquidsoap = peer("liquidsoap", &[script.to_str().expect("a readable path")]);
    wait_for("the mount is up", || {
        assert!(liquidsoap.is_running(), "liquidsoap ended: {}", liquidsoap.log());
        server.mount_status(mount).is_some()
    });
    wait_for("its title is there", || server.title(mount).as_deref() == Some("Lab - Liq é"));
    rest_ms(2_000);
    decodes(server, mount);
    let status = server.mount_status(mount).expect("it is up");
    assert_eq!(status["server_name"], "Liq");
    assert_eq!(status["genre"], "G");
    Some(liquidsoap)
}

#[test]
fn liquidsoap() {
    if !have(&["liquidsoap", "ffmpeg"]) {
        return;
    }
    let server = Server::start("");
    let port = server.address.port();
    liquidsoap_is_heard(&server, "/liq.mp3", &format!("port={port}, mount=\"/liq.mp3\""));
}

#[test]
fn liquidsoap_in_icy_v1() {
    if !have(&["liquidsoap", "ffmpeg"]) {
        return;
    }
    let server = Server::start_with(Setup {
        toml: "[[listen]]\naddress = \"127.0.0.1:{port}\"\nshoutcast_mount = \"/sc\"\n".into(),
        ..Setup::default()
    });
    // It adds one to the port for the stream, and sends titles to the port itself.
    let port = server.address.port();
    let arguments = format!("port={port}, protocol=\"icy\", mount=\"/sc\"");
    liquidsoap_is_heard(&server, "/sc", &arguments);
}
