//! What is wrong with a configuration.

use std::fmt;

use super::key::Key;
use super::keys;
use super::origin::Origin;
use super::value::InvalidValue;

/// What is wrong with a configuration; each message says where, what and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// There is no such key.
    #[error("{origin}: unknown key \"{key}\"")]
    UnknownKey {
        /// The key, as written.
        key: String,
        /// Where it stands.
        origin: Origin,
        /// What may have been meant.
        hint: Option<String>,
    },
    /// A value is wrong for its key.
    #[error("{origin}: {error}")]
    Invalid {
        /// Which, and why.
        error: InvalidValue,
        /// Where it stands.
        origin: Origin,
    },
    /// A value does not go together with others, or with what this broker is.
    #[error("{origin}: {key}: {reason}")]
    Contradiction {
        /// The key whose value it is.
        key: &'static str,
        /// What is wrong.
        reason: String,
        /// What to try.
        hint: String,
        /// Where it stands.
        origin: Origin,
    },
    /// It asks for what this broker does not do, and what it would be dangerous to go on without.
    #[error("{origin}: {key}: {reason}")]
    NotServed {
        /// The key, as written.
        key: String,
        /// What is not served.
        reason: String,
        /// Where it stands.
        origin: Origin,
    },
    /// A file, or a part of it, is not readable as what it should be.
    #[error("{origin}: {reason}")]
    Syntax {
        /// What is wrong.
        reason: String,
        /// What to try.
        hint: Option<String>,
        /// Where it stands.
        origin: Origin,
    },
}

impl ConfigError {
    /// What to try.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::UnknownKey { hint, .. } | Self::Syntax { hint, .. } => hint.clone(),
            Self::Contradiction { hint, .. } => Some(hint.clone()),
            Self::NotServed { .. } => {
                Some("leave it out, and let only those reach the broker who may do everything".to_owned())
            }
            Self::Invalid { error, .. } => keys::broker_key(&error.key).and_then(Key::expected),
        }
    }
}

/// Everything that was found wrong with a configuration: at least one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors(pub(super) Vec<ConfigError>);

impl ConfigErrors {
    /// Nothing where nothing is wrong.
    pub(super) fn unless_empty(errors: Vec<ConfigError>) -> Result<(), Self> {
        if errors.is_empty() { Ok(()) } else { Err(Self(errors)) }
    }
}

impl ConfigErrors {
    /// Whether a part could not be read, so that nobody knows what it would have set.
    pub fn are_of_syntax(&self) -> bool {
        self.0.iter().any(|error| matches!(error, ConfigError::Syntax { .. }))
    }
}

impl From<ConfigError> for ConfigErrors {
    fn from(error: ConfigError) -> Self {
        Self(vec![error])
    }
}

impl IntoIterator for ConfigErrors {
    type Item = ConfigError;
    type IntoIter = std::vec::IntoIter<ConfigError>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl std::error::Error for ConfigErrors {}

/// A line for each.
impl fmt::Display for ConfigErrors {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        formatter.write_str(&lines.join("\n"))
    }
}
