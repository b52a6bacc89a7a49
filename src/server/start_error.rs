//! Why a broker does not start, in sentences for the person who started it.

use std::io;

use crate::network::BindError;
use crate::quorum::QuorumError;
use crate::storage::{LogDirError, StorageError};

/// A start that failed; everything that had been opened is closed again.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory cannot be used: unreadable, in use, another node's, or not to be identified.
    #[error(transparent)]
    DataDirectory(#[from] LogDirError),
    /// What is in the data directory cannot be loaded.
    #[error("the data in {place} cannot be loaded: {reason}")]
    DamagedData {
        /// The directories.
        place: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Something else listens where this broker should.
    #[error("{address} is taken by another program, so listener {listener} cannot be opened")]
    AddressTaken {
        /// The listener's name.
        listener: String,
        /// Its host and port, as configured.
        address: String,
    },
    /// The listener cannot be opened for another reason, such as a host that is not this machine's.
    #[error("listener {listener} cannot be opened on {address}: {reason}")]
    ListenFailed {
        /// The listener's name.
        listener: String,
        /// Its host and port, as configured.
        address: String,
        /// The operating system's reason.
        reason: io::Error,
    },
    /// What is in the metadata's directory cannot be all that was acknowledged.
    #[error("the metadata cannot be loaded: {reason}")]
    DamagedMetadata {
        /// The file, what is wrong with it, and how to go on without what is lost.
        reason: String,
    },
    /// Whoever wanted the broker does not want it any more.
    #[error("the start was given up")]
    GivenUp,
    /// The metadata log did not come up.
    #[error("the metadata log cannot be opened: {reason}")]
    Metadata {
        /// What is wrong with it.
        reason: String,
    },
}

impl StartError {
    /// A listener that could not be opened on `address`, as configured.
    pub(super) fn bind(listener: &str, address: &str, error: BindError) -> Self {
        let (listener, address) = (listener.to_owned(), address.to_owned());
        match error {
            BindError::InUse { .. } => Self::AddressTaken { listener, address },
            BindError::Resolve { source, .. } | BindError::Refused { source, .. } => {
                Self::ListenFailed { listener, address, reason: source }
            }
            BindError::Unsupported { .. } => {
                Self::ListenFailed { listener, address, reason: io::Error::from(io::ErrorKind::Unsupported) }
            }
        }
    }

    /// What to try.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::DataDirectory(error) => Some(match error {
                LogDirError::Storage(_) => "choose another with --data-dir, or keep everything in memory with --memory",
                LogDirError::Locked(_) => "stop the other broker, or choose another directory with --data-dir",
                LogDirError::Foreign { .. } => {
                    "start with the directory's own --node-id, or choose another directory with --data-dir"
                }
                LogDirError::Unidentified { .. } => "restore the file from a copy, or choose another directory",
                LogDirError::Kafkas { .. } => {
                    "move one of them away, as docs/moving-from-kafka.md tells; nothing in the directory was touched"
                }
                LogDirError::NotTakenOver { .. } => {
                    "docs/moving-from-kafka.md tells what is taken over and how; nothing in the directory was touched, and \
                     Kafka can go on with it"
                }
                LogDirError::UnknownPartitions { .. } => {
                    "restore the metadata directory from a copy that is as new as the data, or take these partitions away: \
                     a directory renamed to NAME-stray is left alone, with its records; none of them was touched"
                }
                LogDirError::MetadataElsewhere { .. } => {
                    "name the directory with the metadata log first in log.dirs, or name it in metadata.log.dir; none of them \
                     was touched"
                }
                LogDirError::SameDirectory { .. } => "one is a copy of the other: name one of them; none was touched",
                LogDirError::DuplicateLog { .. } => {
                    "one of the directories failed while the partition moved between them: look which one has all of its \
                     records, and rename the other one to NAME-stray; none of them was touched"
                }
                LogDirError::NoneUsable => "see the log for the reasons",
                LogDirError::MetadataMissing { .. } => {
                    "restore the metadata directory from a copy, or choose another directory with --data-dir (also if this \
                     one is Apache Kafka's); nothing in it was touched"
                }
            }),
            Self::AddressTaken { .. } => {
                Some("stop the other program, or choose another port: --listen localhost:0 picks one")
            }
            Self::ListenFailed { .. } => Some("choose another address with --listen HOST:PORT"),
            Self::DamagedMetadata { .. } => Some(
                "restore the files in the metadata directory from a copy; nothing in the data directory was touched",
            ),
            Self::DamagedData { .. } | Self::Metadata { .. } | Self::GivenUp => None,
        }
    }
}

impl From<StorageError> for StartError {
    fn from(error: StorageError) -> Self {
        Self::DataDirectory(error.into())
    }
}

impl From<QuorumError> for StartError {
    fn from(error: QuorumError) -> Self {
        let reason = error.to_string();
        match error {
            QuorumError::Files { source, .. } if source.kind() == io::ErrorKind::InvalidData => {
                Self::DamagedMetadata { reason }
            }
            QuorumError::Files { .. }
            | QuorumError::Start(_)
            | QuorumError::NotFormed(_)
            | QuorumError::OtherVoters { .. } => Self::Metadata { reason },
        }
    }
}
