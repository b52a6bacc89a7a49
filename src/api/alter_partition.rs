//! `AlterPartition` (key 56): a leader tells which of its followers are in sync (KIP-497).

use kafka_protocol::messages::{AlterPartitionRequest, AlterPartitionResponse};

use super::{ApiError, Reply, RequestContext};
use crate::broker::Broker;
use crate::controller::wire::alter_partition as wire;
use crate::protocol::ErrorCode;

/// Serves one request.
pub async fn handle(
    broker: &Broker,
    context: &RequestContext,
    request: AlterPartitionRequest,
) -> Result<Reply<AlterPartitionResponse>, ApiError> {
    let altered = match wire::question(&request, context.api_version) {
        Ok(alter) => broker.controller.here().ask(alter).await.and_then(|altered| altered.response),
        Err(code) => Err(code),
    };
    Ok(Reply::Ready(wire::response(altered)))
}

/// The answer to who may not act for the cluster.
pub fn refuse(_request: &AlterPartitionRequest, code: ErrorCode) -> AlterPartitionResponse {
    wire::response(Err(code))
}
