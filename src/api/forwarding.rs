//! A request that only the controller can answer, on a broker that is not the controller: it goes there whole, in an
//! [`super::envelope`], and the answer comes back whole (KIP-590).

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::EnvelopeResponse;

use super::requester::{Requester, envelope};
use crate::controller::{ControllerConnections, ControllerPlace};
use crate::network::channel::ChannelError;
use crate::network::node_connections::Pauses;
use crate::protocol::ErrorCode;
use crate::protocol::frame::Frame;

/// How long the controller is looked for: less than clients wait for an answer by default.
///
/// Unlike Kafka, it is the same for every request, and a client is told `NOT_CONTROLLER` afterwards, not `REQUEST_TIMED_OUT`:
/// what asks a broker that cannot find the controller does well to ask another one.
const PATIENCE: Duration = Duration::from_secs(20);

/// What became of a request that was to go to the controller.
pub(super) enum Forwarded {
    /// The controller's answer.
    Answered(Frame),
    /// The controller is here now, or nowhere for long: the handler here says so to the client in the answer's own way.
    Here,
    /// The controller does not take it, for this reason.
    Refused(ErrorCode),
}

/// Sends `request`, a frame without its length, to whichever node is the controller, again and again until one answers.
pub(super) async fn forward(connections: &ControllerConnections, requester: &Requester, request: &Bytes) -> Forwarded {
    if connections.place() == Some(ControllerPlace::Here) {
        return Forwarded::Here;
    }
    let clock = connections.clock();
    let forwarding = async {
        let mut pauses = Pauses::new();
        loop {
            if let Some(forwarded) = attempt(connections, requester, request).await {
                return forwarded;
            }
            clock.sleep(pauses.next_pause()).await;
        }
    };
    clock.timeout(PATIENCE, forwarding).await.unwrap_or(Forwarded::Here)
}

/// `None` where another attempt may help.
async fn attempt(connections: &ControllerConnections, requester: &Requester, request: &Bytes) -> Option<Forwarded> {
    let place = match connections.place()? {
        ControllerPlace::Here => return Some(Forwarded::Here),
        ControllerPlace::At(place) => place,
    };
    match connections.call(&place, |_| envelope(request.clone(), requester)).await {
        Ok(response) => outcome(response),
        Err(ChannelError::Io(error)) => {
            tracing::debug!(%error, ?place, "a request could not be forwarded to the controller");
            None
        }
        Err(error) => {
            tracing::warn!(%error, ?place, "a request could not be forwarded to the controller");
            Some(Forwarded::Refused(ErrorCode::UnknownServerError))
        }
    }
}

fn outcome(response: EnvelopeResponse) -> Option<Forwarded> {
    match (ErrorCode::try_from_code(response.error_code), response.response_data) {
        (None, Some(data)) => {
            Some(framed(&data).map_or(Forwarded::Refused(ErrorCode::UnknownServerError), Forwarded::Answered))
        }
        (None, None) => Some(Forwarded::Refused(ErrorCode::UnknownServerError)),
        (Some(ErrorCode::NotController), _) => None,
        (Some(code), _) => Some(Forwarded::Refused(code)),
    }
}

/// A response with its header, as a frame; `None` where it is longer than any frame.
fn framed(response: &Bytes) -> Option<Frame> {
    let mut frame = BytesMut::with_capacity(4 + response.len());
    frame.put_i32(i32::try_from(response.len()).ok()?);
    frame.put_slice(response);
    Some(Frame::new(frame.freeze()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_becomes_a_frame_and_a_node_that_is_not_the_controller_is_asked_no_more() {
        let response = |code: i16, data: Option<&'static [u8]>| {
            EnvelopeResponse::default().with_error_code(code).with_response_data(data.map(Bytes::from_static))
        };
        let Some(Forwarded::Answered(frame)) = outcome(response(0, Some(b"answer"))) else { panic!("an answer") };
        assert_eq!(frame.size_in_bytes(), 10);
        assert!(outcome(response(ErrorCode::NotController.code(), None)).is_none());
        let refused = outcome(response(ErrorCode::ClusterAuthorizationFailed.code(), None));
        assert!(matches!(refused, Some(Forwarded::Refused(ErrorCode::ClusterAuthorizationFailed))));
        assert!(matches!(outcome(response(0, None)), Some(Forwarded::Refused(_))));
    }
}
