//! What code may not do: I/O in a state machine, `unsafe` outside its room, a bare `unwrap`.

use super::Finding;
use super::floors::is_pure;
use super::rust_text::RustText;
use super::tree::{File, Tree};

/// Modules of `std` that a crate without I/O does not name. Not `std::net`: addresses are data.
const STD_MODULES: &[&str] = &["env", "fs", "os", "process", "thread"];

/// Names that mean I/O, waiting, chance or a log, wherever they come from.
const NAMES: &[&str] = &[
    "HashMap",
    "HashSet",
    "RandomState",
    "SystemTime",
    "TcpListener",
    "TcpStream",
    "ToSocketAddrs",
    "UdpSocket",
    "UnixListener",
    "UnixStream",
    "async",
    "await",
    "dbg",
    "eprintln",
    "println",
];

/// Lines at the top of a crate in which it says what it implements.
const SOURCE_LINES_MAX: usize = 20;

/// A crate under `protocol/` or `media/` that does I/O, reads a clock or draws.
pub fn no_io(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, rust) in product(tree).filter(|(file, _)| is_pure(&file.path)) {
        for at in 0..rust.tokens.len() {
            let mut named: Vec<String> = std_modules(rust, at);
            if NAMES.contains(&rust.at(at)) {
                named.push(rust.at(at).to_owned());
            }
            if rust.has(at, &["Instant", ":", ":", "now"]) {
                named.push("Instant::now".to_owned());
            }
            let line = rust.tokens[at].line;
            let named = named.into_iter().filter(|_| !rust.is_test_line(line));
            findings.extend(named.map(|name| {
                let message = format!("`{name}`: bytes, time and seeds are arguments here");
                file.finding("no-io", line, message)
            }));
        }
    }
    findings
}

/// `unsafe` anywhere but where the kernel writes our memory.
pub fn no_unsafe(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, rust) in tree.rust().filter(|(file, _)| !file.path.starts_with("shards/ring/")) {
        let found = rust.tokens.iter().filter(|token| token.text == "unsafe");
        findings.extend(found.map(|token| {
            let message = "`unsafe` lives in shards/ring only".to_owned();
            file.finding("no-unsafe", token.line, message)
        }));
    }
    findings
}

/// `unwrap()` without a comment on its line or the one above; `expect` says it by itself.
pub fn no_bare_unwrap(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, rust) in product(tree) {
        let lines: Vec<&str> = file.text.as_deref().unwrap_or_default().lines().collect();
        for at in 0..rust.tokens.len() {
            let line = rust.tokens[at].line;
            let is_unwrap = rust.has(at, &[".", "unwrap", "(", ")"]) && !rust.is_test_line(line);
            let nearby = &lines[line.saturating_sub(2)..line.min(lines.len())];
            if is_unwrap && !nearby.iter().any(|line| line.contains("// ")) {
                let message = "`unwrap()` without a word on why it holds".to_owned();
                findings.push(file.finding("no-bare-unwrap", line, message));
            }
        }
    }
    findings
}

/// A lint switched off without saying why.
pub fn allow_has_reason(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, rust) in tree.rust() {
        for at in 0..rust.tokens.len() {
            let is_attribute = rust.has(at, &["#", "["]) || rust.has(at, &["#", "!", "["]);
            let name = if rust.at(at + 1) == "!" { at + 3 } else { at + 2 };
            if !is_attribute || !matches!(rust.at(name), "allow" | "expect") {
                continue;
            }
            let rest = rust.tokens[name..].iter().take_while(|token| token.text != "]");
            if !rest.into_iter().any(|token| token.text == "reason") {
                let message = "the attribute needs `reason = \"…\"`".to_owned();
                findings.push(file.finding("allow-has-reason", rust.tokens[at].line, message));
            }
        }
    }
    findings
}

/// A protocol crate that does not open with the document that it implements.
pub fn names_its_source(tree: &Tree) -> Vec<Finding> {
    let is_root = |file: &&File| {
        file.path.starts_with("protocol/") && file.path.split('/').skip(2).eq(["src", "lib.rs"])
    };
    let names = |line: &str| {
        let number = line.split_once("RFC ").and_then(|(_, rest)| rest.chars().next());
        let has_rfc = number.is_some_and(|digit| digit.is_ascii_digit());
        line.starts_with("//!") && (has_rfc || line.contains("Icecast") || line.contains("://"))
    };
    let mut findings = Vec::new();
    for file in tree.files.iter().filter(is_root) {
        let text = file.text.as_deref().unwrap_or_default();
        if !text.lines().take(SOURCE_LINES_MAX).any(names) {
            let message = "the first lines must name the RFC or other source".to_owned();
            findings.push(file.finding("names-its-source", 1, message));
        }
    }
    findings
}

fn product(tree: &Tree) -> impl Iterator<Item = (&File, &RustText)> {
    tree.rust().filter(|(file, _)| !file.is_test())
}

/// The refused modules in `std::fs` or `std::{fs, …}` at this token.
fn std_modules(rust: &RustText, at: usize) -> Vec<String> {
    if !rust.has(at, &["std", ":", ":"]) {
        return Vec::new();
    }
    let mut found = Vec::new();
    let mut depth = 0_usize;
    let mut is_first = true;
    for token in &rust.tokens[at + 3..] {
        match token.text.as_str() {
            "{" => (depth, is_first) = (depth + 1, depth == 0),
            "}" => depth = depth.saturating_sub(1),
            "," => is_first = depth == 1,
            name => {
                if is_first && STD_MODULES.contains(&name) {
                    found.push(format!("std::{name}"));
                }
                is_first = false;
            }
        }
        if depth == 0 {
            break;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planted(path: &str, text: &str, rule: fn(&Tree) -> Vec<Finding>) -> usize {
        rule(&Tree::planted(&[(path, text)])).len()
    }

    #[test]
    fn io_is_refused_where_there_is_none() {
        let refused = [
            "use std::fs::File;",
            "use std::{fmt, fs};",
            "use std::{fs::File, io};",
            "let now = Instant::now();",
            "fn f() { std::thread::yield_now() }",
            "use std::collections::HashMap;",
            "async fn f() {}",
            "use std::net::TcpStream;",
        ];
        for text in refused {
            assert_eq!(planted("protocol/x/src/a.rs", text, no_io), 1, "{text}");
            assert_eq!(planted("media/x/src/a.rs", text, no_io), 1, "{text}");
            for elsewhere in ["shards/x/src/a.rs", "media/worker/src/a.rs", "media/x/tests/a.rs"] {
                assert_eq!(planted(elsewhere, text, no_io), 0, "{text} in {elsewhere}");
            }
        }
    }

    #[test]
    fn data_and_tests_may_be_named() {
        let allowed = [
            "use std::net::{IpAddr, SocketAddr};",
            "use std::{fmt, sync::Arc, collections::BTreeMap};",
            "use std::time::Instant; // Instant::now is the caller's",
            "#[cfg(test)]\nmod tests { use std::fs; }",
            "use self::{fs::x}; fn fs() {}",
        ];
        for text in allowed {
            assert_eq!(planted("protocol/x/src/a.rs", text, no_io), 0, "{text}");
        }
    }

    #[test]
    fn unsafe_has_one_room() {
        let text = "fn f() { unsafe { g() } }";
        assert_eq!(planted("engine/x/src/a.rs", text, no_unsafe), 1);
        assert_eq!(planted("shards/ring/src/a.rs", text, no_unsafe), 0);
        assert_eq!(planted("engine/x/src/a.rs", "// unsafe\n\"unsafe\";", no_unsafe), 0);
    }

    #[test]
    fn unwrap_needs_a_word() {
        let path = "engine/x/src/a.rs";
        assert_eq!(planted(path, "fn f() { g().unwrap(); }", no_bare_unwrap), 1);
        assert_eq!(planted(path, "// There is always one.\ng().unwrap();", no_bare_unwrap), 0);
        assert_eq!(planted(path, "g().expect(\"one\");", no_bare_unwrap), 0);
        assert_eq!(
            planted(path, "#[cfg(test)]\nmod t { fn f() { g().unwrap() } }", no_bare_unwrap),
            0
        );
        assert_eq!(planted("engine/x/tests/a.rs", "g().unwrap();", no_bare_unwrap), 0);
    }

    #[test]
    fn an_allow_needs_a_reason() {
        let path = "engine/x/src/a.rs";
        assert_eq!(planted(path, "#![allow(clippy::x)]\nfn f() {}", allow_has_reason), 1);
        assert_eq!(planted(path, "#[expect(dead_code)]\nfn f() {}", allow_has_reason), 1);
        assert_eq!(planted(path, "#[allow(x, reason = \"y\")]\nfn f() {}", allow_has_reason), 0);
    }

    #[test]
    fn a_protocol_names_its_document() {
        let path = "protocol/x/src/lib.rs";
        assert_eq!(planted(path, "//! Parses things.\n// RFC 9112", names_its_source), 1);
        assert_eq!(planted(path, "//! The RFC is long.", names_its_source), 1);
        assert_eq!(planted(path, "//! HTTP/1.1 (RFC 9112).", names_its_source), 0);
        assert_eq!(planted("protocol/x/src/a.rs", "//! Parses.", names_its_source), 0);
    }
}
