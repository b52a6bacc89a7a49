//! ListOffsets (key 2): offsets by time.
//!
//! Negative timestamps are questions of their own: -1 latest, -2 earliest, -3 the record with the greatest timestamp
//! (KIP-734), -4 earliest local and -5 latest tiered (KIP-405).

use std::collections::HashSet;
use std::mem;

use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use kafka_protocol::messages::{ListOffsetsRequest, ListOffsetsResponse};

use super::repeated::repeated;
use super::{ApiError, Reply, RequestContext};
use crate::broker::Broker;
use crate::ids::LeaderEpoch;
use crate::protocol::ErrorCode;
use crate::replication::hosted_partition::TimestampQuery;
use crate::security::{Operation, Resource};

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;

/// The first version that knows the leader epoch (KIP-320).
const FIRST_VERSION_WITH_EPOCH: i16 = 4;

/// The first version whose clients know `OFFSET_NOT_AVAILABLE`.
const FIRST_VERSION_WITH_NOT_AVAILABLE: i16 = 5;

/// The oldest version in which each question may be asked.
const QUESTIONS: [(i64, i16); 5] =
    [(LATEST, 1), (EARLIEST, 1), (MAX_TIMESTAMP, 7), (EARLIEST_LOCAL, 8), (LATEST_TIERED, 9)];

/// A record's timestamp (-1 where it does not matter), its offset, and its leader epoch.
type FoundOffset = (i64, i64, LeaderEpoch);

/// Serves one request.
pub async fn handle(
    broker: &Broker,
    context: &RequestContext,
    request: ListOffsetsRequest,
) -> Result<Reply<ListOffsetsResponse>, ApiError> {
    let read_committed = request.isolation_level == 1;
    let is_replica = request.replica_id.0 >= 0;
    let duplicates = duplicates(&request.topics);
    let mut refused = HashSet::new();
    let mut ends = Vec::new();
    let topics = request.topics.iter().map(|topic| {
        let allowed = context.authorize(Operation::Describe, Resource::topic(&topic.name));
        let partitions = topic.partitions.iter().filter_map(|partition| {
            let index = partition.partition_index;
            let named = (topic.name.as_str(), index);
            let found = if let Err(denied) = allowed {
                Err(denied)
            } else if duplicates.contains(&named) {
                refused.insert(named).then_some(Err(ErrorCode::InvalidRequest))?
            } else {
                find(broker, context.api_version, &topic.name, partition, read_committed, is_replica)
            };
            if partition.timestamp == LATEST && found.is_ok() {
                ends.push(index);
            }
            Some(answer(context.api_version, index, found))
        });
        let topic_answer =
            ListOffsetsTopicResponse::default().with_name(topic.name.clone()).with_partitions(partitions.collect());
        note_ends(broker, context, &topic.name, &mem::take(&mut ends));
        topic_answer
    });
    let topics = topics.filter(|topic| !topic.partitions.is_empty());
    Ok(Reply::Ready(ListOffsetsResponse::default().with_topics(topics.collect())))
}

/// Has it noticed if this client begins at the end of these partitions although its group has read nothing.
fn note_ends(broker: &Broker, context: &RequestContext, topic: &str, partitions: &[i32]) {
    if partitions.is_empty() {
        return;
    }
    let Some(found) = broker.hints.asked_for_ends(&context.client_identity(), topic, partitions) else { return };
    let records = |partition: &i32| {
        let offsets = broker.replicas.partition(topic, *partition).ok()?.offsets(-1).ok()?;
        u64::try_from(offsets.high_watermark - offsets.log_start_offset).ok()
    };
    let skipped = found.partitions.iter().filter_map(records).sum();
    broker.hints.skips(&found, skipped, context.software_name());
}

/// The partitions that are named more than once; Kafka refuses each of them, once.
fn duplicates(topics: &[ListOffsetsTopic]) -> HashSet<(&str, i32)> {
    repeated(
        topics.iter().flat_map(|topic| {
            topic.partitions.iter().map(|partition| (topic.name.as_str(), partition.partition_index))
        }),
    )
}

fn find(
    broker: &Broker,
    version: i16,
    topic: &str,
    asked: &ListOffsetsPartition,
    read_committed: bool,
    is_replica: bool,
) -> Result<Option<FoundOffset>, ErrorCode> {
    let is_known = asked.timestamp >= 0
        || QUESTIONS.iter().any(|&(timestamp, first)| timestamp == asked.timestamp && version >= first);
    if !is_known {
        return Err(ErrorCode::UnsupportedVersion);
    }
    let hosted = broker.replicas.partition(topic, asked.partition_index)?;
    let offsets = hosted.offsets(asked.current_leader_epoch)?;
    let unsettled = (!is_replica && !offsets.are_settled).then(|| not_available(version));
    let query = match asked.timestamp {
        LATEST if is_replica => return Ok(Some((-1, offsets.log_end_offset, offsets.leader_epoch))),
        LATEST => {
            unsettled.map_or(Ok(()), Err)?;
            let end = if read_committed { offsets.last_stable_offset } else { offsets.high_watermark };
            return Ok(Some((-1, end, offsets.leader_epoch)));
        }
        EARLIEST | EARLIEST_LOCAL => {
            let start = offsets.log_start_offset;
            return Ok(Some((-1, start, hosted.epoch_of(start).unwrap_or(-1))));
        }
        // Nothing is ever tiered.
        LATEST_TIERED => return Ok(None),
        MAX_TIMESTAMP => TimestampQuery::Max,
        timestamp => TimestampQuery::At(timestamp),
    };
    let found = hosted.offset_for_timestamp(query, asked.current_leader_epoch, read_committed)?;
    // What is found below the high watermark is the same in every leadership.
    if let (None, Some(code)) = (&found, unsettled) {
        return Err(code);
    }
    Ok(found.map(|found| (found.timestamp, found.offset, found.leader_epoch.unwrap_or(-1))))
}

/// What a client is told while a new leader does not know yet how far its predecessor had committed (KIP-207): it asks again.
fn not_available(version: i16) -> ErrorCode {
    if version >= FIRST_VERSION_WITH_NOT_AVAILABLE {
        ErrorCode::OffsetNotAvailable
    } else {
        ErrorCode::LeaderNotAvailable
    }
}

fn answer(version: i16, index: i32, found: Result<Option<FoundOffset>, ErrorCode>) -> ListOffsetsPartitionResponse {
    let response = ListOffsetsPartitionResponse::default().with_partition_index(index);
    let (timestamp, offset, leader_epoch) = match found {
        Ok(found) => found.unwrap_or((-1, -1, -1)),
        Err(code) => return response.with_error_code(code.code()).with_timestamp(-1).with_offset(-1),
    };
    let response = response.with_timestamp(timestamp).with_offset(offset);
    if version >= FIRST_VERSION_WITH_EPOCH { response.with_leader_epoch(leader_epoch) } else { response }
}
