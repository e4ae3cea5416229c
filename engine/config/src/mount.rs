//! The keys of a mount. `[mount_defaults]` has the same ones, for mounts that are not configured
//! and as what each `[[mount]]` starts from.

use crate::check;
use crate::define::keys;
use crate::types::Secret;

keys! {
    /// A mount. What it does not say it takes from `[mount_defaults]`; an empty string unsets an
    /// inherited key. A mount that is not configured comes to life when a source connects.
    pub struct Mount in "mount" {
        /// Its path.
        name: String = String::new(), required(), own(), example("\"/live.mp3\""),
            check(|mount| check::mount_path(&mount.name));

        /// User name of its sources.
        username: String = "source".into(), check(|mount| check::user(&mount.username));

        /// Password of its sources. Not set: `credentials.source_password`.
        password: Option<Secret> = None, example("\"a password of its own\"");

        /// Bytes that a new listener gets at once, from a sync point.
        burst_bytes: usize = 65_535;

        /// Bytes kept; a listener that falls further behind is dropped.
        window_bytes: usize = 524_288, within(16_384, 1 << 30);

        /// The longest that a listener waits for what is new, in milliseconds; fast streams are
        /// sent sooner, each time that 24 KiB are there. Less means lower latency and more CPU.
        flush_ms: u64 = 1_500, within(5, 10_000);

        /// Listeners at most. Not set: only `limits.clients_max` counts.
        listeners_max: Option<u32> = None, example("500");

        /// A listener is disconnected after so many seconds.
        listener_duration_max_s: Option<u64> = None, within(1, 31_536_000), example("14400");

        /// A source that sends nothing for so long is disconnected.
        source_timeout_ms: u64 = 10_000, within(100, 3_600_000);

        /// Whether a second source replaces the first. Otherwise it is refused with 403.
        takeover: bool = false;

        /// The mount whose stream listeners hear while this one has no source.
        fallback: Option<String> = None, example("\"/backup.mp3\""),
            check(|mount| check::mount_path_if_set(&mount.fallback));

        /// Whether listeners come back from the fallback as soon as there is a source.
        fallback_override: bool = false;

        /// Whether a listener who finds the mount full goes to the fallback.
        fallback_when_full: bool = false;

        /// Whether it is left out of the public statistics, stream list and status page.
        hidden: bool = false;

        /// Whether listeners are refused (403): a mount that only feeds others by fallback.
        no_mount: bool = false;

        /// Whether directories may list it. Not set: as the source says.
        public: Option<bool> = None, example("false");

        /// Bytes between title blocks for listeners that ask for titles; 0: no titles.
        metaint: u32 = 16_000, within(0, 1_048_576);

        /// Character set of the titles that encoders send. Not set: UTF-8 where it is valid UTF-8,
        /// ISO-8859-1 where not.
        charset: Option<String> = None, example("\"ISO-8859-1\""),
            check(|mount| check::token_or_empty(mount.charset.as_deref().unwrap_or("")));

        /// Name of the stream, over what the source says.
        stream_name: Option<String> = None, example("\"Radio Example\"");

        /// Description of the stream, over what the source says.
        stream_description: Option<String> = None, example("\"Music and talk\"");

        /// Genre of the stream, over what the source says.
        genre: Option<String> = None, example("\"Various\"");

        /// Page of the stream, over what the source says.
        stream_url: Option<String> = None, example("\"https://radio.example.org/\"");

        /// Bit rate in kbit/s, over what the source says.
        bitrate: Option<u32> = None, example("128");

        /// Content type, over what the source says.
        content_type: Option<String> = None, example("\"audio/mpeg\""),
            check(|mount| check::content_type_if_set(&mount.content_type));

        /// Servers to pull the stream from, tried in order, such as
        /// `["http://one.example:8000/live", "http://two.example:8000/live"]`.
        pull: Vec<String> = Vec::new(), own(), check(|mount| check::pulls(&mount.pull));

        /// Whether the pull runs only while there are listeners.
        pull_on_demand: bool = false;

        /// Whether titles are asked of the server pulled from.
        pull_titles: bool = true;
    }
}

impl Mount {
    /// A fallback that was inherited by the very mount it names means none.
    pub(crate) fn drop_fallback_to_itself(&mut self) {
        if self.fallback.as_deref() == Some(&self.name) {
            self.fallback = None;
        }
    }
}
