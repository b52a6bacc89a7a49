//! What is asked of the log directories, and what follows when one has failed (KIP-112).

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use super::{PartitionSlot, ReplicaManager};
use crate::protocol::ErrorCode;
use crate::replication::hosted_partition::HostedPartition;
use crate::storage::LogDir;

/// What a broker calls the directory that it does not have, because it keeps everything in memory.
const MEMORY: &str = "memory";

/// A log directory, as clients are told of it.
pub struct DescribedLogDir {
    /// Its absolute path.
    pub path: String,
    /// The total and the usable bytes of its volume; none in memory mode.
    pub space: Result<Option<(i64, i64)>, ErrorCode>,
    /// The partitions in it, in no order; none where it has failed.
    pub partitions: Vec<Arc<HostedPartition>>,
    /// Those that are moving to it.
    pub futures: Vec<Arc<HostedPartition>>,
}

impl ReplicaManager {
    /// The absolute paths of the log directories, and whether each has failed.
    pub fn log_dirs(&self) -> Vec<(String, bool)> {
        self.log_dirs.all().iter().map(|dir| (path_of(dir), dir.is_offline())).collect()
    }

    /// The log directory that clients are told to be at `path`.
    pub(super) fn log_dir_at(&self, path: &str) -> Option<&Arc<LogDir>> {
        self.log_dirs.all().iter().find(|dir| path_of(dir) == path)
    }

    /// Whether all log directories have failed, or that of the metadata, so that the broker cannot go on.
    pub fn have_log_dirs_failed(&self) -> bool {
        self.log_dirs.have_failed()
    }

    /// How many log directories have failed.
    pub fn offline_log_dirs(&self) -> usize {
        self.log_dirs.offline_count()
    }

    /// Every log directory, and what is in it. May wait for their volumes.
    pub fn describe_log_dirs(&self) -> Vec<DescribedLogDir> {
        let partitions = self.partitions();
        let describe = |dir: &Arc<LogDir>| {
            let space = space_of(dir);
            let is_here = |partition: &&Arc<HostedPartition>| space.is_ok() && Arc::ptr_eq(&partition.log_dir(), dir);
            let comes_here = |partition: &&Arc<HostedPartition>| {
                space.is_ok() && partition.future().is_some_and(|future| Arc::ptr_eq(future.log_dir(), dir))
            };
            let futures = partitions.iter().filter(comes_here).cloned().collect();
            let partitions = partitions.iter().filter(is_here).cloned().collect();
            DescribedLogDir { path: path_of(dir), partitions, futures, space }
        };
        self.log_dirs.all().iter().map(describe).collect()
    }

    /// By the path of each log directory, how many of its partitions cannot be cleaned, and how many of their bytes would be.
    pub fn uncleanable(&self) -> Vec<(String, usize, u64)> {
        let now = self.clock().now();
        let partitions = self.partitions();
        let uncleanable: Vec<_> = partitions.iter().filter(|partition| partition.cleaning().is_uncleanable()).collect();
        let of_dir = |dir: &Arc<LogDir>| {
            let here = uncleanable.iter().filter(|partition| Arc::ptr_eq(&partition.log_dir(), dir));
            let bytes: Vec<_> = here
                .map(|partition| partition.to_clean(now).map_or(0, |(to_clean, _)| to_clean.cleanable_bytes))
                .collect();
            (path_of(dir), bytes.len(), bytes.iter().sum())
        };
        self.log_dirs.all().iter().map(of_dir).collect()
    }

    /// How many of this broker's replicas have a log that cannot be used.
    pub fn offline_replicas(&self) -> usize {
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        let slots = topics.values().flat_map(|topic| &topic.slots);
        slots.filter(|slot| is_offline(slot)).count()
    }

    /// Whether a log directory has failed and this broker's replica of the partition is, or may be, in it.
    pub fn is_in_failed_log_dir(&self, topic: &str, partition: usize) -> bool {
        if self.offline_log_dirs() == 0 {
            return false;
        }
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        match topics.get(topic).and_then(|topic| topic.slots.get(partition)) {
            Some(PartitionSlot::Hosted(hosted)) => hosted.is_offline(),
            Some(PartitionSlot::Offline(offline)) => offline.is_unreachable,
            Some(PartitionSlot::Elsewhere) | None => false,
        }
    }

    /// Says how many partitions the next start may find in a directory that does not work now.
    pub(super) fn tell_unreachable(&self) {
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        let slots = topics.values().flat_map(|topic| &topic.slots);
        let is_unreachable =
            |slot: &&PartitionSlot| matches!(slot, PartitionSlot::Offline(offline) if offline.is_unreachable);
        let partitions = slots.filter(is_unreachable).count();
        if partitions > 0 {
            tracing::warn!(
                partitions,
                "no log directory that works has these partitions: they are offline until the next start"
            );
        }
    }

    /// Has those look again who wait for something of partitions whose directory has failed since the last call.
    pub(super) fn notice_failed_dirs(&self) {
        let failed = self.offline_log_dirs();
        if self.failed_dirs.swap(failed, Ordering::Relaxed) != failed {
            self.partitions().iter().filter(|partition| partition.is_offline()).for_each(|partition| partition.wake());
        }
        if self.have_log_dirs_failed() {
            self.failed.send_replace(true);
        }
    }
}

fn is_offline(slot: &PartitionSlot) -> bool {
    match slot {
        PartitionSlot::Hosted(hosted) => hosted.is_offline(),
        PartitionSlot::Offline(_) => true,
        PartitionSlot::Elsewhere => false,
    }
}

fn path_of(dir: &LogDir) -> String {
    dir.absolute_path().unwrap_or_else(|| MEMORY.to_owned())
}

/// The total and the usable bytes of the volume of `dir`.
fn space_of(dir: &LogDir) -> Result<Option<(i64, i64)>, ErrorCode> {
    if dir.is_offline() {
        return Err(ErrorCode::KafkaStorageError);
    }
    let space = dir.space().map_err(|error| {
        tracing::warn!(%error, "the log directory cannot be described");
        ErrorCode::KafkaStorageError
    })?;
    let bytes = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    Ok(space.map(|(total, usable)| (bytes(total), bytes(usable))))
}
