//! Files of each format, made once by ffmpeg and kept beside the build.

use std::fs;
use std::path::{Path, PathBuf};

use super::peers;

/// A file.
pub struct Media {
    /// Where it is.
    pub path: PathBuf,
    /// What it holds.
    pub bytes: Vec<u8>,
    /// Bytes of one second, nearly.
    pub bytes_per_second: usize,
}

/// How long each file sounds.
const SECONDS: usize = 20;

/// Formats by name, with ffmpeg's options for them.
const RECIPES: [(&str, &[&str]); 8] = [
    (
        "tone.mp3",
        &[
            "-c:a",
            "libmp3lame",
            "-b:a",
            "128k",
            "-metadata",
            "title=Tone",
            "-metadata",
            "artist=Lab",
        ],
    ),
    ("tone.aac", &["-c:a", "aac", "-b:a", "128k", "-f", "adts"]),
    ("opus.ogg", &["-c:a", "libopus", "-b:a", "96k", "-page_duration", "200000"]),
    ("vorbis.ogg", &["-c:a", "libvorbis", "-b:a", "128k", "-page_duration", "200000"]),
    ("flac.ogg", &["-c:a", "flac", "-f", "ogg", "-page_duration", "200000"]),
    ("native.flac", &["-c:a", "flac"]),
    ("tone.wav", &["-c:a", "pcm_s16le", "-ac", "1"]),
    ("video.webm", VIDEO),
];

const VIDEO: &[&str] = &[
    "-f",
    "lavfi",
    "-i",
    "testsrc=size=160x120:rate=10:duration=20",
    "-c:v",
    "libvpx",
    "-b:v",
    "100k",
    "-g",
    "10",
    "-deadline",
    "realtime",
    "-cpu-used",
    "8",
    "-c:a",
    "libopus",
    "-b:a",
    "64k",
    "-cluster_time_limit",
    "1000",
];

/// One of the files; `None` where peers are not asked for, as [`peers::have`] says.
///
/// # Panics
/// When there is no such recipe, or ffmpeg fails.
pub fn media(name: &str) -> Option<Media> {
    if !peers::have(&["ffmpeg"]) {
        return None;
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("e2e-media-1");
    fs::create_dir_all(&folder).expect("a folder");
    let path = folder.join(name);
    let lock = fs::File::create(folder.join(format!("{name}.lock"))).expect("a file");
    lock.lock().expect("a lock");
    if !path.exists() {
        make(name, &path);
    }
    let bytes = fs::read(&path).expect("the file");
    let bytes_per_second = bytes.len() / SECONDS;
    Some(Media { path, bytes, bytes_per_second })
}

/// Makes it under another name first: half a file must not pass for one.
fn make(name: &str, path: &Path) {
    let (_, options) = RECIPES.iter().find(|(recipe, _)| *recipe == name).expect("a recipe");
    let part = path.with_file_name(format!("part-{name}"));
    let tone = format!("sine=frequency=440:duration={SECONDS}");
    let mut command = peers::tied("ffmpeg");
    command.args(["-nostdin", "-v", "error", "-y", "-f", "lavfi", "-i", &tone]);
    let output = command.args(*options).arg(&part).output().expect("ffmpeg runs");
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    fs::rename(&part, path).expect("a name");
}
