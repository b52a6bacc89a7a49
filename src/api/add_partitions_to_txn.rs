//! AddPartitionsToTxn (key 24): partitions become part of a transaction. Up to version 3 a client says so for its own one;
//! from version 4 on brokers do for those of several clients, or only ask whether they are part of it (KIP-890).

use std::collections::{BTreeSet, HashMap};
use std::future::Future;

use futures_util::future::join_all;
use kafka_protocol::messages::add_partitions_to_txn_request::{AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction};
use kafka_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnResult, AddPartitionsToTxnTopicResult,
};
use kafka_protocol::messages::{AddPartitionsToTxnRequest, AddPartitionsToTxnResponse};

use super::owned::{message_text, owned};
use super::transactional::{ask, known_error};
use super::{ApiError, Reply, RequestContext};
use crate::broker::Broker;
use crate::coordinator::transaction::request::{AddPartitionsRequest, ClientVersion, TransactionalProducer};
use crate::ids::{ProducerIdAndEpoch, TopicPartition, is_internal_topic};
use crate::metadata::MetadataImage;
use crate::protocol::ErrorCode;
use crate::security::{Operation, Resource};

/// The first version whose clients know `PRODUCER_FENCED`.
const FIRST_WITH_FENCED: i16 = 2;
/// The first version that brokers send, for several transactions of version 2.
const FIRST_OF_BROKERS: i16 = 4;

/// What became of each partition.
type AddedPartitions = Vec<(TopicPartition, Option<ErrorCode>)>;

/// Serves one request.
pub async fn handle(
    broker: &Broker,
    context: &RequestContext,
    mut request: AddPartitionsToTxnRequest,
) -> Result<Reply<AddPartitionsToTxnResponse>, ApiError> {
    let response = AddPartitionsToTxnResponse::default();
    let is_of_broker = context.api_version >= FIRST_OF_BROKERS;
    if is_of_broker {
        if let Err(denied) = context.authorize(Operation::ClusterAction, Resource::CLUSTER) {
            return Ok(Reply::Ready(response.with_error_code(denied.code())));
        }
    } else {
        request.transactions = vec![
            AddPartitionsToTxnTransaction::default()
                .with_transactional_id(request.v3_and_below_transactional_id)
                .with_producer_id(request.v3_and_below_producer_id)
                .with_producer_epoch(request.v3_and_below_producer_epoch)
                .with_topics(request.v3_and_below_topics),
        ];
    }
    let image = broker.image();
    let results = request.transactions.iter().map(|transaction| add(broker, context, &image, transaction));
    let results = join_all(results.collect::<Vec<_>>());
    Ok(Reply::owed(async move {
        let results = results.await;
        if is_of_broker {
            response.with_results_by_transaction(results)
        } else {
            let topics = results.into_iter().flat_map(|result| result.topic_results);
            response.with_results_by_topic_v3_and_below(topics.collect())
        }
    }))
}

/// Asks for one transaction, now; the future waits for what becomes of it.
fn add(
    broker: &Broker,
    context: &RequestContext,
    image: &MetadataImage,
    transaction: &AddPartitionsToTxnTransaction,
) -> impl Future<Output = AddPartitionsToTxnResult> + Send + use<> {
    let id = &transaction.transactional_id;
    let is_of_broker = context.api_version >= FIRST_OF_BROKERS;
    let asked = check(context, image, transaction).map(|partitions| {
        let request = AddPartitionsRequest {
            producer: TransactionalProducer {
                transactional_id: owned(id),
                producer: ProducerIdAndEpoch {
                    producer_id: transaction.producer_id.0,
                    producer_epoch: transaction.producer_epoch,
                },
                version: if is_of_broker { ClientVersion::Two } else { ClientVersion::One },
            },
            partitions: partitions.clone(),
            verify_only: transaction.verify_only,
        };
        (partitions, ask(broker, id, request))
    });
    let knows_fenced = context.api_version >= FIRST_WITH_FENCED;
    let result = AddPartitionsToTxnResult::default().with_transactional_id(message_text(id).into());
    let topics = transaction.topics.clone();
    async move {
        let outcomes = match asked {
            Ok((partitions, answer)) => answer.await.unwrap_or_else(|code| all(partitions, code)),
            Err(refused) => refused,
        };
        result.with_topic_results(shape(topics, &outcomes, knows_fenced))
    }
}

/// Each partition once. One that cannot be added keeps the others out, too.
fn check(
    context: &RequestContext,
    image: &MetadataImage,
    transaction: &AddPartitionsToTxnTransaction,
) -> Result<Vec<TopicPartition>, AddedPartitions> {
    let partitions = named(&transaction.topics);
    let is_of_client = context.api_version < FIRST_OF_BROKERS;
    if is_of_client {
        let id = Resource::transactional_id(&transaction.transactional_id);
        if let Err(denied) = context.authorize(Operation::Write, id) {
            return Err(all(partitions, denied));
        }
    }
    let error = |partition: &TopicPartition| {
        let may_write = || {
            // Brokers alone write to those for clients.
            !is_internal_topic(&partition.topic)
                && context.authorize(Operation::Write, Resource::topic(&partition.topic)).is_ok()
        };
        if is_of_client && !may_write() {
            Some(ErrorCode::TopicAuthorizationFailed)
        } else if image.partition(&partition.topic, partition.partition).is_none() {
            Some(ErrorCode::UnknownTopicOrPartition)
        } else {
            None
        }
    };
    let errors: Vec<_> = partitions.iter().map(error).collect();
    if errors.iter().all(Option::is_none) {
        return Ok(partitions);
    }
    let errors = errors.into_iter().map(|error| error.or(Some(ErrorCode::OperationNotAttempted)));
    Err(partitions.into_iter().zip(errors).collect())
}

fn named(topics: &[AddPartitionsToTxnTopic]) -> Vec<TopicPartition> {
    let partitions = topics.iter().flat_map(|topic| {
        let name = owned(&topic.name);
        topic.partitions.iter().map(move |partition| TopicPartition { topic: name.clone(), partition: *partition })
    });
    partitions.collect::<BTreeSet<_>>().into_iter().collect()
}

fn all(partitions: Vec<TopicPartition>, code: ErrorCode) -> AddedPartitions {
    partitions.into_iter().map(|partition| (partition, Some(code))).collect()
}

/// The answer names what the request does, as often.
fn shape(
    topics: Vec<AddPartitionsToTxnTopic>,
    outcomes: &AddedPartitions,
    knows_fenced: bool,
) -> Vec<AddPartitionsToTxnTopicResult> {
    let codes: HashMap<(&str, i32), i16> = outcomes
        .iter()
        .map(|(partition, error)| {
            let code = error.map_or(0, |code| known_error(code, knows_fenced).code());
            ((&*partition.topic, partition.partition), code)
        })
        .collect();
    let topic = |topic: AddPartitionsToTxnTopic| {
        let partition = |index: &i32| {
            let code = codes.get(&(topic.name.as_str(), *index)).copied().unwrap_or_default();
            AddPartitionsToTxnPartitionResult::default().with_partition_index(*index).with_partition_error_code(code)
        };
        let partitions = topic.partitions.iter().map(partition).collect();
        AddPartitionsToTxnTopicResult::default().with_results_by_partition(partitions).with_name(topic.name)
    };
    topics.into_iter().map(topic).collect()
}
