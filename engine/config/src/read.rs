//! Reads the file and the flags into a configuration, and collects everything that is wrong.

use std::collections::BTreeMap;

use toml::de::{DeTable, DeValue};

use crate::define::{Key, Section};
use crate::document::{Outline, outlines};
use crate::error::{Errors, Problem};
use crate::{Config, MOUNT_DEFAULTS, Mount, Walker, relate};

/// Reads; first the file, then flags, then [`Reader::finish`].
#[derive(Default)]
pub(crate) struct Reader {
    problems: Vec<(Order, Problem)>,
    places: Places,
}

/// Where each key that was set was set, so that a check across keys can say it.
#[derive(Default)]
pub(crate) struct Places(BTreeMap<Spot, (Order, String)>);

/// A key of the `index`-th table of a section.
type Spot = (&'static str, usize, &'static str);

/// What problems are sorted by: lines of the file, then the rest as it came.
type Order = usize;

const AFTER_THE_FILE: Order = usize::MAX;

impl Places {
    /// Where a key was set, if it was.
    pub(crate) fn of(
        &self,
        section: &'static str,
        index: usize,
        key: &'static str,
    ) -> Option<&str> {
        self.0.get(&(section, index, key)).map(|(_, place)| place.as_str())
    }
}

impl Reader {
    /// Reads the text of a file into `config`.
    pub(crate) fn read_file(&mut self, config: &mut Config, file_name: &str, text: &str) {
        let (document, errors) = DeTable::parse_recoverable(text);
        let mut file = File {
            reader: self,
            config,
            name: file_name,
            text,
            known: Vec::new(),
            document: document.get_ref(),
        };
        if errors.is_empty() {
            Config::walk(&mut file);
            file.refuse_unknown_sections();
            return;
        }
        // What a broken file seems to say is not worth reporting on.
        for error in errors {
            let offset = error.span().map_or(text.len(), |span| span.start);
            file.report(offset, "", format!("not TOML: {}", error.message().replace('\n', "; ")));
        }
    }

    /// Sets `section.key` from a flag. For a section that is a list, adds to the list.
    pub(crate) fn read_flag(
        &mut self,
        config: &mut Config,
        flag: &'static str,
        (section, key): (&'static str, &'static str),
        value: &DeValue<'_>,
    ) {
        let mut setter = FlagSetter { config, section, key, value, done: None };
        Config::walk(&mut setter);
        let (index, result) = setter.done.expect("the flags' table names keys that exist: a test");
        match result {
            Ok(()) => {
                self.places.0.insert((section, index, key), (AFTER_THE_FILE, flag.into()));
            }
            Err(message) => self.problem(flag, "", message),
        }
    }

    /// Forgets what the file said about a section that flags replace.
    pub(crate) fn forget(&mut self, section: &str) {
        self.places.0.retain(|(name, _, _), _| *name != section);
    }

    /// Notes something that is wrong outside the file.
    pub(crate) fn problem(&mut self, place: &str, key: &str, message: impl Into<String>) {
        self.problems.push((AFTER_THE_FILE, Problem::new(place, key, message)));
    }

    /// The configuration, if nothing is wrong with it. Relations between keys are checked last.
    pub(crate) fn finish(mut self, mut config: Config) -> Result<Config, Errors> {
        for (index, mount) in config.mounts.iter_mut().enumerate() {
            if self.places.of(Mount::NAME, index, "fallback").is_none() {
                mount.drop_fallback_to_itself();
            }
        }
        for (spot, message) in relate::faults(&config, &self.places) {
            let (section, _, key) = spot;
            let (order, place) =
                self.places.0.get(&spot).cloned().unwrap_or((AFTER_THE_FILE, "".into()));
            let problem = Problem::new(place, format!("{section}.{key}"), message);
            self.problems.push((order, problem));
        }
        if self.problems.is_empty() {
            return Ok(config);
        }
        self.problems.sort_by_key(|(order, _)| *order);
        Err(Errors { problems: self.problems.into_iter().map(|(_, problem)| problem).collect() })
    }
}

/// A file that is being read.
struct File<'a> {
    reader: &'a mut Reader,
    config: &'a mut Config,
    name: &'a str,
    text: &'a str,
    document: &'a DeTable<'a>,
    /// The sections there are.
    known: Vec<&'static str>,
}

impl Walker for File<'_> {
    fn section<S: Section>(&mut self, name: &'static str, of: fn(&mut Config) -> &mut S) {
        self.known.push(name);
        let Some((start, value)) = self.find(name) else { return };
        match value {
            DeValue::Table(table) => {
                let mut section = std::mem::take(of(self.config));
                self.read_keys((name, 0), start, table, &mut section);
                *of(self.config) = section;
            }
            DeValue::Array(_) => {
                self.report(start, name, format!("expected [{name}] once, found a list"));
            }
            _ => self.report(start, name, format!("expected a section [{name}], found a value")),
        }
    }

    fn list<S: Section>(&mut self, of: fn(&mut Config) -> &mut Vec<S>, start: fn(&Config) -> S) {
        let name = S::NAME;
        self.known.push(name);
        let Some((offset, value)) = self.find(name) else { return };
        let Some(elements) = value.as_array() else {
            let message = format!("expected [[{name}]] in double brackets: there may be several");
            return self.report(offset, name, message);
        };
        let mut list = Vec::new();
        for (index, element) in elements.iter().enumerate() {
            let mut section = start(self.config);
            match element.get_ref().as_table() {
                Some(table) => {
                    self.read_keys((name, index), element.span().start, table, &mut section);
                }
                None => self.report(element.span().start, name, "expected a table".into()),
            }
            list.push(section);
        }
        *of(self.config) = list;
    }
}

impl<'a> File<'a> {
    /// A top-level entry and where it starts.
    fn find(&self, name: &str) -> Option<(usize, &'a DeValue<'a>)> {
        let entry = self.document.iter().find(|(key, _)| key.get_ref() == name)?;
        Some((entry.0.span().start, entry.1.get_ref()))
    }

    fn read_keys<S: Section>(
        &mut self,
        (name, index): (&'static str, usize),
        start: usize,
        table: &DeTable<'_>,
        section: &mut S,
    ) {
        let inherited_from = name == MOUNT_DEFAULTS;
        for (key_text, value) in table {
            let offset = key_text.span().start;
            let full_name = format!("{name}.{}", key_text.get_ref());
            let key = S::KEYS.iter().find(|key| key.name == key_text.get_ref());
            let result = match key {
                None => Err(unknown_key(name, key_text.get_ref())),
                Some(key) if key.is_own && inherited_from => {
                    Err("belongs to one [[mount]] and cannot be a default".into())
                }
                Some(key) => key.set(section, value.get_ref()).map(|()| {
                    let place = (self.line(offset), self.place(offset));
                    self.reader.places.0.insert((name, index, key.name), place);
                }),
            };
            if let Err(message) = result {
                self.report(offset, &full_name, message);
            }
        }
        let has = |key: &Key<S>| table.iter().any(|(text, _)| text.get_ref() == key.name);
        for key in S::KEYS.iter().filter(|key| key.is_required && !inherited_from && !has(key)) {
            self.report(start, &format!("{name}.{}", key.name), "is missing".into());
        }
    }

    fn refuse_unknown_sections(&mut self) {
        for (key, value) in self.document {
            let name: &str = key.get_ref();
            if self.known.contains(&name) {
                continue;
            }
            let message = if value.get_ref().is_table() || value.get_ref().is_array() {
                let nearest = self.known.iter().min_by_key(|known| distance(name, known));
                format!("unknown section; the nearest is [{}]", nearest.expect("there are some"))
            } else {
                unknown_key("", name)
            };
            self.report(key.span().start, name, message);
        }
    }

    fn report(&mut self, offset: usize, key: &str, message: String) {
        let problem = Problem::new(self.place(offset), key, message);
        self.reader.problems.push((self.line(offset), problem));
    }

    fn place(&self, offset: usize) -> String {
        format!("{}:{}", self.name, self.line(offset))
    }

    /// The line of a byte offset, from 1.
    fn line(&self, offset: usize) -> usize {
        let before = &self.text.as_bytes()[..offset.min(self.text.len())];
        before.iter().filter(|byte| **byte == b'\n').count() + 1
    }
}

/// Sets one key from a flag.
struct FlagSetter<'a> {
    config: &'a mut Config,
    section: &'static str,
    key: &'static str,
    value: &'a DeValue<'a>,
    /// Index of the table that was set, and how it went.
    done: Option<(usize, Result<(), String>)>,
}

impl FlagSetter<'_> {
    fn set<S: Section>(&self, section: &mut S) -> Option<Result<(), String>> {
        let key = S::KEYS.iter().find(|key| key.name == self.key)?;
        Some(key.set(section, self.value))
    }
}

impl Walker for FlagSetter<'_> {
    fn section<S: Section>(&mut self, name: &'static str, of: fn(&mut Config) -> &mut S) {
        if name == self.section {
            let mut section = std::mem::take(of(self.config));
            self.done = self.set(&mut section).map(|result| (0, result));
            *of(self.config) = section;
        }
    }

    fn list<S: Section>(&mut self, of: fn(&mut Config) -> &mut Vec<S>, start: fn(&Config) -> S) {
        if S::NAME == self.section {
            let mut section = start(self.config);
            let result = self.set(&mut section);
            let list = of(self.config);
            self.done = result.map(|result| (list.len(), result));
            list.push(section);
        }
    }
}

/// What to say of a key that does not exist: the nearest one that does, of the same section unless
/// another has one that is nearly the same.
fn unknown_key(section: &str, name: &str) -> String {
    let outlines = outlines();
    let candidates = outlines.iter().flat_map(|outline| {
        let Outline { name: owner, keys, .. } = outline;
        keys.iter().map(move |key| {
            let distance = distance(name, key.name);
            let is_far = distance > NEARLY_THE_SAME && *owner != section;
            ((is_far, 2 * distance + usize::from(*owner != section)), *owner, key.name)
        })
    });
    let (_, owner, nearest) =
        candidates.min_by_key(|(score, _, _)| *score).expect("there are keys");
    if owner == section {
        format!("unknown key; the nearest is `{nearest}`")
    } else {
        format!("unknown key; the nearest is `{nearest}` of [{owner}]")
    }
}

/// Edits from what was written to what exists. `-` and capitals do not count; a missing end and
/// another order of the words count as one edit.
pub(crate) fn distance(written: &str, existing: &str) -> usize {
    let written = written.to_lowercase().replace('-', "_");
    let sorted = |name: &str| {
        let mut words: Vec<String> = name.split('_').map(str::to_owned).collect();
        words.sort();
        words.join("_")
    };
    let is_beginning = written.len() >= 3 && existing.starts_with(&written);
    let as_beginning = if is_beginning && written != existing { 1 } else { usize::MAX };
    let as_words = strsim::osa_distance(&sorted(&written), &sorted(existing)) + 1;
    strsim::osa_distance(&written, existing).min(as_words).min(as_beginning)
}

/// How many edits a slip of the hand makes.
const NEARLY_THE_SAME: usize = 1;

/// What a flag says, as the value that the file would hold. Text that is not of the flag's shape
/// stays a string, for the key to refuse.
pub(crate) fn value_of_number(text: &str) -> DeValue<'_> {
    match DeValue::parse(text) {
        Ok(value) if value.get_ref().is_integer() => value.into_inner(),
        _ => DeValue::String(text.into()),
    }
}
