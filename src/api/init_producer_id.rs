//! InitProducerId (key 22): an id with which an idempotent producer numbers its batches (KIP-98, KIP-360).

use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse, ProducerId};

use super::deadline::soon;
use super::{ApiError, Reply, RequestContext};
use crate::broker::Broker;
use crate::protocol::ErrorCode;
use crate::protocol::record_batch::{NO_PRODUCER_EPOCH, NO_PRODUCER_ID};
use crate::security::{Operation, Resource};

/// Serves one request. An idempotent producer always gets a fresh id at epoch 0, whichever it had before, as in Kafka.
pub async fn handle(
    broker: &Broker,
    context: &RequestContext,
    request: InitProducerIdRequest,
) -> Result<Reply<InitProducerIdResponse>, ApiError> {
    let response = InitProducerIdResponse::default();
    Ok(Reply::Ready(match new_producer_id(broker, context, &request).await {
        Ok(producer_id) => response.with_producer_id(ProducerId(producer_id)).with_producer_epoch(0),
        Err(code) => response
            .with_error_code(code.code())
            .with_producer_id(ProducerId(NO_PRODUCER_ID))
            .with_producer_epoch(NO_PRODUCER_EPOCH),
    }))
}

async fn new_producer_id(
    broker: &Broker,
    context: &RequestContext,
    request: &InitProducerIdRequest,
) -> Result<i64, ErrorCode> {
    match &request.transactional_id {
        Some(id) => context.authorize(Operation::Write, Resource::transactional_id(id))?,
        // Unlike Kafka, which takes the right to write to some topic for this one, too: no authorizer has rules to look
        // through yet.
        None => context.authorize(Operation::IdempotentWrite, Resource::CLUSTER)?,
    }
    let has_id = request.producer_id.0 != NO_PRODUCER_ID;
    let has_epoch = request.producer_epoch != NO_PRODUCER_EPOCH;
    if has_id != has_epoch {
        return Err(ErrorCode::InvalidRequest);
    }
    match &request.transactional_id {
        None => soon(&broker.clock, ErrorCode::CoordinatorLoadInProgress, broker.producer_ids.next()).await,
        // Unlike Kafka, where this is the answer to an empty id only: transactions are not served yet, and clients do
        // not retry it.
        Some(_) => Err(ErrorCode::InvalidRequest),
    }
}
