//! What an operator does to running mounts: titles, kicks, moves, fallbacks. Each answers in
//! Icecast's words.

use std::sync::Arc;

use engine_node::{Message, SessionId};
use protocol_icy::{Title, TitleUpdate};
use shards_runtime::ShardId;

use crate::control::Control;
use crate::directory::MountState;

/// Why an operation is not done: the words that Icecast answers with status 400.
pub(crate) type Fault = &'static str;

/// The mount has no source, or is not known at all.
pub(crate) const NO_SUCH_SOURCE: Fault = "Source does not exist";

impl Control {
    /// Gives a running mount a title. `None` changes nothing and is a success, as with Icecast.
    pub(crate) fn set_title(
        &mut self,
        name: &str,
        title: Option<Title>,
    ) -> Result<&'static str, Fault> {
        let running = self.directory.find_mut(name).and_then(|mount| mount.running.as_mut());
        let running = running.ok_or(NO_SUCH_SOURCE)?;
        if running.session.stream.format.titles_inside() {
            return Ok("Mountpoint will not accept URL updates");
        }
        if let Some(title) = title {
            running.title = Some(title.clone());
            let (session, owner) = (running.session.id, running.session.owner);
            self.send(owner, Message::SetTitle { session, title: Box::new(title) });
        }
        Ok(TitleUpdate::DONE)
    }

    /// The mount that a title of the old dialect is for: the one named, or the running ICY v1
    /// source whose password was given.
    pub(crate) fn v1_mount(
        &self,
        named: Option<&str>,
        knows: impl Fn(&MountState) -> bool,
    ) -> Result<Arc<str>, Fault> {
        if let Some(name) = named {
            let mount = self.directory.find(name).ok_or(NO_SUCH_SOURCE)?;
            let running = mount.running.as_ref().ok_or(NO_SUCH_SOURCE)?;
            if !running.is_v1 {
                return Err("illegal metadata call");
            }
            return Ok(Arc::clone(&mount.name));
        }
        let is_v1 = |mount: &&MountState| mount.running.as_ref().is_some_and(|r| r.is_v1);
        let mount = self.directory.by_name().filter(is_v1).find(|mount| knows(mount));
        mount.map(|mount| Arc::clone(&mount.name)).ok_or(NO_SUCH_SOURCE)
    }

    /// Puts a mount's source out.
    pub(crate) fn kill_source(&mut self, name: &str) -> Result<(), Fault> {
        let (session, owner) = self.running(name).ok_or(NO_SUCH_SOURCE)?;
        tracing::info!(mount = name, session = session.0, "source is put out by the operator");
        self.send(owner, Message::KillSource(session));
        Ok(())
    }

    /// Makes the listeners of one mount listeners of another.
    pub(crate) fn move_clients(&mut self, from: &str, to: &str) -> Result<(), Fault> {
        let source = self.heard_mount(from).ok_or("Source is not available")?;
        let target = self.directory.find(to).ok_or("No such destination")?;
        let (from_id, to_id) = (source.id, target.id);
        if from_id == to_id {
            return Err("supplied mountpoints are identical");
        }
        let heard = self.directory.route(from_id).map(|session| session.stream.format);
        let new = self.directory.route(to_id).ok_or("Destination not running")?;
        // Shards leave those where they are whose player would not understand the other format.
        if heard == Some(new.stream.format) {
            self.move_admitted(from_id, to_id);
        }
        tracing::info!(from, to, "listeners are moved by the operator");
        self.broadcast(|| Message::MoveListeners { from: from_id, to: to_id });
        self.pulls_due = true;
        Ok(())
    }

    /// Gives a mount another fallback; an empty name: none.
    pub(crate) fn set_fallback(&mut self, name: &str, fallback: &str) -> Result<(), Fault> {
        let mount = self.directory.find(name).ok_or(NO_SUCH_SOURCE)?;
        let id = mount.id;
        if !fallback.is_empty() && !fallback.starts_with('/') {
            return Err("A fallback is a mount");
        }
        if fallback == name || self.directory.would_cycle(id, fallback) {
            return Err("The fallback would lead back to the mount");
        }
        tracing::info!(mount = name, fallback, "fallback is set by the operator");
        let mount = self.directory.get_mut(id).expect("looked up above");
        mount.fallback = Some(fallback.to_owned()).filter(|name| !name.is_empty());
        (self.dirty, self.pulls_due) = (true, true);
        Ok(())
    }

    /// A mount that has listeners or may have: it runs, is routed to a fallback, or is pulled when
    /// somebody listens.
    pub(crate) fn heard_mount(&self, name: &str) -> Option<&MountState> {
        let mount = self.directory.find(name)?;
        let is_heard = self.directory.route(mount.id).is_some()
            || mount.is_on_demand()
            || self.listeners_count(mount) > 0;
        is_heard.then_some(mount)
    }

    fn running(&self, name: &str) -> Option<(SessionId, ShardId)> {
        let running = self.directory.find(name)?.running.as_ref()?;
        Some((running.session.id, running.session.owner))
    }
}
