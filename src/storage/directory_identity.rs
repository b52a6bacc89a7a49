//! Whose a log directory is: the lock by which one process has it, and `meta.properties`, which says whose data it holds.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;
use std::time::Duration;

use super::found_logs::Listing;
use super::meta_properties::{self, MetaProperties};
use super::survey::LogDirError;
use super::{StorageError, files, format_uuid};
use crate::ids::{NodeId, Uuid};

pub(super) const LOCK_FILE: &str = ".lock";

/// Who opens a log directory.
#[derive(Debug, Clone)]
pub struct LogDirOptions {
    /// `node.id`; a directory of another node is refused.
    pub node_id: NodeId,
    /// The cluster's id if it is known; a directory of another cluster is refused. A new directory without it gets a
    /// random one.
    pub cluster_id: Option<String>,
    /// How many segment files may be open at once.
    pub max_open_files: usize,
    /// How long the files of a deleted log stay (`file.delete.delay.ms`, as the broker has it for its topics).
    pub delete_delay: Duration,
}

/// Takes the directory, until the file is closed.
pub(super) fn lock(path: &Path) -> Result<File, LogDirError> {
    let lock_path = path.join(LOCK_FILE);
    let lock = File::create(&lock_path).map_err(StorageError::io("cannot open", &lock_path))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(LogDirError::Locked(path.to_path_buf())),
        Err(TryLockError::Error(error)) => Err(StorageError::io("cannot lock", &lock_path)(error).into()),
    }
}

/// Reads `meta.properties`, or writes it into a directory without data, after `before`.
pub(super) fn identify(
    path: &Path,
    options: &LogDirOptions,
    before: impl FnOnce() -> Result<(), StorageError>,
) -> Result<MetaProperties, LogDirError> {
    if let Some(identity) = peek(path, options)? {
        return Ok(identity);
    }
    before()?;
    let cluster_id = options.cluster_id.clone().unwrap_or_else(|| format_uuid(Uuid::new_v4()));
    let identity = MetaProperties { node_id: options.node_id, cluster_id, directory_id: Some(Uuid::new_v4()) };
    files::replace_durably(&path.join(meta_properties::FILE_NAME), identity.to_text().as_bytes())?;
    Ok(identity)
}

/// The identity of the directory, if it has one, and nothing is changed. One that is not there, or has no data, need not
/// have any.
pub(super) fn peek(path: &Path, options: &LogDirOptions) -> Result<Option<MetaProperties>, LogDirError> {
    let identity = existing_identity(path, options)?;
    if identity.is_none() && path.exists() && !Listing::of(path)?.partitions.is_empty() {
        let reason = "it is missing although there is data".to_owned();
        return Err(LogDirError::Unidentified { path: path.to_path_buf(), reason });
    }
    Ok(identity)
}

/// Reads `meta.properties`, if it is there.
pub(super) fn existing_identity(path: &Path, options: &LogDirOptions) -> Result<Option<MetaProperties>, LogDirError> {
    let file = path.join(meta_properties::FILE_NAME);
    let unidentified = |reason: String| LogDirError::Unidentified { path: path.to_path_buf(), reason };
    let identity = match fs::read_to_string(&file) {
        Ok(text) => MetaProperties::from_text(&text).map_err(unidentified)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => return Err(unidentified("it is not text".into())),
        Err(error) => return Err(StorageError::io("cannot read", &file)(error).into()),
    };
    let foreign = |theirs, ours| Err(LogDirError::Foreign { path: path.to_path_buf(), theirs, ours });
    if identity.node_id != options.node_id {
        return foreign(format!("node {}", identity.node_id), format!("node {}", options.node_id));
    }
    match &options.cluster_id {
        Some(ours) if *ours != identity.cluster_id => {
            foreign(format!("cluster {}", identity.cluster_id), format!("cluster {ours}"))
        }
        _ => Ok(Some(identity)),
    }
}
