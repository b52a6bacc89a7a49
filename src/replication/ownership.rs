//! Whose the directories are that a broker finds: decided before anything in them is touched. Pure.
//!
//! A directory is made once its topic is in the metadata for good, and renamed once the topic is not any more. So the
//! metadata knows the topic of every directory, or has removed it a moment before a crash. Anything else means that the
//! metadata is older than the data, or that somebody has put the directory there, and is nobody's to clean up.
//!
//! Unlike Kafka, which renames each directory that no topic of its image wants, such a start is refused.

use std::collections::HashSet;

use crate::ids::{NodeId, TopicPartition, Uuid};
use crate::metadata::MetadataImage;
use crate::storage::{FoundLog, format_uuid};

/// What the metadata says when a broker starts.
#[derive(Debug, Clone, Copy)]
pub struct KnownTopics<'a> {
    /// The topics that there are.
    pub image: &'a MetadataImage,
    /// Ids of topics that were deleted, as far back as the metadata log goes.
    pub removed: &'a HashSet<Uuid>,
}

/// Whose a directory is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Owner {
    /// The topic's of its name.
    Topic,
    /// The same, but `partition.metadata` does not say so any more.
    TopicWithDamagedId,
    /// A topic's that was deleted, another broker's, or one without records: nobody will miss it.
    Deleted,
    /// It cannot be told whose; why, for a person.
    Unknown(String),
}

/// Decides whose `found` is, on the broker `node_id`.
pub(super) fn owner(found: &FoundLog, known: KnownTopics<'_>, node_id: NodeId) -> Owner {
    let TopicPartition { topic, partition } = &found.topic_partition;
    let same_name = known.image.topic(topic);
    let is_known = known.image.partition(topic, *partition).is_some();
    match same_name {
        Some(same_name) if found.topic_id == same_name.id || is_damaged(found.topic_id, same_name.id) => {
            let is_here = |image: &crate::metadata::PartitionImage| image.replicas.contains(&node_id);
            match same_name.partition(*partition) {
                None => Owner::Unknown(format!("{topic} has {} partitions", same_name.partitions.len())),
                Some(image) if !is_here(image) => Owner::Deleted,
                Some(_) if found.topic_id == same_name.id => Owner::Topic,
                Some(_) => Owner::TopicWithDamagedId,
            }
        }
        _ if known.removed.contains(&found.topic_id) => Owner::Deleted,
        _ if found.topic_id.is_nil() && !found.holds_records => Owner::Deleted,
        _ if found.topic_id.is_nil() => Owner::Unknown("it has no topic id".to_owned()),
        Some(same_name) if is_known => {
            let (theirs, ours) = (format_uuid(found.topic_id), format_uuid(same_name.id));
            Owner::Unknown(format!("it says that its topic has the id {theirs}, and {topic} has {ours}"))
        }
        _ => Owner::Unknown(format!("topic id {}", format_uuid(found.topic_id))),
    }
}

/// Whether `id` is what is left of `expected` in a damaged file: nothing, or all but one character. Two topics' ids, which
/// are random, are never that much alike.
fn is_damaged(id: Uuid, expected: Uuid) -> bool {
    let (text, expected) = (format_uuid(id), format_uuid(expected));
    let differing = text.bytes().zip(expected.bytes()).filter(|(one, other)| one != other).count();
    id.is_nil() || differing == 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::{PartitionImage, TopicRecord};

    const ID: Uuid = Uuid::from_u128(0x1234_5678_9abc_def0_1234_5678_9abc_def0);

    fn image() -> MetadataImage {
        let mut image = MetadataImage::default();
        let state = PartitionImage {
            replicas: vec![1],
            isr: vec![1],
            leader: 1,
            leader_epoch: 0,
            partition_epoch: 0,
            ..PartitionImage::default()
        };
        let topic = TopicRecord::Topic { name: "orders".into(), id: ID };
        let partitions = [1, 2].map(|replica| PartitionImage { replicas: vec![replica], ..state.clone() });
        let partitions = (0..).zip(partitions);
        let partitions = partitions.map(|(partition, state)| TopicRecord::Partition { topic_id: ID, partition, state });
        for record in std::iter::once(topic).chain(partitions) {
            image.replay(&record.into()).unwrap();
        }
        image
    }

    #[test]
    fn a_directory_is_a_topics_or_a_deleted_ones_or_nobodys() {
        let (image, deleted) = (image(), Uuid::from_u128(7));
        let (removed, other) = (HashSet::from([deleted]), Uuid::from_u128(8));
        let known = KnownTopics { image: &image, removed: &removed };
        let owner = |topic: &str, partition, topic_id, holds_records| {
            let topic_partition = TopicPartition::new(topic, partition);
            owner(&FoundLog { topic_partition, topic_id, holds_records }, known, 1)
        };
        assert_eq!(owner("orders", 0, ID, false), Owner::Topic);
        for bit in 0..128 {
            let flipped = Uuid::from_u128(ID.as_u128() ^ (1 << bit));
            assert_eq!(owner("orders", 0, flipped, false), Owner::TopicWithDamagedId, "{bit}");
        }
        assert_eq!(owner("orders", 0, Uuid::nil(), true), Owner::TopicWithDamagedId);
        assert_eq!(owner("orders", 1, ID, false), Owner::Deleted, "it is the other broker's");
        for name in ["orders", "gone"] {
            assert_eq!(owner(name, 0, deleted, false), Owner::Deleted);
        }
        assert_eq!(owner("gone", 0, Uuid::nil(), false), Owner::Deleted, "there is nothing in it");
        let unknown = |topic, partition, id, holds_records| match owner(topic, partition, id, holds_records) {
            Owner::Unknown(reason) => reason,
            owner => panic!("{owner:?}"),
        };
        assert_eq!(unknown("orders", 2, ID, false), "orders has 2 partitions");
        assert_eq!(unknown("gone", 0, Uuid::nil(), true), "it has no topic id");
        assert!(unknown("orders", 0, other, false).contains(&format_uuid(ID)));
        assert_eq!(unknown("gone", 0, other, false), format!("topic id {}", format_uuid(other)));
    }
}
