//! SyncGroup (key 14): the leader's assignment reaches every member.

use kafka_protocol::messages::{SyncGroupRequest, SyncGroupResponse};

use super::owned::{message_option, owned, owned_bytes, owned_option};
use super::{ApiError, Reply, RequestContext};
use crate::broker::Broker;
use crate::coordinator::group::request::{MemberRequest, SyncRequest};
use crate::coordinator::group::response::SyncResponse;
use crate::protocol::ErrorCode;
use crate::security::{Operation, Resource};

/// The first version in which a member must say which protocol it believes in (KIP-559).
const FIRST_WITH_PROTOCOL: i16 = 5;

/// Serves one request; the answer is owed until the leader has given the assignment.
pub async fn handle(
    broker: &Broker,
    context: &RequestContext,
    request: SyncGroupRequest,
) -> Result<Reply<SyncGroupResponse>, ApiError> {
    let names_protocol = request.protocol_type.is_some() && request.protocol_name.is_some();
    if context.api_version >= FIRST_WITH_PROTOCOL && !names_protocol {
        return Ok(Reply::Ready(refused(ErrorCode::InconsistentGroupProtocol)));
    }
    if let Err(denied) = context.authorize(Operation::Read, Resource::group(&request.group_id)) {
        return Ok(Reply::Ready(refused(denied)));
    }
    if request.group_id.is_empty() {
        return Ok(Reply::Ready(refused(ErrorCode::InvalidGroupId)));
    }
    let answer = broker.groups.enqueue(&request.group_id, sync(&request));
    Ok(Reply::owed(async move {
        match answer.await {
            Ok(Ok(response)) => shape(response),
            Ok(Err(error)) | Err(error) => refused(error),
        }
    }))
}

fn sync(request: &SyncGroupRequest) -> SyncRequest {
    let assignments = request.assignments.iter();
    let assignments = assignments.map(|each| (owned(&each.member_id), owned_bytes(&each.assignment)));
    SyncRequest {
        member: MemberRequest {
            group_id: owned(&request.group_id),
            member_id: owned(&request.member_id),
            group_instance_id: owned_option(request.group_instance_id.as_ref()),
            generation_id: request.generation_id,
        },
        protocol_type: owned_option(request.protocol_type.as_ref()),
        protocol_name: owned_option(request.protocol_name.as_ref()),
        assignments: assignments.collect(),
    }
}

fn shape(response: SyncResponse) -> SyncGroupResponse {
    SyncGroupResponse::default()
        .with_protocol_type(message_option(response.protocol_type.as_ref()))
        .with_protocol_name(message_option(response.protocol_name.as_ref()))
        .with_assignment(response.assignment)
}

fn refused(error: ErrorCode) -> SyncGroupResponse {
    SyncGroupResponse::default().with_error_code(error.code())
}
