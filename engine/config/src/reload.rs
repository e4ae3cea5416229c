//! What a new configuration changes in a running server.

use crate::define::Section;
use crate::{Config, Files, Listen, Stream, Walker};

/// The difference between two configurations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reload {
    /// Names of mounts that are configured now and were not.
    pub mounts_added: Vec<String>,
    /// Names of mounts that are not configured any more.
    pub mounts_removed: Vec<String>,
    /// Names of mounts whose settings differ.
    pub mounts_changed: Vec<String>,
    /// Other keys that differ and take effect at once, `section.name`.
    pub changed: Vec<&'static str>,
    /// Keys that differ and take effect only when the program starts again.
    pub needs_restart: Vec<&'static str>,
}

impl Reload {
    /// Whether the two were the same.
    pub fn is_empty(&self) -> bool {
        *self == Reload::default()
    }
}

impl Config {
    /// What changes when this running configuration is replaced by `new`.
    pub fn reload_diff(&self, new: &Config) -> Reload {
        let mut differ = Differ { old: self.clone(), new: new.clone(), reload: Reload::default() };
        Config::walk(&mut differ);
        let mut reload = differ.reload;
        for mount in &self.mounts {
            match new.mounts.iter().find(|other| other.name == mount.name) {
                None => reload.mounts_removed.push(mount.name.clone()),
                Some(other) if other != mount => reload.mounts_changed.push(mount.name.clone()),
                Some(_) => {}
            }
        }
        let is_new = |name: &str| !self.mounts.iter().any(|mount| mount.name == name);
        let added = new.mounts.iter().filter(|mount| is_new(&mount.name));
        reload.mounts_added = added.map(|mount| mount.name.clone()).collect();
        reload
    }

    /// This running configuration with everything of `new` that takes effect without a restart.
    pub fn reloaded(&self, new: &Config) -> Config {
        let mut merger = Merger { old: self.clone(), new: new.clone() };
        Config::walk(&mut merger);
        merger.new
    }
}

struct Differ {
    old: Config,
    new: Config,
    reload: Reload,
}

impl Walker for Differ {
    fn section<S: Section>(&mut self, _: &'static str, of: fn(&mut Config) -> &mut S) {
        let (old, new) = (of(&mut self.old), of(&mut self.new));
        for key in S::KEYS.iter().filter(|key| (key.differs)(old, new)) {
            let list = if key.needs_restart {
                &mut self.reload.needs_restart
            } else {
                &mut self.reload.changed
            };
            list.push(key.full_name);
        }
    }

    fn list<S: Section>(&mut self, of: fn(&mut Config) -> &mut Vec<S>, _: fn(&Config) -> S) {
        let (old, new) = (of(&mut self.old), of(&mut self.new));
        let differs = |(old, new): (&S, &S)| S::KEYS.iter().any(|key| (key.differs)(old, new));
        // Mounts are told apart by name, not by place; the caller compares them.
        let is_other = old.len() != new.len() || old.iter().zip(new.iter()).any(differs);
        match S::NAME {
            Listen::NAME | Files::NAME if is_other => self.reload.needs_restart.push(S::NAME),
            Stream::NAME if is_other => self.reload.changed.push(S::NAME),
            _ => {}
        }
    }
}

/// Puts back into `new` what only a restart can change.
struct Merger {
    old: Config,
    new: Config,
}

impl Walker for Merger {
    fn section<S: Section>(&mut self, _: &'static str, of: fn(&mut Config) -> &mut S) {
        let (old, new) = (of(&mut self.old), of(&mut self.new));
        for key in S::KEYS.iter().filter(|key| key.needs_restart) {
            (key.copy)(old, new);
        }
    }

    fn list<S: Section>(&mut self, of: fn(&mut Config) -> &mut Vec<S>, _: fn(&Config) -> S) {
        if matches!(S::NAME, Listen::NAME | Files::NAME) {
            std::mem::swap(of(&mut self.old), of(&mut self.new));
        }
    }
}
