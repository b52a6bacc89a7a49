//! Heartbeat (key 12): a member is still there, and hears whether it has to join again.

use kafka_protocol::messages::{HeartbeatRequest, HeartbeatResponse};

use super::owned::{owned, owned_option};
use super::{ApiError, Reply, RequestContext};
use crate::broker::Broker;
use crate::coordinator::group::request::MemberRequest;
use crate::protocol::ErrorCode;
use crate::security::{Operation, Resource};

/// Serves one request.
pub async fn handle(
    broker: &Broker,
    context: &RequestContext,
    request: HeartbeatRequest,
) -> Result<Reply<HeartbeatResponse>, ApiError> {
    if let Err(denied) = context.authorize(Operation::Read, Resource::group(&request.group_id)) {
        return Ok(Reply::Ready(shape(Err(denied))));
    }
    if request.group_id.is_empty() {
        return Ok(Reply::Ready(shape(Err(ErrorCode::InvalidGroupId))));
    }
    let member = MemberRequest {
        group_id: owned(&request.group_id),
        member_id: owned(&request.member_id),
        group_instance_id: owned_option(request.group_instance_id.as_ref()),
        generation_id: request.generation_id,
    };
    let answer = broker.groups.enqueue(&request.group_id, member);
    Ok(Reply::owed(async move {
        shape(match answer.await {
            Ok(result) => result,
            // The coordinator does not know the member yet, and will give it a whole session when it does.
            Err(ErrorCode::CoordinatorLoadInProgress) => Ok(()),
            Err(error) => Err(error),
        })
    }))
}

fn shape(result: Result<(), ErrorCode>) -> HeartbeatResponse {
    HeartbeatResponse::default().with_error_code(result.err().map_or(0, |error| error.code()))
}
