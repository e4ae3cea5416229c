//! What a rule refuses and is yet meant, each with its reason.

use super::Finding;

/// One permission.
pub struct Exception {
    /// The rule's name.
    pub rule: &'static str,
    /// What the finding's path starts with.
    pub path: &'static str,
    /// What the finding's message contains; empty for any.
    pub text: &'static str,
    /// Why it is right here.
    pub why: &'static str,
}

impl Exception {
    /// Whether this finding is meant.
    pub fn excuses(&self, finding: &Finding) -> bool {
        self.rule == finding.rule
            && finding.path.starts_with(self.path)
            && finding.message.contains(self.text)
    }
}

/// The table.
pub const EXCEPTIONS: &[Exception] = &[
    Exception {
        rule: "machine-path",
        path: "scripts/src/tidy/text.rs",
        text: "",
        why: "the rule names what it refuses",
    },
    Exception {
        rule: "registry-host",
        path: "scripts/src/tidy/text.rs",
        text: "",
        why: "the rule names what it refuses",
    },
    Exception {
        rule: "unfinished",
        path: "scripts/src/tidy/text.rs",
        text: "",
        why: "the rule names what it refuses",
    },
];
