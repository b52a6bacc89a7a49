//! InitProducerId (key 22): an id with which a producer numbers its batches, and for a transactional producer the epoch that
//! fences those before it (KIP-98, KIP-360).

use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse, ProducerId};

use super::deadline::soon;
use super::owned::owned;
use super::transactional::{ask_for_producer, known_error};
use super::{ApiError, Reply, RequestContext};
use crate::broker::Broker;
use crate::coordinator::transaction::request::{InitProducerRequest, TransactionalId};
use crate::ids::ProducerIdAndEpoch;
use crate::protocol::ErrorCode;
use crate::protocol::record_batch::{NO_PRODUCER_EPOCH, NO_PRODUCER_ID};
use crate::security::{Operation, Resource};

/// The first version whose clients know `PRODUCER_FENCED`.
const FIRST_WITH_FENCED: i16 = 4;

/// Serves one request. A producer without a transactional id always gets a fresh id at epoch 0, whichever it had before, as
/// in Kafka.
pub async fn handle(
    broker: &Broker,
    context: &RequestContext,
    request: InitProducerIdRequest,
) -> Result<Reply<InitProducerIdResponse>, ApiError> {
    let expected = match admit(context, &request) {
        Ok(expected) => expected,
        Err(code) => return Ok(Reply::Ready(shape(Err(code)))),
    };
    let Some(id) = &request.transactional_id else {
        let next = soon(&broker.clock, ErrorCode::CoordinatorLoadInProgress, broker.producer_ids.next()).await;
        return Ok(Reply::Ready(shape(next.map(|producer_id| ProducerIdAndEpoch { producer_id, producer_epoch: 0 }))));
    };
    let transactional_id: TransactionalId = owned(id);
    let (id, timeout_ms) = (TransactionalId::clone(&transactional_id), request.transaction_timeout_ms);
    let producer = ask_for_producer(broker, &transactional_id, move |new_producer_id| InitProducerRequest {
        transactional_id: TransactionalId::clone(&id),
        timeout_ms,
        expected,
        new_producer_id,
    });
    let knows_fenced = context.api_version >= FIRST_WITH_FENCED;
    Ok(Reply::owed(async move { shape(producer.await.map_err(|code| known_error(code, knows_fenced))) }))
}

/// Who the producer believes to be, if it goes on after an error.
fn admit(context: &RequestContext, request: &InitProducerIdRequest) -> Result<Option<ProducerIdAndEpoch>, ErrorCode> {
    match &request.transactional_id {
        Some(id) => context.authorize(Operation::Write, Resource::transactional_id(id))?,
        // Unlike Kafka, which takes the right to write to some topic for this one, too: no authorizer has rules to look
        // through yet.
        None => context.authorize(Operation::IdempotentWrite, Resource::CLUSTER)?,
    }
    match (request.producer_id.0, request.producer_epoch) {
        (NO_PRODUCER_ID, NO_PRODUCER_EPOCH) => Ok(None),
        (NO_PRODUCER_ID, _) | (_, NO_PRODUCER_EPOCH) => Err(ErrorCode::InvalidRequest),
        (producer_id, producer_epoch) => Ok(Some(ProducerIdAndEpoch { producer_id, producer_epoch })),
    }
}

fn shape(outcome: Result<ProducerIdAndEpoch, ErrorCode>) -> InitProducerIdResponse {
    let response = InitProducerIdResponse::default();
    match outcome {
        Ok(ProducerIdAndEpoch { producer_id, producer_epoch }) => {
            response.with_producer_id(ProducerId(producer_id)).with_producer_epoch(producer_epoch)
        }
        Err(code) => response
            .with_error_code(code.code())
            .with_producer_id(ProducerId(NO_PRODUCER_ID))
            .with_producer_epoch(NO_PRODUCER_EPOCH),
    }
}
