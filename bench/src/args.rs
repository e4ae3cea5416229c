//! Command lines: `--name value` and `--name` alone, each asked for once by whoever knows it.
//!
//! *Invariant:* an argument that nobody asked for is an error ([`Args::finish`]), so that a
//! misspelt one never measures something else than was meant.

use std::collections::BTreeMap;
use std::str::FromStr;

use anyhow::{Context, Result, bail};

/// What is left of a command line.
pub(crate) struct Args {
    values: BTreeMap<String, Option<String>>,
    /// What came after `--`.
    rest: Vec<String>,
}

impl Args {
    /// Sorts the words after the command.
    pub(crate) fn parse(words: impl Iterator<Item = String>) -> Result<Self> {
        let mut args = Args { values: BTreeMap::new(), rest: Vec::new() };
        let mut words = words.peekable();
        while let Some(word) = words.next() {
            if word == "--" {
                args.rest = words.collect();
                break;
            }
            let Some(name) = word.strip_prefix("--") else { bail!("not a flag: {word}") };
            let value = words.next_if(|next| !next.starts_with("--"));
            if args.values.insert(name.to_owned(), value).is_some() {
                bail!("--{name} is given twice");
            }
        }
        Ok(args)
    }

    /// The value of a flag, or `default`.
    pub(crate) fn value<T: FromStr>(&mut self, name: &str, default: T) -> Result<T> {
        Ok(self.optional(name)?.unwrap_or(default))
    }

    /// The value of a flag that may be missing.
    pub(crate) fn optional<T: FromStr>(&mut self, name: &str) -> Result<Option<T>> {
        match self.values.remove(name) {
            None => Ok(None),
            Some(None) => bail!("--{name} needs a value"),
            Some(Some(text)) => match text.parse() {
                Ok(value) => Ok(Some(value)),
                Err(_) => bail!("--{name} cannot be {text}"),
            },
        }
    }

    /// The value of a flag that must be there.
    pub(crate) fn required<T: FromStr>(&mut self, name: &str) -> Result<T> {
        self.optional(name)?.with_context(|| format!("--{name} is missing"))
    }

    /// Values with commas between them.
    pub(crate) fn list<T: FromStr>(&mut self, name: &str, default: &str) -> Result<Vec<T>> {
        let text: String = self.value(name, default.to_owned())?;
        let read = |item: &str| match item.trim().parse() {
            Ok(value) => Ok(value),
            Err(_) => bail!("--{name} cannot hold {item}"),
        };
        text.split(',').map(read).collect()
    }

    /// Whether a flag without a value was given.
    pub(crate) fn switch(&mut self, name: &str) -> Result<bool> {
        match self.values.remove(name) {
            None => Ok(false),
            Some(None) => Ok(true),
            Some(Some(value)) => bail!("--{name} takes no value, and {value} is no flag"),
        }
    }

    /// What came after `--`.
    pub(crate) fn rest(&mut self) -> Vec<String> {
        std::mem::take(&mut self.rest)
    }

    /// All questions were asked.
    ///
    /// # Errors
    /// When something is left over.
    pub(crate) fn finish(self) -> Result<()> {
        if let Some(name) = self.values.keys().next() {
            bail!("unknown flag --{name}");
        }
        if let Some(word) = self.rest.first() {
            bail!("nothing is expected after --: {word}");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Args;

    fn args(line: &str) -> Args {
        Args::parse(line.split_whitespace().map(str::to_owned)).unwrap()
    }

    #[test]
    fn flags_are_found_once_and_leftovers_are_errors() {
        let mut given = args("--count 5 --titles --list 1,2 --wrong -- a --b");
        assert_eq!(given.value("count", 1).unwrap(), 5);
        assert_eq!(given.value("other", 7).unwrap(), 7);
        assert!(given.switch("titles").unwrap());
        assert_eq!(given.list::<u32>("list", "").unwrap(), [1, 2]);
        assert_eq!(given.rest(), ["a", "--b"]);
        assert!(given.finish().is_err());
        assert!(args("--count many").value("count", 1).is_err());
        assert!(args("").required::<u32>("port").is_err());
    }
}
