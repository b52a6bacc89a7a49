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

use super::leader_endpoints::LeaderEndpoints;
use super::{ApiError, Reply, RequestContext};
use crate::broker::Broker;
use crate::broker::quotas::Meter;
use crate::metadata::MetadataImage;
use crate::protocol::ErrorCode;
use crate::protocol::fetch_response::FetchAnswer;
use crate::quota::QuotaType;
use crate::replication::fetch_session::{
    ContextPartition, FetchContext, PartitionFetch, PartitionRef, SessionRequest, TopicRef,
};
use crate::security::{Operation, Resource};
use answer::CurrentLeaders;
use long_poll::{LongPoll, Replica, Target};

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
    let image = broker.image();
    let now = broker.clock.monotonic();
    let session = {
        let topic_name = |id| image.topic_by_id(id).map(|topic| topic.name.clone());
        broker.lock_fetch_sessions().begin(session_request(&request, context.api_version), topic_name, now)
    };
    let mut session = match session {
        Ok(session) => session,
        Err(code) => return Ok(Reply::Ready(FetchResponse::default().with_error_code(code.code()).into())),
    };
    let replica = replica(&request, context.api_version);
    let is_replica = replica.is_some();
    let may_read = |topic: &str| {
        if is_replica {
            let allowed = context.authorize(Operation::ClusterAction, Resource::CLUSTER);
            allowed.map_err(|_| ErrorCode::TopicAuthorizationFailed)
        } else {
            context.authorize(Operation::Read, Resource::topic(topic))
        }
    };
    let targets = resolve_all(&mut session, &image, may_read);
    let meter = context.meter(&broker.quotas, QuotaType::Fetch).filter(|_| !is_replica);
    let within_quota = meter.as_ref().and_then(Meter::largest_at_once).map_or(i32::MAX, |bytes| bytes as i32);
    let max_bytes = request.max_bytes.min(broker.config.load().broker.fetch_max_bytes).min(within_quota).max(0);
    let poll = LongPoll {
        replicas: Arc::clone(&broker.replicas),
        sessions: Arc::clone(&broker.fetch_sessions),
        clock: broker.clock.clone(),
        asked_at: now,
        leaders: CurrentLeaders {
            metadata: Arc::clone(&broker.metadata),
            endpoints: LeaderEndpoints::new(broker, context),
        },
        api_version: context.api_version,
        targets,
        session,
        replica,
        meter,
        work: context.work.clone(),
        read_committed: request.isolation_level == READ_COMMITTED,
        max_bytes: usize::try_from(max_bytes).unwrap_or(0),
        min_bytes: usize::try_from(request.min_bytes.min(max_bytes)).unwrap_or(0),
        max_wait: Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0)),
    };
    if let Some(response) = poll.answer_now() {
        return Ok(Reply::Ready(response));
    }
    poll.handler_is_done();
    Ok(Reply::owed(poll.answer_later()))
}

/// Which follower fetches, if it is one.
fn replica(request: &FetchRequest, version: i16) -> Option<Replica> {
    let replica = if version >= FIRST_VERSION_WITH_REPLICA_STATE {
        Replica { id: request.replica_state.replica_id.0, broker_epoch: request.replica_state.replica_epoch }
    } else {
        Replica { id: request.replica_id.0, broker_epoch: -1 }
    };
    (replica.id >= 0).then_some(replica)
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
        // As in Kafka's FetchRequest, and only there, any negative epoch is none.
        let fetch = PartitionFetch {
            fetch_offset: partition.fetch_offset,
            max_bytes: partition.partition_max_bytes,
            current_leader_epoch: partition.current_leader_epoch.max(-1),
            last_fetched_epoch: partition.last_fetched_epoch.max(-1),
            log_start_offset: partition.log_start_offset,
        };
        (PartitionRef { topic: topic_ref.clone(), partition: partition.partition }, fetch)
    })
}

fn forgotten(topic: &ForgottenTopic, uses_topic_ids: bool) -> impl Iterator<Item = PartitionRef> + '_ {
    let topic_ref =
        if uses_topic_ids { TopicRef::Id(topic.topic_id) } else { TopicRef::Name(topic.topic.as_str().into()) };
    topic.partitions.iter().map(move |&partition| PartitionRef { topic: topic_ref.clone(), partition })
}

/// Where each partition is to be read. As in Kafka, those that the metadata does not know come last in the answer.
fn resolve_all(
    session: &mut FetchContext,
    image: &MetadataImage,
    may_read: impl Fn(&str) -> Result<(), ErrorCode>,
) -> Vec<Target> {
    let target = |partition| resolve(partition, image, &may_read).unwrap_or_else(Target::Unknown);
    let targets: Vec<Target> = session.partitions.iter().map(target).collect();
    if !targets.iter().any(Target::is_unknown) {
        return targets;
    }
    let partitions = std::mem::take(&mut session.partitions).into_iter().zip(targets);
    let (unknown, known): (Vec<_>, Vec<_>) = partitions.partition(|(_, target)| target.is_unknown());
    let (partitions, targets) = known.into_iter().chain(unknown).unzip();
    session.partitions = partitions;
    targets
}

/// A topic whose id is gone is looked for by the name that the session knows: what bears it now is another topic, which
/// its log will say.
fn resolve(
    partition: &ContextPartition,
    image: &MetadataImage,
    may_read: impl Fn(&str) -> Result<(), ErrorCode>,
) -> Result<Target, ErrorCode> {
    let ContextPartition { key, topic_name, .. } = partition;
    let (topic, id) = match &key.topic {
        TopicRef::Name(name) => {
            may_read(name)?;
            (image.topic(name), None)
        }
        TopicRef::Id(id) => {
            let topic = image.topic_by_id(*id);
            let name = topic.map(|topic| &topic.name).or(topic_name.as_ref()).ok_or(ErrorCode::UnknownTopicId)?;
            may_read(name)?;
            (topic.or_else(|| image.topic(name)), Some(*id))
        }
    };
    match topic {
        Some(topic) if topic.partition(key.partition).is_some() => {
            Ok(Target::Log { name: topic.name.clone(), id: id.unwrap_or(topic.id) })
        }
        _ => Err(ErrorCode::UnknownTopicOrPartition),
    }
}
