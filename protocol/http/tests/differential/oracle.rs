//! llhttp as a program: its C comes with the source of the Python package `httptools`, is compiled
//! with our few lines around it, and stays in the build folder.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::message::{Kind, Message, Reading};

/// The package and version that llhttp 9.4.3 comes with.
const PACKAGE: &str = "httptools==0.9.0";

/// The program; `Err` says why there is none.
pub fn program() -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("llhttp");
    let program = folder.join("oracle");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/differential/oracle.c");
    let time = |path: &Path| fs::metadata(path).and_then(|meta| meta.modified()).ok();
    let written_at = time(&source).expect("our few lines are there");
    if time(&program).is_some_and(|made_at| made_at > written_at) {
        return Ok(program);
    }
    fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    let unpacked = folder.join(PACKAGE.replace("==", "-"));
    if !unpacked.join("vendor/llhttp/src/llhttp.c").is_file() {
        let options = ["--no-deps", "--no-binary", ":all:", "--disable-pip-version-check"];
        let mut download = Command::new("python3");
        run(download.args(["-m", "pip", "download", "--quiet"]).args(options).args([
            PACKAGE,
            "--dest",
            &folder.to_string_lossy(),
        ]))?;
        let archive = format!("{}.tar.gz", PACKAGE.replace("==", "-"));
        run(Command::new("tar").current_dir(&folder).args(["-xzf", &archive]))?;
    }
    let vendor = unpacked.join("vendor/llhttp");
    // Compiled under another name and renamed: two tests at once each find all of it or none.
    let draft = folder.join(format!("oracle-{}", std::process::id()));
    let mut compile = Command::new("cc");
    compile.args(["-O1", "-o"]).arg(&draft).arg("-I").arg(vendor.join("include")).arg(&source);
    for name in ["llhttp.c", "api.c", "http.c"] {
        compile.arg(vendor.join("src").join(name));
    }
    run(&mut compile)?;
    fs::rename(&draft, &program).map_err(|error| error.to_string())?;
    Ok(program)
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{:?}: {error}", command.get_program()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no word");
    output.status.success().then_some(()).ok_or(format!("{:?}: {last}", command.get_program()))
}

/// What llhttp reads in each of the inputs.
pub fn read_all(program: &Path, name: &str, inputs: &[(Kind, Vec<u8>)]) -> Vec<Reading> {
    let mut lines = String::new();
    for (kind, bytes) in inputs {
        lines.push_str(if *kind == Kind::Requests { "Q " } else { "R " });
        lines.extend(bytes.iter().map(|byte| format!("{byte:02x}")));
        lines.push('\n');
    }
    let asked = program.with_file_name(format!("{name}-{}", std::process::id()));
    fs::write(&asked, lines).expect("the build folder is writable");
    let output = Command::new(program)
        .stdin(File::open(&asked).expect("just written"))
        .output()
        .expect("the oracle runs");
    fs::remove_file(&asked).expect("just written");
    assert!(output.status.success(), "the oracle failed: {:?}", output.status);
    let text = String::from_utf8(output.stdout).expect("the oracle writes ASCII");
    let readings: Vec<_> = text.lines().map(parse).collect();
    assert_eq!(readings.len(), inputs.len(), "one answer for each input");
    readings
}

fn parse(line: &str) -> Reading {
    let mut reading = Reading::default();
    let mut words = line.split(' ');
    let mut is_in_head = false;
    while let Some(word) = words.next() {
        let mut next = || unhex(words.next().expect("a word of the oracle's"));
        match word {
            "H" => {
                is_in_head = true;
                let (first, target) = (text(next()), next());
                let version = words.next().expect("a version").to_owned();
                let message = Message { first, target, version, ..Message::default() };
                reading.messages.push(message);
            }
            "h" => {
                // llhttp leaves blanks at the end of a value; its users take them off.
                let (name, value) = (text(next()), next());
                let line = (name, value.trim_ascii_end().to_vec());
                if is_in_head {
                    reading.messages.last_mut().expect("a head").headers.push(line);
                }
            }
            "C" => {
                is_in_head = false;
                reading.messages.last_mut().expect("a head").has_head = true;
            }
            "B" => {
                let bytes = next();
                reading.messages.last_mut().expect("a head").body.extend(bytes);
            }
            "E" => reading.messages.last_mut().expect("a head").is_whole = true,
            "ok" => {}
            error => reading.error = Some(error.to_owned()),
        }
    }
    // What has no head yet is no message yet.
    reading.messages.retain(|message| message.has_head);
    reading
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8_lossy(&bytes).into_owned()
}

fn unhex(word: &str) -> Vec<u8> {
    let digits = if word == "-" { "" } else { word };
    let pairs = digits.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).expect("ASCII"));
    pairs.map(|pair| u8::from_str_radix(pair, 16).expect("two digits")).collect()
}
