//! What lies in a log directory, and whose each partition's directory says that it is, before any log is loaded.

use std::fs;
use std::path::{Path, PathBuf};

use super::{StorageError, files, partition_dir};
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

/// The directory of a log that was to take the place of its partition's log in another log directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundFuture {
    /// Whose it is by its name.
    pub topic_partition: TopicPartition,
    /// The topic's id; nil where `partition.metadata` is missing or cannot be one.
    pub topic_id: Uuid,
    pub(super) path: PathBuf,
}

/// What lies in a log directory.
#[derive(Debug, Default)]
pub struct FoundLogs {
    /// The partitions' directories, sorted by name.
    pub logs: Vec<FoundLog>,
    /// Those of moves that did not come to their end.
    pub futures: Vec<FoundFuture>,
    /// Directories of deleted logs.
    pub(super) doomed: Vec<PathBuf>,
}

impl FoundLogs {
    /// Lists `dir`, and reads the topics' ids.
    pub(super) fn in_directory(dir: &Path) -> Result<Self, StorageError> {
        let Listing { partitions, futures, doomed } = Listing::of(dir)?;
        let find = |topic_partition: TopicPartition| {
            let dir = dir.join(topic_partition.to_string());
            let topic_id = partition_dir::read_topic_id(&dir);
            let holds_records = topic_id.is_nil() && partition_dir::holds_records(&dir)?;
            Ok(FoundLog { topic_partition, topic_id, holds_records })
        };
        let future = |(topic_partition, path): (TopicPartition, PathBuf)| FoundFuture {
            topic_partition,
            topic_id: partition_dir::read_topic_id(&path),
            path,
        };
        let logs = partitions.into_iter().map(find).collect::<Result<_, _>>()?;
        Ok(Self { logs, futures: futures.into_iter().map(future).collect(), doomed })
    }

    /// Whether the partition's log, of the topic with that id, is among the deleted ones.
    pub fn was_deleted(&self, topic_partition: &TopicPartition, topic_id: Uuid) -> bool {
        self.doomed.iter().any(|path| {
            let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
            partition_dir::parse_unique_name(&name, partition_dir::DELETE_SUFFIX).as_ref() == Some(topic_partition)
                && partition_dir::read_topic_id(path) == topic_id
        })
    }

    /// Makes a future log the partition's log, to survive a power loss.
    pub fn promote(&mut self, future: &FoundFuture) -> Result<(), StorageError> {
        let FoundFuture { topic_partition, topic_id, path } = future;
        let dir = path.with_file_name(topic_partition.to_string());
        fs::rename(path, &dir).map_err(StorageError::io("cannot rename", path))?;
        path.parent().map_or(Ok(()), files::sync_dir)?;
        let (topic_partition, topic_id) = (topic_partition.clone(), *topic_id);
        self.logs.push(FoundLog { topic_partition, topic_id, holds_records: true });
        Ok(())
    }

    /// Has a future log deleted.
    pub fn discard(&mut self, future: &FoundFuture) -> Result<(), StorageError> {
        let renamed = partition_dir::rename(&future.path, &future.topic_partition, partition_dir::DELETE_SUFFIX)?;
        self.doomed.push(renamed);
        Ok(())
    }

    /// Renames a future log so that no start loads it, and keeps its records.
    pub fn set_aside(future: &FoundFuture) -> Result<(), StorageError> {
        partition_dir::set_aside(&future.path, &future.topic_partition)
    }
}

/// The directories in a log directory.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// The partitions', sorted.
    pub(super) partitions: Vec<TopicPartition>,
    futures: Vec<(TopicPartition, PathBuf)>,
    doomed: Vec<PathBuf>,
}

impl Listing {
    pub(super) fn of(dir: &Path) -> Result<Self, StorageError> {
        let cannot_list = |error| StorageError::io("cannot list", dir)(error);
        let mut listing = Self::default();
        for entry in fs::read_dir(dir).map_err(cannot_list)? {
            let entry = entry.map_err(cannot_list)?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if !entry.file_type().map_err(cannot_list)?.is_dir() {
                continue;
            }
            if partition_dir::is_doomed(&name) {
                listing.doomed.push(entry.path());
            } else if let Some(of) = partition_dir::parse_unique_name(&name, partition_dir::FUTURE_SUFFIX) {
                listing.futures.push((of, entry.path()));
            } else if let Some(topic_partition) = partition_dir::parse_name(&name) {
                listing.partitions.push(topic_partition);
            }
        }
        listing.partitions.sort_unstable();
        Ok(listing)
    }
}
