//! What is printed about the keys: the sample file and the reference. Both are made from the
//! definitions, so neither can be wrong about a name, type or default.

use std::fmt::Write;

use crate::define::{Key, Section};
use crate::flags::flags_markdown;
use crate::{Config, MOUNT_DEFAULTS, Mount, Walker};

/// A section as documentation sees it: without its Rust type.
pub(crate) struct Outline {
    /// Its name in the file.
    pub(crate) name: &'static str,
    /// What it is about, in lines.
    pub(crate) doc: &'static str,
    /// Whether it stands in double brackets, any number of times.
    pub(crate) is_list: bool,
    /// Its keys.
    pub(crate) keys: Vec<KeyOutline>,
}

/// A key as documentation sees it.
pub(crate) struct KeyOutline {
    /// Its name in its section.
    pub(crate) name: &'static str,
    /// What it means, in lines.
    pub(crate) doc: &'static str,
    kind: String,
    range: Option<(u64, u64)>,
    /// As it would stand in the file.
    pub(crate) default: Option<String>,
    example: Option<&'static str>,
    is_required: bool,
    is_own: bool,
    needs_restart: bool,
}

/// Every section. `[mount_defaults]` has all keys of a mount but those of one mount only.
pub(crate) fn outlines() -> Vec<Outline> {
    let mut outliner = Outliner { config: Config::default(), outlines: Vec::new() };
    Config::walk(&mut outliner);
    outliner.outlines
}

/// The configuration file with every key, its documentation and its default; what
/// `--print-default-config` prints. It means the same as an empty file.
pub fn sample() -> String {
    let mut out = String::from(
        "# Configuration of Skywave.\n\
         #\n\
         # Every key is here. A line `#key = value` shows the default, or an example where a key\n\
         # is not set by default. An empty string unsets a key.\n",
    );
    for outline in outlines() {
        let (open, close) = if outline.is_list { ("#[[", "]]") } else { ("[", "]") };
        out.push('\n');
        comment(&mut out, outline.doc);
        put(&mut out, format_args!("{open}{}{close}\n", outline.name));
        for key in outline.listed() {
            out.push('\n');
            comment(&mut out, key.doc);
            let mut rules = key.rules();
            if key.presence() != HAS_DEFAULT {
                rules.push(key.presence().into());
            }
            put(&mut out, format_args!("# ({})\n", rules.join("; ")));
            put(&mut out, format_args!("#{} = {}\n", key.name, key.shown()));
        }
    }
    out
}

/// The reference of all keys and flags in Markdown.
pub fn reference_markdown() -> String {
    let mut out = String::from("# Configuration reference\n");
    for outline in outlines() {
        let (open, close) = if outline.is_list { ("[[", "]]") } else { ("[", "]") };
        put(&mut out, format_args!("\n## `{open}{}{close}`\n\n", outline.name));
        put(&mut out, format_args!("{}\n\n", one_line(outline.doc)));
        out.push_str("| key | default | value | meaning |\n|---|---|---|---|\n");
        for key in outline.listed() {
            let default = match &key.default {
                Some(default) if !key.is_required => format!("`{default}`"),
                _ => key.presence().into(),
            };
            let (name, rules) = (key.name, key.rules().join("; "));
            let row = format!("`{name}` | {default} | {rules} | {}", one_line(key.doc));
            put(&mut out, format_args!("| {row} |\n"));
        }
    }
    out.push_str("\n## Flags\n\n");
    out.push_str(&flags_markdown());
    out
}

/// The first sentence of a documentation.
pub(crate) fn first_sentence(doc: &str) -> String {
    let text = one_line(doc);
    let end = text.find(". ").map_or(text.len(), |end| end + 1);
    text[..end].trim_end_matches('.').to_owned()
}

impl Outline {
    /// The keys to list: those of a mount that stand in `[mount_defaults]` are not listed twice.
    fn listed(&self) -> impl Iterator<Item = &KeyOutline> {
        let is_mount = self.name == Mount::NAME;
        self.keys.iter().filter(move |key| key.is_own || !is_mount)
    }
}

impl KeyOutline {
    fn new<S>(key: &Key<S>, section: &S) -> Self {
        KeyOutline {
            name: key.name,
            doc: key.doc,
            kind: (key.kind)(),
            range: key.range,
            default: (key.write)(section),
            example: key.example,
            is_required: key.is_required,
            is_own: key.is_own,
            needs_restart: key.needs_restart,
        }
    }

    /// What values are allowed, and when they take effect.
    fn rules(&self) -> Vec<String> {
        let mut rules = vec![self.kind.clone()];
        if let Some((least, greatest)) = self.range {
            rules.push(format!("{least} to {greatest}"));
        }
        if self.needs_restart {
            rules.push("a change waits for the next start".into());
        }
        rules
    }

    /// Whether there is a value without the operator's doing.
    fn presence(&self) -> &'static str {
        match (&self.default, self.is_required) {
            (_, true) => "required",
            (Some(_), false) => HAS_DEFAULT,
            (None, false) => "not set by default",
        }
    }

    fn shown(&self) -> &str {
        match (self.example, &self.default) {
            (Some(example), None) => example,
            (Some(example), Some(_)) if self.is_required => example,
            (_, Some(default)) => default,
            (None, None) => "\"\"",
        }
    }
}

struct Outliner {
    config: Config,
    outlines: Vec<Outline>,
}

impl Walker for Outliner {
    fn section<S: Section>(&mut self, name: &'static str, of: fn(&mut Config) -> &mut S) {
        let is_defaults = name == MOUNT_DEFAULTS;
        let keys = S::KEYS.iter().filter(|key| !(is_defaults && key.is_own));
        let keys = keys.map(|key| KeyOutline::new(key, of(&mut self.config))).collect();
        let doc = if is_defaults { MOUNT_DEFAULTS_DOC } else { S::DOC };
        self.outlines.push(Outline { name, doc, is_list: false, keys });
    }

    fn list<S: Section>(&mut self, _: fn(&mut Config) -> &mut Vec<S>, start: fn(&Config) -> S) {
        let section = start(&self.config);
        let keys = S::KEYS.iter().map(|key| KeyOutline::new(key, &section)).collect();
        self.outlines.push(Outline { name: S::NAME, doc: S::DOC, is_list: true, keys });
    }
}

/// A documentation without its line ends.
fn one_line(doc: &str) -> String {
    doc.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A documentation as comment lines.
fn comment(out: &mut String, doc: &str) {
    for line in doc.lines() {
        let text = line.trim();
        put(out, format_args!("#{}{text}\n", if text.is_empty() { "" } else { " " }));
    }
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a String takes all that is written to it");
}

const HAS_DEFAULT: &str = "has a default";

const MOUNT_DEFAULTS_DOC: &str = "\
    What each `[[mount]]` has that does not say otherwise, and all that a mount has that is\n\
    not configured and comes to life when a source connects.\n";
