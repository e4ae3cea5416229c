//! The server without its command line, so that tests start it too.

mod disk;
mod driver;
mod echo;
pub mod limits;
mod site;
mod wire;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use protocol_tls::{ConfigError, Identity, ServerConfig, ServerSettings, TicketKeys};
use shards_mesh::mesh;
use shards_ring::{RingConfig, RingGroup};
use shards_runtime::{BindOptions, Io, Placement, Shard, Shards};

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
    // The shards share the address by SO_REUSEPORT, which alone would let a second server in
    // unnoticed. A plain listener finds that out, and what port 0 means.
    let address = TcpListener::bind(settings.address)?.local_addr()?;
    let placement =
        Placement { shards_count: settings.cores.len().max(1), cores: settings.cores.clone() };
    // The last participant of a mesh is a control plane. There is none here, and no messages.
    let participants = placement.shards_count + 1;
    let group = RingGroup::new(participants)?;
    let ports: Vec<_> = mesh(participants, 1).into_iter().map(Some).collect();
    let ports = Mutex::new(ports);
    let shards = Shards::start(&placement, move |shard| {
        let config = RingConfig::default();
        let connections_max = limits::connections_max(config.sockets_max);
        let mut io = group.open(shard, config)?;
        let options = BindOptions { shared: true, ..BindOptions::default() };
        let (acceptor, _) = io.listen(address, options)?;
        let port = ports.lock().expect("nobody panics here")[shard.index()].take();
        let bell = group.control();
        let disk = storage.as_ref().map(|(storage, root)| {
            let bell = bell.clone();
            Disk::new(storage, *root, move || bell.ring(shard))
        });
        let disk = disk.transpose()?;
        let server = Server::new(acceptor, connections_max, disk, tls.clone(), io.now());
        Ok(Shard::new(io, port.expect("a shard starts once"), server))
    })?;
    Ok((address, shards))
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
