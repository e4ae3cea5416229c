//! The directories whose files are served, and each shard's end of them.

use anyhow::Context as _;
use engine_config::Config;
use shards_ring::ControlBell;
use shards_runtime::ShardId;
use shards_storage::{FileLimits, FilePort, RootId, Storage};

/// Opens the directories of the configuration: their names for the storage.
pub fn open(config: &Config, storage: Option<&Storage>) -> anyhow::Result<Vec<RootId>> {
    let Some(storage) = storage else { return Ok(Vec::new()) };
    let root = |files: &engine_config::Files| {
        let directory = &files.directory;
        let opened = storage.root(directory);
        opened.with_context(|| format!("cannot open the directory {}", directory.display()))
    };
    config.files.iter().map(root).collect()
}

/// A shard's end of them, where there are any.
pub fn port(
    config: &Config,
    storage: Option<&Storage>,
    bell: &ControlBell,
    shard: usize,
) -> std::io::Result<Option<FilePort>> {
    let Some(storage) = storage.filter(|_| !config.files.is_empty()) else { return Ok(None) };
    let limits = FileLimits {
        read_bytes_max: config.limits.file_read_bytes_max,
        cache_bytes_max: config.limits.file_cache_bytes_max,
        ..FileLimits::default()
    };
    let bell = bell.clone();
    storage.file_port(limits, move || bell.ring(ShardId(shard as u16))).map(Some)
}
