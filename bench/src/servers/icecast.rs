//! Debian's `icecast2` with its shipped settings, but for its limits, which are raised so that
//! nobody is refused.

use std::net::SocketAddr;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::PASSWORD;
use crate::process::{ids_of, is_root, pinned};

pub(super) const PROGRAM: &str = "icecast2";
/// Icecast refuses to run as root.
const USER: &str = "icecast2";

/// The command that serves on `address`, with everything that it writes below `scratch`.
pub(super) fn command(address: SocketAddr, scratch: &Path, cores: &[usize]) -> Result<Command> {
    let file = scratch.join("icecast.xml");
    std::fs::write(&file, config(address, scratch))?;
    let core = if let [core] = *cores { Some(core) } else { None };
    let mut command = if is_root() {
        let (uid, gid) = ids_of(USER).context("is icecast2 installed?")?;
        chown(scratch, Some(uid), Some(gid))?;
        chown(&file, Some(uid), Some(gid))?;
        // Whoever becomes another user would otherwise outlive a bench that is killed.
        let mut command = pinned(Path::new("setpriv"), core)?;
        command.args(["--reuid", &uid.to_string(), "--regid", &gid.to_string()]);
        command.args(["--clear-groups", "--pdeathsig", "KILL", PROGRAM]);
        command
    } else {
        pinned(Path::new(PROGRAM), core)?
    };
    command.arg("-c").arg(file);
    Ok(command)
}

fn config(address: SocketAddr, scratch: &Path) -> String {
    let (ip, port, scratch) = (address.ip(), address.port(), scratch.display());
    format!(
        "<icecast>
  <limits>
    <clients>60000</clients><sources>8</sources>
    <queue-size>524288</queue-size>
    <client-timeout>30</client-timeout><header-timeout>15</header-timeout>
    <source-timeout>10</source-timeout>
    <burst-on-connect>1</burst-on-connect><burst-size>65535</burst-size>
  </limits>
  <authentication>
    <source-password>{PASSWORD}</source-password><relay-password>{PASSWORD}</relay-password>
    <admin-user>admin</admin-user><admin-password>{PASSWORD}</admin-password>
  </authentication>
  <hostname>localhost</hostname>
  <listen-socket><port>{port}</port><bind-address>{ip}</bind-address></listen-socket>
  <fileserve>1</fileserve>
  <paths>
    <basedir>{scratch}</basedir><logdir>{scratch}</logdir>
    <webroot>/usr/share/icecast2/web</webroot><adminroot>/usr/share/icecast2/admin</adminroot>
  </paths>
  <logging>
    <accesslog>access.log</accesslog><errorlog>error.log</errorlog><loglevel>3</loglevel>
  </logging>
  <security><chroot>0</chroot></security>
</icecast>
"
    )
}
