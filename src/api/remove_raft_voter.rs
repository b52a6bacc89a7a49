//! RemoveRaftVoter (key 81): a node shall no longer vote in the metadata quorum (KIP-853).

use kafka_protocol::messages::{RemoveRaftVoterRequest, RemoveRaftVoterResponse};

use super::owned::message_text;
use super::raft_voter::{check_voter, unsupported};
use super::{ApiError, Reply, RequestContext};
use crate::broker::Broker;
use crate::controller::Refusal;
use crate::protocol::ErrorCode;

/// Serves one request: what is wrong with it is told first, and then that the quorum's voters cannot change.
#[expect(clippy::unused_async, reason = "the shape of a handler")]
pub async fn handle(
    broker: &Broker,
    _context: &RequestContext,
    request: RemoveRaftVoterRequest,
) -> Result<Reply<RemoveRaftVoterResponse>, ApiError> {
    let voter = (request.voter_id, request.voter_directory_id);
    let checked = check_voter("Remove", broker.image().cluster_id(), request.cluster_id.as_ref(), voter);
    let refusal: Refusal = checked.err().unwrap_or_else(|| unsupported("removing"));
    Ok(Reply::Ready(refused(&refusal)))
}

/// The whole request's error.
pub fn refuse(_request: &RemoveRaftVoterRequest, error: ErrorCode) -> RemoveRaftVoterResponse {
    refused(&Refusal::new(error, error.to_string()))
}

fn refused(refusal: &Refusal) -> RemoveRaftVoterResponse {
    RemoveRaftVoterResponse::default()
        .with_error_code(refusal.code.code())
        .with_error_message(Some(message_text(&refusal.message)))
}
