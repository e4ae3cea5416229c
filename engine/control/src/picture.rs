//! The [`View`] of this moment, from the tables.

use shards_runtime::ShardId;

use crate::control::Control;
use crate::directory::{MountState, Running};
use crate::view::{ControlCounters, MountView, SourceView, View};

impl Control {
    /// The server as it is now.
    pub(crate) fn view(&self) -> View {
        let server = &self.config.server;
        View {
            server_id: server.server_id.clone(),
            hostname: server.hostname.clone(),
            port: self.setup.port,
            location: server.location.clone(),
            admin_contact: server.admin_contact.clone(),
            started: self.setup.started,
            now: self.wall_clock,
            extra_headers: self.config.http.cors_headers.clone(),
            counters: self.reports.counters(),
            shards: self.reports.last().cloned().collect(),
            control: ControlCounters { kept: self.kept_now(), ..self.counters },
            mounts: self.directory.by_name().map(|mount| self.mount_view(mount)).collect(),
        }
    }

    /// Whether the server is up and is to stay so: for whoever sends it clients.
    pub(crate) fn is_ready(&self) -> bool {
        self.reports.is_complete() && self.drain.is_none()
    }

    /// Whether the server is about to stop.
    pub(crate) fn is_draining(&self) -> bool {
        self.drain.is_some()
    }

    fn mount_view(&self, mount: &MountState) -> MountView {
        let listeners_count = self.reports.at_home(mount.id);
        let peak = mount.running.as_ref().map_or(0, |running| running.listeners_peak);
        MountView {
            name: mount.name.to_string(),
            hidden: mount.settings.hidden,
            fallback: mount.fallback.clone(),
            listeners_max: mount.settings.listeners_max,
            on_demand: mount.is_on_demand(),
            listeners_count,
            listeners_peak: peak.max(listeners_count),
            source: mount.running.as_ref().map(|running| self.source_view(running)),
        }
    }

    fn source_view(&self, running: &Running) -> SourceView {
        let sum = self.reports.session(running.session.id);
        SourceView {
            content_type: running.session.stream.content_type.clone(),
            info: running.session.stream.info.clone(),
            title: running.title.clone(),
            audio: running.audio.clone(),
            peer: running.peer,
            agent: running.agent.clone(),
            is_pull: running.is_pull,
            started: running.started,
            bytes_read: sum.bytes_read,
            bytes_sent: sum.bytes_sent,
            slow_listeners: sum.slow_listeners,
        }
    }

    /// Keeps the largest number of listeners of each session. After each report of a shard.
    pub(crate) fn note_peaks(&mut self, shard: ShardId) {
        let Control { directory, reports, .. } = self;
        for mount in directory.iter_mut() {
            let peak = reports.at_home_peak(mount.id, shard);
            if let Some(running) = &mut mount.running {
                running.listeners_peak = running.listeners_peak.max(peak);
            }
        }
    }
}
