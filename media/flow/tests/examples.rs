//! The examples do what they say, and ffmpeg reads what they write.

use std::path::PathBuf;
use std::process::{Command, Output};

/// An example as cargo has built it, beside the tests.
fn example(name: &str) -> Command {
    let test = std::env::current_exe().expect("this test's path");
    let folder = test.parent().and_then(|deps| deps.parent()).expect("the profile's folder");
    Command::new(folder.join("examples").join(name))
}

fn run(command: &mut Command) -> Output {
    let output = command.output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?}: {said}");
    output
}

/// A folder of this test alone, gone with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let folder = std::env::temp_dir().join(format!("media-flow-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        Folder(folder)
    }

    fn file(&self, name: &str) -> String {
        self.0.join(name).to_string_lossy().into_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn the_tone_is_heard_by_ffmpeg() {
    let folder = Folder::new("tone");
    let page = run(example("tone").args(["--seconds", "1"])).stdout;
    let path = folder.file("tone.ogg");
    std::fs::write(&path, page).expect("written");
    // Strict: a wrong checksum or a missing frame is an error.
    let arguments = ["-v", "error", "-xerror", "-err_detect", "explode", "-i", &path];
    let raw = ["-f", "s16le", "-c:a", "pcm_s16le", "pipe:1"];
    let samples = run(Command::new("ffmpeg").args(arguments).args(raw)).stdout;
    assert_eq!(samples.len(), 48_000 * 2);
    let loudest = samples.chunks_exact(2).map(|two| i16::from_le_bytes([two[0], two[1]]).abs());
    assert_eq!(loudest.max(), Some(8000));
}

#[test]
fn a_replay_copies_every_picture_whoever_is_slow() {
    let folder = Folder::new("replay");
    let (path, copy) = (folder.file("test.ivf"), folder.file("copy.ivf"));
    let picture = ["-v", "error", "-f", "lavfi", "-i", "testsrc=duration=4:size=160x120:rate=25"];
    let video = ["-c:v", "libvpx", "-g", "25", "-b:v", "200k", &path];
    run(Command::new("ffmpeg").args(picture).args(video));
    let said = run(example("replay").args([&path, &copy])).stdout;
    let said = String::from_utf8(said).expect("text");
    let (original, copied) = (std::fs::read(&path), std::fs::read(&copy));
    assert!(original.expect("there") == copied.expect("there"), "the copy differs");
    let line = |name: &str| {
        let line = said.lines().find(|line| line.contains(&format!("> {name}: ")));
        line.unwrap_or_else(|| panic!("no edge to {name} in:\n{said}")).to_owned()
    };
    assert!(line("copy").ends_with("wait; 100 through, 0 held, 0 dropped"), "{said}");
    assert!(line("count").ends_with(": 100"), "{said}");
    for slow in ["viewer", "preview"] {
        assert!(line(slow).contains(" 0 held") && !line(slow).ends_with(" 0 dropped"), "{said}");
    }
    assert!(said.starts_with("4 key frames\n"), "{said}");
}
