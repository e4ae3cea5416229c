//! JSON: `/status-json.xsl` in the shape of Icecast's stylesheet, and `/health`.
//!
//! That stylesheet knows only text, so it guesses types: what looks like a number becomes one, a
//! title `true` becomes `true`, an empty value `null`. Programs live with it, and so the guess
//! belongs to the shape; ours is always valid JSON.

use super::escape::push_json_string;
use super::facts::{Facts, MOUNT_PRIVATE, SERVER_PUBLIC, listed, mount_facts, server_facts};
use crate::view::View;

/// The public statistics. `source` is absent, an object or an array for no, one and more mounts.
pub(crate) fn status_json(view: &View, mount_filter: Option<&str>) -> String {
    let mut out = String::from("{\"icestats\":{");
    let server = server_facts(view);
    push_pairs(&server, |name| SERVER_PUBLIC.contains(&name), &mut out);
    let sources: Vec<String> = listed(view, mount_filter)
        .filter(|mount| !mount.hidden)
        .map(|mount| source_json(&mount_facts(view, mount)))
        .collect();
    match sources.as_slice() {
        [] => out.push_str("\"dummy\":null"),
        [one] => {
            out.push_str("\"source\":");
            out.push_str(one);
        }
        several => {
            out.push_str("\"source\":[");
            out.push_str(&several.join(","));
            out.push(']');
        }
    }
    out.push_str("}}");
    out
}

/// What a load balancer asks for.
pub(crate) fn health(view: &View, ready: bool) -> String {
    let listeners: u64 = view.shards.iter().map(|shard| shard.listeners_count).sum();
    let sources = view.mounts.iter().filter(|mount| mount.source.is_some()).count();
    let uptime_s = view.now.saturating_sub(view.started).as_secs();
    let status = match ready {
        true => "ok",
        // No shard has reported yet.
        false if view.shards.is_empty() => "starting",
        false => "stopping",
    };
    let mut out = format!("{{\"status\":\"{status}\",\"ready\":{ready},\"server_id\":");
    push_json_string(&view.server_id, &mut out);
    out.push_str(&format!(
        ",\"uptime_s\":{uptime_s},\"shards\":{},\"sources\":{sources},\
         \"listeners\":{listeners}}}\n",
        view.shards.len(),
    ));
    out
}

fn source_json(facts: &Facts) -> String {
    let mut out = String::from("{");
    push_pairs(facts, |name| !MOUNT_PRIVATE.contains(&name), &mut out);
    out.push_str("\"dummy\":null}");
    out
}

/// `"name":value,` for each name that is shown.
fn push_pairs(facts: &Facts, is_shown: impl Fn(&str) -> bool, out: &mut String) {
    for (name, value) in facts.iter().filter(|(name, _)| is_shown(name)) {
        push_json_string(name, out);
        out.push(':');
        push_guessed(value, out);
        out.push(',');
    }
}

/// Appends a value as what it looks like.
fn push_guessed(value: &str, out: &mut String) {
    if value.is_empty() {
        out.push_str("null");
    } else if value.eq_ignore_ascii_case("true") {
        out.push_str("true");
    } else if value.eq_ignore_ascii_case("false") {
        out.push_str("false");
    } else if is_number(value) {
        push_number(value, out);
    } else {
        push_json_string(value, out);
    }
}

/// Whether XPath takes it for a number, and no zero that JSON forbids leads it.
fn is_number(value: &str) -> bool {
    let digits = value.strip_prefix('-').unwrap_or(value);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let has_digits = !whole.is_empty() || !fraction.is_empty();
    let leads_with_zero = whole.len() > 1 && whole.starts_with('0');
    has_digits && all_digits(whole) && all_digits(fraction) && !leads_with_zero
}

/// Appends a number; `.5` and `5.` are none in JSON, and get their zero.
fn push_number(value: &str, out: &mut String) {
    let digits = value.strip_prefix('-').unwrap_or(value);
    if value.starts_with('-') {
        out.push('-');
    }
    if digits.starts_with('.') {
        out.push('0');
    }
    out.push_str(digits);
    if digits.ends_with('.') {
        out.push('0');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_guessed_as_the_stylesheet_does() {
        let table = [
            ("", "null"),
            ("123", "123"),
            ("-5", "-5"),
            ("0", "0"),
            ("0.50", "0.50"),
            (".5", "0.5"),
            ("-.5", "-0.5"),
            ("5.", "5.0"),
            ("TRUE", "true"),
            ("False", "false"),
            ("007", "\"007\""),
            ("1e5", "\"1e5\""),
            ("1.2.3", "\"1.2.3\""),
            ("-", "\"-\""),
            (".", "\".\""),
            ("-.", "\"-.\""),
            ("+1", "\"+1\""),
            ("٣", "\"٣\""),
            ("12 Monkeys", "\"12 Monkeys\""),
            ("99999999999999999999999", "99999999999999999999999"),
        ];
        for (value, expected) in table {
            let mut out = String::new();
            push_guessed(value, &mut out);
            assert_eq!(out, expected, "{value:?}");
            serde_json::from_str::<serde_json::Value>(&out).expect("valid JSON");
        }
    }
}
