//! Credentials, compared in constant time.

use engine_config::Mount;
use protocol_icy::Credentials;
use subtle::ConstantTimeEq;

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
    let of_mount = settings_of(snapshot, mount).password.as_ref();
    let password = of_mount.or(snapshot.config.credentials.source_password.as_ref());
    match password {
        Some(password) if same(password.expose(), given) => Verification::Good,
        _ => Verification::Wrong,
    }
}

fn settings_of<'s>(snapshot: &'s Snapshot, mount: &str) -> &'s Mount {
    let configured = snapshot.config.mounts.iter().find(|settings| settings.name == mount);
    configured.unwrap_or(&snapshot.config.mount_defaults)
}

/// Equality that takes as long for a near miss as for a far one (of the same length).
#[must_use]
pub fn same(a: &str, b: &str) -> bool {
    a.as_bytes().ct_eq(b.as_bytes()).into()
}
