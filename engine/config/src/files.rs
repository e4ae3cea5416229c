//! `[[files]]`: directories whose files are served.

use std::path::PathBuf;

use crate::check;
use crate::define::keys;

keys! {
    /// A directory whose files are served below a path, behind mounts of the same name: with
    /// `ETag`, ranges and conditions, and as `NAME.br` or `NAME.gz` from beside the file to whoever
    /// takes that. Hidden files and what links lead out of it are not there. There may be several.
    pub struct Files in "files" {
        /// The path below which they are, with a slash at its end.
        prefix: String = String::new(), required(), restart(), example("\"/media/\""),
            check(|files| check::files_prefix(&files.prefix));

        /// The directory.
        directory: PathBuf = PathBuf::new(), required(), restart(),
            example("\"/var/lib/skywave/media\"");

        /// What is served for a directory in it. Empty: nothing.
        index: String = "index.html".into(), restart(),
            check(|files| check::file_name_or_empty(&files.index));
    }
}
