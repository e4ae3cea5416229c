//! The XML of `/admin/`: Icecast 2.4.4's elements in its order and casing, which programs parse.
//!
//! ```text
//! <icestats> server's… <source mount="/live.mp3"> mount's… </source>… </icestats>
//! ```

use std::time::Duration;

use engine_node::ListenerRow;

use super::escape::{push_attribute, push_xml_text};
use super::facts::{Facts, listed, mount_facts, plain_address, server_facts};
use crate::view::{MountView, View};

/// `/admin/stats`: the server, then each mount, or only one.
pub(crate) fn stats_xml(view: &View, mount: Option<&str>) -> String {
    let mut out = String::from(BEGIN);
    push_facts(&server_facts(view), &mut out);
    for mount in listed(view, mount) {
        push_source_begin(&mount.name, &mut out);
        push_facts(&mount_facts(view, mount), &mut out);
        out.push_str("</source>");
    }
    out + END
}

/// `/admin/listclients`: the listeners of one mount.
pub(crate) fn list_clients_xml(mount: &str, listeners: &[ListenerRow]) -> String {
    let mut out = String::from(BEGIN);
    push_source_begin(mount, &mut out);
    push_element("Listeners", &listeners.len().to_string(), &mut out);
    for listener in listeners {
        out.push_str("<listener>");
        push_element("IP", &plain_address(listener.peer.ip()), &mut out);
        if let Some(agent) = &listener.agent {
            push_element("UserAgent", agent, &mut out);
        }
        push_element("Connected", &listener.connected_s.to_string(), &mut out);
        push_element("ID", &listener.id.to_string(), &mut out);
        out.push_str("</listener>");
    }
    out + "</source>" + END
}

/// `/admin/listmounts`.
pub(crate) fn list_mounts_xml(view: &View) -> String {
    let mut out = String::from(BEGIN);
    for mount in listed(view, None) {
        push_listed(mount, view.now, &mut out);
    }
    out + END
}

/// `/admin/moveclients` without a destination: the mounts to choose from.
pub(crate) fn move_clients_form_xml(view: &View, mount: &str) -> String {
    let mut out = String::from(BEGIN);
    push_element("current_source", mount, &mut out);
    for other in listed(view, None).filter(|other| other.name != mount) {
        push_listed(other, view.now, &mut out);
    }
    out + END
}

/// What most commands answer. `return_value` is 1 for done, 0 for not.
pub(crate) fn message_xml(message: &str, return_value: u8) -> String {
    let mut out = String::from("<?xml version=\"1.0\"?>\n<iceresponse>");
    push_element("message", message, &mut out);
    push_element("return", &return_value.to_string(), &mut out);
    out + "</iceresponse>\n"
}

pub(super) const BEGIN: &str = "<?xml version=\"1.0\"?>\n<icestats>";
pub(super) const END: &str = "</icestats>\n";

fn push_listed(mount: &MountView, now: Duration, out: &mut String) {
    push_source_begin(&mount.name, out);
    push_element("fallback", mount.fallback.as_deref().unwrap_or_default(), out);
    push_element("listeners", &mount.listeners_count.to_string(), out);
    if let Some(source) = &mount.source {
        let connected = now.saturating_sub(source.started).as_secs();
        push_element("Connected", &connected.to_string(), out);
        push_element("content-type", &source.content_type, out);
    }
    out.push_str("</source>");
}

fn push_facts(facts: &Facts, out: &mut String) {
    for (name, value) in facts {
        push_element(name, value, out);
    }
}

fn push_source_begin(mount: &str, out: &mut String) {
    out.push_str("<source mount=\"");
    push_attribute(mount, out);
    out.push_str("\">");
}

pub(super) fn push_element(name: &str, text: &str, out: &mut String) {
    out.push('<');
    out.push_str(name);
    out.push('>');
    push_xml_text(text, out);
    out.push_str("</");
    out.push_str(name);
    out.push('>');
}
