//! Statistics, lists and pages as text: pure functions of a [`View`].
//!
//! ```text
//! View ──► facts ──┬─► json      /status-json.xsl, /health
//!   │   (names and ├─► xml       /admin/stats, listclients, listmounts, moveclients
//!   │    values)   └─► pages     the same for people, where a path ends in `.xsl`
//!   ├────────────────► status    the status page with its player
//!   └────────────────► metrics   Prometheus
//! ```
//!
//! The shapes are Icecast 2.4.4's, down to the order of the keys: programs parse them, and players
//! show them. Whatever came from a stranger (titles, names, agents) is escaped where it is written,
//! for the language that it is written into; [`escape`] is the only place that knows how.
//!
//! *Invariant:* the public renderings name no hidden mount.

mod answer;
mod escape;
mod facts;
mod json;
mod metrics;
mod pages;
mod rtc;
mod status;
mod symple;
mod time;
mod turn;
mod xml;

#[cfg(test)]
mod tests;

pub(crate) use answer::{
    Body, Seen, answer, playlist, playlist_with_login, stream_list_txt, without_body,
};
pub(crate) use escape::push_json_string;
pub(crate) use json::{health, status_json};
pub(crate) use metrics::metrics;
pub(crate) use pages::{
    list_clients_page, list_mounts_page, message_page, move_clients_page, stats_page,
    update_title_page, version_page,
};
pub(crate) use rtc::sessions_xml;
pub(crate) use status::status_page;
pub(crate) use symple::peers_json;
pub(crate) use turn::allocations_xml;
pub(crate) use xml::{
    list_clients_xml, list_mounts_xml, message_xml, move_clients_form_xml, stats_xml,
};
