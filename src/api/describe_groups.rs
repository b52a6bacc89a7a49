//! DescribeGroups (key 15): groups with their members.

use futures_util::future::join_all;
use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::messages::{DescribeGroupsRequest, DescribeGroupsResponse, GroupId};

use super::authorization::OPERATIONS_NOT_ASKED;
use super::owned::{message_option, message_text, owned};
use super::{ApiError, Reply, RequestContext};
use crate::broker::Broker;
use crate::coordinator::group::GroupState;
use crate::coordinator::group::request::DescribeRequest;
use crate::coordinator::group::response::{self, DescribedMember};
use crate::protocol::ErrorCode;
use crate::security::{Operation, Resource};

/// The first version that tells which operations are authorised.
const FIRST_WITH_OPERATIONS: i16 = 3;
/// The first version that calls a missing group an error rather than a dead group (KIP-1043).
const FIRST_WITH_NOT_FOUND: i16 = 6;

/// Serves one request.
pub async fn handle(
    broker: &Broker,
    context: &RequestContext,
    request: DescribeGroupsRequest,
) -> Result<Reply<DescribeGroupsResponse>, ApiError> {
    let version = context.api_version;
    let tells_operations = version >= FIRST_WITH_OPERATIONS && request.include_authorized_operations;
    let answers = request.groups.iter().map(|group_id| {
        let resource = Resource::group(group_id);
        let allowed = context.authorize(Operation::Describe, resource);
        let answer = allowed.map(|()| broker.groups.enqueue(group_id, DescribeRequest { group_id: owned(group_id) }));
        let operations = if tells_operations { context.operations(resource) } else { OPERATIONS_NOT_ASKED };
        let group_id = GroupId(message_text(group_id));
        async move {
            let answer = match answer {
                Ok(answer) => answer.await,
                Err(denied) => Err(denied),
            };
            let group = shape(version, group_id, answer);
            let operations = if group.error_code == 0 { operations } else { OPERATIONS_NOT_ASKED };
            group.with_authorized_operations(operations)
        }
    });
    let answers = join_all(answers.collect::<Vec<_>>());
    Ok(Reply::owed(async move { DescribeGroupsResponse::default().with_groups(answers.await) }))
}

fn shape(
    version: i16,
    group_id: GroupId,
    answer: Result<Option<response::DescribedGroup>, ErrorCode>,
) -> DescribedGroup {
    let group = DescribedGroup::default();
    let group = match answer {
        Ok(Some(described)) => shape_group(&described),
        Ok(None) if version >= FIRST_WITH_NOT_FOUND => group
            .with_group_state(message_text(&GroupState::Dead.to_string()))
            .with_error_code(ErrorCode::GroupIdNotFound.code())
            .with_error_message(Some(message_text(&format!("Group {} not found.", group_id.as_str())))),
        Ok(None) => group.with_group_state(message_text(&GroupState::Dead.to_string())),
        Err(error) => group.with_error_code(error.code()),
    };
    group.with_group_id(group_id)
}

fn shape_group(group: &response::DescribedGroup) -> DescribedGroup {
    DescribedGroup::default()
        .with_group_state(message_text(&group.state.to_string()))
        .with_protocol_type(message_text(&group.protocol_type))
        .with_protocol_data(message_text(&group.protocol_name))
        .with_members(group.members.iter().map(shape_member).collect())
}

fn shape_member(member: &DescribedMember) -> DescribedGroupMember {
    DescribedGroupMember::default()
        .with_member_id(message_text(&member.member_id))
        .with_group_instance_id(message_option(member.group_instance_id.as_ref()))
        .with_client_id(message_text(&member.client_id))
        .with_client_host(message_text(&member.client_host))
        .with_member_metadata(member.metadata.clone())
        .with_member_assignment(member.assignment.clone())
}
