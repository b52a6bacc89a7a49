//! What a broker takes over of the directories that it finds, and what it says of those that it does not find.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use super::ownership::{self, KnownTopics, Owner};
use super::replica_move::{FoundMove, FutureFate, fate_of};
use crate::ids::{LeaderEpoch, NodeId, TopicPartition, Uuid};
use crate::storage::{FoundDirectory, FoundLog, FoundLogs, KnownOffsets, LogDir, LogDirError, StorageError};

/// Finds out whose the directories are, before any is touched; sets aside those that nobody will miss, and returns the
/// others.
pub(super) fn claim(
    found: Vec<FoundDirectory>,
    known: KnownTopics<'_>,
    node_id: NodeId,
    all_work: bool,
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
    claim_futures(&mut claimed, known, node_id, all_work)?;
    Ok(claimed)
}

/// Decides what becomes of each move that did not come to its end; those that go on stay among what is to be loaded. Of two
/// moves of one partition the first goes on.
fn claim_futures(
    found: &mut [FoundDirectory],
    known: KnownTopics<'_>,
    node_id: NodeId,
    all_work: bool,
) -> Result<(), StorageError> {
    let futures: Vec<_> = found.iter_mut().map(|(_, found)| std::mem::take(&mut found.futures)).collect();
    let mut seen = HashSet::new();
    for (index, future) in
        futures.into_iter().enumerate().flat_map(|(index, of)| of.into_iter().map(move |one| (index, one)))
    {
        let (topic_partition, topic_id) = (future.topic_partition.clone(), future.topic_id);
        let named = FoundLog { topic_partition: topic_partition.clone(), topic_id, holds_records: true };
        let is_current = |found: &FoundLogs| found.logs.iter().any(|log| log.topic_partition == topic_partition);
        let mut fate = fate_of(FoundMove {
            owner: &ownership::owner(&named, known, node_id),
            has_current: found.iter().any(|(_, found)| is_current(found)),
            was_replaced: found
                .iter()
                .enumerate()
                .any(|(other, (_, found))| other != index && found.was_deleted(&topic_partition, topic_id)),
            all_work,
        });
        let Some((_, here)) = found.get_mut(index) else { continue };
        if is_current(here) || !seen.insert(topic_partition.clone()) {
            fate = FutureFate::Deleted;
        }
        match fate {
            FutureFate::GoesOn => here.futures.push(future),
            FutureFate::TakesPlace => {
                tracing::info!(partition = %topic_partition, "a move to another log directory is finished that a crash has interrupted");
                here.promote(&future)?;
            }
            FutureFate::Stays => {}
            FutureFate::SetAside => FoundLogs::set_aside(&future)?,
            FutureFate::Deleted => here.discard(&future)?,
        }
    }
    Ok(())
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
