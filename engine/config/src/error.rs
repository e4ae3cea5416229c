//! What is wrong with a configuration: all of it at once, each with its place.

use std::fmt;

/// Everything that is wrong with the file and the flags, in the order in which they are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Errors {
    /// At least one.
    pub problems: Vec<Problem>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// `file:line`, a flag, or empty where it is nowhere in particular.
    pub place: String,
    /// The key, `section.name`; empty where it is not about one.
    pub key: String,
    /// What was expected and what was found. Never a secret.
    pub message: String,
}

impl Problem {
    pub(crate) fn new(
        place: impl Into<String>,
        key: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Problem { place: place.into(), key: key.into(), message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in [&self.place, &self.key] {
            if !part.is_empty() {
                write!(out, "{part}: ")?;
            }
        }
        out.write_str(&self.message)
    }
}

impl fmt::Display for Errors {
    /// One line each.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(out, "{separator}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Errors {}
