//! What lies in a log directory, and whose each partition's directory says that it is, before any log is loaded.

use std::fs;
use std::path::{Path, PathBuf};

use super::{StorageError, partition_dir};
use crate::ids::{TopicPartition, Uuid};

/// A partition's directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundLog {
    /// Whose it is by its name.
    pub topic_partition: TopicPartition,
    /// The topic's id; nil where `partition.metadata` is missing or cannot be one. The caller may know better.
    pub topic_id: Uuid,
    /// Whether any of its segments holds anything; told only where there is no id.
    pub holds_records: bool,
}

/// What lies in a log directory.
#[derive(Debug, Default)]
pub struct FoundLogs {
    /// The partitions' directories, sorted by name.
    pub logs: Vec<FoundLog>,
    /// Directories of deleted logs.
    pub(super) doomed: Vec<PathBuf>,
}

impl FoundLogs {
    /// Lists `dir`, and reads the topics' ids.
    pub(super) fn in_directory(dir: &Path) -> Result<Self, StorageError> {
        let (partitions, doomed) = list(dir)?;
        let find = |topic_partition: TopicPartition| {
            let dir = dir.join(topic_partition.to_string());
            let topic_id = partition_dir::read_topic_id(&dir);
            let holds_records = topic_id.is_nil() && partition_dir::holds_records(&dir)?;
            Ok(FoundLog { topic_partition, topic_id, holds_records })
        };
        Ok(Self { logs: partitions.into_iter().map(find).collect::<Result<_, _>>()?, doomed })
    }
}

/// The partitions whose directories are in `dir`, sorted, and the directories of deleted logs.
pub(super) fn list(dir: &Path) -> Result<(Vec<TopicPartition>, Vec<PathBuf>), StorageError> {
    let cannot_list = |error| StorageError::io("cannot list", dir)(error);
    let (mut partitions, mut doomed) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(dir).map_err(cannot_list)? {
        let entry = entry.map_err(cannot_list)?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if !entry.file_type().map_err(cannot_list)?.is_dir() {
            continue;
        }
        if partition_dir::is_doomed(&name) {
            doomed.push(entry.path());
        } else if let Some(topic_partition) = partition_dir::parse_name(&name) {
            partitions.push(topic_partition);
        }
    }
    partitions.sort_unstable();
    Ok((partitions, doomed))
}
