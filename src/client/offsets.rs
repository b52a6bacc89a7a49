//! Where partitions begin and end, and which offset has which timestamp (ListOffsets).

use std::collections::{BTreeMap, HashMap};

use kafka_protocol::messages::ListOffsetsRequest;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};

use super::metadata::wire_name;
use super::{ClientError, ClusterClient, To};
use crate::ids::{LeaderEpoch, NodeId, TopicName, TopicPartition};
use crate::protocol::ErrorCode;

/// In place of a timestamp: the log start offset.
pub const EARLIEST: i64 = -2;
/// In place of a timestamp: the end, which is the high watermark, or the last stable offset for `read_committed`.
pub const LATEST: i64 = -1;
/// In place of a timestamp: the offset of the record with the greatest timestamp (KIP-734).
pub const MAX_TIMESTAMP: i64 = -3;

/// An offset that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListedOffset {
    /// The offset; -1 where no record is that late.
    pub offset: i64,
    /// The timestamp of the record at the offset, in milliseconds since the Unix epoch; -1 for an end or a beginning.
    pub timestamp_ms: i64,
    /// The leader epoch of that record; -1 where it is not known.
    pub leader_epoch: LeaderEpoch,
}

/// What was asked, and what came of it.
type Listed = HashMap<TopicPartition, Result<ListedOffset, ErrorCode>>;

impl ClusterClient {
    /// The leaders of partitions; a partition without one, or that does not exist, comes with its error.
    pub async fn leaders(
        &mut self,
        partitions: &[TopicPartition],
    ) -> Result<HashMap<TopicPartition, Result<NodeId, ErrorCode>>, ClientError> {
        let mut names: Vec<TopicName> = partitions.iter().map(|one| TopicName::clone(&one.topic)).collect();
        names.sort();
        names.dedup();
        let topics: HashMap<_, _> = self.topics(&names).await?.into_iter().collect();
        let leader_of = |wanted: &TopicPartition| match topics.get(&wanted.topic) {
            Some(Ok(topic)) => (topic.partitions.iter().find(|partition| partition.index == wanted.partition))
                .ok_or(ErrorCode::UnknownTopicOrPartition)?
                .leader
                .ok_or(ErrorCode::LeaderNotAvailable),
            Some(Err(code)) => Err(*code),
            None => Err(ErrorCode::UnknownTopicOrPartition),
        };
        Ok(partitions.iter().map(|one| (one.clone(), leader_of(one))).collect())
    }

    /// The offsets of `wanted` partitions at timestamps in milliseconds, or at [`EARLIEST`], [`LATEST`] or
    /// [`MAX_TIMESTAMP`]. `read_committed` has [`LATEST`] stop before open transactions.
    ///
    /// What may be answered a moment later is asked again; what then is still refused comes with its code.
    pub async fn list_offsets(
        &mut self,
        wanted: &[(TopicPartition, i64)],
        read_committed: bool,
    ) -> Result<Listed, ClientError> {
        let mut listed = Listed::new();
        let retried = self
            .retry(async |client| {
                let open: Vec<_> =
                    wanted.iter().filter(|(one, _)| !matches!(listed.get(one), Some(Ok(_)))).cloned().collect();
                listed.extend(client.list_offsets_once(&open, read_committed).await?);
                match listed.values().find_map(|outcome| outcome.err().filter(ErrorCode::is_retriable)) {
                    Some(code) => Err(ClientError::Refused { code, message: None }),
                    None => Ok(()),
                }
            })
            .await;
        match retried {
            Ok(()) | Err(ClientError::Refused { .. }) => Ok(listed),
            Err(error) => Err(error),
        }
    }

    async fn list_offsets_once(
        &mut self,
        wanted: &[(TopicPartition, i64)],
        read_committed: bool,
    ) -> Result<Listed, ClientError> {
        let partitions: Vec<_> = wanted.iter().map(|(one, _)| one.clone()).collect();
        let leaders = self.leaders(&partitions).await?;
        let mut by_leader: BTreeMap<NodeId, Vec<&(TopicPartition, i64)>> = BTreeMap::new();
        let mut listed = Listed::new();
        for one in wanted {
            match leaders.get(&one.0) {
                Some(Ok(leader)) => by_leader.entry(*leader).or_default().push(one),
                Some(Err(code)) => drop(listed.insert(one.0.clone(), Err(*code))),
                None => {}
            }
        }
        for (leader, wanted) in by_leader {
            let response = self.ask(To::Broker(leader), &request(&wanted, read_committed)).await?;
            for topic in response.topics {
                for partition in topic.partitions {
                    let offset = ListedOffset {
                        offset: partition.offset,
                        timestamp_ms: partition.timestamp,
                        leader_epoch: partition.leader_epoch,
                    };
                    let outcome = ErrorCode::try_from_code(partition.error_code).map_or(Ok(offset), Err);
                    listed.insert(TopicPartition::new(topic.name.as_str(), partition.partition_index), outcome);
                }
            }
        }
        Ok(listed)
    }
}

fn request(wanted: &[&(TopicPartition, i64)], read_committed: bool) -> ListOffsetsRequest {
    let mut topics: BTreeMap<&TopicName, Vec<ListOffsetsPartition>> = BTreeMap::new();
    for (one, timestamp) in wanted {
        let partition = ListOffsetsPartition::default()
            .with_partition_index(one.partition)
            .with_current_leader_epoch(-1)
            .with_timestamp(*timestamp);
        topics.entry(&one.topic).or_default().push(partition);
    }
    let topics = topics
        .into_iter()
        .map(|(name, partitions)| ListOffsetsTopic::default().with_name(wire_name(name)).with_partitions(partitions));
    ListOffsetsRequest::default()
        .with_replica_id((-1).into())
        .with_isolation_level(i8::from(read_committed))
        .with_topics(topics.collect())
}
