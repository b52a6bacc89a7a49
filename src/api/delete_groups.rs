//! DeleteGroups (key 42): empty groups go, with their offsets.

use std::collections::HashSet;

use futures_util::future::join_all;
use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::{DeleteGroupsRequest, DeleteGroupsResponse, GroupId};

use super::owned::{message_text, owned};
use super::{ApiError, Reply, RequestContext};
use crate::broker::Broker;
use crate::coordinator::group::request::DeleteRequest;
use crate::protocol::ErrorCode;
use crate::security::{Operation, Resource};

/// Serves one request; a group that is named twice is deleted and answered once.
pub async fn handle(
    broker: &Broker,
    context: &RequestContext,
    request: DeleteGroupsRequest,
) -> Result<Reply<DeleteGroupsResponse>, ApiError> {
    let mut seen = HashSet::new();
    let groups = request.groups_names.iter().filter(|group_id| seen.insert(group_id.as_str()));
    let answers = groups.map(|group_id| {
        let allowed = context.authorize(Operation::Delete, Resource::group(group_id));
        let answer = allowed.map(|()| broker.groups.enqueue(group_id, DeleteRequest { group_id: owned(group_id) }));
        let result = DeletableGroupResult::default().with_group_id(GroupId(message_text(group_id)));
        async move {
            result.with_error_code(match answer {
                Ok(answer) => error_code(answer.await),
                Err(denied) => denied.code(),
            })
        }
    });
    let answers = join_all(answers.collect::<Vec<_>>());
    Ok(Reply::owed(async move { DeleteGroupsResponse::default().with_results(answers.await) }))
}

fn error_code(answer: Result<Result<(), ErrorCode>, ErrorCode>) -> i16 {
    answer.flatten().err().map_or(0, |error| error.code())
}
