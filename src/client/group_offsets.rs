//! The offsets that a group has committed: read, set and deleted (OffsetFetch, OffsetCommit, OffsetDelete).

use std::collections::BTreeMap;

use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use kafka_protocol::messages::{OffsetCommitRequest, OffsetDeleteRequest, OffsetFetchRequest};
use kafka_protocol::protocol::StrBytes;

use super::groups::wire_group;
use super::metadata::wire_name;
use super::{ClientError, ClusterClient};
use crate::ids::{LeaderEpoch, TopicName, TopicPartition};
use crate::protocol::ErrorCode;

/// Up to here OffsetFetch names one group (KIP-709), and OffsetCommit names topics (KIP-848).
const OFFSET_FETCH: i16 = 7;
const OFFSET_COMMIT: i16 = 9;

/// An offset that a group has committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The offset of the next record to be read.
    pub offset: i64,
    /// The leader epoch of the last record that was read, where the consumer told.
    pub leader_epoch: Option<LeaderEpoch>,
    /// The consumer's own note.
    pub metadata: String,
}

/// What came of a change, for each partition.
pub type OffsetOutcomes = BTreeMap<TopicPartition, Result<(), ErrorCode>>;

impl ClusterClient {
    /// All offsets that a group has committed. Partitions that we may not ask about, or whose topic is gone, are left
    /// out, as by Kafka's admin client.
    pub async fn committed_offsets(
        &mut self,
        group_id: &str,
    ) -> Result<BTreeMap<TopicPartition, CommittedOffset>, ClientError> {
        let request = OffsetFetchRequest::default().with_group_id(wire_group(group_id)).with_topics(None);
        let fetched = self.ask_coordinator(group_id, OFFSET_FETCH, &request, |response| {
            ClientError::check(response.error_code, None)?;
            let mut offsets = BTreeMap::new();
            for topic in response.topics {
                for partition in topic.partitions {
                    if partition.error_code == ErrorCode::UnstableOffsetCommit.code() {
                        ClientError::check(partition.error_code, None)?;
                    }
                    if partition.error_code != 0 || partition.committed_offset < 0 {
                        continue;
                    }
                    let committed = CommittedOffset {
                        offset: partition.committed_offset,
                        leader_epoch: Some(partition.committed_leader_epoch).filter(|epoch| *epoch >= 0),
                        metadata: partition.metadata.map(|text| text.to_string()).unwrap_or_default(),
                    };
                    offsets.insert(TopicPartition::new(topic.name.as_str(), partition.partition_index), committed);
                }
            }
            Ok(offsets)
        });
        Ok(fetched.await?.1)
    }

    /// Sets offsets of a group, as somebody who is no member: a coordinator refuses each with `UnknownMemberId` while
    /// the group has members. A group that does not exist comes into being.
    pub async fn alter_offsets(
        &mut self,
        group_id: &str,
        offsets: &BTreeMap<TopicPartition, i64>,
    ) -> Result<OffsetOutcomes, ClientError> {
        let topics = by_topic(offsets.iter(), |(one, offset)| {
            OffsetCommitRequestPartition::default()
                .with_partition_index(one.partition)
                .with_committed_offset(*offset)
                .with_committed_metadata(Some(StrBytes::default()))
        });
        let topic = |(name, partitions): (&TopicName, _)| {
            OffsetCommitRequestTopic::default().with_name(wire_name(name)).with_partitions(partitions)
        };
        let request = OffsetCommitRequest::default()
            .with_group_id(wire_group(group_id))
            .with_topics(topics.into_iter().map(topic).collect());
        let committed = self.ask_coordinator(group_id, OFFSET_COMMIT, &request, |response| {
            let partitions = response.topics.iter().flat_map(|topic| {
                topic.partitions.iter().map(|one| (topic.name.as_str(), one.partition_index, one.error_code))
            });
            outcomes(partitions)
        });
        Ok(committed.await?.1)
    }

    /// Forgets offsets of a group (KIP-496).
    pub async fn delete_offsets(
        &mut self,
        group_id: &str,
        partitions: &[TopicPartition],
    ) -> Result<OffsetOutcomes, ClientError> {
        let topics = by_topic(partitions.iter().map(|one| (one, ())), |(one, ())| {
            OffsetDeleteRequestPartition::default().with_partition_index(one.partition)
        });
        let topic = |(name, partitions): (&TopicName, _)| {
            OffsetDeleteRequestTopic::default().with_name(wire_name(name)).with_partitions(partitions)
        };
        let request = OffsetDeleteRequest::default()
            .with_group_id(wire_group(group_id))
            .with_topics(topics.into_iter().map(topic).collect());
        let deleted = self.ask_coordinator(group_id, i16::MAX, &request, |response| {
            ClientError::check(response.error_code, None)?;
            let partitions = response.topics.iter().flat_map(|topic| {
                topic.partitions.iter().map(|one| (topic.name.as_str(), one.partition_index, one.error_code))
            });
            outcomes(partitions)
        });
        Ok(deleted.await?.1)
    }
}

/// What `make` makes of each partition, by topic.
fn by_topic<'a, T, P>(
    partitions: impl Iterator<Item = (&'a TopicPartition, T)>,
    make: impl Fn((&'a TopicPartition, T)) -> P,
) -> BTreeMap<&'a TopicName, Vec<P>> {
    let mut topics: BTreeMap<_, Vec<P>> = BTreeMap::new();
    for (one, value) in partitions {
        topics.entry(&one.topic).or_default().push(make((one, value)));
    }
    topics
}

/// The outcome of each partition, unless one says that the coordinator is another broker or not ready.
fn outcomes<'a>(partitions: impl Iterator<Item = (&'a str, i32, i16)>) -> Result<OffsetOutcomes, ClientError> {
    let mut outcomes = BTreeMap::new();
    for (topic, partition, code) in partitions {
        let outcome = ErrorCode::try_from_code(code).map_or(Ok(()), Err);
        if let Err(
            ErrorCode::CoordinatorLoadInProgress
            | ErrorCode::CoordinatorNotAvailable
            | ErrorCode::NotCoordinator
            | ErrorCode::RebalanceInProgress,
        ) = outcome
        {
            ClientError::check(code, None)?;
        }
        outcomes.insert(TopicPartition::new(topic, partition), outcome);
    }
    Ok(outcomes)
}
