//! `AllocateProducerIds` (key 67): a broker gets producer ids to give out (KIP-730).

use kafka_protocol::messages::{AllocateProducerIdsRequest, AllocateProducerIdsResponse};

use super::{ApiError, Reply, RequestContext};
use crate::broker::Broker;
use crate::controller::wire::allocate_producer_ids as wire;
use crate::protocol::ErrorCode;

/// Serves one request.
pub async fn handle(
    broker: &Broker,
    _context: &RequestContext,
    request: AllocateProducerIdsRequest,
) -> Result<Reply<AllocateProducerIdsResponse>, ApiError> {
    let allocated = broker.controller.here().ask(wire::question(&request)).await;
    Ok(Reply::Ready(wire::response(allocated.and_then(|allocated| allocated.response))))
}

/// The answer to who may not act for the cluster.
pub fn refuse(_request: &AllocateProducerIdsRequest, code: ErrorCode) -> AllocateProducerIdsResponse {
    wire::response(Err(code))
}
