//! A site: what is served, as data, and its start.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use protocol_http::server::Route;
use protocol_tls::{ConfigError, Identity, ServerConfig, ServerSettings, TicketKeys};
use shards_ring::RingConfig;
use shards_runtime::{Io, Placement, Shards};

use crate::disk::{Disk, start_storage};
use crate::limits::{CONNECTIONS_SPARE, Limits};
use crate::mail::Timer;
use crate::orders::{Control, Everyone};
use crate::program::{Handler, Request};
use crate::server::Server;
use crate::talk::WebSockets;

/// What is served. `S` is the program's own state: each shard makes one, and its handlers are given
/// it to change, for nobody else has it.
#[derive(Debug)]
pub struct Site<S> {
    /// What `Server` says; empty: nothing.
    pub name: &'static str,
    /// Which requests there are, and who answers.
    pub routes: Vec<Route<Handler<S>>>,
    /// Who may ask the routes that need it.
    pub auth: Option<Auth>,
    /// The directory behind [`Handler::Files`].
    pub root: Option<PathBuf>,
    /// TLS, spoken beside plain HTTP on the same port: the first byte tells.
    pub tls: Option<Arc<ServerConfig>>,
    /// How [`Handler::WebSocket`] speaks.
    pub websockets: WebSockets,
    /// What each shard does when it is time.
    pub timer: Option<Timer<S>>,
    /// What bounds each shard.
    pub limits: Limits,
}

/// How those who ask prove who they are.
#[derive(Clone, Copy, Debug)]
pub struct Auth {
    /// What `WWW-Authenticate` says to who does not.
    pub challenge: &'static str,
    /// Whether they do.
    pub is_allowed: fn(&Request<'_>) -> bool,
}

/// A site that is served.
#[derive(Debug)]
pub struct Serving<S> {
    /// Where.
    pub address: SocketAddr,
    /// The threads that do it.
    pub shards: Shards,
    /// For a thread that has something to tell them.
    pub control: Control<S>,
}

impl<S> Site<S> {
    /// A site of these routes, open to all, without files and TLS.
    ///
    /// # Panics
    /// When the table is wrong, as [`protocol_http::server::Router::new`] does.
    #[must_use]
    pub fn new(name: &'static str, routes: &[Route<Handler<S>>]) -> Site<S> {
        let _is_right = protocol_http::server::Router::new(routes);
        Site {
            name,
            routes: routes.to_vec(),
            auth: None,
            root: None,
            tls: None,
            websockets: WebSockets::default(),
            timer: None,
            limits: Limits::default(),
        }
    }

    /// Starts one shard on each of these cores, or one anywhere; `state` makes each shard's state,
    /// on its thread. Port 0 picks a free one; [`Serving::address`] is the address in use.
    ///
    /// # Errors
    /// The root cannot be opened, the address cannot be had, or the kernel lacks io_uring.
    ///
    /// # Panics
    /// When a route needs proof of who asks and [`Site::auth`] says nothing of it.
    pub fn serve(
        self,
        address: SocketAddr,
        cores: &[usize],
        state: impl Fn(&Everyone<S>) -> S + Send + Sync + 'static,
    ) -> io::Result<Serving<S>>
    where
        S: 'static,
    {
        let placement = Placement { shards_count: cores.len().max(1), cores: cores.to_vec() };
        self.serve_on(address, &placement, state)
    }

    /// As [`Site::serve`], with as many shards as the placement says, and where it says.
    ///
    /// # Errors
    /// As [`Site::serve`].
    ///
    /// # Panics
    /// As [`Site::serve`].
    pub fn serve_on(
        self,
        address: SocketAddr,
        placement: &Placement,
        state: impl Fn(&Everyone<S>) -> S + Send + Sync + 'static,
    ) -> io::Result<Serving<S>>
    where
        S: 'static,
    {
        let is_proved = self.auth.is_some() || self.routes.iter().all(|route| !route.needs_auth);
        assert!(is_proved, "a route needs proof that nobody can give");
        let storage = self.root.as_deref().map(start_storage).transpose()?;
        let config = RingConfig::default();
        let shards_count = placement.shards_count;
        let mut site = self;
        // Some sockets are kept for the acceptor, and for telling those that are too many.
        let sockets_max = (config.sockets_max as usize).saturating_sub(CONNECTIONS_SPARE).max(1);
        site.limits.connections_max = site.limits.connections_max.min(sockets_max);
        let serving = shards_ring::serve(address, placement, config, move |shard| {
            let disk = match &storage {
                Some((storage, root)) => {
                    let (bell, number) = (shard.bell.clone(), shard.shard);
                    let ring = move || bell.ring(number);
                    Some((Disk::of(storage, site.limits.files, ring)?, *root))
                }
                None => None,
            };
            let place = (shard.shard, shards_count);
            Ok(Server::new(&site, place, &state, shard.acceptor, disk, shard.io.now()))
        })?;
        let shards_ring::Serving { address, shards, control } = serving;
        Ok(Serving { address, shards, control: Control(control) })
    }
}

/// A TLS server of one certificate, for [`Site::tls`]: files with the chain and its key, in PEM.
/// With the one `before` it, for [`Control::set_tls`], tickets that were given out still open.
///
/// # Errors
/// They cannot be read, or are not what they should be.
pub fn tls_of(
    certificate: &Path,
    key: &Path,
    before: Option<&ServerConfig>,
) -> io::Result<Arc<ServerConfig>> {
    let (certificate, key) = (std::fs::read_to_string(certificate)?, std::fs::read_to_string(key)?);
    let make = || -> Result<ServerConfig, ConfigError> {
        let identity = Identity::from_pem(&certificate, &key)?;
        let tickets = match before {
            Some(before) => before.ticket_keys().clone(),
            None => TicketKeys::new()?,
        };
        let mut settings = ServerSettings::new(vec![identity], tickets);
        settings.alpn = vec!["http/1.1", "http/1.0"];
        ServerConfig::new(settings)
    };
    Ok(Arc::new(make().map_err(io::Error::other)?))
}
