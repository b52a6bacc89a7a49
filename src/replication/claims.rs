//! What a broker takes over of the directories that it finds, and what it says of those that it does not find.

use std::path::Path;

use super::ownership::{self, KnownTopics, Owner};
use crate::ids::{LeaderEpoch, NodeId, TopicPartition, Uuid};
use crate::storage::{FoundLogs, KnownOffsets, LogDir, LogDirError};

/// Finds out whose the directories are, before any is touched; sets aside those that nobody will miss, and returns the
/// others.
pub(super) fn claim(
    log_dir: &LogDir,
    mut found: FoundLogs,
    known: KnownTopics<'_>,
    node_id: NodeId,
) -> Result<FoundLogs, LogDirError> {
    let owners: Vec<_> = found.logs.iter().map(|log| ownership::owner(log, known, node_id)).collect();
    let named = found.logs.iter().zip(&owners).filter_map(|(log, owner)| match owner {
        Owner::Unknown(reason) => Some(format!("{} ({reason})", log.topic_partition)),
        _ => None,
    });
    let unknown: Vec<_> = named.collect();
    if !unknown.is_empty() {
        return Err(LogDirError::UnknownPartitions { path: log_dir.path().unwrap_or(Path::new("")).into(), unknown });
    }
    let mut ours = Vec::with_capacity(found.logs.len());
    for (mut log, owner) in std::mem::take(&mut found.logs).into_iter().zip(owners) {
        match owner {
            Owner::Deleted => {
                log_dir.set_aside_unloaded(&log.topic_partition)?;
                continue;
            }
            Owner::TopicWithDamagedId => {
                let partition = &log.topic_partition;
                tracing::warn!(%partition, "partition.metadata is damaged or missing, and is written anew");
                log.topic_id = Uuid::nil();
            }
            Owner::Topic | Owner::Unknown(_) => {}
        }
        ours.push(log);
    }
    found.logs = ours;
    Ok(found)
}

/// Says of a partition that had no directory what was in it, as far as the checkpoints tell. As in Kafka, an empty log is
/// made in its place.
pub(super) fn warn_of_missing(partition: &TopicPartition, known: Option<&KnownOffsets>, leader_epoch: LeaderEpoch) {
    let known = known.copied().unwrap_or_default();
    let (from, end) = (known.log_start_offset, known.high_watermark.max(known.recovery_point));
    if end > from {
        let to = end - 1;
        tracing::error!(%partition, "the partition's directory is missing: the records at offsets {from} to {to} are gone, and an empty log is in its place; if they are needed, stop the broker and put the directory back from a copy");
    } else if leader_epoch > 0 {
        tracing::warn!(%partition, "the partition had no directory: a crash was faster, or somebody has removed it; an empty log is in its place");
    }
}
