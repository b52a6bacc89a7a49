//! Why a broker does not start, in sentences for the person who started it.

use std::io;
use std::path::PathBuf;

use crate::ids::NodeId;

/// A start that failed; everything that had been opened is closed again.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory cannot be made, read or written.
    #[error("the data directory {} cannot be used: {reason}", .path.display())]
    DirectoryUnusable {
        /// The directory, or the file in it.
        path: PathBuf,
        /// The operating system's reason.
        reason: io::Error,
    },
    /// Another process holds the lock of the data directory.
    #[error("the data directory {} is in use by another process", .path.display())]
    DirectoryLocked {
        /// The directory.
        path: PathBuf,
    },
    /// The data directory was written by another node.
    #[error("the data directory {} belongs to node {found}, and this is node {configured}", .path.display())]
    NodeIdMismatch {
        /// The directory.
        path: PathBuf,
        /// `node.id` in its `meta.properties`.
        found: NodeId,
        /// `node.id` of this broker.
        configured: NodeId,
    },
    /// `meta.properties` is there and does not say what it should.
    #[error("{} is damaged: {reason}", .path.display())]
    DamagedMetaProperties {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// What is in the data directory cannot be loaded.
    #[error("the data in {} cannot be loaded: {reason}", .path.display())]
    DamagedData {
        /// The directory or file.
        path: PathBuf,
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
    /// The metadata log did not come up.
    #[error("the metadata log cannot be opened: {reason}")]
    Metadata {
        /// What is wrong with it.
        reason: String,
    },
}

impl StartError {
    /// What to try.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::DirectoryUnusable { .. } => {
                Some("choose another with --data-dir, or keep everything in memory with --memory")
            }
            Self::DirectoryLocked { .. } => Some("stop the other broker, or choose another directory with --data-dir"),
            Self::NodeIdMismatch { .. } => {
                Some("start with the directory's own --node-id, or choose another directory")
            }
            Self::DamagedMetaProperties { .. } => {
                Some("restore the file, or delete it: it is written anew, and topics are kept")
            }
            Self::AddressTaken { .. } => {
                Some("stop the other program, or choose another port: --listen localhost:0 picks one")
            }
            Self::ListenFailed { .. } => Some("choose another address with --listen HOST:PORT"),
            Self::DamagedData { .. } | Self::Metadata { .. } => None,
        }
    }
}
