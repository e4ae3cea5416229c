//! Manifests: one table of versions and one of lints, and every crate under both.

use toml::{Table, Value};

use super::Finding;
use super::tree::{File, Tree};

/// The one crate that may have `unsafe`, and therefore its own lints.
const OWN_LINTS: &str = "shards/ring/Cargo.toml";

/// A package of its own that cargo-fuzz builds; the workspace cannot lend it versions or lints.
const OWN_WORKSPACE: &str = "scripts/fuzz/Cargo.toml";

/// A crate that does not take the workspace's lints.
pub fn lints_inherited(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, manifest) in members(tree) {
        let inherits = value(&manifest, &["lints", "workspace"]) == Some(&Value::Boolean(true));
        if !inherits && file.path != OWN_LINTS {
            let message = "`[lints] workspace = true` is missing".to_owned();
            findings.push(file.finding("lints-inherited", 0, message));
        }
    }
    findings
}

/// Lints that the root, and the crate with its own, must have.
pub fn root_lints(tree: &Tree) -> Vec<Finding> {
    let wanted: [(&str, &[&str], &str); 6] = [
        ("Cargo.toml", &["workspace", "lints", "rust", "unsafe_code"], "forbid"),
        ("Cargo.toml", &["workspace", "lints", "rust", "missing_docs"], "deny"),
        ("Cargo.toml", &["workspace", "lints", "clippy", "disallowed_methods"], "deny"),
        (OWN_LINTS, &["lints", "rust", "missing_docs"], "deny"),
        (OWN_LINTS, &["lints", "clippy", "undocumented_unsafe_blocks"], "deny"),
        (OWN_LINTS, &["lints", "clippy", "disallowed_methods"], "deny"),
    ];
    let mut findings = Vec::new();
    for file in tree.files.iter() {
        let Some(manifest) = parsed(file) else { continue };
        for (_, keys, level) in wanted.iter().filter(|(path, ..)| *path == file.path) {
            if value(&manifest, keys).and_then(Value::as_str) != Some(level) {
                let message = format!("`{} = \"{level}\"` is missing", keys.join("."));
                findings.push(file.finding("root-lints", 0, message));
            }
        }
    }
    findings
}

/// A dependency, or the package itself, with a version of its own.
pub fn versions_in_one_table(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, manifest) in members(tree) {
        let mut refuse = |name: &str| {
            let message = format!("`{name}` has a version, path or source of its own");
            findings.push(file.finding("versions-in-one-table", 0, message));
        };
        for table in dependency_tables(&manifest) {
            for (name, dependency) in table {
                if dependency.get("workspace") != Some(&Value::Boolean(true)) {
                    refuse(name);
                }
            }
        }
        for key in ["version", "edition", "rust-version", "license"] {
            if value(&manifest, &["package", key, "workspace"]) != Some(&Value::Boolean(true)) {
                refuse(key);
            }
        }
    }
    findings
}

fn members(tree: &Tree) -> impl Iterator<Item = (&File, Table)> {
    let manifests = tree
        .files
        .iter()
        .filter(|file| file.path.ends_with("/Cargo.toml") && file.path != OWN_WORKSPACE);
    manifests.filter_map(|file| parsed(file).map(|manifest| (file, manifest)))
}

/// A manifest that cannot be read is cargo's to refuse.
fn parsed(file: &File) -> Option<Table> {
    let is_manifest = file.path == "Cargo.toml" || file.path.ends_with("/Cargo.toml");
    file.text.as_deref().filter(|_| is_manifest)?.parse().ok()
}

fn value<'a>(table: &'a Table, keys: &[&str]) -> Option<&'a Value> {
    let (first, rest) = keys.split_first()?;
    rest.iter().try_fold(table.get(*first)?, |value, key| value.get(key))
}

fn dependency_tables(manifest: &Table) -> Vec<&Table> {
    const KINDS: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];
    let targets = manifest.get("target").and_then(Value::as_table);
    let by_target =
        targets.into_iter().flat_map(|table| table.values().filter_map(Value::as_table));
    let holders = std::iter::once(manifest).chain(by_target);
    let tables = holders.flat_map(|table| KINDS.iter().filter_map(|kind| table.get(*kind)));
    tables.filter_map(Value::as_table).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "[package]\nname = \"x\"\nversion.workspace = true\n\
        edition.workspace = true\nrust-version.workspace = true\nlicense.workspace = true\n\
        [lints]\nworkspace = true\n[dependencies]\nbytes.workspace = true\n";

    #[test]
    fn a_plain_member_passes() {
        let tree = Tree::planted(&[("media/x/Cargo.toml", GOOD)]);
        assert_eq!(lints_inherited(&tree), []);
        assert_eq!(versions_in_one_table(&tree), []);
    }

    #[test]
    fn own_lints_are_refused_but_in_the_ring() {
        let without = GOOD.replace("[lints]\nworkspace = true\n", "");
        let files = [("media/x/Cargo.toml", &*without), ("shards/ring/Cargo.toml", &*without)];
        let found = lints_inherited(&Tree::planted(&files));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].path, "media/x/Cargo.toml");
    }

    #[test]
    fn own_versions_are_refused() {
        let own = [
            GOOD.replace("bytes.workspace = true", "bytes = \"1\""),
            GOOD.replace("bytes.workspace = true", "bytes = { path = \"../bytes\" }"),
            GOOD.replace("version.workspace = true\nedition", "version = \"1.0.0\"\nedition"),
            format!("{GOOD}[target.'cfg(unix)'.dependencies]\nlibc = \"1\"\n"),
        ];
        for manifest in own {
            let tree = Tree::planted(&[("media/x/Cargo.toml", &manifest)]);
            assert_eq!(versions_in_one_table(&tree).len(), 1, "{manifest}");
        }
    }

    #[test]
    fn the_root_must_forbid_unsafe() {
        let root = "[workspace.lints.rust]\nmissing_docs = \"deny\"\nunsafe_code = \"deny\"\n\
            [workspace.lints.clippy]\ndisallowed_methods = \"deny\"\n";
        let found = root_lints(&Tree::planted(&[("Cargo.toml", root)]));
        assert_eq!(found.len(), 1);
        assert!(found[0].message.contains("unsafe_code"));
    }
}
