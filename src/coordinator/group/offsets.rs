//! Committed offsets: storing, reading and deleting them.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Now;
use crate::ids::TopicName;
use crate::protocol::ErrorCode;
use crate::protocol::control_records::TransactionResult;
use crate::protocol::coordinator_records::{CoordinatorRecord, OffsetCommitKey, OffsetCommitValue};
use crate::state_machine::Effects;

use super::GroupCoordinator;
use super::classic_group::ClassicGroup;
use super::group_state::GroupState;
use super::join::MAX_STRING_BYTES;
use super::record::GroupRecord;
use super::request::{
    CommitOffsetsRequest, CommitTransactionalOffsetsRequest, DeleteOffsetsRequest, FetchOffsetsRequest, GroupId,
    MemberRequest, OffsetToCommit,
};
use super::response::{FetchedOffset, PartitionErrors};

impl GroupCoordinator {
    /// Stores offsets. A commit without a generation is one of a simple consumer, or of an administrator: it needs a
    /// group without members, and makes one where there is none.
    pub(super) fn commit_offsets(
        &mut self,
        request: &CommitOffsetsRequest,
        now: Now,
        effects: &mut Effects<Self>,
    ) -> Result<PartitionErrors, ErrorCode> {
        let member = &request.member;
        if member.group_id.len() > MAX_STRING_BYTES {
            return Err(ErrorCode::InvalidGroupId);
        }
        if let Some(mut turn) = self.turn(&member.group_id, now, effects) {
            turn.group.validate_commit(member, false)?;
            // A commit is a sign of life, though not while the leader's assignment is awaited.
            if matches!(turn.group.state, GroupState::Stable | GroupState::PreparingRebalance) {
                turn.restart_session(&member.member_id);
            }
        } else if member.generation_id >= 0 {
            return Err(ErrorCode::GroupIdNotFound);
        }
        // Unlike Kafka, which refuses with UNKNOWN_SERVER_ERROR what does not fit into one batch: each offset stands for itself.
        effects.is_atomic = false;
        let expire_timestamp_ms =
            request.retention_ms.map(|retention_ms| now.timestamp_ms.saturating_add(retention_ms));
        Ok(self.store(&request.topics, |topic, offset| {
            let record = commit_record(&member.group_id, topic, offset, now, expire_timestamp_ms);
            effects.record(GroupRecord::Plain(record));
        }))
    }

    /// Stores offsets that count once the producer's transaction is committed. Unlike other commits, one is no sign of life,
    /// may be made by nobody in particular (before KIP-447), and does not wait for the assignment of a generation.
    pub(super) fn commit_transactional_offsets(
        &self,
        request: &CommitTransactionalOffsetsRequest,
        now: Now,
        effects: &mut Effects<Self>,
    ) -> Result<PartitionErrors, ErrorCode> {
        let member = &request.member;
        if member.group_id.is_empty() || member.group_id.len() > MAX_STRING_BYTES {
            return Err(ErrorCode::InvalidGroupId);
        }
        match self.groups.get(&member.group_id) {
            Some(group) => group.validate_commit(member, true)?,
            None if member.generation_id >= 0 => return Err(ErrorCode::IllegalGeneration),
            None => {}
        }
        Ok(self.store(&request.topics, |topic, offset| {
            let record = commit_record(&member.group_id, topic, offset, now, None);
            effects.record(GroupRecord::Transactional { producer: request.producer, record });
        }))
    }

    fn store(
        &self,
        topics: &[(TopicName, Vec<OffsetToCommit>)],
        mut store: impl FnMut(&TopicName, &OffsetToCommit),
    ) -> PartitionErrors {
        let mut results = PartitionErrors::with_capacity(topics.len());
        for (topic, partitions) in topics {
            let mut errors = Vec::with_capacity(partitions.len());
            for offset in partitions {
                let is_too_large = self.is_metadata_too_large(&offset.metadata);
                errors.push((offset.partition, is_too_large.then_some(ErrorCode::OffsetMetadataTooLarge)));
                if !is_too_large {
                    store(topic, offset);
                }
            }
            results.push((Arc::clone(topic), errors));
        }
        results
    }

    /// Kafka counts `offset.metadata.max.bytes` in UTF-16 code units, of which there are never more than bytes. No record
    /// can hold more than [`MAX_STRING_BYTES`].
    fn is_metadata_too_large(&self, metadata: &str) -> bool {
        let limit = self.config.offset_metadata_max_bytes.min(MAX_STRING_BYTES);
        metadata.len() > MAX_STRING_BYTES || metadata.encode_utf16().count() > limit
    }

    /// Reads offsets; a group that does not exist has none.
    pub(super) fn fetch_offsets(&self, request: &FetchOffsetsRequest) -> Vec<(TopicName, Vec<FetchedOffset>)> {
        let group = self.groups.get(&request.group_id);
        // Where nobody waits, nobody need be looked for.
        let awaits_stable = request.require_stable && self.pending_offsets.has_any(&request.group_id);
        let is_unstable = |topic: &TopicName, partition: i32| {
            awaits_stable && self.pending_offsets.has(&request.group_id, topic, partition)
        };
        if let Some(topics) = &request.topics {
            let fetch = |topic: &TopicName, partition: i32| {
                let committed = group.and_then(|group| group.offsets.get(topic)?.get(&partition));
                fetched(partition, committed, is_unstable(topic, partition))
            };
            let each = |(topic, partitions): &(TopicName, Vec<i32>)| {
                (Arc::clone(topic), partitions.iter().map(|partition| fetch(topic, *partition)).collect())
            };
            return topics.iter().map(each).collect();
        }
        let topics = group.into_iter().flat_map(|group| &group.offsets);
        let each = |(topic, offsets): (&TopicName, &std::collections::BTreeMap<i32, OffsetCommitValue>)| {
            let fetch = |(partition, value): (&i32, &OffsetCommitValue)| {
                fetched(*partition, Some(value), is_unstable(topic, *partition))
            };
            (Arc::clone(topic), offsets.iter().map(fetch).collect())
        };
        topics.map(each).collect()
    }

    /// Deletes offsets of topics that no member reads, also those that wait for their transaction's end.
    pub(super) fn delete_offsets(
        &mut self,
        request: DeleteOffsetsRequest,
        effects: &mut Effects<Self>,
    ) -> Result<PartitionErrors, ErrorCode> {
        let group = self.groups.get(&request.group_id).ok_or(ErrorCode::GroupIdNotFound)?;
        if group.state != GroupState::Empty && !group.uses_consumer_protocol() {
            return Err(ErrorCode::NonEmptyGroup);
        }
        let results = request.topics.into_iter().map(|(topic, partitions)| {
            let error = group.is_subscribed_to(&topic).then_some(ErrorCode::GroupSubscribedToTopic);
            if error.is_none() {
                let is_stored = |partition: &&i32| {
                    group.has_offset(&topic, **partition) || self.pending_offsets.has(&group.id, &topic, **partition)
                };
                let stored = partitions.iter().filter(is_stored);
                effects.records.extend(stored.map(|partition| offset_tombstone(&group.id, &topic, *partition)));
            }
            (topic, partitions.into_iter().map(|partition| (partition, error)).collect())
        });
        Ok(results.collect())
    }

    /// Forgets the offsets of deleted topics, in all groups.
    pub(super) fn topics_deleted(&mut self, topics: &[TopicName], effects: &mut Effects<Self>) {
        effects.is_atomic = false;
        for group in self.groups.values() {
            for topic in topics {
                let partitions = group.offsets.get(topic).into_iter().flat_map(|offsets| offsets.keys());
                effects.records.extend(partitions.map(|partition| offset_tombstone(&group.id, topic, *partition)));
            }
        }
        for topic in topics {
            let has_offset =
                |group: &str, partition| self.groups.get(group).is_some_and(|group| group.has_offset(topic, partition));
            let pending = self.pending_offsets.of_topic(topic);
            let pending = pending.filter(|(group, partition)| !has_offset(group, *partition));
            effects.records.extend(pending.map(|(group, partition)| offset_tombstone(group, topic, partition)));
        }
    }

    /// Takes a commit, or its end, into the state.
    pub(super) fn replay_offset(&mut self, key: &OffsetCommitKey, value: Option<&OffsetCommitValue>) {
        let Some(value) = value else {
            self.pending_offsets.forget(key);
            if let Some(group) = self.groups.get_mut(&key.group) {
                group.forget_offset(&key.topic, key.partition);
            }
            return;
        };
        self.pending_offsets.supersede(key);
        let group = self.group_of_offset(key, value);
        group.offsets.entry(Arc::clone(&key.topic)).or_default().insert(key.partition, value.clone());
    }

    /// Takes a commit of a producer's transaction into the state; tombstones are never part of one.
    pub(super) fn replay_transactional(&mut self, producer_id: i64, record: &CoordinatorRecord) {
        if let CoordinatorRecord::OffsetCommit { key, value: Some(value) } = record {
            self.group_of_offset(key, value);
            self.pending_offsets.add(producer_id, key, value.clone());
        }
    }

    /// Takes the end of a producer's transaction into the state.
    pub(super) fn replay_transaction_end(&mut self, producer_id: i64, result: TransactionResult) {
        for (key, value) in self.pending_offsets.end(producer_id, result) {
            let group = self.group_of_offset(&key, &value);
            group.offsets.entry(key.topic).or_default().insert(key.partition, value);
        }
    }

    /// The group that an offset belongs to, which is made where there is none: a simple one.
    fn group_of_offset(&mut self, key: &OffsetCommitKey, value: &OffsetCommitValue) -> &mut ClassicGroup {
        let group = self.groups.entry(Arc::clone(&key.group));
        group.or_insert_with_key(|group_id| ClassicGroup::new(Arc::clone(group_id), value.commit_timestamp_ms))
    }
}

impl ClassicGroup {
    fn validate_commit(&self, member: &MemberRequest, is_transactional: bool) -> Result<(), ErrorCode> {
        if member.generation_id < 0 && self.state == GroupState::Empty {
            return Ok(());
        }
        if member.generation_id < 0 && member.member_id.is_empty() && member.group_instance_id.is_none() {
            // Producers before KIP-447 do not say for which member they commit.
            return if is_transactional { Ok(()) } else { Err(ErrorCode::UnknownMemberId) };
        }
        self.validate_member(&member.member_id, member.group_instance_id.as_deref())?;
        if member.generation_id != self.generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        if self.state == GroupState::CompletingRebalance && !is_transactional {
            // The member heard of the new generation, so it is alive; it has to sync before it commits.
            return Err(ErrorCode::RebalanceInProgress);
        }
        Ok(())
    }

    pub(super) fn has_offset(&self, topic: &str, partition: i32) -> bool {
        self.offsets.get(topic).is_some_and(|offsets| offsets.contains_key(&partition))
    }

    fn forget_offset(&mut self, topic: &str, partition: i32) {
        let Some(offsets) = self.offsets.get_mut(topic) else { return };
        offsets.remove(&partition);
        if offsets.is_empty() {
            self.offsets.remove(topic);
        }
    }

    /// Tombstones for all offsets of the group.
    pub(super) fn offset_tombstones(&self) -> impl Iterator<Item = GroupRecord> {
        self.offsets
            .iter()
            .flat_map(|(topic, offsets)| offsets.keys().map(|partition| offset_tombstone(&self.id, topic, *partition)))
    }

    /// Whether the offset has outlived its time, which counts from when the group became empty, or else from the
    /// commit. `None` where nothing of this group expires now: it has members and it is not known what they read.
    pub(super) fn expiry_condition(
        &self,
        retention: Duration,
        now: Now,
    ) -> Option<impl Fn(&OffsetCommitValue) -> bool> {
        let group_timestamp_ms = match self.state {
            // A simple group.
            _ if self.protocol_type.is_none() => None,
            GroupState::Empty => Some(self.state_timestamp_ms).filter(|timestamp_ms| *timestamp_ms != -1),
            GroupState::Stable if self.uses_consumer_protocol() && self.knows_subscriptions() => None,
            _ => return None,
        };
        let retention_ms = i64::try_from(retention.as_millis()).unwrap_or(i64::MAX);
        Some(move |committed: &OffsetCommitValue| {
            let since_ms = group_timestamp_ms.unwrap_or(committed.commit_timestamp_ms);
            let expires_ms = committed.expire_timestamp_ms.unwrap_or(since_ms.saturating_add(retention_ms));
            now.timestamp_ms >= expires_ms
        })
    }
}

/// What `OffsetFetch` says of one partition.
fn fetched(partition: i32, committed: Option<&OffsetCommitValue>, is_unstable: bool) -> FetchedOffset {
    match committed.filter(|_| !is_unstable) {
        Some(value) => FetchedOffset {
            partition,
            offset: value.offset,
            leader_epoch: value.leader_epoch,
            metadata: Arc::clone(&value.metadata),
            is_unstable,
        },
        None => FetchedOffset { partition, offset: -1, leader_epoch: -1, metadata: "".into(), is_unstable },
    }
}

fn commit_record(
    group: &GroupId,
    topic: &TopicName,
    offset: &OffsetToCommit,
    now: Now,
    expire_timestamp_ms: Option<i64>,
) -> CoordinatorRecord {
    CoordinatorRecord::OffsetCommit {
        key: OffsetCommitKey { group: Arc::clone(group), topic: Arc::clone(topic), partition: offset.partition },
        value: Some(OffsetCommitValue {
            offset: offset.offset,
            leader_epoch: offset.leader_epoch,
            metadata: Arc::clone(&offset.metadata),
            commit_timestamp_ms: now.timestamp_ms,
            expire_timestamp_ms,
        }),
    }
}

/// The record that says that the offset is gone.
pub(super) fn offset_tombstone(group: &GroupId, topic: &TopicName, partition: i32) -> GroupRecord {
    let key = OffsetCommitKey { group: Arc::clone(group), topic: Arc::clone(topic), partition };
    GroupRecord::Plain(CoordinatorRecord::OffsetCommit { key, value: None })
}
