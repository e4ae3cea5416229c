//! The wiring, on one screen: storage, mesh, shards, control, demo, signals.

use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, bail};
use engine_config::{Config, Mount, Secret, TURN_DATAGRAM_BUFFERS_COUNT};
use engine_control::{Bell, Command, Control, Setup};
use engine_events::Keeper;
use engine_node::{Acceptor, Files, LogSink, Message, Node, signalling, turn_relay};
use protocol_tls::ServerConfig;
use shards_mesh::{MeshPort, mesh};
use shards_ring::{ControlBell, RingConfig, RingGroup, UringIo};
use shards_runtime::{Placement, Shard, ShardId, Shards};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::demo::{Demo, DemoSettings};
use crate::disk::Disk;
use crate::log::AccessLog;

/// Runs the server until a signal ends it.
pub fn run(mut config: Config) -> anyhow::Result<()> {
    let _log = crate::log::start(config.log.level);
    let report = UringIo::probe();
    if !report.is_usable() {
        bail!("this machine lacks something:\n{report}");
    }
    let seed = draw_seed();
    complete(&mut config, seed);
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    let acceptors = bind_acceptors(&mut config)?;
    crate::turn::probe_addresses(&config.turn)?;
    crate::rtc::probe_addresses(&config.rtc)?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let shards_count = config.shards.count_on(cores);
    let config = Arc::new(config);

    let in_data_dir = config.server.data_dir.as_ref().map(|folder| folder.join("access.log"));
    let disk = Disk::open(&config, config.log.access_log.as_ref().or(in_data_dir.as_ref()))?;
    let setup =
        Setup { shards_count, seed, port: config.listen[0].address.port(), started: unix_time() };
    let tls = crate::tls::load(&config, None, unix_time().as_secs())?;
    let control = Control::new(Arc::clone(&config), setup, now()).with_tls(tls.clone());
    let control = control.with_recordings(crate::disk::recordings(&config));
    let snapshot = control.first_snapshot();

    let (supervisor, desks) = crate::workers::start(&config, shards_count)?;
    let group = RingGroup::new(shards_count + 1)?;
    let mut ports = mesh::<Message>(shards_count + 1, config.limits.mesh_queue_messages as usize);
    let control_port = ports.pop().expect("control is the last participant");
    let placement = Placement { shards_count, cores: config.shards.cores.clone() };
    let shards = {
        let ring_config = ring_config(&config);
        let roots = crate::files::open(&config, disk.storage())?;
        let mut parts: Vec<Option<Parts>> = Vec::new();
        for (shard, port) in ports.into_iter().enumerate() {
            let files = crate::files::port(&config, disk.storage(), &group.control(), shard)?;
            let (bell, shard) = (group.control(), ShardId(shard as u16));
            let artifacts = disk.artifacts(move || bell.ring(shard))?;
            parts.push(Some((port, disk.log_port(), artifacts, files)));
        }
        let parts = Mutex::new(parts);
        let (group, acceptors) = (group.clone(), acceptors.clone());
        let (shard_config, tls_of_shards) = (Arc::clone(&config), tls.clone());
        let turn_seed = crate::turn::seed(shards_count, now(), unix_time())?;
        let rtc = crate::rtc::settings(&config, shards_count)?;
        let bridges = Mutex::new(crate::workers::bridges(&config, shards_count, desks));
        Shards::start(&placement, move |shard| {
            let io = group.open(shard, ring_config.clone())?;
            let (port, log, artifacts, files) = parts.lock().expect("nobody panics here")
                [shard.index()]
            .take()
            .expect("a shard starts once");
            let log = log.map(|port| Box::new(AccessLog(port)) as Box<dyn LogSink>);
            let relay = turn_relay(&shard_config, &turn_seed, shard.0, tls_of_shards.clone());
            let relay = relay.map_err(std::io::Error::other)?;
            let node = Node::new(Arc::clone(&snapshot), acceptors.clone(), log, now());
            let signalling = signalling(&shard_config, &turn_seed, shard.0);
            let signalling = signalling.map_err(std::io::Error::other)?;
            let node = node.with_turn(relay).with_signalling(signalling);
            let rtc = rtc.as_ref().map(|rtc| rtc.of_shard(shard.0));
            let bridge = bridges.lock().expect("nobody panics here")[shard.index()].take();
            let node = node.with_rtc(rtc.as_ref(), now()).with_workers(bridge);
            let node = node.with_artifacts(artifacts.map(Disk::files_of));
            let node = node.with_files(files.map(|port| Files::new(port, roots.clone())));
            Ok(Shard::new(io, port, node))
        })?
    };
    let (commands, received) = channel();
    let bell = group.control();
    let keeper = crate::disk::keeper(&config, commands.clone(), bell.clone())?;
    let keeper_port = keeper.port();
    let control_thread = std::thread::Builder::new().name("control".to_owned()).spawn({
        let bell = bell.clone();
        move || {
            engine_control::run(control, control_port, RingBell(bell), received, Some(keeper_port))
        }
    })?;
    tell_addresses(&config, &acceptors, shards_count);
    let demo = start_demo(&config)?;

    wait_for_signals(&config, seed, tls.as_deref(), (&disk, &keeper), |command| {
        let told = tell(&commands, command);
        bell.ring_control();
        told && !shards.any_ended()
    })?;
    if let Some(demo) = demo {
        demo.stop();
    }
    shards.join();
    if let Some(supervisor) = supervisor {
        supervisor.stop();
    }
    control_thread.join().map_err(|_| anyhow::anyhow!("the control plane panicked"))?;
    keeper.stop();
    disk.stop();
    tracing::info!("stopped");
    Ok(())
}

fn tell_addresses(config: &Config, acceptors: &[Acceptor], shards_count: usize) {
    for acceptor in acceptors {
        tracing::info!(address = %acceptor.address, shards_count, "listening");
    }
    if config.turn.starts() {
        tracing::info!(listen = ?config.turn.listen, tls = ?config.turn.listen_tls, "TURN");
    }
    crate::rtc::tell(&config.rtc);
}

/// The ring's doorbells, as control knows them.
#[derive(Clone)]
struct RingBell(ControlBell);

impl Bell for RingBell {
    fn wait(&self, timeout: Option<Duration>) {
        self.0.wait(timeout);
    }

    fn ring(&self, shard: usize) {
        self.0.ring(ShardId(shard as u16));
    }

    fn ring_control(&self) {
        self.0.ring_control();
    }
}

/// What a shard takes with it to its thread.
type Parts = (
    MeshPort<Message>,
    Option<shards_storage::LogPort>,
    Option<(shards_storage::FilePort, shards_storage::RootId)>,
    Option<shards_storage::FilePort>,
);

/// Waits until a signal ends the server, and tells control each second what the access log came to.
/// `command` tells control; false: everything has ended.
fn wait_for_signals(
    config: &Config,
    seed: u64,
    tls: Option<&ServerConfig>,
    (disk, keeper): (&Disk, &Keeper),
    command: impl Fn(Command) -> bool,
) -> anyhow::Result<()> {
    let mut signals = Signals::new([SIGHUP, SIGTERM, SIGINT])?;
    'running: loop {
        for signal in signals.pending() {
            if signal != SIGHUP {
                break 'running;
            }
            reload(config, seed, tls, disk, &command);
        }
        if let Some(log) = disk.log_counters() {
            let (written, lost) = (log.lines_written_count, log.lines_dropped_count);
            if !command(Command::LogCounters { written, lost }) {
                bail!("the shards have ended");
            }
        }
        if !command(Command::EventCounters(keeper.counters())) {
            bail!("the shards have ended");
        }
        rest(SIGNALS_EVERY);
    }
    tracing::info!("stopping: listeners have {} s", config.server.drain_s);
    command(Command::Drain);
    // A second signal ends it at once.
    std::thread::spawn(move || {
        if signals.forever().any(|signal| signal != SIGHUP) {
            std::process::exit(130);
        }
    });
    Ok(())
}

/// How often signals are looked at.
const SIGNALS_EVERY: Duration = Duration::from_millis(500);

/// Reads the configuration and the certificates anew and opens the access log anew.
fn reload(
    config: &Config,
    seed: u64,
    tls: Option<&ServerConfig>,
    disk: &Disk,
    command: &impl Fn(Command) -> bool,
) {
    if let Err(error) = disk.reopen() {
        tracing::error!(%error, "cannot reopen the access log");
    }
    match engine_config::parse_args(std::env::args_os().skip(1)) {
        Ok(engine_config::Invocation::Run(mut new)) => {
            complete(&mut new, seed);
            new.listen.clone_from(&config.listen);
            match crate::tls::load(&new, tls, unix_time().as_secs()) {
                Ok(Some(tls)) => _ = command(Command::Tls(tls)),
                Ok(None) => {}
                Err(error) => tracing::error!("certificates not reloaded: {error:#}"),
            }
            command(Command::Reload(Arc::new(*new)));
        }
        Ok(_) => unreachable!("the arguments have not changed"),
        Err(errors) => tracing::error!("not reloaded: {errors}"),
    }
}

fn tell(commands: &Sender<Command>, command: Command) -> bool {
    commands.send(command).is_ok()
}

/// Fills in what the configuration leaves to be drawn: the node's name, the demo's mount.
fn complete(config: &mut Config, seed: u64) {
    if config.server.node_id.is_empty() {
        config.server.node_id = format!("skywave-{seed:016x}");
    }
    let demo = &config.demo;
    if demo.enabled && !config.mounts.iter().any(|mount| mount.name == demo.mount) {
        let mount = Mount {
            name: demo.mount.clone(),
            password: Some(Secret::new(format!("{:016x}", seed.rotate_left(17) ^ DEMO_SALT))),
            ..config.mount_defaults.clone()
        };
        config.mounts.push(mount);
    }
}

/// Sets the demo's password apart from the node's name, which upstream servers see.
const DEMO_SALT: u64 = 0x9e37_79b9_7f4a_7c15;

fn start_demo(config: &Config) -> anyhow::Result<Option<Demo>> {
    if !config.demo.enabled {
        return Ok(None);
    }
    let mount = config.mounts.iter().find(|mount| mount.name == config.demo.mount);
    let mount = mount.context("the demo's mount")?;
    let password = mount.password.as_ref().or(config.credentials.source_password.as_ref());
    let Some(password) = password else { bail!("the demo's mount has no source password") };
    let settings = DemoSettings {
        server: config.listen[0].address,
        mount: mount.name.clone(),
        user: mount.username.clone(),
        password: password.expose().to_owned(),
    };
    Ok(Some(Demo::start(settings)?))
}

/// Makes sure that every address can be had, and finds out what port 0 means. The shards then bind
/// the same addresses with `SO_REUSEPORT`, which alone would let a second server in unnoticed.
fn bind_acceptors(config: &mut Config) -> anyhow::Result<Vec<Acceptor>> {
    let mut acceptors = Vec::new();
    for listen in &mut config.listen {
        if listen.address.port() == 0 {
            listen.address = TcpListener::bind(listen.address)?.local_addr()?;
        }
        let v1 = listen.shoutcast_address().zip(listen.shoutcast_mount.clone());
        acceptors.push(Acceptor {
            address: listen.address,
            v6_only: listen.v6_only,
            proxy_protocol: listen.proxy_protocol,
            tls: listen.tls,
            https_redirect: listen.https_redirect,
            v1_mount: None,
        });
        acceptors.extend(v1.map(|(address, mount)| Acceptor {
            address,
            v6_only: listen.v6_only,
            proxy_protocol: false,
            tls: false,
            https_redirect: false,
            v1_mount: Some(mount),
        }));
    }
    for acceptor in &acceptors {
        probe_address(acceptor)?;
    }
    Ok(acceptors)
}

/// How often, and after how long, an address that somebody has is tried again.
const PROBES_AGAIN: usize = 20;
const PROBE_AGAIN_AFTER: Duration = Duration::from_millis(50);

#[expect(clippy::disallowed_methods, reason = "no shard runs yet")]
fn probe_address(acceptor: &Acceptor) -> anyhow::Result<()> {
    use rustix::net::{AddressFamily, SocketType, bind, listen, socket, sockopt};
    let address: SocketAddr = acceptor.address;
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let attempt = || -> rustix::io::Result<()> {
        let probe = socket(family, SocketType::STREAM, None)?;
        sockopt::set_socket_reuseaddr(&probe, true)?;
        if address.is_ipv6() {
            sockopt::set_ipv6_v6only(&probe, acceptor.v6_only)?;
        }
        bind(&probe, &address)?;
        listen(&probe, 1)
    };
    // A server that was killed a moment ago holds its addresses until the kernel has taken its
    // rings apart, some 50 ms; whoever starts it again at once would be told that it still runs.
    let mut outcome = attempt();
    for _ in 0..PROBES_AGAIN {
        if outcome != Err(rustix::io::Errno::ADDRINUSE) {
            break;
        }
        std::thread::sleep(PROBE_AGAIN_AFTER);
        outcome = attempt();
    }
    outcome.with_context(|| format!("cannot listen on {address}"))
}

fn ring_config(config: &Config) -> RingConfig {
    let defaults = RingConfig::default();
    let has_datagrams = config.turn.starts() || config.rtc.is_wanted();
    RingConfig {
        sockets_max: defaults.sockets_max.min(config.limits.sockets_per_shard_max),
        stream_buffers_count: config.limits.receive_buffers_count as u16,
        gather_us: config.turn.gather_us,
        // Only TURN and WebRTC use datagrams.
        datagram_buffers_count: if has_datagrams { TURN_DATAGRAM_BUFFERS_COUNT } else { 16 },
        udp_gro: has_datagrams,
        ..defaults
    }
}

/// Something that nobody can guess, from the system's entropy.
fn draw_seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    let mut hasher = std::hash::RandomState::new().build_hasher();
    hasher.write_u128(unix_time().as_nanos());
    hasher.write_u32(std::process::id());
    hasher.finish()
}

#[allow(clippy::disallowed_methods, reason = "the process's start")]
fn now() -> Instant {
    Instant::now()
}

#[allow(clippy::disallowed_methods, reason = "the process's start, for people")]
fn unix_time() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

#[allow(clippy::disallowed_methods, reason = "the main thread only waits for signals")]
fn rest(time: Duration) {
    std::thread::sleep(time);
}
