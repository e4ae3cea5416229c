//! An answer in the shape of HTTP, which whoever speaks HTTP writes out.

/// Status, header lines of its own, body.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Header lines beside those that every answer has.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: String,
}

impl Answer {
    /// An answer without lines and body.
    pub fn new(status: u16) -> Answer {
        Answer { status, headers: Vec::new(), body: String::new() }
    }

    /// A refusal that says why, in a line of text.
    pub fn refusal(status: u16, why: impl std::fmt::Display) -> Answer {
        let mut answer = Answer::new(status).with("Content-Type", "text/plain; charset=utf-8");
        answer.body = format!("{why}\n");
        answer
    }

    /// Not now: there is no room.
    pub(crate) fn busy(why: &str) -> Answer {
        Answer::refusal(503, why).with("Retry-After", "5")
    }

    /// The same with one more line.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Answer {
        self.headers.push((name, value.into()));
        self
    }

    /// The first line of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(have, _)| have.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}
