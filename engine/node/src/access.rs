//! Credentials, compared in constant time.

use engine_config::{Config, Mount};
use protocol_http::Query;
use protocol_icy::{Credentials, basic_credentials};
use subtle::ConstantTimeEq;

use crate::message::ForwardedRequest;
use crate::snapshot::Snapshot;

/// What became of credentials.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verification {
    /// They are right.
    Good,
    /// None were given: ask for them.
    Missing,
    /// They are wrong, or nobody may do this here.
    Wrong,
}

/// Whether a source may feed a mount: the mount's own password if it has one, else the server's.
/// Without any configured password nobody may.
pub(crate) fn verify_source(
    snapshot: &Snapshot,
    mount: &str,
    credentials: Option<&Credentials>,
) -> Verification {
    let Some(credentials) = credentials else { return Verification::Missing };
    let username = &settings_of(snapshot, mount).username;
    let user_agrees = same(username, &credentials.user);
    let password = verify_password(snapshot, mount, &credentials.password);
    if user_agrees { password } else { Verification::Wrong }
}

/// As [`verify_source`], for a source whose dialect knows a password only.
pub(crate) fn verify_password(snapshot: &Snapshot, mount: &str, given: &str) -> Verification {
    match snapshot.config.source_password(mount) {
        Some(password) if same(password.expose(), given) => Verification::Good,
        _ => Verification::Wrong,
    }
}

fn settings_of<'s>(snapshot: &'s Snapshot, mount: &str) -> &'s Mount {
    let configured = snapshot.config.mounts.iter().find(|settings| settings.name == mount);
    configured.unwrap_or(&snapshot.config.mount_defaults)
}

/// Whether somebody may ask the API: with one of `auth.tokens`, in whichever of three ways it is
/// said, or as the operator. Where there are no tokens, everybody may ask for what is open then.
pub(crate) fn may_ask(config: &Config, request: &ForwardedRequest, is_open: bool) -> bool {
    let tokens = &config.auth.tokens;
    if tokens.is_empty() && is_open {
        return true;
    }
    let query = request.query.as_deref().unwrap_or_default();
    let in_query = Query::new(query.as_bytes()).get_str("token");
    let authorization = request.header("authorization");
    let bearer = authorization.and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    let header = request.header("x-icey-token");
    let said = [bearer, header, in_query.as_deref()];
    let is = |given: &str| tokens.iter().fold(false, |is, token| is | same(token.expose(), given));
    if said.into_iter().flatten().fold(false, |is_one, given| is_one | is(given)) {
        return true;
    }
    let given = authorization.and_then(|value| basic_credentials(value.as_bytes()));
    let credentials = &config.credentials;
    match (given, &credentials.admin_password) {
        (Some(given), Some(password)) => {
            same(&credentials.admin_user, &given.user) & same(password.expose(), &given.password)
        }
        _ => false,
    }
}

/// Equality that takes as long for a near miss as for a far one (of the same length).
#[must_use]
pub fn same(a: &str, b: &str) -> bool {
    a.as_bytes().ct_eq(b.as_bytes()).into()
}
