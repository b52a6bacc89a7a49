//! DescribeTransactions (key 65): transactional ids as their coordinator knows them (KIP-664).

use futures_util::future::join_all;
use kafka_protocol::messages::describe_transactions_response::{TopicData, TransactionState};
use kafka_protocol::messages::{DescribeTransactionsRequest, DescribeTransactionsResponse, ProducerId};

use super::owned::{message_text, owned};
use super::partition_outcomes::PartitionOutcomes;
use super::transactional::ask;
use super::{ApiError, Reply, RequestContext};
use crate::broker::Broker;
use crate::coordinator::transaction::request::{DescribeTransactionRequest, DescribedTransaction};
use crate::security::{Operation, Resource};

/// Serves one request. Topics that the client may not see are left out, without an error.
pub async fn handle(
    broker: &Broker,
    context: &RequestContext,
    request: DescribeTransactionsRequest,
) -> Result<Reply<DescribeTransactionsResponse>, ApiError> {
    let answers = request.transactional_ids.iter().map(|id| {
        let allowed = context.authorize(Operation::Describe, Resource::transactional_id(id));
        let answer = allowed.map(|()| {
            let request = DescribeTransactionRequest { transactional_id: owned(id) };
            ask(broker, id, request)
        });
        let state = TransactionState::default().with_transactional_id(message_text(id).into());
        let context = context.clone();
        async move {
            let described = match answer {
                Ok(answer) => answer.await.and_then(|described| described),
                Err(denied) => Err(denied),
            };
            match described {
                Ok(described) => shape(state, &described, &context),
                Err(code) => state.with_error_code(code.code()),
            }
        }
    });
    let answers = join_all(answers.collect::<Vec<_>>());
    Ok(Reply::owed(async move { DescribeTransactionsResponse::default().with_transaction_states(answers.await) }))
}

fn shape(state: TransactionState, described: &DescribedTransaction, context: &RequestContext) -> TransactionState {
    let may_see = |topic: &str| context.authorize(Operation::Describe, Resource::topic(topic)).is_ok();
    let mut topics = PartitionOutcomes::default();
    for partition in described.partitions.iter().filter(|partition| may_see(&partition.topic)) {
        topics.add(&partition.topic, std::iter::once((partition.partition, 0)));
    }
    let topic = |(name, partitions): (_, Vec<_>)| {
        let partitions = partitions.into_iter().map(|(index, _)| index).collect();
        TopicData::default().with_topic(name).with_partitions(partitions)
    };
    state
        .with_transaction_state(message_text(described.state.name()))
        .with_transaction_timeout_ms(described.timeout_ms)
        .with_transaction_start_time_ms(described.start_ms)
        .with_producer_id(ProducerId(described.producer.producer_id))
        .with_producer_epoch(described.producer.producer_epoch)
        .with_topics(topics.into_topics().map(topic).collect())
}
