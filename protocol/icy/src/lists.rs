//! The line-based answers: the mounts for a slave, and the events of `STATS`.

use crate::text::one_line;

/// A `STATS` line of this length or longer is left out (Icecast 2.4.4, src/stats.c: its buffer).
pub const STATS_LINE_BYTES_MAX: usize = 200;

/// The body of `/admin/streamlist.txt`: one mount, or full URL, a line.
pub fn stream_list<'a>(mounts: impl Iterator<Item = &'a str>) -> String {
    mounts.map(|mount| one_line(mount) + "\r\n").collect()
}

/// `EVENT /live.mp3 listeners 3`, for everything a `STATS` client is told. `mount` is `None` for
/// what the server counts; `value` is `None` for what is gone. `None` when the line is too long.
pub fn stats_line(mount: Option<&str>, name: &str, value: Option<&str>) -> Option<String> {
    let mount = one_line(mount.unwrap_or("global"));
    let (name, value) = (one_line(name), one_line(value.unwrap_or("null")));
    let line = format!("EVENT {mount} {name} {value}\n");
    (line.len() < STATS_LINE_BYTES_MAX).then_some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slave_gets_one_mount_a_line() {
        let list = stream_list(["/auth.mp3", "/li\nve.ogg"].into_iter());
        assert_eq!(list, "/auth.mp3\r\n/li ve.ogg\r\n");
    }

    #[test]
    fn stats_lines() {
        let line = |mount, value| stats_line(mount, "listeners", value);
        assert_eq!(line(None, Some("3")).unwrap(), "EVENT global listeners 3\n");
        assert_eq!(line(Some("/a"), None).unwrap(), "EVENT /a listeners null\n");
        assert_eq!(line(Some("/a"), Some("x\ny")).unwrap(), "EVENT /a listeners x y\n");
        assert_eq!(line(None, Some(&"x".repeat(200))), None);
    }
}
