//! Answers made comparable, what differs between two of them, and the table of what may.

use std::collections::BTreeMap;

use super::requests::Body;

/// A section of the table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// `-` what only Icecast says, `+` what only we say.
    pub lines: Vec<String>,
    /// Why.
    pub reason: String,
}

/// The sections of the table, by the name of their request.
pub fn parse_table(text: &str) -> BTreeMap<String, Difference> {
    let mut sections = BTreeMap::new();
    for section in text.split("\n## ").skip(1) {
        let (name, rest) = section.split_once('\n').unwrap_or((section, ""));
        let (before, after) = rest.split_once("```diff\n").unwrap_or((rest, "```"));
        let (diff, behind) = after.split_once("```").unwrap_or((after, ""));
        let lines = diff.lines().map(str::to_owned).collect();
        let reason = format!("{}{}", before.trim(), behind.trim());
        sections.insert(name.trim().to_owned(), Difference { lines, reason });
    }
    sections
}

/// The lines that only one side has, in order, by the longest common sequence.
pub fn difference(theirs: &[String], ours: &[String]) -> Vec<String> {
    let (rows, columns) = (theirs.len(), ours.len());
    let mut longest = vec![vec![0; columns + 1]; rows + 1];
    for row in (0..rows).rev() {
        for column in (0..columns).rev() {
            longest[row][column] = match theirs[row] == ours[column] {
                true => longest[row + 1][column + 1] + 1,
                false => longest[row + 1][column].max(longest[row][column + 1]),
            };
        }
    }
    let (mut row, mut column) = (0, 0);
    let mut lines = Vec::new();
    while row < rows || column < columns {
        let same = row < rows && column < columns && theirs[row] == ours[column];
        if same {
            row += 1;
            column += 1;
        } else if column == columns
            || row < rows && longest[row + 1][column] >= longest[row][column + 1]
        {
            lines.push(format!("-{}", theirs[row]));
            row += 1;
        } else {
            lines.push(format!("+{}", ours[column]));
            column += 1;
        }
    }
    lines
}

/// An answer in lines, without what is another in each run.
pub fn normalise(answer: &str, port: &str, body: Body) -> Vec<String> {
    if answer.is_empty() {
        return vec!["(closed without a byte)".to_owned()];
    }
    let (head, rest) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
    let mut lines: Vec<String> = head.split("\r\n").map(|line| head_line(line, body)).collect();
    // A second head: `100 Continue` is followed by one.
    if let Some((second, _)) = rest.split_once("\r\n\r\n").filter(|(h, _)| h.starts_with("HTTP/")) {
        lines.extend(second.split("\r\n").map(|line| head_line(line, body)));
        return lines;
    }
    match body {
        Body::Endless if !rest.is_empty() => lines.push("(stream)".to_owned()),
        Body::Page if !rest.is_empty() => lines.push("(page)".to_owned()),
        _ => lines.extend(body_lines(&rest.replace(&format!(":{port}"), ":<port>"))),
    }
    lines
}

fn head_line(line: &str, body: Body) -> String {
    match line.split_once(':') {
        Some(("Date", _)) => "Date: <date>".to_owned(),
        Some(("Server", _)) => "Server: <server>".to_owned(),
        // It follows from the body, which is compared itself, or is another's page.
        Some(("Content-Length", value)) if value.trim() != "0" || body == Body::Page => {
            "Content-Length: <n>".to_owned()
        }
        _ => line.to_owned(),
    }
}

/// Elements and members each on a line; `\r` shows.
fn body_lines(body: &str) -> Vec<String> {
    let text = body.replace("><", ">\n<").replace(",\"", ",\n\"").replace('\r', "\\r");
    text.lines().map(body_line).collect()
}

/// Elements and members whose value is another in each run.
const OF_A_RUN: [&str; 26] = [
    "client_connections",
    "clients",
    "connections",
    "file_connections",
    "listener_connections",
    "server_id",
    "server_start",
    "server_start_iso8601",
    "source_client_connections",
    "source_total_connections",
    "stats_connections",
    "stats",
    "stream_start",
    "stream_start_iso8601",
    "total_bytes_read",
    "total_bytes_sent",
    "Connected",
    "ID",
    "listener_peak",
    "listeners",
    "Listeners",
    "user_agent",
    "source_relay_connections",
    "audio_bitrate",
    "build",
    "sources",
];

fn body_line(line: &str) -> String {
    if let Some((start, _)) = line.split_once(" Listeners: ") {
        return format!("{start} Listeners: …");
    }
    let name = line.trim_start_matches(['<', '"', '{', ' ']);
    let name: String =
        name.chars().take_while(|c| c.is_alphanumeric() || "-_".contains(*c)).collect();
    if !OF_A_RUN.contains(&name.as_str()) {
        return line.to_owned();
    }
    match line.split_once(&format!("{name}>")) {
        Some((start, _)) if line.starts_with('<') => format!("{start}{name}>…</{name}>"),
        _ if line.contains("\":") => format!("\"{name}\":…"),
        _ => line.to_owned(),
    }
}

#[test]
fn lines_of_one_side_are_found_in_order() {
    let lines = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(difference(&lines("a b c"), &lines("a b c")), Vec::<String>::new());
    assert_eq!(difference(&lines("a b c"), &lines("a x c d")), ["-b", "+x", "+d"]);
}

#[test]
fn the_table_is_read() {
    let text =
        "# T\n\nwords\n\n## one\n\nBecause.\n\n```diff\n-a\n+b\n```\n\n## two\n```diff\n-c\n```\n";
    let table = parse_table(text);
    assert_eq!(table["one"].lines, ["-a", "+b"]);
    assert_eq!(table["one"].reason, "Because.");
    assert_eq!((table["two"].lines.len(), table["two"].reason.as_str()), (1, ""));
}
