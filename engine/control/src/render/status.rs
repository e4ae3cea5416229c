//! The status page: what is on air, each with a player. It is whole without its script, which only
//! keeps it current; the cards that either writes are the same.

use super::escape::html;
use super::facts::{Facts, listed, mount_facts};
use crate::view::{MountView, View};

/// The page at `/`.
pub(crate) fn status_page(view: &View) -> String {
    let shown: Vec<&MountView> = listed(view, None).filter(|mount| !mount.hidden).collect();
    let listeners: u64 = shown.iter().map(|mount| mount.listeners_count).sum();
    fill(TEMPLATE, |name| match name {
        "css" => CSS.to_owned(),
        "js" => SCRIPT.to_owned(),
        "heading" => format!("Radio at {}", html(&view.hostname)),
        "summary" => {
            let streams = plural(shown.len() as u64, "stream");
            format!("{streams} · {}", plural(listeners, "listener"))
        }
        "mounts" => shown.iter().map(|mount| card_of(view, mount)).collect(),
        "location" => html(&view.location),
        "contact" => html(&view.admin_contact),
        "server" => html(&view.server_id),
        "blank" => card(&Card::default()),
        _ => unreachable!("the template has no other places"),
    })
}

pub(super) const CSS: &str = include_str!("../page/page.css");

/// Puts values in the `{{places}}` of a template, once: a value is never looked into.
pub(super) fn fill(template: &str, value: impl Fn(&str) -> String) -> String {
    let mut out = String::with_capacity(2 * template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, after) = after.split_once("}}").expect("a place is closed");
        out.push_str(before);
        out.push_str(&value(name));
        rest = after;
    }
    out + rest
}

/// `1 listener`, `2 listeners`.
pub(super) fn plural(count: u64, word: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{count} {word}{ending}")
}

const TEMPLATE: &str = include_str!("../page/status.html");
const SCRIPT: &str = include_str!("../page/status.js");

/// What stands on a card, not escaped yet.
#[derive(Default)]
struct Card {
    path: String,
    name: String,
    state: &'static str,
    class: &'static str,
    title: String,
    description: String,
    format: String,
    listeners_count: u64,
    page: Option<String>,
}

fn card_of(view: &View, mount: &MountView) -> String {
    let facts = mount_facts(view, mount);
    let value = |name: &str| facts.get(name).cloned().unwrap_or_default();
    let info = mount.source.as_ref().map(|source| &source.info);
    let name = info.and_then(|info| info.name.clone()).unwrap_or_else(|| mount.name.clone());
    let is_on = mount.source.is_some();
    card(&Card {
        path: protocol_http::percent_encode(mount.name.as_bytes()),
        name,
        state: if is_on { "On air" } else { "Starts when you listen" },
        class: if is_on { "mount" } else { "mount is-idle" },
        title: value("title"),
        description: info.and_then(|info| info.description.clone()).unwrap_or_default(),
        format: format_of(&facts),
        listeners_count: mount.listeners_count,
        page: info.and_then(|info| info.url.clone()).filter(|url| is_web_page(url)),
    })
}

fn card(card: &Card) -> String {
    let (path, name) = (html(&card.path), html(&card.name));
    let page = match &card.page {
        Some(url) => format!("href=\"{}\"", html(url)),
        None => "hidden".to_owned(),
    };
    // An audio element without a source is not an error, one with an empty source is.
    let source = if path.is_empty() { String::new() } else { format!(" src=\"{path}\"") };
    format!(
        concat!(
            "<article class=\"{class}\" data-path=\"{path}\">",
            "<div class=\"top\"><h2>{name}</h2><span class=\"state\">{state}</span></div>",
            "<p class=\"title\" aria-live=\"polite\">{title}</p>",
            "<p class=\"description\">{description}</p>",
            "<audio controls preload=\"none\"{source} aria-label=\"Listen to {name}\"></audio>",
            "<p class=\"facts\"><span class=\"format\">{format}</span>",
            "<span class=\"listeners\">{listeners}</span>",
            "<a class=\"m3u\" href=\"{path}.m3u\">M3U</a>",
            "<a class=\"page\" rel=\"noopener nofollow\" {page}>Web page</a></p></article>",
        ),
        class = card.class,
        path = path,
        name = name,
        state = card.state,
        title = html(&card.title),
        description = html(&card.description),
        source = source,
        format = html(&card.format),
        listeners = plural(card.listeners_count, "listener"),
        page = page,
    )
}

/// `Ogg Vorbis · 112 kbit/s`.
fn format_of(facts: &Facts) -> String {
    let Some(content_type) = facts.get("server_type") else { return String::new() };
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let container = match essence.as_str() {
        "audio/mpeg" => "MP3",
        "audio/aac" | "audio/aacp" => "AAC",
        "application/ogg" | "audio/ogg" => "Ogg",
        "audio/flac" | "audio/x-flac" => "FLAC",
        "audio/wav" | "audio/x-wav" => "WAV",
        "audio/webm" | "video/webm" => "WebM",
        other => other,
    };
    let mut text = container.to_owned();
    if let Some(codec) = facts.get("subtype") {
        text = format!("{text} {codec}");
    }
    if let Some(rate) = facts.get("bitrate").or(facts.get("ice-bitrate")) {
        text = format!("{text} · {rate} kbit/s");
    }
    text
}

/// Whether a link may lead there; `javascript:` may not.
fn is_web_page(url: &str) -> bool {
    let scheme = url.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    matches!(scheme.as_deref(), Some("http" | "https"))
}
