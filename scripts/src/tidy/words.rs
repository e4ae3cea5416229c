//! One word, one meaning: names that lost against another in the glossary, where they are declared.
//!
//! Only declared names are looked at (`fn`, `struct`, `mod`, `pub` fields …): that is where a word
//! enters the vocabulary. Uses follow; what other crates call their things is not ours to choose.

use super::Finding;
use super::rust_text::RustText;
use super::tree::Tree;

/// A word that is not used, and the word that is.
struct Loser {
    word: &'static str,
    winner: &'static str,
    /// Folders in which the word has lost; all where empty.
    only_in: &'static [&'static str],
    /// Folders in which it is the field's own noun.
    but_in: &'static [&'static str],
    /// Whether a qualified name (`icy_metadata`) is meant too.
    even_qualified: bool,
}

const EVERYWHERE: Loser =
    Loser { word: "", winner: "", only_in: &[], but_in: &[], even_qualified: true };

/// Where TURN is spoken of: its relay and its allocations are the RFC's nouns. Symple has a relay.
const IN_TURN: &[&str] = &[
    "protocol/turn/",
    "protocol/symple/",
    "bench/src/turn",
    "engine/relay/",
    "engine/config/src/turn",
    "engine/control/src/render/turn",
    "engine/control/src/turn",
    "engine/node/src/turn",
    "engine/server/src/turn",
    "engine/server/tests/e2e/turn",
    "engine/sim/src/turn",
];

const LOSERS: &[Loser] = &[
    Loser { word: "metadata", winner: "title", even_qualified: false, ..EVERYWHERE },
    Loser { word: "relay", winner: "pull", but_in: IN_TURN, ..EVERYWHERE },
    Loser { word: "ring", winner: "window", only_in: &["media/", "protocol/"], ..EVERYWHERE },
    Loser { word: "channel", winner: "queue", only_in: &["shards/"], ..EVERYWHERE },
    Loser { word: "allocation", winner: "reserve", but_in: IN_TURN, ..EVERYWHERE },
    Loser { word: "broadcaster", winner: "source", ..EVERYWHERE },
    Loser { word: "reactor", winner: "shard", ..EVERYWHERE },
    // Whole words.
    Loser { word: "cfg", winner: "config", ..EVERYWHERE },
    Loser { word: "cnt", winner: "count", ..EVERYWHERE },
    Loser { word: "conn", winner: "connection", ..EVERYWHERE },
    Loser { word: "ctx", winner: "context", ..EVERYWHERE },
    Loser { word: "hdr", winner: "header", ..EVERYWHERE },
    Loser { word: "idx", winner: "index", ..EVERYWHERE },
    Loser { word: "mgr", winner: "the thing that it manages", ..EVERYWHERE },
    Loser { word: "msg", winner: "message", ..EVERYWHERE },
    Loser { word: "pkt", winner: "packet", ..EVERYWHERE },
    Loser { word: "resp", winner: "response", ..EVERYWHERE },
    // Rooms without an owner.
    Loser { word: "common", winner: "its owner", even_qualified: false, ..EVERYWHERE },
    Loser { word: "helpers", winner: "its owner", even_qualified: false, ..EVERYWHERE },
    Loser { word: "misc", winner: "its owner", even_qualified: false, ..EVERYWHERE },
    Loser { word: "utils", winner: "its owner", even_qualified: false, ..EVERYWHERE },
    Loser { word: "util", winner: "its owner", even_qualified: false, ..EVERYWHERE },
];

/// A declared name with a word that lost.
pub fn glossary(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, rust) in tree.rust().filter(|(file, _)| !file.is_test()) {
        for at in (0..rust.tokens.len()).filter(|at| is_declared(rust, *at)) {
            let token = &rust.tokens[at];
            if rust.is_test_line(token.line) {
                continue;
            }
            let words = words_of(&token.text);
            let lost = LOSERS.iter().find(|loser| loser.is_in(&file.path, &words));
            findings.extend(lost.map(|loser| {
                let message =
                    format!("`{}`: say {} for `{}`", token.text, loser.winner, loser.word);
                file.finding("glossary", token.line, message)
            }));
        }
    }
    findings
}

impl Loser {
    fn is_in(&self, path: &str, words: &[String]) -> bool {
        let is_below = |folder: &&str| path.starts_with(*folder);
        let is_here = self.only_in.is_empty() || self.only_in.iter().any(is_below);
        let is_alone = words.len() == 1 || self.even_qualified;
        let is_said = words.iter().any(|word| word == self.word);
        is_said && is_alone && is_here && !self.but_in.iter().any(is_below)
    }
}

fn is_declared(rust: &RustText, at: usize) -> bool {
    const KEYWORDS: [&str; 8] = ["fn", "struct", "enum", "trait", "mod", "const", "static", "type"];
    let before = if at == 0 { "" } else { rust.at(at - 1) };
    let is_field = matches!(before, "pub" | ")") && rust.at(at + 1) == ":";
    KEYWORDS.contains(&before) || is_field && rust.at(at + 2) != ":"
}

/// `icy_metadata` and `IcyMetadata` are both `icy`, `metadata`.
fn words_of(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut was_lower = false;
    for letter in name.chars() {
        if letter == '_' || letter.is_uppercase() && was_lower {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| letter != '_') {
            word.extend(letter.to_lowercase());
        }
        was_lower = letter.is_lowercase();
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(path: &str, text: &str) -> usize {
        glossary(&Tree::planted(&[(path, text)])).len()
    }

    #[test]
    fn names_are_taken_apart() {
        assert_eq!(words_of("icy_metadata"), ["icy", "metadata"]);
        assert_eq!(words_of("IcyMetadata"), ["icy", "metadata"]);
        assert_eq!(words_of("RELAY_MAX"), ["relay", "max"]);
        assert_eq!(words_of("_"), [""; 0]);
    }

    #[test]
    fn losers_are_refused_where_they_are_declared() {
        let refused = [
            "fn metadata() {}",
            "struct RelayClient;",
            "pub struct A { pub relay: u8 }",
            "pub struct A { pub(crate) conn: u8 }",
            "mod util;",
            "const CTX: u8 = 1;",
        ];
        for text in refused {
            assert_eq!(count("engine/x/src/a.rs", text), 1, "{text}");
        }
    }

    #[test]
    fn uses_and_qualified_names_pass() {
        let allowed = [
            "fn icy_metadata() {}",
            "let x = std::fs::metadata(y);",
            "// relay",
            "fn f() { g(relay::x) }",
            "fn spring() {}",
        ];
        for text in allowed {
            assert_eq!(count("engine/x/src/a.rs", text), 0, "{text}");
        }
    }

    #[test]
    fn some_words_lose_in_some_folders() {
        assert_eq!(count("media/mount/src/a.rs", "struct RingBuffer;"), 1);
        assert_eq!(count("shards/ring/src/a.rs", "struct Ring;"), 0);
        assert_eq!(count("protocol/turn/src/a.rs", "struct Relay;"), 0);
        assert_eq!(count("shards/mesh/src/a.rs", "fn channel() {}"), 1);
        assert_eq!(count("media/framing/src/a.rs", "fn channel() {}"), 0);
    }
}
