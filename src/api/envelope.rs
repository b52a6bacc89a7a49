//! Envelope (key 58): a client's request that another broker has passed on to the controller (KIP-590).

use kafka_protocol::messages::{EnvelopeRequest, EnvelopeResponse};

use super::dispatch::unwrapped;
use super::requester::requester;
use super::{ApiError, Reply, RequestContext};
use crate::broker::Broker;
use crate::protocol::ErrorCode;

/// Has the request inside answered as if its client were connected here.
pub async fn handle(
    broker: &Broker,
    context: &RequestContext,
    request: EnvelopeRequest,
) -> Result<Reply<EnvelopeResponse>, ApiError> {
    let answer = match requester(&request) {
        Ok(requester) => unwrapped(broker, context, requester, request.request_data).await,
        Err(code) => Err(code),
    };
    Ok(Reply::Ready(match answer {
        Ok(response) => EnvelopeResponse::default().with_response_data(Some(response)),
        Err(code) => failed(code),
    }))
}

/// The answer to who may not act for the cluster.
pub fn refuse(_request: &EnvelopeRequest, code: ErrorCode) -> EnvelopeResponse {
    failed(code)
}

fn failed(code: ErrorCode) -> EnvelopeResponse {
    EnvelopeResponse::default().with_response_data(None).with_error_code(code.code())
}
