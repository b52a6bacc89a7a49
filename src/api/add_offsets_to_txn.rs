//! AddOffsetsToTxn (key 25): the offsets of a group become part of a transaction. Clients with transactions of version 2 do
//! without it.

use kafka_protocol::messages::{AddOffsetsToTxnRequest, AddOffsetsToTxnResponse};

use super::owned::owned;
use super::transactional::{ask, known_error};
use super::{ApiError, Reply, RequestContext};
use crate::broker::Broker;
use crate::coordinator::partition_for;
use crate::coordinator::transaction::request::{AddOffsetsRequest, ClientVersion, TransactionalProducer};
use crate::ids::{GROUP_METADATA_TOPIC, ProducerIdAndEpoch, TopicPartition};
use crate::protocol::ErrorCode;
use crate::security::{Operation, Resource};

/// The first version whose clients know `PRODUCER_FENCED`.
const FIRST_WITH_FENCED: i16 = 2;

/// Serves one request. The group's partition need not be there yet: who commits the offsets finds its coordinator first.
pub async fn handle(
    broker: &Broker,
    context: &RequestContext,
    request: AddOffsetsToTxnRequest,
) -> Result<Reply<AddOffsetsToTxnResponse>, ApiError> {
    let knows_fenced = context.api_version >= FIRST_WITH_FENCED;
    let allowed = context
        .authorize(Operation::Write, Resource::transactional_id(&request.transactional_id))
        .and_then(|()| context.authorize(Operation::Read, Resource::group(&request.group_id)));
    if let Err(denied) = allowed {
        return Ok(Reply::Ready(shape(Err(denied), knows_fenced)));
    }
    let add = AddOffsetsRequest {
        producer: TransactionalProducer {
            transactional_id: owned(&request.transactional_id),
            producer: ProducerIdAndEpoch { producer_id: request.producer_id.0, producer_epoch: request.producer_epoch },
            version: ClientVersion::One,
        },
        offsets_partition: TopicPartition::new(GROUP_METADATA_TOPIC, group_partition(broker, &request.group_id)),
    };
    let answer = ask(broker, &request.transactional_id, add);
    Ok(Reply::owed(async move { shape(answer.await.and_then(|added| added), knows_fenced) }))
}

/// The partition of `__consumer_offsets` that a group belongs to, or will when that topic is created.
fn group_partition(broker: &Broker, group_id: &str) -> i32 {
    let found = broker.groups.partition_for(group_id);
    found.unwrap_or_else(|| partition_for(group_id, broker.config.load().broker.offsets_topic_num_partitions))
}

fn shape(result: Result<(), ErrorCode>, knows_fenced: bool) -> AddOffsetsToTxnResponse {
    let code = result.err().map_or(0, |code| known_error(code, knows_fenced).code());
    AddOffsetsToTxnResponse::default().with_error_code(code)
}
