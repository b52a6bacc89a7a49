//! What a broker takes over of the directories that it finds, and what it says of those that it does not find.

use std::collections::HashMap;
use std::path::Path;

use super::ownership::{self, KnownTopics, Owner};
use crate::ids::{LeaderEpoch, NodeId, TopicPartition, Uuid};
use crate::storage::{FoundDirectory, FoundLog, FoundLogs, KnownOffsets, LogDir, LogDirError, StorageError};

/// Finds out whose the directories are, before any is touched; sets aside those that nobody will miss, and returns the
/// others.
pub(super) fn claim(
    found: Vec<FoundDirectory>,
    known: KnownTopics<'_>,
    node_id: NodeId,
) -> Result<Vec<FoundDirectory>, LogDirError> {
    let owners_of = |(log_dir, found): &FoundDirectory| {
        let owners: Vec<_> = found.logs.iter().map(|log| ownership::owner(log, known, node_id)).collect();
        refuse_unknown(log_dir, found, &owners)?;
        Ok(owners)
    };
    let owners = found.iter().map(owners_of).collect::<Result<Vec<_>, LogDirError>>()?;
    refuse_duplicates(&found, &owners)?;
    let mut claimed = Vec::with_capacity(found.len());
    for ((log_dir, mut found), owners) in found.into_iter().zip(owners) {
        found.logs = claim_in(&log_dir, std::mem::take(&mut found.logs), owners)?;
        claimed.push((log_dir, found));
    }
    Ok(claimed)
}

fn refuse_unknown(log_dir: &LogDir, found: &FoundLogs, owners: &[Owner]) -> Result<(), LogDirError> {
    let named = found.logs.iter().zip(owners).filter_map(|(log, owner)| match owner {
        Owner::Unknown(reason) => Some(format!("{} ({reason})", log.topic_partition)),
        _ => None,
    });
    let unknown: Vec<_> = named.collect();
    if unknown.is_empty() {
        return Ok(());
    }
    Err(LogDirError::UnknownPartitions { path: log_dir.path().unwrap_or(Path::new("")).into(), unknown })
}

/// A partition that is in two directories was moved when one of them failed: nobody but a person can tell which one has
/// all of its records (`LogManager.loadLog`). What nobody will miss does not count.
fn refuse_duplicates(found: &[FoundDirectory], owners: &[Vec<Owner>]) -> Result<(), LogDirError> {
    let mut seen: HashMap<&TopicPartition, &LogDir> = HashMap::new();
    for ((log_dir, found), owners) in found.iter().zip(owners) {
        let ours = found.logs.iter().zip(owners).filter(|(_, owner)| **owner != Owner::Deleted);
        for (FoundLog { topic_partition, .. }, _) in ours {
            if let Some(other) = seen.insert(topic_partition, log_dir) {
                let [first, second] =
                    [other, log_dir].map(|dir| dir.path().unwrap_or(Path::new("")).join(topic_partition.to_string()));
                return Err(LogDirError::DuplicateLog { partition: topic_partition.clone(), first, second });
            }
        }
    }
    Ok(())
}

/// Those of `logs`, which are in `log_dir` and whose owners are known, that are to be loaded; the others are set aside.
fn claim_in(log_dir: &LogDir, logs: Vec<FoundLog>, owners: Vec<Owner>) -> Result<Vec<FoundLog>, StorageError> {
    let mut ours = Vec::with_capacity(logs.len());
    for (mut log, owner) in logs.into_iter().zip(owners) {
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
    Ok(ours)
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
