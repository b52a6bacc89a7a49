//! Fetch (key 1): records from many partitions, at once or when enough of them have come.
//!
//! Versions 4 to 18. A request names its partitions by topic name, from v13 on by topic id, and from v7 on may leave
//! out what its session already knows. What can be answered from the page cache is answered inline; a long poll, or a
//! read that would wait for the disk, is owed.

mod answer;
mod long_poll;

use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;
use kafka_protocol::messages::fetch_request::{FetchTopic, ForgottenTopic};
use kafka_protocol::messages::{FetchRequest, FetchResponse};

use super::{ApiError, Reply, RequestContext};
use crate::broker::Broker;
use crate::ids::NodeId;
use crate::metadata::{MetadataImage, TopicImage};
use crate::protocol::ErrorCode;
use crate::protocol::fetch_response::FetchAnswer;
use crate::replication::fetch_session::{FetchContext, PartitionFetch, PartitionRef, SessionRequest, TopicRef};
use long_poll::{LongPoll, Target};

/// The first version with sessions (KIP-227).
const FIRST_VERSION_WITH_SESSIONS: i16 = 7;
/// The first version that names topics by id (KIP-516).
const FIRST_VERSION_WITH_TOPIC_IDS: i16 = 13;
/// The first version that names a fetching replica in a tagged field (KIP-903).
const FIRST_VERSION_WITH_REPLICA_STATE: i16 = 15;
/// The `isolation_level` that stops at the last stable offset.
const READ_COMMITTED: i8 = 1;

/// Serves one request.
pub async fn handle(
    broker: &Broker,
    context: &RequestContext,
    request: FetchRequest,
) -> Result<Reply<FetchAnswer>, ApiError> {
    let session = {
        let now = broker.clock.monotonic();
        broker.lock_fetch_sessions().begin(session_request(&request, context.api_version), now)
    };
    let session = match session {
        Ok(session) => session,
        Err(code) => return Ok(Reply::Ready(FetchResponse::default().with_error_code(code.code()).into())),
    };
    let max_bytes = request.max_bytes.min(broker.config.broker.fetch_max_bytes).max(0);
    let poll = LongPoll {
        replicas: Arc::clone(&broker.replicas),
        sessions: Arc::clone(&broker.fetch_sessions),
        clock: broker.clock.clone(),
        image: broker.image(),
        api_version: context.api_version,
        targets: targets(broker, &session, replica_id(&request, context.api_version)),
        session,
        read_committed: request.isolation_level == READ_COMMITTED,
        max_bytes: usize::try_from(max_bytes).unwrap_or(0),
        min_bytes: usize::try_from(request.min_bytes.min(max_bytes)).unwrap_or(0),
        max_wait: Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0)),
    };
    Ok(match poll.answer_now() {
        Some(response) => Reply::Ready(response),
        None => Reply::owed(poll.answer_later()),
    })
}

/// The node id of a fetching replica; negative for a consumer.
fn replica_id(request: &FetchRequest, version: i16) -> NodeId {
    if version >= FIRST_VERSION_WITH_REPLICA_STATE { request.replica_state.replica_id.0 } else { request.replica_id.0 }
}

fn session_request(request: &FetchRequest, version: i16) -> SessionRequest {
    let uses_topic_ids = version >= FIRST_VERSION_WITH_TOPIC_IDS;
    let (session_id, epoch) =
        if version >= FIRST_VERSION_WITH_SESSIONS { (request.session_id, request.session_epoch) } else { (0, -1) };
    // A partition that is named twice counts once, as it was named last.
    let partitions: IndexMap<PartitionRef, PartitionFetch> =
        request.topics.iter().flat_map(|topic| partition_fetches(topic, uses_topic_ids)).collect();
    SessionRequest {
        session_id,
        epoch,
        partitions: partitions.into_iter().collect(),
        forgotten: request.forgotten_topics_data.iter().flat_map(|topic| forgotten(topic, uses_topic_ids)).collect(),
        uses_topic_ids,
    }
}

fn partition_fetches(
    topic: &FetchTopic,
    uses_topic_ids: bool,
) -> impl Iterator<Item = (PartitionRef, PartitionFetch)> + '_ {
    let topic_ref =
        if uses_topic_ids { TopicRef::Id(topic.topic_id) } else { TopicRef::Name(topic.topic.as_str().into()) };
    topic.partitions.iter().map(move |partition| {
        let fetch = PartitionFetch {
            fetch_offset: partition.fetch_offset,
            max_bytes: partition.partition_max_bytes,
            current_leader_epoch: partition.current_leader_epoch,
            last_fetched_epoch: partition.last_fetched_epoch,
        };
        (PartitionRef { topic: topic_ref.clone(), partition: partition.partition }, fetch)
    })
}

fn forgotten(topic: &ForgottenTopic, uses_topic_ids: bool) -> impl Iterator<Item = PartitionRef> + '_ {
    let topic_ref =
        if uses_topic_ids { TopicRef::Id(topic.topic_id) } else { TopicRef::Name(topic.topic.as_str().into()) };
    topic.partitions.iter().map(move |&partition| PartitionRef { topic: topic_ref.clone(), partition })
}

fn targets(broker: &Broker, session: &FetchContext, replica_id: NodeId) -> Vec<Target> {
    let image = broker.image();
    let resolve = |topic: &TopicRef| {
        if replica_id >= 0 {
            // No other broker replicates from this one yet, so whoever says so is no replica.
            return Err(ErrorCode::NotLeaderOrFollower);
        }
        resolve(&image, topic)
    };
    session
        .partitions
        .iter()
        .map(|(key, fetch)| Target { topic: resolve(&key.topic), partition: key.partition, fetch: *fetch })
        .collect()
}

/// Whatever the topic's `compression.type`: Kafka has not looked at it since 4.0, so that a client below version 10 is
/// given zstd too.
fn resolve(image: &MetadataImage, topic: &TopicRef) -> Result<Arc<TopicImage>, ErrorCode> {
    let known = match topic {
        TopicRef::Name(name) => image.topic(name).ok_or(ErrorCode::UnknownTopicOrPartition),
        TopicRef::Id(id) => image.topic_by_id(*id).ok_or(ErrorCode::UnknownTopicId),
    };
    known.cloned()
}
