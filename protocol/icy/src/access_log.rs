//! One line for each connection, as Icecast's access log and so every log analyser has it
//! (Icecast 2.4.4, src/logging.c, `logging_access`): the combined format, and seconds at the end.
//!
//! ```text
//!  127.0.0.1 - bob [21/Nov/2026:00:07:37 +0000] "GET /live.mp3 HTTP/1.1" 200 89876 "-" "mpv" 3
//! ```
//!
//! Values are the client's. What could end a field or a line is percent-encoded.

use std::net::IpAddr;

use protocol_http::{HTTP_DATE_BYTES, write_http_date};

const FIELD_BYTES_MAX: usize = 1024;

/// What a line says. The time is that of the end; the query is left out, for it holds secrets.
#[derive(Debug, Clone, Copy)]
pub struct AccessLine<'a> {
    /// The client.
    pub peer: IpAddr,
    /// Who it said it is, if that was right.
    pub user: Option<&'a str>,
    /// Seconds since 1970.
    pub unix_seconds: u64,
    /// The method.
    pub method: &'a str,
    /// The path; what follows a `?` is not written.
    pub path: &'a str,
    /// `HTTP/1.1`; `ICY/1.1` for the dialect of SHOUTcast.
    pub protocol: &'a str,
    /// The answer's status.
    pub status: u16,
    /// Bytes that were sent, heads included.
    pub bytes: u64,
    /// The `Referer`.
    pub referer: Option<&'a str>,
    /// The `User-Agent`.
    pub agent: Option<&'a str>,
    /// How long the connection lasted, seconds.
    pub duration_s: u64,
}

/// The line, without its end.
pub fn access_line(line: &AccessLine<'_>) -> String {
    let path = line.path.split('?').next().unwrap_or_default();
    let mut out = String::with_capacity(192);
    out += &line.peer.to_canonical().to_string();
    out += " - ";
    push_field(line.user.unwrap_or("-"), false, &mut out);
    out += " [";
    push_time(line.unix_seconds, &mut out);
    out += "] \"";
    push_field(line.method, false, &mut out);
    out.push(' ');
    push_field(path, false, &mut out);
    out.push(' ');
    push_field(line.protocol, false, &mut out);
    out += &format!("\" {} {} \"", line.status, line.bytes);
    push_field(line.referer.unwrap_or("-"), true, &mut out);
    out += "\" \"";
    push_field(line.agent.unwrap_or("-"), true, &mut out);
    out += &format!("\" {}", line.duration_s);
    out
}

/// `21/Nov/2026:00:07:37 +0000`
fn push_time(unix_seconds: u64, out: &mut String) {
    let mut date = Vec::with_capacity(HTTP_DATE_BYTES);
    write_http_date(unix_seconds, &mut date);
    // Sat, 21 Nov 2026 00:07:37 GMT
    let part = |from: usize, to: usize| date[from..to].iter().map(|byte| char::from(*byte));
    out.extend(part(5, 7).chain(['/']).chain(part(8, 11)).chain(['/']));
    out.extend(part(12, 16).chain([':']).chain(part(17, 25)));
    out.push_str(" +0000");
}

fn push_field(value: &str, with_blanks: bool, out: &mut String) {
    if value.is_empty() {
        out.push('-');
    }
    for byte in value.bytes().take(FIELD_BYTES_MAX) {
        match byte {
            b' ' if with_blanks => out.push(' '),
            b'"' | b'\\' => *out += &format!("%{byte:02X}"),
            b'!'..=b'~' => out.push(char::from(byte)),
            _ => *out += &format!("%{byte:02X}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: AccessLine<'static> = AccessLine {
        peer: IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
        user: None,
        unix_seconds: 1_795_219_582,
        method: "GET",
        path: "/live.mp3",
        protocol: "HTTP/1.1",
        status: 200,
        bytes: 130_633,
        referer: None,
        agent: Some("curl/7.88.1"),
        duration_s: 4,
    };

    #[test]
    fn lines_are_icecasts() {
        assert_eq!(
            access_line(&LINE),
            "127.0.0.1 - - [21/Nov/2026:00:06:22 +0000] \"GET /live.mp3 HTTP/1.1\" 200 130633 \
             \"-\" \"curl/7.88.1\" 4"
        );
        let line = AccessLine { user: Some("bob"), path: "/admin/metadata?pass=x", ..LINE };
        let line = access_line(&line);
        assert!(line.contains(" - bob [") && line.contains("\"GET /admin/metadata HTTP/1.1\""));
        let mapped = AccessLine { peer: "::ffff:192.0.2.7".parse().unwrap(), ..LINE };
        assert!(access_line(&mapped).starts_with("192.0.2.7 - - ["));
    }

    #[test]
    fn nothing_of_the_client_ends_a_field_or_a_line() {
        let line = access_line(&AccessLine {
            user: Some("a b\n[x] \""),
            path: "/a b\"\r\nc\\é",
            referer: Some(""),
            agent: Some("a\" 200 \"b\nc d"),
            ..LINE
        });
        assert!(line.contains(" - a%20b%0A[x]%20%22 ["), "{line}");
        assert!(line.contains("\"GET /a%20b%22%0D%0Ac%5C%C3%A9 HTTP/1.1\""), "{line}");
        assert!(line.ends_with("\"-\" \"a%22 200 %22b%0Ac d\" 4"), "{line}");
        assert!(line.chars().all(|char| char.is_ascii_graphic() || char == ' '));
    }
}
