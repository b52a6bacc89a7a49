//! EndTxn (key 26): a transaction is committed or aborted. From version 5 on the producer has another epoch afterwards, and
//! hears which (KIP-890).

use kafka_protocol::messages::{EndTxnRequest, EndTxnResponse, ProducerId};

use super::owned::owned;
use super::transactional::{ask_for_producer, known_error};
use super::{ApiError, Reply, RequestContext};
use crate::broker::Broker;
use crate::coordinator::transaction::request::{ClientVersion, EndTransactionRequest, TransactionalProducer};
use crate::ids::ProducerIdAndEpoch;
use crate::protocol::ErrorCode;
use crate::protocol::control_records::TransactionResult;
use crate::security::{Operation, Resource};

/// The first version whose clients know `PRODUCER_FENCED`.
const FIRST_WITH_FENCED: i16 = 2;
/// The first version of transactions of version 2.
const FIRST_WITH_NEXT_EPOCH: i16 = 5;

/// Serves one request.
pub async fn handle(
    broker: &Broker,
    context: &RequestContext,
    request: EndTxnRequest,
) -> Result<Reply<EndTxnResponse>, ApiError> {
    let version = context.api_version;
    let allowed = context.authorize(Operation::Write, Resource::transactional_id(&request.transactional_id));
    if let Err(denied) = allowed {
        return Ok(Reply::Ready(shape(version, Err(denied))));
    }
    let producer = TransactionalProducer {
        transactional_id: owned(&request.transactional_id),
        producer: ProducerIdAndEpoch { producer_id: request.producer_id.0, producer_epoch: request.producer_epoch },
        version: if version >= FIRST_WITH_NEXT_EPOCH { ClientVersion::Two } else { ClientVersion::One },
    };
    let result = if request.committed { TransactionResult::Commit } else { TransactionResult::Abort };
    let transactional_id = producer.transactional_id.clone();
    let next = ask_for_producer(broker, &transactional_id, move |new_producer_id| EndTransactionRequest {
        producer: producer.clone(),
        result,
        new_producer_id,
    });
    Ok(Reply::owed(async move { shape(version, next.await) }))
}

fn shape(version: i16, next: Result<ProducerIdAndEpoch, ErrorCode>) -> EndTxnResponse {
    let response = EndTxnResponse::default();
    match next {
        Ok(next) if version >= FIRST_WITH_NEXT_EPOCH => {
            response.with_producer_id(ProducerId(next.producer_id)).with_producer_epoch(next.producer_epoch)
        }
        Ok(_) => response,
        Err(code) => response.with_error_code(known_error(code, version >= FIRST_WITH_FENCED).code()),
    }
}
