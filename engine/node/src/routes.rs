//! What is where: every path of this server that is no mount's, as a table.
//!
//! A line says who answers, how long a body may be, and whether only those may ask who have proved
//! who they are. Of a path that is ours, a method that it does not have is answered 405 with
//! `Allow`, and `OPTIONS` 204. All the rest is the radio edge's: mounts, sources, and pages and
//! `/admin/` in Icecast's words, byte for byte.
//!
//! Behind all that, where neither a mount nor a source is meant, `engine-web` has its pages: `/`
//! for browsers, `/app/…`, `/assets/…`. So they hide nobody's mount.
//!
//! To add something: a [`Handler`], its lines here, and an arm in `whole.rs`.

use protocol_http::Method;
use protocol_http::server::{Route, Router};

/// Who answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Handler {
    /// The radio edge: sources, listeners, and what Icecast answers, in its words.
    Icecast,
    /// Control, by the path.
    Control,
    /// Control, for the operator and who has a token, where there are tokens or not.
    Operators,
    /// There is nothing of that name in the API.
    NoApi,
    /// Whether somebody is there.
    ApiHealth,
    /// WebSocket, and Symple on it.
    Symple,
    /// That for whom it asks for another protocol, else the radio edge.
    Home,
    /// WHIP and WHEP.
    Rtc,
    /// Recordings, clips and snapshots.
    Artifacts,
    /// What happens, as server-sent events.
    Events,
}

impl Handler {
    /// Whether an answer ends its connection unless the client asks for the contrary in so many
    /// words, as Icecast's do; others go on as HTTP has it.
    pub(crate) fn ends_connections(self) -> bool {
        matches!(self, Handler::Icecast | Handler::Control | Handler::Operators)
    }
}

/// Bytes of an offer, or of a part of one.
const DESCRIPTION_BYTES_MAX: u64 = 64 * 1024;

/// The table.
pub(crate) const ROUTES: &[Route<Handler>] = &[
    // For operators.
    Route::new(Method::Get, "/health", Handler::Control),
    Route::new(Method::Get, "/ready", Handler::Control),
    Route::new(Method::Get, "/metrics", Handler::Control),
    // For browsers' applications.
    Route::new(Method::Get, "/api/health", Handler::ApiHealth),
    Route::new(Method::Get, "/ice-servers", Handler::Control),
    Route::new(Method::Get, "/api/ready", Handler::Control).with_auth(),
    Route::new(Method::Get, "/api/status", Handler::Control).with_auth(),
    Route::new(Method::Get, "/api/config", Handler::Control).with_auth(),
    Route::new(Method::Get, "/api/peers", Handler::Operators).with_auth(),
    Route::new(Method::Get, "/api/streams", Handler::Control).with_auth(),
    Route::new(Method::Get, "/api/recordings", Handler::Control).with_auth(),
    Route::new(Method::Get, "/api/events", Handler::Events).with_auth(),
    Route::new(Method::Get, "/artifacts/{*path}", Handler::Artifacts).with_auth(),
    Route::new(Method::Delete, "/artifacts/{*path}", Handler::Operators).with_auth(),
    Route::any("/api/{*path}", Handler::NoApi).with_auth(),
    Route::new(Method::Get, "/ws", Handler::Symple),
    Route::new(Method::Get, "/", Handler::Home),
    Route::any("/", Handler::Icecast),
    // For browsers that publish and watch.
    Route::new(Method::Post, "/whip/{stream}", Handler::Rtc).with_body(DESCRIPTION_BYTES_MAX),
    Route::new(Method::Patch, "/whip/{stream}/{session}", Handler::Rtc)
        .with_body(DESCRIPTION_BYTES_MAX),
    Route::new(Method::Delete, "/whip/{stream}/{session}", Handler::Rtc),
    Route::new(Method::Post, "/whep/{stream}", Handler::Rtc).with_body(DESCRIPTION_BYTES_MAX),
    Route::new(Method::Patch, "/whep/{stream}/{session}", Handler::Rtc)
        .with_body(DESCRIPTION_BYTES_MAX),
    Route::new(Method::Delete, "/whep/{stream}/{session}", Handler::Rtc),
    Route::new(Method::Get, "/whep/{stream}/{session}/layer", Handler::Rtc),
    Route::new(Method::Post, "/whep/{stream}/{session}/layer", Handler::Rtc).with_body(1024),
    // Mounts and Icecast's pages.
    Route::any("/{*path}", Handler::Icecast),
];

/// The table, to be searched.
pub(crate) fn router() -> Router<Handler> {
    Router::new(ROUTES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol_http::server::Found;

    #[test]
    fn what_is_ours_knows_its_methods_and_the_rest_is_icecasts() {
        let router = router();
        let told = |method, path| match router.find(method, path) {
            Found::Route(route, _) => format!("{:?}", route.handler),
            Found::NotAllowed { allow } => format!("405 {allow}"),
            Found::Options { allow } => format!("204 {allow}"),
            Found::NoMethod => "501".to_owned(),
            Found::Nothing => "404".to_owned(),
        };
        assert_eq!(told(Method::Head, "/metrics"), "Control");
        assert_eq!(told(Method::Put, "/metrics"), "405 GET, HEAD, OPTIONS");
        assert_eq!(told(Method::Options, "/health"), "204 GET, HEAD, OPTIONS");
        assert_eq!(told(Method::Get, "/"), "Home");
        assert_eq!(told(Method::Put, "/"), "Icecast");
        assert_eq!(told(Method::Put, "/api/none"), "NoApi");
        for path in ["/live.mp3", "/admin/stats", "/health/x"] {
            for method in [Method::Get, Method::Source, Method::Options, Method::Other("BREW")] {
                assert_eq!(told(method, path), "Icecast", "{path}");
            }
        }
    }
}
