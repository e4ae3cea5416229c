//! What the server has on disk: the access log, and the folder of recordings.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;

use anyhow::Context as _;
use engine_config::Config;
use engine_control::Command;
use engine_events::{JournalSettings, Keeper, KeeperSettings, NAMES, WebhookSettings};
use engine_node::Files;
use media_link::Recording;
use shards_ring::ControlBell;
use shards_storage::{
    Counters, FileLimits, FilePort, LogId, LogPort, RootId, Storage, StorageConfig,
};

/// What a shard may read of recordings at once. Players read one behind the other, and few at once.
const FILE_LIMITS: fn() -> FileLimits = || FileLimits {
    questions_max: 1_024,
    open_files_max: 512,
    read_bytes_max: 32 * 1024 * 1024,
    cache_bytes_max: 4 * 1024 * 1024,
    cache_files_max: 256,
    // What was removed is gone at once.
    cache_fresh: std::time::Duration::ZERO,
    ..FileLimits::default()
};

/// The storage thread, where anything needs it.
pub struct Disk {
    storage: Option<Storage>,
    log: Option<LogId>,
    recordings: Option<RootId>,
}

impl Disk {
    /// Opens what the configuration names; folders are made where they are missing.
    ///
    /// # Errors
    /// Something of it cannot be had.
    pub fn open(config: &Config, access_log: Option<&PathBuf>) -> anyhow::Result<Disk> {
        let recordings = config.workers.record_dir.as_ref();
        let mut disk = Disk { storage: None, log: None, recordings: None };
        if access_log.is_none() && recordings.is_none() && config.files.is_empty() {
            return Ok(disk);
        }
        let storage = Storage::start(StorageConfig::default()).context("the storage executor")?;
        if let Some(path) = access_log {
            path.parent().map_or(Ok(()), make_folder)?;
            let log = storage.log(path);
            disk.log = Some(log.with_context(|| format!("cannot open {}", path.display()))?);
        }
        if let Some(folder) = recordings {
            make_folder(folder)?;
            let root = storage.root_of_growing(folder);
            disk.recordings =
                Some(root.with_context(|| format!("cannot open {}", folder.display()))?);
        }
        disk.storage = Some(storage);
        Ok(disk)
    }

    /// The thread, where there is one.
    pub fn storage(&self) -> Option<&Storage> {
        self.storage.as_ref()
    }

    /// A shard's end of the access log.
    pub fn log_port(&self) -> Option<LogPort> {
        Some(self.storage.as_ref()?.port(self.log?))
    }

    /// A shard's end of the folder of recordings; `bell` wakes it.
    ///
    /// # Errors
    /// The process has no descriptor left.
    pub fn artifacts(
        &self,
        bell: impl Fn() + Send + 'static,
    ) -> io::Result<Option<(FilePort, RootId)>> {
        let (Some(storage), Some(root)) = (&self.storage, self.recordings) else {
            return Ok(None);
        };
        Ok(Some((storage.file_port(FILE_LIMITS(), bell)?, root)))
    }

    /// What a shard makes of its end, on its own thread.
    pub fn files_of((port, root): (FilePort, RootId)) -> Files {
        Files::new(port, vec![root])
    }

    /// What the access log came to, where there is one.
    pub fn log_counters(&self) -> Option<Counters> {
        self.log?;
        Some(self.storage.as_ref()?.counters())
    }

    /// Opens the access log anew.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn reopen(&self) -> io::Result<()> {
        self.storage.as_ref().map_or(Ok(()), Storage::reopen)
    }

    /// Ends the thread.
    pub fn stop(self) {
        if let Some(storage) = self.storage {
            storage.stop();
        }
    }
}

/// What was recorded before this start.
pub fn recordings(config: &Config) -> Vec<Recording> {
    config.workers.record_dir.as_deref().map(engine_events::scan).unwrap_or_default()
}

/// Starts the thread that removes files for control.
///
/// # Errors
/// The system has no more threads.
pub fn keeper(
    config: &Config,
    commands: Sender<Command>,
    bell: ControlBell,
) -> anyhow::Result<Keeper> {
    let journal = config.events_log().map(|path| JournalSettings {
        path,
        file_bytes_max: config.events.log_bytes_max,
        files_max: config.events.log_files_max,
    });
    let webhooks = config.webhooks.iter().map(webhook).collect::<anyhow::Result<_>>()?;
    let recordings = config.workers.record_dir.clone();
    let settings = KeeperSettings { recordings, journal, webhooks };
    let tell = move |done| {
        // Control that is gone asks nothing any more.
        commands.send(Command::Kept(done)).ok();
        bell.ring_control();
    };
    Keeper::start(settings, tell).context("the keeper's thread")
}

fn webhook(hook: &engine_config::Webhook) -> anyhow::Result<WebhookSettings> {
    let is_known = |wanted: &String| match wanted.strip_suffix('*') {
        Some(start) => NAMES.iter().any(|name| name.starts_with(start)),
        None => NAMES.contains(&wanted.as_str()),
    };
    if let Some(unknown) = hook.events.iter().find(|wanted| !is_known(wanted)) {
        anyhow::bail!("webhook.events: there is no event {unknown:?}; there are {NAMES:?}");
    }
    Ok(WebhookSettings {
        url: hook.url.expose().to_owned(),
        events: hook.events.clone(),
        streams: hook.streams.clone(),
        secret: hook.secret.as_ref().map(|secret| secret.expose().to_owned()),
        timeout: std::time::Duration::from_millis(hook.timeout_ms),
    })
}

fn make_folder(folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))
}
