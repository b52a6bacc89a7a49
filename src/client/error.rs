//! Why a client could not do what it was asked.

use std::io;
use std::time::Duration;

use thiserror::Error;

use crate::network::channel::ChannelError;
use crate::protocol::ErrorCode;

/// What went wrong between us and the cluster.
#[derive(Debug, Error)]
pub enum ClientError {
    /// No broker was reached.
    #[error("{address}: {reason}")]
    Unreachable {
        /// The address that was tried, as `host:port`; several by commas.
        address: String,
        /// What the last of them said.
        reason: io::Error,
    },
    /// A broker was reached, and then the conversation broke.
    #[error("{address}: {reason}")]
    Broken {
        /// The broker's address, as `host:port`.
        address: String,
        /// What broke it.
        reason: ChannelError,
    },
    /// No answer in the time that was given.
    #[error("no answer from {address} within {} ms", waited.as_millis())]
    TimedOut {
        /// The broker's address, as `host:port`.
        address: String,
        /// How long was waited.
        waited: Duration,
    },
    /// Kafka's error code, with what the broker says about it.
    #[error("{}", message.as_deref().map_or_else(|| code.to_string(), str::to_owned))]
    Refused {
        /// Kafka's code.
        code: ErrorCode,
        /// The broker's own words, where the API has room for them.
        message: Option<String>,
    },
    /// The metadata names a broker that it does not tell the address of, or none at all.
    #[error("{0}")]
    NoBroker(String),
}

impl ClientError {
    /// `Ok` for code 0, and otherwise the error that a code and its message make.
    pub fn check(code: i16, message: Option<&str>) -> Result<(), Self> {
        match ErrorCode::try_from_code(code) {
            None => Ok(()),
            Some(code) => Err(Self::Refused { code, message: message.map(str::to_owned) }),
        }
    }

    /// Kafka's code, if a broker gave one.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// Whether the same question may be answered a moment later.
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Refused { code, .. } => code.is_retriable(),
            Self::Broken { reason, .. } => matches!(reason, ChannelError::Io(_)),
            Self::NoBroker(_) => true,
            Self::Unreachable { .. } | Self::TimedOut { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_brokers_own_words_are_told_before_the_codes_name() {
        assert!(ClientError::check(0, Some("fine")).is_ok());
        let told = |message| ClientError::check(36, message).expect_err("36 is an error").to_string();
        assert_eq!(told(Some("Topic 't' already exists.")), "Topic 't' already exists.");
        assert_eq!(told(None), "TopicAlreadyExists");
    }

    #[test]
    fn what_kafka_calls_retriable_is_tried_again() {
        let is_retriable = |code| ClientError::check(code, None).expect_err("an error").is_retriable();
        assert!(is_retriable(ErrorCode::NotCoordinator.code()));
        assert!(!is_retriable(ErrorCode::InvalidTopicException.code()));
    }
}
