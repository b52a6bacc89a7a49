//! Produce (key 0): appends one record batch per partition.
//!
//! The append itself is the ordered part; the answer is owed only where replicas or the disk must confirm first. An
//! error never leaves as `UNKNOWN_SERVER_ERROR`, which makes Java producers write duplicates (KAFKA-14034).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::{
    BatchIndexAndErrorMessage, LeaderIdAndEpoch, PartitionProduceResponse, TopicProduceResponse,
};
use kafka_protocol::messages::{BrokerId, ProduceRequest, ProduceResponse, TransactionalId};
use kafka_protocol::protocol::StrBytes;

use super::deadline::Deadline;
use super::error::{AppendFailure, append_failure};
use super::leader_endpoints::LeaderEndpoints;
use super::owned::owned;
use super::throttle_time::ThrottleTime;
use super::{ApiError, Reply, RequestContext};
use crate::broker::Broker;
use crate::broker::transaction_verification::{
    TransactionSupportedOperation, UnverifiedBatch, Verified, WritingProducer,
};
use crate::clock::Clock;
use crate::ids::{ProducerIdAndEpoch, TopicPartition, is_internal_topic};
use crate::metadata::{MetadataImage, TopicImage};
use crate::protocol::ErrorCode;
use crate::protocol::compression::Compression;
use crate::protocol::record_batch::{BatchHeader, batches};
use crate::quota::QuotaType;
use crate::replication::hosted_partition::{AppendRequest, Appended, HostedPartition};
use crate::replication::partition::RequiredAcks;
use crate::security::{Operation, Resource};
use crate::storage::RecordError;

/// The first version that names topics by id (KIP-516).
const FIRST_VERSION_WITH_TOPIC_IDS: i16 = 13;
/// The first version whose answer carries the error's message and the records at fault (KIP-467).
const FIRST_VERSION_WITH_MESSAGES: i16 = 8;
/// The first version whose answer names the current leader (KIP-951).
const FIRST_VERSION_WITH_LEADER: i16 = 10;
/// The first version that may carry zstd (KIP-110).
const FIRST_VERSION_WITH_ZSTD: i16 = 7;
/// The first version whose clients know `TRANSACTION_ABORTABLE` (KIP-890).
const FIRST_VERSION_WITH_ABORTABLE: i16 = 11;
/// The first version whose clients leave it to the leader to add a partition to their transaction (KIP-890).
const FIRST_VERSION_THAT_ADDS_PARTITIONS: i16 = 12;
/// The client id with which Kafka's tools may write to internal topics.
const ADMIN_CLIENT_ID: &str = "__admin_client";

/// Serves one request.
pub async fn handle(
    broker: &Broker,
    context: &RequestContext,
    request: ProduceRequest,
) -> Result<Reply<ProduceResponse>, ApiError> {
    let acks = match RequiredAcks::try_from(request.acks) {
        Ok(acks) => acks,
        Err(code) => return Ok(Reply::Ready(refuse_all(request.topic_data, code))),
    };
    let topic_data = last_of_each_partition(request.topic_data);
    let mut appender =
        Appender { broker, context, image: broker.image(), acks, verified: HashMap::new(), pending: Vec::new() };
    if topic_data.iter().flat_map(|topic| &topic.partition_data).any(is_transactional)
        && let Err(code) = appender.verify(request.transactional_id.as_ref(), &topic_data).await
    {
        return match acks {
            RequiredAcks::None => Err(ApiError::close("a Produce with acks=0 failed")),
            _ => Ok(Reply::Ready(refuse_all(topic_data, code))),
        };
    }
    let topics = topic_data.into_iter().enumerate().map(|(index, topic)| appender.append_topic(index, topic));
    let mut response = ProduceResponse::default().with_responses(topics.collect());
    let leaders = response.responses.iter().flat_map(|topic| &topic.partition_responses);
    let mut leaders = leaders.map(|partition| partition.current_leader.leader_id).filter(|id| id.0 >= 0).peekable();
    if leaders.peek().is_some() {
        response.node_endpoints = LeaderEndpoints::new(broker, context).of(&appender.image, leaders);
    }
    let pending = appender.pending;
    // Recorded before replicas and disk have confirmed, so that a client that sends on meanwhile is muted at once.
    let meter = context.meter(&broker.quotas, QuotaType::Produce);
    let throttle_time = meter.map_or(Duration::ZERO, |meter| meter.record(context.request_size as f64));
    response.set_throttle_time(throttle_time);
    match acks {
        // The producer expects no answer; a closed connection is all that it can learn an error from.
        RequiredAcks::None if has_error(&response) => Err(ApiError::close("a Produce with acks=0 failed")),
        RequiredAcks::None => Ok(Reply::None(throttle_time)),
        _ if pending.is_empty() => Ok(Reply::Ready(response)),
        _ => {
            let deadline = Deadline::new(&broker.clock, request.timeout_ms);
            Ok(Reply::owed(confirm(response, pending, acks, deadline, broker.clock.clone())))
        }
    }
}

/// An append whose confirmation is still awaited, and the place of its answer.
struct PendingAppend {
    topic: usize,
    partition: usize,
    hosted: Arc<HostedPartition>,
    appended: Appended,
}

struct Appender<'a> {
    broker: &'a Broker,
    context: &'a RequestContext,
    image: Arc<MetadataImage>,
    acks: RequiredAcks,
    /// What was found out of the transactional batches before anything is appended; empty without any.
    verified: HashMap<TopicPartition, Verified>,
    pending: Vec<PendingAppend>,
}

impl Appender<'_> {
    /// Asks the transaction's coordinator about the partitions in which the transaction is not known to be open. The
    /// connection's next request waits meanwhile, so that its appends keep their order.
    ///
    /// Errors: what refuses the whole request.
    async fn verify(
        &mut self,
        transactional_id: Option<&TransactionalId>,
        topics: &[TopicProduceData],
    ) -> Result<(), ErrorCode> {
        let transactional_id = transactional_id.ok_or(ErrorCode::TransactionalIdAuthorizationFailed)?;
        self.context.authorize(Operation::Write, Resource::transactional_id(transactional_id))?;
        let (producers, batches): (Vec<_>, Vec<_>) = self.transactional_batches(topics).into_iter().unzip();
        let Some(&producer) = producers.first() else { return Ok(()) };
        if producers.iter().any(|other| *other != producer) {
            return Err(ErrorCode::InvalidProducerIdMapping);
        }
        let batches: Vec<_> = batches.into_iter().flatten().collect();
        let operation = operation_of(self.context.api_version);
        let producer = WritingProducer { transactional_id: owned(transactional_id), producer, operation };
        let verified = self.broker.verify_transaction(&producer, &batches).await;
        let partitions = batches.into_iter().map(|batch| batch.hosted.topic_partition().clone());
        self.verified = partitions.zip(verified).collect();
        Ok(())
    }

    /// The producers of the batches that are part of a transaction, and where these go; no batches whose partition refuses
    /// them anyway.
    fn transactional_batches(&self, topics: &[TopicProduceData]) -> Vec<(ProducerIdAndEpoch, Option<UnverifiedBatch>)> {
        let mut found = Vec::new();
        for topic in topics {
            let Ok(known) = self.resolve(topic) else { continue };
            for data in topic.partition_data.iter().filter(|data| is_transactional(data)) {
                if known.partition(data.index).is_none() {
                    continue;
                }
                let Ok(records) = one_batch(data.records.clone(), self.context.api_version) else { continue };
                let Some(header) = BatchHeader::parse(&records).ok().filter(BatchHeader::has_producer_id) else {
                    continue;
                };
                let BatchHeader { producer_id, producer_epoch, base_sequence, .. } = header;
                let hosted = self.broker.replicas.partition_of(&known.name, known.id, data.index).ok();
                let batch = hosted.map(|hosted| UnverifiedBatch { hosted, base_sequence });
                found.push((ProducerIdAndEpoch { producer_id, producer_epoch }, batch));
            }
        }
        found
    }

    fn append_topic(&mut self, topic_index: usize, topic: TopicProduceData) -> TopicProduceResponse {
        let known = self.resolve(&topic);
        let mut responses = Vec::with_capacity(topic.partition_data.len());
        for data in topic.partition_data {
            let index = data.index;
            let outcome = known.as_deref().map_err(|&code| code.into()).and_then(|known| self.append(known, data));
            responses.push(match outcome {
                Ok((hosted, appended)) => {
                    let response = success(index, &appended);
                    if appended.needs_flush || (self.acks == RequiredAcks::All && !appended.committed) {
                        let partition = responses.len();
                        self.pending.push(PendingAppend { topic: topic_index, partition, hosted, appended });
                    }
                    response
                }
                Err(failure) => self.refusal(known.as_deref().ok(), index, failure),
            });
        }
        TopicProduceResponse::default()
            .with_name(topic.name)
            .with_topic_id(topic.topic_id)
            .with_partition_responses(responses)
    }

    /// The topic, which may not be an internal one except for Kafka's own tools. Who may not write to a topic is not told
    /// whether one of that name exists.
    fn resolve(&self, topic: &TopicProduceData) -> Result<Arc<TopicImage>, ErrorCode> {
        let may_write = |name: &str| self.context.authorize(Operation::Write, Resource::topic(name));
        let known = if self.context.api_version >= FIRST_VERSION_WITH_TOPIC_IDS {
            let known = self.image.topic_by_id(topic.topic_id).ok_or(ErrorCode::UnknownTopicId)?;
            may_write(&known.name).map(|()| known)
        } else {
            may_write(&topic.name)?;
            self.image.topic(&topic.name).ok_or(ErrorCode::UnknownTopicOrPartition)
        }?;
        if is_internal_topic(&known.name) && &*self.context.client_id != ADMIN_CLIENT_ID {
            return Err(ErrorCode::InvalidTopicException);
        }
        Ok(Arc::clone(known))
    }

    fn append(
        &self,
        topic: &TopicImage,
        data: PartitionProduceData,
    ) -> Result<(Arc<HostedPartition>, Appended), AppendFailure> {
        let replicas = &self.broker.replicas;
        let found = replicas.partition_of(&topic.name, topic.id, data.index);
        // An append that reaches its partition is counted there.
        let hosted = found.inspect_err(|code| replicas.count_missed_append(&topic.name, *code))?;
        let records = one_batch(data.records, self.context.api_version)?;
        let guard = match self.verified.get(hosted.topic_partition()) {
            Some(Ok(guard)) => *guard,
            Some(Err(code)) => return Err(unverified(*code, operation_of(self.context.api_version))),
            None => None,
        };
        let request = AppendRequest { guard, ..AppendRequest::by_client(&records, self.acks) };
        let appended =
            hosted.append(&request, self.broker.clock.now()).map_err(|error| append_failure(error, &hosted))?;
        Ok((hosted, appended))
    }

    fn refusal(&self, topic: Option<&TopicImage>, index: i32, failure: AppendFailure) -> PartitionProduceResponse {
        let mut response = PartitionProduceResponse::default()
            .with_index(index)
            .with_error_code(failure.code.code())
            .with_base_offset(-1)
            .with_log_append_time_ms(-1)
            .with_log_start_offset(failure.log_start_offset.unwrap_or(-1));
        let version = self.context.api_version;
        if version >= FIRST_VERSION_WITH_MESSAGES {
            response.error_message = failure.message.map(StrBytes::from_string);
            response.record_errors = failure.record_errors.into_iter().map(record_error).collect();
        }
        if version >= FIRST_VERSION_WITH_LEADER
            && failure.code == ErrorCode::NotLeaderOrFollower
            && let Some(partition) = topic.and_then(|topic| topic.partition(index))
        {
            response.current_leader = LeaderIdAndEpoch::default()
                .with_leader_id(BrokerId(partition.leader))
                .with_leader_epoch(partition.leader_epoch);
        }
        response
    }
}

/// A partition that is named more than once is appended to once, with what is named last, as in Kafka.
fn last_of_each_partition(mut topics: Vec<TopicProduceData>) -> Vec<TopicProduceData> {
    if let [topic] = &*topics
        && !topic.partition_data.is_empty()
        && topic.partition_data.is_sorted_by(|one, next| one.index < next.index)
    {
        return topics;
    }
    let mut seen = HashSet::new();
    for TopicProduceData { name, topic_id, partition_data, .. } in topics.iter_mut().rev() {
        partition_data.reverse();
        partition_data.retain(|data| seen.insert((name.clone(), *topic_id, data.index)));
        partition_data.reverse();
    }
    topics.retain(|topic| !topic.partition_data.is_empty());
    topics
}

/// What clients of this version support.
fn operation_of(version: i16) -> TransactionSupportedOperation {
    match version {
        FIRST_VERSION_THAT_ADDS_PARTITIONS.. => TransactionSupportedOperation::AddPartition,
        FIRST_VERSION_WITH_ABORTABLE.. => TransactionSupportedOperation::GenericErrorSupported,
        _ => TransactionSupportedOperation::DefaultError,
    }
}

/// Why a batch is not appended about which the coordinator was asked. What is over soon, but was no answer to Produce before
/// there were transactions, becomes an error upon which every client just tries again.
fn unverified(code: ErrorCode, operation: TransactionSupportedOperation) -> AppendFailure {
    match code {
        ErrorCode::ConcurrentTransactions if operation.supports_epoch_bump() => code.into(),
        ErrorCode::ConcurrentTransactions
        | ErrorCode::NetworkException
        | ErrorCode::CoordinatorLoadInProgress
        | ErrorCode::CoordinatorNotAvailable
        | ErrorCode::NotCoordinator
        // Unlike Kafka, which passes this one on.
        | ErrorCode::UnknownServerError => AppendFailure {
            message: Some(format!("whether the partition is in the transaction cannot be told now: {code}")),
            ..ErrorCode::NotEnoughReplicas.into()
        },
        ErrorCode::InvalidTxnState => {
            AppendFailure { message: Some("the partition was not added to the transaction".to_owned()), ..code.into() }
        }
        _ => code.into(),
    }
}

/// Whether the batch claims to be part of a transaction, which a request without a transactional id cannot hold.
fn is_transactional(data: &PartitionProduceData) -> bool {
    let records = data.records.as_deref().unwrap_or_default();
    BatchHeader::parse(records).is_ok_and(|header| header.is_transactional())
}

/// The records, if they are one batch of the newest format; the log looks at everything else.
fn one_batch(records: Option<Bytes>, version: i16) -> Result<Bytes, AppendFailure> {
    let invalid = |what: &str| AppendFailure::invalid_record(format!("Produce v{version} takes {what}"));
    let records = records.unwrap_or_default();
    let mut found = batches(&records);
    let first = found.next().ok_or_else(|| invalid("one whole record batch, not none"))?;
    let first = first.map_err(|error| AppendFailure::from_batch_error(&error))?;
    if version < FIRST_VERSION_WITH_ZSTD && first.header.compression().ok() == Some(Compression::Zstd) {
        return Err(ErrorCode::UnsupportedCompressionType.into());
    }
    match found.next() {
        // Bytes that are too few for another batch are none, as in Kafka.
        None => Ok(records),
        Some(Ok(_)) => Err(invalid("exactly one record batch per partition")),
        Some(Err(error)) => Err(AppendFailure::from_batch_error(&error)),
    }
}

fn success(index: i32, appended: &Appended) -> PartitionProduceResponse {
    PartitionProduceResponse::default()
        .with_index(index)
        .with_base_offset(appended.info.first_offset)
        .with_log_append_time_ms(appended.info.log_append_time_ms)
        .with_log_start_offset(appended.info.log_start_offset)
}

fn record_error(error: RecordError) -> BatchIndexAndErrorMessage {
    BatchIndexAndErrorMessage::default()
        .with_batch_index(error.batch_index)
        .with_batch_index_error_message(Some(StrBytes::from_string(error.message)))
}

/// The same error for every partition of the request, with nothing appended.
fn refuse_all(topic_data: Vec<TopicProduceData>, code: ErrorCode) -> ProduceResponse {
    let refuse = |data: &PartitionProduceData| {
        PartitionProduceResponse::default()
            .with_index(data.index)
            .with_error_code(code.code())
            .with_base_offset(-1)
            .with_log_append_time_ms(-1)
            .with_log_start_offset(-1)
    };
    let topics = topic_data.into_iter().map(|topic| {
        TopicProduceResponse::default()
            .with_partition_responses(topic.partition_data.iter().map(refuse).collect())
            .with_name(topic.name)
            .with_topic_id(topic.topic_id)
    });
    ProduceResponse::default().with_responses(topics.collect())
}

fn has_error(response: &ProduceResponse) -> bool {
    response.responses.iter().flat_map(|topic| &topic.partition_responses).any(|partition| partition.error_code != 0)
}

/// Waits for what was appended to reach the disk and the replicas, as far as that was asked for.
async fn confirm(
    mut response: ProduceResponse,
    pending: Vec<PendingAppend>,
    acks: RequiredAcks,
    deadline: Deadline,
    clock: Clock,
) -> ProduceResponse {
    let (clock, deadline) = (&clock, &deadline);
    let outcomes = pending.into_iter().map(|PendingAppend { topic, partition, hosted, appended }| async move {
        (topic, partition, confirm_one(hosted, &appended, acks, deadline, clock).await)
    });
    for (topic, partition, outcome) in join_all(outcomes).await {
        let answer = response.responses.get_mut(topic).and_then(|topic| topic.partition_responses.get_mut(partition));
        if let (Some(answer), Err(code)) = (answer, outcome) {
            answer.error_code = code.code();
            answer.base_offset = -1;
            answer.log_append_time_ms = -1;
            answer.log_start_offset = -1;
        }
    }
    response
}

async fn confirm_one(
    hosted: Arc<HostedPartition>,
    appended: &Appended,
    acks: RequiredAcks,
    deadline: &Deadline,
    clock: &Clock,
) -> Result<(), ErrorCode> {
    let end_offset = appended.info.last_offset + 1;
    if appended.needs_flush {
        deadline.for_disk(Arc::clone(&hosted).flushed_to(end_offset, clock.now())).await?;
    }
    if acks == RequiredAcks::All && !appended.committed {
        hosted.acknowledged_to(appended.leader_epoch, end_offset, clock, deadline.for_replicas()).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::protocol::record_batch::BatchBuilder;
    use crate::replication::replica_manager::ReplicaManager;
    use crate::storage::LogDir;

    #[tokio::test]
    async fn a_producer_is_told_in_its_time_that_the_disk_hangs_and_the_retry_doubles_nothing() {
        let clock = Clock::manual(0);
        let replicas =
            ReplicaManager::leading(&["t"], LogDir::memory(), &clock, &[("log.flush.interval.messages", "1")]);
        let hosted = replicas.partition("t", 0).unwrap();
        let batch = BatchBuilder::new(1_000).producer(7, 0, 0).record(None, Some(b"once")).build();
        let append = |acks| {
            let appended = hosted.append(&AppendRequest::by_client(&batch, acks), clock.now()).unwrap();
            let response = TopicProduceResponse::default().with_partition_responses(vec![success(0, &appended)]);
            let response = ProduceResponse::default().with_responses(vec![response]);
            let pending = PendingAppend { topic: 0, partition: 0, hosted: Arc::clone(&hosted), appended };
            confirm(response, vec![pending], acks, Deadline::new(&clock, 500), clock.clone())
        };
        let outcome = |response: ProduceResponse| {
            let answer = &response.responses[0].partition_responses[0];
            (answer.error_code, answer.base_offset)
        };
        let hanging = hosted.hold_fsyncs();
        for acks in [RequiredAcks::Leader, RequiredAcks::All] {
            let mut confirmed = Box::pin(append(acks));
            assert!((&mut confirmed).now_or_never().is_none());
            clock.advance(Duration::from_millis(499));
            assert!((&mut confirmed).now_or_never().is_none());
            clock.advance(Duration::from_millis(1));
            assert_eq!(outcome(confirmed.await), (ErrorCode::RequestTimedOut.code(), -1));
        }
        drop(hanging);
        assert_eq!(outcome(append(RequiredAcks::All).await), (0, 0));
        assert_eq!(hosted.offsets(-1).unwrap().log_end_offset, 1);
    }
}
