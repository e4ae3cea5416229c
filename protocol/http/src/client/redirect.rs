//! Following a redirect (RFC 9110 §15.4): what the next request is, or why there is none.
//!
//! Invariants: a body that is not at hand any more is not sent; another origin is not told
//! credentials; what began under TLS stays under TLS.

use crate::client::Response;
use crate::client::request::ClientRequest;

/// What an answer means for its request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Redirect {
    /// It is the answer.
    No,
    /// The request has been changed to the next one.
    Follow,
    /// It points where a client must not go.
    Refused(&'static str),
}

/// Changes the request to what the answer asks for.
pub(super) fn follow(request: &mut ClientRequest, response: &Response) -> Redirect {
    let status = response.status.0;
    if !matches!(status, 301 | 302 | 303 | 307 | 308) {
        return Redirect::No;
    }
    let mut locations =
        response.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("location"));
    let Some((_, location)) = locations.next() else { return Redirect::No };
    if locations.next().is_some() {
        return Redirect::Refused("Location is repeated");
    }
    let drops_body = match status {
        303 => request.method != "HEAD",
        // What everyone does, and §15.4.2 allows, although the status once meant otherwise.
        301 | 302 => request.method == "POST",
        _ => false,
    };
    if !drops_body && !request.is_repeatable() {
        return Redirect::No;
    }
    let url = std::str::from_utf8(location).ok().and_then(|text| request.url.resolve(text));
    let Some(url) = url else {
        return Redirect::Refused("Location is no http or https URL");
    };
    if request.url.origin.is_https && !url.origin.is_https {
        return Redirect::Refused("it leads from https to http");
    }
    if request.url.origin != url.origin {
        request.drop_credentials();
    }
    if drops_body {
        request.drop_body();
    }
    request.url = url;
    Redirect::Follow
}
