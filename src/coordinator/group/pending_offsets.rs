//! Offsets of transactions that have not ended (`OffsetMetadataManager.pendingTransactionalOffsets`).
//!
//! Nobody sees them before their transaction is committed. Of several commits to one partition the one counts that came
//! last, whether it was part of a transaction or not, and whenever that was committed: what counts is the order in which
//! they were written. That is the order of replay, and so a commit outside of transactions, or one that a transaction
//! brought in, supersedes at once whatever was written before it and still waits. Superseded or not, an offset is pending
//! until its transaction ends or the offset is deleted.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::ids::TopicName;
use crate::protocol::control_records::TransactionResult;
use crate::protocol::coordinator_records::{OffsetCommitKey, OffsetCommitValue};

use super::request::GroupId;

type PartitionOffsets = BTreeMap<TopicName, BTreeMap<i32, Vec<PendingOffset>>>;

/// One producer's latest commit to a partition.
#[derive(Debug)]
struct PendingOffset {
    producer_id: i64,
    /// Where it stands among all that were ever pending.
    order: u64,
    /// Whether it comes to nothing, however its transaction ends.
    is_superseded: bool,
    value: OffsetCommitValue,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct PendingOffsets {
    /// In order, so that what is decided about all of them does not depend on chance.
    by_group: BTreeMap<GroupId, PartitionOffsets>,
    /// The groups of each producer's open transaction.
    by_producer: HashMap<i64, BTreeSet<GroupId>>,
    /// How many there have been.
    commits: u64,
}

impl PendingOffsets {
    /// Takes in a commit of the producer's transaction, in place of its earlier one to that partition.
    pub(super) fn add(&mut self, producer_id: i64, key: &OffsetCommitKey, value: OffsetCommitValue) {
        self.commits += 1;
        let topics = self.by_group.entry(Arc::clone(&key.group)).or_default();
        let offsets = topics.entry(Arc::clone(&key.topic)).or_default().entry(key.partition).or_default();
        offsets.retain(|offset| offset.producer_id != producer_id);
        offsets.push(PendingOffset { producer_id, order: self.commits, is_superseded: false, value });
        self.by_producer.entry(producer_id).or_default().insert(Arc::clone(&key.group));
    }

    /// A commit outside of transactions has come after all that wait.
    pub(super) fn supersede(&mut self, key: &OffsetCommitKey) {
        for offset in self.waiting(key) {
            offset.is_superseded = true;
        }
    }

    fn waiting(&mut self, key: &OffsetCommitKey) -> impl Iterator<Item = &mut PendingOffset> {
        let topics = self.by_group.get_mut(&key.group);
        topics.and_then(|topics| topics.get_mut(&key.topic)?.get_mut(&key.partition)).into_iter().flatten()
    }

    /// The offset was deleted, with all that waits for its place.
    pub(super) fn forget(&mut self, key: &OffsetCommitKey) {
        self.keep(key, |_| false);
    }

    /// Ends the producer's transaction; answers what counts from now on.
    pub(super) fn end(
        &mut self,
        producer_id: i64,
        result: TransactionResult,
    ) -> Vec<(OffsetCommitKey, OffsetCommitValue)> {
        let mut committed = Vec::new();
        for group in self.by_producer.remove(&producer_id).unwrap_or_default() {
            for (topic, partition) in self.partitions(&group).collect::<Vec<_>>() {
                let key = OffsetCommitKey { group: Arc::clone(&group), topic, partition };
                let Some(ended) = self.take(producer_id, &key) else { continue };
                if result == TransactionResult::Commit && !ended.is_superseded {
                    for offset in self.waiting(&key) {
                        offset.is_superseded |= offset.order < ended.order;
                    }
                    committed.push((key, ended.value));
                }
            }
        }
        committed
    }

    fn take(&mut self, producer_id: i64, key: &OffsetCommitKey) -> Option<PendingOffset> {
        let offsets = self.by_group.get_mut(&key.group)?.get_mut(&key.topic)?.get_mut(&key.partition)?;
        let index = offsets.iter().position(|offset| offset.producer_id == producer_id)?;
        let taken = offsets.swap_remove(index);
        // Whatever is empty goes.
        self.keep(key, |_| true);
        Some(taken)
    }

    fn keep(&mut self, key: &OffsetCommitKey, is_kept: impl Fn(&PendingOffset) -> bool) {
        let Some(topics) = self.by_group.get_mut(&key.group) else { return };
        let Some(partitions) = topics.get_mut(&key.topic) else { return };
        let Some(offsets) = partitions.get_mut(&key.partition) else { return };
        offsets.retain(is_kept);
        if offsets.is_empty() {
            partitions.remove(&key.partition);
        }
        if partitions.is_empty() {
            topics.remove(&key.topic);
        }
        if topics.is_empty() {
            self.by_group.remove(&key.group);
        }
    }

    /// Whether any wait for that partition.
    pub(super) fn has(&self, group: &str, topic: &str, partition: i32) -> bool {
        let topics = self.by_group.get(group);
        topics.and_then(|topics| topics.get(topic)).is_some_and(|partitions| partitions.contains_key(&partition))
    }

    /// Whether any wait in that group.
    pub(super) fn has_any(&self, group: &str) -> bool {
        self.by_group.contains_key(group)
    }

    /// The partitions of a group for which any wait.
    pub(super) fn partitions(&self, group: &str) -> impl Iterator<Item = (TopicName, i32)> + '_ {
        let topics = self.by_group.get(group).into_iter().flatten();
        topics.flat_map(|(topic, partitions)| partitions.keys().map(|partition| (Arc::clone(topic), *partition)))
    }

    /// The groups and partitions of a topic for which any wait.
    pub(super) fn of_topic<'a>(&'a self, topic: &'a str) -> impl Iterator<Item = (&'a GroupId, i32)> + 'a {
        let groups = self.by_group.iter();
        groups.flat_map(move |(group, topics)| {
            topics
                .get(topic)
                .into_iter()
                .flat_map(move |partitions| partitions.keys().map(move |index| (group, *index)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: i64 = 1;
    const B: i64 = 2;

    fn key(group: &str, partition: i32) -> OffsetCommitKey {
        OffsetCommitKey { group: group.into(), topic: "t".into(), partition }
    }

    fn value(offset: i64) -> OffsetCommitValue {
        OffsetCommitValue {
            offset,
            leader_epoch: -1,
            metadata: "".into(),
            commit_timestamp_ms: 0,
            expire_timestamp_ms: None,
        }
    }

    fn commit(pending: &mut PendingOffsets, producer_id: i64) -> Vec<(String, i32, i64)> {
        let committed = pending.end(producer_id, TransactionResult::Commit).into_iter();
        committed.map(|(key, value)| (key.group.to_string(), key.partition, value.offset)).collect()
    }

    #[test]
    fn a_transaction_brings_in_its_last_commit_to_each_partition() {
        let mut pending = PendingOffsets::default();
        for (group, partition, offset) in [("g", 0, 1), ("g", 1, 2), ("h", 0, 3), ("g", 0, 4)] {
            pending.add(A, &key(group, partition), value(offset));
        }
        assert!(pending.has("g", "t", 1) && pending.has_any("h") && !pending.has("g", "u", 1));
        assert_eq!(commit(&mut pending, A), [("g".into(), 0, 4), ("g".into(), 1, 2), ("h".into(), 0, 3)]);
        assert!(!pending.has_any("g") && !pending.has_any("h"));
        assert!(pending.by_group.is_empty() && pending.by_producer.is_empty(), "nothing stays");
        assert_eq!(commit(&mut pending, A), []);
    }

    #[test]
    fn an_aborted_transaction_brings_in_nothing_and_leaves_others_as_they_are() {
        let mut pending = PendingOffsets::default();
        pending.add(A, &key("g", 0), value(1));
        pending.add(B, &key("g", 0), value(2));
        assert_eq!(pending.end(B, TransactionResult::Abort), []);
        assert!(pending.has("g", "t", 0));
        assert_eq!(commit(&mut pending, A), [("g".into(), 0, 1)]);
    }

    #[test]
    fn what_was_written_last_counts_whatever_is_committed_last() {
        let mut pending = PendingOffsets::default();
        pending.add(A, &key("g", 0), value(1));
        pending.add(B, &key("g", 0), value(2));
        assert_eq!(commit(&mut pending, B), [("g".into(), 0, 2)]);
        assert!(pending.has("g", "t", 0), "it is pending all the same");
        assert_eq!(commit(&mut pending, A), []);
        pending.add(A, &key("g", 0), value(3));
        pending.add(B, &key("g", 0), value(4));
        assert_eq!(commit(&mut pending, A), [("g".into(), 0, 3)]);
        assert_eq!(commit(&mut pending, B), [("g".into(), 0, 4)]);
    }

    #[test]
    fn a_plain_commit_supersedes_what_came_before_it() {
        let mut pending = PendingOffsets::default();
        pending.add(A, &key("g", 0), value(1));
        pending.add(A, &key("g", 1), value(1));
        pending.add(B, &key("g", 0), value(2));
        pending.supersede(&key("g", 0));
        pending.add(B, &key("g", 0), value(3));
        assert_eq!(commit(&mut pending, A), [("g".into(), 1, 1)]);
        assert_eq!(commit(&mut pending, B), [("g".into(), 0, 3)]);
    }

    #[test]
    fn what_is_deleted_waits_no_longer() {
        let mut pending = PendingOffsets::default();
        pending.add(A, &key("g", 0), value(1));
        pending.add(B, &key("g", 0), value(2));
        pending.add(B, &key("g", 1), value(2));
        assert_eq!(
            pending.of_topic("t").map(|(group, index)| (&**group, index)).collect::<Vec<_>>(),
            [("g", 0), ("g", 1)]
        );
        assert_eq!(pending.of_topic("u").count(), 0);
        pending.forget(&key("g", 0));
        assert!(!pending.has("g", "t", 0));
        assert_eq!(pending.partitions("g").collect::<Vec<_>>(), [("t".into(), 1)]);
        assert_eq!((commit(&mut pending, A), commit(&mut pending, B)), (Vec::new(), vec![("g".into(), 1, 2)]));
    }
}
