//! What the user is told when a command fails.

use std::fmt;
use std::io;
use std::process::ExitCode;

use crate::config::{ConfigError, ConfigErrors};
use crate::server::StartError;
use crate::storage::LogDirError;

/// A failed command: what happened and why, and, where there is an idea, what to try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What happened, and why.
    pub what: String,
    /// What to try.
    pub hint: Option<String>,
}

impl Failure {
    /// A configuration file that cannot be read.
    pub(super) fn unreadable(file: &str, reason: &io::Error) -> Self {
        let hint = match reason.kind() {
            io::ErrorKind::NotFound => Some(format!("klamm config init {file} writes one to begin with")),
            io::ErrorKind::IsADirectory => Some("name a file in it".to_owned()),
            _ => None,
        };
        Self { what: format!("{file} cannot be read: {reason}"), hint }
    }
}

/// Everything that made a command fail, and how it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failures {
    failures: Vec<Failure>,
    /// Whether what the command was told makes no sense, as opposed to what happened to it.
    is_misuse: bool,
}

impl Failures {
    /// Everything that is wrong with a configuration.
    pub(super) fn of_configuration(failures: Vec<Failure>) -> Self {
        Self { failures, is_misuse: true }
    }

    /// Logs each, for whoever reads the log by a program.
    pub(super) fn log(&self) {
        for Failure { what, hint } in &self.failures {
            tracing::error!(hint, "{}", without_error_numbers(what));
        }
    }

    /// 2 for what makes no sense, 1 for the rest.
    pub(super) fn exit_code(&self) -> ExitCode {
        ExitCode::from(if self.is_misuse { 2 } else { 1 })
    }
}

impl From<Failure> for Failures {
    fn from(failure: Failure) -> Self {
        Self { failures: vec![failure], is_misuse: false }
    }
}

impl fmt::Display for Failures {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told: Vec<String> = self.failures.iter().map(ToString::to_string).collect();
        formatter.write_str(&told.join("\n"))
    }
}

/// The failures that `errors` are.
pub(super) fn failures(errors: ConfigErrors) -> impl Iterator<Item = Failure> {
    errors.into_iter().map(Failure::from)
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "klamm: {}", without_error_numbers(&self.what))?;
        match &self.hint {
            Some(hint) => write!(formatter, "\n  try: {hint}"),
            None => Ok(()),
        }
    }
}

/// `text` without the ` (os error 2)` that the standard library adds to what the operating system says.
fn without_error_numbers(text: &str) -> String {
    let mut parts = text.split(" (os error ");
    let mut kept = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        kept.push_str(part.split_once(')').map_or(part, |(_, rest)| rest));
    }
    kept
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        let hint = match &error {
            ConfigError::UnknownKey { hint: None, .. } => {
                Some("klamm config keys lists every key with its values".to_owned())
            }
            _ => error.hint(),
        };
        Self { what: error.to_string(), hint }
    }
}

/// What to try in a data directory of `theirs`, which is a node or a cluster.
fn own_node_id(theirs: &str) -> Option<String> {
    let id = theirs.strip_prefix("node ")?;
    Some(format!("--node-id {id}, or choose another directory with --data-dir"))
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        let hint = match &error {
            StartError::DataDirectory(LogDirError::Foreign { theirs, .. }) => own_node_id(theirs),
            _ => None,
        };
        Self { what: error.to_string(), hint: hint.or_else(|| error.hint().map(str::to_owned)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_told_without_the_systems_numbers() {
        let failure = Failure::unreadable("k.yaml", &io::Error::from_raw_os_error(13));
        assert_eq!(failure.to_string(), "klamm: k.yaml cannot be read: Permission denied");
        assert_eq!(without_error_numbers("a (os error 2): b (os error 13)"), "a: b");
    }

    #[test]
    fn a_hint_says_what_would_be_right() {
        let hint = |key: &str, text: &str| match crate::config::Config::with(&[(key, text)]) {
            Err(errors) => failures(errors).next().and_then(|failure| failure.hint),
            Ok(_) => panic!("{key}={text} was accepted"),
        };
        assert_eq!(hint("qqq", "1").as_deref(), Some("klamm config keys lists every key with its values"));
        assert_eq!(hint("num.partition", "1").as_deref(), Some("did you mean \"num.partitions\"?"));
        let example = "listeners=PLAINTEXT://localhost:9092; several are separated by commas";
        assert_eq!(hint("listeners", "x").as_deref(), Some(example));
        let number = "num.partitions is a whole number, at least 1; the default is 1";
        assert_eq!(hint("num.partitions", "x").as_deref(), Some(number));
        assert_eq!(hint("klamm.storage.kind", "x"), None);
    }

    #[test]
    fn a_directory_of_another_node_names_that_node() {
        let error = LogDirError::Foreign { path: "/d".into(), theirs: "node 1".to_owned(), ours: "node 2".to_owned() };
        let hint = Failure::from(StartError::from(error)).hint;
        assert_eq!(hint.as_deref(), Some("--node-id 1, or choose another directory with --data-dir"));
    }
}
