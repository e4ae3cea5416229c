//! Worker processes: where their program is, and which shard has which work.

use std::path::PathBuf;

use anyhow::Context;
use engine_config::Config;
use engine_workers::{Bridge, Desk, Plan, Recorded, Supervisor, SupervisorSettings};
use media_link::{
    Analysis, Clips, Motion, RecordJob, Snapshots, StreamJob, VideoEncoding, Voice, Zone,
};

/// Starts the supervisor where there is work, with a desk for each shard.
///
/// # Errors
/// The program is not there, or the system has no more threads.
pub fn start(
    config: &Config,
    shards_count: usize,
) -> anyhow::Result<(Option<Supervisor>, Vec<Desk>)> {
    if !config.workers.is_wanted() {
        return Ok((None, Vec::new()));
    }
    if !config.rtc.is_wanted() {
        tracing::warn!("[workers] is set, but rtc.listen names no address: nobody could watch");
        return Ok((None, Vec::new()));
    }
    let program = match &config.workers.program {
        Some(program) => program.clone(),
        None => beside_the_server()?,
    };
    anyhow::ensure!(
        program.is_file(),
        "workers need {}, which is not there (key workers.program)",
        program.display()
    );
    let settings = SupervisorSettings::new(program);
    let (supervisor, desks) =
        Supervisor::start(settings, shards_count).context("cannot start the workers' thread")?;
    Ok((Some(supervisor), desks))
}

fn beside_the_server() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("the server's own path is not known")?;
    Ok(own.with_file_name("skywave-worker"))
}

/// The bridge of each shard. Sources are dealt out in turn; a stream is recorded on its home.
pub fn bridges(config: &Config, shards_count: usize, desks: Vec<Desk>) -> Vec<Option<Bridge>> {
    let workers = &config.workers;
    let below = |name: &str| {
        let folder = workers.record_dir.as_ref()?.join(name);
        Some(folder.to_string_lossy().into_owned())
    };
    let snapshots = below("snapshots").filter(|_| workers.snapshots);
    let clips = below("clips").filter(|_| workers.clips);
    let analysis = |name: &str| Analysis {
        motion: workers.motion.then(|| motion(config, name)),
        voice: workers.voice.then(Voice::default),
        snapshots: snapshots.clone().map(|directory| Snapshots {
            directory,
            interval_min_ms: 1_000,
            count_max: workers.snapshots_max,
            keep_for_ms: workers.snapshot_keep_s * 1_000,
            keep_bytes: workers.snapshot_keep_bytes,
        }),
        clips: clips.clone().map(|directory| Clips {
            directory,
            before_ms: workers.clip_before_ms,
            after_ms: workers.clip_after_ms,
            length_ms_max: workers.clip_ms_max,
            count_max: workers.clips_max,
            keep_for_ms: workers.clip_keep_s * 1_000,
            keep_bytes: workers.clip_keep_bytes,
        }),
    };
    let job = |(name, source): (&str, &str)| StreamJob {
        name: name.to_owned(),
        source: source.to_owned(),
        repeat: true,
        video: video(config),
        audio: Default::default(),
        analysis: analysis(name),
    };
    // What a stream's own worker looks at is not looked at again where it is recorded.
    let of_recorded = |name: &str| {
        let is_source = workers.named_sources().any(|(source, _)| source == name);
        let has_motion = workers.record_motion && !(is_source && workers.motion);
        let has_voice = workers.record_voice && !(is_source && workers.voice);
        Analysis {
            motion: has_motion.then(|| motion(config, name)),
            voice: has_voice.then(Voice::default),
            snapshots: analysis(name).snapshots.filter(|_| has_motion),
            clips: None,
        }
    };
    let named = workers.named_sources().map(|(name, _)| name);
    let named = named.chain(config.streams.iter().map(|stream| stream.name.as_str()));
    let analyses = named.map(|name| (name.to_owned(), of_recorded(name))).collect();
    let folder = workers.record_dir.as_ref().filter(|_| workers.record);
    let recording = folder.map(|folder| Recorded {
        job: RecordJob {
            name: String::new(),
            directory: folder.to_string_lossy().into_owned(),
            rotate_after_ms: workers.record_rotate_s * 1000,
            rotate_after_bytes: workers.record_rotate_bytes,
            keep_for_ms: workers.record_keep_s * 1000,
            keep_bytes: workers.record_keep_bytes,
            fragment_ms: 1_000,
            analysis: of_recorded(""),
        },
        analyses,
        only: workers.record_streams.clone(),
    });
    let bridge = |(index, desk): (usize, Desk)| {
        let mine = workers.named_sources().skip(index).step_by(shards_count);
        let plan = Plan { sources: mine.map(job).collect(), recording: recording.clone() };
        Some(Bridge::new(desk, plan))
    };
    let mut bridges: Vec<_> = desks.into_iter().enumerate().map(bridge).collect();
    // Without work no shard has one.
    bridges.resize_with(shards_count, || None);
    bridges
}

/// How pictures are encoded, where they are.
fn video(config: &Config) -> VideoEncoding {
    let workers = &config.workers;
    let most = workers.video_bps_max;
    let least = workers.video_bps_min.min(most);
    VideoEncoding {
        always: workers.video_encode,
        bits_per_second: workers.video_bps.clamp(least, most),
        bits_per_second_min: least,
        bits_per_second_max: most,
        ..VideoEncoding::default()
    }
}

/// How motion is looked for in a stream.
fn motion(config: &Config, name: &str) -> Motion {
    let stream = config.stream_named(name);
    let zones = |list: &[String]| {
        let zones = list.iter().filter_map(|text| engine_config::zone(text).ok());
        let of = |percent: u8| f32::from(percent) / 100.0;
        zones.map(|[x, y, w, h]| Zone { x: of(x), y: of(y), width: of(w), height: of(h) }).collect()
    };
    Motion {
        threshold: config.workers.motion_threshold as f32 / 1_000.0,
        zones: zones(&stream.zones),
        masks: zones(&stream.masks),
        ..Motion::default()
    }
}
