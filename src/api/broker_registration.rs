//! `BrokerRegistration` (key 62): a broker has started, and says where it is reached (KIP-631).

use kafka_protocol::messages::{BrokerRegistrationRequest, BrokerRegistrationResponse};

use super::{ApiError, Reply, RequestContext};
use crate::broker::Broker;
use crate::controller::wire::broker_registration as wire;
use crate::protocol::ErrorCode;

/// Serves one request.
pub async fn handle(
    broker: &Broker,
    _context: &RequestContext,
    request: BrokerRegistrationRequest,
) -> Result<Reply<BrokerRegistrationResponse>, ApiError> {
    let registered = match wire::question(&request) {
        Ok(register) => broker.controller.here().ask(register).await,
        Err(code) => Err(code),
    };
    let answer = registered.and_then(|registered| registered.response.map_err(|refusal| refusal.code));
    Ok(Reply::Ready(wire::response(answer)))
}

/// The answer to who may not act for the cluster.
pub fn refuse(_request: &BrokerRegistrationRequest, code: ErrorCode) -> BrokerRegistrationResponse {
    wire::response(Err(code))
}
