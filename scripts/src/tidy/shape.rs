//! The shape of files: how they open, and how long things may be.

use super::Finding;
use super::rust_text::RustText;
use super::tree::Tree;

/// Lines of a file, tests included.
const FILE_LINES_MAX: usize = 700;
/// Past this, a file is named in a note; half of the files should be under 250.
const FILE_LINES_NOTED: usize = 400;
/// Lines of a function, from `fn` to its brace. The aim is 70.
const FUNCTION_LINES_MAX: usize = 100;
/// Characters of a line.
const COLUMNS_MAX: usize = 100;
/// Bytes of a file that is not text: vectors, corpora and captures stay small.
const BINARY_SIZE_MAX: usize = 64 * 1024;

/// A Rust file that does not say first what it is for.
pub fn opens_with_purpose(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, _) in tree.rust() {
        let text = file.text.as_deref().unwrap_or_default();
        let purpose = text.lines().next().and_then(|line| line.strip_prefix("//! "));
        if purpose.is_none_or(|purpose| purpose.len() < 15) {
            let message = "the first line must be `//!` and what the file is for".to_owned();
            findings.push(file.finding("opens-with-purpose", 1, message));
        }
    }
    findings
}

/// A Rust file past its cap.
pub fn file_length(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, _) in tree.rust() {
        let count = line_count(file.text.as_deref());
        if count > FILE_LINES_MAX {
            let message = format!("{count} lines, at most {FILE_LINES_MAX}");
            findings.push(file.finding("file-length", 0, message));
        }
    }
    findings
}

/// The files that are long but under the cap, for a note.
pub fn long_files(tree: &Tree) -> Vec<String> {
    let mut notes = Vec::new();
    for (file, _) in tree.rust() {
        let count = line_count(file.text.as_deref());
        if count > FILE_LINES_NOTED && count <= FILE_LINES_MAX {
            notes.push(format!("{} has {count} lines", file.path));
        }
    }
    notes
}

/// A function past its cap.
pub fn function_length(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, rust) in tree.rust() {
        for function in rust.functions() {
            let count = function.lines.end() - function.lines.start() + 1;
            if count > FUNCTION_LINES_MAX {
                let message =
                    format!("`{}` has {count} lines, at most {FUNCTION_LINES_MAX}", function.name);
                findings.push(file.finding("function-length", *function.lines.start(), message));
            }
        }
    }
    findings
}

/// A line of a program that does not fit. A long link is nobody's fault, and a row of a test's
/// table is data: rustfmt leaves both alone.
pub fn line_length(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, number, line) in tree.lines() {
        let is_script = line_one(file.text.as_deref()).starts_with("#!");
        let count = line.chars().count();
        let is_test = |rust: &RustText| file.is_test() || rust.is_test_line(number);
        let is_data = line.contains('"') && file.rust.as_ref().is_some_and(is_test);
        let is_meant = is_data || line.contains("://");
        if (file.rust.is_some() || is_script) && count > COLUMNS_MAX && !is_meant {
            let message = format!("{count} columns, at most {COLUMNS_MAX}");
            findings.push(file.finding("line-length", number, message));
        }
    }
    findings
}

/// A large file that is not text.
pub fn binary_size(tree: &Tree) -> Vec<Finding> {
    let large = tree.files.iter().filter(|file| file.text.is_none() && file.size > BINARY_SIZE_MAX);
    let message =
        |size: usize| format!("{size} bytes that are not text, at most {BINARY_SIZE_MAX}");
    large.map(|file| file.finding("binary-size", 0, message(file.size))).collect()
}

fn line_count(text: Option<&str>) -> usize {
    text.unwrap_or_default().lines().count()
}

fn line_one(text: Option<&str>) -> &str {
    text.unwrap_or_default().lines().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::tree::File;

    #[test]
    fn a_file_says_what_it_is_for() {
        let good = Tree::planted(&[("a.rs", "//! Parses the thing.\nfn f() {}"), ("a.md", "x")]);
        assert_eq!(opens_with_purpose(&good), []);
        for text in ["", "fn f() {}", "//!\n//! Late.", "//! x", "// Not a document at all."] {
            assert_eq!(opens_with_purpose(&Tree::planted(&[("a.rs", text)])).len(), 1, "{text}");
        }
    }

    #[test]
    fn long_files_are_noted_then_refused() {
        let text = "\n".repeat(FILE_LINES_MAX);
        let tree = Tree::planted(&[("a.rs", &text)]);
        assert_eq!((file_length(&tree).len(), long_files(&tree).len()), (0, 1));
        let longer = "\n".repeat(FILE_LINES_MAX + 1);
        let tree = Tree::planted(&[("a.rs", &longer), ("a.md", &longer)]);
        assert_eq!((file_length(&tree).len(), long_files(&tree).len()), (1, 0));
    }

    #[test]
    fn long_functions_are_refused() {
        let function = |count: usize| format!("fn f() {{{}}}", "\n".repeat(count - 1));
        let at_cap = Tree::planted(&[("a.rs", &function(FUNCTION_LINES_MAX))]);
        assert_eq!(function_length(&at_cap), []);
        let past = Tree::planted(&[("a.rs", &function(FUNCTION_LINES_MAX + 1))]);
        assert_eq!(function_length(&past).len(), 1);
    }

    #[test]
    fn long_lines_are_refused_in_programs() {
        let long = "x".repeat(COLUMNS_MAX + 1);
        let script = format!("#!/bin/sh\n{long}");
        let link = format!("// https://{long}");
        let row = format!("(\"{long}\", 1),");
        let refused = [("a.rs", &*long), ("b", &*script), ("src/c.rs", &*row)];
        assert_eq!(line_length(&Tree::planted(&refused)).len(), 3);
        let allowed = [("a.md", &*long), ("b.rs", &*link), ("tests/c.rs", &*row)];
        assert_eq!(line_length(&Tree::planted(&allowed)), []);
    }

    #[test]
    fn large_binaries_are_refused() {
        let small = File::new("a.ogg".into(), vec![0; BINARY_SIZE_MAX]);
        let large = File::new("b.ogg".into(), vec![0; BINARY_SIZE_MAX + 1]);
        let text = File::new("c.txt".into(), vec![b' '; BINARY_SIZE_MAX + 1]);
        let tree = Tree { files: vec![small, large, text], packages: Vec::new() };
        assert_eq!(binary_size(&tree).len(), 1);
    }
}
