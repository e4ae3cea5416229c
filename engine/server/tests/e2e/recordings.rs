//! Recordings by the API: listed, downloaded in parts and whole, read while they are written,
//! removed by who may.

use std::process::Command;

use serde_json::Value;

use crate::harness::{Folder, Reply, Server, Setup, exchange, have, request, wait_for};
use crate::workers::{film, has_worker};

const TOKEN: &str = "a-token-of-the-test";

fn ask(server: &Server, method: &str, path: &str, lines: &[&str]) -> Reply {
    let mut lines = lines.to_vec();
    let token = format!("Authorization: Bearer {TOKEN}");
    lines.push(&token);
    Reply::parse(&exchange(server.address, request(method, path, &lines).as_bytes()))
}

fn list(server: &Server, query: &str) -> Vec<Value> {
    let reply = ask(server, "GET", &format!("/api/recordings{query}"), &[]);
    assert_eq!(reply.status, 200, "{}", reply.head);
    let answer: Value = serde_json::from_slice(&reply.body).expect("JSON");
    answer["recordings"].as_array().expect("a list").clone()
}

/// Packets of the picture in a file that need not be complete.
fn pictures_in(folder: &Folder, bytes: &[u8]) -> usize {
    let path = folder.write("got.mp4", bytes);
    let said = Command::new("ffprobe")
        .args(["-loglevel", "quiet", "-count_packets", "-select_streams", "v"])
        .args(["-show_entries", "stream=nb_read_packets", "-of", "csv=p=0"])
        .arg(&path)
        .output()
        .expect("ffprobe runs");
    String::from_utf8_lossy(&said.stdout).trim().parse().unwrap_or(0)
}

/// Several ranges come in parts of one answer.
fn check_several_ranges(server: &Server, url: &str, whole: &[u8]) {
    let parts = ask(server, "GET", url, &["Range: bytes=0-9,1000-1999,-5"]);
    assert_eq!(parts.status, 206);
    let kind = parts.header("content-type").expect("a type");
    assert!(kind.starts_with("multipart/byteranges; boundary="), "{kind}");
    assert_eq!(parts.header("cache-control"), Some("private, no-cache"));
    for piece in [&whole[..10], &whole[1000..2000], &whole[whole.len() - 5..]] {
        assert!(parts.body.windows(piece.len()).any(|window| window == piece), "each is there");
    }
    assert!(parts.body.len() < 2_000, "{} bytes of three parts", parts.body.len());
}

#[test]
fn recordings_are_listed_played_while_they_grow_and_removed_by_who_may() {
    if !has_worker() || !have(&["ffmpeg", "ffprobe"]) {
        return;
    }
    let folder = Folder::new("recordings");
    let film = film(&folder);
    let udp = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
    let rtc = udp.local_addr().expect("bound").to_string();
    drop(udp);
    let record_dir = folder.path().join("kept").display().to_string();
    let flags = ["--rtc", &rtc, "--stream", &format!("film={}", film.display())];
    let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
    let toml = format!(
        "[auth]\ntokens = [\"{TOKEN}\"]\n[workers]\nrecord_rotate_s = 6\n\
         record_motion = true\nmotion_threshold = 1\nrecord_dir = \"{record_dir}\"\n"
    );
    let server = Server::start_with(Setup { toml, flags, port: 0 });

    wait_for("a recording that grows", || {
        let rows = list(&server, "");
        assert!(rows.iter().all(|row| row["size_bytes"].as_u64() > Some(0)), "none is empty");
        let has_grown = |row: &Value| row["duration_ms"].as_u64() >= Some(2_000);
        rows.iter().any(|row| row["is_closed"] == false && has_grown(row))
    });
    let open = list(&server, "").remove(0);
    let url = open["url"].as_str().expect("a path").to_owned();
    assert_eq!((&open["stream"], &open["kind"]), (&Value::from("film"), &Value::from("recording")));
    assert_eq!(open["tracks"][0]["width"], 320, "{open}");
    assert_eq!(open["tracks"][0]["height"], 240);

    // All three ways to say the token, and none.
    assert_eq!(server.get(&url).status, 401);
    assert_eq!(server.get("/api/recordings").status, 401);
    assert_eq!(server.get(&format!("/api/recordings?token={TOKEN}")).status, 200);
    let by_query = server.get(&format!("{url}?token={TOKEN}"));
    let header = format!("X-Icey-Token: {TOKEN}");
    let line = request("GET", &url, &[&header]);
    let by_header = Reply::parse(&exchange(server.address, line.as_bytes()));
    assert_eq!((by_query.status, by_header.status), (200, 200));
    assert_eq!(by_query.header("content-type"), Some("video/mp4"));
    // It plays although nobody has closed it.
    assert!(pictures_in(&folder, &by_query.body) >= 25, "{} bytes", by_query.body.len());
    assert_eq!(ask(&server, "DELETE", &url, &[]).status, 409, "it is being written");

    // One that is closed has parts, conditions, and an end.
    wait_for("a closed one", || list(&server, "").iter().any(|row| row["is_closed"] == true));
    let closed = list(&server, "").into_iter().find(|row| row["is_closed"] == true).expect("one");
    let url = closed["url"].as_str().expect("a path").to_owned();
    assert!(closed["duration_ms"].as_u64() >= Some(5_000), "{closed}");
    let whole = ask(&server, "GET", &url, &[]);
    assert_eq!(Some(whole.body.len() as u64), closed["size_bytes"].as_u64());
    let etag = whole.header("etag").expect("a tag").to_owned();
    let head = ask(&server, "HEAD", &url, &[]);
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header("content-length"), Some(whole.body.len().to_string().as_str()));
    let if_range = format!("If-Range: {etag}");
    let part = ask(&server, "GET", &url, &["Range: bytes=1000-200999", &if_range]);
    assert_eq!(part.status, 206);
    let end = whole.body.len().min(201_000);
    assert_eq!(part.body, whole.body[1000..end]);
    check_several_ranges(&server, &url, &whole.body);
    let wrong = ask(&server, "GET", &url, &["Range: bytes=0-9", "If-Range: \"another\""]);
    assert_eq!((wrong.status, wrong.body.len()), (200, whole.body.len()));
    let same = ask(&server, "GET", &url, &[&format!("If-None-Match: {etag}")]);
    assert_eq!((same.status, same.body.len()), (304, 0));
    assert_eq!(ask(&server, "GET", &url, &["Range: bytes=999999999-"]).status, 416);

    // Nothing else in the folder, or beside it, is served.
    for path in [
        format!("{url}.json"),
        "/artifacts/../skywave.toml".to_owned(),
        "/artifacts/%2e%2e/film.mp4".to_owned(),
        "/artifacts/..%2ffilm.mp4".to_owned(),
        "/artifacts//film.mp4".to_owned(),
        "/artifacts/none.mp4".to_owned(),
    ] {
        let reply = ask(&server, "GET", &path, &[]);
        assert!(matches!(reply.status, 400 | 404), "{path}: {}", reply.status);
    }

    let line = request("DELETE", &url, &[]);
    assert_eq!(Reply::parse(&exchange(server.address, line.as_bytes())).status, 401);
    assert_eq!(ask(&server, "DELETE", &url, &[]).status, 200);
    assert_eq!(ask(&server, "GET", &url, &[]).status, 404);
    assert!(list(&server, "").iter().all(|row| row["url"] != *url));
    assert_eq!(ask(&server, "DELETE", &url, &[]).status, 404);
    assert_eq!(list(&server, "?stream=other").len(), 0);
    // What is recorded is looked at, although its source is not.
    wait_for("motion in what is recorded", || {
        let status = ask(&server, "GET", "/api/status", &[]);
        let status: Value = serde_json::from_slice(&status.body).expect("JSON");
        status["intelligence"]["vision"]["detectorEmitted"].as_u64() > Some(0)
    });
    let kept = server.metric("skywave_kept_removed_total{kind=\"recording\"}");
    assert_eq!(kept, Some(1.0));
    drop(server);
}
