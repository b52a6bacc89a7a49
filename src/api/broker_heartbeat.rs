//! `BrokerHeartbeat` (key 63): a broker is alive, and says what it wants to be (KIP-631).

use kafka_protocol::messages::{BrokerHeartbeatRequest, BrokerHeartbeatResponse};

use super::{ApiError, Reply, RequestContext};
use crate::broker::Broker;
use crate::controller::wire::broker_heartbeat as wire;
use crate::protocol::ErrorCode;

/// Serves one request.
pub async fn handle(
    broker: &Broker,
    _context: &RequestContext,
    request: BrokerHeartbeatRequest,
) -> Result<Reply<BrokerHeartbeatResponse>, ApiError> {
    let beaten = broker.controller.here().ask(wire::question(&request)).await;
    let answer = beaten.and_then(|beaten| beaten.response.map_err(|refusal| refusal.code));
    Ok(Reply::Ready(wire::response(answer)))
}

/// The answer to who may not act for the cluster.
pub fn refuse(_request: &BrokerHeartbeatRequest, code: ErrorCode) -> BrokerHeartbeatResponse {
    wire::response(Err(code))
}
