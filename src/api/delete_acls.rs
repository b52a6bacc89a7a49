//! `DeleteAcls` (key 31): there is no authorizer that could hold them.

use kafka_protocol::messages::delete_acls_response::DeleteAclsFilterResult;
use kafka_protocol::messages::{DeleteAclsRequest, DeleteAclsResponse};

use super::create_acls::NO_AUTHORIZER;
use super::describe_acls::UNKNOWN;
use super::owned::message_text;
use super::{ApiError, Reply, RequestContext};
use crate::broker::Broker;
use crate::protocol::ErrorCode;

/// Serves one request.
pub async fn handle(
    _broker: &Broker,
    _context: &RequestContext,
    request: DeleteAclsRequest,
) -> Result<Reply<DeleteAclsResponse>, ApiError> {
    let has_unknown = request.filters.iter().any(|filter| {
        [filter.resource_type_filter, filter.pattern_type_filter, filter.operation, filter.permission_type]
            .contains(&UNKNOWN)
    });
    if has_unknown {
        return Err(ApiError::close("filters of ACLs contain UNKNOWN elements"));
    }
    Ok(Reply::Ready(failed(&request, ErrorCode::SecurityDisabled, NO_AUTHORIZER)))
}

/// The answer to who may not change the ACLs.
pub fn refuse(request: &DeleteAclsRequest, code: ErrorCode) -> DeleteAclsResponse {
    failed(request, code, &code.to_string())
}

fn failed(request: &DeleteAclsRequest, code: ErrorCode, message: &str) -> DeleteAclsResponse {
    let result =
        DeleteAclsFilterResult::default().with_error_code(code.code()).with_error_message(Some(message_text(message)));
    DeleteAclsResponse::default().with_filter_results(vec![result; request.filters.len()])
}
