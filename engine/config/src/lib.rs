//! The configuration of Skywave: TOML in which every key is defined once.
//!
//! ```text
//! limits.rs mount.rs sections.rs   the keys: type, default, doc, check       (define.rs: how)
//!        │
//!        ├─► typed structs ([`Config`] and its parts)
//!        ├─► read.rs      the file, with line numbers and the nearest key
//!        ├─► flags.rs     the command line; each flag is a key
//!        ├─► document.rs  `--print-default-config` and the reference
//!        └─► reload.rs    what a SIGHUP changes and what waits for a restart
//! ```
//!
//! * Everything that is wrong is reported at once, with its line or flag.
//! * A [`Secret`] is never shown, neither in an error nor by `Debug`.
//! * *Invariant:* a [`Config`] that [`Config::parse`] or [`parse_args`] returned holds every
//!   relation of `relate.rs`: its users do not check again.

mod check;
mod define;
mod document;
mod error;
mod events;
mod files;
mod flags;
mod limits;
mod mount;
mod read;
mod relate;
mod reload;
mod rtc;
mod sections;
mod setting;
mod symple;
mod turn;
mod types;
mod workers;

#[cfg(test)]
mod tests;

use define::Section;

pub use document::{reference_markdown, sample};
pub use error::{Errors, Problem};
pub use events::{Events, Webhook};
pub use files::Files;
pub use flags::{Invocation, parse_args, parse_args_with};
pub use limits::{Limits, MemoryTerm};
pub use mount::Mount;
pub use reload::Reload;
pub use rtc::{Auth, Rtc, Stream, stream_name, zone};
pub use sections::{Credentials, Demo, Http, Listen, Log, Server, Shards, Tls};
pub use symple::Symple;
pub use turn::{TURN_DATAGRAM_BUFFERS_COUNT, Turn};
pub use types::{Cidr, Level, Secret};
pub use workers::{StreamMode, Workers};

/// The whole configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `[server]`: the server as a whole.
    pub server: Server,
    /// `[[listen]]`: the sockets; at least one.
    pub listen: Vec<Listen>,
    /// `[tls]`: certificates, for the sockets that speak TLS.
    pub tls: Tls,
    /// `[credentials]`: who may send, administer and mirror.
    pub credentials: Credentials,
    /// `[shards]`: threads and cores.
    pub shards: Shards,
    /// `[limits]`: bounds.
    pub limits: Limits,
    /// `[mount_defaults]`: what a mount has that says nothing of its own. Its `name` is empty.
    pub mount_defaults: Mount,
    /// `[[mount]]`: the configured mounts, complete: inheritance is done.
    pub mounts: Vec<Mount>,
    /// `[http]`: what answers say.
    pub http: Http,
    /// `[[files]]`: directories whose files are served.
    pub files: Vec<Files>,
    /// `[turn]`: TURN for browsers.
    pub turn: Turn,
    /// `[auth]`: tokens.
    pub auth: Auth,
    /// `[symple]`: signalling for browsers.
    pub symple: Symple,
    /// `[rtc]`: WebRTC.
    pub rtc: Rtc,
    /// `[[stream]]`: the configured streams of WebRTC.
    pub streams: Vec<Stream>,
    /// `[workers]`: processes that open sources and record.
    pub workers: Workers,
    /// `[events]`: what happens to streams.
    pub events: Events,
    /// `[[webhook]]`: who is told of it.
    pub webhooks: Vec<Webhook>,
    /// `[log]`: what is written down.
    pub log: Log,
    /// `[demo]`: a stream without an encoder.
    pub demo: Demo,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            server: Server::default(),
            listen: Listen::defaults(),
            tls: Tls::default(),
            credentials: Credentials::default(),
            shards: Shards::default(),
            limits: Limits::default(),
            mount_defaults: Mount::default(),
            mounts: Vec::new(),
            http: Http::default(),
            files: Vec::new(),
            turn: Turn::default(),
            auth: Auth::default(),
            symple: Symple::default(),
            rtc: Rtc::default(),
            streams: Vec::new(),
            workers: Workers::default(),
            events: Events::default(),
            webhooks: Vec::new(),
            log: Log::default(),
            demo: Demo::default(),
        }
    }
}

impl Config {
    /// Reads a configuration from the text of a file; `file_name` is what errors call it.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn parse(file_name: &str, text: &str) -> Result<Config, Errors> {
        let mut config = Config::default();
        let mut reader = read::Reader::default();
        reader.read_file(&mut config, file_name, text);
        reader.finish(config)
    }

    /// What files add to [`Limits::memory_terms`] with so many shards.
    pub fn files_memory_terms(&self, shards_count: usize) -> Vec<MemoryTerm> {
        if self.files.is_empty() {
            return Vec::new();
        }
        let (limits, shards) = (&self.limits, shards_count as u64);
        vec![
            MemoryTerm::new("files being sent", shards, limits.file_read_bytes_max as u64),
            MemoryTerm::new("cached files", shards, limits.file_cache_bytes_max as u64),
        ]
    }

    /// The settings of any mount: as configured, or the defaults under that name.
    pub fn mount_named(&self, name: &str) -> Mount {
        let configured = self.mounts.iter().find(|mount| mount.name == name);
        configured.cloned().unwrap_or_else(|| {
            let mut mount = Mount { name: name.into(), ..self.mount_defaults.clone() };
            mount.drop_fallback_to_itself();
            mount
        })
    }

    /// What a source of a mount has to show: the mount's own password, or the server's.
    pub fn source_password(&self, mount: &str) -> Option<&Secret> {
        let configured = self.mounts.iter().find(|settings| settings.name == mount);
        let of_mount = configured.unwrap_or(&self.mount_defaults).password.as_ref();
        of_mount.or(self.credentials.source_password.as_ref())
    }

    /// The settings of any stream: as configured, or the defaults under that name.
    pub fn stream_named(&self, name: &str) -> Stream {
        let configured = self.streams.iter().find(|stream| stream.name == name);
        configured.cloned().unwrap_or_else(|| Stream { name: name.into(), ..Stream::default() })
    }

    /// Lets `walker` see every section in the order in which they are read and documented.
    /// `[mount_defaults]` comes before the mounts that start from it.
    fn walk(walker: &mut impl Walker) {
        walker.section(Server::NAME, |config| &mut config.server);
        walker.list(|config| &mut config.listen, |_| Listen::default());
        walker.section(Tls::NAME, |config| &mut config.tls);
        walker.section(Credentials::NAME, |config| &mut config.credentials);
        walker.section(Shards::NAME, |config| &mut config.shards);
        walker.section(Limits::NAME, |config| &mut config.limits);
        walker.section(MOUNT_DEFAULTS, |config| &mut config.mount_defaults);
        walker.list(|config| &mut config.mounts, |config| config.mount_defaults.clone());
        walker.section(Http::NAME, |config| &mut config.http);
        walker.list(|config| &mut config.files, |_| Files::default());
        walker.section(Turn::NAME, |config| &mut config.turn);
        walker.section(Auth::NAME, |config| &mut config.auth);
        walker.section(Symple::NAME, |config| &mut config.symple);
        walker.section(Rtc::NAME, |config| &mut config.rtc);
        walker.list(|config| &mut config.streams, |_| Stream::default());
        walker.section(Workers::NAME, |config| &mut config.workers);
        walker.section(Events::NAME, |config| &mut config.events);
        walker.list(|config| &mut config.webhooks, |_| Webhook::default());
        walker.section(Log::NAME, |config| &mut config.log);
        walker.section(Demo::NAME, |config| &mut config.demo);
    }
}

/// Sees every section, whatever its type; see [`Config::walk`].
trait Walker {
    /// A table that stands once in the file, and where the configuration has it.
    fn section<S: Section>(&mut self, name: &'static str, of: fn(&mut Config) -> &mut S);

    /// A table that may stand several times, and what each starts from.
    fn list<S: Section>(&mut self, of: fn(&mut Config) -> &mut Vec<S>, start: fn(&Config) -> S);
}

/// The one section whose keys are those of another.
const MOUNT_DEFAULTS: &str = "mount_defaults";
