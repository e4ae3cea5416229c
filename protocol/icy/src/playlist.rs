//! Playlists that players open to find a stream: `/live.mp3.m3u` and its like (Icecast 2.4.4,
//! src/fserve.c, admin/xspf.xsl, admin/vclt.xsl; PLS as Winamp has it).

use protocol_http::write_percent_encoded;

use crate::stream_info::StreamInfo;
use crate::text::{one_line, push_escaped};
use crate::title::Title;

/// A kind of playlist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Playlist {
    /// One URL a line.
    M3u,
    /// Winamp's, which hardware players read.
    Pls,
    /// XML (xspf.org).
    Xspf,
    /// Vorbis comments, of RoarAudio.
    Vclt,
}

/// A stream as playlists tell of it.
#[derive(Debug, Clone, Copy)]
pub struct PlaylistTrack<'a> {
    /// Where it is, of [`listen_url`].
    pub listen_url: &'a str,
    /// Its type.
    pub content_type: &'a str,
    /// What its source says.
    pub info: &'a StreamInfo,
    /// What it plays.
    pub title: Option<&'a Title>,
    /// Listeners now.
    pub listener_count: u64,
    /// Most listeners at once.
    pub listener_peak: u64,
}

impl Playlist {
    /// The mount and the kind that a path asks for: `/live.mp3.m3u` is `/live.mp3`. Ask first
    /// whether a mount has the whole path for its name.
    pub fn of_path(path: &str) -> Option<(&str, Playlist)> {
        let (mount, suffix) = path.rsplit_once('.')?;
        let kind = match suffix {
            "m3u" => Playlist::M3u,
            "pls" => Playlist::Pls,
            "xspf" => Playlist::Xspf,
            "vclt" => Playlist::Vclt,
            _ => return None,
        };
        (mount.len() > 1 && mount.starts_with('/')).then_some((mount, kind))
    }

    /// The type to answer with, charset included.
    pub fn content_type(self) -> &'static str {
        match self {
            Playlist::M3u => "audio/x-mpegurl",
            Playlist::Pls => "audio/x-scpls",
            Playlist::Xspf => "application/xspf+xml; charset=UTF-8",
            Playlist::Vclt => "audio/x-vclt; charset=UTF-8",
        }
    }
}

/// `http://host:8000/live.mp3` of a base without a path, the mount's odd bytes percent-encoded.
pub fn listen_url(base: &str, mount: &str) -> String {
    let mut url = Vec::from(base.trim_end_matches('/'));
    write_percent_encoded(mount.as_bytes(), &mut url);
    String::from_utf8_lossy(&url).into_owned()
}

/// The body. Icecast answers an M3U or a PLS for any mount, running or not, and an XSPF or VCLT
/// without tracks for one that is not.
pub fn playlist(kind: Playlist, tracks: &[PlaylistTrack<'_>]) -> String {
    match kind {
        Playlist::M3u => tracks.iter().map(|track| one_line(track.listen_url) + "\r\n").collect(),
        Playlist::Pls => pls(tracks),
        Playlist::Xspf => xspf(tracks),
        Playlist::Vclt => tracks.iter().map(vclt).collect(),
    }
}

fn pls(tracks: &[PlaylistTrack<'_>]) -> String {
    let mut out = format!("[playlist]\r\nNumberOfEntries={}\r\n", tracks.len());
    for (index, track) in tracks.iter().enumerate() {
        let (number, url) = (index + 1, one_line(track.listen_url));
        let name = one_line(track.info.name.as_deref().unwrap_or(&url));
        out += &format!("File{number}={url}\r\nTitle{number}={name}\r\nLength{number}=-1\r\n");
    }
    out + "Version=2\r\n"
}

fn xspf(tracks: &[PlaylistTrack<'_>]) -> String {
    let mut out = String::from(concat!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n",
        "<playlist xmlns=\"http://xspf.org/ns/0/\" version=\"1\">\n",
        "  <title/>\n  <creator/>\n",
    ));
    if tracks.is_empty() {
        return out + "  <trackList/>\n</playlist>\n";
    }
    out += "  <trackList>\n";
    for track in tracks {
        let PlaylistTrack { info, title, .. } = track;
        out += "    <track>\n";
        push_element("location", track.listen_url, &mut out);
        push_element("title", title.map(Title::text).unwrap_or_default(), &mut out);
        let mut note = String::new();
        if let Some(name) = &info.name {
            note += &format!("Stream Title: {name}\n");
        }
        if let Some(description) = &info.description {
            note += &format!("Stream Description: {description}");
        }
        note += &format!("\nContent Type:{}\n", track.content_type);
        if let Some(bitrate) = &info.bitrate {
            note += &format!("Bitrate: {bitrate}\n");
        }
        note += &format!("Current Listeners: {}\n", track.listener_count);
        note += &format!("Peak Listeners: {}\n", track.listener_peak);
        if let Some(genre) = &info.genre {
            note += &format!("Stream Genre: {genre}");
        }
        push_element("annotation", &note, &mut out);
        if let Some(url) = &info.url {
            push_element("info", url, &mut out);
        }
        out += "    </track>\n";
    }
    out + "  </trackList>\n</playlist>\n"
}

/// One element of a track on a line of its own.
fn push_element(name: &str, text: &str, out: &mut String) {
    if text.is_empty() {
        *out += &format!("      <{name}/>\n");
        return;
    }
    *out += &format!("      <{name}>");
    push_escaped(text, out);
    *out += &format!("</{name}>\n");
}

fn vclt(track: &PlaylistTrack<'_>) -> String {
    let mut out = format!("STREAMURL={}\n", one_line(track.listen_url));
    let mut line = |name: &str, value: Option<&str>| {
        if let Some(value) = value {
            out += &format!("{name}={}\n", one_line(value));
        }
    };
    line("TITLE", track.title.map(Title::text));
    line("SERVER_NAME", track.info.name.as_deref());
    line("DESCRIPTION", track.info.description.as_deref());
    let is_ogg = track.content_type == "application/ogg";
    line("SIGNALINFO", Some(if is_ogg { "codec:ogg_general" } else { "" }));
    match &track.info.genre {
        Some(genre) => line("GENRE", Some(genre)),
        None => out.push('\n'),
    }
    out + "==\n"
}

#[cfg(test)]
mod tests;
