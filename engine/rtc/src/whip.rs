//! WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep) as a function: a request in, a wish or an answer
//! out. Nothing here knows a session.
//!
//! ```text
//! POST    /whip/NAME      an offer → a session that publishes       201, Location, ETag, Link
//! POST    /whep/NAME      an offer → a session that watches
//! PATCH   …/NAME/ID       a fragment: candidates, or a restart of ICE     204, 200, 412, 428
//! DELETE  …/NAME/ID       its end                                                        200
//! GET     …/ID/layer      a viewer's layers, as JSON                                     200
//! POST    …/ID/layer      the layer that it wants                                        200
//! OPTIONS                 what may be sent                               204, Accept-Post
//! ```

use engine_config::{Config, stream_name};
use media_rtc::Role;
use subtle::ConstantTimeEq;

use crate::answer::Answer;
use crate::asks::Opened;
use crate::directory::Name;
use crate::ids::SessionId;
use crate::layers::LayerWish;
use crate::letter::Command;

/// The media type of an offer (RFC 9725 §4.2).
pub const SDP: &str = "application/sdp";
/// The media type of a fragment (RFC 8840 §9).
pub const FRAGMENT: &str = "application/trickle-ice-sdpfrag";
/// The media type of a layer.
const JSON: &str = "application/json";
/// The extension by which a viewer chooses its layer (draft-ietf-wish-whep, core extensions).
const LAYER: &str = "urn:ietf:params:whep:ext:core:layer";
/// What a script of another origin may read of an answer.
pub(crate) const EXPOSED: &str = "Location, ETag, Link, Accept-Post, Accept-Patch, Retry-After";

/// What is read of a request.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// `POST`, `PATCH`, …
    pub method: &'a str,
    /// The decoded path.
    pub path: &'a str,
    /// `Authorization`.
    pub authorization: Option<&'a str>,
    /// `Content-Type`.
    pub content_type: Option<&'a str>,
    /// `If-Match`.
    pub if_match: Option<&'a str>,
    /// The body.
    pub body: &'a [u8],
}

/// What a request turned out to ask for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Wish {
    /// It is answered already.
    Answered(Answer),
    /// A session for this offer.
    Open {
        /// To publish or to watch.
        role: Role,
        /// What.
        name: Name,
        /// The offer.
        offer: String,
        /// Whether a token was shown, and not only asked of nobody.
        is_known: bool,
    },
    /// Something of a session.
    Manage {
        /// Which.
        session: SessionId,
        /// Of which stream.
        name: Name,
        /// What.
        command: Command,
    },
}

/// Reads a request.
pub fn read(config: &Config, request: &Request<'_>) -> Wish {
    wish(config, request).unwrap_or_else(|answer| {
        Wish::Answered(answer.with("Access-Control-Expose-Headers", EXPOSED))
    })
}

fn wish(config: &Config, request: &Request<'_>) -> Result<Wish, Answer> {
    let not_found = || Answer::refusal(404, "there is no such stream or session");
    let mut parts = request.path.strip_prefix('/').ok_or_else(not_found)?.split('/');
    let role = match parts.next() {
        Some("whip") => Role::Publish,
        Some("whep") => Role::View,
        _ => return Err(not_found()),
    };
    let name = parts.next().filter(|name| stream_name(name).is_ok()).ok_or_else(not_found)?;
    let session = parts.next().map(str::parse::<SessionId>).transpose().map_err(|_| not_found())?;
    let is_layer = match (parts.next(), parts.next()) {
        (None, _) => false,
        (Some("layer"), None) if role == Role::View => true,
        _ => return Err(not_found()),
    };
    let methods = match session {
        _ if is_layer => "GET, POST, OPTIONS",
        Some(_) => "PATCH, DELETE, OPTIONS",
        None => "POST, OPTIONS",
    };
    if request.method == "OPTIONS" {
        let answer = Answer::new(204).with("Allow", methods);
        return Err(match session {
            _ if is_layer => answer.with("Accept-Post", JSON),
            None => answer.with("Accept-Post", SDP),
            Some(_) => answer.with("Accept-Patch", FRAGMENT),
        });
    }
    if !methods.split(", ").any(|method| method == request.method) {
        return Err(Answer::refusal(405, "not for this").with("Allow", methods));
    }
    let is_known = authorise(config, role, name, request.authorization)?;
    let name: Name = name.into();
    let Some(session) = session else {
        if !is_type(request.content_type, SDP) {
            let answer = Answer::refusal(415, "an offer is application/sdp");
            return Err(answer.with("Accept-Post", SDP));
        }
        return Ok(Wish::Open { role, name, offer: text(request)?, is_known });
    };
    let command = if is_layer {
        layer(request)?
    } else if request.method == "DELETE" {
        Command::Delete
    } else {
        if !is_type(request.content_type, FRAGMENT) {
            let answer = Answer::refusal(415, "a fragment is application/trickle-ice-sdpfrag");
            return Err(answer.with("Accept-Patch", FRAGMENT));
        }
        Command::Patch { if_match: request.if_match.map(str::to_owned), text: text(request)? }
    };
    Ok(Wish::Manage { session, name, command })
}

fn layer(request: &Request<'_>) -> Result<Command, Answer> {
    if request.method == "GET" {
        return Ok(Command::Layers);
    }
    if !is_type(request.content_type, JSON) {
        return Err(Answer::refusal(415, "a layer is application/json").with("Accept-Post", JSON));
    }
    let wish = serde_json::from_str(&text(request)?);
    let wish = wish.map_err(|_| Answer::refusal(400, "the body is no object of JSON"))?;
    let wish = LayerWish::read(&wish).map_err(|error| Answer::refusal(400, error))?;
    Ok(Command::Layer(wish))
}

fn text(request: &Request<'_>) -> Result<String, Answer> {
    let text = std::str::from_utf8(request.body);
    let text = text.map_err(|_| Answer::refusal(400, "the body is not UTF-8"))?;
    match text.trim().is_empty() {
        true => Err(Answer::refusal(400, "the body is empty")),
        false => Ok(text.to_owned()),
    }
}

fn is_type(header: Option<&str>, wanted: &str) -> bool {
    let kind = header.and_then(|header| header.split(';').next()).unwrap_or_default();
    kind.trim().eq_ignore_ascii_case(wanted)
}

/// Whether whoever shows this may do it; true if a token was asked for and shown.
///
/// # Errors
/// The answer to who may not.
pub fn authorise(
    config: &Config,
    role: Role,
    name: &str,
    authorization: Option<&str>,
) -> Result<bool, Answer> {
    let token = authorization.and_then(|value| {
        let (scheme, token) = value.trim().split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    may(config, role, name, token)
}

/// As [`authorise`], for a token that came in another way.
///
/// # Errors
/// The answer to who may not.
pub fn may(config: &Config, role: Role, name: &str, token: Option<&str>) -> Result<bool, Answer> {
    let stream = config.streams.iter().find(|stream| stream.name == name);
    if role != Role::View && stream.is_some_and(|stream| stream.from_mount.is_some()) {
        return Err(Answer::refusal(403, "a mount is heard on this stream"));
    }
    if role != Role::View && config.workers.named_sources().any(|(its, _)| its == name) {
        return Err(Answer::refusal(403, "the server has this stream's source"));
    }
    let to_mount = stream.and_then(|stream| stream.to_mount.as_deref());
    let (own, common) = match (role, to_mount) {
        (Role::View, _) => {
            (stream.and_then(|it| it.watch_token.as_ref()), config.rtc.watch_tokens.as_slice())
        }
        // Whoever may publish anything may not yet feed any mount.
        (_, Some(mount)) => (
            stream.and_then(|it| it.publish_token.as_ref()),
            config.source_password(mount).map_or(&[][..], std::slice::from_ref),
        ),
        _ => {
            (stream.and_then(|it| it.publish_token.as_ref()), config.rtc.publish_tokens.as_slice())
        }
    };
    let of_section = own.map_or(common, std::slice::from_ref);
    let is_good = |token: &str| {
        // All are compared, so that the time says nothing of which one was near.
        let all = config.auth.tokens.iter().chain(of_section);
        let same = all.map(|it| it.expose().as_bytes().ct_eq(token.as_bytes()));
        same.fold(false, |any, same| any | bool::from(same))
    };
    let is_open = role == Role::View && of_section.is_empty();
    let realm = "Bearer realm=\"skywave\"";
    match token {
        Some(token) if is_good(token) => Ok(true),
        _ if is_open => Ok(false),
        None => {
            let answer = Answer::refusal(401, "a bearer token is needed");
            Err(answer.with("WWW-Authenticate", realm))
        }
        Some(_) => {
            let answer = Answer::refusal(401, "the token does not open this");
            Err(answer.with("WWW-Authenticate", format!("{realm}, error=\"invalid_token\"")))
        }
    }
}

/// The answer to an offer that was taken; `ice_servers` are values of `Link`.
pub fn created(opened: &Opened, ice_servers: impl IntoIterator<Item = String>) -> Answer {
    let Opened { session, role, name, answer, tag, .. } = opened;
    let mut created = Answer::new(201)
        .with("Location", location(*role, name, *session))
        .with("Content-Type", SDP)
        .with("ETag", format!("\"{tag}\""))
        .with("Accept-Patch", FRAGMENT);
    for server in ice_servers {
        created = created.with("Link", server);
    }
    if *role == Role::View {
        let place = location(*role, name, *session);
        created = created.with("Link", format!("<{place}/layer>; rel=\"{LAYER}\""));
    }
    answer.clone_into(&mut created.body);
    created.with("Access-Control-Expose-Headers", EXPOSED)
}

/// The path of a session, for `Location`.
fn location(role: Role, name: &str, session: SessionId) -> String {
    let way = if role == Role::View { "whep" } else { "whip" };
    format!("/{way}/{name}/{session}")
}

/// Whether `If-Match` holds for an entity tag without quotes.
pub(crate) fn matches_tag(if_match: &str, tag: &str) -> bool {
    let is_it = |one: &str| {
        one == "*" || one.strip_prefix('"').and_then(|it| it.strip_suffix('"')) == Some(tag)
    };
    if_match.split(',').any(|one| is_it(one.trim()))
}

#[cfg(test)]
mod tests;
