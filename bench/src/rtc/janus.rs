//! Janus's streaming plugin: a mountpoint for bare RTP, and viewers by its API of JSON over HTTP.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::http;

/// The payload types of its mountpoint.
pub(crate) const VIDEO_PT: u8 = 96;
pub(crate) const AUDIO_PT: u8 = 111;

const STREAM: u32 = 1;
const EVENTS_MAX: usize = 20;

/// What is not loaded.
const OTHER_PLUGINS: [&str; 11] = [
    "audiobridge",
    "duktape",
    "echotest",
    "lua",
    "nosip",
    "recordplay",
    "sip",
    "textroom",
    "videocall",
    "videoroom",
    "voicemail",
];
const OTHER_TRANSPORTS: [&str; 5] = ["mqtt", "nanomsg", "pfunix", "rabbitmq", "websockets"];

/// Writes its configuration: one mountpoint, one transport, nothing else.
pub(crate) fn configure(
    folder: &Path,
    http: SocketAddr,
    ip: IpAddr,
    (video, audio): (u16, u16),
) -> Result<()> {
    let libraries = "/usr/lib/x86_64-linux-gnu/janus";
    let general = format!(
        "general: {{
  plugins_folder = \"{libraries}/plugins\"
  transports_folder = \"{libraries}/transports\"
  events_folder = \"{libraries}/events\"
  loggers_folder = \"{libraries}/loggers\"
  debug_level = 2
  session_timeout = 0
}}
nat: {{ ice_enforce_list = \"{ip}\" }}
plugins: {{ disable = \"{}\" }}
transports: {{ disable = \"{}\" }}
",
        unwanted(&OTHER_PLUGINS),
        unwanted(&OTHER_TRANSPORTS),
    );
    let transport = format!(
        "general: {{
  json = \"compact\"
  base_path = \"/janus\"
  http = true
  port = {}
  ip = \"{}\"
  https = false
}}
admin: {{ admin_http = false }}
",
        http.port(),
        http.ip()
    );
    let streaming = format!(
        "bench: {{
  type = \"rtp\"
  id = {STREAM}
  audio = true
  video = true
  audioport = {audio}
  audiopt = {AUDIO_PT}
  audiocodec = \"opus\"
  videoport = {video}
  videopt = {VIDEO_PT}
  videocodec = \"vp8\"
}}
"
    );
    std::fs::write(folder.join("janus.jcfg"), general)?;
    std::fs::write(folder.join("janus.transport.http.jcfg"), transport)?;
    std::fs::write(folder.join("janus.plugin.streaming.jcfg"), streaming)?;
    Ok(())
}

/// A viewer that has been offered the stream.
pub(crate) struct Watch {
    http: SocketAddr,
    handle: String,
    offer: String,
}

impl Watch {
    /// Asks for the stream and waits for the offer.
    pub(crate) fn begin(http: SocketAddr) -> Result<Self> {
        let made = ask(http, "/janus", &json!({ "janus": "create", "transaction": "1" }))?;
        let session = format!("/janus/{}", id_of(&made)?);
        let plugin = "janus.plugin.streaming";
        let attach = json!({ "janus": "attach", "plugin": plugin, "transaction": "2" });
        let attached = ask(http, &session, &attach)?;
        let handle = format!("{session}/{}", id_of(&attached)?);
        let watch = json!({
            "janus": "message", "transaction": "3", "body": { "request": "watch", "id": STREAM },
        });
        ask(http, &handle, &watch)?;
        for _ in 0..EVENTS_MAX {
            let text = http::get(http, &format!("{session}?maxev=1"), "")?;
            let event: Value = serde_json::from_str(&text)?;
            if let Some(offer) = event["jsep"]["sdp"].as_str() {
                return Ok(Watch { http, handle, offer: offer.to_owned() });
            }
            if let Some(error) = event["plugindata"]["data"]["error"].as_str() {
                bail!("Janus: {error}");
            }
        }
        bail!("Janus makes no offer")
    }

    /// What Janus offers.
    pub(crate) fn offer(&self) -> &str {
        &self.offer
    }

    /// Gives Janus the answer.
    pub(crate) fn start(&self, answer: &str) -> Result<()> {
        let start = json!({
            "janus": "message", "transaction": "4", "body": { "request": "start" },
            "jsep": { "type": "answer", "sdp": answer },
        });
        ask(self.http, &self.handle, &start).map(drop)
    }
}

fn unwanted(names: &[&str]) -> String {
    names.iter().map(|name| format!("libjanus_{name}.so")).collect::<Vec<_>>().join(",")
}

fn ask(http: SocketAddr, path: &str, question: &Value) -> Result<Value> {
    let headers = [("Content-Type", "application/json")];
    let (status, body) = http::post(http, path, &headers, &question.to_string())?;
    let answer: Value = serde_json::from_str(&body).with_context(|| format!("{status}: {body}"))?;
    match answer["janus"].as_str() {
        Some("success" | "ack") => Ok(answer),
        _ => bail!("Janus: {body}"),
    }
}

fn id_of(answer: &Value) -> Result<u64> {
    answer["data"]["id"].as_u64().context("an answer without an id")
}
