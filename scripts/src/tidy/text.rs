//! What no text file says: that it is unfinished, where one machine keeps things, or where packages
//! come from.

use super::Finding;
use super::tree::Tree;

const UNFINISHED: &[&str] = &["TODO", "FIXME", "XXX", "HACK"];

/// The folders of people and of build machines.
const MACHINE_FOLDERS: &[&str] = &["/home/", "/root/", "/work/", "/Users/", "/builds/"];

const REGISTRIES: &[&str] = &[
    "crates.io",
    "registry.npmjs.org",
    "npmjs.com",
    "pypi.org",
    "deb.debian.org",
    "rubygems.org",
    "proxy.golang.org",
];

/// A note that something is still to be done. It is done, or it is an issue.
pub fn unfinished(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, number, line) in tree.lines() {
        let words = line.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
        let found = words.filter(|word| UNFINISHED.contains(word));
        findings.extend(found.map(|word| {
            file.finding("unfinished", number, format!("`{word}`: do it, or open an issue"))
        }));
    }
    findings
}

/// A path that exists on one machine only.
pub fn machine_path(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, number, line) in tree.lines() {
        for folder in MACHINE_FOLDERS {
            // `example.org/home/` is a link, and `../work/` starts elsewhere.
            let starts_path = |at: usize| {
                let before = line[..at].chars().next_back().unwrap_or(' ');
                !before.is_alphanumeric() && !"./-_}".contains(before)
            };
            if line.match_indices(folder).any(|(at, _)| starts_path(at)) {
                let message = format!("`{folder}` is a folder of one machine");
                findings.push(file.finding("machine-path", number, message));
            }
        }
    }
    findings
}

/// The name of a package registry: which one is the machine's own setting.
pub fn registry_host(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    // Cargo writes the lock file, and the index it was resolved against.
    for (file, number, line) in tree.lines().filter(|(file, ..)| !file.path.ends_with("Cargo.lock"))
    {
        let found = REGISTRIES.iter().filter(|host| line.contains(**host));
        findings.extend(found.map(|host| {
            file.finding("registry-host", number, format!("`{host}` is a package registry"))
        }));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(path: &str, text: &str, rule: fn(&Tree) -> Vec<Finding>) -> usize {
        rule(&Tree::planted(&[(path, text)])).len()
    }

    #[test]
    fn unfinished_work_is_refused() {
        assert_eq!(count("a.rs", "// TODO: more", unfinished), 1);
        assert_eq!(count("a.sh", "# FIXME", unfinished), 1);
        assert_eq!(count("a.rs", "let todo = MY_TODO_LIST;", unfinished), 0);
    }

    #[test]
    fn machine_paths_are_refused() {
        assert_eq!(count("a.md", "see /home/me/x", machine_path), 1);
        assert_eq!(count("a.rs", "\"/root/x\"", machine_path), 1);
        assert_eq!(count("a.md", "https://example.org/home/x ../work/x", machine_path), 0);
    }

    #[test]
    fn registries_are_refused() {
        assert_eq!(count("a.toml", "index = \"https://crates.io/x\"", registry_host), 1);
        assert_eq!(count("Cargo.lock", "crates.io-index", registry_host), 0);
    }
}
