//! JoinGroup (key 11): a client becomes a member of a group, or stays one across a rebalance.

use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::{JoinGroupRequest, JoinGroupResponse};

use super::owned::{message_option, message_text, owned, owned_bytes, owned_option};
use super::{ApiError, Reply, RequestContext};
use crate::broker::Broker;
use crate::coordinator::group::request::{JoinRequest, Protocol};
use crate::coordinator::group::response::{JoinResponse, JoinedMember};
use crate::ids::Uuid;
use crate::security::{Operation, Resource};

/// The first version with a rebalance timeout of its own.
const FIRST_WITH_REBALANCE_TIMEOUT: i16 = 1;
/// The first version whose clients join twice, the second time with the id they were given (KIP-394).
const FIRST_REQUIRING_MEMBER_ID: i16 = 4;
/// The first version in which no protocol is null rather than empty.
const FIRST_WITH_NULL_PROTOCOL: i16 = 7;
/// The first version that can tell a leader to skip the assignment (KIP-814).
const FIRST_SKIPPING_ASSIGNMENT: i16 = 9;

/// Serves one request; the answer is owed until the group has come together.
pub async fn handle(
    broker: &Broker,
    context: &RequestContext,
    request: JoinGroupRequest,
) -> Result<Reply<JoinGroupResponse>, ApiError> {
    let version = context.api_version;
    if let Err(denied) = context.authorize(Operation::Read, Resource::group(&request.group_id)) {
        return Ok(Reply::Ready(shape(version, &JoinResponse::error(denied, owned("")))));
    }
    broker.hints.joined(context.client_identity(), &request.group_id);
    let member_id = owned(&request.member_id);
    let answer = broker.groups.enqueue(&request.group_id, join(context, &request));
    Ok(Reply::owed(async move {
        let response = match answer.await {
            Ok(response) => response,
            Err(error) => JoinResponse::error(error, member_id),
        };
        shape(version, &response)
    }))
}

fn join(context: &RequestContext, request: &JoinGroupRequest) -> JoinRequest {
    let version = context.api_version;
    let protocols = request
        .protocols
        .iter()
        .map(|protocol| Protocol { name: owned(&protocol.name), metadata: owned_bytes(&protocol.metadata) });
    JoinRequest {
        group_id: owned(&request.group_id),
        member_id: owned(&request.member_id),
        group_instance_id: owned_option(request.group_instance_id.as_ref()),
        client_id: context.client_id.clone(),
        // Java's form of an address without a host name, which tools show.
        client_host: format!("/{}", context.peer.ip()).into(),
        session_timeout_ms: request.session_timeout_ms,
        rebalance_timeout_ms: if version >= FIRST_WITH_REBALANCE_TIMEOUT {
            request.rebalance_timeout_ms
        } else {
            request.session_timeout_ms
        },
        protocol_type: owned(&request.protocol_type),
        protocols: protocols.collect(),
        new_member_uuid: Uuid::new_v4(),
        requires_known_member_id: version >= FIRST_REQUIRING_MEMBER_ID,
        supports_skipping_assignment: version >= FIRST_SKIPPING_ASSIGNMENT,
    }
}

fn shape(version: i16, response: &JoinResponse) -> JoinGroupResponse {
    let protocol_name = message_option(response.protocol_name.as_ref());
    let needs_name = version < FIRST_WITH_NULL_PROTOCOL;
    JoinGroupResponse::default()
        .with_error_code(response.error.map_or(0, |error| error.code()))
        .with_generation_id(response.generation_id)
        .with_protocol_type(message_option(response.protocol_type.as_ref()))
        .with_protocol_name(protocol_name.or_else(|| needs_name.then(Default::default)))
        .with_leader(message_text(&response.leader))
        .with_skip_assignment(response.skip_assignment)
        .with_member_id(message_text(&response.member_id))
        .with_members(response.members.iter().map(joined).collect())
}

fn joined(member: &JoinedMember) -> JoinGroupResponseMember {
    JoinGroupResponseMember::default()
        .with_member_id(message_text(&member.member_id))
        .with_group_instance_id(message_option(member.group_instance_id.as_ref()))
        .with_metadata(member.metadata.clone())
}
