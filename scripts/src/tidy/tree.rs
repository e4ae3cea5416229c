//! What tidy looks at: the files that git would commit, and the packages that cargo sees.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::rust_text::RustText;
use super::{Finding, floors::Package};

/// Files and packages.
pub struct Tree {
    /// Every file, by path.
    pub files: Vec<File>,
    /// Every package of the workspace.
    pub packages: Vec<Package>,
}

/// One file.
pub struct File {
    /// From the root, with `/`.
    pub path: String,
    /// Its size.
    pub size: usize,
    /// Its text; `None` where it is not UTF-8 or has a NUL in it.
    pub text: Option<String>,
    /// What the rules about Rust ask for; `None` for other files.
    pub rust: Option<RustText>,
}

impl Tree {
    /// Reads the tree under `root`.
    ///
    /// # Errors
    /// Where a file or the packages cannot be read.
    pub fn read(root: &Path) -> Result<Tree> {
        let mut paths = paths_by_git(root);
        if paths.is_empty() {
            walk(root, "", &mut paths)?;
        }
        paths.sort();
        paths.dedup();
        let mut files = Vec::with_capacity(paths.len());
        for path in paths {
            let full = root.join(&path);
            // A tracked file that was deleted, and a link, have no text of their own.
            if full.symlink_metadata().is_ok_and(|metadata| metadata.is_file()) {
                let bytes = std::fs::read(&full).with_context(|| format!("cannot read {path}"))?;
                files.push(File::new(path, bytes));
            }
        }
        Ok(Tree { files, packages: packages(root)? })
    }

    /// The Rust files.
    pub fn rust(&self) -> impl Iterator<Item = (&File, &RustText)> {
        self.files.iter().filter_map(|file| file.rust.as_ref().map(|rust| (file, rust)))
    }

    /// The lines of all text files, from 1.
    pub fn lines(&self) -> impl Iterator<Item = (&File, usize, &str)> {
        self.files.iter().flat_map(|file| {
            let lines = file.text.as_deref().unwrap_or_default().lines();
            lines.enumerate().map(move |(index, line)| (file, index + 1, line))
        })
    }

    /// A tree made of these files, without packages.
    #[cfg(test)]
    pub fn planted(files: &[(&str, &str)]) -> Tree {
        let files = files.iter().map(|(path, text)| File::new((*path).into(), (*text).into()));
        Tree { files: files.collect(), packages: Vec::new() }
    }
}

impl File {
    /// A file with these contents.
    pub fn new(path: String, bytes: Vec<u8>) -> File {
        let size = bytes.len();
        let text = String::from_utf8(bytes).ok().filter(|text| !text.contains('\0'));
        let rust = text.as_deref().filter(|_| path.ends_with(".rs")).map(RustText::new);
        File { path, size, text, rust }
    }

    /// What a rule found here.
    pub fn finding(&self, rule: &'static str, line: usize, message: String) -> Finding {
        Finding { path: self.path.clone(), line, rule, message }
    }

    /// Whether the whole file is a test, an example or a bench: it may do what the product may not.
    pub fn is_test(&self) -> bool {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        let is_in = |folder: &str| self.path.split('/').any(|part| part == folder);
        name == "tests.rs" || ["tests", "examples", "benches", "fuzz"].into_iter().any(is_in)
    }
}

/// What git tracks or would track; nothing where this is no git work tree.
fn paths_by_git(root: &Path) -> Vec<String> {
    let list = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let Ok(output) = Command::new("git").args(list).current_dir(root).output() else {
        return Vec::new();
    };
    let names = output.stdout.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    names.map(|name| String::from_utf8_lossy(name).into_owned()).collect()
}

/// The same without git: everything but what builds leave.
fn walk(root: &Path, below: &str, paths: &mut Vec<String>) -> Result<()> {
    for entry in std::fs::read_dir(root.join(below))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if below.is_empty() { name.clone() } else { format!("{below}/{name}") };
        let is_left_by_builds =
            name == ".git" || name == "node_modules" || name.starts_with("target");
        if entry.file_type()?.is_dir() {
            if !is_left_by_builds {
                walk(root, &path, paths)?;
            }
        } else {
            paths.push(path);
        }
    }
    Ok(())
}

fn packages(root: &Path) -> Result<Vec<Package>> {
    let arguments = ["metadata", "--no-deps", "--offline", "--format-version", "1"];
    let output = crate::process::cargo(arguments).output().context("cannot start cargo")?;
    if !output.status.success() {
        bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    }
    Package::all_from(&serde_json::from_slice(&output.stdout)?, root)
}
