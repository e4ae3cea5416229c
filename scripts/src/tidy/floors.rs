//! Who may depend on whom: the floors of the architecture, from what cargo knows.
//!
//! *Invariant:* the ground floors do not know each other, and nobody knows the roof. Tests may use
//! anything: what only they need is exempt.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use super::{Finding, tree::Tree};

/// A package of the workspace.
#[derive(Debug)]
pub struct Package {
    /// Its folder from the root, such as `protocol/http`.
    pub folder: String,
    /// What the product needs.
    pub dependencies: Vec<Dependency>,
}

/// A dependency that is not for tests alone.
#[derive(Debug)]
pub struct Dependency {
    /// The crate's name.
    pub name: String,
    /// Its folder from the root, where it is one of ours.
    pub folder: Option<String>,
}

impl Package {
    /// All packages from `cargo metadata`.
    ///
    /// # Errors
    /// Where the answer is not of the known shape.
    pub fn all_from(metadata: &Value, root: &Path) -> Result<Vec<Package>> {
        let packages = metadata["packages"].as_array().context("metadata without packages")?;
        let below = |path: &str| {
            let folder = Path::new(path).strip_prefix(root).ok()?;
            Some(folder.to_string_lossy().into_owned())
        };
        let dependency = |value: &Value| {
            let name = value["name"].as_str().unwrap_or_default().to_owned();
            Dependency { name, folder: value["path"].as_str().and_then(below) }
        };
        let package = |value: &Value| {
            let manifest = value["manifest_path"].as_str().context("package without manifest")?;
            let folder = manifest.strip_suffix("/Cargo.toml").unwrap_or(manifest);
            let dependencies = value["dependencies"].as_array().context("no dependencies")?;
            let of_product = dependencies.iter().filter(|value| value["kind"] != "dev");
            Ok(Package {
                folder: below(folder).context("a package outside the root")?,
                dependencies: of_product.map(dependency).collect(),
            })
        };
        packages.iter().map(package).collect()
    }

    fn finding(&self, rule: &'static str, message: String) -> Finding {
        Finding { path: format!("{}/Cargo.toml", self.folder), line: 0, rule, message }
    }
}

/// From a floor to the floors that it may stand on.
const EDGES: &[(&str, &[&str])] = &[
    ("shards", &["shards"]),
    ("protocol", &["protocol"]),
    ("media", &["media"]),
    ("engine", &["engine", "shards", "protocol", "media"]),
    ("bench", &["engine", "shards", "protocol", "media"]),
    ("scripts", &["engine", "shards", "protocol", "media", "bench"]),
];

/// Protocols stand beside each other; these two are the same protocol said twice.
const PROTOCOL_EDGES: &[(&str, &str)] =
    &[("protocol/icy", "protocol/http"), ("protocol/turn", "protocol/stun")];

/// Crates that do what a crate without I/O must not: talk to the kernel, wait, draw or log.
const IMPURE: &[&str] = &[
    "async-std",
    "crossbeam-channel",
    "fastrand",
    "getrandom",
    "glommio",
    "io-uring",
    "libc",
    "log",
    "mio",
    "nix",
    "rand",
    "rustix",
    "smol",
    "socket2",
    "tokio",
    "tracing",
];

/// An edge between crates that the architecture does not have.
pub fn edges(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in &tree.packages {
        let allowed = EDGES.iter().find(|(floor, _)| *floor == floor_of(&package.folder));
        let Some((_, allowed)) = allowed else {
            let message = format!("`{}` is on no floor of the architecture", package.folder);
            findings.push(package.finding("floors", message));
            continue;
        };
        for to in package.dependencies.iter().filter_map(|to| to.folder.as_deref()) {
            let is_beside = floor_of(to) == "protocol" && floor_of(&package.folder) == "protocol";
            let is_known = PROTOCOL_EDGES.contains(&(package.folder.as_str(), to));
            if !allowed.contains(&floor_of(to)) || is_beside && !is_known {
                let message = format!("`{}` may not depend on `{to}`", package.folder);
                findings.push(package.finding("floors", message));
            }
        }
    }
    findings
}

/// A crate without I/O that depends on one that does I/O.
pub fn pure_dependencies(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in tree.packages.iter().filter(|package| is_pure(&package.folder)) {
        let impure = package.dependencies.iter().filter(|to| IMPURE.contains(&to.name.as_str()));
        for to in impure {
            let message =
                format!("`{}` performs no I/O and cannot need `{}`", package.folder, to.name);
            findings.push(package.finding("pure-dependencies", message));
        }
    }
    findings
}

/// Whether what lies here performs no I/O: protocols and media, without the worker.
pub fn is_pure(path: &str) -> bool {
    matches!(floor_of(path), "protocol" | "media") && !path.starts_with("media/worker")
}

fn floor_of(path: &str) -> &str {
    path.split('/').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(edges: &[(&str, &str)]) -> Tree {
        let package = |(from, to): &(&str, &str)| Package {
            folder: (*from).into(),
            dependencies: vec![Dependency {
                name: to.replace('/', "-"),
                folder: to.contains('/').then(|| (*to).into()),
            }],
        };
        Tree { files: Vec::new(), packages: edges.iter().map(package).collect() }
    }

    #[test]
    fn allowed_edges_pass() {
        let allowed = [
            ("shards/ring", "shards/runtime"),
            ("protocol/icy", "protocol/http"),
            ("engine/node", "media/mount"),
            ("bench", "shards/ring"),
            ("media/mount", "bytes"),
        ];
        assert_eq!(edges(&tree(&allowed)), []);
    }

    #[test]
    fn other_edges_are_refused() {
        let refused = [
            ("protocol/http", "shards/runtime"),
            ("media/mount", "protocol/http"),
            ("shards/ring", "engine/config"),
            ("protocol/http", "protocol/icy"),
            ("engine/node", "bench/x"),
            ("helpers/x", "bytes"),
        ];
        assert_eq!(edges(&tree(&refused)).len(), refused.len());
    }

    #[test]
    fn a_pure_crate_stays_pure() {
        assert_eq!(pure_dependencies(&tree(&[("protocol/http", "tokio")])).len(), 1);
        assert_eq!(pure_dependencies(&tree(&[("media/mount", "libc")])).len(), 1);
        assert_eq!(pure_dependencies(&tree(&[("media/worker", "libc"), ("bench", "libc")])), []);
    }

    #[test]
    fn metadata_is_read_and_tests_are_exempt() {
        let metadata = serde_json::json!({ "packages": [{
            "manifest_path": "/r/protocol/icy/Cargo.toml",
            "dependencies": [
                { "name": "protocol-http", "path": "/r/protocol/http", "kind": null },
                { "name": "shards-runtime", "path": "/r/shards/runtime", "kind": "dev" },
            ],
        }]});
        let packages = Package::all_from(&metadata, Path::new("/r")).expect("the known shape");
        assert_eq!(packages[0].folder, "protocol/icy");
        assert_eq!(packages[0].dependencies.len(), 1);
        assert_eq!(packages[0].dependencies[0].folder.as_deref(), Some("protocol/http"));
        assert!(Package::all_from(&serde_json::json!({}), Path::new("/r")).is_err());
    }
}
