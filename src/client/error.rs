//! Why a client could not do what it was asked.

use std::io;
use std::time::Duration;

use thiserror::Error;

use super::KafkaException;
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
    #[error("{}", message.as_deref().unwrap_or(KafkaException::of(*code).message))]
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

    /// What a broker says of one thing among several, a partition or a topic: the name of it, and Kafka's words.
    pub fn of_one(what: &impl std::fmt::Display, code: ErrorCode) -> Self {
        Self::Refused { code, message: Some(format!("{what}: {}", KafkaException::of(code).message)) }
    }

    /// Kafka's code, if a broker gave one.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// What a broker refused, or what an answer lacks, without the broker's words.
    pub(super) fn refused(code: ErrorCode) -> Self {
        Self::Refused { code, message: None }
    }

    /// Whether the broker does not know the API at all, in any version that we speak. Nothing was sent then.
    pub fn is_unserved(&self) -> bool {
        matches!(self, Self::Broken { reason: ChannelError::NoCommonVersion { .. }, .. })
    }

    /// The error as Java prints an exception: the class with its package, and the message.
    pub fn as_exception(&self) -> String {
        let class = self.code().map_or("KafkaException", |code| KafkaException::of(code).class);
        let package = if self.code().is_some() { "org.apache.kafka.common.errors" } else { "org.apache.kafka.common" };
        format!("{package}.{class}: {self}")
    }

    /// Whether the same question may be answered a moment later.
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Refused { code, .. } => code.is_retriable(),
            Self::Broken { reason, .. } => matches!(reason, ChannelError::Io(_)),
            // A broker that restarts is not there for a while.
            Self::NoBroker(_) | Self::Unreachable { .. } | Self::TimedOut { .. } => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_brokers_own_words_are_told_before_kafkas() {
        assert!(ClientError::check(0, Some("fine")).is_ok());
        let told = |message| ClientError::check(36, message).expect_err("36 is an error").to_string();
        assert_eq!(told(Some("Topic 't' already exists.")), "Topic 't' already exists.");
        assert_eq!(told(None), "Topic with this name already exists.");
    }

    #[test]
    fn an_exception_is_shown_with_the_brokers_words_first() {
        let shown = |message| ClientError::check(69, message).expect_err("69 is an error").as_exception();
        let class = "org.apache.kafka.common.errors.GroupIdNotFoundException";
        assert_eq!(shown(Some("Group g not found.")), format!("{class}: Group g not found."));
        assert_eq!(shown(None), format!("{class}: The group id does not exist."));
    }

    #[test]
    fn what_kafka_calls_retriable_is_tried_again() {
        let is_retriable = |code| ClientError::check(code, None).expect_err("an error").is_retriable();
        assert!(is_retriable(ErrorCode::NotCoordinator.code()));
        assert!(!is_retriable(ErrorCode::InvalidTopicException.code()));
    }
}
