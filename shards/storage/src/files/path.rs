//! Which paths are served at all, before the kernel is asked. The kernel then holds the rest: that
//! no link leads out of the root (`RESOLVE_BENEATH`).

use super::FileError;

/// The longest path, bytes, and the longest name in it: Linux's own.
const PATH_BYTES_MAX: usize = 4095;
const NAME_BYTES_MAX: usize = 255;
/// The one hidden name that has a public meaning (RFC 8615), as the first of a path.
const WELL_KNOWN: &str = ".well-known";
/// What would be `.`, `/`, `\` or NUL to whoever decodes once more.
const ENCODED: [&str; 4] = ["%2e", "%2f", "%5c", "%00"];

/// Checks a decoded path relative to the root, without its first slash.
pub(crate) fn check(path: &str) -> Result<(), FileError> {
    let is_text = !path.bytes().any(|byte| byte < 0x20 || byte == 0x7f || byte == b'\\');
    if path.is_empty() || path.len() > PATH_BYTES_MAX || !is_text {
        return Err(FileError::Refused);
    }
    let has_encoded = path
        .as_bytes()
        .windows(3)
        .any(|bytes| ENCODED.iter().any(|encoded| bytes.eq_ignore_ascii_case(encoded.as_bytes())));
    if has_encoded {
        return Err(FileError::Refused);
    }
    for (at, name) in path.split('/').enumerate() {
        let is_hidden = name.starts_with('.') && !(at == 0 && name == WELL_KNOWN);
        if name.is_empty() || name.len() > NAME_BYTES_MAX || is_hidden {
            return Err(FileError::Refused);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_paths_are_served() {
        let long = "n".repeat(NAME_BYTES_MAX);
        for path in
            ["a", "a/b.c", "a..b", "a%20b", "ä/ö", "a b", ".well-known/acme-challenge/x", &long]
        {
            assert_eq!(check(path), Ok(()), "{path}");
        }
    }

    #[test]
    fn paths_with_a_second_meaning_are_not() {
        let long_name = "n".repeat(NAME_BYTES_MAX + 1);
        let long_path = "n/".repeat(PATH_BYTES_MAX / 2) + "nn";
        for path in [
            "",
            "/",
            "/etc/passwd",
            "..",
            "../a",
            "a/..",
            "a/../b",
            ".",
            "./a",
            "a/.",
            "a//b",
            "a/",
            "a\0",
            "a\\b",
            "..\\a",
            "%2e%2e/a",
            "a/%2E%2e/b",
            "a%2fb",
            "a%5Cb",
            "a%00",
            ".hidden",
            "a/.hidden",
            ".git/config",
            "a/.well-known",
            "a\nb",
            "a\x7fb",
            &long_name,
            &long_path,
        ] {
            assert_eq!(check(path), Err(FileError::Refused), "{path:?}");
        }
    }
}
