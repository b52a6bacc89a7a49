//! What a configuration file says, whatever its format: its keys, and what is wrong with it.

/// One key of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileEntry {
    pub(super) key: String,
    pub(super) value: String,
    /// The line it stands in, from 1.
    pub(super) line: usize,
    /// The environment variables that decided its value.
    pub(super) variables: Vec<String>,
}

/// What is wrong with a text, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// From 1.
    pub(super) line: usize,
    pub(super) reason: String,
    /// What to try.
    pub(super) hint: Option<String>,
}

impl Fault {
    pub(super) fn new(line: usize, reason: impl Into<String>) -> Self {
        Self { line, reason: reason.into(), hint: None }
    }

    pub(super) fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}
