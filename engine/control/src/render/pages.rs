//! What `/admin/` says, as pages for people: the paths that end in `.xsl`.
//!
//! Whatever changes something is a button of a `POST` form, so that no link, prefetch or crawler
//! does it.

use engine_node::ListenerRow;

use super::escape::html;
use super::facts::{Facts, listed, mount_facts, plain_address, server_facts};
use super::status::{CSS, fill};
use super::time::span;
use crate::view::{MountView, View};

/// `/admin/stats.xsl`: the server's statistics, then those of each mount, or of one.
pub(crate) fn stats_page(view: &View, mount: Option<&str>) -> String {
    let mut body = section("Server", &facts_table(&server_facts(view)));
    for mount in listed(view, mount) {
        let links = mount_links(mount);
        let table = facts_table(&mount_facts(view, mount));
        body += &section(&mount.name, &format!("{links}{table}"));
    }
    page(view, "Statistics", &body)
}

/// `/admin/listmounts.xsl`.
pub(crate) fn list_mounts_page(view: &View) -> String {
    let rows = listed(view, None).map(|mount| mount_row(view, mount, mount_links(mount)));
    page(view, "Mounts", &mounts_table(rows))
}

/// `/admin/listclients.xsl`.
pub(crate) fn list_clients_page(view: &View, mount: &str, listeners: &[ListenerRow]) -> String {
    let rows = listeners.iter().map(|listener| {
        let id = listener.id.to_string();
        let kill = button("killclient", &[("mount", mount), ("id", &id)], "Disconnect");
        [
            id,
            html(&plain_address(listener.peer.ip())),
            html(listener.agent.as_deref().unwrap_or_default()),
            listener.connected_s.to_string(),
            listener.lag_bytes.to_string(),
            kill,
        ]
    });
    let head = ["Id", "Address", "Agent", "Seconds connected", "Bytes behind", ""];
    page(view, &format!("Listeners of {mount}"), &table(&head, rows))
}

/// `/admin/moveclients.xsl` without a destination.
pub(crate) fn move_clients_page(view: &View, mount: &str) -> String {
    let rows = listed(view, None).filter(|other| other.name != mount).map(|other| {
        let fields = [("mount", mount), ("destination", other.name.as_str())];
        mount_row(view, other, button("moveclients", &fields, "Move here"))
    });
    page(view, &format!("Move the listeners of {mount}"), &mounts_table(rows))
}

/// `/admin/updatemetadata.xsl`.
pub(crate) fn update_title_page(view: &View, mount: &str) -> String {
    let form = format!(
        concat!(
            "<form method=\"post\" action=\"/admin/metadata.xsl\">",
            "<input type=\"hidden\" name=\"mount\" value=\"{}\">",
            "<input type=\"hidden\" name=\"mode\" value=\"updinfo\">",
            "<input type=\"hidden\" name=\"charset\" value=\"UTF-8\">",
            "<label>Title <input name=\"song\" required></label> ",
            "<button>Set</button></form>",
        ),
        html(mount),
    );
    page(view, &format!("Title of {mount}"), &form)
}

/// What a command came to.
pub(crate) fn message_page(view: &View, message: &str) -> String {
    page(view, "Done", &format!("<p role=\"status\">{}</p>", html(message)))
}

/// `/server_version.xsl`.
pub(crate) fn version_page(view: &View) -> String {
    let rows = [
        ["Server".to_owned(), html(&view.server_id)],
        ["Host".to_owned(), html(&view.hostname)],
        ["Location".to_owned(), html(&view.location)],
        ["Contact".to_owned(), html(&view.admin_contact)],
        ["Running for".to_owned(), span(view.now.saturating_sub(view.started))],
    ];
    bare_page(
        "Version",
        "<nav><a href=\"/\">Streams</a></nav>",
        &table(&["", ""], rows.into_iter()),
    )
}

const TEMPLATE: &str = include_str!("../page/admin.html");

const ADMIN_LINKS: &str = concat!(
    "<nav><a href=\"/admin/stats.xsl\">Statistics</a><a href=\"/admin/listmounts.xsl\">Mounts</a>",
    "<a href=\"/\">Streams</a></nav>",
);

fn page(view: &View, heading: &str, body: &str) -> String {
    let server = format!("{} at {}", view.server_id, view.hostname);
    let links = format!("<p class=\"soft\">{}</p>{ADMIN_LINKS}", html(&server));
    bare_page(heading, &links, body)
}

/// `heading` is not escaped yet; the others are HTML.
fn bare_page(heading: &str, links: &str, body: &str) -> String {
    fill(TEMPLATE, |name| match name {
        "css" => CSS.to_owned(),
        "heading" => html(heading),
        "links" => links.to_owned(),
        "body" => body.to_owned(),
        _ => unreachable!("the template has no other places"),
    })
}

fn section(heading: &str, body: &str) -> String {
    format!("<section><h2>{}</h2>{body}</section>", html(heading))
}

fn facts_table(facts: &Facts) -> String {
    let rows = facts.iter().map(|(name, value)| [html(name), html(value)]);
    table(&["Name", "Value"], rows)
}

fn mount_links(mount: &MountView) -> String {
    let query = protocol_http::percent_encode(mount.name.as_bytes());
    let kill = button("killsource", &[("mount", mount.name.as_str())], "Disconnect the source");
    format!(
        concat!(
            "<nav><a href=\"/admin/listclients.xsl?mount={query}\">Listeners</a>",
            "<a href=\"/admin/moveclients.xsl?mount={query}\">Move listeners</a>",
            "<a href=\"/admin/updatemetadata.xsl?mount={query}\">Title</a>{kill}</nav>",
        ),
        query = html(&query),
        kill = kill,
    )
}

fn mounts_table(rows: impl Iterator<Item = [String; 6]>) -> String {
    table(&["Mount", "Fallback", "Listeners", "On air for", "Type", ""], rows)
}

fn mount_row(view: &View, mount: &MountView, last: String) -> [String; 6] {
    let source = mount.source.as_ref();
    let lasted = source.map(|source| span(view.now.saturating_sub(source.started)));
    [
        html(&mount.name),
        html(mount.fallback.as_deref().unwrap_or_default()),
        mount.listeners_count.to_string(),
        lasted.unwrap_or_else(|| "when somebody listens".to_owned()),
        source.map(|source| html(&source.content_type)).unwrap_or_default(),
        last,
    ]
}

/// A table of cells that are HTML already.
fn table<const COLUMNS: usize>(
    head: &[&str; COLUMNS],
    rows: impl Iterator<Item = [String; COLUMNS]>,
) -> String {
    let mut out = String::from("<div class=\"wide\"><table>");
    if head.iter().any(|name| !name.is_empty()) {
        let cells = head.map(|name| format!("<th scope=\"col\">{name}</th>"));
        out += &format!("<thead><tr>{}</tr></thead>", cells.concat());
    }
    out += "<tbody>";
    for row in rows {
        out += &format!("<tr>{}</tr>", row.map(|cell| format!("<td>{cell}</td>")).concat());
    }
    out + "</tbody></table></div>"
}

fn button(command: &str, fields: &[(&str, &str)], label: &str) -> String {
    let inputs: String = fields
        .iter()
        .map(|(name, value)| {
            format!("<input type=\"hidden\" name=\"{name}\" value=\"{}\">", html(value))
        })
        .collect();
    format!(
        "<form method=\"post\" action=\"/admin/{command}.xsl\">{inputs}\
         <button>{label}</button></form>"
    )
}
