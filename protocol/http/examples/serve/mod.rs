//! The server without its command line, so that tests start it too.

mod disk;
mod driver;
mod echo;
pub mod limits;
mod site;
mod wire;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use protocol_tls::{ConfigError, Identity, ServerConfig, ServerSettings, TicketKeys};
use shards_ring::RingConfig;
use shards_runtime::{Io, Placement, Shards};

pub use disk::Disk;
pub use driver::Server;

/// What the command line says.
pub struct Settings {
    /// Where to listen.
    pub address: SocketAddr,
    /// One shard on each of these; empty is one shard anywhere.
    pub cores: Vec<usize>,
    /// Whose files to serve.
    pub root: Option<PathBuf>,
    /// Files with the certificate chain and its key, in PEM: TLS is spoken beside plain HTTP.
    pub tls: Option<(PathBuf, PathBuf)>,
}

/// Starts the shards; the address carries the port in use.
///
/// # Errors
/// The files cannot be read, the address cannot be had, or the kernel lacks io_uring.
pub fn start(settings: &Settings) -> io::Result<(SocketAddr, Shards)> {
    let storage = settings.root.as_deref().map(disk::start).transpose()?;
    let tls = settings.tls.as_ref().map(|(certificate, key)| tls(certificate, key)).transpose()?;
    let placement =
        Placement { shards_count: settings.cores.len().max(1), cores: settings.cores.clone() };
    let config = RingConfig::default();
    let connections_max = limits::connections_max(config.sockets_max);
    shards_ring::serve(settings.address, &placement, config, move |shard| {
        let disk = storage.as_ref().map(|(storage, root)| {
            let (bell, number) = (shard.bell.clone(), shard.shard);
            Disk::new(storage, *root, move || bell.ring(number))
        });
        let now = shard.io.now();
        Ok(Server::new(shard.acceptor, connections_max, disk.transpose()?, tls.clone(), now))
    })
}

fn tls(certificate: &Path, key: &Path) -> io::Result<Arc<ServerConfig>> {
    let (certificate, key) = (std::fs::read_to_string(certificate)?, std::fs::read_to_string(key)?);
    let make = || -> Result<ServerConfig, ConfigError> {
        let identity = Identity::from_pem(&certificate, &key)?;
        let mut settings = ServerSettings::new(vec![identity], TicketKeys::new()?);
        settings.alpn = vec!["http/1.1", "http/1.0"];
        ServerConfig::new(settings)
    };
    Ok(Arc::new(make().map_err(io::Error::other)?))
}
