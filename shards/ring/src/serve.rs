//! The shards of a server in one call: for programs of one address and no control plane.
//!
//! ```no_run
//! # use shards_ring::{RingConfig, serve};
//! # use shards_runtime::{Placement, Service};
//! # fn example<S: Service<shards_ring::UringIo>>(
//! #     new: impl Fn(shards_runtime::Socket) -> S + Send + Sync + 'static,
//! # ) -> std::io::Result<()>
//! # where
//! #     <S as Service<shards_ring::UringIo>>::Message: 'static,
//! # {
//! let anywhere = Placement { shards_count: 1, cores: Vec::new() };
//! let address = "127.0.0.1:0".parse().expect("an address");
//! let (address, shards) =
//!     serve(address, &anywhere, RingConfig::default(), move |shard| Ok(new(shard.acceptor)))?;
//! println!("listening on {address}");
//! shards.join();
//! # Ok(())
//! # }
//! ```

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Mutex;

use shards_mesh::mesh;
use shards_runtime::{BindOptions, Io, Placement, Service, Shard, ShardId, Shards, Socket};

use crate::config::RingConfig;
use crate::group::{ControlBell, RingGroup};
use crate::machine::UringIo;

/// Messages that may wait between two shards before they wait in the sender's memory.
const MESH_QUEUE_MESSAGES: usize = 1_024;

/// What a shard has when its service is made, on its own thread.
pub struct Beginning<'m> {
    /// Which it is.
    pub shard: ShardId,
    /// Its machine.
    pub io: &'m mut UringIo,
    /// Its own socket that listens at the address of all.
    pub acceptor: Socket,
    /// Wakes it, from any thread.
    pub bell: ControlBell,
}

/// Starts shards that share one address, each with the service that `make` makes of it. Port 0
/// picks a free one; the answer carries the address in use.
///
/// # Errors
/// The address cannot be had, the kernel lacks io_uring, or `make` fails.
pub fn serve<S, F>(
    address: SocketAddr,
    placement: &Placement,
    config: RingConfig,
    make: F,
) -> io::Result<(SocketAddr, Shards)>
where
    S: Service<UringIo>,
    S::Message: 'static,
    F: Fn(Beginning<'_>) -> io::Result<S> + Send + Sync + 'static,
{
    // The shards share the address by SO_REUSEPORT, which alone would let a second server in
    // unnoticed. A plain listener finds that out, and what port 0 means.
    let address = TcpListener::bind(address)?.local_addr()?;
    // The last participant of a mesh is a control plane. There is none here.
    let participants = placement.shards_count + 1;
    let group = RingGroup::new(participants)?;
    let ports = mesh(participants, MESH_QUEUE_MESSAGES).into_iter().map(Some);
    let ports = Mutex::new(ports.collect::<Vec<_>>());
    let shards = Shards::start(placement, move |shard| {
        let mut io = group.open(shard, config.clone())?;
        let options = BindOptions { shared: true, ..BindOptions::default() };
        let (acceptor, _) = io.listen(address, options)?;
        let port = ports.lock().expect("nobody panics here")[shard.index()].take();
        let bell = group.control();
        let service = make(Beginning { shard, io: &mut io, acceptor, bell })?;
        Ok(Shard::new(io, port.expect("a shard starts once"), service))
    })?;
    Ok((address, shards))
}
