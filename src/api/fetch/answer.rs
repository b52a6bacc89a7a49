//! The shape of a Fetch answer at every version.

use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::messages::fetch_response::{
    AbortedTransaction, EpochEndOffset, FetchableTopicResponse, LeaderIdAndEpoch, NodeEndpoint, PartitionData,
};
use kafka_protocol::messages::{BrokerId, FetchResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::super::leader_endpoints::LeaderEndpoints;
use crate::ids::NO_TOPIC_ID;
use crate::protocol::ErrorCode;
use crate::protocol::fetch_response::FetchAnswer;
use crate::protocol::frame::Piece;
use crate::quorum::MetadataQuorum;
use crate::replication::fetch_session::{FetchOutcome, PartitionRef, TopicRef};
use crate::replication::hosted_partition::ReadResult;

/// The newest version whose clients do not know `KAFKA_STORAGE_ERROR`.
const LAST_VERSION_WITHOUT_STORAGE_ERROR: i16 = 5;
/// The first version that names the current leader beside an error (KIP-951).
const FIRST_VERSION_WITH_LEADER: i16 = 16;

/// Who leads partitions that were asked for in vain, at the time of the answer (KIP-951).
pub(super) struct CurrentLeaders {
    pub(super) metadata: Arc<MetadataQuorum>,
    pub(super) endpoints: LeaderEndpoints,
}

impl CurrentLeaders {
    fn current(&self, key: &PartitionRef) -> LeaderIdAndEpoch {
        let image = self.metadata.image();
        let topic = match &key.topic {
            TopicRef::Name(name) => image.topic(name),
            TopicRef::Id(id) => image.topic_by_id(*id),
        };
        let partition = topic.and_then(|topic| topic.partition(key.partition));
        partition.map_or_else(LeaderIdAndEpoch::default, |partition| {
            LeaderIdAndEpoch::default()
                .with_leader_id(BrokerId(partition.leader))
                .with_leader_epoch(partition.leader_epoch)
        })
    }

    /// Where those are that the answer names.
    fn endpoints(&self, response: &FetchResponse) -> Vec<NodeEndpoint> {
        let partitions = response.responses.iter().flat_map(|topic| &topic.partitions);
        let mut leaders =
            partitions.map(|partition| partition.current_leader.leader_id).filter(|id| id.0 >= 0).peekable();
        if leaders.peek().is_none() {
            return Vec::new();
        }
        self.endpoints.of(&self.metadata.image(), leaders)
    }
}

/// What a read found, and its records, ready to be sent.
pub(super) struct Loaded {
    pub(super) read: ReadResult,
    pub(super) records: Piece,
}

/// What the session remembers of a partition's answer.
pub(super) fn outcome(loaded: &Result<Loaded, ErrorCode>) -> FetchOutcome {
    match loaded {
        Ok(Loaded { read, records }) => FetchOutcome {
            high_watermark: read.high_watermark,
            log_start_offset: read.log_start_offset,
            has_news: !records.is_empty() || read.diverging.is_some(),
            has_records: !records.is_empty(),
        },
        Err(_) => FetchOutcome { high_watermark: -1, log_start_offset: -1, has_news: true, has_records: false },
    }
}

/// The answer for `partitions`; neighbours of one topic are put together.
pub(super) fn answer<'a>(
    partitions: impl Iterator<Item = (&'a PartitionRef, Result<Loaded, ErrorCode>)>,
    version: i16,
    read_committed: bool,
    leaders: &CurrentLeaders,
) -> FetchAnswer {
    let mut topics: Vec<(&TopicRef, Vec<PartitionData>)> = Vec::new();
    let mut from_files = Vec::new();
    for (key, loaded) in partitions {
        let data = match loaded {
            Ok(Loaded { read, records }) => {
                let (in_memory, in_file) = match records {
                    Piece::Bytes(bytes) => (bytes, None),
                    Piece::File(range) => (Bytes::new(), Some(range)),
                };
                from_files.push(in_file);
                partition_data(key.partition, &read, in_memory, read_committed)
            }
            Err(code) => {
                from_files.push(None);
                partition_error(key, code, version, leaders)
            }
        };
        match topics.last_mut() {
            Some((topic, data_of_topic)) if *topic == &key.topic => data_of_topic.push(data),
            _ => topics.push((&key.topic, vec![data])),
        }
    }
    let topics = topics.into_iter().map(|(topic, data)| topic_response(topic).with_partitions(data));
    let mut response = FetchResponse::default().with_responses(topics.collect());
    response.node_endpoints = leaders.endpoints(&response);
    FetchAnswer { response, from_files }
}

fn topic_response(topic: &TopicRef) -> FetchableTopicResponse {
    let (name, id) = match topic {
        TopicRef::Name(name) => (TopicName(StrBytes::from_string(name.to_string())), NO_TOPIC_ID),
        TopicRef::Id(id) => (TopicName::default(), *id),
    };
    FetchableTopicResponse::default().with_topic(name).with_topic_id(id)
}

fn partition_data(index: i32, read: &ReadResult, records: Bytes, read_committed: bool) -> PartitionData {
    let mut data = PartitionData::default()
        .with_partition_index(index)
        .with_high_watermark(read.high_watermark)
        .with_last_stable_offset(read.last_stable_offset)
        .with_log_start_offset(read.log_start_offset)
        .with_aborted_transactions(read_committed.then(|| aborted(read)))
        .with_records(Some(records));
    if let Some((epoch, end_offset)) = read.diverging {
        data.diverging_epoch = EpochEndOffset::default().with_epoch(epoch).with_end_offset(end_offset);
    }
    data
}

fn aborted(read: &ReadResult) -> Vec<AbortedTransaction> {
    let told = read.aborted_transactions.iter().map(|transaction| {
        AbortedTransaction::default()
            .with_producer_id(transaction.producer_id.into())
            .with_first_offset(transaction.first_offset)
    });
    told.collect()
}

fn partition_error(key: &PartitionRef, code: ErrorCode, version: i16, leaders: &CurrentLeaders) -> PartitionData {
    let told = match code {
        ErrorCode::KafkaStorageError if version <= LAST_VERSION_WITHOUT_STORAGE_ERROR => ErrorCode::NotLeaderOrFollower,
        code => code,
    };
    let mut data = PartitionData::default()
        .with_partition_index(key.partition)
        .with_error_code(told.code())
        .with_high_watermark(-1)
        .with_last_stable_offset(-1)
        .with_log_start_offset(-1)
        .with_records(Some(Bytes::new()));
    let is_asked_of_log = !matches!(
        code,
        ErrorCode::UnknownTopicOrPartition | ErrorCode::UnknownTopicId | ErrorCode::TopicAuthorizationFailed
    );
    if is_asked_of_log {
        // As in Kafka, where the log says "none" and the metadata says nothing.
        data.aborted_transactions = None;
    }
    let moved = matches!(code, ErrorCode::NotLeaderOrFollower | ErrorCode::FencedLeaderEpoch);
    if moved && version >= FIRST_VERSION_WITH_LEADER {
        data.current_leader = leaders.current(key);
    }
    data
}
