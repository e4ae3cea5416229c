//! The command line. A flag that sets something names the key that it sets, and its value goes
//! through that key's reader and checks; what it means is the key's documentation.

use std::ffi::OsString;
use std::fmt::Write;
use std::io;
use std::path::Path;

use toml::de::{DeArray, DeValue};

use crate::Config;
use crate::document::{Outline, first_sentence, outlines};
use crate::error::Errors;
use crate::read::{Reader, distance, value_of_number};

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invocation {
    /// Run the server.
    Run(Box<Config>),
    /// The configuration is in order; say so, with its [`Config::warnings`], and stop.
    CheckConfig(Box<Config>),
    /// Print [`crate::sample`] and stop.
    PrintDefaultConfig,
    /// Say what the machine lacks to run this, and stop.
    Doctor(Box<Config>),
    /// Print this and stop.
    Help(String),
    /// Print the version and stop.
    Version,
}

/// Reads the command line (without the program's name) and the file that it names. Flags count more
/// than the file.
///
/// A server that reloads calls it again with the same arguments.
///
/// # Errors
/// All that is wrong with flags and file.
pub fn parse_args(args: impl Iterator<Item = OsString>) -> Result<Invocation, Errors> {
    parse_args_with(args, |path| std::fs::read_to_string(path))
}

/// [`parse_args`] for whoever reads files in another way.
///
/// # Errors
/// All that is wrong with flags and file.
pub fn parse_args_with(
    args: impl Iterator<Item = OsString>,
    read_file: impl Fn(&Path) -> io::Result<String>,
) -> Result<Invocation, Errors> {
    let mut reader = Reader::default();
    let words = Words::sort(args, &mut reader);
    match words.action {
        Some(Action::Help) => return Ok(Invocation::Help(help())),
        Some(Action::Version) => return Ok(Invocation::Version),
        Some(Action::PrintDefaultConfig) => return Ok(Invocation::PrintDefaultConfig),
        _ => {}
    }
    let mut config = Config::default();
    if let Some(path) = &words.file {
        match read_file(Path::new(path)) {
            Ok(text) => reader.read_file(&mut config, &path.to_string_lossy(), &text),
            Err(error) => {
                let name = path.to_string_lossy();
                reader.problem("--config", "", format!("cannot read {name}: {error}"));
            }
        }
    }
    if words.settings.iter().any(|(flag, _)| flag.key.0 == "listen") {
        config.listen.clear();
        reader.forget("listen");
    }
    for (flag, text) in &words.settings {
        let same = words.settings.iter().filter(|(other, _)| other.name == flag.name);
        let all: Vec<&str> = same.map(|(_, text)| text.as_str()).collect();
        reader.read_flag(&mut config, flag.name, flag.key, &flag.shape.value(text, &all));
    }
    let config = Box::new(reader.finish(config)?);
    Ok(match words.action {
        Some(Action::CheckConfig) => Invocation::CheckConfig(config),
        Some(Action::Doctor) => Invocation::Doctor(config),
        _ => Invocation::Run(config),
    })
}

/// A flag that is a key.
struct Flag {
    name: &'static str,
    shape: Shape,
    /// Section and name.
    key: (&'static str, &'static str),
}

/// How a flag's text becomes the value that the file would hold.
#[derive(Clone, Copy)]
enum Shape {
    /// No text; the value is `true`.
    Switch,
    /// A string; named so in the help.
    Text(&'static str),
    /// A list of strings: one for each time that the flag is given.
    Texts(&'static str),
    /// A number.
    Number(&'static str),
    /// Numbers with commas.
    Numbers(&'static str),
}

const FLAGS: [Flag; 19] = [
    Flag { name: "--listen", shape: Shape::Text("ADDR"), key: ("listen", "address") },
    Flag {
        name: "--source-password",
        shape: Shape::Text("PASSWORD"),
        key: ("credentials", "source_password"),
    },
    Flag {
        name: "--admin-password",
        shape: Shape::Text("PASSWORD"),
        key: ("credentials", "admin_password"),
    },
    Flag { name: "--shards", shape: Shape::Number("N"), key: ("shards", "count") },
    Flag { name: "--cores", shape: Shape::Numbers("LIST"), key: ("shards", "cores") },
    Flag { name: "--data-dir", shape: Shape::Text("DIR"), key: ("server", "data_dir") },
    Flag { name: "--demo", shape: Shape::Switch, key: ("demo", "enabled") },
    Flag { name: "--turn", shape: Shape::Texts("ADDR"), key: ("turn", "listen") },
    Flag { name: "--turn-tls", shape: Shape::Texts("ADDR"), key: ("turn", "listen_tls") },
    Flag { name: "--turn-user", shape: Shape::Texts("NAME:PASSWORD"), key: ("turn", "users") },
    Flag { name: "--turn-secret", shape: Shape::Texts("SECRET"), key: ("turn", "secrets") },
    Flag { name: "--turn-external", shape: Shape::Texts("IP"), key: ("turn", "external") },
    Flag { name: "--turn-ports", shape: Shape::Text("A-B"), key: ("turn", "ports") },
    Flag { name: "--turn-allow-peer", shape: Shape::Texts("CIDR"), key: ("turn", "allow_peers") },
    Flag { name: "--rtc", shape: Shape::Texts("ADDR"), key: ("rtc", "listen") },
    Flag { name: "--rtc-external", shape: Shape::Texts("IP"), key: ("rtc", "external") },
    Flag { name: "--stream", shape: Shape::Texts("NAME=SOURCE"), key: ("workers", "sources") },
    Flag { name: "--record-dir", shape: Shape::Text("DIR"), key: ("workers", "record_dir") },
    Flag { name: "--token", shape: Shape::Texts("TOKEN"), key: ("auth", "tokens") },
];

/// What a flag that is no key asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Action {
    Config,
    CheckConfig,
    PrintDefaultConfig,
    Doctor,
    Help,
    Version,
}

const ACTIONS: [(&str, Action, &str); 6] = [
    ("--config", Action::Config, "Read this file; flags count more than it"),
    ("--check-config", Action::CheckConfig, "Say what is wrong with file and flags, and stop"),
    ("--print-default-config", Action::PrintDefaultConfig, "Print a file with every key, and stop"),
    ("--doctor", Action::Doctor, "Say what this machine lacks, and stop"),
    ("--help", Action::Help, "Print this, and stop"),
    ("--version", Action::Version, "Print the version, and stop"),
];

impl Shape {
    fn placeholder(self) -> &'static str {
        match self {
            Shape::Switch => "",
            Shape::Text(name) | Shape::Texts(name) | Shape::Number(name) | Shape::Numbers(name) => {
                name
            }
        }
    }

    /// The value of all texts of a flag; where it is no list, of each alone.
    fn value<'t>(self, text: &'t str, all: &[&'t str]) -> DeValue<'t> {
        match self {
            Shape::Switch => DeValue::Boolean(true),
            Shape::Text(_) => DeValue::String(text.into()),
            Shape::Texts(_) => {
                let mut list = DeArray::new();
                for text in all {
                    list.push(toml::Spanned::new(0..0, DeValue::String((*text).into())));
                }
                DeValue::Array(list)
            }
            Shape::Number(_) => value_of_number(text),
            Shape::Numbers(_) => {
                let mut list = DeArray::new();
                for part in text.split(',').filter(|part| !part.is_empty()) {
                    list.push(toml::Spanned::new(0..0, value_of_number(part.trim())));
                }
                DeValue::Array(list)
            }
        }
    }
}

/// The command line, sorted.
#[derive(Default)]
struct Words {
    action: Option<Action>,
    file: Option<OsString>,
    settings: Vec<(&'static Flag, String)>,
}

impl Words {
    /// Sorts the arguments; what is wrong with them goes to `reader`.
    fn sort(args: impl Iterator<Item = OsString>, reader: &mut Reader) -> Words {
        let mut words = Words::default();
        let mut args = args;
        let mut count = 0;
        while let Some(argument) = args.next() {
            count += 1;
            let text = argument.to_string_lossy().into_owned();
            let (name, inline) = match text.split_once('=') {
                Some((name, value)) if name.starts_with("--") => (name, Some(value.to_owned())),
                _ => (text.as_str(), None),
            };
            let name = if name == "-h" { "--help" } else { name };
            let flag = FLAGS.iter().find(|flag| flag.name == name);
            let action = ACTIONS.iter().find(|(action_name, _, _)| *action_name == name);
            let takes_value = match (flag, action) {
                (Some(flag), _) => !matches!(flag.shape, Shape::Switch),
                (None, Some((_, action, _))) => *action == Action::Config,
                (None, None) if name.starts_with('-') => {
                    reader.problem(name, "", unknown_flag(name));
                    continue;
                }
                // Not repeated: it may be a password whose flag was misspelt.
                (None, None) => {
                    reader.problem("", "", format!("argument {count} is no flag"));
                    continue;
                }
            };
            let value = match (takes_value, inline) {
                (false, None) => OsString::new(),
                (false, Some(_)) => {
                    reader.problem(name, "", "takes no value");
                    continue;
                }
                (true, Some(value)) => value.into(),
                (true, None) => match args.next() {
                    Some(value) => {
                        count += 1;
                        value
                    }
                    None => {
                        reader.problem(name, "", "needs a value");
                        continue;
                    }
                },
            };
            words.put(flag, action.map(|(_, action, _)| *action), value, reader);
        }
        words
    }

    fn put(
        &mut self,
        flag: Option<&'static Flag>,
        action: Option<Action>,
        value: OsString,
        reader: &mut Reader,
    ) {
        match (flag, action) {
            (Some(flag), _) => match value.into_string() {
                Ok(text) => self.settings.push((flag, text)),
                Err(_) => reader.problem(flag.name, "", "expected UTF-8"),
            },
            (None, Some(Action::Config)) if self.file.is_some() => {
                reader.problem("--config", "", "is given twice");
            }
            (None, Some(Action::Config)) => self.file = Some(value),
            // Of several the first counts, but `--help` before all.
            (None, Some(Action::Help)) => self.action = Some(Action::Help),
            (None, action) => self.action = self.action.or(action),
        }
    }
}

fn unknown_flag(name: &str) -> String {
    let names = FLAGS.iter().map(|flag| flag.name).chain(ACTIONS.iter().map(|action| action.0));
    let written = name.trim_start_matches('-');
    let nearest = names.min_by_key(|known| distance(written, &known[2..].replace('-', "_")));
    format!("unknown flag; the nearest is {}", nearest.expect("there are some"))
}

/// Each flag with its text, its value's name and its meaning.
fn described() -> Vec<(String, String)> {
    let outlines = outlines();
    let mut rows = Vec::new();
    for flag in &FLAGS {
        let meaning = meaning(&outlines, flag.key);
        let usage = format!("{} {}", flag.name, flag.shape.placeholder());
        rows.push((usage.trim_end().to_owned(), meaning));
    }
    for (name, action, doc) in &ACTIONS {
        let placeholder = if *action == Action::Config { " FILE" } else { "" };
        rows.push((format!("{name}{placeholder}"), (*doc).to_owned()));
    }
    rows
}

/// What a key means, and its name.
fn meaning(outlines: &[Outline], (section, name): (&str, &str)) -> String {
    let keys = outlines.iter().filter(|outline| outline.name == section).flat_map(|o| &o.keys);
    let key = keys.into_iter().find(|key| key.name == name).expect("the table names keys: a test");
    format!("{} [{section}.{name}]", first_sentence(key.doc))
}

fn help() -> String {
    let mut out = String::from("Usage: skywave [FLAG]…\n\n");
    for (usage, meaning) in described() {
        writeln!(out, "  {usage:<28} {}", meaning.replace('`', "")).expect("a String takes it");
    }
    out.push_str(
        "\n--listen may be given several times, and the flags of turn but --turn-ports,\n\
         of rtc, --stream and --token too.\n\
         --print-default-config shows every key.\n",
    );
    out
}

/// The flags as a Markdown table.
pub(crate) fn flags_markdown() -> String {
    let mut out = String::from("| flag | meaning |\n|---|---|\n");
    for (usage, meaning) in described() {
        writeln!(out, "| `{usage}` | {meaning} |").expect("a String takes it");
    }
    out
}
