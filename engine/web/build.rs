//! Makes a table of what Vite left in `built/pages`: each file with its variants, their entity tags
//! and its type. Where there is nothing the table is empty, so that cargo alone builds the server.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

use sha2::{Digest, Sha256};

/// How a compressed variant is called behind the plain file's name, and what it is.
const CODINGS: [(&str, &str); 2] = [(".br", "Brotli"), (".gz", "Gzip")];

fn main() -> io::Result<()> {
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    // This folder is in git and empty there: a path that is not would be new in every build.
    let built = here.join("built");
    println!("cargo::rerun-if-changed={}", built.display());
    let pages = built.join("pages");
    let mut files = BTreeMap::new();
    if pages.is_dir() {
        collect(&pages, "", &mut files)?;
    }
    fs::write(out.join("assets.rs"), table(&files)?)
}

/// Every file below a folder, by its path from there with `/`.
fn collect(folder: &Path, below: &str, files: &mut BTreeMap<String, PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{below}/{name}");
        match entry.file_type()?.is_dir() {
            true => collect(&entry.path(), &path, files)?,
            false => drop(files.insert(path, entry.path())),
        }
    }
    Ok(())
}

/// The table as Rust, in the order of the paths.
fn table(files: &BTreeMap<String, PathBuf>) -> io::Result<String> {
    let mut out = String::from("&[\n");
    for (path, file) in files {
        if CODINGS.iter().any(|(suffix, _)| path.ends_with(suffix)) {
            continue;
        }
        let mut variants = String::new();
        for (suffix, coding) in CODINGS {
            if let Some(file) = files.get(&format!("{path}{suffix}")) {
                variants.push_str(&variant(coding, file)?);
            }
        }
        variants.push_str(&variant("Identity", file)?);
        let content_type = content_type(path);
        // Only below `assets/` does a name change with what it names.
        let is_immutable = path.starts_with("/assets/");
        writeln!(
            out,
            "Asset {{ path: {path:?}, content_type: {content_type:?}, \
             is_immutable: {is_immutable}, variants: &[{variants}] }},"
        )
        .expect("a String takes everything");
    }
    out.push_str("]\n");
    Ok(out)
}

fn variant(coding: &str, file: &Path) -> io::Result<String> {
    let digest = Sha256::digest(fs::read(file)?);
    let tag: String = digest[..12].iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!(
        "Variant {{ coding: ContentCoding::{coding}, etag: \"\\\"{tag}\\\"\", \
         bytes: include_bytes!({:?}) }}, ",
        file.display().to_string()
    ))
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" => "application/json",
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}
