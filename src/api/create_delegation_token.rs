//! `CreateDelegationToken` (key 38): only who has authenticated may ask for a token (KIP-48), and nobody has.

use kafka_protocol::messages::{CreateDelegationTokenRequest, CreateDelegationTokenResponse};

use super::owned::message_text;
use super::{ApiError, Reply, RequestContext};
use crate::broker::Broker;
use crate::protocol::ErrorCode;
use crate::security::Principal;

/// The first version that asks for a token on behalf of another, and whose answer names who asked (KIP-373).
const FIRST_VERSION_WITH_OWNER: i16 = 3;

/// The time of what did not happen.
pub(super) const NO_TIMESTAMP: i64 = -1;

/// Serves one request.
pub async fn handle(
    _broker: &Broker,
    context: &RequestContext,
    request: CreateDelegationTokenRequest,
) -> Result<Reply<CreateDelegationTokenResponse>, ApiError> {
    let requester = context.principal();
    let owner = match &request.owner_principal_name {
        Some(name) if !name.is_empty() => Principal {
            principal_type: request.owner_principal_type.as_deref().unwrap_or_default().into(),
            name: name.as_str().into(),
        },
        _ => Principal::clone(requester),
    };
    let mut response = CreateDelegationTokenResponse::default()
        .with_error_code(ErrorCode::DelegationTokenRequestNotAllowed.code())
        .with_principal_type(message_text(&owner.principal_type))
        .with_principal_name(message_text(&owner.name))
        .with_issue_timestamp_ms(NO_TIMESTAMP)
        .with_expiry_timestamp_ms(NO_TIMESTAMP)
        .with_max_timestamp_ms(NO_TIMESTAMP);
    if context.api_version >= FIRST_VERSION_WITH_OWNER {
        response.token_requester_principal_type = message_text(&requester.principal_type);
        response.token_requester_principal_name = message_text(&requester.name);
    }
    Ok(Reply::Ready(response))
}
