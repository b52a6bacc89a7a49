//! `UnregisterBroker` (key 64): a broker is no part of the cluster any more.

use kafka_protocol::messages::{UnregisterBrokerRequest, UnregisterBrokerResponse};
use kafka_protocol::protocol::StrBytes;

use super::{ApiError, Reply, RequestContext};
use crate::broker::Broker;
use crate::controller::UnregisterBroker;
use crate::protocol::ErrorCode;

/// Serves one request.
pub async fn handle(
    broker: &Broker,
    _context: &RequestContext,
    request: UnregisterBrokerRequest,
) -> Result<Reply<UnregisterBrokerResponse>, ApiError> {
    let unregister = UnregisterBroker { id: request.broker_id.0 };
    Ok(Reply::Ready(match broker.controller.unregister_broker(unregister).await {
        Ok(unregistered) => match unregistered.response {
            Ok(()) => UnregisterBrokerResponse::default().with_error_message(None),
            Err(refusal) => failed(refusal.code, refusal.message),
        },
        Err(code) => refuse(&request, code),
    }))
}

/// The answer to who may not unregister brokers.
pub fn refuse(_request: &UnregisterBrokerRequest, code: ErrorCode) -> UnregisterBrokerResponse {
    failed(code, code.to_string())
}

fn failed(code: ErrorCode, message: String) -> UnregisterBrokerResponse {
    UnregisterBrokerResponse::default()
        .with_error_code(code.code())
        .with_error_message(Some(StrBytes::from_string(message)))
}
