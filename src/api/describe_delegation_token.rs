//! `DescribeDelegationToken` (key 41): only who has authenticated may ask (KIP-48), and nobody has.

use kafka_protocol::messages::{DescribeDelegationTokenRequest, DescribeDelegationTokenResponse};

use super::{ApiError, Reply, RequestContext};
use crate::broker::Broker;
use crate::protocol::ErrorCode;

/// Serves one request.
pub async fn handle(
    _broker: &Broker,
    _context: &RequestContext,
    _request: DescribeDelegationTokenRequest,
) -> Result<Reply<DescribeDelegationTokenResponse>, ApiError> {
    let code = ErrorCode::DelegationTokenRequestNotAllowed.code();
    Ok(Reply::Ready(DescribeDelegationTokenResponse::default().with_error_code(code)))
}
