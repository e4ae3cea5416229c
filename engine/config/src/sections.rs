//! The sections of the file except limits and mounts: every key with type, default, doc, check.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use crate::check;
use crate::define::keys;
use crate::types::{Cidr, Level, Secret};

keys! {
    /// The server as a whole.
    pub struct Server in "server" {
        /// The name under which listeners reach this server; it stands in playlists and statistics.
        hostname: String = "localhost".into(), check(|server| check::host(&server.hostname));

        /// Where the server is, for the statistics page.
        location: String = "Earth".into();

        /// How to reach whoever runs it, for the statistics page.
        admin_contact: String = "icemaster@localhost".into();

        /// What the `Server` header says.
        server_id: String = concat!("Skywave/", env!("CARGO_PKG_VERSION")).into();

        /// The folder for what outlives the process, such as the access log. Not set: none.
        ///
        /// `log.access_log` may put that elsewhere.
        data_dir: Option<PathBuf> = None, example("\"/var/lib/skywave\""), restart();

        /// Name of this node among nodes that pull from each other; a stream that comes back to the
        /// node that it left is a loop. No two nodes may have the same. Empty: drawn at each start.
        node_id: String = String::new(),
            check(|server| check::token_or_empty(&server.node_id)), restart();

        /// Networks whose `X-Forwarded-For` and PROXY protocol headers are believed.
        trusted_proxies: Vec<Cidr> = Vec::new();

        /// How long listeners and sources may go on after SIGTERM, in seconds.
        drain_s: u64 = 10, within(0, 3_600);
    }
}

keys! {
    /// A socket that accepts listeners, sources and admin requests. There may be several.
    pub struct Listen in "listen" {
        /// Address and port to accept connections on.
        address: SocketAddr = SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT)),
            required(), restart(), example("\"0.0.0.0:8000\""),
            check(|listen| check::port(listen.address));

        /// Whether connections from trusted proxies begin with a PROXY protocol header (v1 or v2).
        proxy_protocol: bool = false, restart();

        /// A mount for encoders that only speak SHOUTcast (ICY): they connect to the port above
        /// this one and send the source password, or `/mount:password` for another mount.
        shoutcast_mount: Option<String> = None, example("\"/stream\""), restart(),
            check(|listen| check::mount_path_if_set(&listen.shoutcast_mount));

        /// Whether an IPv6 socket leaves IPv4 alone. No effect on an IPv4 address.
        v6_only: bool = true, restart();

        /// Whether TLS is spoken here too: the first byte of a connection tells it from plain HTTP.
        /// Needs `tls.certificates`.
        tls: bool = false, restart();

        /// Whether a browser that asks here without TLS for a page is sent to `https`. Players,
        /// sources and scripts never are.
        https_redirect: bool = false, restart();
    }
}

keys! {
    /// TLS 1.2 and 1.3, for the sockets that speak it. SIGHUP reads the files anew; connections go
    /// on with what they began with.
    pub struct Tls in "tls" {
        /// Certificates with their chains, in PEM. Who asks for a name gets the one for that name;
        /// the first is for the others.
        certificates: Vec<PathBuf> = Vec::new(), example("[\"/etc/skywave/fullchain.pem\"]");

        /// Their keys in the same order, in PEM. Empty: each is in the certificate's own file.
        keys: Vec<PathBuf> = Vec::new(), example("[\"/etc/skywave/privkey.pem\"]");

        /// Steps of handshakes that a shard takes part in in one tick; others wait for the next, so
        /// that a storm of them delays no listener. TURN's clients have as many of their own.
        handshakes_per_tick_max: u32 = 4, within(1, 1_000);
    }
}

keys! {
    /// Who may send, administer and mirror. A password that is not set refuses everyone.
    pub struct Credentials in "credentials" {
        /// Password of sources, for mounts that have none of their own.
        source_password: Option<Secret> = None, example("\"a long random string\"");

        /// User name for `/admin/`.
        admin_user: String = "admin".into(), check(|c| check::user(&c.admin_user));

        /// Password for `/admin/`.
        admin_password: Option<Secret> = None, example("\"another long random string\"");

        /// User name of mirroring servers, for `/admin/streamlist.txt`.
        relay_user: String = "relay".into(), check(|c| check::user(&c.relay_user));

        /// Password of mirroring servers.
        relay_password: Option<Secret> = None, example("\"a third one\"");
    }
}

keys! {
    /// Shards: one thread with one ring on each core.
    pub struct Shards in "shards" {
        /// How many shards. Not set: one for each of `cores`, or for each core of the machine.
        count: Option<usize> = None, within(1, 256), example("2"), restart();

        /// The cores that shards are pinned to, in order. Empty: no pinning.
        cores: Vec<usize> = Vec::new(), restart();
    }
}

keys! {
    /// What HTTP answers say.
    pub struct Http in "http" {
        /// Header lines for every answer that a browser's script may want to read.
        cors_headers: Vec<(String, String)> = vec![
            ("Access-Control-Allow-Origin".into(), "*".into()),
        ];
    }
}

keys! {
    /// What is written down. The log itself goes to stderr.
    pub struct Log in "log" {
        /// How much the log says.
        level: Level = Level::Info;

        /// File for one line a request or listener, in Icecast's format. SIGHUP opens it anew.
        access_log: Option<PathBuf> = None, example("\"/var/log/skywave/access.log\"");
    }
}

keys! {
    /// A stream that the program makes itself, to hear something before there is an encoder.
    pub struct Demo in "demo" {
        /// Whether the program plays a stream of its own.
        enabled: bool = false, restart();

        /// Its mount.
        mount: String = "/demo.flac".into(), restart(),
            check(|demo| check::mount_path(&demo.mount));
    }
}

impl Listen {
    /// The sockets of a server that was told of none: port 8000, IPv4 and IPv6.
    pub fn defaults() -> Vec<Listen> {
        let v6 = SocketAddr::from((Ipv6Addr::UNSPECIFIED, PORT));
        vec![Listen::default(), Listen { address: v6, ..Listen::default() }]
    }

    /// The address for ICY v1 sources, one port up, where [`Listen::shoutcast_mount`] asks for it.
    pub fn shoutcast_address(&self) -> Option<SocketAddr> {
        self.shoutcast_mount.as_ref()?;
        let port = self.address.port().checked_add(1)?;
        Some(SocketAddr::new(self.address.ip(), port))
    }
}

impl Shards {
    /// How many shards to start on a machine with `cores_available`; at least one.
    pub fn count_on(&self, cores_available: usize) -> usize {
        let pinned = (!self.cores.is_empty()).then_some(self.cores.len());
        self.count.or(pinned).unwrap_or(cores_available).clamp(1, SHARDS_MAX)
    }
}

/// Icecast's port.
const PORT: u16 = 8000;

/// As the range of `shards.count` says.
const SHARDS_MAX: usize = 256;
