//! `RenewDelegationToken` (key 39): only who has authenticated may ask (KIP-48), and nobody has.

use kafka_protocol::messages::{RenewDelegationTokenRequest, RenewDelegationTokenResponse};

use super::create_delegation_token::NO_TIMESTAMP;
use super::{ApiError, Reply, RequestContext};
use crate::broker::Broker;
use crate::protocol::ErrorCode;

/// Serves one request.
pub async fn handle(
    _broker: &Broker,
    _context: &RequestContext,
    _request: RenewDelegationTokenRequest,
) -> Result<Reply<RenewDelegationTokenResponse>, ApiError> {
    let response = RenewDelegationTokenResponse::default()
        .with_error_code(ErrorCode::DelegationTokenRequestNotAllowed.code())
        .with_expiry_timestamp_ms(NO_TIMESTAMP);
    Ok(Reply::Ready(response))
}
