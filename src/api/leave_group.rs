//! LeaveGroup (key 13): members go; one up to version 2, several from version 3 on (KIP-345).

use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::{LeaveGroupRequest, LeaveGroupResponse};

use super::owned::{message_option, message_text, owned, owned_option};
use super::{ApiError, Reply, RequestContext};
use crate::broker::Broker;
use crate::coordinator::group::request::{LeaveRequest, MemberIdentity};
use crate::protocol::ErrorCode;
use crate::security::{Operation, Resource};

/// The first version that names several members and answers for each.
const FIRST_WITH_MEMBERS: i16 = 3;

/// Serves one request.
pub async fn handle(
    broker: &Broker,
    context: &RequestContext,
    request: LeaveGroupRequest,
) -> Result<Reply<LeaveGroupResponse>, ApiError> {
    if let Err(denied) = context.authorize(Operation::Read, Resource::group(&request.group_id)) {
        return Ok(Reply::Ready(refused(denied)));
    }
    if request.group_id.is_empty() {
        return Ok(Reply::Ready(refused(ErrorCode::InvalidGroupId)));
    }
    let version = context.api_version;
    let leave = LeaveRequest { group_id: owned(&request.group_id), members: members(version, &request) };
    let answer = broker.groups.enqueue(&request.group_id, leave);
    Ok(Reply::owed(async move {
        match answer.await {
            Ok(members) => shape(version, &members),
            Err(error) => refused(error),
        }
    }))
}

fn members(version: i16, request: &LeaveGroupRequest) -> Vec<MemberIdentity> {
    if version < FIRST_WITH_MEMBERS {
        return vec![MemberIdentity { member_id: owned(&request.member_id), group_instance_id: None }];
    }
    let identity = |member: &kafka_protocol::messages::leave_group_request::MemberIdentity| MemberIdentity {
        member_id: owned(&member.member_id),
        group_instance_id: owned_option(member.group_instance_id.as_ref()),
    };
    request.members.iter().map(identity).collect()
}

fn shape(version: i16, members: &[(MemberIdentity, Option<ErrorCode>)]) -> LeaveGroupResponse {
    if version < FIRST_WITH_MEMBERS {
        let error = members.first().and_then(|(_, error)| *error);
        return LeaveGroupResponse::default().with_error_code(error.map_or(0, |error| error.code()));
    }
    let left = members.iter().map(|(member, error)| {
        MemberResponse::default()
            .with_member_id(message_text(&member.member_id))
            .with_group_instance_id(message_option(member.group_instance_id.as_ref()))
            .with_error_code(error.map_or(0, |error| error.code()))
    });
    LeaveGroupResponse::default().with_members(left.collect())
}

fn refused(error: ErrorCode) -> LeaveGroupResponse {
    LeaveGroupResponse::default().with_error_code(error.code())
}
