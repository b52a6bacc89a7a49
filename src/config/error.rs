//! What is wrong with a configuration.

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
    /// The file is not readable as what it should be.
    #[error("{name}: {reason}")]
    Syntax {
        /// The file, as the user named it.
        name: String,
        /// What is wrong, and where.
        reason: String,
    },
}

impl ConfigError {
    /// What to try.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::UnknownKey { hint, .. } => hint.clone(),
            Self::NotServed { .. } => {
                Some("leave it out, and let only those reach the broker who may do everything".to_owned())
            }
            Self::Invalid { .. } | Self::Syntax { .. } => None,
        }
    }
}
