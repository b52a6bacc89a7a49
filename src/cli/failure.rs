//! What the user is told when a command fails.

use std::fmt;
use std::io;

use crate::config::ConfigError;
use crate::server::StartError;

/// A failed command: what happened and why, and, where there is an idea, what to try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What happened, and why.
    pub what: String,
    /// What to try.
    pub hint: Option<String>,
}

impl Failure {
    /// A file that cannot be read.
    pub(super) fn unreadable(file: &str, reason: &io::Error) -> Self {
        Self { what: format!("{file} cannot be read: {reason}"), hint: None }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "klamm: {}", self.what)?;
        match &self.hint {
            Some(hint) => write!(formatter, "\n  try: {hint}"),
            None => Ok(()),
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        let hint = error.hint().unwrap_or_else(|| "klamm config keys lists every key with its values".to_owned());
        Self { what: error.to_string(), hint: Some(hint) }
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        Self { what: error.to_string(), hint: error.hint().map(str::to_owned) }
    }
}
