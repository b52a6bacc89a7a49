//! `DescribeAcls` (key 29): there is no authorizer whose rules could be told.

use kafka_protocol::messages::{DescribeAclsRequest, DescribeAclsResponse};

use super::owned::message_text;
use super::{ApiError, Reply, RequestContext};
use crate::broker::Broker;
use crate::protocol::ErrorCode;

/// What Kafka says where `authorizer.class.name` is not set.
const NO_AUTHORIZER: &str = "No Authorizer is configured on the broker";

/// The code of everything that ACLs are made of and that a newer client may know: Kafka refuses to parse it.
pub(super) const UNKNOWN: i8 = 0;

/// Serves one request.
pub async fn handle(
    _broker: &Broker,
    _context: &RequestContext,
    request: DescribeAclsRequest,
) -> Result<Reply<DescribeAclsResponse>, ApiError> {
    let kinds = [request.resource_type_filter, request.pattern_type_filter, request.operation, request.permission_type];
    if kinds.contains(&UNKNOWN) {
        return Err(ApiError::close("a filter of ACLs contains UNKNOWN elements"));
    }
    Ok(Reply::Ready(failed(ErrorCode::SecurityDisabled, NO_AUTHORIZER)))
}

/// The answer to who may not see the ACLs.
pub fn refuse(_request: &DescribeAclsRequest, code: ErrorCode) -> DescribeAclsResponse {
    failed(code, &code.to_string())
}

fn failed(code: ErrorCode, message: &str) -> DescribeAclsResponse {
    DescribeAclsResponse::default().with_error_code(code.code()).with_error_message(Some(message_text(message)))
}
