//! AddRaftVoter (key 80): a node shall vote in the metadata quorum (KIP-853).

use kafka_protocol::messages::{AddRaftVoterRequest, AddRaftVoterResponse};

use super::owned::message_text;
use super::raft_voter::{check_voter, unsupported};
use super::{ApiError, Reply, RequestContext};
use crate::broker::Broker;
use crate::controller::Refusal;
use crate::protocol::ErrorCode;

/// The controllers' listener where `controller.listener.names` is not set: the name that Kafka's own examples set.
const CONTROLLER_LISTENER: &str = "CONTROLLER";

/// Serves one request: what is wrong with it is told first, and then that the quorum's voters cannot change.
#[expect(clippy::unused_async, reason = "the shape of a handler")]
pub async fn handle(
    broker: &Broker,
    _context: &RequestContext,
    request: AddRaftVoterRequest,
) -> Result<Reply<AddRaftVoterResponse>, ApiError> {
    let names = broker.config.load().text("controller.listener.names").unwrap_or_default();
    let listener = names.split(',').map(str::trim).find(|name| !name.is_empty()).unwrap_or(CONTROLLER_LISTENER);
    let refusal = refusal(broker.image().cluster_id(), listener, &request);
    Ok(Reply::Ready(refused(&refusal)))
}

fn refusal(cluster_id: &str, listener: &str, request: &AddRaftVoterRequest) -> Refusal {
    let voter = (request.voter_id, request.voter_directory_id);
    if let Err(refusal) = check_voter("Add", cluster_id, request.cluster_id.as_ref(), voter) {
        return refusal;
    }
    if !request.listeners.iter().any(|given| given.name.as_str() == listener) {
        let names: Vec<_> = request.listeners.iter().map(|given| given.name.as_str()).collect();
        let message = format!(
            "Add voter request didn't include the endpoint ({}) for the default listener {listener}",
            names.join(",")
        );
        return Refusal::new(ErrorCode::InvalidRequest, message);
    }
    unsupported("adding")
}

/// The whole request's error.
pub fn refuse(_request: &AddRaftVoterRequest, error: ErrorCode) -> AddRaftVoterResponse {
    refused(&Refusal::new(error, error.to_string()))
}

fn refused(refusal: &Refusal) -> AddRaftVoterResponse {
    AddRaftVoterResponse::default()
        .with_error_code(refusal.code.code())
        .with_error_message(Some(message_text(&refusal.message)))
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::add_raft_voter_request::Listener;
    use kafka_protocol::protocol::StrBytes;

    use super::*;
    use crate::ids::Uuid;

    #[test]
    fn checks_are_kafkas_in_kafkas_order() {
        let text = StrBytes::from_static_str;
        let listener = |name| Listener::default().with_name(text(name)).with_host(text("h")).with_port(1);
        let good = AddRaftVoterRequest::default()
            .with_cluster_id(None)
            .with_voter_id(2)
            .with_voter_directory_id(Uuid::from_u128(7))
            .with_listeners(vec![listener("OTHER"), listener("CONTROLLER")]);
        let code = |request: AddRaftVoterRequest| refusal("c1", "CONTROLLER", &request).code;
        assert_eq!(code(good.clone()), ErrorCode::UnsupportedVersion);
        assert_eq!(code(good.clone().with_cluster_id(Some(text("c1")))), ErrorCode::UnsupportedVersion);
        assert_eq!(code(good.clone().with_cluster_id(Some(text("c2")))), ErrorCode::InconsistentClusterId);
        assert_eq!(code(good.clone().with_voter_id(-1)), ErrorCode::InvalidRequest);
        assert_eq!(code(good.clone().with_voter_directory_id(Uuid::nil())), ErrorCode::InvalidRequest);
        assert_eq!(code(good.with_listeners(vec![listener("OTHER")])), ErrorCode::InvalidRequest);
    }
}
