//! `CreateAcls` (key 30): there is no authorizer that could hold them.

use kafka_protocol::messages::create_acls_response::AclCreationResult;
use kafka_protocol::messages::{CreateAclsRequest, CreateAclsResponse};

use super::describe_acls::UNKNOWN;
use super::owned::message_text;
use super::{ApiError, Reply, RequestContext};
use crate::broker::Broker;
use crate::protocol::ErrorCode;

/// What Kafka says to changes of ACLs where `authorizer.class.name` is not set.
pub(super) const NO_AUTHORIZER: &str = "No Authorizer is configured.";

/// Serves one request.
pub async fn handle(
    _broker: &Broker,
    _context: &RequestContext,
    request: CreateAclsRequest,
) -> Result<Reply<CreateAclsResponse>, ApiError> {
    let has_unknown = request.creations.iter().any(|acl| {
        [acl.resource_type, acl.resource_pattern_type, acl.operation, acl.permission_type].contains(&UNKNOWN)
    });
    if has_unknown {
        return Err(ApiError::close("ACLs to be created contain UNKNOWN elements"));
    }
    Ok(Reply::Ready(failed(&request, ErrorCode::SecurityDisabled, NO_AUTHORIZER)))
}

/// The answer to who may not change the ACLs.
pub fn refuse(request: &CreateAclsRequest, code: ErrorCode) -> CreateAclsResponse {
    failed(request, code, &code.to_string())
}

fn failed(request: &CreateAclsRequest, code: ErrorCode, message: &str) -> CreateAclsResponse {
    let result =
        AclCreationResult::default().with_error_code(code.code()).with_error_message(Some(message_text(message)));
    CreateAclsResponse::default().with_results(vec![result; request.creations.len()])
}
