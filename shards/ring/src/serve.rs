//! The shards of a server in one call: for programs of one address, whose control plane is at most
//! a thread that tells all shards something now and then.
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
//! let serving =
//!     serve(address, &anywhere, RingConfig::default(), move |shard| Ok(new(shard.acceptor)))?;
//! println!("listening on {}", serving.address);
//! serving.shards.join();
//! # Ok(())
//! # }
//! ```

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Mutex;
use std::time::Duration;

use shards_mesh::{MeshPort, mesh};
use shards_runtime::{BindOptions, Io, Placement, Service, Shard, ShardId, Shards, Socket};

use crate::config::RingConfig;
use crate::group::{ControlBell, RingGroup};
use crate::machine::UringIo;

/// Messages that may wait between two shards before they wait in the sender's memory.
const MESH_QUEUE_MESSAGES: usize = 1_024;

/// How often a control plane tries again to tell a shard whose queue is full.
const RETRY_EVERY: Duration = Duration::from_millis(1);
/// How often at most: a shard that takes nothing for so long is gone.
const RETRIES_MAX: u32 = 10_000;

/// Shards that run.
#[derive(Debug)]
pub struct Serving<M> {
    /// Where they listen.
    pub address: SocketAddr,
    /// Their threads.
    pub shards: Shards,
    /// The mesh's end of whoever has something to tell them.
    pub control: Control<M>,
}

/// The end of the mesh that is no shard's. It belongs to one thread, which may block.
#[derive(Debug)]
pub struct Control<M> {
    port: MeshPort<M>,
    bell: ControlBell,
}

impl<M> Control<M> {
    /// Tells every shard what this makes, waiting for those that have much to read.
    ///
    /// # Errors
    /// A shard has taken nothing for ten seconds; those before it have been told.
    pub fn tell(&mut self, message: impl Fn() -> M) -> io::Result<()> {
        let Control { port, bell } = self;
        let told = (0..port.participants() - 1).try_for_each(|shard| {
            let mut waiting = message();
            for _ in 0..RETRIES_MAX {
                match port.send(shard, waiting) {
                    Ok(()) => return Ok(()),
                    Err(message) => waiting = message,
                }
                port.publish(|shard| bell.ring(ShardId(shard as u16)));
                bell.wait(Some(RETRY_EVERY));
            }
            Err(io::Error::new(io::ErrorKind::TimedOut, format!("shard {shard} takes nothing")))
        });
        port.publish(|shard| bell.ring(ShardId(shard as u16)));
        told
    }
}

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
/// picks a free one; [`Serving::address`] says which.
///
/// # Errors
/// The address cannot be had, the kernel lacks io_uring, or `make` fails.
pub fn serve<S, F>(
    address: SocketAddr,
    placement: &Placement,
    config: RingConfig,
    make: F,
) -> io::Result<Serving<S::Message>>
where
    S: Service<UringIo>,
    S::Message: 'static,
    F: Fn(Beginning<'_>) -> io::Result<S> + Send + Sync + 'static,
{
    // The shards share the address by SO_REUSEPORT, which alone would let a second server in
    // unnoticed. A plain listener finds that out, and what port 0 means.
    let address = TcpListener::bind(address)?.local_addr()?;
    // The last participant of a mesh is its control plane.
    let participants = placement.shards_count + 1;
    let group = RingGroup::new(participants)?;
    let mut ports = mesh(participants, MESH_QUEUE_MESSAGES);
    let port = ports.pop().expect("one for each participant");
    let control = Control { port, bell: group.control() };
    let ports = ports.into_iter().map(Some);
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
    Ok(Serving { address, shards, control })
}
