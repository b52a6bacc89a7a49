//! ListPartitionReassignments (key 46): which partitions are on their way to other brokers (KIP-455).

use kafka_protocol::messages::{ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse};

use super::owned::message_text;
use super::{ApiError, Reply, RequestContext};
use crate::broker::Broker;
use crate::protocol::ErrorCode;

/// Serves one request: none is. A reassignment either changes nothing or is refused, so that none is ever under way, and
/// Kafka leaves topics without one out, be they known or not.
#[expect(clippy::unused_async, reason = "the shape of a handler")]
pub async fn handle(
    _broker: &Broker,
    _context: &RequestContext,
    _request: ListPartitionReassignmentsRequest,
) -> Result<Reply<ListPartitionReassignmentsResponse>, ApiError> {
    Ok(Reply::Ready(ListPartitionReassignmentsResponse::default().with_error_message(None)))
}

/// The whole request's error.
pub fn refuse(_request: &ListPartitionReassignmentsRequest, error: ErrorCode) -> ListPartitionReassignmentsResponse {
    ListPartitionReassignmentsResponse::default()
        .with_error_code(error.code())
        .with_error_message(Some(message_text(&error.to_string())))
}
