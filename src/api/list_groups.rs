//! ListGroups (key 16): the groups that this broker coordinates.

use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::{GroupId, ListGroupsRequest, ListGroupsResponse};

use super::owned::message_text;
use super::{ApiError, Reply, RequestContext};
use crate::broker::Broker;
use crate::coordinator::group::request::ListRequest;
use crate::coordinator::group::response;
use crate::protocol::ErrorCode;
use crate::security::{Operation, Resource};

/// Serves one request. Groups that the client may not see are left out, without an error.
pub async fn handle(
    broker: &Broker,
    context: &RequestContext,
    request: ListGroupsRequest,
) -> Result<Reply<ListGroupsResponse>, ApiError> {
    let list = ListRequest {
        states: request.states_filter.iter().map(ToString::to_string).collect(),
        types: request.types_filter.iter().map(ToString::to_string).collect(),
    };
    let answers = broker.groups.enqueue_all(&list);
    let sees_all = context.authorize(Operation::Describe, Resource::CLUSTER).is_ok();
    let chosen_by = (!sees_all).then(|| context.authorized.clone());
    Ok(Reply::owed(async move {
        let mut response = shape(answers.await);
        if let Some(authorized) = chosen_by {
            let is_seen = |id: &str| authorized.authorize(Operation::Describe, Resource::group(id)).is_ok();
            response.groups.retain(|group| is_seen(&group.group_id));
        }
        response
    }))
}

/// One partition that cannot answer makes the whole list an error; one that has just moved away has no groups.
fn shape(answers: Vec<Result<Vec<response::ListedGroup>, ErrorCode>>) -> ListGroupsResponse {
    let mut groups = Vec::new();
    for answer in answers {
        match answer {
            Ok(listed) => groups.extend(listed.iter().map(shape_group)),
            Err(ErrorCode::NotCoordinator) => {}
            Err(error) => return ListGroupsResponse::default().with_error_code(error.code()),
        }
    }
    ListGroupsResponse::default().with_groups(groups)
}

fn shape_group(group: &response::ListedGroup) -> ListedGroup {
    ListedGroup::default()
        .with_group_id(GroupId(message_text(&group.group_id)))
        .with_protocol_type(message_text(&group.protocol_type))
        .with_group_state(message_text(&group.state.to_string()))
        .with_group_type(message_text(group.group_type))
}
