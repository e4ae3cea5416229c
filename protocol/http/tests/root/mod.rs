//! Files for servers of several test processes at the same time.

use std::path::{Path, PathBuf};

/// The directory of this name with these files in it. A file that is there already and the same
/// is left alone, and a new one appears as a whole: others may be reading it.
pub fn root(name: &str, files: &[(&str, &[u8])]) -> PathBuf {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    for (name, bytes) in files {
        let path = root.join(name);
        if std::fs::read(&path).is_ok_and(|present| present == *bytes) {
            continue;
        }
        std::fs::create_dir_all(path.parent().expect("a file has a folder")).unwrap();
        let fresh = root.join(format!("fresh-{}", std::process::id()));
        std::fs::write(&fresh, bytes).unwrap();
        std::fs::rename(&fresh, &path).unwrap();
    }
    root
}
