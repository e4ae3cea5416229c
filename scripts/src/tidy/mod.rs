//! `cargo xtask tidy`: the part of taste that a machine can hold.
//!
//! A rule is a function from the [`Tree`] to findings; it reads text and manifests and compiles
//! nothing. What a rule refuses and must yet be allowed stands in [`exceptions`], each with its
//! reason, and an exception that excuses nothing is itself refused, so that the table cannot rot.

mod exceptions;
mod floors;
mod manifests;
mod purity;
mod rust_text;
mod shape;
mod text;
mod tree;
mod words;

use std::fmt;

use anyhow::Result;

use exceptions::{EXCEPTIONS, Exception};
use tree::Tree;

/// Something that a rule refuses.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    path: String,
    /// From 1; 0 where the whole file is meant.
    line: usize,
    rule: &'static str,
    message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}:{}: [{}] {}", self.path, self.line, self.rule, self.message)
    }
}

type Rule = (&'static str, fn(&Tree) -> Vec<Finding>);

/// All rules. The name is what a finding and an exception carry.
const RULES: &[Rule] = &[
    ("floors", floors::edges),
    ("pure-dependencies", floors::pure_dependencies),
    ("lints-inherited", manifests::lints_inherited),
    ("root-lints", manifests::root_lints),
    ("versions-in-one-table", manifests::versions_in_one_table),
    ("opens-with-purpose", shape::opens_with_purpose),
    ("file-length", shape::file_length),
    ("function-length", shape::function_length),
    ("line-length", shape::line_length),
    ("binary-size", shape::binary_size),
    ("no-io", purity::no_io),
    ("no-unsafe", purity::no_unsafe),
    ("no-bare-unwrap", purity::no_bare_unwrap),
    ("allow-has-reason", purity::allow_has_reason),
    ("names-its-source", purity::names_its_source),
    ("glossary", words::glossary),
    ("unfinished", text::unfinished),
    ("machine-path", text::machine_path),
    ("registry-host", text::registry_host),
];

/// Reads the tree, prints what is wrong; true where nothing is.
pub fn run() -> Result<bool> {
    let tree = Tree::read(&crate::process::root())?;
    for note in shape::long_files(&tree) {
        println!("note: {note}");
    }
    let findings = findings(&tree, RULES, EXCEPTIONS);
    for finding in &findings {
        println!("{finding}");
    }
    println!(
        "tidy: {} files, {} rules, {} findings",
        tree.files.len(),
        RULES.len(),
        findings.len()
    );
    Ok(findings.is_empty())
}

fn findings(tree: &Tree, rules: &[Rule], exceptions: &[Exception]) -> Vec<Finding> {
    let mut is_used = vec![false; exceptions.len()];
    let mut left = Vec::new();
    for finding in rules.iter().flat_map(|(_, rule)| rule(tree)) {
        let excused = exceptions.iter().position(|exception| exception.excuses(&finding));
        match excused {
            Some(index) => is_used[index] = true,
            None => left.push(finding),
        }
    }
    let idle = exceptions.iter().zip(&is_used).filter(|(_, is_used)| !**is_used);
    left.extend(idle.map(|(exception, _)| Finding {
        path: "scripts/src/tidy/exceptions.rs".into(),
        line: 0,
        rule: "idle-exception",
        message: format!(
            "`{}` in `{}` excuses nothing: {}",
            exception.rule, exception.path, exception.why
        ),
    }));
    left.sort();
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_wrong(tree: &Tree) -> Vec<Finding> {
        let wrong = |path: &str| Finding {
            path: path.into(),
            line: 1,
            rule: "wrong",
            message: "`word` is wrong".into(),
        };
        tree.files.iter().map(|file| wrong(&file.path)).collect()
    }

    const EXCUSE: Exception =
        Exception { rule: "wrong", path: "a/", text: "`word`", why: "it is a test" };

    #[test]
    fn an_exception_excuses_what_it_names() {
        let tree = Tree::planted(&[("a/x.rs", ""), ("b/x.rs", "")]);
        let left = findings(&tree, &[("wrong", all_wrong)], &[EXCUSE]);
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].path, "b/x.rs");
    }

    #[test]
    fn an_idle_exception_is_a_finding() {
        let left = findings(&Tree::planted(&[]), &[("wrong", all_wrong)], &[EXCUSE]);
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].rule, "idle-exception");
    }

    #[test]
    fn every_exception_names_a_rule_and_says_why() {
        for exception in EXCEPTIONS {
            assert!(RULES.iter().any(|(name, _)| *name == exception.rule), "{}", exception.rule);
            assert!(exception.why.len() > 15, "{} in {}", exception.rule, exception.path);
        }
    }

    #[test]
    fn rules_report_under_their_own_names() {
        let tree =
            Tree::planted(&[("protocol/x/src/lib.rs", "fn f() { unsafe { std::fs::x() } }")]);
        for (name, rule) in RULES {
            assert!(rule(&tree).iter().all(|finding| finding.rule == *name), "{name}");
        }
    }
}
