//! What happens to a stream is told: to a room of signalling, to subscribers, to a webhook, and in
//! a log. The stream is a film in which something moves and something that sounds like a voice is
//! heard.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};

use serde_json::{Value, json};
use tungstenite::Message;

use crate::harness::{Folder, Listener, PATIENCE, Server, Setup, have, request, wait_for};
use crate::workers::has_worker;

const TOKEN: &str = "a-token-of-the-test";
const SECRET: &str = "a-secret-of-both";

/// A white box jumps to and fro, and noise in the band of voices comes and goes.
fn film(folder: &Folder) -> PathBuf {
    let path = folder.path().join("moving.mp4");
    let made = Command::new("ffmpeg")
        .args(["-nostdin", "-loglevel", "error", "-f", "lavfi", "-i"])
        .arg("color=black:size=320x240:rate=25:duration=4")
        .args(["-f", "lavfi", "-i", "color=white:size=160x160:rate=25:duration=4"])
        .args([
            "-f",
            "lavfi",
            "-i",
            "anoisesrc=color=pink:amplitude=0.9:duration=4:sample_rate=48000",
        ])
        .args(["-filter_complex"])
        .arg(
            "[0][1]overlay=x='if(lt(mod(t,1),0.5),0,160)':y=40[v];\
             [2]bandpass=f=700:width_type=h:w=1200,volume=4,\
             volume='if(lt(mod(t,2),1.2),1,0)':eval=frame[a]",
        )
        .args(["-map", "[v]", "-map", "[a]", "-c:v", "libx264", "-bf", "0", "-g", "25"])
        .args(["-pix_fmt", "yuv420p", "-c:a", "libopus"])
        .arg(&path)
        .status();
    assert!(made.expect("ffmpeg runs").success());
    path
}

/// A server that takes what is POSTed, and refuses the first.
fn hook() -> (String, Receiver<(String, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/hook", listener.local_addr().expect("bound"));
    let (took, taken) = channel();
    let serve = move || {
        for (number, stream) in listener.incoming().flatten().enumerate() {
            let Some(got) = answer(stream, number == 0) else { continue };
            // The test is over when nobody listens.
            if number > 0 && took.send(got).is_err() {
                return;
            }
        }
    };
    std::thread::spawn(serve);
    (url, taken)
}

fn answer(mut stream: TcpStream, is_refused: bool) -> Option<(String, String)> {
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let mut bytes = Vec::new();
    let mut buffer = [0; 16_384];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                let is_length = name.eq_ignore_ascii_case("content-length");
                is_length.then(|| value.trim().parse::<usize>().ok())?
            });
            if body.len() >= length? {
                let status = if is_refused { "503 Busy" } else { "204 No Content" };
                let answer =
                    format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                stream.write_all(answer.as_bytes()).ok()?;
                return Some((head.to_owned(), body.to_owned()));
            }
        }
        match stream.read(&mut buffer).ok()? {
            0 => return None,
            count => bytes.extend_from_slice(&buffer[..count]),
        }
    }
}

/// The events in what came of a stream of them: id, name and data.
fn events_in(bytes: &[u8]) -> Vec<(String, String, Value)> {
    let text = String::from_utf8_lossy(bytes);
    let event = |block: &str| {
        let field =
            |name: &str| block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        let data = serde_json::from_str(field("data")?).expect("JSON in a line");
        Some((field("id")?.to_owned(), field("event")?.to_owned(), data))
    };
    let end = text.rfind("\n\n").map_or(0, |at| at + 2);
    text[..end].split("\n\n").filter_map(event).collect()
}

fn subscribe(server: &Server, path: &str, lines: &[&str]) -> Listener {
    Listener::send(server.address, request("GET", path, lines).as_bytes())
}

#[test]
fn motion_and_voice_are_told_to_all_who_listen() {
    if !has_worker() || !have(&["ffmpeg"]) {
        return;
    }
    let folder = Folder::new("events");
    let film = film(&folder);
    let (hook_url, hooked) = hook();
    let udp = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
    let rtc = udp.local_addr().expect("bound").to_string();
    drop(udp);
    let flags = ["--rtc", &rtc, "--stream", &format!("yard={}", film.display())];
    let toml = format!(
        "[server]\ndata_dir = \"{{dir}}/data\"\n[auth]\ntokens = [\"{TOKEN}\"]\n\
         [workers]\nmotion = true\nvoice = true\n\
         [[webhook]]\nurl = \"{hook_url}\"\nevents = [\"icey:*\"]\nsecret = \"{SECRET}\"\n"
    );
    let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
    let server = Server::start_with(Setup { toml, flags, port: 0 });
    let bearer = format!("Authorization: Bearer {TOKEN}");

    // A room of signalling.
    let stream = TcpStream::connect(server.address).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let (mut socket, _) =
        tungstenite::client(format!("ws://{}/ws", server.address), stream).expect("a WebSocket");
    let auth = json!({"type": "auth", "user": "guard", "token": TOKEN});
    socket.send(Message::text(auth.to_string())).expect("sent");
    let mut heard_in_room = |subtype: &str| loop {
        let Message::Text(text) = socket.read().expect("a message in time") else { continue };
        let message: Value = serde_json::from_str(text.as_str()).expect("JSON");
        if message["subtype"] == subtype {
            return message;
        }
    };
    let vision = heard_in_room("icey:vision");
    assert_eq!((&vision["type"], &vision["from"]), (&json!("message"), &json!("icey|icey-server")));
    let data = &vision["data"];
    assert_eq!((&data["schema"], &data["type"]), (&json!("vision.event.v1"), &json!("detect")));
    assert_eq!((&data["source"], &data["frame"]["sourceId"]), (&json!("yard"), &json!("yard")));
    assert_eq!((&data["frame"]["width"], &data["frame"]["height"]), (&json!(320), &json!(240)));
    assert!(data["detections"][0]["region"]["width"].as_f64() > Some(0.2), "{data}");
    let speech = heard_in_room("icey:speech");
    assert_eq!(speech["data"]["source"], "yard");
    assert!(speech["data"]["level"].as_f64() > Some(0.0), "{speech}");
    for text in [vision.to_string(), speech.to_string()] {
        assert!(!text.contains("moving.mp4"), "the source's path is nobody's business: {text}");
    }

    // Subscribers, who come back and miss nothing.
    assert_eq!(server.get("/api/events").status, 401);
    let path = format!("/api/events?stream=yard&events=icey:vision&token={TOKEN}");
    let mut listener = subscribe(&server, &path, &[]);
    assert_eq!(listener.reply.status, 200);
    assert_eq!(listener.reply.header("content-type"), Some("text/event-stream"));
    let heard = listener.read_until(PATIENCE, |bytes| events_in(bytes).len() >= 3);
    let first = events_in(&heard.bytes);
    assert!(first.len() >= 3 && first.iter().all(|(_, name, _)| name == "icey:vision"));
    assert_eq!(first[0].2["schema"], "vision.event.v1");
    drop(listener);
    let again = format!("Last-Event-ID: {}", first[0].0);
    let mut listener = subscribe(&server, "/api/events?events=icey:vision", &[&bearer, &again]);
    let heard = listener.read_until(PATIENCE, |bytes| events_in(bytes).len() >= 2);
    let replayed = events_in(&heard.bytes);
    assert_eq!(replayed[..2], first[1..3], "it goes on behind what it has heard");
    let mut listener =
        subscribe(&server, "/api/events?events=source:opened", &[&bearer, "Last-Event-ID: 1-1"]);
    let heard = listener.read_until(PATIENCE, |bytes| !events_in(bytes).is_empty());
    assert_eq!(events_in(&heard.bytes)[0].2, json!({"stream": "yard"}), "another start's id");

    // The webhook, which was refused once; the signature is its own proof.
    let (head, body) = hooked.recv_timeout(PATIENCE).expect("it is told");
    let header = |name: &str| {
        let line = head.lines().find(|line| line.to_ascii_lowercase().starts_with(name));
        line.and_then(|line| Some(line.split_once(": ")?.1.to_owned())).expect("a header")
    };
    let signature = header("skywave-signature:");
    let seconds = signature.strip_prefix("t=").and_then(|it| it.split_once(',')).expect("t").0;
    assert_eq!(signature, engine_events::sign(SECRET, seconds.parse().expect("t"), &body));
    let told: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(told["stream"], "yard");
    assert_eq!(json!(header("skywave-event:")), told["event"]);
    wait_for("the refusal is counted", || {
        server.metric("skywave_control_webhook_retried_total") >= Some(1.0)
            && server.metric("skywave_control_webhook_delivered_total") >= Some(1.0)
    });

    // The log.
    let log = server.folder.path().join("data/events.jsonl");
    let lines = std::fs::read_to_string(log).expect("a log");
    let line = lines.lines().find(|line| line.contains("icey:vision")).expect("motion");
    let line: Value = serde_json::from_str(line).expect("JSON");
    assert_eq!(line["data"]["schema"], "vision.event.v1");
    assert!(!lines.contains("moving.mp4"));
    drop(server);
}
